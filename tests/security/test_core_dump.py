"""A dump of the whole Python process, taken while it works, has no byte of the root key in it.

The interpreter, numpy and every library are in the dump; what the HSM's own tests prove of Rust's
memory is proved here of the process that people run. A process that leaks the key is found out.
"""

from __future__ import annotations

import mmap
import secrets
import subprocess
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("children") / "core.py"


def hits(core: Path, needles: list[bytes]) -> int:
    """How many of the needles are somewhere in the file."""
    with core.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sum(data.find(needle) >= 0 for needle in needles)


@pytest.mark.parametrize("mode", ["sound", "leak"])
def test_the_root_key(folder, start_python, dump_core, mode):
    folder.mkdir(mode=0o700)
    # A known key, which the process under test gets as a path only
    root = secrets.token_bytes(32)
    key_file = folder / "root.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(root)
    process = start_python(
        WORKER, folder, mode, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"ready\n", process.communicate()[1]
        core = dump_core(process.pid)
        out, err = process.communicate(b"", timeout=60)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()
    needles = [root, root[:16], root[16:], root[8:24], root.hex().encode()]
    # The dump is whole: it has what the process holds in ordinary memory
    assert hits(core, [str(folder).encode()]) == 1
    if mode == "leak":
        assert hits(core, needles) == 4
        assert out == b"32\n"
    else:
        assert hits(core, needles) == 0
