//! One message: Encrypt, Decrypt, ReEncrypt, GenerateDataKey, each under a key derived for it alone.

use crate::blob::{Blob, MAX_BLOB_LEN, MAX_PLAINTEXT_LEN, blob_len};
use crate::context::EncryptionContext;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, Inner, open_inner};
use crate::keytable::KeyHandle;
use crate::rng::fill_random;
use crate::sealed::{Header, Label, Parts, SCRATCH_LEN, Scratch, split_output};

/// The most bytes of one data key (AWS KMS API reference, GenerateDataKey: NumberOfBytes 1 to 1024).
pub const MAX_DATA_KEY_LEN: usize = 1024;

impl Hsm {
    /// Encrypts up to 4096 bytes into `out`, which must have `blob_len(plaintext.len())` bytes.
    pub fn encrypt(&self, handle: KeyHandle, context: &mut EncryptionContext, plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        check_plaintext(plaintext.len(), MAX_PLAINTEXT_LEN)?;
        check_output(out.len(), blob_len(plaintext.len()))?;
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        self.with_scratch(|scratch| {
            let header = inner.derive_for_sealing(scratch, handle)?;
            seal_into(scratch, &header, context, plaintext, out)
        })
    }

    /// Opens `blob` with the key of `handle` into `out`, which must have `blob.plaintext_len()` bytes; on failure it is zeroed.
    /// A blob of another key, a bad tag and a wrong context are one error.
    pub fn decrypt(&self, handle: KeyHandle, context: &mut EncryptionContext, blob: &Blob<'_>, out: &mut [u8]) -> Result<()> {
        check_output(out.len(), blob.plaintext_len())?;
        let result = (|| {
            let guard = self.read()?;
            let inner = open_inner(&guard)?;
            self.with_scratch(|scratch| {
                inner.derive_for_opening(scratch, handle, &blob.parts)?;
                open_into(scratch, &blob.parts, context, out)
            })
        })();
        if result.is_err() {
            out.fill(0); // also where the process began to wipe its keys after the tag was found right
        }
        result
    }

    /// The work of opening a blob whose HBKID no stored key has, and its answer: [`Error::InvalidCiphertext`], always.
    pub fn decrypt_unknown(&self, context: &mut EncryptionContext, blob: &Blob<'_>) -> Result<()> {
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        self.with_scratch(|scratch| {
            let len = inner.keys.unshield_decoy(&mut scratch.key)?;
            scratch.derive(len, Label::Message, blob.hbkid(), blob.nonce())?;
            let (cipher, plaintext) = scratch.context_and_plaintext();
            let room = plaintext.get_mut(..blob.plaintext_len()).ok_or(Error::InvalidCiphertext)?;
            let parts = &blob.parts;
            cipher.open(parts.iv(), context.aad(parts.header), parts.ciphertext, parts.tag, room)
        })?;
        Err(Error::InvalidCiphertext) // a forgery under the decoy would be no answer either
    }

    /// Opens `blob` with one key and seals its plaintext under another; the plaintext stays in protected memory.
    /// `out` must have `blob_len(blob.plaintext_len())` bytes.
    pub fn reencrypt(
        &self,
        source: (KeyHandle, &mut EncryptionContext),
        blob: &Blob<'_>,
        destination: (KeyHandle, &mut EncryptionContext),
        out: &mut [u8],
    ) -> Result<()> {
        check_output(out.len(), blob_len(blob.plaintext_len()))?;
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        self.with_scratch(|opening| {
            inner.derive_for_opening(opening, source.0, &blob.parts)?;
            let (cipher, plaintext) = opening.context_and_plaintext();
            let plaintext = plaintext.get_mut(..blob.plaintext_len()).ok_or(Error::InvalidCiphertext)?;
            let parts = &blob.parts;
            cipher.open(parts.iv(), source.1.aad(parts.header), parts.ciphertext, parts.tag, plaintext)?;
            self.with_scratch(|sealing| {
                let header = inner.derive_for_sealing(sealing, destination.0)?;
                seal_into(sealing, &header, destination.1, plaintext, out)
            })
        })
    }

