//! Ciphertext blob v1: the bytes that Encrypt and GenerateDataKey hand out (docs/formats/ciphertext-blob.md).
//!
//! `format 1 ‖ suite 1 ‖ flags 0 ‖ 0 ‖ HBKID 16 ‖ N 16 ‖ IV 12 ‖ ciphertext ‖ tag 16`

use crate::error::{Error, Result};
use crate::sealed::{OVERHEAD, Parts};

/// The largest CiphertextBlob that KMS takes (botocore's KMS model, CiphertextType).
pub const MAX_BLOB_LEN: usize = 6144;
/// The largest Plaintext that Encrypt takes for a symmetric key (AWS KMS API reference, Encrypt).
pub const MAX_PLAINTEXT_LEN: usize = 4096;

/// Bytes of the blob for a plaintext of `plaintext_len` bytes.
pub const fn blob_len(plaintext_len: usize) -> usize {
    plaintext_len + OVERHEAD
}

/// A blob's parts, borrowed. Only the shape is checked: the tag says whether they are genuine.
pub struct Blob<'a> {
    pub(crate) parts: Parts<'a>,
}

impl<'a> Blob<'a> {
    /// Parses a blob. Anything that is not exactly format 1 is [`Error::InvalidCiphertext`].
    pub fn parse(bytes: &'a [u8]) -> Result<Blob<'a>> {
        if bytes.len() > MAX_BLOB_LEN {
            return Err(Error::InvalidCiphertext);
        }
        let parts = Parts::parse(bytes).ok_or(Error::InvalidCiphertext)?;
        Ok(Blob { parts })
    }

    /// The backing key that the blob names.
    pub fn hbkid(&self) -> &'a [u8; 16] {
        self.parts.key_id()
    }

    /// The message nonce N. Blobs of one batch share it.
    pub fn nonce(&self) -> &'a [u8; 16] {
        self.parts.nonce()
    }

    /// Bytes of the plaintext.
    pub fn plaintext_len(&self) -> usize {
        self.parts.ciphertext.len()
    }
}
