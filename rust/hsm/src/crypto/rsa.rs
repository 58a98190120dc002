//! RSA (RFC 8017): PSS and PKCS #1 v1.5 signatures of digests, OAEP encryption.
#![allow(unsafe_code)] // RSA_* and EVP_PKEY_* through aws-lc-sys

use aws_lc_sys as ffi;

use crate::crypto::digest::Hash;
use crate::crypto::pkey::{Context, PrivateKey, PublicKey, done};
use crate::error::{Error, Result};
use crate::memory::{KeyScope, with_libcrypto};

/// How a digest is padded for signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// PSS: MGF1 with the same hash, a salt as long as the digest.
    Pss,
    /// PKCS #1 v1.5.
    Pkcs1,
}

/// libcrypto's sign for "a salt as long as the digest".
const SALT_AS_DIGEST: i32 = -1;

fn check(hash: Hash, digest: &[u8]) -> Result<()> {
    if digest.len() == hash.len() { Ok(()) } else { Err(Error::Internal("a digest's length")) }
}

/// Signs `digest`.
pub fn sign(_scope: &KeyScope, key: &PrivateKey, padding: Padding, hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
    check(hash, digest)?;
    // SAFETY: the getter gives null for keys that are not RSA, which is checked; the output has RSA_size bytes, as both calls demand.
    unsafe {
        let rsa = ffi::EVP_PKEY_get0_RSA(key.as_ptr());
        if rsa.is_null() {
            return Err(Error::Internal("a key's type"));
        }
        let mut out = vec![0; usize::try_from(ffi::RSA_size(rsa)).unwrap_or(0)];
        let len = match padding {
            Padding::Pss => {
                let mut len = 0;
                let signed = ffi::RSA_sign_pss_mgf1(
                    rsa,
                    &mut len,
                    out.as_mut_ptr(),
                    out.len(),
                    digest.as_ptr(),
                    digest.len(),
                    hash.md(),
                    hash.md(),
                    SALT_AS_DIGEST,
                );
                done(signed, "RSASSA-PSS")?;
                len
            }
            Padding::Pkcs1 => {
                let mut len = 0;
                let signed = ffi::RSA_sign(hash.nid(), digest.as_ptr(), digest.len(), out.as_mut_ptr(), &mut len, rsa);
                done(signed, "RSASSA-PKCS1-v1_5")?;
                usize::try_from(len).unwrap_or(usize::MAX)
            }
        };
        if len == out.len() { Ok(out) } else { Err(Error::Internal("an RSA signature")) }
    }
}

/// Whether `signature` is one of `digest`.
pub fn verify(key: &PublicKey, padding: Padding, hash: Hash, digest: &[u8], signature: &[u8]) -> Result<bool> {
    check(hash, digest)?;
    with_libcrypto(|| {
        // SAFETY: as in `sign`; pointers and lengths come from slices.
        unsafe {
            let rsa = ffi::EVP_PKEY_get0_RSA(key.as_ptr());
            if rsa.is_null() {
                return Err(Error::Internal("a key's type"));
            }
            let verified = match padding {
                Padding::Pss => ffi::RSA_verify_pss_mgf1(
                    rsa,
                    digest.as_ptr(),
                    digest.len(),
                    hash.md(),
                    hash.md(),
                    SALT_AS_DIGEST,
                    signature.as_ptr(),
                    signature.len(),
                ),
                Padding::Pkcs1 => {
                    ffi::RSA_verify(hash.nid(), digest.as_ptr(), digest.len(), signature.as_ptr(), signature.len(), rsa)
                }
            };
            Ok(verified == 1)
        }
    })
}

fn oaep(context: &Context, hash: Hash) -> Result<()> {
    // SAFETY: a live context, initialised for encryption or decryption.
    unsafe {
        done(ffi::EVP_PKEY_CTX_set_rsa_padding(context.as_ptr(), ffi::RSA_PKCS1_OAEP_PADDING), "RSA-OAEP")?;
        done(ffi::EVP_PKEY_CTX_set_rsa_oaep_md(context.as_ptr(), hash.md()), "RSA-OAEP")?;
        done(ffi::EVP_PKEY_CTX_set_rsa_mgf1_md(context.as_ptr(), hash.md()), "RSA-OAEP")
    }
}

/// The most bytes that OAEP takes under a modulus of `modulus_len` bytes (RFC 8017, 7.1.1).
pub fn oaep_limit(modulus_len: usize, hash: Hash) -> usize {
    modulus_len.saturating_sub(2 * hash.len() + 2)
}

/// Encrypts with OAEP: `hash` for label and MGF1, an empty label.
pub fn encrypt(key: &PublicKey, hash: Hash, plaintext: &[u8]) -> Result<Vec<u8>> {
    with_libcrypto(|| {
        let context = Context::new(key.as_ptr())?;
        // SAFETY: a live context; the output has the size that libcrypto names, pointers and lengths come from slices.
        unsafe {
            done(ffi::EVP_PKEY_encrypt_init(context.as_ptr()), "RSA-OAEP")?;
            oaep(&context, hash)?;
            let mut len = usize::try_from(ffi::EVP_PKEY_size(key.as_ptr())).unwrap_or(0);
            let limit = oaep_limit(len, hash);
            if plaintext.len() > limit {
                return Err(Error::Limit(format!(
                    "the plaintext has {} bytes; under this key and algorithm the most is {limit}",
                    plaintext.len()
                )));
            }
            let mut out = vec![0; len];
            let encrypted =
                ffi::EVP_PKEY_encrypt(context.as_ptr(), out.as_mut_ptr(), &mut len, plaintext.as_ptr(), plaintext.len());
            done(encrypted, "RSA-OAEP")?;
            if len == out.len() { Ok(out) } else { Err(Error::Internal("RSA-OAEP")) }
        }
    })
}

/// Opens OAEP into the front of `out`, which has as many bytes as the modulus; gives the plaintext's length.
pub fn decrypt(_scope: &KeyScope, key: &PrivateKey, hash: Hash, ciphertext: &[u8], out: &mut [u8]) -> Result<usize> {
    let context = Context::new(key.as_ptr())?;
    // SAFETY: a live context; `out` is passed with its length, pointers and lengths come from slices.
    unsafe {
        done(ffi::EVP_PKEY_decrypt_init(context.as_ptr()), "RSA-OAEP")?;
        oaep(&context, hash)?;
        let size = usize::try_from(ffi::EVP_PKEY_size(key.as_ptr())).unwrap_or(usize::MAX);
        if ciphertext.len() != size {
            return Err(Error::InvalidCiphertext);
        }
        let mut len = out.len();
        let decrypted =
            ffi::EVP_PKEY_decrypt(context.as_ptr(), out.as_mut_ptr(), &mut len, ciphertext.as_ptr(), ciphertext.len());
        if decrypted == 1 { Ok(len) } else { Err(Error::InvalidCiphertext) }
    }
}
