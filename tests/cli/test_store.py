"""Global options, unsealing, and stores that cannot be opened."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

import clavero
from clavero.cli.app import globals_first
from clavero.cli.session import default_data


def test_global_options_stand_before_or_after_the_command():
    assert globals_first(["key", "list", "--data", "d", "--output=json"]) == [
        "--data", "d", "--output=json", "key", "list",
    ]  # fmt: skip
    assert globals_first(["a", "--", "--data", "d"]) == ["a", "--", "--data", "d"]
    assert globals_first(["a", "--data"]) == ["--data", "a"]
    assert globals_first(["a", "--allow-insecure-memory", "--out", "x"]) == [
        "--allow-insecure-memory", "a", "--out", "x",
    ]  # fmt: skip


def test_options_come_from_the_environment(cli, tmp_path):
    cli.key("--region", "eu-west-1", "--account", "111122223333")
    made = json.loads(
        cli(
            "key", "list", CLAVERO_REGION="eu-west-1", CLAVERO_ACCOUNT="111122223333",
            CLAVERO_OUTPUT="json",
        ).out
    )  # fmt: skip
    assert len(made["Keys"]) == 1


def test_the_default_folder_is_where_users_data_goes(monkeypatch):
    monkeypatch.setenv("HOME", os.fspath(Path("/h")))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data() == Path("/h/.local/share/clavero")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data() == Path("/h/.local/share/clavero")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert default_data() == Path("/x/clavero")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--region", "mars"], "region must be"),
        (["--account", "12"], "account must be"),
        (["--principal", "me"], "principal must be"),
        (["--principal", "arn:aws:iam::111122223333:root", "--account", "000000000000"], "not of"),
        (["--unseal", "hunter2"], "--unseal takes"),
        (["--unseal", "env:"], "--unseal takes"),
        (["--unseal", "command:'"], "cannot be read"),
        (["--output", "xml"], "xml"),
        (["--colour"], "--colour"),
    ],
)
def test_nonsense_exits_with_2(cli, arguments, word):
    cli.key()
    refused = cli(*arguments, "key", "list", code=2)
    assert word in refused.err
    assert refused.out == b""


def test_a_mistaken_unseal_option_is_not_repeated(cli):
    assert "hunter2" not in cli("--unseal", "hunter2", "key", "create", code=2).err


def test_a_store_in_use(cli):
    with clavero.KMS(cli.data):
        assert "is already open in this process" in cli("key", "list", code=1).err


def test_a_wrong_root_key(cli, tmp_path):
    cli.key()
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(b"w" * 32)
    wrong.chmod(0o600)
    refused = cli("--unseal", f"key-file:{wrong}", "key", "list", code=1).err
    assert "it was sealed under another root key" in refused
    cli("key", "list")


def test_a_database_of_something_else(cli):
    cli.data.mkdir(mode=0o700)
    (cli.data / "clavero.db").write_bytes(b"not a database at all")
    assert "is not a SQLite database" in cli("key", "list", code=1).err


def test_a_folder_that_is_none(cli):
    cli.data.write_bytes(b"")
    cli("key", "list", code=1)
    cli("key", "create", code=1)


def test_a_damaged_audit_file(cli):
    cli.key()
    (cli.data / "audit.jsonl").unlink()
    (cli.data / "audit.jsonl").mkdir()
    assert "audit file" in cli("key", "list", code=1).err


# --- unsealing -----------------------------------------------------------------------------------


def test_a_key_file_elsewhere(cli, tmp_path):
    where = ["--unseal", f"key-file:{tmp_path / 'root'}"]
    cli("key", "create", *where)
    assert (tmp_path / "root").stat().st_size == 32
    assert not (cli.data / "root.key").exists()
    cli("key", "list", *where)
    assert "root.key is missing" in cli("key", "list", code=1).err


def test_a_passphrase_from_the_environment(cli):
    secret = {"CLAVERO_PASSPHRASE": "correct horse"}
    cli("--unseal", "passphrase", "key", "create", **secret)
    assert (cli.data / "root.salt").exists()
    # The salt tells that it was a passphrase.
    cli("key", "list", **secret)
    refused = cli("key", "list", code=1, CLAVERO_PASSPHRASE="wrong horse")
    assert "does not open the store" in refused.err
    assert "wrong horse" not in refused.err


def test_the_passphrase_is_not_left_in_the_environment(cli, monkeypatch):
    monkeypatch.setenv("CLAVERO_PASSPHRASE", "correct horse")
    cli("--unseal", "passphrase", "key", "create")
    assert "CLAVERO_PASSPHRASE" not in os.environ


def test_a_short_passphrase(cli):
    refused = cli("--unseal", "passphrase", "key", "create", code=1, CLAVERO_PASSPHRASE="short")
    assert "at least 8 bytes" in refused.err


def test_a_new_passphrase_is_asked_for_twice(cli, monkeypatch):
    answers = ["correct horse", "correct hose", "correct horse", "correct horse", "correct horse"]
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: answers.pop(0))
    assert "differ" in cli("--unseal", "passphrase", "key", "create", code=1).err
    assert not cli.data.exists()
    cli("--unseal", "passphrase", "key", "create")
    cli("key", "list")
    assert not answers


def test_without_a_terminal_nothing_is_read_as_a_passphrase(run_python, tmp_path):
    program = (
        "import os, sys; os.setsid(); sys.argv[1:] = ['--data', sys.argv[1], '--unseal',"
        "'passphrase', 'key', 'create']; from clavero.cli import main; main()"
    )
    done = run_python("-c", program, str(tmp_path / "data"))
    assert done.returncode == 1
    assert "There is no terminal to ask for the passphrase" in done.stderr


def test_a_passphrase_file(cli, tmp_path):
    file = tmp_path / "phrase"
    file.write_text("correct horse\n")
    file.chmod(0o644)
    where = ["--unseal", f"passphrase-file:{file}"]
    assert "chmod 600" in cli("key", "create", *where, code=1).err
    file.chmod(0o600)
    cli("key", "create", *where)
    cli("key", "list", CLAVERO_PASSPHRASE="correct horse")
    assert "No such file" in cli("--unseal", "passphrase-file:/nope", "key", "list", code=1).err


def test_an_environment_variable(cli):
    cli("--unseal", "env:ROOT", "key", "create", ROOT="ab" * 32)
    cli("--unseal", "env:ROOT", "key", "list", ROOT="ab" * 32)
    assert "not set" in cli("--unseal", "env:ROOT", "key", "list", code=1).err


def test_a_command(cli, tmp_path):
    file = tmp_path / "key.hex"
    file.write_text("cd" * 32)
    cli("--unseal", f"command:cat {shlex.quote(str(file))}", "key", "create")
    cli("key", "list", CLAVERO_UNSEAL=f"command:cat {shlex.quote(str(file))}")
    assert "gave no root key" in cli("--unseal", "command:false", "key", "list", code=1).err


# --- running it ----------------------------------------------------------------------------------


def test_status(cli):
    cli.key()
    status = cli.json("status")
    assert status["data"] == str(cli.data)
    assert status["domains"] == {"us-east-1": 1}
    assert "memory" in cli("status").text


def test_domain_keys_are_rotated(cli):
    key_id = cli.key()
    cli.key("--region", "eu-west-1")
    blob = cli("encrypt", "--key", key_id, stdin=b"x").out
    assert cli.json("rotate-domain-keys") == {
        "regions": ["eu-west-1", "us-east-1"], "old_keys_dropped": 2,
    }  # fmt: skip
    assert cli.json("rotate-domain-keys", "--region", "eu-west-1")["regions"] == ["eu-west-1"]
    assert cli("decrypt", stdin=blob).out == b"x"
    assert "has no keys" in cli("rotate-domain-keys", "--region", "sa-east-1", code=1).err


def test_version(cli):
    assert cli.json("version")["clavero"] == clavero.__version__
    assert clavero.__version__ in cli("version").text
    assert not cli.data.exists()


def test_without_a_command_there_is_help(cli):
    assert "Usage" in cli(code=2).text + cli(code=2).err


# --- the process ---------------------------------------------------------------------------------


def test_the_module_is_the_command(run_python, tmp_path):
    done = run_python("-m", "clavero", "--data", str(tmp_path / "no"), "key", "list")
    assert done.returncode == 1
    assert done.stderr.startswith("clavero: There is no store")
    assert done.stdout == ""
    done = run_python("-m", "clavero", "version", "--output", "json")
    assert json.loads(done.stdout)["clavero"] == clavero.__version__


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_process_writes_no_core_and_lets_nobody_attach(run_python):
    program = (
        "import ctypes, resource, sys\n"
        "from clavero.cli import main\n"
        "before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"  # PR_GET_DUMPABLE
        "sys.argv[1:] = ['version']\n"
        "try:\n    main()\n"
        "except SystemExit: pass\n"
        "print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),"
        "      *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert run_python("-c", program).stdout.splitlines()[-1] == "1 0 0 0"


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(run_python, package):
    program = f"import sys; sys.modules[{package!r}] = None; from clavero.cli import main; main()"
    done = run_python("-c", program)
    assert done.returncode == 1
    assert done.stderr == (
        f"clavero: the command line needs {package}: run pip install 'clavero[cli]'. "
        "The library works without it.\n"
    )


def test_a_reader_that_leaves_is_no_error(tmp_path):
    import subprocess

    environment = {**os.environ, "CLAVERO_DATA": str(tmp_path / "data")}
    subprocess.run(
        [sys.executable, "-m", "clavero", "key", "create"],
        env=environment, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "clavero", "key", "list"],
            env=environment, check=False, stdout=pipe, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    assert b"Traceback" not in done.stderr
