"""Seeds: what a KMS has after its start, what is refused, and that nothing is half applied."""

from __future__ import annotations

import base64
import hmac
import json
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from clavero import KMS, ManualClock, Quotas, SeedError
from clavero.clock import SystemClock

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
ID2 = "1234abcd-12ab-34cd-56ef-1234567890ac"
ARN = f"arn:aws:kms:us-east-1:000000000000:key/{ID}"
OLD, NEW = base64.b64encode(bytes(32)).decode(), "hex:" + "01" * 32
SYMMETRIC = {"id": ID, "material": [OLD, NEW]}


def seed(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys)}


@pytest.fixture(params=["in process", "boto3"])
def opened(request, checked):
    """Open a KMS with these keys; gives it and its checked client, over both entries."""
    with ExitStack() as stack:

        def make(*keys: dict[str, Any], path: Any = None, **options: Any) -> tuple[KMS, Any]:
            options.setdefault("clock", ManualClock())
            kms = stack.enter_context(KMS(path, seed=seed(*keys), **options))
            client = kms.client()
            if request.param == "boto3":
                client = kms.boto3_client()
                stack.callback(client.close)
            return kms, checked(client, beyond=kms.client())

        yield make


def refusal(*keys: Any, **options: Any) -> str:
    with pytest.raises(SeedError) as caught:
        KMS(seed=seed(*keys), **options)
    return str(caught.value)


def pem(key: Any, form: Any = serialization.PrivateFormat.PKCS8) -> str:
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


# --- what is there after the start ---------------------------------------------------------------


def test_a_key_has_what_the_seed_says_of_it(opened):
    everyone = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Statement": [everyone]})
    _, client = opened(
        {
            "id": ID,
            "aliases": ["alias/a", "alias/b"],
            "description": "of a seed",
            "policy": policy,
            "tags": {"team": "shop", "empty": ""},
            "rotation": 90,
        }
    )
    metadata = client.describe_key(KeyId="alias/b")["KeyMetadata"]
    assert metadata["Arn"] == ARN
    assert (metadata["Description"], metadata["Origin"]) == ("of a seed", "AWS_KMS")
    assert (metadata["KeyManager"], metadata["KeyState"]) == ("CUSTOMER", "Enabled")
    assert client.get_key_policy(KeyId=ID)["Policy"] == policy
    assert client.list_resource_tags(KeyId=ID)["Tags"] == [
        {"TagKey": "empty", "TagValue": ""},
        {"TagKey": "team", "TagValue": "shop"},
    ]
    status = client.get_key_rotation_status(KeyId=ID)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert status["NextRotationDate"] == metadata["CreationDate"] + timedelta(days=90)
    names = [each["AliasName"] for each in client.list_aliases(KeyId=ID)["Aliases"]]
    assert names == ["alias/a", "alias/b"]


def test_a_seeded_key_lives_as_any_other(opened):
    kms, client = opened({"id": ID, "rotation": 90, "material": [OLD]})
    before = client.describe_key(KeyId=ID)["KeyMetadata"]["CurrentKeyMaterialId"]
    blob = client.encrypt(KeyId=ID, Plaintext=b"text")["CiphertextBlob"]
    kms._clock.advance(90 * 86_400)
    assert client.describe_key(KeyId=ID)["KeyMetadata"]["CurrentKeyMaterialId"] != before
    assert client.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == before
    kms.rotate_domain_keys()
    kms.evict_idle_keys()
    kms.evict_idle_keys()
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"


def test_versions_are_listed_and_the_last_one_encrypts(opened):
    _, client = opened(SYMMETRIC)
    answer = client.list_key_rotations(KeyId=ID, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    first, second = answer["Rotations"]
    assert (first["KeyMaterialState"], second["KeyMaterialState"]) == ("NON_CURRENT", "CURRENT")
    assert second["RotationType"] == "AUTOMATIC"
    _, before = opened({"id": ID, "material": [OLD]})
    old = before.encrypt(KeyId=ID, Plaintext=b"old")
    answer = client.decrypt(CiphertextBlob=old["CiphertextBlob"])
    assert (answer["Plaintext"], answer["KeyMaterialId"]) == (b"old", first["KeyMaterialId"])
    new = client.generate_data_key(KeyId=ID, KeySpec="AES_256")
    assert new["KeyMaterialId"] == second["KeyMaterialId"]


def test_the_same_seed_opens_the_same_ciphertext_in_any_kms(opened, tmp_path):
    _, one = opened(SYMMETRIC)
    _, other = opened(SYMMETRIC, path=tmp_path / "data")
    _, differs = opened({"id": ID, "material": [OLD, OLD]})
    blob = one.encrypt(KeyId=ID, Plaintext=b"text", EncryptionContext={"a": "b"})["CiphertextBlob"]
    opened_there = other.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})
    assert opened_there["Plaintext"] == b"text"
    with pytest.raises(other.exceptions.InvalidCiphertextException):
        other.decrypt(CiphertextBlob=blob)
    with pytest.raises(differs.exceptions.InvalidCiphertextException):
        differs.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})


