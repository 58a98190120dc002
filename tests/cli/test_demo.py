"""`clavero demo`: it does what it says, notices a difference, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from clavero.cli.app import app
from clavero.cli.demo import envelope, files, folder, run, wrappers
from clavero.cli.demo.report import Report

CONTEXT = {"purpose": "clavero demo", "path": "a/b"}
DATA_KEY = (b"k" * 32, b"blob of the key")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    where = tmp_path / "tmp"
    where.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(where))
    return where


@pytest.fixture
def source(tmp_path):
    """A folder with everything that a folder may have."""
    root = tmp_path / "input"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "one.txt").write_bytes(b"one")
    (root / "empty").write_bytes(b"")
    (root / "deep" / "er" / "big").write_bytes(os.urandom((1 << 20) + 17))
    (root / os.fsdecode(b"caf\xe9")).write_bytes(b"a name that is not UTF-8")
    (root / "site-packages").mkdir()
    (root / "site-packages" / "x.py").write_bytes(b"x")
    (root / "link").symlink_to("one.txt")
    (root / "linked").symlink_to("deep")
    os.mkfifo(root / "pipe")
    return root


def demo(*arguments, code=0):
    result = CliRunner().invoke(
        app, ["demo", "--keys", "300", "--unwrap", "20", *arguments], catch_exceptions=False
    )
    assert result.exit_code == code, result.output
    return result


def test_it_does_the_main_job_and_cleans_up(source, temporary):
    output = demo("--input", str(source)).output
    assert "Issuing 300 data keys in one call" in output
    assert "✓ 20 unwrapped in one call: the keys that were issued" in output
    assert "✓ 20 unwrapped in a call each" in output
    assert "5 files, 1.0 MB; left out: 2 links, 1 special files" in output
    assert "✓ 5 files have the SHA-256 of their originals" in output
    assert "An error occurred (InvalidCiphertextException) when calling the Decrypt" in output
    assert "refused, its tag does not fit" in output
    for row in (
        "issue, one",
        "unwrap, one",
        "unwrap, call each",
        "encrypt files",
        "read files back",
    ):
        assert row in output
    assert output.count(" x ") == 5  # a ratio a row
    assert "Everything came back as it was" in output
    assert list(temporary.iterdir()) == []


def test_an_empty_folder_is_no_failure(tmp_path, temporary):
    (tmp_path / "empty").mkdir()
    output = demo("--input", str(tmp_path / "empty")).output
    assert "✓ 0 files" in output
    assert "encrypt files" not in output


def test_the_input_may_hold_the_temporary_folder(tmp_path, temporary):
    (tmp_path / "one").write_bytes(b"one")
    assert "✓ 1 files" in demo("--input", str(tmp_path)).output


def test_the_default_is_the_standard_library_without_what_was_installed(
    source, temporary, as_default
):
    as_default(source)
    assert "4 files, 1.0 MB" in demo().output


@pytest.fixture
def as_default(monkeypatch):
    import sysconfig

    def use(path):
        monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(path))

    return use


@pytest.mark.parametrize(
    "arguments",
    [["--keys", "0"], ["--unwrap", "0"], ["--unwrap", "301"], ["--keys", str((1 << 24) + 1)]],
)
def test_nonsense_exits_with_2(arguments):
    assert "--unwrap 1 to --keys" in demo(*arguments, code=2).stderr


def test_a_folder_that_cannot_be_read(tmp_path, temporary):
    assert "cannot be read: No such file" in demo("--input", str(tmp_path / "no"), code=1).stderr
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be read" in demo("--input", str(tmp_path / "file"), code=1).stderr
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_said_before_it_is_full(source, temporary, monkeypatch):
    monkeypatch.setattr(files, "_SPARE", 1 << 60)
    assert "TMPDIR" in demo("--input", str(source), code=1).stderr


def test_without_cryptography_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert "pip install 'clavero[demo]'" in demo(code=1).stderr


# --- differences ---------------------------------------------------------------------------------


def _flipped(data):
    return bytes([data[0] ^ 1]) + bytes(data[1:])


def test_a_data_key_that_differs_fails_it(source, temporary, monkeypatch):
    real = wrappers.Clavero.open_singly

    def wrong(self, blobs, context):
        first, *rest = real(self, blobs, context)
        return [_flipped(first), *rest]

    monkeypatch.setattr(wrappers.Clavero, "open_singly", wrong)
    output = demo("--input", str(source), code=1).output
    assert "DIFFERS: 19 of 20 unwrapped in a call each are the keys that were issued" in output
    assert "Everything came back" not in output
    assert list(temporary.iterdir()) == []


def test_a_batch_that_differs_fails_it(source, temporary, monkeypatch):
    from contextlib import nullcontext

    real = wrappers.Clavero.open

    def wrong(self, blobs, context):
        with real(self, blobs, context) as opened:
            return nullcontext([_flipped(opened[0]), *opened[1:]])

    monkeypatch.setattr(wrappers.Clavero, "open", wrong)
    output = demo("--input", str(source), code=1).output
    assert "DIFFERS: 19 of 20 unwrapped in one call" in output
    assert "its tag does not fit" in output  # the first file's key was wrong too


def test_a_file_that_differs_fails_it(source, temporary, monkeypatch):
    real = envelope.digest
    monkeypatch.setattr(envelope, "digest", lambda *given: _flipped(real(*given)))
    output = demo("--input", str(source), code=1).output
    assert "DIFFERS: empty: not the original's SHA-256" in output
    assert "10 differences in all" in output  # five files, on both sides


def test_a_file_that_was_changed_on_disk_fails_it(source, temporary, monkeypatch):
    real = files.Files.decrypt

    def damage(self, ours, loop, refused):
        path = ours.path(ours.files[-1])
        path.write_bytes(path.read_bytes()[:-1])
        real(self, ours, loop, refused)

    monkeypatch.setattr(files.Files, "decrypt", damage)
    assert "its tag does not fit" in demo("--input", str(source), code=1).output


def test_a_blob_that_was_changed_on_disk_fails_it(source, temporary, monkeypatch):
    real = files.Files.decrypt

    def damage(self, ours, loop, refused):
        path = ours.path(ours.files[-1])
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)
        real(self, ours, loop, refused)

    monkeypatch.setattr(files.Files, "decrypt", damage)
    output = demo("--input", str(source), code=1).output
    assert "DIFFERS: the data keys of the files do not open" in output
    assert "(InvalidCiphertextException)" in output


def test_damage_that_is_not_refused_fails_it(source, temporary, monkeypatch):
    monkeypatch.setattr(
        wrappers.Clavero, "open_singly", lambda _self, blobs, _context: [b"k" * 32 for _ in blobs]
    )
    monkeypatch.setattr(envelope, "digest", lambda *_: b"")
    output = demo("--input", str(source), code=1).output
    assert "DIFFERS: a blob with a flipped byte was opened" in output
    assert "with a flipped byte was decrypted" in output


# --- interrupted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing(source, tmp_path, number, code):
    where = tmp_path / "interrupted"
    where.mkdir()
    process = subprocess.Popen(
        [
            sys.executable, "-c",
            # Enough files that the signal comes while it works on them.
            "import sys, time; from clavero.cli.demo import envelope; real = envelope.encrypt\n"
            "envelope.encrypt = lambda *a: (time.sleep(0.2), real(*a))\n"
            "sys.argv[1:] = ['demo', '--keys', '10', '--unwrap', '1', '--input', sys.argv[1]]\n"
            "from clavero.cli import main; main()",
            str(source),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(where), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Encrypting"):
                break
        assert list(where.iterdir())
        time.sleep(0.2)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert list(where.iterdir()) == []


# --- its parts -----------------------------------------------------------------------------------


def test_an_envelope_opens_whole_and_in_its_place_only(tmp_path):
    path = tmp_path / "e"
    body = b"x" * 100
    envelope.encrypt(iter([body]), path, DATA_KEY, CONTEXT)
    key, blob = DATA_KEY
    assert envelope.blob_of(path) == blob
    assert envelope.digest(path, key, CONTEXT) == hashlib.sha256(body).digest()
    with pytest.raises(envelope.Damaged, match="tag"):
        envelope.digest(path, key, {**CONTEXT, "path": "a/c"})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(envelope.Damaged):
            envelope.digest(path, key, CONTEXT)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(envelope.Damaged):
            envelope.digest(path, key, CONTEXT)
    path.write_bytes(whole + b"x")
    with pytest.raises(envelope.Damaged):
        envelope.digest(path, key, CONTEXT)


def test_contexts_have_bytes_of_their_own():
    assert envelope.associated_data({"a": "bc"}) != envelope.associated_data({"ab": "c"})
    assert envelope.associated_data({"a": "1", "b": "2"}) == envelope.associated_data(
        {"b": "2", "a": "1"}
    )


def test_names_that_are_not_text_are_escaped(source):
    names = {folder.read(path, source).name for path in folder.walk(source, frozenset(), Counter())}
    assert names == {"caf\\xe9", "deep/er/big", "empty", "one.txt", "site-packages/x.py"}


def test_a_file_that_changes_is_left_out(source, tmp_path):
    found = folder.read(source / "one.txt", source)
    with pytest.raises(folder.Unreadable, match="changed"), folder.unchanged(found) as body:
        (source / "one.txt").write_bytes(b"longer than one")
        list(body)
    (source / "one.txt").unlink()
    with pytest.raises(folder.Unreadable, match="unreadable"), folder.unchanged(found):
        pass
    (source / "one.txt").symlink_to(source / "empty")
    with pytest.raises(folder.Unreadable), folder.unchanged(found):
        pass
    (source / "one.txt").unlink()
    os.mkfifo(source / "one.txt")
    with pytest.raises(folder.Unreadable, match="changed"), folder.unchanged(found):
        pass


def test_files_that_change_while_it_runs_are_counted_not_failed(source, temporary, monkeypatch):
    real = run.Demo._data_keys

    def change(self, wrapper):
        real(self, wrapper)
        (source / "one.txt").write_bytes(b"longer than one")
        (source / "empty").unlink()

    monkeypatch.setattr(run.Demo, "_data_keys", change)
    output = demo("--input", str(source)).output
    assert "left out: 1 files that changed meanwhile, 1 unreadable files" in output
    assert "✓ 3 files" in output


def test_what_cannot_be_read_is_counted(source, temporary, monkeypatch):
    def refusing(real, name):  # root reads everything, so the system call is played
        def call(path, *arguments, **more):
            if str(path).endswith(name):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *arguments, **more)

        return call

    monkeypatch.setattr(os, "open", refusing(os.open, "one.txt"))
    monkeypatch.setattr(os, "scandir", refusing(os.scandir, "deep"))
    output = demo("--input", str(source)).output
    assert "1 unreadable files, 1 unreadable folders" in output
    assert "✓ 3 files" in output


def test_only_so_much_is_encrypted_for_the_comparison(source, temporary, monkeypatch):
    monkeypatch.setattr(files, "COMPARED_BYTES", 1000)
    output = demo("--input", str(source)).output
    assert "of 4" in output  # the big file is ours alone
    assert "✓ 5 files" in output


def test_bars_are_for_terminals(tmp_path):
    for terminal in (True, False):
        console = Console(
            file=(tmp_path / "out").open("w+", encoding="utf-8"), force_terminal=terminal, width=80
        )
        with Report(console).bar("working", 2) as advance:
            advance()
        console.file.close()
        assert ("working" in (tmp_path / "out").read_text(encoding="utf-8")) is terminal


@pytest.mark.timeout(180)  # most of a minute, and not left to make test-slow: it is the main job
def test_at_full_size(temporary):
    begun = time.process_time()
    result = CliRunner().invoke(app, ["demo"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "10,000 unwrapped in one call" in result.output
    # It is to take less than a minute. Processor time, because the clock also times other programs.
    assert time.process_time() - begun < 60
    assert not any(Path(temporary).iterdir())
