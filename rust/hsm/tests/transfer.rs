//! Multi-Region keys: their backing keys reach another Region sealed, and no other key does.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

#[path = "support/judge.rs"]
mod judge;
mod support;

use clavero_hsm::{Error, Hsm, KeyBinding, token_domain_key};
use support::{BINDING, REGION, decrypt, encrypt, hsm, open_with};

const THERE: &str = "us-east-1";
const MULTI: KeyBinding<'static> = KeyBinding { key_id: "mrk-1234abcd12ab34cd56ef1234567890ab", multi_region: true, ..BINDING };

fn two_regions() -> Hsm {
    let hsm = hsm();
    hsm.create_domain(THERE, 1).unwrap();
    hsm.install_domain(THERE).unwrap();
    hsm
}

fn active(hsm: &Hsm, region: &str) -> [u8; 16] {
    hsm.domain_keys(region).unwrap().iter().find(|key| key.active).unwrap().id
}

#[test]
fn the_same_key_opens_in_both_regions() {
    let hsm = two_regions();
    let (hbkid, token, here) = hsm.generate_key(&MULTI).unwrap();
    let moved = hsm.transfer_key(&token, &hbkid, &MULTI, THERE).unwrap();
    assert_eq!(token_domain_key(&moved).unwrap(), active(&hsm, THERE));
    let related = KeyBinding { region: THERE, ..MULTI };
    let there = hsm.load_key(&moved, &hbkid, &related).unwrap();
    let blob = encrypt(&hsm, here, &[("a", "b")], b"here").unwrap();
    assert_eq!(decrypt(&hsm, there, &[("a", "b")], &blob).unwrap(), b"here");
    let blob = encrypt(&hsm, there, &[], b"there").unwrap();
    assert_eq!(decrypt(&hsm, here, &[], &blob).unwrap(), b"there");
    // Each token belongs where it is, and goes on from there.
    assert_eq!(hsm.load_key(&moved, &hbkid, &MULTI), Err(Error::InvalidToken));
    assert_eq!(hsm.load_key(&token, &hbkid, &related), Err(Error::InvalidToken));
    let back = hsm.transfer_key(&moved, &hbkid, &related, REGION).unwrap();
    assert_ne!(back, token, "sealed anew");
    hsm.load_key(&back, &hbkid, &MULTI).unwrap();
    // And it is re-wrapped as any other.
    hsm.stage_domain_rotation(THERE, 2).unwrap();
    hsm.install_domain(THERE).unwrap();
    let renewed = hsm.rewrap_key(&moved, &hbkid, &related).unwrap();
    hsm.load_key(&renewed, &hbkid, &related).unwrap();
    hsm.transfer_key(&moved, &hbkid, &related, REGION).unwrap();
}

