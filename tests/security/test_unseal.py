"""Every way to give the root key, from Python: the store opens again with it and with no other."""

from __future__ import annotations

import base64
import os
import sys

import pytest

from clavero import KMS, Unseal, UnsealError, WrongRootKey

# Made here and not secret: test data for providers whose key somebody else keeps.
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def use(folder, unseal, blob=None):
    """Open with the provider; make a key and give a blob, or open the blob."""
    with KMS(folder, unseal=unseal) as kms:
        client = kms.client()
        if blob is not None:
            return client.decrypt(CiphertextBlob=blob)["Plaintext"]
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        return client.encrypt(KeyId=key_id, Plaintext=b"data")["CiphertextBlob"]


def reopens(folder, fingerprint, same, wrong):
    """With `same` providers the store opens, with a `wrong` one nothing is changed."""
    blob = use(folder, same())
    assert use(folder, same(), blob) == b"data"
    before = fingerprint(folder)
    unseal = wrong()
    with pytest.raises(WrongRootKey) as caught:
        use(folder, unseal, blob)
    assert unseal.description in str(caught.value)
    assert "Nothing was changed; give the right root key" in str(caught.value)
    assert fingerprint(folder) == before
    assert use(folder, same(), blob) == b"data"


def test_a_passphrase(folder, fingerprint, tmp_path):
    salt = tmp_path / "salt"
    reopens(
        folder,
        fingerprint,
        lambda: Unseal.passphrase("correct horse battery", salt),
        lambda: Unseal.passphrase("correct horse batterz", salt),
    )
    assert salt.stat().st_mode & 0o777 == 0o600
    assert not (folder / "root.key").exists()


def test_a_passphrase_may_be_text_or_bytes(folder, tmp_path):
    salt = tmp_path / "salt"
    blob = use(folder, Unseal.passphrase("päßwörter", salt))
    assert use(folder, Unseal.passphrase("päßwörter".encode(), salt), blob) == b"data"


@pytest.mark.parametrize("bad", ["", "short", b"1234567"])
def test_a_passphrase_that_is_too_short(folder, tmp_path, bad):
    with pytest.raises(UnsealError, match="at least 8 bytes"):
        KMS(folder, unseal=Unseal.passphrase(bad, tmp_path / "salt"))


@pytest.mark.parametrize("bad", [None, 12345678, ["a"] * 8])
def test_a_passphrase_that_is_no_text(tmp_path, bad):
    with pytest.raises(UnsealError, match="str or bytes"):
        Unseal.passphrase(bad, tmp_path / "salt")


def test_a_lost_salt_is_not_made_anew(folder, fingerprint, tmp_path):
    salt = tmp_path / "salt"
    use(folder, Unseal.passphrase("correct horse battery", salt))
    before = fingerprint(folder)
    salt.rename(tmp_path / "away")
    with pytest.raises(UnsealError, match=r"salt .* is missing"):
        KMS(folder, unseal=Unseal.passphrase("correct horse battery", salt))
    assert not salt.exists()
    assert fingerprint(folder) == before


@pytest.mark.parametrize("form", [bytes.hex, lambda key: base64.b64encode(key).decode()])
def test_an_environment_variable(folder, fingerprint, monkeypatch, form):
    monkeypatch.setenv("ROOT", form(KEY))
    monkeypatch.setenv("WRONG", form(OTHER))
    reopens(
        folder,
        fingerprint,
        lambda: Unseal.environment("ROOT"),
        lambda: Unseal.environment("WRONG"),
    )


@pytest.mark.parametrize("value", [None, "", "00" * 31, "zz" * 32, "00" * 33, "é" * 44])
def test_an_environment_variable_without_a_key(folder, monkeypatch, value):
    monkeypatch.delenv("ROOT", raising=False)
    if value is not None:
        monkeypatch.setenv("ROOT", value)
    with pytest.raises(UnsealError, match="ROOT") as caught:
        KMS(folder, unseal=Unseal.environment("ROOT"))
    if value:
        assert value not in str(caught.value)


def printing(text: str) -> list[str]:
    return [sys.executable, "-c", f"print({text!r})"]


def test_a_command(folder, fingerprint):
    reopens(
        folder,
        fingerprint,
        lambda: Unseal.command(printing(KEY.hex())),
        lambda: Unseal.command(printing(OTHER.hex())),
    )


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["no-such-program-anywhere"],
        printing(""),
        printing("not a key"),
        [sys.executable, "-c", "raise SystemExit(3)"],
        [sys.executable, "-c", "print('00' * 100_000)"],
        [sys.executable, "-c", f"print('{KEY.hex()}'); raise SystemExit(1)"],
    ],
    ids=["nothing", "missing", "empty", "text", "fails", "long", "key and failure"],
)
def test_a_command_that_gives_no_key(folder, argv):
    with pytest.raises(UnsealError) as caught:
        KMS(folder, unseal=Unseal.command(argv))
    assert KEY.hex() not in str(caught.value)


def test_a_command_is_run_without_a_shell(folder, tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(UnsealError):
        KMS(folder, unseal=Unseal.command([f"touch {mark}; echo"]))
    with pytest.raises(UnsealError):
        KMS(folder, unseal=Unseal.command(["echo", f"$(touch {mark})"]))
    assert not mark.exists()


def test_a_key_file_elsewhere(folder, fingerprint, tmp_path):
    other = tmp_path / "other.key"
    other.touch(mode=0o600)
    other.write_bytes(OTHER)
    reopens(
        folder,
        fingerprint,
        lambda: Unseal.key_file(tmp_path / "keys.bin"),
        lambda: Unseal.key_file(other),
    )
    assert (tmp_path / "keys.bin").stat().st_size == 32
    assert not (folder / "root.key").exists()


def test_a_failed_first_opening_leaves_a_folder_that_can_be_opened(folder, tmp_path):
    with pytest.raises(UnsealError):
        KMS(folder, unseal=Unseal.environment("NOT_SET_ANYWHERE"))
    assert use(folder, None, use(folder, None)) == b"data"


def test_a_failed_first_opening_leaves_no_store(folder, tmp_path):
    """What another provider would then seal, unasked: a store meant for a passphrase stays that."""
    with pytest.raises(UnsealError):
        KMS(folder, unseal=Unseal.passphrase("short", tmp_path / "root.salt"))
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "root.salt").exists()


def test_descriptions_say_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOT", KEY.hex())
    for unseal in (
        Unseal.passphrase("correct horse battery", tmp_path / "salt"),
        Unseal.environment("ROOT"),
        Unseal.command([sys.executable, "-c", f"print('{KEY.hex()}')"]),
        Unseal.ephemeral(),
        Unseal.key_file(tmp_path / "k"),
    ):
        for text in (unseal.description, repr(unseal), str(unseal)):
            assert "correct horse" not in text
            assert KEY.hex() not in text
    assert os.environ["ROOT"] == KEY.hex()
