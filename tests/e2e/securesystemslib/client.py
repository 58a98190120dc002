"""Metadata of TUF and in-toto signed by securesystemslib with keys of a KMS, verified by pyca."""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from securesystemslib.exceptions import UnsupportedAlgorithmError
from securesystemslib.signer import AWSSigner, Signer, SSlibKey

PAYLOAD = b"metadata " * 1000  # more than Sign takes: only its digest goes to the KMS
SCHEMES = {
    "ecdsa-sha2-nistp256": "ECC_NIST_P256",
    "ecdsa-sha2-nistp384": "ECC_NIST_P384",
    "rsassa-pss-sha256": "RSA_2048",
    "rsassa-pss-sha512": "RSA_3072",
    "rsa-pkcs1v15-sha384": "RSA_2048",
}

DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def verifies(key: SSlibKey, signature: bytes, payload: bytes) -> bool:
    """Whether pyca/cryptography, which knows nothing of the library, takes the signature."""
    public = serialization.load_pem_public_key(key.keyval["public"].encode())
    digest = DIGESTS[key.get_hash_algorithm_name()]
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, payload, ec.ECDSA(digest))
        elif isinstance(public, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            scheme = pss if key.scheme.startswith("rsassa-pss") else padding.PKCS1v15()
            public.verify(signature, payload, scheme, digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def refusal(error: type[Exception], call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except error as told:
        return str(told)
    return ""


def main() -> None:
    kms = boto3.client("kms")
    seen = {}
    for scheme, spec in SCHEMES.items():
        made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        uri, public = AWSSigner.import_(made["Arn"], scheme)
        signature = Signer.from_priv_key_uri(uri, public).sign(PAYLOAD)
        raw = bytes.fromhex(signature.signature)
        public.verify_signature(signature, PAYLOAD)
        seen[f"{scheme} signs"] = verifies(public, raw, PAYLOAD)
        seen[f"{scheme} signs no other"] = not verifies(public, raw, PAYLOAD + b"!")
    _, chosen = AWSSigner.import_(made["Arn"])
    seen["the first scheme of the key"] = chosen.scheme == "rsassa-pss-sha256"
    other = refusal(
        UnsupportedAlgorithmError, AWSSigner.import_, made["Arn"], "ecdsa-sha2-nistp256"
    )
    seen["a scheme of another key"] = "Unsupported scheme" in other
    kms.disable_key(KeyId=made["Arn"])
    signer = Signer.from_priv_key_uri(uri, public)
    seen["disabled"] = "DisabledException" in refusal(ClientError, signer.sign, PAYLOAD)
    json.dump(seen, sys.stdout)


main()
