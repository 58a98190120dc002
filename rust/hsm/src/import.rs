//! ImportKeyMaterial: wrapping key pairs for the way in, and key material that comes wrapped under them. Seeds: material in the clear.
//!
//! A wrapping key's private half is sealed under the Region's token-sealing key, for a purpose that the caller names (whose import
//! it is), and comes back with the material: the HSM keeps nothing.

use zeroize::Zeroizing;

use crate::crypto::kdf::kbkdf_ctr_hmac_sha256;
use crate::crypto::mac::hmac_sha256;
use crate::crypto::pkey::{KeyType, PrivateKey};
use crate::crypto::{keywrap, rsa};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, NewKey, open_inner};
use crate::key::spec::{MAX_SECRET_LEN, WrappingAlgorithm, wrapping_key};
use crate::memory::{Depth, KeyScope, with_keys};
use crate::sealed::{Label, Parts, open_scratch, push_field, seal_scratch};
use crate::selftest::{Tested, ensure_tested};
use crate::token::{Hbkid, KeyBinding};

/// Names the fingerprint's own key, apart from the other keys that the token-sealing key gives.
const FINGERPRINT: &[u8] = b"kms/fpr/v1\0";
/// Label of what names a seeded version.
const SEEDED: &[u8] = b"kms/seed/v1\0";

/// A wrapping key pair.
pub struct WrappingKey {
    /// SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The private half, sealed for its Region and purpose.
    pub sealed_private_key: Vec<u8>,
}

/// Key material that was imported.
pub struct Imported {
    /// The key.
    pub key: NewKey,
    /// The same for the same material of the same spec in a Region, and says nothing else about it.
    pub fingerprint: [u8; 32],
}

impl Hsm {
    /// Makes a wrapping key pair of KMS's WrappingKeySpec.
    pub fn create_wrapping_key(&self, region: &str, purpose: &str, wrapping_spec: &str) -> Result<WrappingKey> {
        let key_type = wrapping_key(wrapping_spec)?;
        let aad = wrapping_aad(purpose)?;
        let _running = self.enter_batch()?;
        open_inner(&*self.read()?)?.state(region)?;
        self.with_scratch(|scratch| {
            let (len, public_key) = self.make_pair(key_type, scratch)?;
            let guard = self.read()?;
            let sealing = open_inner(&guard)?.state(region)?.token_sealing_key().expose_secret();
            let sealed_private_key = seal_scratch(scratch, len, sealing, &[0; 16], Label::Wrapping, &aad)?;
            Ok(WrappingKey { public_key, sealed_private_key })
        })
    }

    /// Unwraps key material, checks that it is of the binding's spec, and takes it: under its old id where `hbkid` gives one. Material
    /// that does not unwrap is [`Error::InvalidCiphertext`]; of another kind or length, [`Error::Limit`]; a wrapping key of another
    /// purpose or Region, [`Error::InvalidToken`].
    #[allow(clippy::too_many_arguments)] // each is its own field of ImportKeyMaterial
    pub fn import_key(
        &self,
        region: &str,
        purpose: &str,
        sealed_private_key: &[u8],
        wrapping_algorithm: &str,
        wrapped: &[u8],
        binding: &KeyBinding<'_>,
        hbkid: Option<Hbkid>,
    ) -> Result<Imported> {
        let algorithm = WrappingAlgorithm::parse(wrapping_algorithm)?;
        let (spec, _) = binding.kind()?;
        let aad = wrapping_aad(purpose)?;
        let parts = Parts::parse(sealed_private_key).ok_or(Error::InvalidToken)?;
        let _running = self.enter_batch()?;
        if let Some(pair) = spec.pair() {
            ensure_tested(crate::selftest::of_key(pair))?;
        }
        ensure_tested(Tested::RsaOaep)?;
        ensure_tested(Tested::KeyWrap)?;
        self.with_scratch(|material| {
            let material_len = self.with_scratch(|opened| {
                let len = {
                    let guard = self.read()?;
                    let sealing = open_inner(&guard)?.state(region)?.token_sealing_key().expose_secret();
                    open_scratch(opened, &parts, sealing, Label::Wrapping, &aad).map_err(|_| Error::InvalidToken)?
                };
                let private_key = &opened.plaintext[..len];
                let out = &mut material.plaintext;
                with_keys(self.memory(), Depth::Shallow, |scope| {
                    let (bits, key) = wrapping_private_key(scope, private_key)?;
                    match algorithm {
                        WrappingAlgorithm::Oaep(hash) => rsa::decrypt(scope, &key, hash, wrapped, &mut out[..512]),
                        WrappingAlgorithm::AesKeyWrap(hash) => {
                            let (wrapped_key, wrapped) = wrapped.split_at_checked(bits / 8).ok_or(Error::InvalidCiphertext)?;
                            let mut aes = Zeroizing::new([0; 512]);
                            let len = rsa::decrypt(scope, &key, hash, wrapped_key, &mut aes[..])?;
                            let aes = <&[u8; 32]>::try_from(&aes[..len]).map_err(|_| Error::InvalidCiphertext)?;
                            keywrap::unwrap(scope, aes, wrapped, &mut out[..])
                        }
                    }
                })
            })?;
            if material_len > MAX_SECRET_LEN * 2 {
                return Err(Error::Limit(format!("{material_len} bytes are no key material of spec {}", binding.spec)));
            }
            self.with_scratch(|admitted| {
                let key = self.admit_material(binding, hbkid, admitted, &material.plaintext[..material_len])?;
                // The canonical form is what counts: the same key in another encoding is the same material.
                let len = {
                    let guard = self.read()?;
                    open_inner(&guard)?.keys.unshield_secret(key.handle, &mut material.plaintext)?
                };
                let fingerprint = self.fingerprint(binding, &material.plaintext[..len])?;
                Ok(Imported { key, fingerprint })
            })
        })
    }

