//! HMAC (FIPS 198-1) with SHA-2.
#![allow(unsafe_code)] // HMAC through aws-lc-sys

use aws_lc_sys::HMAC;
use subtle::ConstantTimeEq;

use crate::crypto::digest::{Digest, Hash};
use crate::error::{Error, Result};
use crate::memory::hook_libcrypto;

/// The MAC of `message` under `key` (any length) into the front of `out`; gives its length.
fn hmac_into(hash: Hash, key: &[u8], message: &[u8], out: &mut [u8; 64]) -> Result<usize> {
    hook_libcrypto()?; // a refusal allocates an error queue
    let mut len = 0;
    // SAFETY: pointers and lengths come from slices; 64 bytes hold every MAC. The state is on the stack and cleansed.
    let done =
        unsafe { HMAC(hash.md(), key.as_ptr().cast(), key.len(), message.as_ptr(), message.len(), out.as_mut_ptr(), &mut len) };
    if done.is_null() || usize::try_from(len) != Ok(hash.len()) { Err(Error::Internal("HMAC")) } else { Ok(hash.len()) }
}

/// The MAC of `message` under `key` (any length).
pub fn hmac(hash: Hash, key: &[u8], message: &[u8]) -> Result<Digest> {
    let mut bytes = [0; 64];
    let len = hmac_into(hash, key, message, &mut bytes)?;
    Ok(Digest::new(bytes, len))
}

/// The 32-byte MAC of `message` under `key` (any length), straight into `out` of 32 bytes.
pub fn hmac_sha256_into(key: &[u8], message: &[u8], out: &mut [u8]) -> Result<()> {
    hook_libcrypto()?; // a refusal allocates an error queue
    let out: &mut [u8; 32] = out.try_into().map_err(|_| Error::Internal("a MAC's length"))?;
    let mut len = 0;
    // SAFETY: pointers and lengths come from slices; the output has SHA-256's size. The state is on the stack and cleansed.
    let done = unsafe {
        HMAC(Hash::Sha256.md(), key.as_ptr().cast(), key.len(), message.as_ptr(), message.len(), out.as_mut_ptr(), &mut len)
    };
    if done.is_null() || len != 32 { Err(Error::Internal("HMAC")) } else { Ok(()) }
}

/// Whether `mac` is the whole MAC of `message`; compared in constant time.
pub fn verify_hmac(hash: Hash, key: &[u8], message: &[u8], mac: &[u8]) -> Result<bool> {
    Ok(hmac(hash, key, message)?.ct_eq(mac).into())
}

/// The 32-byte MAC of `message` under `key` (any length).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
    let mut mac = [0; 32];
    mac.copy_from_slice(&hmac(Hash::Sha256, key, message)?);
    Ok(mac)
}

/// Whether `mac` is the MAC of `message`; compared in constant time.
pub fn verify_hmac_sha256(key: &[u8], message: &[u8], mac: &[u8]) -> Result<bool> {
    verify_hmac(Hash::Sha256, key, message, mac)
}
