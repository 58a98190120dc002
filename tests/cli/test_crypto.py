"""`clavero encrypt`, `decrypt`, `re-encrypt`, `data-key`, `random`."""

from __future__ import annotations

import base64
import stat

import pytest

import clavero


@pytest.fixture
def key(cli):
    return cli.key("--alias", "alias/app")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_round_trip_through_pipes(cli, key):
    blob = cli("encrypt", "--key", "alias/app", "--context", "a=b=c", stdin=b"\x00secret\n").out
    assert blob.count(b"\n") == 1
    assert cli("decrypt", "--context", "a=b=c", stdin=blob).out == b"\x00secret\n"


def test_round_trip_through_files(cli, key, tmp_path):
    plain, sealed, back = (tmp_path / name for name in ("plain", "sealed", "back"))
    plain.write_bytes(b"x" * 4096)
    assert cli("encrypt", str(plain), "--key", key, "--out", str(sealed), "--raw").out == b""
    assert len(sealed.read_bytes()) == 4096 + 64
    assert cli("decrypt", str(sealed), "--raw", "--out", str(back)).out == b""
    assert back.read_bytes() == plain.read_bytes()
    assert mode(back) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "data", "plain", "sealed"]


def test_an_existing_file_is_replaced_and_narrowed(cli, key, tmp_path):
    back = tmp_path / "back"
    back.write_bytes(b"old")
    back.chmod(0o644)
    blob = cli("encrypt", "--key", key, stdin=b"new").out
    cli("decrypt", "--out", str(back), stdin=blob)
    assert (back.read_bytes(), mode(back)) == (b"new", 0o600)


def test_output_may_go_to_a_device(cli, key):
    blob = cli("encrypt", "--key", key, stdin=b"new").out
    assert cli("decrypt", "--out", "/dev/null", stdin=blob).out == b""


def test_json_has_awss_members(cli, key, tmp_path):
    answer = cli.json("encrypt", "--key", key, stdin=b"hello")
    assert sorted(answer) == ["CiphertextBlob", "EncryptionAlgorithm", "KeyId"]
    back = cli.json("decrypt", stdin=answer["CiphertextBlob"].encode())
    assert base64.b64decode(back["Plaintext"]) == b"hello"
    assert back["KeyId"] == answer["KeyId"]
    out = tmp_path / "blob"
    rest = cli.json("encrypt", "--key", key, "--out", str(out), stdin=b"hello")
    assert "CiphertextBlob" not in rest
    assert cli("decrypt", str(out)).out == b"hello"


@pytest.mark.parametrize("command", ["encrypt", "re-encrypt", "random"])
def test_bytes_are_no_json(cli, key, command):
    arguments = [] if command == "random" else ["--key", key]
    refused = cli(command, *arguments, "--raw", "--output", "json", code=2)
    assert "--out" in refused.err
    assert refused.out == b""


def test_more_than_4096_bytes_go_under_a_data_key(cli, key):
    refused = cli("encrypt", "--key", key, stdin=b"x" * 4097, code=1)
    assert "envelope" in refused.err
    assert refused.out == b""


def test_nothing_is_no_plaintext_and_no_ciphertext(cli, key):
    assert "empty" in cli("encrypt", "--key", key, code=1).err
    assert "empty" in cli("decrypt", stdin=b" \n", code=1).err


@pytest.mark.parametrize(
    ("stdin", "arguments", "word"),
    [
        (b"no base64!", [], "base64"),
        (b"QUJD", [], "(InvalidCiphertextException)"),
        (b"x" * 100, ["--raw"], "(InvalidCiphertextException)"),
        (b"A" * 20_000, [], "too long"),
        (b"x" * 7000, ["--raw"], "too long"),
    ],
)
def test_what_is_no_blob_is_refused(cli, key, stdin, arguments, word):
    refused = cli("decrypt", *arguments, stdin=stdin, code=1)
    assert word in refused.err
    assert refused.out == b""


def test_the_context_and_the_key_must_be_right(cli, key):
    other = cli.key()
    blob = cli("encrypt", "--key", key, "--context", "a=b", stdin=b"x").out
    for wrong in ([], ["--context", "a=c"], ["--context", "a=b", "--context", "c=d"]):
        refused = cli("decrypt", *wrong, stdin=blob, code=1).err
        assert refused.startswith(
            "An error occurred (InvalidCiphertextException) when calling the Decrypt operation: ("
        )
    right = ["decrypt", "--context", "a=b"]
    assert "(IncorrectKeyException)" in cli(*right, "--key", other, stdin=blob, code=1).err
    assert cli(*right, "--key", key, stdin=blob).out == b"x"