CURVES = {
    "ECC_NIST_P256": (ec.SECP256R1(), "ECDSA_SHA_256", hashes.SHA256()),
    "ECC_NIST_P384": (ec.SECP384R1(), "ECDSA_SHA_384", hashes.SHA384()),
    "ECC_NIST_P521": (ec.SECP521R1(), "ECDSA_SHA_512", hashes.SHA512()),
    "ECC_SECG_P256K1": (ec.SECP256K1(), "ECDSA_SHA_256", hashes.SHA256()),
}


@pytest.mark.parametrize("spec", CURVES)
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_private_key_in_pem_signs_as_cryptography_verifies(opened, spec, form):
    curve, algorithm, digest = CURVES[spec]
    private = ec.generate_private_key(curve)
    text = pem(private, getattr(serialization.PrivateFormat, form))
    _, client = opened({"id": ID, "spec": spec, "usage": "SIGN_VERIFY", "material": [text]})
    signed = client.sign(KeyId=ID, Message=b"m", SigningAlgorithm=algorithm)
    private.public_key().verify(signed["Signature"], b"m", ec.ECDSA(digest))


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_an_rsa_key_in_pem_opens_what_openssl_sealed(opened, form):
    private = rsa.generate_private_key(65537, 2048)
    text = pem(private, getattr(serialization.PrivateFormat, form))
    entry = {"id": ID, "spec": "RSA_2048", "usage": "ENCRYPT_DECRYPT", "material": [text]}
    _, client = opened(entry)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    sealed = private.public_key().encrypt(b"text", oaep)
    answer = client.decrypt(
        KeyId=ID, CiphertextBlob=sealed, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
    )
    assert answer["Plaintext"] == b"text"


