//! An HSM for the targets, and edits that a fuzzer can steer.
#![allow(dead_code)] // each target uses a part

use clavero_hsm::crypto::pkey::{KeyType, PrivateKey};
use clavero_hsm::memory::{self, Depth, with_keys};
use clavero_hsm::{EphemeralRoot, Hsm, KeyBinding, MemoryPolicy};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const BINDING: KeyBinding<'static> = KeyBinding {
    region: REGION,
    account: "000000000000",
    key_id: "1234abcd-12ab-34cd-56ef-1234567890ab",
    spec: "SYMMETRIC_DEFAULT",
    usage: "ENCRYPT_DECRYPT",
    origin: "AWS_KMS",
    multi_region: false,
};

/// An HSM with one domain in force, and the domain's record.
pub(crate) fn hsm() -> (Hsm, Vec<u8>) {
    let hsm = Hsm::open(&EphemeralRoot, true, MemoryPolicy { allow_insecure: true }).unwrap();
    let record = hsm.create_domain(REGION, 1).unwrap();
    hsm.install_domain(REGION).unwrap();
    (hsm, record)
}

/// A new key pair: PKCS #8 and SubjectPublicKeyInfo.
pub(crate) fn pair(key_type: KeyType) -> (Vec<u8>, Vec<u8>) {
    let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
    with_keys(memory, Depth::Deep, |scope| {
        let key = PrivateKey::generate(scope, key_type, &|| false)?;
        let mut der = [0; 6144];
        let len = key.to_pkcs8(scope, &mut der)?;
        Ok((der[..len].to_vec(), key.public_spki(scope)?))
    })
    .unwrap()
}

/// Edits genuine bytes as `script` says: overwrite, insert, delete, cut, repeat. Keys are random in every process, so no corpus can hold
/// genuine bytes; this is how a fuzzer gets past the header.
pub(crate) fn edited(genuine: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for step in script.chunks_exact(4).take(32) {
        let at = usize::from(u16::from_be_bytes([step[1], step[2]])) % (bytes.len() + 1);
        match step[0] % 6 {
            0 if at < bytes.len() => bytes[at] = step[3],
            1 if at < bytes.len() => bytes[at] ^= 1 << (step[3] % 8),
            2 => bytes.insert(at, step[3]),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {
                let tail = bytes[at..].to_vec();
                bytes.extend_from_slice(&tail[..tail.len().min(usize::from(step[3]))]);
            }
        }
    }
    bytes
}
