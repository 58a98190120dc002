//! The error state: whichever algorithm's known answer is wrong, everything is refused, by every HSM of the process.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

mod support;

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::{EphemeralRoot, Error, Hsm, Recipient, selftest};
use support::{BINDING, POLICY, REGION, context, decrypt, encrypt, hsm};

#[test] // one test: the error state is the process's
fn every_fault_refuses_everything() {
    let hsm = hsm();
    let (hbkid, token, handle) = hsm.generate_key(&BINDING).unwrap();
    let blob = encrypt(&hsm, handle, &[], b"text").unwrap();
    let parsed = Blob::parse(&blob).unwrap();
    let record = hsm.stage_domain_rotation(REGION, 5).unwrap();
    let threads = std::num::NonZeroUsize::MIN;
    let names: Vec<_> = selftest::algorithms().collect();
    assert_eq!(names, ["SHA-256", "HMAC-SHA-256", "KBKDF-CTR-HMAC-SHA256", "AES-256-GCM", "CTR_DRBG"]);
    for (index, name) in (0u8..).zip(names) {
        selftest::inject_fault(Some(index));
        let (mut key, mut out, mut text) = (vec![0; 32], vec![0; blob_len(32)], [0; 4]);
        let refused: Vec<Result<(), Error>> = vec![
            Hsm::open(&EphemeralRoot, true, POLICY).map(drop),
            encrypt(&hsm, handle, &[], b"x").map(drop),
            decrypt(&hsm, handle, &[], &blob).map(drop),
            hsm.decrypt_unknown(&mut context(&[]), &parsed),
            hsm.generate_data_key(handle, &mut context(&[]), &mut key, &mut out),
            hsm.generate_data_key_without_plaintext(handle, &mut context(&[]), 32, &mut out),
            hsm.generate_data_keys(handle, &context(&[]), 32, &mut key, &mut out, threads),
            hsm.encrypt_many(handle, &context(&[]), &[&[1; 32]], &mut out, threads).map_err(|error| error.error),
            hsm.decrypt_many(&context(&[]), &[(handle, Blob::parse(&blob).unwrap())], &mut text, threads)
                .map_err(|error| error.error),
            hsm.reencrypt((handle, &mut context(&[])), &parsed, (handle, &mut context(&[])), &mut vec![0; blob.len()]),
            hsm.status().map(drop),
            hsm.create_domain("new", 1).map(drop),
            hsm.load_domain(REGION, &record).map(drop),
            hsm.stage_domain_rotation(REGION, 1).map(drop),
            hsm.stage_domain_retirement(REGION, &[]).map(drop),
            hsm.install_domain(REGION),
            hsm.discard_staged_domain(REGION),
            hsm.domain_keys(REGION).map(drop),
            hsm.generate_key(&BINDING).map(drop),
            hsm.load_key(&token, &hbkid, &BINDING).map(drop),
            hsm.rewrap_key(&token, &hbkid, &BINDING).map(drop),
            hsm.unload_key(handle),
            hsm.evict_idle_keys().map(drop),
            hsm.seal_opaque(REGION, "marker", b"x").map(drop),
            hsm.open_opaque(REGION, "marker", &blob).map(drop),
        ];
        for (entry, result) in refused.into_iter().enumerate() {
            assert_eq!(result, Err(Error::SelfTest(name)), "entry {entry}");
        }
        assert!(key.iter().chain(&out).chain(&text).all(|&byte| byte == 0));
        // The error state lasts, also when nothing is wrong any more; only the door can undo it.
        assert_eq!(hsm.status().err(), Some(Error::SelfTest(name)));
    }
    // The algorithms of key pairs are tested at their first use; a fault there is everybody's too.
    selftest::inject_fault(None);
    let first_uses: [(&str, &str, &str); 19] = [
        ("HMAC_384", "GENERATE_VERIFY_MAC", "HMAC_SHA_384"),
        ("RSA_2048", "SIGN_VERIFY", "RSASSA_PKCS1_V1_5_SHA_256"),
        ("RSA_2048", "SIGN_VERIFY", "RSASSA_PSS_SHA_256"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"),
        ("ECC_NIST_P384", "SIGN_VERIFY", "ECDSA_SHA_384"),
        ("ECC_NIST_P521", "SIGN_VERIFY", "ECDSA_SHA_512"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256"),
        ("ECC_NIST_P256", "KEY_AGREEMENT", "ECDH"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "ED25519_SHA_512"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "ED25519_PH_SHA_512"),
        ("ML_DSA_44", "SIGN_VERIFY", "ML_DSA_SHAKE_256"),
        ("ML_DSA_65", "SIGN_VERIFY", "ML_DSA_SHAKE_256"),
        ("ML_DSA_87", "SIGN_VERIFY", "ML_DSA_SHAKE_256"),
        ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE", "ML_KEM"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "ML_KEM"),
        ("ML_KEM_1024", "ENCAPSULATE_DECAPSULATE", "ML_KEM"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "wrapping"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "recipient"),
    ];
    let names: Vec<_> = selftest::later_algorithms().collect();
    assert_eq!(names.len(), first_uses.len());
    for ((index, name), (spec, usage, algorithm)) in (5u8..).zip(names).zip(first_uses) {
        selftest::inject_fault(None);
        let binding = clavero_hsm::KeyBinding { spec, usage, ..BINDING };
        let key = hsm.create_key(&binding).unwrap();
        let public = key.public_key.unwrap_or_default();
        let wrapping = hsm.create_wrapping_key(REGION, "p", "RSA_2048").unwrap();
        selftest::inject_fault(Some(index));
        let used = match algorithm {
            "HMAC_SHA_384" => hsm.generate_mac(key.handle, algorithm, b"x").map(drop),
            "RSAES_OAEP_SHA_256" => hsm.rsa_encrypt(&public, algorithm, b"x").map(drop),
            "ECDH" => hsm.derive_shared_secret(key.handle, &public).map(drop),
            "ML_KEM" => hsm.decapsulate(key.handle, b"").map(drop),
            "wrapping" => {
                hsm.import_key(REGION, "p", &wrapping.sealed_private_key, "RSAES_OAEP_SHA_1", b"", &BINDING, None).map(drop)
            }
            "recipient" => hsm.generate_random_for(&Recipient::new(&public).unwrap(), 32).map(drop),
            "ED25519_PH_SHA_512" => hsm.sign(key.handle, algorithm, "DIGEST", &[1; 64]).map(drop),
            _ => hsm.sign(key.handle, algorithm, "RAW", b"x").map(drop),
        };
        assert_eq!(used, Err(Error::SelfTest(name)));
        assert_eq!(hsm.status().err(), Some(Error::SelfTest(name)), "{name}");
        assert_eq!(hsm.create_key(&binding).err(), Some(Error::SelfTest(name)), "{name}");
        assert_eq!(decrypt(&hsm, handle, &[], &blob), Err(Error::SelfTest(name)), "{name}");
    }
    selftest::inject_fault(None);
    assert_eq!(decrypt(&hsm, handle, &[], &blob).unwrap(), b"text");
}
