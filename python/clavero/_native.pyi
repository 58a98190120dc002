"""The HSM of Clavero, in Rust. Errors are HsmError's subclasses. No call gives a KMS key."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Final, TypeAlias, final

__all__ = [
    "BLOB_OVERHEAD",
    "MAX_BATCH",
    "Attestation",
    "AttestationError",
    "AttestationRoots",
    "Authority",
    "BatchFailure",
    "Endpoint",
    "ForkedError",
    "Hsm",
    "HsmError",
    "InsecureMemory",
    "InvalidCiphertext",
    "InvalidDomainState",
    "InvalidToken",
    "KeyNotLoaded",
    "Keyring",
    "LimitError",
    "NativeBuffer",
    "SealedError",
    "SelfTestFailed",
    "TlsConfig",
    "Unseal",
    "UnsealError",
    "WrongRootKey",
    "__version__",
    "arrow_struct",
    "blob_key",
    "material_id",
    "read_json",
    "record_line",
    "request_id",
    "token_domain_key",
    "write_json",
]

__version__: Final[str]
MAX_BATCH: Final[int]
"""The most messages of one batch call."""
BLOB_OVERHEAD: Final[int]
"""Bytes that a ciphertext blob has beyond its plaintext."""

_Binding: TypeAlias = tuple[str, str, str, str, str, str, bool]
"""Region, account, key id, spec, usage, origin, whether multi-Region: authenticated in tokens."""
_Context: TypeAlias = dict[str, str] | None

class HsmError(Exception):
    """The HSM refused a call."""

class InvalidCiphertext(HsmError):
    """No key here opens this ciphertext under this context."""

class LimitError(HsmError):
    """A length, count or size outside what the call takes."""

class KeyNotLoaded(HsmError):
    """The handle's key is not (or no longer) loaded."""

class InvalidToken(HsmError):
    """A stored token does not open as this key's."""

class InvalidDomainState(HsmError):
    """A stored domain state was changed."""

class WrongRootKey(HsmError):
    """The root key is not the one that sealed the store."""

class SealedError(HsmError):
    """The HSM was sealed."""

class ForkedError(SealedError):
    """This process is a fork of the one that opened the HSM."""

class InsecureMemory(HsmError):
    """Memory cannot be protected as the policy demands."""

class SelfTestFailed(HsmError):
    """The HSM is in its error state."""

class UnsealError(HsmError):
    """An unseal provider could not give the root key."""

class AttestationError(HsmError):
    """An attestation document, or a root certificate, is refused: why, as the end of a sentence."""

class BatchFailure(HsmError):
    """One message of a batch failed; args are its index and the HsmError."""

@final
class Unseal:
    """Where the root key comes from."""

    @staticmethod
    def key_file(path: str | PathLike[str]) -> Unseal:
        """32 bytes in a file of mode 0600, made on first use."""
    @staticmethod
    def passphrase(passphrase: str | bytes, salt_path: str | PathLike[str]) -> Unseal:
        """Argon2id (RFC 9106: 64 MiB, 3 passes, 4 lanes) of 8 bytes or more; the salt is a file."""
    @staticmethod
    def environment(name: str) -> Unseal:
        """An environment variable: the key in hexadecimal (64 digits) or base64 (44 characters)."""
    @staticmethod
    def command(argv: Sequence[str]) -> Unseal:
        """A program, run without a shell, that prints the key like that within 60 seconds."""
    @staticmethod
    def ephemeral() -> Unseal:
        """A random key that nothing keeps."""
    @property
    def description(self) -> str:
        """What messages call the provider; never part of a secret."""

@final
class NativeBuffer:
    """Bytes in memory that Rust owns, seen through the buffer protocol; wiped when dropped."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def wipe(self) -> None:
        """Overwrite the bytes with zeros."""
    @property
    def wiped(self) -> bool:
        """Whether `wipe` was called."""

@final
class AttestationRoots:
    """The root certificates that attestation documents must lead to."""

    @staticmethod
    def aws() -> AttestationRoots:
        """AWS's root of the commercial partition, G1."""
    @staticmethod
    def parse(certificates: bytes) -> AttestationRoots:
        """Those of a PEM text, or the one of a DER certificate. Raises AttestationError."""
    @property
    def fingerprints(self) -> list[str]:
        """Their SHA-256 fingerprints, in hexadecimal."""