def test_bytes_and_der_in_base64_are_material_too(opened):
    private = ed25519.Ed25519PrivateKey.generate()
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _, client = opened(
        {"id": ID, "spec": "ECC_NIST_EDWARDS25519", "usage": "SIGN_VERIFY",
         "material": [base64.b64encode(der).decode()]},
        {"id": ID2, "spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC",
         "material": [bytearray(b"k" * 32)]},
    )  # fmt: skip
    signed = client.sign(KeyId=ID, Message=b"m", SigningAlgorithm="ED25519_SHA_512")
    private.public_key().verify(signed["Signature"], b"m")
    mac = client.generate_mac(KeyId=ID2, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert mac == hmac.digest(b"k" * 32, b"m", "sha256")


def test_imported_keys_are_imported_or_wait(opened):
    _, client = opened(
        {"id": ID, "origin": "EXTERNAL", "material": [OLD]}, {"id": ID2, "origin": "EXTERNAL"}
    )
    metadata = client.describe_key(KeyId=ID)["KeyMetadata"]
    assert (metadata["Origin"], metadata["KeyState"]) == ("EXTERNAL", "Enabled")
    (listed,) = client.list_key_rotations(KeyId=ID, IncludeKeyMaterial="ALL_KEY_MATERIAL")[
        "Rotations"
    ]
    assert (listed["ImportState"], listed["ExpirationModel"]) == (
        "IMPORTED",
        "KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    client.encrypt(KeyId=ID, Plaintext=b"x")
    assert client.describe_key(KeyId=ID2)["KeyMetadata"]["KeyState"] == "PendingImport"


def test_imported_keys_can_have_been_rotated(opened):
    _, client = opened({"id": ID, "origin": "EXTERNAL", "material": [OLD, NEW]})
    answer = client.list_key_rotations(KeyId=ID, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    first, second = answer["Rotations"]
    assert (first["KeyMaterialState"], second["KeyMaterialState"]) == ("NON_CURRENT", "CURRENT")
    assert second["RotationType"] == "ON_DEMAND"
    assert first["ImportState"] == second["ImportState"] == "IMPORTED"


def test_accounts_and_regions_are_the_key_s_own_or_the_kms_s(opened):
    kms, client = opened(
        {"id": ID},
        {"id": ID2, "account": "111122223333", "region": "eu-west-1", "aliases": ["alias/x"]},
        account="999999999999",
        region="us-west-2",
    )
    arn = client.describe_key(KeyId=ID)["KeyMetadata"]["Arn"]
    assert arn == f"arn:aws:kms:us-west-2:999999999999:key/{ID}"
    other = kms.client(account="111122223333", region="eu-west-1")
    assert other.describe_key(KeyId="alias/x")["KeyMetadata"]["KeyId"] == ID2


def test_each_new_key_is_on_record_without_its_material(opened):
    kms, _ = opened({"id": ID, "enabled": False}, SYMMETRIC | {"id": ID2})
    records = kms.audit_records()
    assert [record["eventName"] for record in records[:2]] == ["SeedKey", "SeedKey"]
    assert records[0]["resources"][0]["ARN"] == ARN
    assert records[0]["eventType"] == "AwsServiceEvent"
    assert OLD not in json.dumps(records)


# --- again and again -----------------------------------------------------------------------------

FULL = {
    **SYMMETRIC,
    "aliases": ["alias/a"],
    "tags": {"a": "1"},
    "description": "d",
    "enabled": True,
    "rotation": 365,
}


def test_a_seed_that_is_applied_again_changes_nothing(opened, tmp_path):
    clock = ManualClock()
    kms, client = opened(FULL, {"id": ID2}, path=tmp_path, clock=clock)
    before = client.describe_key(KeyId=ID), client.list_aliases(), client.list_keys()["Keys"]
    blob = client.encrypt(KeyId=ID2, Plaintext=b"x")["CiphertextBlob"]
    kms.close()
    clock.advance(10)
    lines = len((tmp_path / "audit.jsonl").read_text().splitlines())
    kms, client = opened(FULL, {"id": ID2}, path=tmp_path, clock=clock)
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == lines
    after = client.describe_key(KeyId=ID), client.list_aliases(), client.list_keys()["Keys"]
    for one, other in zip(before, after, strict=True):
        for answer in (one, other):
            if isinstance(answer, dict):
                answer.pop("ResponseMetadata")
        assert one == other
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert kms.status()["loaded_keys"] == 1  # what was compared did not stay


def test_what_the_seed_does_not_name_may_change(opened, tmp_path):
    clock = ManualClock()
    plain = {**SYMMETRIC, "aliases": ["alias/a"], "tags": {"a": "1"}}
    kms, client = opened(plain, path=tmp_path, clock=clock)
    client.update_key_description(KeyId=ID, Description="changed")
    client.create_alias(AliasName="alias/b", TargetKeyId=ID)
    client.tag_resource(KeyId=ID, Tags=[{"TagKey": "b", "TagValue": "2"}])
    client.rotate_key_on_demand(KeyId=ID)
    client.disable_key(KeyId=ID)
    kms.close()
    _, client = opened(plain, {"id": ID2}, path=tmp_path, clock=clock)  # and one key more
    metadata = client.describe_key(KeyId=ID)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Description"]) == ("Disabled", "changed")
    assert {key["KeyId"] for key in client.list_keys()["Keys"]} == {ID, ID2}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC", "material": [OLD], "rotation": False},
         "spec"),
        ({"origin": "EXTERNAL", "rotation": False}, "origin"),
        ({"description": "other"}, "description"),
        ({"enabled": False}, "enabled"),
        ({"rotation": False}, "rotation"),
        ({"rotation": 100}, "rotation"),
        ({"policy": {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*",
                                   "Resource": "*"}}}, "policy"),
        ({"tags": {"a": "2"}}, "tags"),
        ({"tags": {"b": "1"}}, "tags"),
        ({"aliases": ["alias/a", "alias/b"]}, "aliases[1]"),
        ({"material": [NEW, OLD]}, "material[0]"),
        ({"material": [OLD, OLD]}, "material[1]"),
        ({"material": [OLD, NEW, OLD]}, "material[2]"),
    ],
)  # fmt: skip
def test_a_key_that_differs_refuses_the_start_and_changes_nothing(tmp_path, change, place):
    with KMS(tmp_path, seed=seed(FULL)) as kms:
        before = kms.client().describe_key(KeyId=ID)["KeyMetadata"]
    with pytest.raises(SeedError) as caught:
        KMS(tmp_path, seed=seed({"id": ID2, "aliases": ["alias/new"]}, FULL | change))
    text = str(caught.value)
    assert text.startswith(f"seed: keys[1].{place}: ")
    assert ID in text
    with KMS(tmp_path, seed=seed(FULL)) as kms:  # the folder is free, and as it was
        client = kms.client()
        assert client.describe_key(KeyId=ID)["KeyMetadata"] == before
        assert [key["KeyId"] for key in client.list_keys()["Keys"]] == [ID]


