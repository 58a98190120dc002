"""The demo's course: a million keys, a folder encrypted, closed, read back, compared, damaged."""

from __future__ import annotations

import hmac
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from clavero.cli.demo import envelope
from clavero.cli.demo.files import PURPOSE, Files, Side, context_of
from clavero.cli.demo.folder import Found
from clavero.cli.demo.report import Report, Row, Stopwatch, Timed
from clavero.cli.demo.wrappers import Clavero, DataKeys, Loop
from clavero.cli.session import Session

if TYPE_CHECKING:
    from clavero import KMS, Client

ALIAS: Final = "alias/demo"
# Data keys that are unwrapped a call each: enough for a rate.
SINGLY: Final = 2_000


class Demo:
    """One run. `run` gives whether everything came out equal."""

    def __init__(
        self,
        session: Session,
        *,
        keys: int,
        unwrap: int,
        folder: Path,
        without: frozenset[str] = frozenset(),
        report: Report | None = None,
    ) -> None:
        self._session = session
        self._keys = keys
        self._unwrap = unwrap
        self._report = report or Report()
        self._files = Files(folder, without, self._report)
        self._loop = Loop()
        self._rows: list[Row] = []

    def run(self) -> bool:
        """Do everything. Raises Refusal where it cannot begin."""
        report = self._report
        with Stopwatch() as whole:
            # Before the temporary folder is there, which may lie under the input.
            found = self._files.read()
            with tempfile.TemporaryDirectory(prefix="clavero-demo-") as name:
                self._run_in(Path(name), found)
        report.table(self._rows)
        if report.differences:
            report.failed(f"{report.differences} checks failed, in {whole.seconds:.1f} s.")
            return False
        report.right(f"Everything came back as it was, in {whole.seconds:.1f} s.")
        return True

    def _run_in(self, work: Path, found: list[Found]) -> None:
        report, store = self._report, work / "store"
        report.step(f"Making a durable store in {work}")
        with self._open(store) as kms:
            client = kms.client()
            key = client.create_key(Description="clavero demo")["KeyMetadata"]
            client.create_alias(AliasName=ALIAS, TargetKeyId=key["KeyId"])
            report.line(f"{key['Arn']}, {ALIAS}")
            report.line(f"keys in memory are protected by {kms.status()['memory']}")
            ours = Side(Clavero(client, ALIAS), work / "clavero")
            loop = Side(self._loop, work / "loop")
            self._data_keys(Clavero(client, ALIAS))
            report.step(f"Encrypting the {len(found):,} files, each under a data key of its own")
            self._files.encrypt(found, ours, loop)
            encrypted = ours.timed, loop.timed
        report.step("Closed. Opening the store again from disk, decrypting the files")
        with self._open(store) as kms:
            client = kms.client()
            ours.wrapper = Clavero(client, ALIAS)
            self._files.decrypt(ours, loop, client.exceptions.ClientError)
            if ours.files:
                self._rows.append(Row("encrypt files", *encrypted))
                self._rows.append(Row("read files back", ours.timed, loop.timed))
                report.step("Flipping a byte")
                self._damage(client, ours)

    def _open(self, store: Path) -> KMS:
        from clavero import KMS

        return KMS(store, allow_insecure_memory=self._session.allow_insecure_memory)

    # --- data keys -------------------------------------------------------------------------------

    def _data_keys(self, wrapper: Clavero) -> None:
        report, count = self._report, self._keys
        report.step(f"Issuing {count:,} data keys in one call")
        with report.bar("one call to GenerateDataKeys"), Stopwatch() as watch:
            batch = wrapper.new(count, PURPOSE)
        issued = Timed(count, watch.seconds)
        report.line(f"{issued.text()} in {watch.seconds:.2f} s")
        with report.bar("the same in a loop over pyca AESGCM"), Stopwatch() as watch:
            made = self._loop.new(count, PURPOSE)
        self._rows.append(Row("issue, one call", issued, Timed(count, watch.seconds)))
        report.step(f"Unwrapping {self._unwrap:,} of them, drawn at random")
        drawn = SystemRandom().sample(range(count), self._unwrap)
        with batch as keys, made as others:
            self._unwrap_some(wrapper, [keys[i] for i in drawn], [others[i] for i in drawn])

    def _unwrap_some(self, wrapper: Clavero, drawn: DataKeys, others: DataKeys) -> None:
        blobs, issued = [blob for _, blob in drawn], [key for key, _ in drawn]
        with Stopwatch() as watch:
            opened = wrapper.open(blobs, PURPOSE)
        ours = Timed(len(blobs), watch.seconds)
        with opened as keys:
            self._compare("unwrapped in one call", issued, keys)
        singly = blobs[:SINGLY]
        with Stopwatch() as watch:
            alone = wrapper.open_singly(singly, PURPOSE)
        ours_singly = Timed(len(singly), watch.seconds)
        self._compare("unwrapped in a call each", issued[:SINGLY], alone)
        with Stopwatch() as watch:
            self._loop.open([blob for _, blob in others], PURPOSE)
        loop = Timed(len(others), watch.seconds)
        self._rows.append(Row("unwrap, one call", ours, loop))
        self._rows.append(Row("unwrap, call each", ours_singly, loop))

    def _compare(self, how: str, issued: Sequence[bytes], opened: Sequence[bytes]) -> None:
        same = len(opened) == len(issued) and sum(
            hmac.compare_digest(key, found) for key, found in zip(issued, opened, strict=True)
        )
        if same == len(issued):
            self._report.right(f"{same:,} {how}: the keys that were issued")
        else:
            self._report.wrong(f"{same:,} of {len(issued):,} {how} are the keys that were issued")

    # --- damage ----------------------------------------------------------------------------------

    def _damage(self, client: Client, encrypted: Side) -> None:
        """Flip one byte of a blob, and one of a body: each has to be refused."""
        report = self._report
        file = max(encrypted.files, key=lambda file: file.size > 0)  # one with a body, if any has
        path = encrypted.path(file)
        blob = envelope.blob_of(path)
        wrapper = Clavero(client, ALIAS)
        (key,) = wrapper.open_singly([blob], PURPOSE)
        changed = bytearray(blob)
        changed[len(changed) // 2] ^= 1
        try:
            wrapper.open_singly([bytes(changed)], PURPOSE)
        except client.exceptions.InvalidCiphertextException as error:
            report.right(f"in the blob of a data key: {str(error).rstrip(': ')}")
        else:
            report.wrong("a blob with a flipped byte was opened")
        with path.open("r+b") as opened:
            opened.seek(envelope.header_size(blob))
            (byte,) = opened.read(1)
            opened.seek(-1, 1)
            opened.write(bytes([byte ^ 1]))
        try:
            envelope.digest(path, key, context_of(file))
        except envelope.Damaged as error:
            report.right(f"in the body of {file.name}: refused, {error}")
        else:
            report.wrong(f"{file.name} with a flipped byte was decrypted")