@final
class Attestation:
    """What a verified document says, and the RSA key to encrypt answers for its maker with."""

    @property
    def platform(self) -> str:
        """nitro-enclave or nitro-tpm."""
    @property
    def module_id(self) -> str:
        """The module's id: i-...-enc... or i-...-tpm..."""
    @property
    def timestamp(self) -> int:
        """When the document was made, in milliseconds since the epoch."""
    @property
    def pcrs(self) -> dict[int, bytes]:
        """The locked platform configuration registers."""

@final
class Hsm:
    """An open HSM. Handles are integers that name a loaded key and are never reused."""

    @staticmethod
    def open(unseal: Unseal, *, create: bool, allow_insecure_memory: bool = False) -> Hsm:
        """Open under the provider's root key. `create` only where nothing was sealed yet.

        Raises UnsealError, InsecureMemory, SelfTestFailed.
        """
    def seal(self) -> None:
        """Wipe every key; later calls raise SealedError."""
    def status(self) -> dict[str, Any]:
        """memory, arena_bytes, libcrypto_memory, libcrypto_overflow_bytes, loaded_keys, domains."""
    def create_domain(self, region: str, now: int) -> bytes:
        """Stage a Region's first domain state: the record to store before `install_domain`."""
    def load_domain(self, region: str, record: bytes) -> int:
        """Load a stored state and give its version. Raises WrongRootKey, InvalidDomainState."""
    def stage_domain_rotation(self, region: str, now: int) -> bytes:
        """Stage a state with a new active domain key; gives the record to store."""
    def stage_domain_retirement(self, region: str, domain_key_ids: Sequence[bytes]) -> bytes:
        """Stage a state without these retired keys; no stored token may need them."""
    def install_domain(self, region: str) -> None:
        """Put the staged state in force, once its record is durable."""
    def discard_staged_domain(self, region: str) -> None:
        """Forget the staged state."""
    def domain_keys(self, region: str) -> list[tuple[bytes, bool, int]]:
        """The domain keys, oldest first: id, whether active, created (epoch seconds)."""
    def generate_key(self, binding: _Binding) -> tuple[bytes, bytes, int, bytes | None]:
        """Make a key of the binding's spec: HBKID (16 bytes), token to store, handle, public key.

        The public key of a pair is SubjectPublicKeyInfo DER. RSA takes 0.1 to some seconds, during
        which nothing is locked.
        """
    def load_key(self, token: bytes, hbkid: bytes, binding: _Binding) -> int:
        """Load a stored token; gives a handle. Raises InvalidToken."""
    def rewrap_key(self, token: bytes, hbkid: bytes, binding: _Binding) -> bytes:
        """Seal a stored token anew under the active domain key."""
    def transfer_key(self, token: bytes, hbkid: bytes, binding: _Binding, to_region: str) -> bytes:
        """Seal a multi-Region key's token anew for the related key in another Region.

        Raises LimitError for a single-Region key, InvalidToken for one that is said not to be.
        """
    def transfer_fingerprint(
        self, token: bytes, hbkid: bytes, binding: _Binding, to_region: str
    ) -> bytes:
        """The fingerprint that the key's imported material has in another Region."""
    def unload_key(self, handle: int) -> None:
        """Wipe a loaded key."""
    def evict_idle_keys(self) -> int:
        """Wipe the keys that no operation used since the last call; gives their number."""
    def encrypt(self, handle: int, plaintext: bytes, context: _Context) -> bytes:
        """Encrypt 1 to 4096 bytes; gives a ciphertext blob."""
    def decrypt(self, handle: int, blob: bytes, context: _Context) -> bytes:
        """Open a blob of this key. Raises InvalidCiphertext."""
    def decrypt_unknown(self, blob: bytes, context: _Context) -> None:
        """Raise InvalidCiphertext after the work of opening a blob."""
    def reencrypt(
        self,
        source: int,
        blob: bytes,
        source_context: _Context,
        destination: int,
        destination_context: _Context,
    ) -> bytes:
        """Open a blob with one key and seal its plaintext under another; gives the new blob."""
    def generate_data_key(self, handle: int, size: int, context: _Context) -> tuple[bytes, bytes]:
        """A random data key of 1 to 1024 bytes: plaintext and blob."""
    def generate_data_key_without_plaintext(
        self, handle: int, size: int, context: _Context
    ) -> bytes:
        """A random data key that nobody sees: its blob."""
    def generate_random(self, size: int) -> bytes:
        """1 to 1024 random bytes."""
    def sign(self, handle: int, algorithm: str, message_type: str, message: bytes) -> bytes:
        """Sign, by KMS's names of algorithm and message type; ECDSA in DER.

        Raises LimitError for what does not go together and for a digest of a wrong length.
        """
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
    def rsa_encrypt(self, public_key: bytes, algorithm: str, plaintext: bytes) -> bytes:
        """RSAES_OAEP under a public key (SPKI DER). Raises LimitError for too long a plaintext."""
    def rsa_decrypt(self, handle: int, algorithm: str, ciphertext: bytes) -> bytes:
        """Open RSAES_OAEP. Raises InvalidCiphertext."""
    def generate_mac(self, handle: int, algorithm: str, message: bytes) -> bytes:
        """The HMAC of a message, by KMS's name of the algorithm."""
    def verify_mac(self, handle: int, algorithm: str, message: bytes, mac: bytes) -> bool:
        """Whether the HMAC is the message's, in constant time."""
    def derive_shared_secret(self, handle: int, peer_public_key: bytes) -> bytes:
        """ECDH: the raw x coordinate. Raises LimitError unless the peer is on the same curve."""
    def encapsulate(self, public_key: bytes, spec: str) -> tuple[bytes, bytes]:
        """ML-KEM under a public key (SPKI DER): shared secret (32 bytes) and ciphertext."""
    def decapsulate(self, handle: int, ciphertext: bytes) -> bytes:
        """ML-KEM's shared secret. Raises InvalidCiphertext for a wrong length alone."""
    def generate_data_key_pair(
        self, handle: int, pair_spec: str, context: _Context, with_plaintext: bool
    ) -> tuple[bytes | None, bytes, bytes]:
        """A key pair: private key (PKCS #8 DER) if asked for, its blob, public key (SPKI DER)."""
    def create_wrapping_key(
        self, region: str, purpose: str, wrapping_spec: str
    ) -> tuple[bytes, bytes]:
        """An RSA key pair for an import: public key (SPKI DER), private key sealed to a purpose."""
    def import_key(
        self,
        region: str,
        purpose: str,
        sealed_private: bytes,
        wrapping_algorithm: str,
        wrapped: bytes,
        binding: _Binding,
        hbkid: bytes | None = None,
    ) -> tuple[bytes, bytes, int, bytes | None, bytes]:
        """Unwrap and take key material: HBKID, token, handle, public key, fingerprint (32 bytes).

        Give the HBKID to import the same material again. Raises InvalidCiphertext for what does not
        unwrap, LimitError for material of another kind, InvalidToken for a private key that was
        sealed for another purpose or Region.
        """
    def import_plain_key(
        self, binding: _Binding, material: bytes, number: int
    ) -> tuple[bytes, bytes, int, bytes | None, bytes]:
        """Take key material in the clear, for a version of a seeded key: as `import_key` gives.

        The HBKID follows from material, account, key id, spec and version number alone.
        `material` is raw bytes, or a PKCS #8 private key in DER. Raises LimitError for material of
        another kind.
        """
    def verify_attestation(self, document: bytes, roots: AttestationRoots, now: int) -> Attestation:
        """Verify a document at a time in epoch seconds: form, certificates, signature, RSA key.

        Raises AttestationError with the reason.
        """
    def decrypt_for(
        self, attestation: Attestation, handle: int, blob: bytes, context: _Context
    ) -> bytes:
        """As `decrypt`, but for the attested maker alone: CMS EnvelopedData, as are the following.

        No plaintext is given to the caller.
        """
    def rsa_decrypt_for(
        self, attestation: Attestation, handle: int, algorithm: str, ciphertext: bytes
    ) -> bytes:
        """As `rsa_decrypt`."""
    def generate_data_key_for(
        self, attestation: Attestation, handle: int, size: int, context: _Context
    ) -> tuple[bytes, bytes]:
        """As `generate_data_key`: the enveloped data key and its blob."""
    def generate_random_for(self, attestation: Attestation, size: int) -> bytes:
        """As `generate_random`."""
    def derive_shared_secret_for(
        self, attestation: Attestation, handle: int, peer_public_key: bytes
    ) -> bytes:
        """As `derive_shared_secret`."""
    def generate_data_key_pair_for(
        self, attestation: Attestation, handle: int, pair_spec: str, context: _Context
    ) -> tuple[bytes, bytes, bytes]:
        """As `generate_data_key_pair`: the enveloped private key, its blob, the public key."""
    def seal_opaque(self, region: str, purpose: str, data: bytes) -> bytes:
        """Seal up to 6144 bytes for a purpose under the Region's token-sealing key."""
    def create_access_secret(self, region: str, access_key_id: str) -> bytes:
        """Make a secret access key of 40 characters; gives it sealed, as `seal_opaque` would for
        the purpose `access-key/ID`.
        """

    def create_session(self, region: str, access_key_id: str, claims: bytes) -> tuple[str, str]:
        """Make temporary credentials: the session token, which holds the claims (up to 6104 bytes)
        and the secret, sealed; and the secret access key of 40 characters. A `Keyring` takes
        signatures of the secret that come with the token.
        """

    def open_opaque(self, region: str, purpose: str, sealed: bytes) -> bytes:
        """Open what `seal_opaque` sealed for the same purpose. Raises InvalidToken."""
    def generate_data_keys(
        self, handle: int, count: int, size: int, context: _Context, threads: int | None = None
    ) -> tuple[NativeBuffer, NativeBuffer]:
        """Data keys of `size` bytes and their blobs (`size + BLOB_OVERHEAD` each), row by row."""
    def encrypt_many(
        self, handle: int, plaintexts: Any, context: _Context, threads: int | None = None
    ) -> tuple[NativeBuffer, NativeBuffer]:
        """Encrypt each of a list of bytes, a 2-D uint8 array or an Arrow binary array.

        Gives the blobs one after the other, and their n + 1 offsets as native-endian int64.
        Raises BatchFailure.
        """
    def decrypt_many(
        self, handles: dict[bytes, int], blobs: Any, context: _Context, threads: int | None = None
    ) -> tuple[NativeBuffer, NativeBuffer]:
        """Open each blob with the key that `handles` has for its HBKID; see `encrypt_many`."""
    def blob_keys(self, blobs: Any) -> list[bytes]:
        """The HBKIDs that the blobs name, each once."""

