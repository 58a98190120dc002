//! ImportKeyMaterial: what comes wrapped for its purpose is taken, and nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

#[path = "support/judge.rs"]
mod judge;
mod support;

use clavero_hsm::{EncryptionContext, Error, Hsm, KeyBinding};
use support::{BINDING, REGION, decrypt, encrypt, hsm};

const WRAPPINGS: [&str; 4] = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"];

fn bound<'a>(spec: &'a str, usage: &'a str) -> KeyBinding<'a> {
    KeyBinding { spec, usage, origin: "EXTERNAL", ..BINDING }
}

/// A private key of the spec as PKCS #8, its public key.
fn pair(hsm: &Hsm, spec: &str) -> (Vec<u8>, Vec<u8>) {
    let handle = hsm.generate_key(&BINDING).unwrap().2;
    let pair = hsm.generate_data_key_pair(handle, spec, &mut EncryptionContext::empty(), true).unwrap();
    (pair.private_key.unwrap().to_vec(), pair.public_key)
}

#[test]
fn symmetric_material_comes_in_by_every_wrapping() {
    let hsm = hsm();
    let material = [0x5a; 32];
    let binding = bound("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT");
    let mut fingerprints = Vec::new();
    let mut first = None;
    for spec in ["RSA_2048", "RSA_3072", "RSA_4096"] {
        let wrapping = hsm.create_wrapping_key(REGION, "import of a key", spec).unwrap();
        for algorithm in WRAPPINGS {
            let wrapped = hsm.wrap_material(&wrapping.public_key, (spec, algorithm), &material).unwrap();
            let take = |purpose: &str, sealed: &[u8], algorithm: &str, wrapped: &[u8], binding: &KeyBinding<'_>| {
                hsm.import_key(REGION, purpose, sealed, algorithm, wrapped, binding, first)
            };
            let sealed = &wrapping.sealed_private_key;
            let imported = take("import of a key", sealed, algorithm, &wrapped, &binding).unwrap();
            fingerprints.push(imported.fingerprint);
            // The same material under its old id opens what it encrypted before.
            let blob = encrypt(&hsm, imported.key.handle, &[], b"text").unwrap();
            let id = *first.get_or_insert(imported.key.hbkid);
            assert_eq!(imported.key.hbkid, id);
            let again = hsm.load_key(&imported.key.token, &id, &binding).unwrap();
            assert_eq!(decrypt(&hsm, again, &[], &blob).unwrap(), b"text");

            let take = |purpose: &str, sealed: &[u8], algorithm: &str, wrapped: &[u8], binding: &KeyBinding<'_>| {
                hsm.import_key(REGION, purpose, sealed, algorithm, wrapped, binding, None).map(drop)
            };
            assert_eq!(take("another import", sealed, algorithm, &wrapped, &binding), Err(Error::InvalidToken));
            let mut edited = sealed.clone();
            edited[100] ^= 1;
            assert_eq!(take("import of a key", &edited, algorithm, &wrapped, &binding), Err(Error::InvalidToken));
            assert_eq!(take("import of a key", b"junk", algorithm, &wrapped, &binding), Err(Error::InvalidToken));
            for at in [0, wrapped.len() / 2, wrapped.len() - 1] {
                let mut edited = wrapped.clone();
                edited[at] ^= 1;
                assert_eq!(take("import of a key", sealed, algorithm, &edited, &binding), Err(Error::InvalidCiphertext));
            }
            for cut in [0, 1, wrapped.len() - 1] {
                assert_eq!(take("import of a key", sealed, algorithm, &wrapped[..cut], &binding), Err(Error::InvalidCiphertext));
            }
            for other in WRAPPINGS.iter().filter(|other| **other != algorithm) {
                assert_eq!(take("import of a key", sealed, other, &wrapped, &binding), Err(Error::InvalidCiphertext));
            }
            for spec in [("HMAC_512", "GENERATE_VERIFY_MAC"), ("ECC_NIST_P256", "SIGN_VERIFY"), ("RSA_2048", "SIGN_VERIFY")] {
                assert!(
                    matches!(take("import of a key", sealed, algorithm, &wrapped, &bound(spec.0, spec.1)), Err(Error::Limit(_))),
                    "{spec:?}"
                );
            }
        }
    }
    assert!(fingerprints.iter().all(|fingerprint| *fingerprint == fingerprints[0]), "the same material");
    let wrapping = hsm.create_wrapping_key(REGION, "p", "RSA_2048").unwrap();
    let other = hsm.wrap_material(&wrapping.public_key, ("RSA_2048", WRAPPINGS[0]), &[0x5b; 32]).unwrap();
    let other = hsm.import_key(REGION, "p", &wrapping.sealed_private_key, WRAPPINGS[0], &other, &binding, None).unwrap();
    assert_ne!(other.fingerprint, fingerprints[0]);
    assert!(matches!(hsm.create_wrapping_key(REGION, "p", "ECC_NIST_P256").map(drop), Err(Error::Limit(_))));
    assert!(matches!(hsm.create_wrapping_key("xx", "p", "RSA_2048").map(drop), Err(Error::UnknownDomain(_))));
}

