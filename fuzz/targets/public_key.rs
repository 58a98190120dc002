//! Public keys that callers bring: no SubjectPublicKeyInfo makes the parsers panic, what is read is written again as it stood, and no
//! operation takes a key of another kind.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;

use std::sync::OnceLock;

use clavero_hsm::crypto::pkey::{KeyType, PublicKey};
use clavero_hsm::spec::KeySpec;
use clavero_hsm::{Error, Hsm, KeyBinding, KeyHandle};
use common::BINDING;
use libfuzzer_sys::fuzz_target;

/// A pair of each kind: its spec, an algorithm of its own, its public key, a signature of `MESSAGE` where it signs.
struct Genuine {
    spec: &'static str,
    algorithm: &'static str,
    public_key: Vec<u8>,
    signature: Option<Vec<u8>>,
    /// Keys that agree on the same curve.
    agrees: Option<KeyHandle>,
}

const MESSAGE: &[u8] = b"a message";
const SPECS: [(&str, &str); 10] = [
    ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"),
    ("RSA_3072", "RSASSA_PSS_SHA_256"),
    ("ECC_NIST_P256", "ECDSA_SHA_256"),
    ("ECC_NIST_P384", "ECDSA_SHA_384"),
    ("ECC_NIST_P521", "ECDSA_SHA_512"),
    ("ECC_SECG_P256K1", "ECDSA_SHA_256"),
    ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
    ("ML_DSA_44", "ML_DSA_SHAKE_256"),
    ("ML_KEM_512", ""),
    ("ML_KEM_768", ""),
];

fn hsm() -> &'static Hsm {
    static HSM: OnceLock<Hsm> = OnceLock::new();
    HSM.get_or_init(|| common::hsm().0)
}

/// Made when it is first needed.
fn genuine(which: usize) -> &'static Genuine {
    static GENUINE: [OnceLock<Genuine>; SPECS.len()] = [const { OnceLock::new() }; SPECS.len()];
    GENUINE[which].get_or_init(|| {
        let (spec, algorithm) = SPECS[which];
        let make = |usage| hsm().create_key(&KeyBinding { spec, usage, ..BINDING }).unwrap();
        let (signature, public_key) = if algorithm.is_empty() {
            (None, common::pair(KeySpec::parse(spec).unwrap().pair().unwrap()).1)
        } else {
            let key = make("SIGN_VERIFY");
            (Some(hsm().sign(key.handle, algorithm, "RAW", MESSAGE).unwrap()), key.public_key.unwrap())
        };
        let agrees = spec.starts_with("ECC_NIST_P").then(|| make("KEY_AGREEMENT").handle);
        Genuine { spec, algorithm, public_key, signature, agrees }
    })
}

fn check(hsm: &Hsm, key: &Genuine, der: &[u8]) {
    let spec = KeySpec::parse(key.spec).unwrap();
    let key_type = spec.pair().unwrap();
    let parsed = PublicKey::from_spki(key_type, der);
    if let Ok(parsed) = &parsed {
        let written = parsed.to_spki().unwrap();
        // Compressed points are the one thing that has two forms.
        assert!(written == der || matches!(key_type, KeyType::Ec(_)));
        assert_eq!(PublicKey::from_spki(key_type, &written).unwrap().to_spki().unwrap(), written);
    }
    let refused = |error: &Error| parsed.is_err() && matches!(error, Error::Limit(_));
    if let Some(signature) = &key.signature {
        match hsm.verify(der, spec, key.algorithm, "RAW", MESSAGE, signature) {
            Ok(valid) => assert!(parsed.is_ok() && (valid || der != key.public_key)),
            Err(error) => assert!(refused(&error), "{error}"),
        }
    }
    if matches!(key_type, KeyType::Rsa(_)) {
        match hsm.rsa_encrypt(der, "RSAES_OAEP_SHA_256", MESSAGE) {
            Ok(ciphertext) => assert!(ciphertext.len() >= 256), // of another size than this key's, perhaps
            Err(error) => {
                assert!(matches!(error, Error::Limit(_) | Error::Internal("RSA-OAEP")) && der != key.public_key, "{error}")
            }
        }
    }
    if let Some(handle) = key.agrees {
        match hsm.derive_shared_secret(handle, der) {
            Ok(secret) => assert!(parsed.is_ok() && !secret.iter().all(|&byte| byte == 0)),
            Err(error) => assert!(refused(&error), "{error}"),
        }
    }
    if key.spec.starts_with("ML_KEM") {
        match hsm.encapsulate(der, spec) {
            Ok((secret, _)) => assert!(parsed.is_ok() && *secret != [0; 32]),
            // A key whose coefficients are out of range is refused at its use (FIPS 203, 7.2).
            Err(error) => assert!(der != key.public_key, "{error}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let hsm = hsm();
    let Some((choice, script)) = data.split_first() else { return };
    let key = genuine(usize::from(*choice) % SPECS.len());
    check(hsm, key, script);
    check(hsm, key, &common::edited(&key.public_key, script));
    let other = genuine(usize::from(*choice / 16) % SPECS.len());
    if other.spec != key.spec {
        let key_type = KeySpec::parse(key.spec).unwrap().pair().unwrap();
        assert!(PublicKey::from_spki(key_type, &other.public_key).is_err());
    }
});
