"""A store that somebody edited while it was closed: what was touched is refused, the rest works."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from clavero import KMS, UnsealError, WrongRootKey
from clavero._native import HsmError, InvalidDomainState, Unseal

OTHER_ACCOUNT, OTHER_REGION = "111122223333", "eu-west-1"


class Prepared:
    """A closed store: keys a and b of one account, c of another, d of another Region."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.ids: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        with KMS(folder) as kms:
            for name in "abcd":
                client = self.client(kms, name)
                self.ids[name] = client.create_key()["KeyMetadata"]["KeyId"]
                self.blobs[name] = client.encrypt(KeyId=self.ids[name], Plaintext=name.encode())[
                    "CiphertextBlob"
                ]

    def client(self, kms, name):
        return kms.client(
            account=OTHER_ACCOUNT if name == "c" else None,
            region=OTHER_REGION if name == "d" else None,
        )

    def hbkid(self, name):
        return self.blobs[name][4:20]

    def works(self, kms, name):
        client = self.client(kms, name)
        assert client.decrypt(CiphertextBlob=self.blobs[name])["Plaintext"] == name.encode()
        made = client.generate_data_key(KeyId=self.ids[name], KeySpec="AES_256")
        assert (
            client.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
        )
        assert client.describe_key(KeyId=self.ids[name])["KeyMetadata"]["KeyId"] == self.ids[name]

    def is_refused(self, kms, name):
        """By every operation that needs the key's material, and told what to do."""
        client = self.client(kms, name)
        for method, params in (
            (client.decrypt, {"CiphertextBlob": self.blobs[name]}),
            (client.decrypt_many, {"CiphertextBlobs": [self.blobs[name]]}),
            (client.encrypt, {"KeyId": self.ids[name], "Plaintext": b"x"}),
            (client.generate_data_key, {"KeyId": self.ids[name], "KeySpec": "AES_256"}),
            (
                client.generate_data_keys,
                {"KeyId": self.ids[name], "KeySpec": "AES_256", "NumberOfKeys": 2},
            ),
        ):
            with pytest.raises(client.exceptions.KMSInternalException) as caught:
                method(**params)
            text = caught.value.response["Error"]["Message"]
            assert self.ids[name] in text
            assert "estore the store from a backup" in text


@pytest.fixture
def prepared(folder):
    return Prepared(folder)


def test_nothing_is_refused_in_a_store_that_nobody_edited(prepared):
    with KMS(prepared.folder) as kms:
        for name in "abcd":
            prepared.works(kms, name)


@pytest.mark.parametrize("pair", ["ab", "ac", "ad"], ids=["keys", "accounts", "Regions"])
def test_tokens_swapped(prepared, edit, pair):
    with edit(prepared.folder) as database:
        tokens = [
            database.execute(
                "SELECT token, domain_key_id FROM key_versions WHERE hbkid = ?",
                (prepared.hbkid(name),),
            ).fetchone()
            for name in pair
        ]
        for name, token in zip(pair, reversed(tokens), strict=True):
            database.execute(
                "UPDATE key_versions SET token = ?, domain_key_id = ? WHERE hbkid = ?",
                (*token, prepared.hbkid(name)),
            )
    with KMS(prepared.folder) as kms:
        for name in "abcd":
            (prepared.is_refused if name in pair else prepared.works)(kms, name)


def test_a_token_copied_over_another(prepared, edit):
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE key_versions SET token = (SELECT token FROM key_versions WHERE hbkid = ?) "
            "WHERE hbkid = ?",
            (prepared.hbkid("a"), prepared.hbkid("b")),
        )
    with KMS(prepared.folder) as kms:
        prepared.is_refused(kms, "b")
        for name in "acd":
            prepared.works(kms, name)


@pytest.mark.parametrize("position", [0, 1, 3, 4, 20, 36, 48, -1])
def test_one_byte_of_a_token_changed(prepared, edit, position):
    with edit(prepared.folder) as database:
        (token,) = database.execute(
            "SELECT token FROM key_versions WHERE hbkid = ?", (prepared.hbkid("a"),)
        ).fetchone()
        changed = bytearray(token)
        changed[position] ^= 1
        database.execute(
            "UPDATE key_versions SET token = ? WHERE hbkid = ?",
            (bytes(changed), prepared.hbkid("a")),
        )
    with KMS(prepared.folder) as kms:
        prepared.is_refused(kms, "a")
        prepared.works(kms, "b")


