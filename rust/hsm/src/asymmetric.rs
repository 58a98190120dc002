//! Operations of asymmetric and HMAC keys: Sign, Verify, RSA Encrypt and Decrypt, MACs, DeriveSharedSecret, Encapsulate, Decapsulate.
//!
//! A private key is used in a key scope, with no lock of the HSM held. What only needs a public key takes it as the caller has it.

use zeroize::Zeroizing;

use crate::crypto::digest::{Digest, Hash};
use crate::crypto::ec::Curve;
use crate::crypto::pkey::{KeyType, PrivateKey, PublicKey};
use crate::crypto::{ec, ed25519, mac, mldsa, mlkem, rsa};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, Running, open_inner};
use crate::key::depth_of;
use crate::key::spec::{KeySpec, KeyUsage, MessageType, SigningAlgorithm, mac_algorithm, rsa_encryption};
use crate::keytable::{KeyHandle, misfit};
use crate::memory::{KeyScope, with_keys};
use crate::selftest::{Tested, ensure_tested};

/// A message as its algorithm takes it.
enum Input<'a> {
    RsaPss(Hash, Hashed<'a>),
    RsaPkcs1(Hash, Hashed<'a>),
    Ecdsa(Hashed<'a>),
    Ed25519(ed25519::Input<'a>),
    MlDsa(mldsa::Input<'a>),
}

/// A digest that we made or were given.
enum Hashed<'a> {
    Made(Digest),
    Given(&'a [u8]),
}

impl std::ops::Deref for Hashed<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Hashed::Made(digest) => digest,
            Hashed::Given(digest) => digest,
        }
    }
}

fn hashed(hash: Hash, message_type: MessageType, message: &[u8]) -> Result<Hashed<'_>> {
    match message_type {
        MessageType::Raw => {
            if hash != Hash::Sha256 {
                ensure_tested(Tested::Hashes)?;
            }
            Ok(Hashed::Made(hash.digest(message)?))
        }
        _ if message.len() == hash.len() => Ok(Hashed::Given(message)),
        _ => Err(wrong_digest(hash, message)),
    }
}

fn wrong_digest(hash: Hash, message: &[u8]) -> Error {
    Error::Limit(format!("a digest for this algorithm has {} bytes ({}), not {}", hash.len(), hash.name(), message.len()))
}

/// The message in the algorithm's form, after the checks that all goes together and the algorithm's self-test.
fn prepare<'a>(key_type: KeyType, algorithm: &str, message_type: &str, message: &'a [u8]) -> Result<Input<'a>> {
    let parsed = SigningAlgorithm::parse(algorithm)?;
    let kind = MessageType::parse(message_type)?;
    if !parsed.fits(key_type) {
        return Err(misfit(algorithm, KeySpec::Pair(key_type)));
    }
    if !parsed.takes(kind) {
        return Err(Error::Limit(format!("the algorithm {algorithm} takes no message of type {message_type}")));
    }
    ensure_tested(match parsed {
        SigningAlgorithm::RsaPss(_) => Tested::RsaPss,
        SigningAlgorithm::RsaPkcs1(_) => Tested::RsaPkcs1,
        SigningAlgorithm::Ed25519Ph => Tested::Ed25519Ph,
        _ => crate::selftest::of_key(key_type),
    })?;
    Ok(match parsed {
        SigningAlgorithm::RsaPss(hash) => Input::RsaPss(hash, hashed(hash, kind, message)?),
        SigningAlgorithm::RsaPkcs1(hash) => Input::RsaPkcs1(hash, hashed(hash, kind, message)?),
        SigningAlgorithm::Ecdsa(hash) => Input::Ecdsa(hashed(hash, kind, message)?),
        SigningAlgorithm::Ed25519 => Input::Ed25519(ed25519::Input::Message(message)),
        SigningAlgorithm::Ed25519Ph => Input::Ed25519(ed25519::Input::Prehash(
            <&[u8; 64]>::try_from(message).map_err(|_| wrong_digest(Hash::Sha512, message))?,
        )),
        SigningAlgorithm::MlDsa if kind == MessageType::ExternalMu => {
            Input::MlDsa(mldsa::Input::Mu(message.try_into().map_err(|_| {
                Error::Limit(format!("the message representative mu has {} bytes, not {}", mldsa::MU_LEN, message.len()))
            })?))
        }
        SigningAlgorithm::MlDsa => Input::MlDsa(mldsa::Input::Message(message)),
    })
}

fn sign(scope: &KeyScope, key: &PrivateKey, input: &Input<'_>) -> Result<Vec<u8>> {
    match input {
        Input::RsaPss(hash, digest) => rsa::sign(scope, key, rsa::Padding::Pss, *hash, digest),
        Input::RsaPkcs1(hash, digest) => rsa::sign(scope, key, rsa::Padding::Pkcs1, *hash, digest),
        Input::Ecdsa(digest) => ec::sign(scope, key, digest),
        Input::Ed25519(input) => ed25519::sign(scope, key, *input),
        Input::MlDsa(input) => mldsa::sign(scope, key, *input),
    }
}