#[test]
fn pairs_and_mac_keys_come_in_and_work() {
    let hsm = hsm();
    let wrapping = hsm.create_wrapping_key(REGION, "p", "RSA_3072").unwrap();
    let import = |material: &[u8], spec: &str, usage: &str| {
        let algorithm = "RSA_AES_KEY_WRAP_SHA_256";
        let wrapped = hsm.wrap_material(&wrapping.public_key, ("RSA_3072", algorithm), material).unwrap();
        hsm.import_key(REGION, "p", &wrapping.sealed_private_key, algorithm, &wrapped, &bound(spec, usage), None)
    };
    let specs = [
        ("RSA_2048", "RSASSA_PSS_SHA_256"),
        ("RSA_3072", "RSASSA_PKCS1_V1_5_SHA_384"),
        ("RSA_4096", "RSASSA_PSS_SHA_512"),
        ("ECC_NIST_P256", "ECDSA_SHA_256"),
        ("ECC_NIST_P384", "ECDSA_SHA_384"),
        ("ECC_NIST_P521", "ECDSA_SHA_512"),
        ("ECC_SECG_P256K1", "ECDSA_SHA_256"),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
    ];
    for (spec, algorithm) in specs {
        let (private, public) = pair(&hsm, spec);
        let imported = import(&private, spec, "SIGN_VERIFY").unwrap();
        assert_eq!(imported.key.public_key.as_ref(), Some(&public), "{spec}");
        let signature = hsm.sign(imported.key.handle, algorithm, "RAW", b"m").unwrap();
        let known = clavero_hsm::spec::KeySpec::parse(spec).unwrap();
        assert!(hsm.verify(&public, known, algorithm, "RAW", b"m", &signature).unwrap());
        assert_eq!(import(&private, spec, "SIGN_VERIFY").unwrap().fingerprint, imported.fingerprint);
        // Neither another spec's key, nor one with a byte more, less or changed in its structure.
        for (other, _) in specs.iter().filter(|(other, _)| *other != spec) {
            assert!(matches!(import(&private, other, "SIGN_VERIFY").map(drop), Err(Error::Limit(_))), "{spec} as {other}");
        }
        for broken in [&private[..private.len() - 1], &[&private[..], &[0]].concat(), &private[1..], &[0x30, 0x80, 0, 0]] {
            assert!(matches!(import(broken, spec, "SIGN_VERIFY").map(drop), Err(Error::Limit(_))), "{spec}");
        }
        for at in 0..private.len().min(64) {
            let mut edited = private.clone();
            edited[at] ^= 0x40;
            // Some bytes are the key itself: what is taken then is another key, with its own public half.
            if let Ok(taken) = import(&edited, spec, "SIGN_VERIFY") {
                assert_ne!(taken.fingerprint, imported.fingerprint, "{spec}: byte {at}");
            }
        }
    }
    let (private, public) = pair(&hsm, "ML_KEM_768");
    let imported = import(&private, "ML_KEM_768", "ENCAPSULATE_DECAPSULATE").unwrap();
    let (secret, ciphertext) = hsm.encapsulate(&public, clavero_hsm::spec::KeySpec::parse("ML_KEM_768").unwrap()).unwrap();
    assert_eq!(*hsm.decapsulate(imported.key.handle, &ciphertext).unwrap(), *secret);
    for (spec, len) in [("HMAC_224", 28), ("HMAC_256", 32), ("HMAC_384", 48), ("HMAC_512", 64)] {
        assert!(import(&vec![7; len], spec, "GENERATE_VERIFY_MAC").is_ok());
        assert!(matches!(import(&vec![7; len - 1], spec, "GENERATE_VERIFY_MAC").map(drop), Err(Error::Limit(_))));
        assert!(matches!(import(&vec![7; 5000], spec, "GENERATE_VERIFY_MAC").map(drop), Err(Error::Limit(_))));
    }
}