#[test]
fn every_spec_moves() {
    let hsm = two_regions();
    for (spec, usage) in [
        ("HMAC_224", "GENERATE_VERIFY_MAC"),
        ("HMAC_512", "GENERATE_VERIFY_MAC"),
        ("ECC_NIST_P521", "SIGN_VERIFY"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("ML_DSA_87", "SIGN_VERIFY"),
        ("ML_KEM_1024", "ENCAPSULATE_DECAPSULATE"),
    ] {
        let binding = KeyBinding { spec, usage, ..MULTI };
        let key = hsm.create_key(&binding).unwrap();
        let moved = hsm.transfer_key(&key.token, &key.hbkid, &binding, THERE).unwrap();
        hsm.load_key(&moved, &key.hbkid, &KeyBinding { region: THERE, ..binding }).unwrap();
        assert_eq!(moved.len(), key.token.len(), "{spec}");
    }
}

#[test]
fn a_single_region_key_never_leaves() {
    let hsm = two_regions();
    // Of the same key id, so that the flag alone makes the difference.
    let single = KeyBinding { multi_region: false, ..MULTI };
    let (hbkid, token, _) = hsm.generate_key(&single).unwrap();
    let refused = Err(Error::Limit("a single-Region key does not leave its Region".into()));
    assert_eq!(hsm.transfer_key(&token, &hbkid, &single, THERE), refused);
    assert_eq!(hsm.transfer_fingerprint(&token, &hbkid, &single, THERE), refused.map(|_| [0; 32]));
    // Whoever says that it is a multi-Region key has a token that does not open.
    assert_eq!(hsm.transfer_key(&token, &hbkid, &MULTI, THERE), Err(Error::InvalidToken));
    assert_eq!(hsm.transfer_fingerprint(&token, &hbkid, &MULTI, THERE), Err(Error::InvalidToken));
    assert_eq!(hsm.load_key(&token, &hbkid, &MULTI), Err(Error::InvalidToken));
    assert_eq!(hsm.rewrap_key(&token, &hbkid, &MULTI), Err(Error::InvalidToken));
    // Nor does a rewrapping change what it is; and a multi-Region key does not become a single-Region one.
    let again = hsm.rewrap_key(&token, &hbkid, &single).unwrap();
    assert_eq!(hsm.transfer_key(&again, &hbkid, &MULTI, THERE), Err(Error::InvalidToken));
    let (hbkid, token, _) = hsm.generate_key(&MULTI).unwrap();
    assert_eq!(hsm.load_key(&token, &hbkid, &single), Err(Error::InvalidToken));
    // What the flag adds cannot be had by another field's text.
    let origin = [&b"AWS_KMS"[..], &12u32.to_be_bytes(), b"multi-Region"].concat();
    let forged = KeyBinding { origin: std::str::from_utf8(&origin).unwrap(), ..single };
    assert_eq!(hsm.load_key(&token, &hbkid, &forged), Err(Error::InvalidToken));
}

#[test]
fn only_the_region_changes() {
    let hsm = two_regions();
    let (hbkid, token, _) = hsm.generate_key(&MULTI).unwrap();
    for wrong in [
        KeyBinding { region: THERE, ..MULTI },
        KeyBinding { account: "444455556666", ..MULTI },
        KeyBinding { key_id: "mrk-00000000000000000000000000000000", ..MULTI },
        KeyBinding { spec: "HMAC_256", usage: "GENERATE_VERIFY_MAC", ..MULTI },
        KeyBinding { usage: "SIGN_VERIFY", ..MULTI },
        KeyBinding { origin: "EXTERNAL", ..MULTI },
    ] {
        let to = if wrong.region == THERE { REGION } else { THERE };
        assert_eq!(hsm.transfer_key(&token, &hbkid, &wrong, to), Err(Error::InvalidToken), "{wrong:?}");
    }
    assert_eq!(hsm.transfer_key(&token, &[0; 16], &MULTI, THERE), Err(Error::InvalidToken));
    assert_eq!(hsm.transfer_key(&token, &hbkid, &MULTI, "xx"), Err(Error::UnknownDomain("xx".into())));
    assert!(matches!(hsm.transfer_key(&token, &hbkid, &MULTI, REGION), Err(Error::Limit(_))));
    for bit in 0..token.len() * 8 {
        let mut edited = token.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(hsm.transfer_key(&edited, &hbkid, &MULTI, THERE), Err(Error::InvalidToken), "bit {bit}");
    }
    hsm.seal().unwrap();
    assert_eq!(hsm.transfer_key(&token, &hbkid, &MULTI, THERE), Err(Error::Sealed));
}

#[test]
fn a_fingerprint_moves_without_its_material() {
    let hsm = two_regions();
    let (here, there) = (KeyBinding { origin: "EXTERNAL", ..MULTI }, KeyBinding { origin: "EXTERNAL", region: THERE, ..MULTI });
    let import = |binding: &KeyBinding<'_>, material: &[u8]| {
        let wrapping = hsm.create_wrapping_key(binding.region, "p", "RSA_2048").unwrap();
        let wrapped = hsm.wrap_material(&wrapping.public_key, ("RSA_2048", "RSAES_OAEP_SHA_256"), material).unwrap();
        let sealed = &wrapping.sealed_private_key;
        hsm.import_key(binding.region, "p", sealed, "RSAES_OAEP_SHA_256", &wrapped, binding, None).unwrap()
    };
    let imported = import(&here, &[0x5a; 32]);
    let expected = hsm.transfer_fingerprint(&imported.key.token, &imported.key.hbkid, &here, THERE).unwrap();
    assert_ne!(expected, imported.fingerprint, "each Region has its own");
    assert_eq!(import(&there, &[0x5a; 32]).fingerprint, expected);
    assert_ne!(import(&there, &[0x5b; 32]).fingerprint, expected);
}

#[test]
fn tokens_are_as_the_page_says() {
    let root = [0x51; 32];
    let (hsm, record) = open_with(root);
    let there = judge::open_domain(&root, THERE, &hsm.create_domain(THERE, 1).unwrap()).unwrap();
    hsm.install_domain(THERE).unwrap();
    let here = judge::open_domain(&root, REGION, &record).unwrap();
    let (hbkid, token, handle) = hsm.generate_key(&MULTI).unwrap();
    let moved = hsm.transfer_key(&token, &hbkid, &MULTI, THERE).unwrap();
    let key = judge::open_token(&here, &MULTI, &hbkid, &token).unwrap();
    assert_eq!(judge::open_token(&there, &KeyBinding { region: THERE, ..MULTI }, &hbkid, &moved).unwrap(), key);
    assert!(judge::open_token(&here, &KeyBinding { multi_region: false, ..MULTI }, &hbkid, &token).is_none());
    let blob = encrypt(&hsm, handle, &[], b"by the book").unwrap();
    assert_eq!(judge::open_blob(&key, &[], &blob).unwrap(), b"by the book");
    // The fingerprint is the other Region's, over the same material.
    let external = KeyBinding { origin: "EXTERNAL", ..MULTI };
    let made = hsm.import_known_secret(&external, &[7; 32]).unwrap();
    let fingerprint = hsm.transfer_fingerprint(&made.token, &made.hbkid, &external, THERE).unwrap();
    assert_eq!(fingerprint.to_vec(), judge::fingerprint(&there.token_sealing, "SYMMETRIC_DEFAULT", &[7; 32]));
}
