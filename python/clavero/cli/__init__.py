"""The command `clavero`: keys, aliases, encryption and data keys of a store, and the demo.

typer and rich come with the extra `cli`; nothing of them is loaded before `main` runs.
"""

from __future__ import annotations

import sys
from contextlib import suppress


def main() -> None:
    """The entry point. Ends the process: 0 done, 1 refused or failed, 2 used wrongly."""
    from clavero.cli.hardening import harden

    harden()
    try:
        import rich  # noqa: F401 (whether it is there)
        import typer  # noqa: F401
    except ImportError as missing:
        sys.exit(
            f"clavero: the command line needs {missing.name}: run pip install 'clavero[cli]'. "
            "The library works without it."
        )
    from clavero.cli.app import app

    # A description in a script that the terminal's encoding lacks is shown escaped, not refused.
    with suppress(AttributeError):  # a stream that is no TextIOWrapper
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app()
