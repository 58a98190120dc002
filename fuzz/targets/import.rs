//! Imports: no wrapped bytes, sealed wrapping key or key material makes the unwrapping panic, nothing is taken but what was wrapped for this
//! import, and a key that is taken works.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;

use std::sync::OnceLock;

use clavero_hsm::crypto::keywrap;
use clavero_hsm::memory::{self, Depth, with_keys};
use clavero_hsm::spec::KeySpec;
use clavero_hsm::{Error, Hsm, Imported, KeyBinding, MemoryPolicy, Result, WrappingKey};
use common::{BINDING, REGION};
use libfuzzer_sys::fuzz_target;

const PURPOSE: &str = "an import";
const OAEP: &str = "RSAES_OAEP_SHA_256";
const KEY_WRAP: &str = "RSA_AES_KEY_WRAP_SHA_256";
const AES: [u8; 32] = [0x42; 32];

/// Specs to import, each with a usage and genuine material.
const SPECS: [(&str, &str); 6] = [
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ("ECC_NIST_P256", "SIGN_VERIFY"),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
    ("RSA_2048", "SIGN_VERIFY"),
    ("ML_DSA_44", "SIGN_VERIFY"),
];

struct Genuine {
    hsm: Hsm,
    wrapping: WrappingKey,
    /// `AES` under the wrapping key, which stands before what is wrapped under `AES`.
    wrapped_aes: Vec<u8>,
}

/// Material of a spec, made when it is first needed.
fn genuine_material(which: usize) -> &'static [u8] {
    static MATERIALS: [OnceLock<Vec<u8>>; SPECS.len()] = [const { OnceLock::new() }; SPECS.len()];
    MATERIALS[which].get_or_init(|| match KeySpec::parse(SPECS[which].0).unwrap() {
        KeySpec::Pair(key_type) => common::pair(key_type).0,
        _ => vec![0x17; 32],
    })
}

fn genuine() -> &'static Genuine {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let (hsm, _) = common::hsm();
        let wrapping = hsm.create_wrapping_key(REGION, PURPOSE, "RSA_2048").unwrap();
        let wrapped_aes = hsm.rsa_encrypt(&wrapping.public_key, OAEP, &AES).unwrap();
        Genuine { hsm, wrapping, wrapped_aes }
    })
}

/// `material` as a caller wraps it.
fn wrapped(material: &[u8]) -> Vec<u8> {
    let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
    let under_aes = with_keys(memory, Depth::Shallow, |scope| keywrap::wrap(scope, &AES, material)).unwrap();
    [&genuine().wrapped_aes[..], &under_aes].concat()
}

fn import(which: usize, sealed: &[u8], algorithm: &str, wrapped: &[u8]) -> Result<Imported> {
    let (spec, usage) = SPECS[which];
    let binding = KeyBinding { spec, usage, origin: "EXTERNAL", ..BINDING };
    genuine().hsm.import_key(REGION, PURPOSE, sealed, algorithm, wrapped, &binding, None)
}

/// What was taken works: it signs, and its public key verifies.
fn check_taken(which: usize, imported: &Imported) {
    let Genuine { hsm, .. } = genuine();
    let algorithm = match SPECS[which].0 {
        "ECC_NIST_P256" => "ECDSA_SHA_256",
        "ECC_NIST_EDWARDS25519" => "ED25519_SHA_512",
        "RSA_2048" => "RSASSA_PSS_SHA_256",
        "ML_DSA_44" => "ML_DSA_SHAKE_256",
        _ => "",
    };
    if !algorithm.is_empty() {
        let signature = hsm.sign(imported.key.handle, algorithm, "RAW", b"x").unwrap();
        let public_key = imported.key.public_key.as_ref().unwrap();
        let spec = KeySpec::parse(SPECS[which].0).unwrap();
        assert!(hsm.verify(public_key, spec, algorithm, "RAW", b"x", &signature).unwrap());
    }
    hsm.unload_key(imported.key.handle).unwrap();
}

fuzz_target!(|data: &[u8]| {
    let Genuine { wrapping, .. } = genuine();
    let Some((choice, script)) = data.split_first() else { return };
    let which = usize::from(*choice) % SPECS.len();
    let original = genuine_material(which);
    let sealed = &wrapping.sealed_private_key;
    let unwrapped = |result: Result<Imported>, genuine: bool| match result {
        Ok(imported) => {
            assert!(genuine, "something else was unwrapped");
            check_taken(which, &imported);
        }
        Err(error) => assert!(!genuine && error == Error::InvalidCiphertext, "{error}"),
    };
    match choice / 64 {
        0 => {
            // Bytes that nobody wrapped
            for algorithm in [OAEP, KEY_WRAP] {
                unwrapped(import(which, sealed, algorithm, script), false);
            }
        }
        1 => {
            // Genuinely wrapped bytes, edited
            let genuine = wrapped(original);
            let edited = common::edited(&genuine, script);
            unwrapped(import(which, sealed, KEY_WRAP, &edited), edited == genuine);
        }
        2 => {
            // The sealed wrapping key, edited
            let edited = common::edited(sealed, script);
            let result = import(which, &edited, KEY_WRAP, &wrapped(original));
            match result {
                Ok(imported) => {
                    assert_eq!(&edited, sealed);
                    check_taken(which, &imported);
                }
                Err(error) => assert!(edited != *sealed && error == Error::InvalidToken, "{error}"),
            }
        }
        _ => {
            // Material of the caller's making, properly wrapped
            for material in [script, &common::edited(original, script)] {
                if material.is_empty() || material.len() > 4096 {
                    continue; // AES-KWP wraps something
                }
                match import(which, sealed, KEY_WRAP, &wrapped(material)) {
                    Ok(imported) => check_taken(which, &imported),
                    Err(error) => assert!(material != original && matches!(error, Error::Limit(_)), "{error}"),
                }
            }
        }
    }
});
