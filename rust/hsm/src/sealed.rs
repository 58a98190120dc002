//! The one sealed form behind blobs, exported tokens and domain states: a 48-byte header, a key derived per message, AES-256-GCM.
//!
//! `header = format 1 ‖ suite 1 ‖ flags 0 ‖ 0 ‖ key id 16 ‖ N 16 ‖ IV 12`;
//! `K = KBKDF-CTR-HMAC-SHA256(key, label ‖ 0 ‖ key id ‖ N)`; the AAD starts with the header. A derived key serves one message, or the
//! numbered IVs of one batch, so GCM's limits never bind the key above it.

use crate::crypto::aead::{self, Context};
use crate::crypto::kdf::kbkdf_ctr_hmac_sha256;
use crate::error::{Error, Result};
use crate::memory::{Arena, Guarded, Zeroable};
use crate::rng::fill_random;

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 48;
/// Bytes that sealing adds: header and tag.
pub(crate) const OVERHEAD: usize = HEADER_LEN + aead::TAG_LEN;
/// Bytes of plaintext that a scratch holds: more than any blob that KMS takes (6144).
pub(crate) const SCRATCH_LEN: usize = 6144;
const FORMAT: u8 = 1;
/// AES-256-GCM under a key derived by KBKDF-CTR-HMAC-SHA256.
const SUITE: u8 = 1;
const PREFIX: [u8; 4] = [FORMAT, SUITE, 0, 0];
const KEY_ID: std::ops::Range<usize> = 4..20;
const NONCE: std::ops::Range<usize> = 20..36;
const IV: std::ops::Range<usize> = 36..48;

/// What keeps the derived keys of different uses apart (SP 800-108's Label).
#[derive(Clone, Copy)]
pub(crate) enum Label {
    /// Messages under a backing key.
    Message,
    /// Exported key tokens under a domain key.
    Token,
    /// Domain states under the root's sealing key.
    Domain,
    /// Pagination markers and other bytes that the service hands out to get them back, under a domain's token-sealing key.
    Opaque,
    /// Private wrapping keys of imports, under a domain's token-sealing key.
    Wrapping,
}

impl Label {
    fn as_bytes(self) -> &'static [u8; 10] {
        match self {
            Label::Message => b"kms/enc/v1",
            Label::Token => b"kms/ekt/v1",
            Label::Domain => b"kms/dom/v1",
            Label::Opaque => b"kms/tok/v1",
            Label::Wrapping => b"kms/wrp/v1",
        }
    }
}

/// A header to seal under.
#[derive(Clone, Copy)]
pub(crate) struct Header([u8; HEADER_LEN]);

impl Header {
    /// A header with a fresh N and a fresh IV.
    pub(crate) fn fresh(key_id: &[u8; 16]) -> Result<Header> {
        let mut header = Header::blank(key_id);
        fill_random(&mut header.0[NONCE.start..IV.end])?; // one draw: a call of the DRBG costs more than its bytes
        Ok(header)
    }

    /// A header with a fresh N and the IV zero, to be numbered.
    pub(crate) fn numbered(key_id: &[u8; 16]) -> Result<Header> {
        let mut header = Header::blank(key_id);
        fill_random(&mut header.0[NONCE])?;
        Ok(header)
    }

    fn blank(key_id: &[u8; 16]) -> Header {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&PREFIX);
        bytes[KEY_ID].copy_from_slice(key_id);
        Header(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    /// The IV of message `number` of a batch: the number, big-endian.
    pub(crate) fn numbered_iv(number: u64) -> [u8; 12] {
        let mut iv = [0; 12];
        iv[4..].copy_from_slice(&number.to_be_bytes());
        iv
    }

    pub(crate) fn set_iv(&mut self, iv: &[u8; 12]) {
        self.0[IV].copy_from_slice(iv);
    }

    pub(crate) fn iv(&self) -> [u8; 12] {
        let mut iv = [0; 12];
        iv.copy_from_slice(&self.0[IV]);
        iv
    }

    fn key_id(&self) -> &[u8; 16] {
        self.0[KEY_ID].first_chunk().unwrap_or(&[0; 16])
    }

    pub(crate) fn nonce(&self) -> &[u8; 16] {
        self.0[NONCE].first_chunk().unwrap_or(&[0; 16])
    }
}

/// Sealed bytes, split.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a [u8; HEADER_LEN],
    pub(crate) ciphertext: &'a [u8],
    pub(crate) tag: &'a [u8; aead::TAG_LEN],
}

impl<'a> Parts<'a> {
    /// None unless the bytes have the form; nothing is authenticated yet.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Parts<'a>> {
        let (header, body) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let (ciphertext, tag) = body.split_last_chunk::<{ aead::TAG_LEN }>()?;
        (header[..4] == PREFIX).then_some(Parts { header, ciphertext, tag })
    }

    pub(crate) fn key_id(&self) -> &'a [u8; 16] {
        self.header[KEY_ID].first_chunk().unwrap_or(&[0; 16])
    }

    pub(crate) fn nonce(&self) -> &'a [u8; 16] {
        self.header[NONCE].first_chunk().unwrap_or(&[0; 16])
    }

    pub(crate) fn iv(&self) -> &'a [u8; 12] {
        self.header[IV].first_chunk().unwrap_or(&[0; 12])
    }
}

