//! Key pairs and HMAC keys: every spec made, used, reloaded, imported; what does not go together is refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

mod support;

use clavero_hsm::spec::KeySpec;
use clavero_hsm::{EncryptionContext, Error, Hsm, KeyBinding, KeyHandle, blob::Blob, selftest};
use support::{BINDING, POLICY, REGION, decrypt, hsm, open_with};

const RSA: [&str; 3] = ["RSA_2048", "RSA_3072", "RSA_4096"];
const RSA_SIGNING: [(&str, usize); 6] = [
    ("RSASSA_PSS_SHA_256", 32),
    ("RSASSA_PSS_SHA_384", 48),
    ("RSASSA_PSS_SHA_512", 64),
    ("RSASSA_PKCS1_V1_5_SHA_256", 32),
    ("RSASSA_PKCS1_V1_5_SHA_384", 48),
    ("RSASSA_PKCS1_V1_5_SHA_512", 64),
];

fn bound<'a>(spec: &'a str, usage: &'a str) -> KeyBinding<'a> {
    KeyBinding { spec, usage, ..BINDING }
}

fn limit<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Limit(text)) => text,
        other => panic!("a refusal with a sentence is expected, not {other:?}"),
    }
}

fn spec(name: &str) -> KeySpec {
    KeySpec::parse(name).unwrap()
}

/// Signs twice and verifies; nothing else verifies.
fn sign_and_verify(hsm: &Hsm, handle: KeyHandle, public: &[u8], name: &str, algorithm: &str, kind: &str, message: &[u8]) {
    let signature = hsm.sign(handle, algorithm, kind, message).unwrap();
    let verify = |message: &[u8], signature: &[u8]| hsm.verify(public, spec(name), algorithm, kind, message, signature).unwrap();
    assert!(verify(message, &signature), "{name} {algorithm} {kind}");
    let mut other = message.to_vec();
    other[0] ^= 1;
    assert!(!verify(&other, &signature), "{name} {algorithm} {kind}: another message");
    let mut edited = signature.clone();
    let at = edited.len() / 2;
    edited[at] ^= 1;
    assert!(!verify(message, &edited), "{name} {algorithm} {kind}: an edited signature");
    for cut in [0, 1, signature.len() - 1] {
        assert!(!verify(message, &signature[..cut]), "{name} {algorithm} {kind}: a cut signature");
    }
    assert!(!verify(message, &[&signature[..], &[0]].concat()), "{name}: a longer signature");
}

#[test]
fn rsa_signs_and_decrypts_at_every_size() {
    let hsm = hsm();
    for (name, modulus) in RSA.into_iter().zip([256, 384, 512]) {
        let key = hsm.create_key(&bound(name, "SIGN_VERIFY")).unwrap();
        let public = key.public_key.unwrap();
        for (algorithm, digest) in RSA_SIGNING {
            sign_and_verify(&hsm, key.handle, &public, name, algorithm, "RAW", b"a message");
            sign_and_verify(&hsm, key.handle, &public, name, algorithm, "DIGEST", &vec![7; digest]);
            for wrong in [0, digest - 1, digest + 1] {
                limit(hsm.sign(key.handle, algorithm, "DIGEST", &vec![7; wrong]));
            }
            limit(hsm.sign(key.handle, algorithm, "EXTERNAL_MU", &[7; 64]));
        }
        limit(hsm.sign(key.handle, "ECDSA_SHA_256", "RAW", b"x"));
        limit(hsm.rsa_decrypt(key.handle, "RSAES_OAEP_SHA_256", &vec![0; modulus]).map(drop)); // a key for signing

        let key = hsm.create_key(&bound(name, "ENCRYPT_DECRYPT")).unwrap();
        let public = key.public_key.unwrap();
        limit(hsm.sign(key.handle, "RSASSA_PSS_SHA_256", "RAW", b"x"));
        for (algorithm, hash) in [("RSAES_OAEP_SHA_1", 20), ("RSAES_OAEP_SHA_256", 32)] {
            let most = modulus - 2 * hash - 2;
            for len in [0, 1, 32, most] {
                let plaintext = vec![len as u8; len];
                let ciphertext = hsm.rsa_encrypt(&public, algorithm, &plaintext).unwrap();
                assert_eq!(ciphertext.len(), modulus);
                assert_eq!(**hsm.rsa_decrypt(key.handle, algorithm, &ciphertext).unwrap(), plaintext);
                let mut edited = ciphertext.clone();
                edited[modulus / 2] ^= 1;
                for refused in [&edited[..], &ciphertext[1..], &[], &[&ciphertext[..], &[0]].concat(), &vec![0xff; modulus]] {
                    assert_eq!(hsm.rsa_decrypt(key.handle, algorithm, refused).map(drop), Err(Error::InvalidCiphertext));
                }
            }
            limit(hsm.rsa_encrypt(&public, algorithm, &vec![0; most + 1]));
        }
        let ciphertext = hsm.rsa_encrypt(&public, "RSAES_OAEP_SHA_1", b"x").unwrap();
        assert_eq!(hsm.rsa_decrypt(key.handle, "RSAES_OAEP_SHA_256", &ciphertext).map(drop), Err(Error::InvalidCiphertext));
    }
}

