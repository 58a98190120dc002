"""`clavero demo`: the main job on real input, checked, and timed beside a loop over pyca."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from clavero.cli.session import Misuse, Refusal, Session


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    keys: Annotated[int, typer.Option(metavar="N", help="Data keys in the batch.")] = 1_000_000,
    unwrap: Annotated[
        int, typer.Option(metavar="N", help="How many of them to unwrap, drawn at random.")
    ] = 10_000,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="DIR",
            help="Encrypt the files under this folder. They are only read.",
            show_default="Python's standard library",
        ),
    ] = None,
) -> None:
    """Issue a million data keys, encrypt a folder, read it back from disk, compare, and time it.

    Works in a folder of its own under TMPDIR, which it removes. Exits with 1 if anything differs.
    """
    session: Session = context.obj
    if not 1 <= unwrap <= keys <= 1 << 24:
        raise Misuse("--keys is 1 to 16777216, and --unwrap 1 to --keys.")
    try:
        import cryptography  # noqa: F401 (whether it is there)
    except ImportError:
        raise Refusal(
            "The demo encrypts files with, and compares with, the package cryptography: run "
            "pip install 'clavero[demo]'."
        ) from None
    import sysconfig

    from clavero.cli.demo.run import Demo

    # site-packages is no part of the standard library, and may be of any size.
    beside = frozenset({"site-packages", "dist-packages"}) if folder is None else frozenset()
    chosen = Path(sysconfig.get_path("stdlib")) if folder is None else folder.expanduser()
    with _terminable():
        work = Demo(session, keys=keys, unwrap=unwrap, folder=chosen, without=beside)
        if not work.run():
            raise typer.Exit(1)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, so that the temporary folder goes."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
