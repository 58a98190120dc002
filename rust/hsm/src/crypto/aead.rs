//! AES-256-GCM (NIST SP 800-38D) with 96-bit IVs and 128-bit tags, its contexts in protected memory.
#![allow(unsafe_code)] // EVP_AEAD_* through aws-lc-sys: the safe crate allocates its contexts where it likes

use aws_lc_sys::{EVP_AEAD_CTX, EVP_AEAD_CTX_init, EVP_AEAD_CTX_open_gather, EVP_AEAD_CTX_seal_scatter, EVP_aead_aes_256_gcm};

use crate::error::{Error, Result};
use crate::memory::{Arena, Guarded, Zeroable};

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of an IV.
pub const IV_LEN: usize = 12;
/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// An AES-256-GCM context: the key schedule and the GHASH table, both of which give the key away.
///
/// AWS-LC keeps the whole state of this AEAD inside the struct (ADR 0001), so a context in the arena is wholly in the arena.
#[repr(transparent)]
pub struct Context(EVP_AEAD_CTX);

// SAFETY: a zeroed EVP_AEAD_CTX is AWS-LC's own "zero state" (EVP_AEAD_CTX_zero); the GCM state owns no other memory, so wiping it
// is all the cleanup there is.
unsafe impl Zeroable for Context {}
// SAFETY: sealing and opening take the context as const; AWS-LC documents concurrent use of one context as safe.
unsafe impl Sync for Context {}
// SAFETY: the context has no thread affinity.
unsafe impl Send for Context {}

impl Context {
    /// Sets the key. Until then, and after a wipe, sealing and opening fail.
    pub fn set_key(&mut self, key: &[u8; KEY_LEN]) -> Result<()> {
        // SAFETY: the context is a valid, zero or used GCM context that owns nothing; the key has the algorithm's length.
        let done = unsafe {
            EVP_AEAD_CTX_init(&mut self.0, EVP_aead_aes_256_gcm(), key.as_ptr(), KEY_LEN, TAG_LEN, std::ptr::null_mut())
        };
        if done == 1 { Ok(()) } else { Err(Error::Internal("AES-256-GCM key setup")) }
    }

    /// Encrypts `plaintext` into `ciphertext` (same length) and writes the tag. An IV must never repeat under a key.
    #[inline]
    pub fn seal(
        &self,
        iv: &[u8; IV_LEN],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) -> Result<()> {
        if plaintext.len() != ciphertext.len() || self.0.aead.is_null() {
            return Err(Error::Internal("AES-256-GCM seal"));
        }
        let mut tag_len = 0;
        // SAFETY: a keyed context; in and out have equal lengths and, being & and &mut, do not overlap; the tag has TAG_LEN bytes.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                &self.0,
                ciphertext.as_mut_ptr(),
                tag.as_mut_ptr(),
                &mut tag_len,
                TAG_LEN,
                iv.as_ptr(),
                IV_LEN,
                plaintext.as_ptr(),
                plaintext.len(),
                std::ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        if done == 1 && tag_len == TAG_LEN { Ok(()) } else { Err(Error::Internal("AES-256-GCM seal")) }
    }

    /// Verifies and decrypts `ciphertext` into `plaintext` (same length). On a bad tag `plaintext` is zeroed.
    #[inline]
    pub fn open(
        &self,
        iv: &[u8; IV_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        plaintext: &mut [u8],
    ) -> Result<()> {
        if plaintext.len() != ciphertext.len() || self.0.aead.is_null() {
            return Err(Error::Internal("AES-256-GCM open"));
        }
        // SAFETY: as in `seal`.
        let done = unsafe {
            EVP_AEAD_CTX_open_gather(
                &self.0,
                plaintext.as_mut_ptr(),
                iv.as_ptr(),
                IV_LEN,
                ciphertext.as_ptr(),
                ciphertext.len(),
                tag.as_ptr(),
                TAG_LEN,
                aad.as_ptr(),
                aad.len(),
            )
        };
        if done == 1 {
            return Ok(());
        }
        plaintext.fill(0);
        clear_error_queue();
        Err(Error::InvalidCiphertext)
    }
}

/// AWS-LC queues an error per refused tag; nobody reads the queue, and it must not grow stale.
fn clear_error_queue() {
    // SAFETY: no preconditions; clears this thread's queue.
    unsafe { aws_lc_sys::ERR_clear_error() };
}

/// A keyed context in the arena, for keys that stay (the shield).
pub struct Aes256Gcm {
    context: Guarded<Context>,
}

impl Aes256Gcm {
    /// A context for `key`.
    pub fn new(arena: &'static Arena, key: &[u8; KEY_LEN]) -> Result<Aes256Gcm> {
        let mut context = Guarded::<Context>::zeroed(arena)?;
        context.set_key(key)?;
        Ok(Aes256Gcm { context })
    }
}

impl std::ops::Deref for Aes256Gcm {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.context
    }
}
