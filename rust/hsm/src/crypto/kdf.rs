//! Key derivation in counter mode with HMAC-SHA-256 (NIST SP 800-108r1, 4.1): a 32-bit big-endian counter before the fixed input.
#![allow(unsafe_code)] // KBKDF_ctr_hmac through aws-lc-sys

use aws_lc_sys::{EVP_sha256, KBKDF_ctr_hmac};

use crate::error::{Error, Result};
use crate::memory::hook_libcrypto;

/// Derives `out` from `key` and `fixed_input` (Label ‖ 0x00 ‖ Context in SP 800-108's notation).
pub fn kbkdf_ctr_hmac_sha256(key: &[u8], fixed_input: &[u8], out: &mut [u8]) -> Result<()> {
    hook_libcrypto()?; // a refusal allocates an error queue
    // SAFETY: pointers and lengths come from slices; AWS-LC refuses empty key or output itself. Its HMAC state is on the stack and
    // cleansed before it returns.
    let done = unsafe {
        KBKDF_ctr_hmac(
            out.as_mut_ptr(),
            out.len(),
            EVP_sha256(),
            key.as_ptr(),
            key.len(),
            fixed_input.as_ptr(),
            fixed_input.len(),
        )
    };
    if done == 1 { Ok(()) } else { Err(Error::Internal("KBKDF-CTR-HMAC-SHA256")) }
}