def blob_key(blob: bytes) -> bytes:
    """The HBKID that a ciphertext blob names. Raises InvalidCiphertext for anything else."""

def token_domain_key(token: bytes) -> bytes:
    """The id of the domain key that a token is sealed under."""

def material_id(hbkid: bytes) -> str:
    """KMS's KeyMaterialId for an HBKID: 64 lower-case hexadecimal digits."""

def request_id() -> str:
    """A random UUID from the HSM's DRBG: request ids, event ids, key ids."""

def read_json(body: bytes) -> dict[str, Any] | None:
    """The object that a body in UTF-8 holds, as `json.loads` reads it.

    None for whatever is not plainly one: no JSON, no object, a name that stands twice, a number
    with a fraction or beyond 64 bits, half a surrogate pair, more than 32 levels.
    """

def write_json(value: object, plain: Callable[[Any], object]) -> bytes:
    """A value as JSON in ASCII without spaces, bytes in base64.

    What JSON does not have is written as what `plain(value)` gives. Raises TypeError for a name
    that is no string, ValueError for a number that is not finite, and what `plain` raises.
    """

def record_line(
    fragments: tuple[str, str, str, dict[str, str], object],
    instant: str,
    source_ip: str,
    user_agent: str,
    params: object,
    request_id: str,
    event_id: str,
    resources: tuple[str, ...],
    transport: object,
) -> bytes | None:
    """The audit record of an allowed call as a line of JSON; None where `render` must write it.

    `fragments` are what the records of one operation and principal share (clavero.audit.record).
    """