#[test]
fn curves_sign_and_agree() {
    let hsm = hsm();
    for (name, algorithm, digest) in [
        ("ECC_NIST_P256", "ECDSA_SHA_256", 32),
        ("ECC_SECG_P256K1", "ECDSA_SHA_256", 32),
        ("ECC_NIST_P384", "ECDSA_SHA_384", 48),
        ("ECC_NIST_P521", "ECDSA_SHA_512", 64),
    ] {
        let key = hsm.create_key(&bound(name, "SIGN_VERIFY")).unwrap();
        let public = key.public_key.unwrap();
        sign_and_verify(&hsm, key.handle, &public, name, algorithm, "RAW", b"a message");
        sign_and_verify(&hsm, key.handle, &public, name, algorithm, "DIGEST", &vec![9; digest]);
        limit(hsm.sign(key.handle, algorithm, "DIGEST", &vec![9; digest + 1]));
        limit(hsm.derive_shared_secret(key.handle, &public).map(drop));
        for (other, _) in RSA_SIGNING {
            limit(hsm.sign(key.handle, other, "RAW", b"x"));
        }
    }
    for (name, len) in [("ECC_NIST_P256", 32), ("ECC_NIST_P384", 48), ("ECC_NIST_P521", 66)] {
        let one = hsm.create_key(&bound(name, "KEY_AGREEMENT")).unwrap();
        let two = hsm.create_key(&bound(name, "KEY_AGREEMENT")).unwrap();
        let (public_one, public_two) = (one.public_key.unwrap(), two.public_key.unwrap());
        let secret = hsm.derive_shared_secret(one.handle, &public_two).unwrap();
        assert_eq!(secret.len(), len);
        assert_eq!(secret, hsm.derive_shared_secret(two.handle, &public_one).unwrap());
        limit(hsm.sign(one.handle, "ECDSA_SHA_256", "RAW", b"x"));
        let other = hsm.create_key(&bound("ECC_SECG_P256K1", "SIGN_VERIFY")).unwrap().public_key.unwrap();
        let mut off = public_two.clone();
        *off.last_mut().unwrap() ^= 1; // not on the curve any more
        for refused in [&other[..], &off, &public_two[..public_two.len() - 1], &[&public_two[..], &[0]].concat(), b"", b"junk"] {
            limit(hsm.derive_shared_secret(one.handle, refused).map(drop));
        }
    }
}

#[test]
fn ed25519_is_pure_on_messages_and_ph_on_digests() {
    let hsm = hsm();
    let name = "ECC_NIST_EDWARDS25519";
    let key = hsm.create_key(&bound(name, "SIGN_VERIFY")).unwrap();
    let public = key.public_key.unwrap();
    sign_and_verify(&hsm, key.handle, &public, name, "ED25519_SHA_512", "RAW", b"a message");
    sign_and_verify(&hsm, key.handle, &public, name, "ED25519_PH_SHA_512", "DIGEST", &[5; 64]);
    limit(hsm.sign(key.handle, "ED25519_SHA_512", "DIGEST", &[5; 64]));
    limit(hsm.sign(key.handle, "ED25519_PH_SHA_512", "RAW", &[5; 64]));
    limit(hsm.sign(key.handle, "ED25519_PH_SHA_512", "DIGEST", &[5; 63]));
    let signature = hsm.sign(key.handle, "ED25519_PH_SHA_512", "DIGEST", &[5; 64]).unwrap();
    assert!(!hsm.verify(&public, spec(name), "ED25519_SHA_512", "RAW", &[5; 64], &signature).unwrap(), "two algorithms");
}

