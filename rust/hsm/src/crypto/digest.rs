//! SHA-1 and SHA-2 (FIPS 180-4).
#![allow(unsafe_code)] // SHA256 and EVP_Digest through aws-lc-sys

use aws_lc_sys::{EVP_Digest, EVP_MD, EVP_sha1, EVP_sha224, EVP_sha256, EVP_sha384, EVP_sha512};

use crate::error::{Error, Result};
use crate::memory::hook_libcrypto;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1, for OAEP only.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Bytes of a digest.
    #[allow(clippy::len_without_is_empty)] // no digest is empty
    pub fn len(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha224 => 28,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "SHA-1",
            Hash::Sha224 => "SHA-224",
            Hash::Sha256 => "SHA-256",
            Hash::Sha384 => "SHA-384",
            Hash::Sha512 => "SHA-512",
        }
    }

    pub(crate) fn md(self) -> *const EVP_MD {
        // SAFETY: these give pointers to constants.
        unsafe {
            match self {
                Hash::Sha1 => EVP_sha1(),
                Hash::Sha224 => EVP_sha224(),
                Hash::Sha256 => EVP_sha256(),
                Hash::Sha384 => EVP_sha384(),
                Hash::Sha512 => EVP_sha512(),
            }
        }
    }

    pub(crate) fn nid(self) -> i32 {
        match self {
            Hash::Sha1 => aws_lc_sys::NID_sha1,
            Hash::Sha224 => aws_lc_sys::NID_sha224,
            Hash::Sha256 => aws_lc_sys::NID_sha256,
            Hash::Sha384 => aws_lc_sys::NID_sha384,
            Hash::Sha512 => aws_lc_sys::NID_sha512,
        }
    }

    /// The digest of `data`.
    pub fn digest(self, data: &[u8]) -> Result<Digest> {
        hook_libcrypto()?;
        let mut out = Digest { bytes: [0; 64], len: 0 };
        let mut len = 0;
        // SAFETY: pointers and lengths come from slices; 64 bytes hold every digest.
        let done = unsafe {
            EVP_Digest(data.as_ptr().cast(), data.len(), out.bytes.as_mut_ptr(), &mut len, self.md(), std::ptr::null_mut())
        };
        out.len = self.len();
        if done == 1 && usize::try_from(len) == Ok(out.len) { Ok(out) } else { Err(Error::Internal("a digest")) }
    }
}

/// A digest of up to 64 bytes.
pub struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Digest {
    pub(crate) fn new(bytes: [u8; 64], len: usize) -> Digest {
        Digest { bytes, len: len.min(64) }
    }
}

impl std::ops::Deref for Digest {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The SHA-256 digest of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // SAFETY: pointer and length come from a slice; the output has SHA-256's size. SHA256 cannot fail.
    unsafe { aws_lc_sys::SHA256(data.as_ptr(), data.len(), out.as_mut_ptr()) };
    out
}
