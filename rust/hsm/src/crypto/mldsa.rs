//! ML-DSA (FIPS 204), hedged, with an empty context; of messages or of their representatives mu.
#![allow(unsafe_code)] // EVP_DigestSign and EVP_PKEY_sign through aws-lc-sys

use std::ptr::{NonNull, null, null_mut};

use aws_lc_sys as ffi;

use crate::crypto::pkey::{Context, PrivateKey, PublicKey, done};
use crate::error::{Error, Result};
use crate::memory::{KeyScope, with_libcrypto};

/// Bytes of a message representative.
pub const MU_LEN: usize = 64;
/// Bytes of the longest signature (ML-DSA-87).
const MOST: usize = 4627;

/// What is signed.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A message.
    Message(&'a [u8]),
    /// Its representative mu (FIPS 204, Algorithm 7, line 6).
    Mu(&'a [u8; MU_LEN]),
}

struct DigestContext(NonNull<ffi::EVP_MD_CTX>);

impl DigestContext {
    fn new() -> Result<DigestContext> {
        // SAFETY: gives an owned context or null.
        NonNull::new(unsafe { ffi::EVP_MD_CTX_new() }).map(DigestContext).ok_or(Error::Internal("ML-DSA"))
    }
}

impl Drop for DigestContext {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { ffi::EVP_MD_CTX_free(self.0.as_ptr()) };
    }
}

/// Signs.
pub fn sign(_scope: &KeyScope, key: &PrivateKey, input: Input<'_>) -> Result<Vec<u8>> {
    let (mut out, mut len) = (vec![0; MOST], MOST);
    // SAFETY: live contexts and key; the output is passed with its length, pointers and lengths come from slices.
    unsafe {
        match input {
            Input::Message(message) => {
                let context = DigestContext::new()?;
                let init = ffi::EVP_DigestSignInit(context.0.as_ptr(), null_mut(), null(), null_mut(), key.as_ptr());
                done(init, "ML-DSA")?;
                let signed = ffi::EVP_DigestSign(context.0.as_ptr(), out.as_mut_ptr(), &mut len, message.as_ptr(), message.len());
                done(signed, "ML-DSA")?;
            }
            Input::Mu(mu) => {
                let context = Context::new(key.as_ptr())?;
                done(ffi::EVP_PKEY_sign_init(context.as_ptr()), "ML-DSA")?;
                done(ffi::EVP_PKEY_sign(context.as_ptr(), out.as_mut_ptr(), &mut len, mu.as_ptr(), MU_LEN), "ML-DSA")?;
            }
        }
    }
    out.truncate(len);
    Ok(out)
}

/// Whether `signature` is one of the input.
pub fn verify(key: &PublicKey, input: Input<'_>, signature: &[u8]) -> Result<bool> {
    with_libcrypto(|| {
        // SAFETY: as in `sign`.
        unsafe {
            let verified = match input {
                Input::Message(message) => {
                    let context = DigestContext::new()?;
                    let init = ffi::EVP_DigestVerifyInit(context.0.as_ptr(), null_mut(), null(), null_mut(), key.as_ptr());
                    done(init, "ML-DSA")?;
                    ffi::EVP_DigestVerify(
                        context.0.as_ptr(),
                        signature.as_ptr(),
                        signature.len(),
                        message.as_ptr(),
                        message.len(),
                    )
                }
                Input::Mu(mu) => {
                    let context = Context::new(key.as_ptr())?;
                    done(ffi::EVP_PKEY_verify_init(context.as_ptr()), "ML-DSA")?;
                    ffi::EVP_PKEY_verify(context.as_ptr(), signature.as_ptr(), signature.len(), mu.as_ptr(), MU_LEN)
                }
            };
            Ok(verified == 1)
        }
    })
}