/// The id of a seeded version, by RustCrypto.
fn seeded_id(binding: &KeyBinding<'_>, number: u32, material: &[u8]) -> [u8; 16] {
    let fields = judge::fields(&[binding.account.as_bytes(), binding.key_id.as_bytes(), binding.spec.as_bytes()]);
    let input = [&b"kms/seed/v1\0"[..], &fields, &number.to_be_bytes()].concat();
    *judge::kbkdf(material, &input, 16).first_chunk().unwrap()
}

#[test]
fn a_seeded_key_has_the_same_id_everywhere_and_opens_the_same_blobs() {
    let (one, other) = (hsm(), support::open_with([7; 32]).0);
    let binding = support::BINDING;
    let taken = one.import_plain_key(&binding, &[9; 32], 1).unwrap().key;
    assert_eq!(taken.hbkid, seeded_id(&binding, 1, &[9; 32]));
    let again = other.import_plain_key(&binding, &[9; 32], 1).unwrap().key;
    assert_eq!(again.hbkid, taken.hbkid);
    let blob = encrypt(&one, taken.handle, &[], b"text").unwrap();
    assert_eq!(decrypt(&other, again.handle, &[], &blob).unwrap(), b"text");
    assert!(one.load_key(&taken.token, &taken.hbkid, &binding).is_ok());
    // The Region and the use are no part of it; everything else is.
    one.create_domain("us-east-1", 1).unwrap();
    one.install_domain("us-east-1").unwrap();
    let elsewhere = KeyBinding { region: "us-east-1", origin: "EXTERNAL", ..binding };
    assert_eq!(one.import_plain_key(&elsewhere, &[9; 32], 1).unwrap().key.hbkid, taken.hbkid);
    let others = [
        (KeyBinding { account: "999999999999", ..binding }, [9; 32], 1),
        (KeyBinding { key_id: "1234abcd-12ab-34cd-56ef-1234567890ac", ..binding }, [9; 32], 1),
        (KeyBinding { spec: "HMAC_256", usage: "GENERATE_VERIFY_MAC", ..binding }, [9; 32], 1),
        (binding, [8; 32], 1),
        (binding, [9; 32], 2),
    ];
    for (binding, material, number) in others {
        let id = one.import_plain_key(&binding, &material, number).unwrap().key.hbkid;
        assert_ne!(id, taken.hbkid, "{binding:?} {number}");
        assert_eq!(id, seeded_id(&binding, number, &material));
    }
}

#[test]
fn seeded_material_is_checked_as_imported_material_is() {
    let hsm = hsm();
    let (private, public) = pair(&hsm, "ECC_NIST_P256");
    let binding = bound("ECC_NIST_P256", "SIGN_VERIFY");
    let taken = hsm.import_plain_key(&binding, &private, 1).unwrap();
    assert_eq!(taken.key.public_key.as_deref(), Some(&public[..]));
    let wrapping = hsm.create_wrapping_key(REGION, "p", "RSA_2048").unwrap();
    let algorithm = "RSA_AES_KEY_WRAP_SHA_256";
    let wrapped = hsm.wrap_material(&wrapping.public_key, ("RSA_2048", algorithm), &private).unwrap();
    let imported = hsm.import_key(REGION, "p", &wrapping.sealed_private_key, algorithm, &wrapped, &binding, None).unwrap();
    assert_eq!(imported.fingerprint, taken.fingerprint);
    let refused = |material: &[u8], spec: &str, usage: &str| {
        matches!(hsm.import_plain_key(&bound(spec, usage), material, 1).map(drop), Err(Error::Limit(_)))
    };
    assert!(refused(&private, "ECC_NIST_P384", "SIGN_VERIFY"));
    assert!(refused(&private[1..], "ECC_NIST_P256", "SIGN_VERIFY"));
    assert!(refused(&[], "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"));
    assert!(refused(&[1; 31], "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"));
    assert!(refused(&[1; 6000], "RSA_4096", "SIGN_VERIFY"));
    assert!(refused(&[1; 32], "SM2", "SIGN_VERIFY"));
}