def test_an_alias_of_another_key_is_not_taken_from_it(tmp_path):
    with KMS(tmp_path) as kms:
        taken = kms.client().create_key()["KeyMetadata"]["KeyId"]
        kms.client().create_alias(AliasName="alias/a", TargetKeyId=taken)
    with pytest.raises(SeedError, match=r"keys\[0\]\.aliases\[0\]: alias/a stands for the key"):
        KMS(tmp_path, seed=seed({"id": ID, "aliases": ["alias/a"]}))
    with KMS(tmp_path) as kms:
        assert [key["KeyId"] for key in kms.client().list_keys()["Keys"]] == [taken]


def test_a_key_whose_material_was_made_here_is_not_the_seed_s(tmp_path):
    with KMS(tmp_path, seed=seed({"id": ID})):
        pass
    with pytest.raises(SeedError, match=r"material\[0\]: .*version 1 has other key material"):
        KMS(tmp_path, seed=seed({"id": ID, "material": [OLD]}))


def test_a_deleted_key_is_made_again(tmp_path):
    clock = ManualClock()
    with KMS(tmp_path, seed=seed(SYMMETRIC), clock=clock) as kms:
        blob = kms.client().encrypt(KeyId=ID, Plaintext=b"x")["CiphertextBlob"]
        kms.client().schedule_key_deletion(KeyId=ID, PendingWindowInDays=7)
    with KMS(tmp_path, seed=seed(SYMMETRIC), clock=clock) as kms:
        state = kms.client().describe_key(KeyId=ID)["KeyMetadata"]["KeyState"]
        assert state == "PendingDeletion"
        clock.advance(7 * 86_400)
        assert kms.client().list_keys()["Keys"] == []
    with KMS(tmp_path, seed=seed(SYMMETRIC), clock=clock) as kms:
        assert kms.client().decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# --- what is no seed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"materiel": []}, "keys[0].materiel: unknown member; did you mean material?"),
        ({"qqqq": 1}, "keys[0].qqqq: unknown member; known are account, aliases"),
        ({"id": "x"}, "keys[0].id: must be a lower-case UUID"),
        ({"id": 7}, "keys[0].id: must be a string, not a value of type int"),
        ({"account": "1"}, "keys[0].account: must be 12 digits"),
        ({"region": "mars"}, "keys[0].region: must be the name of an AWS Region"),
        ({"spec": "AES"}, "keys[0].spec: must be one of RSA_2048"),
        ({"spec": "SM2"}, "keys[0].usage: KeySpec SM2 is not supported"),
        ({"spec": "RSA_2048"}, "keys[0].usage: You must specify a KeyUsage value"),
        ({"usage": "SIGN_VERIFY"}, "keys[0].usage: KeyUsage SIGN_VERIFY is not compatible"),
        ({"origin": "AWS_CLOUDHSM"}, "keys[0].origin: must be AWS_KMS or EXTERNAL"),
        ({"multi_region": True}, "keys[0].multi_region: the ids of multi-Region keys"),
        ({"description": "x" * 8193}, "keys[0].description: 1 validation error detected"),
        ({"enabled": "yes"}, "keys[0].enabled: must be true or false"),
        ({"rotation": 89}, "keys[0].rotation: 1 validation error detected: Value '89'"),
        ({"rotation": True, "origin": "EXTERNAL"}, "keys[0].rotation: only symmetric keys"),
        ({"policy": "{"}, "keys[0].policy: The key policy is not valid JSON"),
        ({"policy": {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "kms:*",
          "Resource": "*"}]}}, "keys[0].policy: The new key policy will not allow you"),
        ({"policy": {"Statement": object()}}, "keys[0].policy: has values that are not of JSON"),
        ({"tags": {"aws:x": "1"}}, "keys[0].tags: Tags beginning with aws: are reserved"),
        ({"tags": {"x": 1}}, "keys[0].tags: NUMBER_VALUE can not be converted to a String"),
        ({"tags": {str(n): "" for n in range(51)}}, "keys[0].tags: Too many tags"),
        ({"aliases": "alias/x"}, "keys[0].aliases: must be a list of strings"),
        ({"aliases": ["x"]}, "keys[0].aliases[0]: Alias must start with the prefix"),
        ({"aliases": ["alias/aws/s3"]}, "keys[0].aliases[0]: alias/aws/s3 is not valid"),
        ({"aliases": [7]}, "keys[0].aliases[0]: NUMBER_VALUE can not be converted"),
        ({"aliases": ["alias/x", "alias/x"]}, "keys[0].aliases[1]: is there twice"),
        ({"aliases": [f"alias/{n}" for n in range(51)]}, "keys[0].aliases: Aliases per key quota"),
        ({"material": OLD}, "keys[0].material: must be a list of strings"),
        ({"material": [5]}, "keys[0].material[0]: must be base64 or PEM"),
        ({"material": ["@@"]}, "keys[0].material[0]: is neither base64 nor PEM"),
        ({"material": ["hex:0g"]}, "keys[0].material[0]: is neither base64 nor PEM"),
        ({"material": ["ä"]}, "keys[0].material[0]: is neither base64 nor PEM"),
        ({"material": [OLD, "AAAA"]}, "keys[0].material[1]: Key material of spec SYMMETRIC_DEFAULT"
         " has 32 bytes, not 3."),
        ({"spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC", "material": [OLD, NEW]},
         "keys[0].material: keys of spec HMAC_256 do not rotate"),
        ({"material": [], "origin": "EXTERNAL"}, "keys[0].material: is empty"),
        ({"enabled": True, "origin": "EXTERNAL"}, "keys[0].enabled: a key that waits"),
    ],
)  # fmt: skip
def test_what_no_key_can_be_is_refused_where_it_stands(entry, text):
    assert refusal({"id": ID, **entry}).startswith(f"seed: {text}")


