"""The native key store: backing keys in the software HSM, their tokens in the store.

The one place where the HSM's errors become KMS's. A key that the HSM has put out of memory (idle
for a while) is loaded again from its token, unnoticed by the operation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from clavero import _native
from clavero._native import (
    BatchFailure,
    ForkedError,
    HsmError,
    InvalidCiphertext,
    InvalidToken,
    KeyNotLoaded,
    LimitError,
    NativeBuffer,
    SealedError,
)
from clavero.keystores.binding import Binding
from clavero.model import errors
from clavero.model.errors import KMSError

Result = TypeVar("Result")
Context = dict[str, str] | None

# A key that was just loaded stays for the next sweep of idle keys at least. Only sweeps without a
# pause put it out again before it is used.
ATTEMPTS: Final = 16

new_id: Callable[[], str] = _native.request_id
material_id: Callable[[bytes], str] = _native.material_id
token_domain_key: Callable[[bytes], bytes] = _native.token_domain_key


class Material:
    """One backing key: its id, and its handle while the HSM has it in memory.

    `gone` tells calls that still hold it that it was unloaded for good: it is not loaded again.
    """

    __slots__ = ("gone", "handle", "hbkid")

    hbkid: bytes
    handle: int | None
    gone: bool

    @property
    def binding(self) -> Binding:
        """Whose it is and what for."""
        raise NotImplementedError


class FreshMaterial(Material):
    """A backing key that was just made, the token to store, its public key (SPKI DER) if any.

    `fingerprint` tells the material of a key that was not made here from other material.
    """

    __slots__ = ("_binding", "fingerprint", "public_key", "token")

    def __init__(
        self,
        binding: Binding,
        hbkid: bytes,
        token: bytes,
        handle: int,
        public_key: bytes | None = None,
        fingerprint: bytes | None = None,
    ) -> None:
        self._binding = binding
        self.fingerprint = fingerprint
        self.hbkid = hbkid
        self.token = token
        self.handle = handle
        self.gone = False
        self.public_key = public_key

    @property
    def binding(self) -> Binding:
        """Whose it is and what for."""
        return self._binding


class Wrapping(NamedTuple):
    """How key material comes wrapped: for which wrapping key, and by which AlgorithmSpec."""

    region: str
    purpose: str
    sealed_key: bytes
    algorithm: str


class NativeKeyStore:
    """Operations on backing keys. `load_token(region, hbkid)` gives a stored token, or None."""

    def __init__(self, hsm: _native.Hsm, load_token: Callable[[str, bytes], bytes | None]) -> None:
        self._hsm = hsm
        self._load_token = load_token
        # Loading and unloading: one handle for a key, and none once it is to be deleted.
        self._loading = threading.Lock()
        # How often a key was used, and how often it was loaded for that: about, without a lock.
        self.uses = 0
        self.loads = 0

    # --- keys ------------------------------------------------------------------------------------

    def generate(self, binding: Binding) -> FreshMaterial:
        """Make a backing key of the binding's spec. Nothing is locked meanwhile; RSA takes seconds.

        Call it inside the transaction that stores the token, or `renew` there: only then does no
        domain key go while a token under it is on its way to the store.
        """
        try:
            hbkid, token, handle, public_key = self._hsm.generate_key(binding)
        except HsmError as error:
            refuse(error)
        return FreshMaterial(binding, hbkid, token, handle, public_key)

    def take_plain(self, binding: Binding, material: bytes, number: int) -> FreshMaterial:
        """Take material in the clear for version `number` (from 1) of a seeded key.

        Its HBKID is the same wherever the same seed is taken. ValidationException for material that
        is not of the binding's spec.
        """
        try:
            hbkid, token, handle, public_key, fingerprint = self._hsm.import_plain_key(
                binding, material, number
            )
        except HsmError as error:
            refuse(error)
        return FreshMaterial(binding, hbkid, token, handle, public_key, fingerprint)

    def renew(self, made: FreshMaterial) -> bool:
        """Have a new key's token under the active domain key; False where its own is gone.

        Call it inside the transaction that stores the token, for a key that was made outside.
        """
        region = made.binding.region
        try:
            active = {
                domain_key for domain_key, active, _ in self._hsm.domain_keys(region) if active
            }
            if token_domain_key(made.token) not in active:
                made.token = self._hsm.rewrap_key(made.token, made.hbkid, made.binding)
        except InvalidToken:
            return False
        except HsmError as error:
            refuse(error, made.binding)
        return True

    def rewrap(self, binding: Binding, hbkid: bytes, token: bytes) -> bytes:
        """Seal a stored token anew under the active domain key. SealedError is its caller's."""
        try:
            return self._hsm.rewrap_key(token, hbkid, binding)
        except SealedError:
            raise  # of no token in particular: the KMS is being closed
        except HsmError as error:
            refuse(error, binding)

    def transfer(self, binding: Binding, hbkid: bytes, token: bytes, region: str) -> bytes:
        """A token of the same backing key for the related multi-Region key in `region`.

        Call it inside the transaction that stores the token, as `generate`.
        """
        try:
            return self._hsm.transfer_key(token, hbkid, binding, region)
        except HsmError as error:
            refuse(error, binding)

    def transfer_fingerprint(
        self, binding: Binding, hbkid: bytes, token: bytes, region: str
    ) -> bytes:
        """What imported key material is known by in `region`, for the related multi-Region key."""
        try:
            return self._hsm.transfer_fingerprint(token, hbkid, binding, region)
        except HsmError as error:
            refuse(error, binding)

    def unload(self, material: Material) -> None:
        """Wipe the key from the HSM's memory, for good: no call loads it again.

        Never inside a transaction: who loads a key reads the store meanwhile, and reading a store
        in memory waits for the transaction to end. See `discard`.
        """
        with self._loading:
            self._wipe(material)

    def discard(self, made: FreshMaterial) -> None:
        """As `unload`, for a key that was just made and that nobody but its maker knows of.

        No call can be loading it, so that this waits for none: it may be inside a transaction.
        """
        self._wipe(made)

    def _wipe(self, material: Material) -> None:
        handle, material.handle = material.handle, None
        material.gone = True
        if handle is not None:
            try:
                self._hsm.unload_key(handle)
            except SealedError:
                pass  # a sealed HSM holds no key any more

    def _handle(self, material: Material) -> int:
        self.uses += 1
        handle = material.handle
        return self._load(material, None) if handle is None else handle

    def _load(self, material: Material, stale: int | None) -> int:
        """Load the key from its token, unless another call has done so since `stale` failed."""
        with self._loading:
            if material.handle is not None and material.handle != stale:
                return material.handle
            if stale is not None:
                self._hsm.unload_key(stale)
            material.handle = None
            return self._load_token_of(material)

    def _load_token_of(self, material: Material) -> int:
        binding = material.binding
        refused: tuple[bytes, HsmError] | None = None
        while True:
            token = None if material.gone else self._load_token(binding.region, material.hbkid)
            if token is None:
                arn = f"arn:aws:kms:{binding.region}:{binding.account}:key/{binding.key_id}"
                if binding.origin == "EXTERNAL":  # its material was deleted a moment ago
                    raise errors.key_state(arn, "PendingImport")
                raise errors.key_not_found(arn)
            if refused is not None and token == refused[0]:
                refuse(refused[1], binding)
            try:
                material.handle = handle = self._hsm.load_key(token, material.hbkid, binding)
            except InvalidToken as error:
                # A rotation may have re-wrapped it since it was read, and dropped its domain key.
                refused = (token, error)
            except HsmError as error:
                refuse(error, binding)
            else:
                self.loads += 1
                return handle

    def _with_key(self, material: Material, use: Callable[[int], Result]) -> Result:
        """Run `use` on the key's handle; again after loading, when it was put out of memory."""
        try:
            handle = self._handle(material)
            for _ in range(ATTEMPTS):
                try:
                    return use(handle)
                except KeyNotLoaded:
                    handle = self._load(material, handle)
            return use(handle)
        except HsmError as error:
            refuse(error, material.binding)

    # --- messages --------------------------------------------------------------------------------

    def encrypt(self, material: Material, plaintext: bytes, context: Context) -> bytes:
        """Encrypt 1 to 4096 bytes into a ciphertext blob."""
        return self._with_key(
            material, lambda handle: self._hsm.encrypt(handle, plaintext, context)
        )

    def decrypt(self, material: Material, blob: bytes, context: Context) -> bytes:
        """Open a ciphertext blob of this key."""
        return self._with_key(material, lambda handle: self._hsm.decrypt(handle, blob, context))

    def decrypt_unknown(self, blob: bytes, context: Context) -> NoReturn:
        """Refuse a blob that names no known key, after the same work as for one that does."""
        try:
            self._hsm.decrypt_unknown(blob, context)
        except HsmError as error:
            refuse(error)
        raise errors.invalid_ciphertext()

    def reencrypt(
        self,
        source: Material,
        blob: bytes,
        source_context: Context,
        destination: Material,
        destination_context: Context,
    ) -> bytes:
        """Open a blob of one key and seal its plaintext under another, inside the HSM."""

        def use(handles: list[int]) -> bytes:
            opening, sealing = handles
            return self._hsm.reencrypt(opening, blob, source_context, sealing, destination_context)

        return self._with_keys([source, destination], use)

    def _with_keys(self, materials: list[Material], use: Callable[[list[int]], Result]) -> Result:
        """As `_with_key`, on the handles of several keys."""
        try:
            handles = [self._handle(material) for material in materials]
            for _ in range(ATTEMPTS):
                try:
                    return use(handles)
                except (KeyNotLoaded, BatchFailure) as error:
                    cause = error.args[1] if isinstance(error, BatchFailure) else error
                    if not isinstance(cause, KeyNotLoaded):
                        raise
                    pairs = zip(materials, handles, strict=True)
                    handles = [self._load(material, handle) for material, handle in pairs]
            return use(handles)
        except HsmError as error:
            refuse(error)

    def generate_data_key(
        self, material: Material, size: int, context: Context
    ) -> tuple[bytes, bytes]:
        """Make a data key of 1 to 1024 bytes: plaintext and blob."""
        # The hottest call of all: no closure, and a try that costs nothing.
        self.uses += 1
        try:
            return self._hsm.generate_data_key(material.handle, size, context)  # type: ignore[arg-type]  # None is refused as TypeError below
        except (KeyNotLoaded, TypeError):
            self.uses -= 1  # it is counted below
            return self._with_key(
                material, lambda handle: self._hsm.generate_data_key(handle, size, context)
            )
        except HsmError as error:
            refuse(error, material.binding)

    def generate_data_key_without_plaintext(
        self, material: Material, size: int, context: Context
    ) -> bytes:
        """Make a data key that nobody sees: only its blob."""
        return self._with_key(
            material,
            lambda handle: self._hsm.generate_data_key_without_plaintext(handle, size, context),
        )

    def generate_random(self, size: int) -> bytes:
        """Random bytes, 1 to 1024."""
        try:
            return self._hsm.generate_random(size)
        except HsmError as error:
            refuse(error)

    def blob_key(self, blob: bytes) -> bytes:
        """The HBKID that a blob names."""
        try:
            return _native.blob_key(blob)
        except HsmError as error:
            refuse(error)

    # --- key pairs and MACs ----------------------------------------------------------------------

    def sign(self, material: Material, algorithm: str, message_type: str, message: bytes) -> bytes:
        """Sign. The names are KMS's SigningAlgorithmSpec and MessageType."""
        return self._with_key(
            material, lambda handle: self._hsm.sign(handle, algorithm, message_type, message)
        )

    def verify(
        self,
        public_key: bytes,
        spec: str,
        algorithm: str,
        message_type: str,
        message: bytes,
        signature: bytes,
    ) -> bool:
        """Whether the signature is the message's, under a public key (SPKI DER) of the spec."""
        try:
            return self._hsm.verify(public_key, spec, algorithm, message_type, message, signature)
        except HsmError as error:
            refuse(error)

    def rsa_encrypt(self, public_key: bytes, algorithm: str, plaintext: bytes) -> bytes:
        """Encrypt with OAEP for a public key (SPKI DER)."""
        try:
            return self._hsm.rsa_encrypt(public_key, algorithm, plaintext)
        except HsmError as error:
            refuse(error)

    def rsa_decrypt(self, material: Material, algorithm: str, ciphertext: bytes) -> bytes:
        """Open what was encrypted with OAEP, here or elsewhere."""
        return self._with_key(
            material, lambda handle: self._hsm.rsa_decrypt(handle, algorithm, ciphertext)
        )

    def generate_mac(self, material: Material, algorithm: str, message: bytes) -> bytes:
        """The message's HMAC."""
        return self._with_key(
            material, lambda handle: self._hsm.generate_mac(handle, algorithm, message)
        )

    def verify_mac(self, material: Material, algorithm: str, message: bytes, mac: bytes) -> bool:
        """Whether the MAC is the message's, in constant time."""
        return self._with_key(
            material, lambda handle: self._hsm.verify_mac(handle, algorithm, message, mac)
        )

    def derive_shared_secret(self, material: Material, peer: bytes) -> bytes:
        """ECDH with a peer's public key (SPKI DER); AWS's refusal for one that is none."""

        def derive(handle: int) -> bytes:
            try:
                return self._hsm.derive_shared_secret(handle, peer)
            except LimitError:
                raise errors.invalid_public_key() from None

        return self._with_key(material, derive)

    def encapsulate(self, public_key: bytes, spec: str) -> tuple[bytes, bytes]:
        """ML-KEM for a public key (SPKI DER): the secret of 32 bytes, and its ciphertext."""
        try:
            return self._hsm.encapsulate(public_key, spec)
        except HsmError as error:
            refuse(error)

    def decapsulate(self, material: Material, ciphertext: bytes) -> bytes:
        """ML-KEM's secret. What was not encapsulated for this key gives another one."""
        return self._with_key(material, lambda handle: self._hsm.decapsulate(handle, ciphertext))

    def generate_data_key_pair(
        self, material: Material, spec: str, context: Context, *, with_plaintext: bool
    ) -> tuple[bytes | None, bytes, bytes]:
        """Make a pair: the private key (PKCS #8 DER) if wanted, its blob, the public key."""
        return self._with_key(
            material,
            lambda handle: self._hsm.generate_data_key_pair(handle, spec, context, with_plaintext),
        )

    # --- batches ---------------------------------------------------------------------------------

    def generate_data_keys(
        self, material: Material, count: int, size: int, context: Context
    ) -> tuple[NativeBuffer, NativeBuffer]:
        """Make `count` data keys of `size` bytes: their plaintexts and their blobs, row by row."""
        return self._with_key(
            material,
            lambda handle: self._hsm.generate_data_keys(handle, count, size, context),
        )

    def encrypt_many(
        self, material: Material, plaintexts: Any, context: Context
    ) -> tuple[NativeBuffer, NativeBuffer]:
        """Encrypt each plaintext: the blobs one after the other, and their 64-bit offsets."""
        return self._with_key(
            material, lambda handle: self._hsm.encrypt_many(handle, plaintexts, context)
        )

    def decrypt_many(
        self, materials: Mapping[bytes, Material], blobs: Any, context: Context
    ) -> tuple[NativeBuffer, NativeBuffer]:
        """Open each blob: the plaintexts one after the other, and their 64-bit offsets."""
        return self._with_keys(
            list(materials.values()),
            lambda handles: self._hsm.decrypt_many(
                dict(zip(materials, handles, strict=True)), blobs, context
            ),
        )

    def blob_keys(self, blobs: Any) -> list[bytes]:
        """The HBKIDs that the blobs name, each once."""
        try:
            return self._hsm.blob_keys(blobs)
        except HsmError as error:
            refuse(error)

    # --- imports ---------------------------------------------------------------------------------

    def create_wrapping_key(self, region: str, purpose: str, spec: str) -> tuple[bytes, bytes]:
        """Make an RSA key pair to wrap material for: public key (SPKI DER), sealed private key."""
        try:
            return self._hsm.create_wrapping_key(region, purpose, spec)
        except HsmError as error:
            refuse(error)

    def take(
        self, wrapping: Wrapping, wrapped: bytes, binding: Binding, hbkid: bytes | None = None
    ) -> FreshMaterial:
        """Unwrap key material into the HSM, under the id that it had before, if it had one.

        What is no material of the binding's spec is refused as what does not unwrap:
        InvalidCiphertextException. For the token see `generate`.
        """
        try:
            made_id, token, handle, public_key, fingerprint = self._hsm.import_key(
                wrapping.region,
                wrapping.purpose,
                wrapping.sealed_key,
                wrapping.algorithm,
                wrapped,
                binding,
                hbkid,
            )
        except LimitError:
            raise errors.invalid_ciphertext() from None  # as AWS does; it would tell of the secret
        except HsmError as error:
            refuse(error)
        return FreshMaterial(binding, made_id, token, handle, public_key, fingerprint)

    # --- bytes that the service hands out to get them back ----------------------------------------

    def seal_opaque(self, region: str, purpose: str, data: bytes) -> bytes:
        """Seal what a caller shall bring back unread and unchanged."""
        try:
            return self._hsm.seal_opaque(region, purpose, data)
        except HsmError as error:
            refuse(error)

    def open_opaque(self, region: str, purpose: str, sealed: bytes) -> bytes | None:
        """Open it; None unless it was sealed here for this purpose."""
        try:
            return self._hsm.open_opaque(region, purpose, sealed)
        except InvalidToken:
            return None
        except HsmError as error:
            refuse(error)


def refuse(error: HsmError, binding: Binding | None = None) -> NoReturn:
    """Raise KMS's error for the HSM's."""
    raise _translated(error, binding) from error


def _translated(error: HsmError, binding: Binding | None) -> KMSError:
    """KMS's error for the HSM's. Nothing that a caller could learn a secret from."""
    if isinstance(error, InvalidCiphertext):
        return errors.invalid_ciphertext()
    if isinstance(error, LimitError):
        return errors.validation(f"{_capitalised(str(error))}.")
    if isinstance(error, BatchFailure):
        index, cause = error.args
        translated = _translated(cause, binding)
        return KMSError(
            translated.code,
            f"Item {index} of the batch: {translated.message or str(cause)}",
            http_status=translated.http_status,
        )
    if isinstance(error, InvalidToken) and binding is not None:
        return errors.internal(
            f"The stored key material of arn:aws:kms:{binding.region}:{binding.account}:key/"
            f"{binding.key_id} was refused: {error}. Restore the store from a backup."
        )
    if isinstance(error, (ForkedError, SealedError)):
        return KMSError("ServiceUnavailableException", f"{_capitalised(str(error))}.")
    return errors.internal(f"{_capitalised(str(error))}.")


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
