"""The demo's files, all of them: read for their digests, encrypted, decrypted and compared."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

from clavero.cli.demo import envelope, folder
from clavero.cli.demo.folder import Found, Unreadable
from clavero.cli.demo.report import Report, Timed
from clavero.cli.demo.wrappers import Wrapper
from clavero.cli.session import Refusal

# The encryption context of every data key of the demo: a batch has one. The path is in the file's.
PURPOSE: Final = {"purpose": "clavero demo"}
# Bytes that the comparison encrypts too: enough for a rate, and it takes the disk twice.
COMPARED_BYTES: Final = 512 << 20
_SPARE: Final = 256 << 20
_SHOWN: Final = 5


def context_of(file: Found) -> dict[str, str]:
    """The encryption context of a file."""
    return {**PURPOSE, "path": file.name}


@dataclass(slots=True)
class Side:
    """One of the two that encrypt the files: who makes its data keys, where it puts the files."""

    wrapper: Wrapper
    folder: Path
    files: list[Found] = field(default_factory=list)
    """What it encrypted."""
    seconds: float = 0.0
    """How long it has been at work, since it was last set to 0."""

    def path(self, file: Found) -> Path:
        """Where the encrypted file is: a flat name of fixed length."""
        return self.folder / hashlib.sha256(file.name.encode()).hexdigest()

    @property
    def timed(self) -> Timed:
        return Timed(len(self.files), self.seconds, sum(file.size for file in self.files))

    @contextmanager
    def working(self) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds += perf_counter() - start


class Files:
    """The files under one folder.

    Both sides do each file in turn, now the one first and now the other, so that neither profits
    from what else the machine does, or from what the other has left in its caches.
    """

    def __init__(self, source: Path, without: frozenset[str], report: Report) -> None:
        self._source = source
        self._without = without
        self._report = report

    def read(self) -> list[Found]:
        """Read every file for its digest.

        Raises Refusal where the folder cannot be read, or the disk has not enough space.
        """
        report, left_out, files = self._report, Counter[str](), []
        report.step(f"Reading {self._source}")
        with report.bar("reading"):
            for path in folder.walk(self._source, self._without, left_out):
                try:
                    files.append(folder.read(path, self._source))
                except Unreadable as error:
                    left_out[str(error)] += 1
        size = sum(file.size for file in files)
        report.line(f"{len(files):,} files, {size / 1e6:,.1f} MB{_listed(left_out)}")
        needed = size + min(size, COMPARED_BYTES) + _SPARE
        temporary = tempfile.gettempdir()
        if shutil.disk_usage(temporary).free < needed:
            raise Refusal(
                f"{temporary} has less than the {needed / 1e6:,.0f} MB free that this takes: name "
                "another place with TMPDIR, or a smaller folder with --input."
            )
        return files

    def encrypt(self, files: list[Found], ours: Side, loop: Side) -> None:
        """Encrypt the files that have not changed meanwhile; `loop` as many as a rate needs."""
        report, left_out = self._report, Counter[str]()
        ours.folder.mkdir()
        loop.folder.mkdir()
        if not files:
            return
        compared = _first(files, COMPARED_BYTES)
        with ExitStack() as stack:
            with ours.working():
                our_keys = iter(stack.enter_context(ours.wrapper.new(len(files), PURPOSE)))
            with loop.working():
                loop_keys = iter(stack.enter_context(loop.wrapper.new(len(files), PURPOSE)))
            advance = stack.enter_context(report.bar("encrypting", len(files)))
            for number, file in enumerate(files):
                turns = [(ours, our_keys)]
                if file.name in compared:
                    turns.insert(number % 2, (loop, loop_keys))
                try:
                    for side, keys in turns:
                        with side.working():
                            self._encrypt(file, side, next(keys))
                except Unreadable as error:
                    left_out[str(error)] += 1
                advance()
        report.line(f"{ours.timed.text()} in {ours.seconds:.2f} s{_listed(left_out)}")

    def _encrypt(self, file: Found, side: Side, data_key: tuple[bytes, bytes]) -> None:
        path = side.path(file)
        try:
            with folder.unchanged(file) as body:
                envelope.encrypt(body, path, data_key, context_of(file))
        except Unreadable:
            path.unlink(missing_ok=True)
            raise
        side.files.append(file)

    def decrypt(self, ours: Side, loop: Side, refused: type[Exception]) -> None:
        """Decrypt the files, and report every one that is not the original."""
        report, wrong = self._report, list[str]()
        ours.seconds = loop.seconds = 0.0
        with ExitStack() as stack:
            keys = []
            for side in (ours, loop):
                opened: Sequence[bytes] = []
                if side.files:
                    try:
                        with side.working():
                            blobs = [envelope.blob_of(side.path(file)) for file in side.files]
                            opened = stack.enter_context(side.wrapper.open(blobs, PURPOSE))
                    except (refused, envelope.Damaged) as error:
                        report.wrong(f"the data keys of the files do not open: {error}")
                        return
                keys.append(dict(zip((file.name for file in side.files), opened, strict=True)))
            advance = stack.enter_context(report.bar("decrypting", len(ours.files)))
            for number, file in enumerate(ours.files):
                turns = [(ours, keys[0][file.name])]
                if file.name in keys[1]:
                    turns.insert(number % 2, (loop, keys[1][file.name]))
                for side, key in turns:
                    with side.working():
                        why = _difference(file, side.path(file), key)
                    if why is not None:
                        wrong.append(f"{file.name}: {why}")
                advance()
        for text in wrong[:_SHOWN]:
            report.wrong(text)
        if len(wrong) > _SHOWN:
            report.wrong(f"{len(wrong):,} differences in all")
        report.line(f"{ours.timed.text()} in {ours.seconds:.2f} s")
        if not wrong:
            report.right(f"{len(ours.files):,} files have the SHA-256 of their originals")


def _difference(file: Found, path: Path, key: bytes) -> str | None:
    try:
        digest = envelope.digest(path, key, context_of(file))
    except envelope.Damaged as error:
        return str(error)
    return None if hmac.compare_digest(digest, file.digest) else "not the original's SHA-256"


def _first(files: list[Found], size: int) -> set[str]:
    """The names of the files, from the start, that fit into a size."""
    taken = set()
    for file in files:
        if file.size <= size:
            size -= file.size
            taken.add(file.name)
    return taken


def _listed(left_out: Counter[str]) -> str:
    found = [f"{count:,} {what}" for what, count in sorted(left_out.items()) if count]
    return f"; left out: {', '.join(found)}" if found else ""
