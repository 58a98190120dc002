"""Tink over a KMS: AEAD by the KMS itself, envelope AEAD, a keyset that is kept encrypted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import boto3
import tink
from tink import aead
from tink.integration import awskms

SECRET = b"from Tink"
TEMPLATES = aead.aead_key_templates


def refusal(call: Callable[..., object], *arguments: object) -> str:
    try:
        call(*arguments)
    except tink.TinkError as error:
        return str(error)
    return ""


def main() -> None:
    aead.register()
    kms = boto3.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    remote = awskms.new_client(boto3_client=kms, key_uri=f"aws-kms://{arn}").get_aead(
        f"aws-kms://{arn}"
    )
    seen = {}

    sealed = remote.encrypt(SECRET, b"orders")
    seen["raw"] = remote.decrypt(sealed, b"orders") == SECRET and SECRET not in sealed
    seen["raw without associated data"] = remote.decrypt(remote.encrypt(SECRET, b""), b"") == SECRET
    context = {"associatedData": b"orders".hex()}
    opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext=context)
    seen["opened by boto3"] = opened["Plaintext"] == SECRET
    others = refusal(remote.decrypt, sealed, b"others")
    seen["other associated data"] = "InvalidCiphertextException" in others
    tampered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    seen["tampered"] = "InvalidCiphertextException" in refusal(remote.decrypt, tampered, b"orders")

    data = bytes(range(256)) * 4000  # more than Encrypt takes: only a data key goes to the KMS
    for name, template in (
        ("AES-GCM", TEMPLATES.AES256_GCM),
        ("AES-CTR-HMAC", TEMPLATES.AES256_CTR_HMAC_SHA256),
        ("XChaCha20-Poly1305", TEMPLATES.XCHACHA20_POLY1305),
    ):
        envelope = aead.KmsEnvelopeAead(template, remote)
        enveloped = envelope.encrypt(data, b"orders")
        seen[f"envelope of {name}"] = envelope.decrypt(enveloped, b"orders") == data
        torn = enveloped[:-1] + bytes([enveloped[-1] ^ 1])
        seen[f"torn envelope of {name}"] = refusal(envelope.decrypt, torn, b"orders") != ""

    handle = tink.new_keyset_handle(TEMPLATES.AES256_GCM)
    kept = tink.json_proto_keyset_format.serialize_encrypted(handle, remote, b"keyset")
    again = tink.json_proto_keyset_format.parse_encrypted(kept, remote, b"keyset")
    local = handle.primitive(aead.Aead).encrypt(SECRET, b"")
    seen["keyset"] = again.primitive(aead.Aead).decrypt(local, b"") == SECRET

    kms.disable_key(KeyId=arn)
    seen["disabled"] = "DisabledException" in refusal(remote.encrypt, SECRET, b"")
    json.dump(seen, sys.stdout)


main()