def test_the_multi_region_ids_are_multi_region_keys_alone():
    assert "begin with mrk-" in refusal({"id": "mrk-" + "1" * 32, "multi_region": False})


def test_a_multi_region_key_of_a_seed_has_replicas(opened, tmp_path):
    mrk = {"id": "mrk-" + "1" * 32, "material": [OLD, NEW]}
    kms, client = opened(mrk, path=tmp_path / "kms")
    metadata = client.describe_key(KeyId=mrk["id"])["KeyMetadata"]
    assert metadata["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"
    blob = client.encrypt(KeyId=mrk["id"], Plaintext=b"x")["CiphertextBlob"]
    client.replicate_key(KeyId=mrk["id"], ReplicaRegion="eu-west-1")
    kms.close()
    kms, client = opened(mrk, path=tmp_path / "kms")  # the same seed still fits
    away = kms.client(region="eu-west-1")
    assert away.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_related_keys_are_not_made_by_seeds():
    mrk = {"id": "mrk-" + "1" * 32}
    text = refusal(mrk, {**mrk, "region": "eu-west-1"})
    assert text.startswith("seed: keys[1].id: mrk-")
    assert "make a replica of it there" in text


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"clients": []}, "seed: clients: unknown member; known are accounts, keys"),
        ({"keyz": []}, "seed: keyz: unknown member; did you mean keys?"),
        ({"keys": {}}, "seed: keys: must be a list"),
        ({"keys": [1]}, "seed: keys[0]: must be an object with members, not a value of type int"),
        ({"keys": [{}]}, "seed: keys[0]: id is missing: give the key id, a UUID"),
        (seed({"id": ID}, {"id": ID}), "seed: keys[1].id: is there twice: keys[0].id has it too"),
        (
            seed({"id": ID, "aliases": ["alias/x"]}, {"id": ID2, "aliases": ["alias/x"]}),
            "seed: keys[1].aliases[0]: is there twice: keys[0].aliases[0] has it too",
        ),
    ],
)
def test_documents_that_are_no_seed(document, text):
    with pytest.raises(SeedError) as caught:
        KMS(seed=document)
    assert str(caught.value) == text


def test_pem_that_is_no_private_key_of_the_spec():
    def told(material: str, spec: str = "ECC_NIST_P256") -> str:
        return refusal({"id": ID, "spec": spec, "usage": "SIGN_VERIFY", "material": [material]})

    key = ec.generate_private_key(ec.SECP256R1())
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    traditional = pem(key, serialization.PrivateFormat.TraditionalOpenSSL)
    assert "is encrypted PEM: decrypt it" in told(locked)
    assert "must have one private key in PEM" in told(public.decode())
    assert "must have one private key in PEM" in told(pem(key) + traditional)
    assert "label EC PRIVATE KEY, which is not for keys of spec RSA_2048" in told(
        traditional, "RSA_2048"
    )
    for wrong in (pem(key), traditional):
        assert "not the DER of a PKCS #8 private key of type P-384" in told(wrong, "ECC_NIST_P384")