def test_a_missing_file_is_one_line(cli, key, tmp_path):
    missing = str(tmp_path / "missing")
    for command in (["encrypt", missing, "--key", key], ["decrypt", missing]):
        assert cli(*command, code=1).err == f"clavero: {missing}: No such file or directory\n"
    assert "Is a directory" in cli("encrypt", str(tmp_path), "--key", key, code=1).err
    blob = cli("encrypt", "--key", key, stdin=b"x").out
    target = str(tmp_path / "no" / "folder")
    assert "No such file" in cli("decrypt", "--out", target, stdin=blob, code=1).err


def test_re_encrypt(cli, key):
    other = cli.key()
    blob = cli("encrypt", "--key", key, "--context", "a=b", stdin=b"x").out
    moved = cli(
        "re-encrypt", "--key", other, "--source-key", key,
        "--context", "a=b", "--destination-context", "c=d",
        stdin=blob,
    ).out  # fmt: skip
    assert cli("decrypt", "--key", other, "--context", "c=d", stdin=moved).out == b"x"
    answer = cli.json("re-encrypt", "--key", other, "--context", "a=b", stdin=blob)
    assert answer["SourceKeyId"].endswith(key)
    assert answer["KeyId"].endswith(other)
    assert (
        "(InvalidCiphertextException)" in cli("re-encrypt", "--key", other, stdin=blob, code=1).err
    )


def test_data_keys(cli, key):
    answer = cli.json("data-key", "--key", key, "--context", "a=b")
    opened = cli("decrypt", "--context", "a=b", stdin=answer["CiphertextBlob"].encode()).out
    assert base64.b64decode(answer["Plaintext"]) == opened
    assert len(opened) == 32
    for arguments, size in ((["--spec", "AES_128"], 16), (["--bytes", "64"], 64)):
        answer = cli.json("data-key", "--key", key, *arguments)
        assert len(base64.b64decode(answer["Plaintext"])) == size
    lines = cli("data-key", "--key", key).text.splitlines()
    assert [line.split()[0] for line in lines] == [
        "CiphertextBlob", "Plaintext", "KeyId", "KeyMaterialId",
    ]  # fmt: skip


def test_a_data_key_without_plaintext(cli, key):
    answer = cli.json("data-key", "--key", key, "--without-plaintext")
    assert "Plaintext" not in answer
    assert len(cli("decrypt", stdin=answer["CiphertextBlob"].encode()).out) == 32


def test_a_data_key_in_files(cli, key, tmp_path):
    plain, blob = tmp_path / "plain", tmp_path / "blob"
    answer = cli.json(
        "data-key", "--key", key, "--raw", "--out", str(blob), "--plaintext-out", str(plain)
    )
    assert sorted(answer) == ["KeyId", "KeyMaterialId"]
    assert cli("decrypt", str(blob), "--raw").out == plain.read_bytes()
    assert mode(plain) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ["--spec", "AES_256", "--bytes", "32"],
        ["--spec", "RSA"],
        ["--without-plaintext", "--plaintext-out", "x"],
        ["--raw"],
    ],
)
def test_data_keys_of_nonsense(cli, key, arguments):
    assert cli("data-key", "--key", key, *arguments, code=2).out == b""


def test_a_data_key_of_no_size_is_awss_error(cli, key):
    assert "(ValidationException)" in cli("data-key", "--key", key, "--bytes", "2000", code=1).err


def test_random(cli, tmp_path):
    one, two = cli("random").text, cli("random").text  # without a store
    assert one != two
    assert len(base64.b64decode(one)) == 32
    assert not cli.data.exists()
    cli.key()
    assert len(cli("random", "1024", "--raw").out) == 1024
    assert len(base64.b64decode(cli.json("random", "5")["Plaintext"])) == 5
    cli("random", "8", "--raw", "--out", str(tmp_path / "r"))
    assert (tmp_path / "r").stat().st_size == 8
    for size in ("0", "1025", "x"):
        cli("random", size, code=2)


def test_no_option_takes_a_plaintext(cli):
    assert "--plaintext " not in cli("encrypt", "--help").text


def test_the_library_opens_what_the_command_encrypted(cli, key):
    blob = cli("encrypt", "--key", key, stdin=b"x").out
    with clavero.KMS(cli.data) as kms:
        answer = kms.client().decrypt(CiphertextBlob=base64.b64decode(blob))
    assert answer["Plaintext"] == b"x"
