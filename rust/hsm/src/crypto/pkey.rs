//! Key pairs as libcrypto's EVP_PKEY: made, read and written as PKCS #8 and SubjectPublicKeyInfo, in strict DER.
#![allow(unsafe_code)] // EVP_PKEY through aws-lc-sys: a private key's memory must be ours (ADR 0005)

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

use aws_lc_sys as ffi;
use aws_lc_sys::{CBB, CBS, EVP_PKEY};
use zeroize::Zeroizing;

use super::rsa_pair;
use crate::crypto::ec::Curve;
use crate::error::{Error, Result};
use crate::memory::{KeyScope, OPERATIONS, ProcessMemory, with_libcrypto};
use crate::rng::fill_random;

/// What kind of key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA with a modulus of so many bits.
    Rsa(u32),
    /// A short Weierstrass curve.
    Ec(Curve),
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
    /// ML-KEM-512 (FIPS 203).
    MlKem512,
    /// ML-KEM-768.
    MlKem768,
    /// ML-KEM-1024.
    MlKem1024,
}

impl KeyType {
    fn post_quantum_nid(self) -> Option<c_int> {
        match self {
            KeyType::MlDsa44 => Some(ffi::NID_MLDSA44),
            KeyType::MlDsa65 => Some(ffi::NID_MLDSA65),
            KeyType::MlDsa87 => Some(ffi::NID_MLDSA87),
            KeyType::MlKem512 => Some(ffi::NID_MLKEM512),
            KeyType::MlKem768 => Some(ffi::NID_MLKEM768),
            KeyType::MlKem1024 => Some(ffi::NID_MLKEM1024),
            _ => None,
        }
    }

    /// About how many bytes of the key heap a parsed private key takes, once it was used.
    pub(crate) fn parsed_bytes(self) -> usize {
        match self {
            KeyType::Rsa(bits) => usize::try_from(bits).unwrap_or(usize::MAX).saturating_mul(5), // with two blindings
            KeyType::Ec(_) | KeyType::Ed25519 => 2 << 10,
            KeyType::MlKem512 | KeyType::MlKem768 | KeyType::MlKem1024 => 10 << 10,
            KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => 20 << 10,
        }
    }

    /// Whether its operations go deep into the stack.
    pub(crate) fn is_post_quantum(self) -> bool {
        self.post_quantum_nid().is_some()
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Rsa(2048) => "RSA-2048",
            KeyType::Rsa(3072) => "RSA-3072",
            KeyType::Rsa(4096) => "RSA-4096",
            KeyType::Rsa(_) => "RSA",
            KeyType::Ec(curve) => curve.name(),
            KeyType::Ed25519 => "Ed25519",
            KeyType::MlDsa44 => "ML-DSA-44",
            KeyType::MlDsa65 => "ML-DSA-65",
            KeyType::MlDsa87 => "ML-DSA-87",
            KeyType::MlKem512 => "ML-KEM-512",
            KeyType::MlKem768 => "ML-KEM-768",
            KeyType::MlKem1024 => "ML-KEM-1024",
        }
    }

    /// Whether `pkey` is a key of exactly this type.
    fn is_type_of(self, pkey: NonNull<EVP_PKEY>) -> bool {
        // SAFETY: a live EVP_PKEY; each accessor is called for the type that the id says.
        unsafe {
            match (self, ffi::EVP_PKEY_id(pkey.as_ptr())) {
                (KeyType::Rsa(bits), ffi::EVP_PKEY_RSA) => u32::try_from(ffi::EVP_PKEY_bits(pkey.as_ptr())) == Ok(bits),
                (KeyType::Ec(curve), ffi::EVP_PKEY_EC) => {
                    let key = ffi::EVP_PKEY_get0_EC_KEY(pkey.as_ptr());
                    // A curve that is spelt out is refused even where it is the right one: nobody writes that but attackers.
                    ffi::EC_KEY_decoded_from_explicit_params(key) == 0
                        && ffi::EC_GROUP_get_curve_name(ffi::EC_KEY_get0_group(key)) == curve.nid()
                }
                (KeyType::Ed25519, ffi::EVP_PKEY_ED25519) => true,
                (_, ffi::EVP_PKEY_PQDSA) => Some(ffi::EVP_PKEY_pqdsa_get_type(pkey.as_ptr())) == self.post_quantum_nid(),
                (_, ffi::EVP_PKEY_KEM) => Some(ffi::EVP_PKEY_kem_get_type(pkey.as_ptr())) == self.post_quantum_nid(),
                _ => false,
            }
        }
    }
}

