"""No plaintext for a recipient is in the memory of the process: a dump of it is looked through."""

from __future__ import annotations

import base64
import json
import mmap
import subprocess
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("children") / "attested.py"


@pytest.mark.parametrize("mode", ["attested", "plaintext"])
def test_a_dump_of_the_process_has_no_plaintext(enclave, tmp_path, start_python, dump_core, mode):
    (tmp_path / "root.pem").write_bytes(enclave.root.pem)
    (tmp_path / "document").write_bytes(enclave.document())
    now = enclave.now.timestamp()
    process = start_python(
        WORKER, tmp_path, now, mode,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == b"ready\n", process.communicate()[1]
        core = dump_core(process.pid)
        assert process.communicate(b"", timeout=60)[0] == b"41\n"
    finally:
        process.kill()
        process.communicate()
    answers = [
        base64.b64decode(each) for each in json.loads((tmp_path / "answers.json").read_text())
    ]
    needles = answers if mode == "plaintext" else [enclave.open(answer) for answer in answers]
    assert {len(needle) for needle in needles} == {32}
    with core.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = [needle for needle in needles if data.find(needle[:16]) >= 0]
        # The dump is whole: it has what the process holds in ordinary memory
        assert data.find(answers[0]) >= 0
    assert len(found) == (len(needles) if mode == "plaintext" else 0)
    core.unlink()
