//! AES-256-CBC (NIST SP 800-38A, 6.2) with the padding of CMS (RFC 5652, 6.3). Encryption only: it authenticates nothing, and what
//! is encrypted here is opened elsewhere.
#![allow(unsafe_code)] // AES_cbc_encrypt through aws-lc-sys: the key schedule must lie in memory that we choose

use aws_lc_sys::{AES_ENCRYPT, AES_KEY, AES_cbc_encrypt, AES_set_encrypt_key};

use crate::error::{Error, Result};
use crate::memory::Zeroable;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of an IV, and of a block.
pub const BLOCK_LEN: usize = 16;

/// What encrypting one message works with. It belongs into the arena: the key is in it three times.
pub struct Content {
    /// The key, for the caller to fill.
    pub key: [u8; KEY_LEN],
    schedule: AES_KEY,
    last: [u8; BLOCK_LEN],
}

// SAFETY: arrays and a struct of integers, whose zero form is valid; nothing in it owns other memory.
unsafe impl Zeroable for Content {}

/// Bytes of the ciphertext of `len` bytes: padding is always added.
pub fn ciphertext_len(len: usize) -> usize {
    len / BLOCK_LEN * BLOCK_LEN + BLOCK_LEN
}

impl Content {
    /// The ciphertext of `plaintext`, padded, under the key. A key and an IV are for one message.
    pub fn encrypt(&mut self, iv: &[u8; BLOCK_LEN], plaintext: &[u8]) -> Result<Vec<u8>> {
        let whole = plaintext.len() / BLOCK_LEN * BLOCK_LEN;
        let (blocks, rest) = plaintext.split_at(whole);
        let padding = BLOCK_LEN - rest.len();
        self.last = [u8::try_from(padding).map_err(|_| Error::Internal("CBC padding"))?; BLOCK_LEN];
        self.last[..rest.len()].copy_from_slice(rest);
        let mut out = vec![0; ciphertext_len(plaintext.len())];
        let (head, tail) = out.split_at_mut(whole);
        let mut chain = *iv;
        // SAFETY: the key has 256 bits, as is said; inputs and outputs are slices of equal lengths that are multiples of the block
        // and do not overlap, and the IV has a block, which the calls update to the last block of ciphertext.
        let scheduled = unsafe {
            let scheduled = AES_set_encrypt_key(self.key.as_ptr(), 256, &mut self.schedule);
            AES_cbc_encrypt(blocks.as_ptr(), head.as_mut_ptr(), whole, &self.schedule, chain.as_mut_ptr(), AES_ENCRYPT);
            AES_cbc_encrypt(self.last.as_ptr(), tail.as_mut_ptr(), BLOCK_LEN, &self.schedule, chain.as_mut_ptr(), AES_ENCRYPT);
            scheduled
        };
        if scheduled == 0 { Ok(out) } else { Err(Error::Internal("AES-256-CBC key setup")) }
    }
}
