//! HMAC-SHA-256 (FIPS 198-1).
#![allow(unsafe_code)] // HMAC through aws-lc-sys

use aws_lc_sys::{EVP_sha256, HMAC};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::memory::hook_libcrypto;

/// The 32-byte MAC of `message` under `key` (any length).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
    hook_libcrypto()?; // a refusal allocates an error queue
    let mut mac = [0; 32];
    let mut mac_len = 0;
    // SAFETY: pointers and lengths come from slices; the output has SHA-256's size.
    let done = unsafe {
        HMAC(EVP_sha256(), key.as_ptr().cast(), key.len(), message.as_ptr(), message.len(), mac.as_mut_ptr(), &mut mac_len)
    };
    if done.is_null() || mac_len != 32 { Err(Error::Internal("HMAC-SHA-256")) } else { Ok(mac) }
}

/// Whether `mac` is the MAC of `message`; compared in constant time.
pub fn verify_hmac_sha256(key: &[u8], message: &[u8], mac: &[u8]) -> Result<bool> {
    Ok(hmac_sha256(key, message)?.ct_eq(mac).into())
}