def arrow_struct(
    columns: Sequence[tuple[str, NativeBuffer, NativeBuffer | None, int | None]],
    length: int,
    unwrap: bool = False,
) -> tuple[object, object]:
    """Arrow capsules (schema, array) of a struct of binary columns: name, bytes, offsets, or width.

    With one column and `unwrap`, of that column itself. No copy is made.
    """

@final
class Keyring:
    """Access keys whose secrets are under the HSM's shield: what signatures are verified with."""

    def __new__(cls, hsm: Hsm) -> Keyring: ...
    def put(self, access_key_id: str, account: str, arn: str, region: str, sealed: bytes) -> None:
        """Take an access key of the principal `arn`, in the place of one of the same id.

        `sealed` is its secret, sealed in `region` for the purpose `access-key/ID`. InvalidToken: it
        is not.
        """

    def remove(self, access_key_id: str) -> bool:
        """Forget an access key; False when there was none."""

    def status(self) -> tuple[int, int, int, int]:
        """How many access keys and signing keys there are, under the HSM's shield, and how often
        a signature's signing key was there, and was not.
        """

@final
class TlsConfig:
    """What a listener shows to its clients, and whom it lets in."""

    @staticmethod
    def from_pem(
        chain: bytes,
        key: bytes,
        *,
        client_authorities: bytes | None = None,
        client_subjects: list[str] = ...,
    ) -> TlsConfig:
        """A certificate chain, the server's first, and its private key.

        With `client_authorities` (PEM) who connects needs a certificate of theirs, and of one of
        `client_subjects` (a common name or DNS name) if there are any. ValueError: what cannot be
        used, and why.
        """

