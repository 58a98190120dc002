//! What the tests share: an HSM with a known root, its keys, and small helpers.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test binary uses a part

use clavero_hsm::{
    EncryptionContext, Hsm, KeyBinding, KeyHandle, MemoryPolicy, Result, UnsealProvider, blob::Blob, blob::blob_len,
};

/// A provider of a root key that the test knows.
pub struct KnownRoot(pub [u8; 32]);

impl UnsealProvider for KnownRoot {
    fn describe(&self) -> String {
        "a known root key".into()
    }

    fn root_key(&self, _create: bool, out: &mut [u8; 32]) -> Result<()> {
        *out = self.0;
        Ok(())
    }
}

pub const REGION: &str = "eu-central-1";
pub const POLICY: MemoryPolicy = MemoryPolicy { allow_insecure: true };
pub const BINDING: KeyBinding<'static> = KeyBinding {
    region: REGION,
    account: "111122223333",
    key_id: "1234abcd-12ab-34cd-56ef-1234567890ab",
    spec: "SYMMETRIC_DEFAULT",
    usage: "ENCRYPT_DECRYPT",
    origin: "AWS_KMS",
    multi_region: false,
};

/// An HSM with one domain in force; gives the domain's stored record too.
pub fn open_with(root: [u8; 32]) -> (Hsm, Vec<u8>) {
    let hsm = Hsm::open(&KnownRoot(root), true, POLICY).unwrap();
    let record = hsm.create_domain(REGION, 1_700_000_000).unwrap();
    hsm.install_domain(REGION).unwrap();
    (hsm, record)
}

pub fn hsm() -> Hsm {
    open_with([0x42; 32]).0
}

/// A binding for another key id.
pub fn binding(key_id: &str) -> KeyBinding<'_> {
    KeyBinding { key_id, ..BINDING }
}

pub fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.to_vec()).unwrap()
}

pub fn encrypt(hsm: &Hsm, handle: KeyHandle, pairs: &[(&str, &str)], plaintext: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![0; blob_len(plaintext.len())];
    hsm.encrypt(handle, &mut context(pairs), plaintext, &mut out)?;
    Ok(out)
}

/// Opens a blob; insists that a refusal leaves nothing of the plaintext in the caller's buffer.
pub fn decrypt(hsm: &Hsm, handle: KeyHandle, pairs: &[(&str, &str)], blob: &[u8]) -> Result<Vec<u8>> {
    let blob = Blob::parse(blob)?;
    let mut out = vec![0xa5; blob.plaintext_len()];
    let result = hsm.decrypt(handle, &mut context(pairs), &blob, &mut out);
    if result.is_err() {
        assert!(out.iter().all(|&byte| byte == 0), "a refusal left bytes in the output");
    }
    result.map(|()| out)
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Bytes that differ from place to place, the same in every run.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}