    /// A random data key of 1 to 1024 bytes into `plaintext`, and its blob into `out` (`blob_len(plaintext.len())` bytes).
    pub fn generate_data_key(
        &self,
        handle: KeyHandle,
        context: &mut EncryptionContext,
        plaintext: &mut [u8],
        out: &mut [u8],
    ) -> Result<()> {
        check_plaintext(plaintext.len(), MAX_DATA_KEY_LEN)?;
        check_output(out.len(), blob_len(plaintext.len()))?;
        let result = (|| {
            let guard = self.read()?;
            let inner = open_inner(&guard)?;
            self.with_scratch(|scratch| {
                let header = inner.derive_for_sealing(scratch, handle)?;
                fill_random(plaintext)?;
                seal_into(scratch, &header, context, plaintext, out)
            })
        })();
        if result.is_err() {
            plaintext.fill(0);
        }
        result
    }

    /// Random bytes; a sealed HSM gives none.
    pub fn generate_random(&self, out: &mut [u8]) -> Result<()> {
        let guard = self.read()?;
        open_inner(&guard)?;
        fill_random(out)
    }

    /// As [`generate_data_key`](Self::generate_data_key), but nobody sees the data key: only its blob is made.
    pub fn generate_data_key_without_plaintext(
        &self,
        handle: KeyHandle,
        context: &mut EncryptionContext,
        len: usize,
        out: &mut [u8],
    ) -> Result<()> {
        check_plaintext(len, MAX_DATA_KEY_LEN)?;
        check_output(out.len(), blob_len(len))?;
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        self.with_scratch(|scratch| {
            let header = inner.derive_for_sealing(scratch, handle)?;
            let (cipher, plaintext) = scratch.context_and_plaintext();
            let plaintext = plaintext.get_mut(..len).ok_or(Error::Internal("a data key length"))?;
            fill_random(plaintext)?;
            let (ciphertext, tag) = split_output(&header, out)?;
            cipher.seal(&header.iv(), context.aad(header.as_bytes()), plaintext, ciphertext, tag)
        })
    }
}

impl Inner {
    /// A fresh header under the key of `handle`, and its derived context in `scratch`.
    #[inline]
    pub(crate) fn derive_for_sealing(&self, scratch: &mut Scratch, handle: KeyHandle) -> Result<Header> {
        let (len, hbkid) = self.keys.unshield(handle, &mut scratch.key)?;
        let header = Header::fresh(hbkid)?;
        scratch.derive(len, Label::Message, hbkid, header.nonce())?;
        Ok(header)
    }

    /// The derived context of a message in `scratch`, if the message names the key of `handle`.
    #[inline]
    pub(crate) fn derive_for_opening(&self, scratch: &mut Scratch, handle: KeyHandle, parts: &Parts<'_>) -> Result<()> {
        let (len, hbkid) = self.keys.unshield(handle, &mut scratch.key)?;
        if hbkid != parts.key_id() {
            return Err(Error::InvalidCiphertext);
        }
        scratch.derive(len, Label::Message, parts.key_id(), parts.nonce())
    }
}

fn seal_into(
    scratch: &Scratch,
    header: &Header,
    context: &mut EncryptionContext,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<()> {
    let (ciphertext, tag) = split_output(header, out)?;
    scratch.context().seal(&header.iv(), context.aad(header.as_bytes()), plaintext, ciphertext, tag)
}

fn open_into(scratch: &Scratch, parts: &Parts<'_>, context: &mut EncryptionContext, out: &mut [u8]) -> Result<()> {
    scratch.context().open(parts.iv(), context.aad(parts.header), parts.ciphertext, parts.tag, out)
}

pub(crate) fn check_plaintext(len: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&len) {
        Ok(())
    } else {
        Err(Error::Limit(format!("the length must be between 1 and {max} bytes, not {len}")))
    }
}

fn check_output(len: usize, expected: usize) -> Result<()> {
    if len == expected { Ok(()) } else { Err(Error::Limit(format!("the output buffer must have {expected} bytes, not {len}"))) }
}

// What a scratch can hold, a parsed blob cannot exceed.
const _: () = assert!(MAX_BLOB_LEN <= SCRATCH_LEN);