@pytest.mark.parametrize("token", [b"", b"x", bytes(112), b"\x01\x01\0\0" + bytes(60)], ids=repr)
def test_a_token_that_is_none(prepared, edit, token):
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE key_versions SET token = ? WHERE hbkid = ?", (token, prepared.hbkid("a"))
        )
    with KMS(prepared.folder) as kms:
        prepared.is_refused(kms, "a")
        prepared.works(kms, "b")


def test_where_a_key_comes_from_changed(prepared, edit):
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE keys SET origin = 'EXTERNAL' WHERE key_id = ?", (prepared.ids["a"],)
        )
    with KMS(prepared.folder) as kms:
        prepared.is_refused(kms, "a")
        prepared.works(kms, "b")


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("SYMMETRIC_DEFAULT", "SIGN_VERIFY"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ("HMAC_256", "ENCRYPT_DECRYPT"),
    ],
)
def test_what_a_key_is_for_changed(prepared, edit, spec, usage):
    """Its material does not become another kind's: no MAC under an encryption key's bytes."""
    key_id, blob = prepared.ids["a"], prepared.blobs["a"]
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE keys SET spec = ?, usage = ? WHERE key_id = ?", (spec, usage, key_id)
        )
    with KMS(prepared.folder) as kms:
        client = kms.client()
        mac = {"KeyId": key_id, "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
        for method, params in (
            (client.decrypt, {"CiphertextBlob": blob}),
            (client.decrypt_many, {"CiphertextBlobs": [blob]}),
            (client.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
            (client.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
            (client.generate_mac, mac),
            (client.verify_mac, {**mac, "Mac": bytes(32)}),
        ):
            with pytest.raises(client.exceptions.ClientError):
                method(**params)
        prepared.works(kms, "b")


def test_a_key_moved_to_another_account(prepared, edit):
    """The new owner cannot use it, and the old one has it no more."""
    with edit(prepared.folder) as database:
        database.execute("PRAGMA foreign_keys=OFF")
        for table in ("keys", "key_versions"):
            database.execute(
                f"UPDATE {table} SET account = ? WHERE key_id = ?",
                (OTHER_ACCOUNT, prepared.ids["a"]),
            )
        database.execute(  # what the edited policy allows does not matter either
            "UPDATE keys SET policy = replace(policy, ?, ?) WHERE key_id = ?",
            ("000000000000", OTHER_ACCOUNT, prepared.ids["a"]),
        )
    with KMS(prepared.folder) as kms:
        thief = kms.client(account=OTHER_ACCOUNT)
        with pytest.raises(thief.exceptions.KMSInternalException, match="Restore the store"):
            thief.decrypt(CiphertextBlob=prepared.blobs["a"])
        with pytest.raises(thief.exceptions.KMSInternalException, match="Restore the store"):
            thief.encrypt(KeyId=prepared.ids["a"], Plaintext=b"x")
        client = kms.client()
        with pytest.raises(client.exceptions.NotFoundException):
            client.describe_key(KeyId=prepared.ids["a"])
        for name in "bcd":
            prepared.works(kms, name)


def test_a_key_s_current_version_pointed_at_another_key_s(prepared, edit):
    """The other key keeps its version, whichever of the two is used first."""
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE keys SET current_version = ? WHERE key_id = ?",
            (prepared.hbkid("b"), prepared.ids["a"]),
        )
    for first in "ab":
        with KMS(prepared.folder) as kms:
            if first == "b":
                prepared.works(kms, "b")
            prepared.is_refused(kms, "a")
            for name in "bcd":
                prepared.works(kms, name)


def test_a_version_given_to_another_key(prepared, edit):
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE key_versions SET key_id = ?, number = 2 WHERE hbkid = ?",
            (prepared.ids["b"], prepared.hbkid("a")),
        )
    with KMS(prepared.folder) as kms:
        client = kms.client()
        for method, params in (
            (client.decrypt, {"CiphertextBlob": prepared.blobs["a"]}),
            (client.encrypt, {"KeyId": prepared.ids["a"], "Plaintext": b"x"}),
        ):
            with pytest.raises(client.exceptions.KMSInternalException, match="from a backup"):
                method(**params)
        for name in "bcd":
            prepared.works(kms, name)


def test_an_hbkid_renamed(prepared, edit):
    invented = bytes(range(16))
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE key_versions SET hbkid = ? WHERE hbkid = ?", (invented, prepared.hbkid("a"))
        )
        database.execute(
            "UPDATE keys SET current_version = ? WHERE key_id = ?", (invented, prepared.ids["a"])
        )
    with KMS(prepared.folder) as kms:
        client = kms.client()
        with pytest.raises(client.exceptions.InvalidCiphertextException):
            client.decrypt(CiphertextBlob=prepared.blobs["a"])
        with pytest.raises(client.exceptions.KMSInternalException, match="Restore the store"):
            client.encrypt(KeyId=prepared.ids["a"], Plaintext=b"x")
        prepared.works(kms, "b")