@final
class Authority:
    """A CA that issues the server certificates of one deployment."""

    @staticmethod
    def create(hsm: Hsm, region: str) -> tuple[Authority, str, bytes]:
        """Make a CA: itself, its certificate in PEM, and its private key, sealed in `region`."""

    @staticmethod
    def open(hsm: Hsm, region: str, certificate: bytes, sealed: bytes) -> Authority:
        """Open a CA that was made before. InvalidToken: the key is another's or was changed."""

    def issue(
        self,
        hosts: list[str],
        *,
        client_authorities: bytes | None = None,
        client_subjects: list[str] = ...,
    ) -> TlsConfig:
        """A server certificate of 90 days for DNS names and addresses, with a key of its own."""

@final
class Endpoint:
    """Listeners that serve verified requests, until `close`."""

    def __new__(
        cls,
        keyring: Keyring,
        listeners: list[tuple[str, str | None, str | None, list[str], bool]],
        tls: TlsConfig | None,
        caller: Callable[[str, str, str, str, bytes | None], Any],
        answer: Callable[..., tuple[int, str, bytes]],
        hold: Callable[[], None],
        release: Callable[[], tuple[int, bytes] | None],
        operations: list[str],
        *,
        limits: tuple[int, float, float, float],
        threads: int,
        workers: int,
    ) -> Endpoint:
        """Listen and serve.

        A listener is its address and port, the VPC endpoint and VPC that it stands for, trusted
        proxies, and whether these speak PROXY protocol v2. `tls` is None for plain HTTP, which
        loopback addresses may have. `caller(access_key_id, account, arn, region, claims)`
        is asked once for each access key and Region, `answer(protocol, caller, target,
        content_type, body, user_agent, source, host, trace, connection)` for each request,
        from threads of the endpoint; `connection` is TLS version, cipher suite, group, VPC
        endpoint and VPC. Between `hold()` and `release()` a thread answers several quick
        calls, whose answers leave after `release`, or with the status and body that it gives
        instead. `limits` are connections at a time, and the seconds for a handshake, for a
        head, and for a body or for taking some of an answer. OSError: an address that cannot
        be had. ValueError: a setting that makes no sense.
        """

    @property
    def addresses(self) -> list[str]:
        """The addresses and ports, in the order of the listeners."""

    def replace_tls(self, tls: TlsConfig) -> None:
        """Show another certificate to connections from now on."""

    def metrics(self) -> str:
        """Counts of requests, latencies and handshakes in Prometheus' text format."""

    def close(self, patience: float) -> bool:
        """Accept nothing more, answer what arrived, end; False where `patience` seconds were too
        few.
        """