#[test]
fn ml_dsa_signs_messages_and_their_representatives() {
    let hsm = hsm();
    for (name, len) in [("ML_DSA_44", 2420), ("ML_DSA_65", 3309), ("ML_DSA_87", 4627)] {
        let key = hsm.create_key(&bound(name, "SIGN_VERIFY")).unwrap();
        let public = key.public_key.unwrap();
        sign_and_verify(&hsm, key.handle, &public, name, "ML_DSA_SHAKE_256", "RAW", b"a message");
        sign_and_verify(&hsm, key.handle, &public, name, "ML_DSA_SHAKE_256", "EXTERNAL_MU", &[5; 64]);
        assert_eq!(hsm.sign(key.handle, "ML_DSA_SHAKE_256", "RAW", b"x").unwrap().len(), len);
        limit(hsm.sign(key.handle, "ML_DSA_SHAKE_256", "EXTERNAL_MU", &[5; 63]));
        limit(hsm.sign(key.handle, "ML_DSA_SHAKE_256", "DIGEST", &[5; 64]));
    }
}

#[test]
fn ml_kem_encapsulates_and_rejects_implicitly() {
    let hsm = hsm();
    for (name, len) in [("ML_KEM_512", 768), ("ML_KEM_768", 1088), ("ML_KEM_1024", 1568)] {
        let key = hsm.create_key(&bound(name, "ENCAPSULATE_DECAPSULATE")).unwrap();
        let (secret, mut ciphertext) = hsm.encapsulate(&key.public_key.unwrap(), spec(name)).unwrap();
        assert_eq!(ciphertext.len(), len);
        assert_eq!(*hsm.decapsulate(key.handle, &ciphertext).unwrap(), *secret);
        ciphertext[0] ^= 1;
        let other = hsm.decapsulate(key.handle, &ciphertext).unwrap();
        assert_ne!(*other, *secret);
        assert_eq!(*other, *hsm.decapsulate(key.handle, &ciphertext).unwrap(), "the same secret for the same ciphertext");
        for wrong in [0, len - 1, len + 1] {
            assert_eq!(hsm.decapsulate(key.handle, &vec![0; wrong]).map(drop), Err(Error::InvalidCiphertext));
        }
        limit(hsm.sign(key.handle, "ML_DSA_SHAKE_256", "RAW", b"x"));
    }
    limit(hsm.encapsulate(b"junk", spec("ML_KEM_512")).map(drop));
    limit(hsm.encapsulate(b"", spec("ML_DSA_44")).map(drop));
}

#[test]
fn hmac_keys_make_and_check_whole_macs() {
    let hsm = hsm();
    for (name, algorithm, len) in [
        ("HMAC_224", "HMAC_SHA_224", 28),
        ("HMAC_256", "HMAC_SHA_256", 32),
        ("HMAC_384", "HMAC_SHA_384", 48),
        ("HMAC_512", "HMAC_SHA_512", 64),
    ] {
        let key = hsm.create_key(&bound(name, "GENERATE_VERIFY_MAC")).unwrap();
        assert_eq!(key.public_key, None);
        assert_eq!(key.token.len(), 64 + len, "{name}: as many bytes of key as the hash gives");
        let mac = hsm.generate_mac(key.handle, algorithm, b"message").unwrap();
        assert_eq!(mac.len(), len);
        assert!(hsm.verify_mac(key.handle, algorithm, b"message", &mac).unwrap());
        assert!(!hsm.verify_mac(key.handle, algorithm, b"messages", &mac).unwrap());
        assert!(!hsm.verify_mac(key.handle, algorithm, b"message", &mac[..len - 1]).unwrap());
        assert!(!hsm.verify_mac(key.handle, algorithm, b"message", b"").unwrap());
        for other in ["HMAC_SHA_224", "HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512"] {
            assert_eq!(hsm.generate_mac(key.handle, other, b"m").is_ok(), other == algorithm);
        }
        // A MAC key is no key for messages.
        limit(support::encrypt(&hsm, key.handle, &[], b"text"));
        limit(hsm.generate_data_key_pair(key.handle, "ECC_NIST_P256", &mut EncryptionContext::empty(), true).map(drop));
    }
}

