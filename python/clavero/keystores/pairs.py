"""Whether a stored public key is its private key's: the store is not trusted with that.

A store in which somebody put a public key of his own would have KMS encrypt for him, and take his
signatures for the key's. So a public key is used and given out only after the private one has
answered to it, once for each time that the key was read from the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clavero.keystores.native import Material, NativeKeyStore
from clavero.model import specs
from clavero.model.errors import KMSError

# The generators, x and y. SP 800-186, section 3.2.1.
_GENERATORS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "ECC_NIST_P256": bytes.fromhex(
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2"
            "fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        ),
        "ECC_NIST_P384": bytes.fromhex(
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25d"
            "bf55296c3a545e3872760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147c"
            "e9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
        ),
        "ECC_NIST_P521": bytes.fromhex(
            "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b"
            "5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66011839296a78"
            "9a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640"
            "c550b9013fad0761353c7086a272c24088be94769fd16650"
        ),
    }
)


def belong_together(keystore: NativeKeyStore, material: Material, public_key: bytes) -> bool:
    """Whether the public key (SPKI DER) is that of the private key."""
    try:
        return _answers(keystore, material, public_key)
    except KMSError as error:
        # What the HSM says of a public key that it cannot read, or whose ciphertext does not open.
        if error.code in {"ValidationException", "InvalidCiphertextException"}:
            return False
        raise


def _answers(keystore: NativeKeyStore, material: Material, public_key: bytes) -> bool:
    binding = material.binding
    spec, usage = binding.spec, binding.usage
    challenge = keystore.generate_random(32)
    if usage == specs.SIGN_VERIFY:
        algorithm = specs.algorithms(spec, usage)[-1]  # of Ed25519, the one for raw messages
        signature = keystore.sign(material, algorithm, "RAW", challenge)
        return keystore.verify(public_key, spec, algorithm, "RAW", challenge, signature)
    if usage == specs.ENCRYPT_DECRYPT:
        algorithm = specs.RSA_ENCRYPTION[-1]
        sealed = keystore.rsa_encrypt(public_key, algorithm, challenge)
        return keystore.rsa_decrypt(material, algorithm, sealed) == challenge
    if usage == specs.ENCAPSULATE_DECAPSULATE:
        secret, sealed = keystore.encapsulate(public_key, spec)
        return keystore.decapsulate(material, sealed) == secret
    # The private scalar times the generator is the public point; ECDH gives its x, and that is all
    # of the point that counts in ECDH. SPKI ends with the point.
    generator = _GENERATORS[spec]
    size = len(generator)
    x = keystore.derive_shared_secret(material, public_key[:-size] + generator)
    return x == public_key[-size:][: size // 2]
