//! A second implementation of the byte formats, from docs/formats alone and over RustCrypto: what Clavero writes is judged by it.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test binary uses a part

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// SP 800-108 in counter mode with HMAC-SHA-256: a 32-bit big-endian counter from 1, then the fixed input.
pub fn kbkdf(key: &[u8], fixed_input: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for counter in 1u32.. {
        if out.len() >= len {
            break;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.update(&counter.to_be_bytes());
        mac.update(fixed_input);
        out.extend_from_slice(&mac.finalize().into_bytes());
    }
    out.truncate(len);
    out
}

/// The key of one message.
pub fn message_key(key: &[u8], label: &str, header: &[u8]) -> [u8; 32] {
    let fixed_input = [label.as_bytes(), &[0], &header[4..36]].concat();
    kbkdf(key, &fixed_input, 32).try_into().unwrap()
}

/// Opens sealed bytes of any kind; `suffix` is the AAD after the header.
pub fn open(key: &[u8], label: &str, sealed: &[u8], suffix: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = sealed.split_at_checked(48)?;
    if header[..4] != [1, 1, 0, 0] {
        return None;
    }
    let cipher = Aes256Gcm::new(&message_key(key, label, header).into());
    let iv: [u8; 12] = header[36..].try_into().unwrap();
    cipher.decrypt(&iv.into(), Payload { msg: body, aad: &[header, suffix].concat() }).ok()
}

/// Seals with given N and IV, which only a test may choose.
pub fn seal(key: &[u8], label: &str, key_id: &[u8; 16], n: &[u8; 16], iv: &[u8; 12], plaintext: &[u8], suffix: &[u8]) -> Vec<u8> {
    let header = [&[1, 1, 0, 0][..], key_id, n, iv].concat();
    let cipher = Aes256Gcm::new(&message_key(key, label, &header).into());
    let body = cipher.encrypt(&(*iv).into(), Payload { msg: plaintext, aad: &[&header, suffix].concat() }).unwrap();
    [header, body].concat()
}

pub fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

pub fn context_aad(pairs: &[(&str, &str)]) -> Vec<u8> {
    let sorted: std::collections::BTreeMap<&[u8], &[u8]> =
        pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
    let mut out = u32::try_from(sorted.len()).unwrap().to_be_bytes().to_vec();
    for (key, value) in sorted {
        out.extend(fields(&[key, value]));
    }
    out
}

pub struct DomainKey {
    pub id: [u8; 16],
    pub active: bool,
    pub created: u64,
    pub key: [u8; 32],
}

pub struct DomainState {
    pub version: u64,
    pub token_sealing: [u8; 32],
    pub audit_sealing: [u8; 32],
    pub keys: Vec<DomainKey>,
}

pub fn root_id(root: &[u8; 32]) -> [u8; 16] {
    kbkdf(root, b"kms/root/id\0", 16).try_into().unwrap()
}

pub fn root_seal(root: &[u8; 32]) -> [u8; 32] {
    kbkdf(root, b"kms/root/seal\0", 32).try_into().unwrap()
}

pub fn domain_aad(region: &str) -> Vec<u8> {
    fields(&[b"domain-state", region.as_bytes()])
}

pub fn open_domain(root: &[u8; 32], region: &str, record: &[u8]) -> Option<DomainState> {
    assert_eq!(record[4..20], root_id(root));
    let state = open(&root_seal(root), "kms/dom/v1", record, &domain_aad(region))?;
    let count = usize::from(state[72]);
    assert_eq!(state.len(), 73 + count * 57);
    let keys = state[73..].chunks(57).map(|entry| DomainKey {
        id: entry[..16].try_into().unwrap(),
        active: entry[16] == 1,
        created: u64::from_be_bytes(entry[17..25].try_into().unwrap()),
        key: entry[25..].try_into().unwrap(),
    });
    Some(DomainState {
        version: u64::from_be_bytes(state[..8].try_into().unwrap()),
        token_sealing: state[8..40].try_into().unwrap(),
        audit_sealing: state[40..72].try_into().unwrap(),
        keys: keys.collect(),
    })
}

/// The AAD of a token after its header: account, Region, key id, HBKID, spec, usage, origin, and what a multi-Region key has besides.
pub fn token_aad(binding: &clavero_hsm::KeyBinding<'_>, hbkid: &[u8]) -> Vec<u8> {
    let own = fields(&[
        binding.account.as_bytes(),
        binding.region.as_bytes(),
        binding.key_id.as_bytes(),
        hbkid,
        binding.spec.as_bytes(),
        binding.usage.as_bytes(),
        binding.origin.as_bytes(),
    ]);
    if binding.multi_region { [own, fields(&[b"multi-Region"])].concat() } else { own }
}

pub fn open_token(state: &DomainState, binding: &clavero_hsm::KeyBinding<'_>, hbkid: &[u8], token: &[u8]) -> Option<Vec<u8>> {
    let domain_key = state.keys.iter().find(|key| key.id == token[4..20])?;
    open(&domain_key.key, "kms/ekt/v1", token, &token_aad(binding, hbkid))
}

/// The fingerprint of imported key material.
pub fn fingerprint(token_sealing: &[u8], spec: &str, material: &[u8]) -> Vec<u8> {
    let key = kbkdf(token_sealing, b"kms/fpr/v1\0", 32);
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).unwrap();
    mac.update(&[spec.as_bytes(), &[0], material].concat());
    mac.finalize().into_bytes().to_vec()
}

pub fn open_blob(hbk: &[u8], pairs: &[(&str, &str)], blob: &[u8]) -> Option<Vec<u8>> {
    open(hbk, "kms/enc/v1", blob, &context_aad(pairs))
}