#[test]
fn every_spec_survives_a_restart_and_a_rewrap() {
    let root = [0x31; 32];
    let (first, record) = open_with(root);
    let mut keys = Vec::new();
    for (name, usage) in [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("RSA_4096", "SIGN_VERIFY"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("ECC_NIST_P521", "SIGN_VERIFY"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
        ("HMAC_512", "GENERATE_VERIFY_MAC"),
        ("ML_DSA_87", "SIGN_VERIFY"),
        ("ML_KEM_1024", "ENCAPSULATE_DECAPSULATE"),
    ] {
        let key = first.create_key(&bound(name, usage)).unwrap();
        assert!(key.token.len() < 64 + 2560, "{name}: {}", key.token.len());
        keys.push((name, usage, key));
    }
    drop(first);
    let second = Hsm::open(&support::KnownRoot(root), false, POLICY).unwrap();
    second.load_domain(REGION, &record).unwrap();
    for (name, usage, key) in &keys {
        let binding = bound(name, usage);
        let token = second.rewrap_key(&key.token, &key.hbkid, &binding).unwrap();
        let handle = second.load_key(&token, &key.hbkid, &binding).unwrap();
        if let Some(public) = &key.public_key {
            let algorithm = match *name {
                "RSA_2048" | "RSA_4096" => "RSASSA_PSS_SHA_256",
                "ECC_NIST_P256" => "ECDSA_SHA_256",
                "ECC_NIST_P521" => "ECDSA_SHA_512",
                "ECC_NIST_EDWARDS25519" => "ED25519_SHA_512",
                "ML_DSA_87" => "ML_DSA_SHAKE_256",
                _ => continue,
            };
            sign_and_verify(&second, handle, public, name, algorithm, "RAW", b"kept");
        }
        // A token of one spec is none of another.
        for other in ["SYMMETRIC_DEFAULT", "RSA_2048", "HMAC_256", "SM2"] {
            if other != *name {
                assert_eq!(second.load_key(&token, &key.hbkid, &bound(other, usage)), Err(Error::InvalidToken));
            }
        }
    }
}

#[test]
fn more_keys_than_are_cached_and_eviction_and_seal() {
    let hsm = hsm();
    let keys: Vec<_> = (0..100).map(|_| hsm.create_key(&bound("ECC_NIST_P256", "SIGN_VERIFY")).unwrap()).collect();
    for _ in 0..2 {
        for key in &keys {
            hsm.sign(key.handle, "ECDSA_SHA_256", "RAW", b"x").unwrap();
        }
    }
    let status = hsm.status().unwrap().memory;
    assert!(status.key_bytes <= 5 << 20, "{} bytes", status.key_bytes);
    hsm.unload_key(keys[99].handle).unwrap();
    assert_eq!(hsm.sign(keys[99].handle, "ECDSA_SHA_256", "RAW", b"x"), Err(Error::KeyNotLoaded), "not from the cache either");
    hsm.evict_idle_keys().unwrap();
    assert!(hsm.evict_idle_keys().unwrap() >= 99);
    assert_eq!(hsm.sign(keys[0].handle, "ECDSA_SHA_256", "RAW", b"x"), Err(Error::KeyNotLoaded));
    let key = hsm.create_key(&bound("ML_DSA_44", "SIGN_VERIFY")).unwrap();
    hsm.seal().unwrap();
    assert_eq!(hsm.sign(key.handle, "ML_DSA_SHAKE_256", "RAW", b"x"), Err(Error::Sealed));
    let public = key.public_key.unwrap();
    assert_eq!(hsm.verify(&public, spec("ML_DSA_44"), "ML_DSA_SHAKE_256", "RAW", b"x", b"y"), Err(Error::Sealed));
}

#[test]
fn the_largest_keys_fit_side_by_side() {
    let hsm = hsm();
    let rsa = hsm.create_data(&bound("RSA_4096", "SIGN_VERIFY"));
    let keys: Vec<_> = (0..70).map(|_| hsm.create_key(&bound("ML_DSA_87", "SIGN_VERIFY")).unwrap()).collect();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let (hsm, keys) = (&hsm, &keys);
            threads.spawn(move || {
                for at in 0..keys.len() {
                    hsm.sign(keys[(at + thread * 9) % keys.len()].handle, "ML_DSA_SHAKE_256", "RAW", b"x").unwrap();
                    hsm.sign(rsa, "RSASSA_PSS_SHA_256", "RAW", b"x").unwrap();
                }
            });
        }
    });
    assert!(hsm.status().unwrap().memory.key_bytes <= 5 << 20);
}