/// Ok if libcrypto said 1.
pub(super) fn done(returned: c_int, what: &'static str) -> Result<()> {
    if returned == 1 { Ok(()) } else { Err(Error::Internal(what)) }
}

fn whole(der: &[u8], parse: unsafe extern "C" fn(*mut CBS) -> *mut EVP_PKEY) -> Option<NonNull<EVP_PKEY>> {
    let mut cbs = MaybeUninit::<CBS>::uninit();
    // SAFETY: CBS_init fills the struct; the parser reads the bytes, which outlive the call, and gives an owned key or null.
    unsafe {
        ffi::CBS_init(cbs.as_mut_ptr(), der.as_ptr(), der.len());
        let pkey = NonNull::new(parse(cbs.as_mut_ptr()))?;
        if ffi::CBS_len(cbs.as_ptr()) != 0 {
            ffi::EVP_PKEY_free(pkey.as_ptr());
            return None; // bytes after the structure
        }
        Some(pkey)
    }
}

/// Writes DER into `out`; gives its length.
fn marshal(
    pkey: NonNull<EVP_PKEY>,
    write: unsafe extern "C" fn(*mut CBB, *const EVP_PKEY) -> c_int,
    out: &mut [u8],
) -> Result<usize> {
    let mut cbb = MaybeUninit::<CBB>::uninit();
    let mut len = 0;
    // SAFETY: the CBB writes into `out` only, which outlives it; CBB_finish gives the length written. A fixed CBB owns no memory.
    unsafe {
        done(ffi::CBB_init_fixed(cbb.as_mut_ptr(), out.as_mut_ptr(), out.len()), "a DER buffer")?;
        done(write(cbb.as_mut_ptr(), pkey.as_ptr()), "writing a key")?;
        done(ffi::CBB_finish(cbb.as_mut_ptr(), null_mut(), &mut len), "writing a key")?;
    }
    Ok(len)
}

fn public_spki(pkey: NonNull<EVP_PKEY>) -> Result<Vec<u8>> {
    let mut out = [0; 4096]; // ML-DSA-87's has 2614 bytes
    let len = marshal(pkey, ffi::EVP_marshal_public_key, &mut out)?;
    out.get(..len).map(<[u8]>::to_vec).ok_or(Error::Internal("a public key"))
}

/// A private key: in the key heap, reachable in a key scope only.
pub struct PrivateKey {
    pkey: NonNull<EVP_PKEY>,
    key_type: KeyType,
    memory: &'static ProcessMemory,
}

// SAFETY: libcrypto documents concurrent const use of an EVP_PKEY as safe (RSA's blindings are behind its own lock).
unsafe impl Send for PrivateKey {}
// SAFETY: as above.
unsafe impl Sync for PrivateKey {}

impl PrivateKey {
    fn adopt(scope: &KeyScope, key_type: KeyType, pkey: *mut EVP_PKEY) -> Result<PrivateKey> {
        let pkey = NonNull::new(pkey).ok_or(Error::Internal("making a key pair"))?;
        Ok(PrivateKey { pkey, key_type, memory: scope.memory() })
    }

    /// A new key pair. RSA takes 30 ms to seconds, and asks `cancelled` meanwhile.
    pub fn generate(scope: &mut KeyScope, key_type: KeyType, cancelled: &dyn Fn() -> bool) -> Result<PrivateKey> {
        let pkey = match key_type {
            KeyType::Rsa(bits) => generate_rsa(scope, bits, cancelled)?.as_ptr(),
            KeyType::Ec(curve) => generate_ec(curve)?,
            _ => {
                let mut seed = Zeroizing::new([0; 64]);
                let seed = &mut seed[..key_type.seed_len()];
                fill_random(seed)?;
                return PrivateKey::from_seed(scope, key_type, seed);
            }
        };
        PrivateKey::adopt(scope, key_type, pkey)
    }

