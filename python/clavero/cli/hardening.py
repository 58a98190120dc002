"""What the process does for its own protection before it touches a key.

The HSM keeps keys in memory that no core dump and no other process reads. Plaintexts and data keys
that a user asks for pass through Python's ordinary heap, which has no such protection. So the
process as a whole writes no core and lets no other process of its user attach.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)


def harden() -> None:
    """Switch core dumps off, and ptrace and /proc/PID/mem for everyone but root.

    Raises OSError where the kernel refuses, which it has no reason to do.
    """
    # The soft and the hard limit: a core is not written even by a handler that raises the soft one.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The limit does not bind a kernel.core_pattern that pipes to a program, and says nothing
        # of debuggers: this does both.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"PR_SET_DUMPABLE: {os.strerror(number)}")