def test_the_material_id_follows_from_the_version_whatever_the_row_says(prepared, edit):
    with edit(prepared.folder) as database:
        database.execute("UPDATE key_versions SET material_id = ?", ("0" * 64,))
    with KMS(prepared.folder) as kms:
        opened = kms.client().decrypt(CiphertextBlob=prepared.blobs["a"])
        assert opened["KeyMaterialId"] != "0" * 64


def test_a_single_region_key_that_a_row_says_is_a_multi_region_key(prepared, edit):
    """Its token says otherwise: it works no more, and it does not leave its Region."""
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE keys SET multi_region = 1, primary_region = region WHERE key_id = ?",
            (prepared.ids["a"],),
        )
    with KMS(prepared.folder) as kms:
        client = kms.client()
        metadata = client.describe_key(KeyId=prepared.ids["a"])["KeyMetadata"]
        assert metadata["MultiRegion"] is True
        with pytest.raises(client.exceptions.KMSInternalException, match="Restore the store"):
            client.replicate_key(KeyId=prepared.ids["a"], ReplicaRegion=OTHER_REGION)
        prepared.is_refused(kms, "a")
        for name in "bcd":
            prepared.works(kms, name)
        listed = kms.client(region=OTHER_REGION).list_keys()["Keys"]
        assert [each["KeyId"] for each in listed] == [prepared.ids["d"]]
        # Nor does the material go with newer material that is a multi-Region key's
        client.rotate_key_on_demand(KeyId=prepared.ids["a"])
        with pytest.raises(client.exceptions.KMSInternalException, match="Restore the store"):
            client.replicate_key(KeyId=prepared.ids["a"], ReplicaRegion=OTHER_REGION)


