//! ECDSA (FIPS 186-5) with DER signatures, and ECDH (SP 800-56A), over P-256, P-384, P-521 and secp256k1.
#![allow(unsafe_code)] // ECDSA_* and ECDH_* through aws-lc-sys

use std::ptr::null;

use aws_lc_sys as ffi;

use crate::crypto::pkey::{KeyType, PrivateKey, PublicKey, done};
use crate::error::{Error, Result};
use crate::memory::{KeyScope, with_libcrypto};

/// The most bytes of a coordinate: P-521's.
pub const MAX_FIELD_LEN: usize = 66;

/// An elliptic curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// secp256k1 (SEC 2).
    Secp256k1,
}

impl Curve {
    pub(super) fn nid(self) -> i32 {
        match self {
            Curve::P256 => ffi::NID_X9_62_prime256v1,
            Curve::P384 => ffi::NID_secp384r1,
            Curve::P521 => ffi::NID_secp521r1,
            Curve::Secp256k1 => ffi::NID_secp256k1,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
            Curve::Secp256k1 => "secp256k1",
        }
    }

    /// Bytes of a coordinate, which is what ECDH gives.
    pub fn field_len(self) -> usize {
        match self {
            Curve::P256 | Curve::Secp256k1 => 32,
            Curve::P384 => 48,
            Curve::P521 => MAX_FIELD_LEN,
        }
    }
}

/// Signs `digest`; the signature is DER.
pub fn sign(_scope: &KeyScope, key: &PrivateKey, digest: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: the getter gives null for other keys, which is checked; the output has ECDSA_size bytes, which is the most.
    unsafe {
        let ec = ffi::EVP_PKEY_get0_EC_KEY(key.as_ptr());
        if ec.is_null() {
            return Err(Error::Internal("a key's type"));
        }
        let mut out = vec![0; ffi::ECDSA_size(ec)];
        let mut len = 0;
        done(ffi::ECDSA_sign(0, digest.as_ptr(), digest.len(), out.as_mut_ptr(), &mut len, ec), "ECDSA")?;
        out.truncate(usize::try_from(len).unwrap_or(0));
        Ok(out)
    }
}

/// Whether `signature` (DER) is one of `digest`.
pub fn verify(key: &PublicKey, digest: &[u8], signature: &[u8]) -> Result<bool> {
    with_libcrypto(|| {
        // SAFETY: as in `sign`; pointers and lengths come from slices.
        unsafe {
            let ec = ffi::EVP_PKEY_get0_EC_KEY(key.as_ptr());
            if ec.is_null() {
                return Err(Error::Internal("a key's type"));
            }
            Ok(ffi::ECDSA_verify(0, digest.as_ptr(), digest.len(), signature.as_ptr(), signature.len(), ec) == 1)
        }
    })
}

/// The shared secret with `peer`, which is on the same curve: the x coordinate, in `field_len` bytes.
pub fn agree(_scope: &KeyScope, key: &PrivateKey, peer: &PublicKey, out: &mut [u8; MAX_FIELD_LEN]) -> Result<usize> {
    let KeyType::Ec(curve) = key.key_type() else { return Err(Error::Internal("a key's type")) };
    let len = curve.field_len();
    // SAFETY: null getters are checked; the output has `len` bytes. Parsing put the peer's point on the same curve.
    unsafe {
        let own = ffi::EVP_PKEY_get0_EC_KEY(key.as_ptr());
        let other = ffi::EVP_PKEY_get0_EC_KEY(peer.as_ptr());
        let point = if other.is_null() { null() } else { ffi::EC_KEY_get0_public_key(other) };
        if own.is_null() || point.is_null() {
            return Err(Error::Internal("a key's type"));
        }
        let written = ffi::ECDH_compute_key(out.as_mut_ptr().cast(), len, point, own, None);
        if usize::try_from(written) == Ok(len) { Ok(len) } else { Err(Error::Internal("ECDH")) }
    }
}