    /// The key pair of a seed: Ed25519's and ML-DSA's 32 bytes, ML-KEM's d ‖ z.
    pub fn from_seed(scope: &KeyScope, key_type: KeyType, seed: &[u8]) -> Result<PrivateKey> {
        if seed.len() != key_type.seed_len() {
            return Err(Error::Limit(format!("the seed of a {} key has another length", key_type.name())));
        }
        let pkey = match (key_type, key_type.post_quantum_nid()) {
            (KeyType::MlKem512 | KeyType::MlKem768 | KeyType::MlKem1024, Some(nid)) => kem_from_seed(nid, seed)?,
            // SAFETY: pointer and length come from a slice; an owned key or null comes back.
            (_, Some(nid)) => unsafe { ffi::EVP_PKEY_pqdsa_new_raw_private_key(nid, seed.as_ptr(), seed.len()) },
            // SAFETY: as above.
            (KeyType::Ed25519, None) => unsafe {
                ffi::EVP_PKEY_new_raw_private_key(ffi::EVP_PKEY_ED25519, null_mut(), seed.as_ptr(), seed.len())
            },
            _ => null_mut(),
        };
        PrivateKey::adopt(scope, key_type, pkey)
    }

    /// Reads PKCS #8. The type, the curve and the size must be the given ones, the public half must belong to the private one.
    pub fn from_pkcs8(scope: &KeyScope, key_type: KeyType, der: &[u8]) -> Result<PrivateKey> {
        let refused =
            || Error::Limit(format!("the key material is not the DER of a PKCS #8 private key of type {}", key_type.name()));
        let pkey = whole(der, ffi::EVP_parse_private_key).ok_or_else(refused)?;
        let key = PrivateKey::adopt(scope, key_type, pkey.as_ptr())?;
        if !key_type.is_type_of(pkey) || !key.is_complete() {
            return Err(refused());
        }
        Ok(key)
    }

    /// RSA with its primes, and lattice keys with their seed: what can be written again in the canonical form.
    fn is_complete(&self) -> bool {
        // SAFETY: a live key of the type; the getters give borrowed pointers or a length.
        unsafe {
            match self.key_type {
                KeyType::Rsa(_) => {
                    let rsa = ffi::EVP_PKEY_get0_RSA(self.as_ptr());
                    !ffi::RSA_get0_p(rsa).is_null() && !ffi::RSA_get0_iqmp(rsa).is_null()
                }
                KeyType::Ec(_) | KeyType::Ed25519 => true,
                _ => {
                    let mut len = 0;
                    ffi::EVP_PKEY_get_private_seed(self.as_ptr(), null_mut(), &mut len) == 1
                }
            }
        }
    }

    /// Writes PKCS #8 (lattice keys in the seed form of RFC 9881 and RFC 9935); gives its length.
    pub fn to_pkcs8(&self, _scope: &KeyScope, out: &mut [u8]) -> Result<usize> {
        marshal(self.pkey, ffi::EVP_marshal_private_key, out)
    }

    /// The public key as SubjectPublicKeyInfo.
    pub fn public_spki(&self, _scope: &KeyScope) -> Result<Vec<u8>> {
        public_spki(self.pkey)
    }

    /// What kind of key it is.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    pub(super) fn as_ptr(&self) -> *mut EVP_PKEY {
        self.pkey.as_ptr()
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        if !self.memory.is_ours() {
            return; // a forked child: its pages are not there
        }
        // After the process wiped its keys at its end there is nothing to free: libcrypto would find a reference count of zero.
        if let Some(_running) = OPERATIONS.try_enter() {
            // SAFETY: owned, freed once; the key heap wipes it.
            unsafe { ffi::EVP_PKEY_free(self.pkey.as_ptr()) };
        }
    }
}

/// A public key.
pub struct PublicKey {
    pkey: NonNull<EVP_PKEY>,
    key_type: KeyType,
}

