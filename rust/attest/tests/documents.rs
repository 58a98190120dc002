//! Documents of our own making: accepted as they are, and with nothing changed in them. (tests/recipients judges each rule.)
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test, its helpers too

mod support;

use clavero_attest::{Error, Platform, Roots, verify};
use coset::cbor::value::Value;
use support::{Maker, NOW, encoded};

#[test]
fn a_document_says_what_its_maker_put_in() {
    let maker = Maker::new();
    let roots = Roots::parse(&maker.root_der).unwrap();
    let attestation = verify(&maker.hsm, &roots, &maker.document(), NOW).unwrap();
    assert_eq!(attestation.platform, Platform::NitroEnclave);
    assert_eq!((attestation.module_id.as_str(), attestation.timestamp), ("i-0-enc0", NOW * 1000));
    assert_eq!(attestation.pcrs, (0..4).map(|index| (index, vec![7; 48])).collect());
    assert_eq!(attestation.public_key.as_deref(), Some(&b"the recipient's"[..]));
    assert_eq!((attestation.user_data, attestation.nonce), (None, Some(vec![1; 16])));
}

#[test]
fn no_byte_may_change_nor_be_missing() {
    let maker = Maker::new();
    let roots = Roots::parse(&maker.root_der).unwrap();
    let document = maker.document();
    for place in 0..document.len() {
        for bit in [1, 0x10, 0x80] {
            let mut changed = document.clone();
            changed[place] ^= bit;
            assert!(verify(&maker.hsm, &roots, &changed, NOW).is_err(), "byte {place}, bit {bit}");
        }
        assert!(verify(&maker.hsm, &roots, &document[..place], NOW).is_err());
    }
}

#[test]
fn documents_of_aws_s_root_are_not_ours() {
    let maker = Maker::new();
    let refused = verify(&maker.hsm, &Roots::aws().unwrap(), &maker.document(), NOW);
    assert!(matches!(refused, Err(Error::Untrusted(why)) if why.contains("641a0321")));
}

#[test]
fn time_is_an_argument() {
    let maker = Maker::new();
    let roots = Roots::parse(&maker.root_der).unwrap();
    let document = maker.document();
    let (first, last) = (1_767_225_600, 1_830_297_600); // 2026-01-01, 2028-01-01
    for now in [0, first - 1, last + 1, u64::MAX] {
        assert!(matches!(verify(&maker.hsm, &roots, &document, now), Err(Error::Untrusted(_))), "{now}");
    }
    for now in [first, NOW, last] {
        assert!(verify(&maker.hsm, &roots, &document, now).is_ok(), "{now}");
    }
}

#[test]
fn a_sealed_hsm_verifies_nothing() {
    let maker = Maker::new();
    let roots = Roots::parse(&maker.root_der).unwrap();
    let document = maker.document();
    maker.hsm.seal().unwrap();
    let refused = verify(&maker.hsm, &roots, &document, NOW);
    assert_eq!(refused, Err(Error::Hsm(clavero_hsm::Error::Sealed)));
}

#[test]
fn payloads_that_would_take_much_memory_or_stack_are_refused() {
    let maker = Maker::new();
    let roots = Roots::parse(&maker.root_der).unwrap();
    let nested = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let many = Value::Array((0..16_000).map(|_| Value::Bytes(vec![])).collect());
    for (field, value) in [("nonce", nested), ("cabundle", many)] {
        let mut fields = maker.fields();
        fields.retain(|(name, _)| *name != Value::from(field));
        fields.push((Value::from(field), value));
        let document = maker.signed(&encoded(&Value::Map(fields)));
        assert!(matches!(verify(&maker.hsm, &roots, &document, NOW), Err(Error::Malformed(_))), "{field}");
    }
    for announced in [&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]] {
        assert!(verify(&maker.hsm, &roots, &maker.signed(announced), NOW).is_err());
        assert!(verify(&maker.hsm, &roots, announced, NOW).is_err());
    }
}