/// The working memory of one operation: everything here is a key, or plaintext on its way.
pub(crate) struct Scratch {
    /// A backing key, unshielded.
    pub(crate) key: [u8; 64],
    /// The key derived for the message.
    derived: [u8; aead::KEY_LEN],
    /// Its AES-GCM context.
    context: Context,
    /// Plaintext that must not leave (ReEncrypt, data keys without plaintext, domain states).
    pub(crate) plaintext: [u8; SCRATCH_LEN],
}

// SAFETY: arrays and a context whose zero form is valid; nothing in it owns other memory.
#[allow(unsafe_code)]
unsafe impl Zeroable for Scratch {}

impl Scratch {
    pub(crate) fn new(arena: &'static Arena) -> Result<Guarded<Scratch>> {
        Guarded::zeroed(arena)
    }

    /// Derives the message key for (`self.key`, N) and sets up its context.
    pub(crate) fn derive(&mut self, key_len: usize, label: Label, key_id: &[u8; 16], nonce: &[u8; 16]) -> Result<()> {
        let mut fixed_input = [0; 43];
        fixed_input[..10].copy_from_slice(label.as_bytes());
        fixed_input[11..27].copy_from_slice(key_id);
        fixed_input[27..].copy_from_slice(nonce);
        let key = self.key.get(..key_len).ok_or(Error::Internal("a key length"))?;
        kbkdf_ctr_hmac_sha256(key, &fixed_input, &mut self.derived)?;
        self.context.set_key(&self.derived)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Like [`context`](Self::context), with the plaintext buffer beside it.
    pub(crate) fn context_and_plaintext(&mut self) -> (&Context, &mut [u8]) {
        (&self.context, &mut self.plaintext)
    }

    /// Loads `key` and derives for sealing under `header`.
    pub(crate) fn derive_for(&mut self, key: &[u8; 32], label: Label, header: &Header) -> Result<()> {
        self.key[..32].copy_from_slice(key);
        self.derive(32, label, header.key_id(), header.nonce())
    }

    /// Loads `key` and derives for opening `parts`.
    pub(crate) fn derive_for_opening(&mut self, key: &[u8; 32], label: Label, parts: &Parts<'_>) -> Result<()> {
        self.key[..32].copy_from_slice(key);
        self.derive(32, label, parts.key_id(), parts.nonce())
    }
}

/// Seals up to [`SCRATCH_LEN`] bytes that already stand in `scratch.plaintext[..len]`.
pub(crate) fn seal_scratch(
    scratch: &mut Scratch,
    len: usize,
    key: &[u8; 32],
    key_id: &[u8; 16],
    label: Label,
    aad_suffix: &[u8],
) -> Result<Vec<u8>> {
    let header = Header::fresh(key_id)?;
    scratch.derive_for(key, label, &header)?;
    let aad = [header.as_bytes(), aad_suffix].concat();
    let mut out = vec![0; len + OVERHEAD];
    let (ciphertext, tag) = split_output(&header, &mut out)?;
    let plaintext = scratch.plaintext.get(..len).ok_or(Error::Internal("a plaintext length"))?;
    scratch.context.seal(&header.iv(), &aad, plaintext, ciphertext, tag)?;
    Ok(out)
}

/// Opens `parts` into `scratch.plaintext`; gives the length.
pub(crate) fn open_scratch(
    scratch: &mut Scratch,
    parts: &Parts<'_>,
    key: &[u8; 32],
    label: Label,
    aad_suffix: &[u8],
) -> Result<usize> {
    let len = parts.ciphertext.len();
    scratch.derive_for_opening(key, label, parts)?;
    let aad = [parts.header, aad_suffix].concat();
    let plaintext = scratch.plaintext.get_mut(..len).ok_or(Error::InvalidCiphertext)?;
    scratch.context.open(parts.iv(), &aad, parts.ciphertext, parts.tag, plaintext)?;
    Ok(len)
}

/// Splits an output buffer of plaintext length + [`OVERHEAD`] bytes into ciphertext and tag after writing the header.
pub(crate) fn split_output<'o>(header: &Header, out: &'o mut [u8]) -> Result<(&'o mut [u8], &'o mut [u8; 16])> {
    const WRONG: Error = Error::Internal("an output buffer");
    let (head, body) = out.split_first_chunk_mut::<HEADER_LEN>().ok_or(WRONG)?;
    *head = *header.as_bytes();
    body.split_last_chunk_mut::<{ aead::TAG_LEN }>().ok_or(WRONG)
}

/// Appends `field` with its 32-bit big-endian length in front: no two lists of fields give the same bytes.
pub(crate) fn push_field(out: &mut Vec<u8>, field: &[u8]) -> Result<()> {
    let len = u32::try_from(field.len()).map_err(|_| Error::Limit("a field is longer than 4 GiB".into()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(field);
    Ok(())
}