def test_a_single_region_key_s_rows_copied_to_another_region(prepared, edit):
    """As a replica of its own, with its token: that opens under its own Region's key alone."""
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE keys SET multi_region = 1, primary_region = region WHERE key_id = ?",
            (prepared.ids["a"],),
        )
        for table in ("keys", "key_versions"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            others = ", ".join(name for name in columns if name != "region")
            database.execute(
                f"INSERT INTO {table} (region, {others}) SELECT ?, {others} FROM {table} "
                "WHERE key_id = ?",
                (OTHER_REGION, prepared.ids["a"]),
            )
    with KMS(prepared.folder) as kms:
        away = kms.client(region=OTHER_REGION)
        for method, params in (
            (away.decrypt, {"CiphertextBlob": prepared.blobs["a"]}),
            (away.encrypt, {"KeyId": prepared.ids["a"], "Plaintext": b"x"}),
        ):
            with pytest.raises(away.exceptions.KMSInternalException, match="Restore the store"):
                method(**params)
        prepared.works(kms, "d")


def test_a_multi_region_key_that_a_row_says_is_a_single_region_key(folder, edit):
    with KMS(folder) as kms:
        made = kms.client().create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        kms.client().replicate_key(KeyId=made, ReplicaRegion=OTHER_REGION)
    with edit(folder) as database:
        database.execute(
            "UPDATE keys SET multi_region = 0, primary_region = NULL WHERE region = ?",
            (OTHER_REGION,),
        )
    with KMS(folder) as kms:
        away = kms.client(region=OTHER_REGION)
        with pytest.raises(away.exceptions.KMSInternalException, match="Restore the store"):
            away.encrypt(KeyId=made, Plaintext=b"x")
        assert kms.client().encrypt(KeyId=made, Plaintext=b"x")


# --- domains -------------------------------------------------------------------------------------


def assert_does_not_open(folder, fingerprint, kind, *texts):
    """Opening fails with this error, says these words, and changes no file."""
    before = fingerprint(folder)
    with pytest.raises(kind) as caught:
        KMS(folder)
    for text in texts:
        assert text in str(caught.value)
    assert fingerprint(folder) == before


@pytest.mark.parametrize("position", [0, 20, 36, 48, -1])
def test_one_byte_of_a_domain_state_changed(prepared, edit, fingerprint, position):
    with edit(prepared.folder) as database:
        (state,) = database.execute(
            "SELECT state FROM domains WHERE region = 'us-east-1'"
        ).fetchone()
        changed = bytearray(state)
        changed[position] ^= 1
        database.execute("UPDATE domains SET state = ? WHERE region = 'us-east-1'", (changed,))
    assert_does_not_open(prepared.folder, fingerprint, InvalidDomainState, "us-east-1")
    with edit(prepared.folder) as database:
        database.execute("UPDATE domains SET state = ? WHERE region = 'us-east-1'", (state,))
    with KMS(prepared.folder) as kms:
        prepared.works(kms, "a")


def test_domain_states_of_two_regions_swapped(prepared, edit, fingerprint):
    with edit(prepared.folder) as database:
        states = dict(database.execute("SELECT region, state FROM domains").fetchall())
        regions = list(states)
        for region, other in zip(regions, reversed(regions), strict=True):
            database.execute(
                "UPDATE domains SET state = ? WHERE region = ?", (states[other], region)
            )
    assert_does_not_open(prepared.folder, fingerprint, InvalidDomainState, "Region")


def test_a_domain_s_version_changed(prepared, edit, fingerprint):
    with edit(prepared.folder) as database:
        database.execute("UPDATE domains SET version = 7")
    assert_does_not_open(
        prepared.folder,
        fingerprint,
        InvalidDomainState,
        "is version 1, but the store says 7",
        "restore it from a backup",
    )


def test_a_domain_rolled_back_to_before_a_rotation(prepared, edit):
    """Whole rows of the past open, but tokens of the present do not: clear, and nothing is lost."""
    with edit(prepared.folder) as database:
        old = database.execute("SELECT version, state FROM domains WHERE region = 'us-east-1'")
        version, state = old.fetchone()
    with KMS(prepared.folder) as kms:
        kms.rotate_domain_keys("us-east-1")
        present = prepared.folder / "clavero.db"
    copy = present.read_bytes()
    with edit(prepared.folder) as database:
        database.execute(
            "UPDATE domains SET version = ?, state = ? WHERE region = 'us-east-1'", (version, state)
        )
    with KMS(prepared.folder) as kms:
        prepared.is_refused(kms, "a")
        prepared.works(kms, "d")
    present.write_bytes(copy)
    with KMS(prepared.folder) as kms:
        prepared.works(kms, "a")


def test_a_domain_key_that_a_token_needs_does_not_go(prepared, edit):
    """A token that could not be re-wrapped keeps its domain key; put right, it opens again."""
    with edit(prepared.folder) as database:
        (token,) = database.execute(
            "SELECT token FROM key_versions WHERE hbkid = ?", (prepared.hbkid("a"),)
        ).fetchone()
        damaged = token[:-1] + bytes([token[-1] ^ 1])
        replace = "UPDATE key_versions SET token = ? WHERE hbkid = ?"
        database.execute(replace, (damaged, prepared.hbkid("a")))
    with KMS(prepared.folder) as kms:
        assert kms.rotate_domain_keys("us-east-1") == 0
        assert len(kms._hsm.domain_keys("us-east-1")) == 2
        assert kms.rotate_domain_keys("us-east-1") == 1  # the one in between, which no token needs
        prepared.is_refused(kms, "a")
        for name in "bcd":
            prepared.works(kms, name)
    with edit(prepared.folder) as database:
        database.execute(replace, (token, prepared.hbkid("a")))
    with KMS(prepared.folder) as kms:
        prepared.works(kms, "a")
        assert kms.rotate_domain_keys("us-east-1") == 2
        prepared.works(kms, "a")


def test_rotations_that_were_broken_off_do_not_pile_up(prepared, monkeypatch):
    """As by a kill between the new domain key and the re-wrap, as often as a domain holds keys."""
    with KMS(prepared.folder) as kms:
        with monkeypatch.context() as patch:
            patch.setattr(type(kms._maintenance), "_finish_rotation", lambda *_: 0)
            for _ in range(63):
                kms.rotate_domain_keys("us-east-1")
        assert len(kms._hsm.domain_keys("us-east-1")) == 64
    with KMS(prepared.folder) as kms:
        assert kms.rotate_domain_keys("us-east-1") == 64
        for name in "abcd":
            prepared.works(kms, name)


# --- the root key --------------------------------------------------------------------------------


def test_a_wrong_root_key(prepared, fingerprint):
    right = (prepared.folder / "root.key").read_bytes()
    (prepared.folder / "root.key").write_bytes(bytes(32))
    assert_does_not_open(
        prepared.folder,
        fingerprint,
        WrongRootKey,
        "root.key",
        "sealed under another root key",
        "Nothing was changed",
    )
    (prepared.folder / "root.key").write_bytes(right)
    with KMS(prepared.folder) as kms:
        for name in "abcd":
            prepared.works(kms, name)


def test_another_store_s_root_key(prepared, fingerprint, tmp_path):
    with KMS(tmp_path / "other") as kms:
        kms.client().create_key()
    shutil.copy(tmp_path / "other" / "root.key", prepared.folder / "root.key")
    assert_does_not_open(prepared.folder, fingerprint, WrongRootKey, "another root key")


def test_a_missing_root_key_is_not_made_anew(prepared, fingerprint):
    (prepared.folder / "root.key").rename(prepared.folder / "away")
    assert_does_not_open(prepared.folder, fingerprint, UnsealError, "root.key")
    assert not (prepared.folder / "root.key").exists()
    (prepared.folder / "away").rename(prepared.folder / "root.key")
    with KMS(prepared.folder) as kms:
        prepared.works(kms, "a")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_root_key_file_of_another_length(prepared, fingerprint, length):
    (prepared.folder / "root.key").write_bytes(b"k" * length)
    assert_does_not_open(prepared.folder, fingerprint, UnsealError, "root.key", "32")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_root_key_that_others_can_read(prepared, fingerprint, mode):
    (prepared.folder / "root.key").chmod(mode)
    assert_does_not_open(prepared.folder, fingerprint, UnsealError, "root.key", "600")


def test_a_root_key_behind_a_link_is_held_to_the_same_rules(prepared, tmp_path):
    """As a mounted secret is; what counts is the file at the end."""
    key, elsewhere = prepared.folder / "root.key", tmp_path / "elsewhere"
    key.rename(elsewhere)
    key.symlink_to(elsewhere)
    with KMS(prepared.folder) as kms:
        prepared.works(kms, "a")
    elsewhere.chmod(0o644)
    with pytest.raises(UnsealError, match="read or changed by others"):
        KMS(prepared.folder)
    elsewhere.unlink()
    with pytest.raises(UnsealError, match="missing"):
        KMS(prepared.folder)
    assert not elsewhere.exists()
    key.unlink()
    key.mkdir(mode=0o700)
    with pytest.raises(UnsealError, match=r"root\.key"):
        KMS(prepared.folder)


def test_the_root_key_file_is_its_owner_s_alone(folder):
    before = os.umask(0)
    try:
        KMS(folder).close()
    finally:
        os.umask(before)
    info = (folder / "root.key").stat()
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_size == 32


def test_an_empty_store_with_another_root_key_opens(folder):
    """Nothing was sealed yet, so that there is nothing that could be lost."""
    KMS(folder).close()
    (folder / "root.key").unlink()
    with KMS(folder) as kms:
        kms.client().create_key()


def test_an_unseal_that_does_not_fit_the_store(prepared, fingerprint):
    before = fingerprint(prepared.folder)
    with pytest.raises(WrongRootKey, match="another root key"):
        KMS(prepared.folder, unseal=Unseal.ephemeral())
    assert fingerprint(prepared.folder) == before
    assert issubclass(WrongRootKey, HsmError)
