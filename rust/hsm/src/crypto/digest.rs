//! SHA-256 (FIPS 180-4).
#![allow(unsafe_code)] // SHA256 through aws-lc-sys

/// The digest of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // SAFETY: pointer and length come from a slice; the output has SHA-256's size. SHA256 cannot fail.
    unsafe { aws_lc_sys::SHA256(data.as_ptr(), data.len(), out.as_mut_ptr()) };
    out
}
