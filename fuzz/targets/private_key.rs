//! Private keys that imports bring: no PKCS #8 makes the parser panic, and what is read has one canonical form with the same public key.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;

use std::sync::OnceLock;

use clavero_hsm::crypto::pkey::{KeyType, PrivateKey};
use clavero_hsm::memory::{self, Depth, with_keys};
use clavero_hsm::spec::KeySpec;
use clavero_hsm::{Error, MemoryPolicy};
use libfuzzer_sys::fuzz_target;

const SPECS: [&str; 10] = [
    "RSA_2048",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "ECC_NIST_EDWARDS25519",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_KEM_512",
    "ML_KEM_1024",
];

/// A genuine key of each spec as PKCS #8, made when it is first needed.
fn genuine(which: usize) -> &'static (KeyType, Vec<u8>) {
    static GENUINE: [OnceLock<(KeyType, Vec<u8>)>; SPECS.len()] = [const { OnceLock::new() }; SPECS.len()];
    GENUINE[which].get_or_init(|| {
        let key_type = KeySpec::parse(SPECS[which]).unwrap().pair().unwrap();
        (key_type, common::pair(key_type).0)
    })
}

fn check(key_type: KeyType, der: &[u8], genuine: &[u8]) {
    let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
    let read = with_keys(memory, Depth::Deep, |scope| {
        let key = PrivateKey::from_pkcs8(scope, key_type, der)?;
        let mut canonical = [0; 6144];
        let len = key.to_pkcs8(scope, &mut canonical).unwrap();
        let again = PrivateKey::from_pkcs8(scope, key_type, &canonical[..len]).unwrap();
        assert_eq!(again.public_spki(scope).unwrap(), key.public_spki(scope).unwrap());
        let mut second = [0; 6144];
        assert_eq!(again.to_pkcs8(scope, &mut second).unwrap(), len);
        assert!(second == canonical, "one canonical form");
        assert!(der != genuine || canonical[..len] == *genuine, "which is the one that we write");
        Ok(())
    });
    match read {
        Ok(()) => {}
        Err(error) => assert!(der != genuine && matches!(error, Error::Limit(_)), "{error}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, script)) = data.split_first() else { return };
    let (key_type, der) = genuine(usize::from(*choice) % SPECS.len());
    check(*key_type, script, der);
    check(*key_type, &common::edited(der, script), der);
    let (other_type, other) = genuine(usize::from(*choice / 16) % SPECS.len());
    if other_type != key_type {
        let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
        assert!(with_keys(memory, Depth::Deep, |scope| PrivateKey::from_pkcs8(scope, *key_type, other).map(drop)).is_err());
    }
});
