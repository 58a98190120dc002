"""The process whose memory tests/security/test_imported_bytes.py looks through.

It opens a durable KMS, writes down the parameters for an import into a key of each spec, reads the
wrapped material that its parent makes of them, imports it, uses the keys, and says `ready`. It is
never told the material; started with `leak`, it is, and keeps it where any program could.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import clavero

KINDS = (
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256"),
    ("HMAC_512", "GENERATE_VERIFY_MAC", "RSAES_OAEP_SHA_256"),
    ("ECC_NIST_P384", "SIGN_VERIFY", "RSA_AES_KEY_WRAP_SHA_256"),
    ("RSA_2048", "SIGN_VERIFY", "RSA_AES_KEY_WRAP_SHA_256"),
)


def let_anyone_look() -> None:
    """Undo what a hardened process does against debuggers, so that the dump has everything."""
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_dumpable, pr_set_ptracer, anyone = 4, 0x59616D61, -1
    libc.prctl(pr_set_dumpable, 1, 0, 0, 0)
    libc.prctl(pr_set_ptracer, ctypes.c_ulong(anyone), 0, 0, 0)


def main() -> None:
    folder, mode = sys.argv[1:]
    kms = clavero.KMS(Path(folder))
    let_anyone_look()
    client = kms.client()
    keys = []
    for spec, usage, algorithm in KINDS:
        key = client.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        made = client.get_parameters_for_import(
            KeyId=key["KeyId"], WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048"
        )
        keys.append((key["KeyId"], made["ImportToken"]))
        asked = {"spec": spec, "algorithm": algorithm, "public": made["PublicKey"].hex()}
        sys.stdout.write(json.dumps(asked) + "\n")
        sys.stdout.flush()
    wrapped = json.loads(sys.stdin.readline())
    kept = bytearray.fromhex(json.loads(sys.stdin.readline())) if mode == "leak" else None
    for (key, token), material in zip(keys, wrapped, strict=True):
        client.import_key_material(
            KeyId=key,
            ImportToken=token,
            EncryptedKeyMaterial=bytes.fromhex(material),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )
    symmetric, mac, curve, rsa = (key for key, _ in keys)
    blob = client.encrypt(KeyId=symmetric, Plaintext=b"x")["CiphertextBlob"]
    client.generate_mac(KeyId=mac, Message=b"x", MacAlgorithm="HMAC_SHA_512")
    client.sign(KeyId=curve, Message=b"x", SigningAlgorithm="ECDSA_SHA_384")
    client.sign(KeyId=rsa, Message=b"x", SigningAlgorithm="RSASSA_PSS_SHA_256")
    kms.rotate_domain_keys()
    client.decrypt(CiphertextBlob=blob)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    kms.close()
    sys.stdout.write(f"{len(kept) if kept else 0}\n")


main()