trait Create {
    fn create_data(&self, binding: &KeyBinding<'_>) -> KeyHandle;
}

impl Create for Hsm {
    fn create_data(&self, binding: &KeyBinding<'_>) -> KeyHandle {
        self.create_key(binding).unwrap().handle
    }
}

#[test]
fn generating_rsa_keys_blocks_nobody_and_ends_with_the_seal() {
    let hsm = hsm();
    let handle = hsm.create_data(&bound("ECC_NIST_P256", "SIGN_VERIFY"));
    let symmetric = hsm.create_data(&BINDING);
    hsm.sign(handle, "ECDSA_SHA_256", "RAW", b"x").unwrap();
    std::thread::scope(|threads| {
        let makers: Vec<_> = (0..3)
            .map(|_| {
                let hsm = &hsm;
                threads.spawn(move || {
                    loop {
                        match hsm.create_key(&bound("RSA_4096", "SIGN_VERIFY")) {
                            Ok(_) => {}
                            Err(error) => return error,
                        }
                    }
                })
            })
            .collect();
        let mut longest = std::time::Duration::ZERO;
        for _ in 0..200 {
            let started = std::time::Instant::now();
            hsm.sign(handle, "ECDSA_SHA_256", "RAW", b"x").unwrap();
            support::encrypt(&hsm, symmetric, &[], b"x").unwrap();
            hsm.create_key(&BINDING).unwrap();
            longest = longest.max(started.elapsed());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(longest < std::time::Duration::from_millis(250), "{longest:?}: others wait for the generation of RSA keys");
        let started = std::time::Instant::now();
        hsm.seal().unwrap();
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
        for maker in makers {
            assert_eq!(maker.join().unwrap(), Error::Sealed);
        }
    });
}

#[test]
fn data_key_pairs_come_sealed_and_in_the_clear() {
    let hsm = hsm();
    let handle = hsm.create_data(&BINDING);
    let mut context = EncryptionContext::new(vec![("a", "b")]).unwrap();
    for name in [
        "RSA_2048",
        "RSA_4096",
        "ECC_NIST_P256",
        "ECC_NIST_P384",
        "ECC_NIST_P521",
        "ECC_SECG_P256K1",
        "ECC_NIST_EDWARDS25519",
        "ML_KEM_512",
        "ML_KEM_768",
        "ML_KEM_1024",
    ] {
        let pair = hsm.generate_data_key_pair(handle, name, &mut context, true).unwrap();
        let opened = decrypt(&hsm, handle, &[("a", "b")], &pair.blob).unwrap();
        assert_eq!(**pair.private_key.as_ref().unwrap(), opened, "{name}");
        assert_eq!(decrypt(&hsm, handle, &[], &pair.blob), Err(Error::InvalidCiphertext));
        assert!(Blob::parse(&pair.blob).is_ok());
        // The private key is one of its type, and belongs to the public key.
        let usage = if name.starts_with("ML_KEM") { "ENCAPSULATE_DECAPSULATE" } else { "SIGN_VERIFY" };
        #[cfg(feature = "test-door")]
        assert_eq!(hsm.import_known_secret(&bound(name, usage), &opened).unwrap().public_key, Some(pair.public_key));
        #[cfg(not(feature = "test-door"))]
        let _ = usage;
        assert!(hsm.generate_data_key_pair(handle, name, &mut context, false).unwrap().private_key.is_none());
    }
    for refused in ["SYMMETRIC_DEFAULT", "HMAC_256", "ML_DSA_44", "SM2", ""] {
        limit(hsm.generate_data_key_pair(handle, refused, &mut context, true).map(drop));
    }
}

#[test]
fn later_algorithms_have_names() {
    let names: Vec<_> = selftest::later_algorithms().collect();
    assert!(names.contains(&"RSASSA-PSS") && names.contains(&"ML-KEM-1024") && names.contains(&"AES-KWP"));
    limit(hsm().create_key(&bound("SM2", "SIGN_VERIFY")));
    limit(hsm().create_key(&bound("RSA_2048", "NOTHING")));
}
