//! Ed25519 and Ed25519ph with an empty context (RFC 8032).
#![allow(unsafe_code)] // ED25519* through aws-lc-sys

use std::ptr::null;

use aws_lc_sys as ffi;
use zeroize::Zeroizing;

use crate::crypto::pkey::{PrivateKey, PublicKey, done};
use crate::error::{Error, Result};
use crate::memory::{KeyScope, with_libcrypto};

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// What is signed.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A message (Ed25519).
    Message(&'a [u8]),
    /// A SHA-512 digest (Ed25519ph).
    Prehash(&'a [u8; 64]),
}

/// The seed and the public key, as libcrypto's functions want them; on the scope's stack.
fn seed_and_public(key: &PrivateKey) -> Result<Zeroizing<[u8; 64]>> {
    let mut both = Zeroizing::new([0; 64]);
    let (mut seed_len, mut public_len) = (32, 32);
    // SAFETY: a live key; the two halves have the 32 bytes that are named.
    unsafe {
        let (seed, public) = both.split_at_mut(32);
        done(ffi::EVP_PKEY_get_raw_private_key(key.as_ptr(), seed.as_mut_ptr(), &mut seed_len), "Ed25519")?;
        done(ffi::EVP_PKEY_get_raw_public_key(key.as_ptr(), public.as_mut_ptr(), &mut public_len), "Ed25519")?;
    }
    if (seed_len, public_len) == (32, 32) { Ok(both) } else { Err(Error::Internal("Ed25519")) }
}

/// Signs.
pub fn sign(_scope: &KeyScope, key: &PrivateKey, input: Input<'_>) -> Result<Vec<u8>> {
    let key = seed_and_public(key)?;
    let mut out = vec![0; SIGNATURE_LEN];
    // SAFETY: signature, digest and key have the lengths of the algorithm; an empty context may be null.
    let signed = unsafe {
        match input {
            Input::Message(message) => ffi::ED25519_sign(out.as_mut_ptr(), message.as_ptr(), message.len(), key.as_ptr()),
            Input::Prehash(digest) => ffi::ED25519ph_sign_digest(out.as_mut_ptr(), digest.as_ptr(), key.as_ptr(), null(), 0),
        }
    };
    done(signed, "Ed25519")?;
    Ok(out)
}

/// Whether `signature` is one of the input.
pub fn verify(key: &PublicKey, input: Input<'_>, signature: &[u8]) -> Result<bool> {
    let Ok(signature) = <&[u8; SIGNATURE_LEN]>::try_from(signature) else { return Ok(false) };
    with_libcrypto(|| {
        let (mut public, mut len) = ([0; 32], 32);
        // SAFETY: a live key; the arrays have the lengths of the algorithm.
        unsafe {
            done(ffi::EVP_PKEY_get_raw_public_key(key.as_ptr(), public.as_mut_ptr(), &mut len), "Ed25519")?;
            let verified = match input {
                Input::Message(message) => {
                    ffi::ED25519_verify(message.as_ptr(), message.len(), signature.as_ptr(), public.as_ptr())
                }
                Input::Prehash(digest) => {
                    ffi::ED25519ph_verify_digest(digest.as_ptr(), signature.as_ptr(), public.as_ptr(), null(), 0)
                }
            };
            Ok(verified == 1)
        }
    })
}