impl Hsm {
    /// Runs `work` with the private key of `handle`, in a key scope.
    fn with_private_key<T>(
        &self,
        _running: &Running<'_>,
        handle: KeyHandle,
        usage: KeyUsage,
        algorithm: &str,
        work: impl FnOnce(&KeyScope, &PrivateKey) -> Result<T>,
    ) -> Result<T> {
        let (key_type, key) = self.private_key(handle, usage, algorithm)?;
        with_keys(self.memory(), depth_of(key_type), |scope| work(scope, &key))
    }

    /// The spec of a loaded key pair that is for `usage`.
    fn pair_type(&self, handle: KeyHandle, usage: KeyUsage, algorithm: &str) -> Result<KeyType> {
        let guard = self.read()?;
        let (spec, own_usage) = open_inner(&guard)?.keys.describe(handle)?;
        spec.pair().filter(|_| own_usage == usage).ok_or_else(|| misfit(algorithm, spec))
    }

    /// Public-key operations are refused, too, where the HSM is sealed, forked or in its error state.
    fn ensure_open(&self) -> Result<()> {
        open_inner(&*self.read()?).map(drop)
    }

    /// Signs `message`, given as `message_type` says, under the names that KMS has for algorithm and type.
    pub fn sign(&self, handle: KeyHandle, algorithm: &str, message_type: &str, message: &[u8]) -> Result<Vec<u8>> {
        let key_type = self.pair_type(handle, KeyUsage::SignVerify, algorithm)?;
        let input = prepare(key_type, algorithm, message_type, message)?;
        let running = self.enter_batch()?;
        self.with_private_key(&running, handle, KeyUsage::SignVerify, algorithm, |scope, key| sign(scope, key, &input))
    }

    /// Whether `signature` is one of `message` under the public key (SubjectPublicKeyInfo) of a pair of this spec.
    pub fn verify(
        &self,
        public_key: &[u8],
        spec: KeySpec,
        algorithm: &str,
        message_type: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        self.ensure_open()?;
        let key_type = spec.pair().ok_or_else(|| misfit(algorithm, spec))?;
        let input = prepare(key_type, algorithm, message_type, message)?;
        let key = self.public_key(&[key_type], public_key)?;
        match input {
            Input::RsaPss(hash, digest) => rsa::verify(&key, rsa::Padding::Pss, hash, &digest, signature),
            Input::RsaPkcs1(hash, digest) => rsa::verify(&key, rsa::Padding::Pkcs1, hash, &digest, signature),
            Input::Ecdsa(digest) => ec::verify(&key, &digest, signature),
            Input::Ed25519(input) => ed25519::verify(&key, input, signature),
            Input::MlDsa(input) => mldsa::verify(&key, input, signature),
        }
    }

    /// Encrypts with RSAES_OAEP under a public key (SubjectPublicKeyInfo) of one of KMS's sizes.
    pub fn rsa_encrypt(&self, public_key: &[u8], algorithm: &str, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.ensure_open()?;
        let hash = rsa_encryption(algorithm)?;
        ensure_tested(Tested::RsaOaep)?;
        let key = self.public_key(&[KeyType::Rsa(2048), KeyType::Rsa(3072), KeyType::Rsa(4096)], public_key)?;
        rsa::encrypt(&key, hash, plaintext)
    }

    /// Opens RSAES_OAEP; gives the plaintext. Whatever is wrong with it is [`Error::InvalidCiphertext`].
    pub fn rsa_decrypt(&self, handle: KeyHandle, algorithm: &str, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new([0; 512]);
        let len = self.rsa_decrypt_into(&self.enter_batch()?, handle, algorithm, ciphertext, &mut out[..])?;
        Ok(Zeroizing::new(out[..len].to_vec()))
    }