    /// Takes key material that its owner has in the clear, for version `number` (from 1) of a key. Its id follows from the material,
    /// the account, the key id, the spec and the number alone: the same seed gives the same id in every HSM, and the material of a
    /// version can be compared by it. Material of another kind or length is [`Error::Limit`].
    pub fn import_plain_key(&self, binding: &KeyBinding<'_>, material: &[u8], number: u32) -> Result<Imported> {
        let (spec, _) = binding.kind()?;
        if material.len() > MAX_SECRET_LEN * 2 {
            return Err(Error::Limit(format!("{} bytes are no key material of spec {}", material.len(), binding.spec)));
        }
        let _running = self.enter_batch()?;
        if let Some(pair) = spec.pair() {
            ensure_tested(crate::selftest::of_key(pair))?;
        }
        self.with_scratch(|admitted| {
            let (len, public_key) = self.canonical(binding, admitted, material)?;
            let canonical = &admitted.plaintext[..len];
            let fingerprint = self.fingerprint(binding, canonical)?;
            let hbkid = seeded_id(binding, canonical, number)?;
            let (hbkid, token, handle) = self.admit_key(binding, Some(hbkid), admitted, len)?;
            Ok(Imported { key: NewKey { hbkid, token, handle, public_key }, fingerprint })
        })
    }

    /// See [`Imported::fingerprint`].
    pub(crate) fn fingerprint(&self, binding: &KeyBinding<'_>, material: &[u8]) -> Result<[u8; 32]> {
        let guard = self.read()?;
        let sealing = open_inner(&guard)?.state(binding.region)?.token_sealing_key().expose_secret();
        self.with_scratch(|scratch| {
            let (key, message) = (&mut scratch.key[..32], &mut scratch.plaintext);
            kbkdf_ctr_hmac_sha256(sealing, FINGERPRINT, key)?;
            let spec = binding.spec.as_bytes();
            let len = spec.len() + 1 + material.len();
            let room = message.get_mut(..len).ok_or(Error::Internal("a key's length"))?;
            room[..spec.len()].copy_from_slice(spec); // no spec has a zero byte: spec ‖ 0 ‖ material
            room[spec.len()] = 0;
            room[spec.len() + 1..].copy_from_slice(material);
            hmac_sha256(key, room)
        })
    }

    /// Wraps `material` as a caller would. Only for tests.
    #[cfg(feature = "test-door")]
    pub fn wrap_material(&self, public_key: &[u8], wrapping: (&str, &str), material: &[u8]) -> Result<Vec<u8>> {
        open_inner(&*self.read()?)?;
        let key = crate::crypto::pkey::PublicKey::from_spki(wrapping_key(wrapping.0)?, public_key)?;
        match WrappingAlgorithm::parse(wrapping.1)? {
            WrappingAlgorithm::Oaep(hash) => rsa::encrypt(&key, hash, material),
            WrappingAlgorithm::AesKeyWrap(hash) => {
                let mut aes = [0; 32];
                crate::rng::fill_random(&mut aes)?;
                let wrapped = with_keys(self.memory(), Depth::Shallow, |scope| keywrap::wrap(scope, &aes, material))?;
                Ok([rsa::encrypt(&key, hash, &aes)?, wrapped].concat())
            }
        }
    }
}

/// A private wrapping key and the bits of its modulus.
fn wrapping_private_key(scope: &KeyScope, der: &[u8]) -> Result<(usize, PrivateKey)> {
    [2048u16, 3072, 4096]
        .into_iter()
        .find_map(|bits| {
            let key = PrivateKey::from_pkcs8(scope, KeyType::Rsa(u32::from(bits)), der).ok()?;
            Some((usize::from(bits), key))
        })
        .ok_or(Error::InvalidToken)
}

/// The id of a seeded version: a pseudorandom function of public facts under the material, so that it says nothing of the material.
/// The Region is not among them: a multi-Region key has one id for its material.
fn seeded_id(binding: &KeyBinding<'_>, material: &[u8], number: u32) -> Result<Hbkid> {
    let mut input = SEEDED.to_vec();
    for field in [binding.account, binding.key_id, binding.spec] {
        push_field(&mut input, field.as_bytes())?;
    }
    input.extend_from_slice(&number.to_be_bytes());
    let mut hbkid = [0; 16];
    kbkdf_ctr_hmac_sha256(material, &input, &mut hbkid)?;
    Ok(hbkid)
}

fn wrapping_aad(purpose: &str) -> Result<Vec<u8>> {
    let mut aad = Vec::with_capacity(64);
    push_field(&mut aad, purpose.as_bytes())?;
    Ok(aad)
}
