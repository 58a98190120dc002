//! Answers for attested recipients: what is made for one opens with its key alone. (The envelope's form is judged from Python too.)
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

mod support;

use std::sync::Arc;

use clavero_hsm::blob::Blob;
use clavero_hsm::{EncryptionContext, Error, Hsm, KeyBinding, KeyHandle, Recipient};
use support::{BINDING, context, decrypt, encrypt, hsm};

fn bound<'a>(spec: &'a str, usage: &'a str) -> KeyBinding<'a> {
    KeyBinding { spec, usage, ..BINDING }
}

/// A recipient whose private key is in an HSM.
fn recipient(hsm: &Hsm, spec: &str) -> (Recipient, KeyHandle) {
    let key = hsm.create_key(&bound(spec, "ENCRYPT_DECRYPT")).unwrap();
    (Recipient::new(&key.public_key.unwrap()).unwrap(), key.handle)
}

/// The content key's length, as the recipient finds it in the envelope, and the length of the content.
fn transported(hsm: &Hsm, handle: KeyHandle, envelope: &[u8], modulus: usize) -> (usize, usize) {
    let head = [0x04, 0x82, (modulus >> 8) as u8, modulus as u8];
    let start = envelope.windows(4).position(|window| window == head).unwrap() + 4;
    let key = hsm.rsa_decrypt(handle, "RSAES_OAEP_SHA_256", &envelope[start..start + modulus]).unwrap();
    (key.len(), envelope.len() - start - modulus)
}

#[test]
fn each_size_of_key_gets_a_content_key_of_its_own() {
    let hsm = hsm();
    for (spec, modulus) in [("RSA_2048", 256), ("RSA_3072", 384), ("RSA_4096", 512)] {
        let (recipient, handle) = recipient(&hsm, spec);
        let one = hsm.generate_random_for(&recipient, 32).unwrap();
        let other = hsm.generate_random_for(&recipient, 32).unwrap();
        assert_ne!(one, other);
        assert_eq!(one.len(), other.len());
        assert_eq!(transported(&hsm, handle, &one, modulus).0, 32);
    }
}

#[test]
fn what_is_no_rsa_key_of_these_sizes_is_no_recipient() {
    let hsm = hsm();
    let key = hsm.create_key(&bound("RSA_2048", "SIGN_VERIFY")).unwrap().public_key.unwrap();
    assert!(Recipient::new(&key).is_ok());
    let curve = hsm.create_key(&bound("ECC_NIST_P384", "SIGN_VERIFY")).unwrap().public_key.unwrap();
    for spki in [&b""[..], b"none", &curve, &key[..key.len() - 1], &[&key[..], &[0]].concat()] {
        assert!(matches!(Recipient::new(spki), Err(Error::Limit(_))));
    }
}

#[test]
fn what_does_not_open_is_not_enveloped() {
    let hsm = hsm();
    let (recipient, rsa) = recipient(&hsm, "RSA_2048");
    let key = hsm.generate_key(&BINDING).unwrap().2;
    let other = hsm.generate_key(&BINDING).unwrap().2;
    let blob = encrypt(&hsm, key, &[("a", "b")], b"a secret").unwrap();
    let parsed = Blob::parse(&blob).unwrap();
    assert!(hsm.decrypt_for(&recipient, key, &mut context(&[("a", "b")]), &parsed).is_ok());
    for (handle, pairs) in [(key, &[][..]), (key, &[("a", "c")]), (other, &[("a", "b")])] {
        let refused = hsm.decrypt_for(&recipient, handle, &mut context(pairs), &parsed);
        assert_eq!(refused, Err(Error::InvalidCiphertext));
    }
    assert_eq!(hsm.rsa_decrypt_for(&recipient, rsa, "RSAES_OAEP_SHA_256", &[1; 256]), Err(Error::InvalidCiphertext));
    for size in [0, 1025] {
        assert!(matches!(hsm.generate_random_for(&recipient, size), Err(Error::Limit(_))));
        let refused = hsm.generate_data_key_for(&recipient, key, &mut EncryptionContext::empty(), size);
        assert!(matches!(refused, Err(Error::Limit(_))));
    }
    assert!(matches!(hsm.derive_shared_secret_for(&recipient, key, b""), Err(Error::Limit(_))));
}