// SAFETY: libcrypto documents concurrent const use of an EVP_PKEY as safe.
unsafe impl Send for PublicKey {}
// SAFETY: as above.
unsafe impl Sync for PublicKey {}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo of exactly this type. Points must be on the curve, and may be compressed; every other kind of key has
    /// one encoding, and only that is taken (libcrypto passes over the parameters of RSA's algorithm identifier).
    pub fn from_spki(key_type: KeyType, der: &[u8]) -> Result<PublicKey> {
        let refused =
            || Error::Limit(format!("the public key is not the DER of a SubjectPublicKeyInfo of type {}", key_type.name()));
        with_libcrypto(|| {
            let key = PublicKey { pkey: whole(der, ffi::EVP_parse_public_key).ok_or_else(refused)?, key_type };
            let as_written = || matches!(key_type, KeyType::Ec(_)) || public_spki(key.pkey).is_ok_and(|written| written == der);
            if key_type.is_type_of(key.pkey) && as_written() { Ok(key) } else { Err(refused()) }
        })
    }

    /// What kind of key it is.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// Writes it again.
    pub fn to_spki(&self) -> Result<Vec<u8>> {
        with_libcrypto(|| public_spki(self.pkey))
    }

    pub(super) fn as_ptr(&self) -> *mut EVP_PKEY {
        self.pkey.as_ptr()
    }
}

impl Drop for PublicKey {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { ffi::EVP_PKEY_free(self.pkey.as_ptr()) };
    }
}

/// An operation's context, freed when dropped.
pub(super) struct Context(NonNull<ffi::EVP_PKEY_CTX>);

impl Context {
    pub(super) fn new(pkey: *mut EVP_PKEY) -> Result<Context> {
        // SAFETY: a live key, to which the context holds a reference.
        let context = unsafe { ffi::EVP_PKEY_CTX_new(pkey, null_mut()) };
        NonNull::new(context).map(Context).ok_or(Error::Internal("a key's context"))
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::EVP_PKEY_CTX {
        self.0.as_ptr()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { ffi::EVP_PKEY_CTX_free(self.0.as_ptr()) };
    }
}

impl KeyType {
    fn seed_len(self) -> usize {
        match self {
            KeyType::MlKem512 | KeyType::MlKem768 | KeyType::MlKem1024 => 64,
            _ => 32,
        }
    }
}

fn generate_ec(curve: Curve) -> Result<*mut EVP_PKEY> {
    // SAFETY: each pointer is checked before it is used, and freed or handed over once.
    unsafe {
        let key = NonNull::new(ffi::EC_KEY_new_by_curve_name(curve.nid())).ok_or(Error::Internal("a curve"))?;
        let pkey = ffi::EVP_PKEY_new();
        if ffi::EC_KEY_generate_key(key.as_ptr()) == 1 && ffi::EVP_PKEY_assign_EC_KEY(pkey, key.as_ptr()) == 1 {
            return Ok(pkey);
        }
        ffi::EC_KEY_free(key.as_ptr());
        ffi::EVP_PKEY_free(pkey);
        Err(Error::Internal("making an elliptic curve key"))
    }
}

fn kem_from_seed(nid: c_int, seed: &[u8]) -> Result<*mut EVP_PKEY> {
    let mut pkey = null_mut();
    let mut len = seed.len();
    // SAFETY: the context is checked and freed; the seed has the length that the algorithm wants, and libcrypto checks it.
    unsafe {
        let context = NonNull::new(ffi::EVP_PKEY_CTX_new_id(ffi::EVP_PKEY_KEM, null_mut())).ok_or(Error::Internal("ML-KEM"))?;
        let made = ffi::EVP_PKEY_CTX_kem_set_params(context.as_ptr(), nid) == 1
            && ffi::EVP_PKEY_keygen_init(context.as_ptr()) == 1
            && ffi::EVP_PKEY_keygen_deterministic(context.as_ptr(), &mut pkey, seed.as_ptr(), &mut len) == 1;
        ffi::EVP_PKEY_CTX_free(context.as_ptr());
        if made { Ok(pkey) } else { Err(Error::Internal("making an ML-KEM key")) }
    }
}

fn generate_rsa(scope: &mut KeyScope, bits: u32, cancelled: &dyn Fn() -> bool) -> Result<NonNull<EVP_PKEY>> {
    let bits = usize::try_from(bits).map_err(|_| Error::Internal("an RSA size"))?;
    rsa_pair::generate(bits, &mut || {
        scope.breathe();
        if cancelled() || crate::memory::wiping_started() { Err(Error::Sealed) } else { Ok(()) }
    })
}
