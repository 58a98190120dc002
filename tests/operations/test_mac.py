"""GenerateMac and VerifyMac: HMAC as others compute it, and no other MAC verifies."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac

from clavero import KMS, ManualClock

HMACS = ["224", "256", "384", "512"]
HASHES = {
    "224": hashes.SHA224(),
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


@pytest.fixture(scope="module")
def seeded():
    """A KMS with a key of each spec whose material is known, and a boto3 client of it."""
    keys = [
        {
            "id": f"00000000-0000-4000-8000-000000000{bits}",
            "aliases": [f"alias/{bits}"],
            "spec": f"HMAC_{bits}",
            "usage": "GENERATE_VERIFY_MAC",
            "material": [f"hex:{material(bits).hex()}"],
        }
        for bits in HMACS
    ]
    with KMS(clock=ManualClock(), seed={"keys": keys}) as kms:
        boto3 = kms.boto3_client()
        yield {"in process": kms.client(), "boto3": boto3}
        boto3.close()


def material(bits: str) -> bytes:
    return bytes(range(int(bits) // 8))


@pytest.mark.parametrize("entry", ["in process", "boto3"])
@pytest.mark.parametrize("bits", HMACS)
@pytest.mark.parametrize("size", [1, 63, 64, 65, 127, 128, 129, 4096])
def test_pyca_makes_and_verifies_the_same_macs(seeded, checked, refused, entry, bits, size):
    client = checked(seeded[entry])
    message = bytes(n % 251 for n in range(size))
    call = {"KeyId": f"alias/{bits}", "Message": message, "MacAlgorithm": f"HMAC_SHA_{bits}"}

    def theirs() -> hmac.HMAC:
        made = hmac.HMAC(material(bits), HASHES[bits])
        made.update(message)
        return made

    mac = client.generate_mac(**call)["Mac"]
    theirs().verify(mac)
    assert client.verify_mac(**call, Mac=theirs().finalize())["MacValid"] is True
    other = mac[:-1] + bytes([mac[-1] ^ 1])
    with pytest.raises(InvalidSignature):
        theirs().verify(other)
    refused("KMSInvalidMacException", client.verify_mac, **call, Mac=other)


def asked(kept, bits, message=b"message"):
    key = kept.key(f"HMAC_{bits}", "GENERATE_VERIFY_MAC")
    return {"KeyId": key["KeyId"], "Message": message, "MacAlgorithm": f"HMAC_SHA_{bits}"}


@pytest.mark.parametrize("bits", HMACS)
@pytest.mark.parametrize("size", [1, 64, 65, 129, 4096])
def test_a_mac_is_made_and_verified(kept, kept_client, bits, size):
    call = asked(kept, bits, b"m" * size)
    arn = kept.key(f"HMAC_{bits}", "GENERATE_VERIFY_MAC")["Arn"]
    made = kept_client.generate_mac(**call)
    del made["ResponseMetadata"]
    mac = made.pop("Mac")
    assert made == {"MacAlgorithm": f"HMAC_SHA_{bits}", "KeyId": arn}
    assert len(mac) == int(bits) // 8
    assert kept_client.generate_mac(**call)["Mac"] == mac
    verified = kept_client.verify_mac(**call, Mac=mac)
    del verified["ResponseMetadata"]
    assert verified == {"KeyId": arn, "MacValid": True, "MacAlgorithm": f"HMAC_SHA_{bits}"}


@pytest.mark.parametrize("bits", HMACS)
def test_every_other_mac_is_an_invalid_mac(kept, kept_client, refused, bits):
    call = asked(kept, bits)
    mac = kept_client.generate_mac(**call)["Mac"]
    flipped = mac[:-1] + bytes([mac[-1] ^ 1])
    for wrong in (flipped, mac[:-1], mac + b"\x00", b"\x00", bytes(len(mac)), b"x" * 6144):
        assert refused("KMSInvalidMacException", kept_client.verify_mac, **call, Mac=wrong) == ""
        refused("KMSInvalidMacException", kept_client.verify_mac, **call, Mac=wrong, DryRun=True)
    other = {**call, "Message": b"messagf"}
    refused("KMSInvalidMacException", kept_client.verify_mac, **other, Mac=mac)
    refused("DryRunOperationException", kept_client.verify_mac, **call, Mac=mac, DryRun=True)
    refused("DryRunOperationException", kept_client.generate_mac, **call, DryRun=True)


def test_another_key_s_mac_is_invalid(client, refused):
    one, other = (
        client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
        for _ in range(2)
    )
    call = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
    mac = client.generate_mac(KeyId=one["KeyId"], **call)["Mac"]
    client.verify_mac(KeyId=one["KeyId"], Mac=mac, **call)
    refused("KMSInvalidMacException", client.verify_mac, KeyId=other["KeyId"], Mac=mac, **call)


def test_keys_and_algorithms_that_do_not_fit_are_refused(kept, kept_client, refused):
    for bits in HMACS:
        for other in set(HMACS) - {bits}:
            call = {**asked(kept, bits), "MacAlgorithm": f"HMAC_SHA_{other}"}
            text = refused("InvalidKeyUsageException", kept_client.generate_mac, **call)
            assert text == f"Algorithm HMAC_SHA_{other} is incompatible with key spec HMAC_{bits}."
            refused("InvalidKeyUsageException", kept_client.verify_mac, **call, Mac=b"m")
    symmetric = kept.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    for method, operation, more in (
        (kept_client.generate_mac, "GenerateMac", {}),
        (kept_client.verify_mac, "VerifyMac", {"Mac": b"m"}),
    ):
        call = {**asked(kept, "256"), "KeyId": symmetric["KeyId"], **more}
        assert refused("InvalidKeyUsageException", method, **call) == (
            f"{symmetric['Arn']} key usage is ENCRYPT_DECRYPT which is not valid for {operation}."
        )
    for size, limit in ((0, "greater than or equal to 1"), (4097, "less than or equal to 4096")):
        text = refused(
            "ValidationException", kept_client.generate_mac, **asked(kept, "256", b"m" * size)
        )
        assert text == (
            "1 validation error detected: Value at 'message' failed to satisfy constraint: Member "
            f"must have length {limit}"
        )


def test_a_key_that_is_disabled_or_to_be_deleted_makes_no_mac(client, refused):
    key = client.create_key(KeySpec="HMAC_224", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    call = {"KeyId": key["KeyId"], "Message": b"m", "MacAlgorithm": "HMAC_SHA_224"}
    client.disable_key(KeyId=key["KeyId"])
    for algorithm in ("HMAC_SHA_224", "HMAC_SHA_512"):  # the state counts before the algorithm
        text = refused(
            "DisabledException", client.generate_mac, **{**call, "MacAlgorithm": algorithm}
        )
        assert text == f"{key['Arn']} is disabled."
    client.schedule_key_deletion(KeyId=key["KeyId"])
    text = refused("KMSInvalidStateException", client.verify_mac, **call, Mac=b"m")
    assert text == f"{key['Arn']} is pending deletion."


def test_grants_on_a_mac_key_are_for_macs(kept, kept_client, refused):
    """AWS counts HMAC keys among the symmetric ones here."""
    key = kept.key("HMAC_256", "GENERATE_VERIFY_MAC")
    text = refused(
        "ValidationException",
        kept_client.create_grant,
        KeyId=key["KeyId"],
        GranteePrincipal="arn:aws:iam::000000000000:root",
        Operations=["Encrypt"],
    )
    assert text == (
        "Operations [Encrypt] are not supported when creating a grant for a symmetric KMS key with "
        "key usage GENERATE_VERIFY_MAC. Valid operations are [CreateGrant, RetireGrant, "
        "DescribeKey, GenerateMac, VerifyMac]"
    )