#[test]
fn data_keys_and_pairs_have_their_blob_beside() {
    let hsm = hsm();
    let (recipient, handle) = recipient(&hsm, "RSA_2048");
    let key = hsm.generate_key(&BINDING).unwrap().2;
    let (envelope, blob) = hsm.generate_data_key_for(&recipient, key, &mut context(&[]), 16).unwrap();
    assert_eq!(decrypt(&hsm, key, &[], &blob).unwrap().len(), 16);
    let (_, small) = transported(&hsm, handle, &envelope, 256);
    let (envelope, pair) = hsm.generate_data_key_pair_for(&recipient, key, "ECC_NIST_P256", &mut context(&[])).unwrap();
    assert!(pair.private_key.is_none());
    let private = decrypt(&hsm, key, &[], &pair.blob).unwrap();
    let (_, large) = transported(&hsm, handle, &envelope, 256);
    // Both are padded to whole blocks; the longer content has a length of two bytes in DER
    assert_eq!(large - small, private.len() / 16 * 16 + 16 - 32 + usize::from(private.len() / 16 * 16 + 16 > 127));
}

#[test]
fn a_sealed_hsm_answers_nobody() {
    let hsm = hsm();
    let (recipient, handle) = recipient(&hsm, "RSA_2048");
    let key = hsm.generate_key(&BINDING).unwrap().2;
    let blob = encrypt(&hsm, key, &[], b"a secret").unwrap();
    let parsed = Blob::parse(&blob).unwrap();
    hsm.seal().unwrap();
    let mut none = EncryptionContext::empty();
    assert_eq!(hsm.generate_random_for(&recipient, 1), Err(Error::Sealed));
    assert_eq!(hsm.decrypt_for(&recipient, key, &mut none, &parsed), Err(Error::Sealed));
    assert_eq!(hsm.rsa_decrypt_for(&recipient, handle, "RSAES_OAEP_SHA_256", &[1; 256]), Err(Error::Sealed));
    assert_eq!(hsm.generate_data_key_for(&recipient, key, &mut none, 1), Err(Error::Sealed));
    assert_eq!(hsm.derive_shared_secret_for(&recipient, key, b""), Err(Error::Sealed));
    assert_eq!(hsm.generate_data_key_pair_for(&recipient, key, "ECC_NIST_P256", &mut none).err(), Some(Error::Sealed));
}

/// Runs `work` on two threads until it is refused, and `meanwhile` beside them; none may wait for ever.
fn nobody_hangs(work: impl Fn() -> bool + Clone + Send + 'static, meanwhile: impl FnOnce() + Send + 'static) {
    let (done, finished) = std::sync::mpsc::channel();
    for _ in 0..2 {
        let (work, done) = (work.clone(), done.clone());
        std::thread::spawn(move || {
            while work() {}
            done.send(()).unwrap();
        });
    }
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(5)); // the threads are at it
        meanwhile();
        done.send(()).unwrap();
    });
    for _ in 0..3 {
        finished.recv_timeout(std::time::Duration::from_secs(20)).expect("a deadlock");
    }
}

#[test]
fn sealing_waits_for_answers_to_recipients_and_they_do_not_wait_for_it() {
    let (recipient, _) = recipient(&hsm(), "RSA_2048");
    for _ in 0..30 {
        let (hsm, recipient) = (Arc::new(hsm()), recipient.clone());
        let key = hsm.create_key(&bound("ECC_NIST_P521", "KEY_AGREEMENT")).unwrap();
        let (sealing, peer) = (Arc::clone(&hsm), key.public_key.unwrap());
        let derive = move || hsm.derive_shared_secret_for(&recipient, key.handle, &peer) != Err(Error::Sealed);
        nobody_hangs(derive, move || sealing.seal().unwrap());
    }
}

#[test]
fn signing_keys_are_derived_while_keys_come_and_go() {
    let hsm = Arc::new(hsm());
    let sealed = hsm.create_access_secret(BINDING.region, "access").unwrap();
    let secret = Arc::new(hsm.load_access_secret(BINDING.region, "access", &sealed).unwrap());
    let loading = Arc::clone(&hsm);
    let derive = move || hsm.derive_signing_key(&secret, "20260101", "us-east-1", "kms").is_ok();
    nobody_hangs(derive, move || {
        for _ in 0..2000 {
            let (_, _, handle) = loading.generate_key(&BINDING).unwrap();
            loading.unload_key(handle).unwrap();
        }
        loading.seal().unwrap();
    });
}