def test_quotas_hold_for_seeds(tmp_path, refused):
    quotas = Quotas(keys=2, aliases=1, tags=1)
    three = [{"id": ID[:-1] + digit} for digit in "123"]
    with pytest.raises(SeedError, match="can have at most 2 KMS keys in a Region"):
        KMS(tmp_path, seed=seed(*three), quotas=quotas)
    with KMS(tmp_path, seed=seed(*three[:2]), quotas=quotas) as kms:
        refused("LimitExceededException", kms.client().create_key)
    assert "Too many tags" in refusal({"id": ID, "tags": {"a": "", "b": ""}}, quotas=quotas)
    names = {"id": ID, "aliases": ["alias/a", "alias/b"]}
    assert "Aliases per key quota" in refusal(names, quotas=quotas)


def test_a_refused_seed_leaves_no_key_and_no_material(tmp_path):
    """The last of three keys does not fit: the two before it are not there either."""
    wrong = {"id": ID[:-1] + "9", "material": ["AAAA"]}
    with pytest.raises(SeedError, match=r"keys\[2\]\.material\[0\]"):
        KMS(tmp_path, seed=seed(SYMMETRIC, {"id": ID2}, wrong))
    with KMS(tmp_path) as kms:
        assert kms.client().list_keys()["Keys"] == []
        assert kms.status()["loaded_keys"] == 0


def test_no_text_of_a_refusal_has_the_material():
    secret = base64.b64encode(b"s" * 31).decode()
    for material in (secret, secret + "@", "hex:" + "7373" * 40 + "g", f"-----BEGIN {secret}"):
        text = refusal({"id": ID, "material": [material]})
        assert secret not in text
        assert "7373" not in text


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "toml", "yaml"])
def test_a_file_is_toml_by_its_name_and_json_else(tmp_path, kind):
    path = tmp_path / f"seed.{kind}"
    toml = f'[[keys]]\nid = "{ID}"\naliases = ["alias/x"]\n'
    path.write_text(
        toml if kind == "toml" else json.dumps(seed({"id": ID, "aliases": ["alias/x"]}))
    )
    for given in (path, str(path)):
        with KMS(seed=given) as kms:
            assert kms.client().describe_key(KeyId="alias/x")["KeyMetadata"]["KeyId"] == ID


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("s.json", b'{"keys": [', "s.json: line 1, column 11: this is not JSON"),
        ("s.json", b"\xff\xfe\xfd", "s.json: the file is not valid JSON in UTF-8"),
        ("s.json", b"[" * 100_000, "s.json: the file is not valid JSON in UTF-8"),
        ("s.json", b'{"keys": [], "keys": []}', "the member 'keys' is there twice in one object"),
        ("s.json", b"[]", "s.json: must be an object with members"),
        ("s.toml", b"keys = [", "s.toml: the file is not valid TOML in UTF-8"),
        ("s.toml", b"\xff", "s.toml: the file is not valid TOML in UTF-8"),
        ("s.toml", b"[[keys]]\nid = 2020-01-01", "s.toml: keys[0].id: must be a string"),
    ],
)
def test_files_that_are_no_seed(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SeedError) as caught:
        KMS(tmp_path / "data", seed=tmp_path / name)
    assert text in str(caught.value)
    assert not (tmp_path / "data").exists()  # it was refused before anything was made


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        KMS(seed=tmp_path / "missing.json")


@pytest.fixture
def kms_seed() -> dict[str, Any]:
    return seed({"id": ID, "aliases": ["alias/given"]})


def test_the_fixture_takes_a_seed(kms_client):
    assert kms_client.describe_key(KeyId="alias/given")["KeyMetadata"]["Arn"] == ARN


def test_a_large_seed_is_applied_quickly(tmp_path):
    """2,000 keys, made and then compared; a second or so on one core."""
    keys = [
        {"id": f"{number:08x}-0000-0000-0000-000000000000", "material": [OLD], "aliases":
         [f"alias/k{number}"]} for number in range(2_000)
    ]  # fmt: skip
    clock = SystemClock()
    for _ in range(2):
        begun = clock.now()
        with KMS(tmp_path, seed=seed(*keys)) as kms:
            assert clock.now() - begun < 20
            assert kms.client().describe_key(KeyId="alias/k1999")["KeyMetadata"]["Enabled"]