    /// As [`rsa_decrypt`](Self::rsa_decrypt), into the front of `out`, which has at least 512 bytes; gives the length.
    pub(crate) fn rsa_decrypt_into(
        &self,
        running: &Running<'_>,
        handle: KeyHandle,
        algorithm: &str,
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize> {
        let hash = rsa_encryption(algorithm)?;
        let key_type = self.pair_type(handle, KeyUsage::EncryptDecrypt, algorithm)?;
        if !matches!(key_type, KeyType::Rsa(_)) {
            return Err(misfit(algorithm, KeySpec::Pair(key_type)));
        }
        ensure_tested(Tested::RsaOaep)?;
        self.with_private_key(running, handle, KeyUsage::EncryptDecrypt, algorithm, |scope, key| {
            rsa::decrypt(scope, key, hash, ciphertext, out)
        })
    }

    /// Runs `work` with the HMAC key of `handle` and the algorithm's hash.
    fn with_mac_key<T>(&self, handle: KeyHandle, algorithm: &str, work: impl FnOnce(Hash, &[u8]) -> Result<T>) -> Result<T> {
        let hash = mac_algorithm(algorithm)?;
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        let (spec, usage) = inner.keys.describe(handle)?;
        if spec != KeySpec::Hmac(hash) || usage != KeyUsage::GenerateVerifyMac {
            return Err(misfit(algorithm, spec));
        }
        if hash != Hash::Sha256 {
            ensure_tested(Tested::Hashes)?;
        }
        self.with_scratch(|scratch| {
            let len = inner.keys.unshield_secret(handle, &mut scratch.key)?;
            work(hash, &scratch.key[..len])
        })
    }

    /// The MAC of `message`.
    pub fn generate_mac(&self, handle: KeyHandle, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
        self.with_mac_key(handle, algorithm, |hash, key| Ok(mac::hmac(hash, key, message)?.to_vec()))
    }

    /// Whether `mac` is the whole MAC of `message`.
    pub fn verify_mac(&self, handle: KeyHandle, algorithm: &str, message: &[u8], mac: &[u8]) -> Result<bool> {
        self.with_mac_key(handle, algorithm, |hash, key| mac::verify_hmac(hash, key, message, mac))
    }

    /// ECDH with a peer's public key (SubjectPublicKeyInfo) on the same NIST curve: the raw x coordinate.
    pub fn derive_shared_secret(&self, handle: KeyHandle, peer_public_key: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new([0; ec::MAX_FIELD_LEN]);
        let len = self.derive_shared_secret_into(&self.enter_batch()?, handle, peer_public_key, &mut out[..])?;
        Ok(Zeroizing::new(out[..len].to_vec()))
    }

    /// As [`derive_shared_secret`](Self::derive_shared_secret), into the front of `out`; gives the length.
    pub(crate) fn derive_shared_secret_into(
        &self,
        running: &Running<'_>,
        handle: KeyHandle,
        peer_public_key: &[u8],
        out: &mut [u8],
    ) -> Result<usize> {
        let out = out.first_chunk_mut().ok_or(Error::Internal("a shared secret's room"))?;
        let key_type = self.pair_type(handle, KeyUsage::KeyAgreement, "ECDH")?;
        let (KeyType::Ec(Curve::P256) | KeyType::Ec(Curve::P384) | KeyType::Ec(Curve::P521)) = key_type else {
            return Err(misfit("ECDH", KeySpec::Pair(key_type)));
        };
        ensure_tested(Tested::Ecdh)?;
        let peer = PublicKey::from_spki(key_type, peer_public_key)?;
        self.with_private_key(running, handle, KeyUsage::KeyAgreement, "ECDH", |scope, key| ec::agree(scope, key, &peer, out))
    }

    /// A fresh shared secret under an ML-KEM public key (SubjectPublicKeyInfo), and its ciphertext.
    pub fn encapsulate(&self, public_key: &[u8], spec: KeySpec) -> Result<(Zeroizing<[u8; mlkem::SECRET_LEN]>, Vec<u8>)> {
        self.ensure_open()?;
        let key_type = spec.pair().filter(|key| is_kem(*key)).ok_or_else(|| misfit("ML_KEM", spec))?;
        ensure_tested(crate::selftest::of_key(key_type))?;
        let mut secret = Zeroizing::new([0; mlkem::SECRET_LEN]);
        let key = self.public_key(&[key_type], public_key)?;
        let ciphertext = mlkem::encapsulate(&key, key_type, &mut secret)?;
        Ok((secret, ciphertext))
    }

    /// The shared secret of an ML-KEM ciphertext. Only a wrong length is refused ([`Error::InvalidCiphertext`]): a ciphertext that
    /// was not made for this key gives a pseudo-random secret.
    pub fn decapsulate(&self, handle: KeyHandle, ciphertext: &[u8]) -> Result<Zeroizing<[u8; mlkem::SECRET_LEN]>> {
        let key_type = self.pair_type(handle, KeyUsage::EncapsulateDecapsulate, "ML_KEM")?;
        if !is_kem(key_type) {
            return Err(misfit("ML_KEM", KeySpec::Pair(key_type)));
        }
        ensure_tested(crate::selftest::of_key(key_type))?;
        self.with_private_key(&self.enter_batch()?, handle, KeyUsage::EncapsulateDecapsulate, "ML_KEM", |scope, key| {
            let mut secret = Zeroizing::new([0; mlkem::SECRET_LEN]);
            mlkem::decapsulate(scope, key, ciphertext, &mut secret)?;
            Ok(secret)
        })
    }
}

fn is_kem(key_type: KeyType) -> bool {
    matches!(key_type, KeyType::MlKem512 | KeyType::MlKem768 | KeyType::MlKem1024)
}
