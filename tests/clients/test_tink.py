"""Tink works on Clavero as on AWS KMS: remote AEAD and envelope AEAD."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import tink
from tink import aead
from tink.integration import awskms

aead.register()


@pytest.fixture
def remote(client, key_arn):
    return awskms.new_client(boto3_client=client).get_aead(f"aws-kms://{key_arn}")


def test_a_remote_aead(kms, remote):
    sealed = remote.encrypt(b"secret", b"associated")
    assert remote.decrypt(sealed, b"associated") == b"secret"
    told = kms.audit_records()[-1]["requestParameters"]["encryptionContext"]
    assert told == {"associatedData": b"associated".hex()}
    assert remote.decrypt(remote.encrypt(b"secret", b""), b"") == b"secret"


def test_what_does_not_open_is_tink_s_error(client, key_arn, remote):
    sealed = remote.encrypt(b"secret", b"associated")
    for blob, data in ((sealed, b"other"), (sealed[:-1], b"associated"), (b"x", b"associated")):
        with pytest.raises(tink.TinkError):
            remote.decrypt(blob, data)
    client.disable_key(KeyId=key_arn)
    with pytest.raises(tink.TinkError, match="is disabled"):
        remote.encrypt(b"secret", b"")


def test_envelope_encryption_and_a_keyset_that_is_kept_encrypted(remote):
    envelope = aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, remote)
    data = bytes(1_000_000)
    assert envelope.decrypt(envelope.encrypt(data, b"a"), b"a") == data
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    kept = tink.json_proto_keyset_format.serialize_encrypted(handle, remote, b"a")
    again = tink.json_proto_keyset_format.parse_encrypted(kept, remote, b"a")
    sealed = handle.primitive(aead.Aead).encrypt(b"secret", b"")
    assert again.primitive(aead.Aead).decrypt(sealed, b"") == b"secret"


def test_it_serves_threads(remote):
    def trip(number: int) -> bool:
        data = str(number).encode()
        return bool(remote.decrypt(remote.encrypt(data, b"a"), b"a") == data)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(trip, range(64)))
