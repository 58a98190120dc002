//! AES key wrap with padding (RFC 5649, SP 800-38F's KWP) under 256-bit keys.
#![allow(unsafe_code)] // AES_wrap_key_padded through aws-lc-sys

use std::mem::MaybeUninit;

use aws_lc_sys as ffi;

use crate::error::{Error, Result};
use crate::memory::KeyScope;

/// Unwraps into the front of `out`; gives the length. What was not wrapped under `key` is [`Error::InvalidCiphertext`].
pub fn unwrap(_scope: &KeyScope, key: &[u8; 32], wrapped: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut schedule = MaybeUninit::<ffi::AES_KEY>::uninit(); // on the scope's stack, which is wiped
    let mut len = 0;
    // SAFETY: a 256-bit key; the output is passed with its length (libcrypto checks that it fits).
    let unwrapped = unsafe {
        if ffi::AES_set_decrypt_key(key.as_ptr(), 256, schedule.as_mut_ptr()) != 0 {
            return Err(Error::Internal("AES-KWP"));
        }
        ffi::AES_unwrap_key_padded(schedule.as_ptr(), out.as_mut_ptr(), &mut len, out.len(), wrapped.as_ptr(), wrapped.len())
    };
    if unwrapped == 1 { Ok(len) } else { Err(Error::InvalidCiphertext) }
}

/// Wraps `secret`. The HSM only unwraps; this serves self-tests and tests.
pub fn wrap(_scope: &KeyScope, key: &[u8; 32], secret: &[u8]) -> Result<Vec<u8>> {
    let mut schedule = MaybeUninit::<ffi::AES_KEY>::uninit();
    let mut out = vec![0; secret.len() + 16];
    let mut len = 0;
    // SAFETY: as in `unwrap`.
    let wrapped = unsafe {
        if ffi::AES_set_encrypt_key(key.as_ptr(), 256, schedule.as_mut_ptr()) != 0 {
            return Err(Error::Internal("AES-KWP"));
        }
        ffi::AES_wrap_key_padded(schedule.as_ptr(), out.as_mut_ptr(), &mut len, out.len(), secret.as_ptr(), secret.len())
    };
    out.truncate(len);
    if wrapped == 1 { Ok(out) } else { Err(Error::Internal("AES-KWP")) }
}
