"""The key store's answers for attested recipients: what is secret leaves the HSM for them alone.

Each method is its namesake's of `NativeKeyStore`, but gives CMS EnvelopedData in place of a
plaintext (CiphertextForRecipient). The plaintext never comes to Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from clavero import _native
from clavero._native import AttestationError, HsmError, LimitError
from clavero.keystores.native import Context, Material, NativeKeyStore, refuse
from clavero.model import errors

Attestation: TypeAlias = _native.Attestation


class AttestedKeyStore(NativeKeyStore):
    """The key store, with the root certificates that attestation documents must lead to."""

    def __init__(
        self,
        hsm: _native.Hsm,
        load_token: Callable[[str, bytes], bytes | None],
        roots: _native.AttestationRoots,
    ) -> None:
        super().__init__(hsm, load_token)
        self._roots = roots

    def attest(self, document: bytes, now: float) -> Attestation:
        """Verify an attestation document as of `now`, in epoch seconds."""
        try:
            return self._hsm.verify_attestation(document, self._roots, max(0, int(now)))
        except AttestationError as error:
            raise errors.attestation_refused(str(error)) from None
        except HsmError as error:
            refuse(error)

    def decrypt_for(
        self, recipient: Attestation, material: Material, blob: bytes, context: Context
    ) -> bytes:
        """Open a ciphertext blob of this key."""
        return self._with_key(
            material, lambda handle: self._hsm.decrypt_for(recipient, handle, blob, context)
        )

    def rsa_decrypt_for(
        self, recipient: Attestation, material: Material, algorithm: str, ciphertext: bytes
    ) -> bytes:
        """Open what was encrypted with OAEP, here or elsewhere."""
        return self._with_key(
            material,
            lambda handle: self._hsm.rsa_decrypt_for(recipient, handle, algorithm, ciphertext),
        )

    def generate_data_key_for(
        self, recipient: Attestation, material: Material, size: int, context: Context
    ) -> tuple[bytes, bytes]:
        """Make a data key of 1 to 1024 bytes: for the recipient, and its blob."""
        return self._with_key(
            material,
            lambda handle: self._hsm.generate_data_key_for(recipient, handle, size, context),
        )

    def generate_random_for(self, recipient: Attestation, size: int) -> bytes:
        """Random bytes, 1 to 1024."""
        try:
            return self._hsm.generate_random_for(recipient, size)
        except HsmError as error:
            refuse(error)

    def derive_shared_secret_for(
        self, recipient: Attestation, material: Material, peer: bytes
    ) -> bytes:
        """ECDH with a peer's public key (SPKI DER); AWS's refusal for one that is none."""

        def derive(handle: int) -> bytes:
            try:
                return self._hsm.derive_shared_secret_for(recipient, handle, peer)
            except LimitError:
                raise errors.invalid_public_key() from None

        return self._with_key(material, derive)

    def generate_data_key_pair_for(
        self, recipient: Attestation, material: Material, spec: str, context: Context
    ) -> tuple[bytes, bytes, bytes]:
        """Make a pair: the private key (PKCS #8) for the recipient, its blob, the public key."""
        return self._with_key(
            material,
            lambda handle: self._hsm.generate_data_key_pair_for(recipient, handle, spec, context),
        )
