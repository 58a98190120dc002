//! Attestation documents: no bytes make the parsers panic, what is accepted says what its maker signed, and no root comes of garbage.
//!
//! Half of the inputs change a genuine document, the other half a payload that is then rightly signed: so they get past the signature.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;
#[path = "../../rust/attest/tests/support/mod.rs"]
mod support;

use std::sync::OnceLock;

use clavero_attest::{Attestation, Roots, verify};
use coset::cbor::value::Value;
use libfuzzer_sys::fuzz_target;
use support::{Maker, NOW, encoded};

struct Genuine {
    maker: Maker,
    roots: Roots,
    document: Vec<u8>,
    payload: Vec<u8>,
    attestation: Attestation,
}

fn genuine() -> &'static Genuine {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let maker = Maker::new();
        let roots = Roots::parse(&maker.root_der).unwrap();
        let document = maker.document();
        let payload = encoded(&Value::Map(maker.fields()));
        let attestation = verify(&maker.hsm, &roots, &document, NOW).unwrap();
        Genuine { maker, roots, document, payload, attestation }
    })
}

fn check_limits(attestation: &Attestation) {
    assert!(!attestation.module_id.is_empty() && attestation.timestamp > 0);
    assert!((1..=32).contains(&attestation.pcrs.len()));
    assert!(attestation.pcrs.iter().all(|(index, value)| *index < 32 && [32, 48, 64].contains(&value.len())));
    assert!(attestation.public_key.as_ref().is_none_or(|key| (1..=1024).contains(&key.len())));
    assert!([&attestation.user_data, &attestation.nonce].iter().all(|data| data.as_ref().is_none_or(|data| data.len() <= 512)));
}

fuzz_target!(|data: &[u8]| {
    let Genuine { maker, roots, document, payload, attestation } = genuine();
    let Some((kind, script)) = data.split_first() else { return };
    match kind % 4 {
        0 => assert!(verify(&maker.hsm, roots, script, NOW).is_err()),
        1 => {
            // The envelope may be written otherwise (a longer head, the tag): then it still says the same.
            if let Ok(accepted) = verify(&maker.hsm, roots, &common::edited(document, script), NOW) {
                assert_eq!(&accepted, attestation);
            }
        }
        2 => {
            let signed = maker.signed(&common::edited(payload, script));
            if let Ok(accepted) = verify(&maker.hsm, roots, &signed, NOW) {
                check_limits(&accepted);
            }
        }
        _ => {
            if let Ok(parsed) = Roots::parse(&common::edited(&maker.root_der, script)) {
                assert_eq!(parsed.fingerprints().len(), 1);
            }
        }
    }
});
