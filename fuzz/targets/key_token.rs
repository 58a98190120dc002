//! Exported key tokens and domain states: no bytes make their parsers panic, and nothing opens but what the HSM issued, where it belongs.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;

use std::sync::OnceLock;

use clavero_hsm::{Error, Hbkid, Hsm, KeyBinding, token_domain_key};
use common::{BINDING, REGION};
use libfuzzer_sys::fuzz_target;

struct Genuine {
    hsm: Hsm,
    record: Vec<u8>,
    hbkid: Hbkid,
    token: Vec<u8>,
}

fn genuine() -> &'static Genuine {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let (hsm, record) = common::hsm();
        let (hbkid, token, handle) = hsm.generate_key(&BINDING).unwrap();
        hsm.unload_key(handle).unwrap();
        Genuine { hsm, record, hbkid, token }
    })
}

fn check_token(bytes: &[u8], binding: &KeyBinding<'_>) {
    let Genuine { hsm, hbkid, token, .. } = genuine();
    let named = token_domain_key(bytes);
    assert_eq!(named.is_ok(), bytes.len() >= 64 && bytes[..4] == [1, 1, 0, 0]);
    let loaded = hsm.load_key(bytes, hbkid, binding);
    let same = (binding.account, binding.key_id, binding.spec, binding.multi_region)
        == (BINDING.account, BINDING.key_id, BINDING.spec, BINDING.multi_region);
    if bytes == token && same {
        hsm.unload_key(loaded.unwrap()).unwrap();
    } else {
        assert_eq!(loaded, Err(Error::InvalidToken));
        assert_eq!(hsm.rewrap_key(bytes, hbkid, binding), Err(Error::InvalidToken));
    }
}

/// No bytes leave the Region as a multi-Region key's: the genuine token is a single-Region key's.
fn check_transfer(bytes: &[u8]) {
    let Genuine { hsm, hbkid, .. } = genuine();
    let claimed = KeyBinding { multi_region: true, ..BINDING };
    assert_eq!(hsm.transfer_key(bytes, hbkid, &claimed, "eu-west-1"), Err(Error::InvalidToken));
    assert_eq!(hsm.transfer_fingerprint(bytes, hbkid, &claimed, "eu-west-1"), Err(Error::InvalidToken));
}

fn check_record(bytes: &[u8]) {
    let Genuine { hsm, record, .. } = genuine();
    match hsm.load_domain(REGION, bytes) {
        Ok(version) => assert_eq!((version, bytes), (1, record.as_slice())),
        Err(error) => assert!(bytes != record && matches!(error, Error::InvalidDomainState(_) | Error::WrongRootKey), "{error}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let genuine = genuine();
    check_token(data, &BINDING);
    check_token(&common::edited(&genuine.token, data), &BINDING);
    // The binding, with field edges where the fuzzer wants them: only the genuine fields open the token.
    if let Ok(text) = std::str::from_utf8(data) {
        let mut fields = text.splitn(3, '\0');
        let mut next = |genuine| fields.next().unwrap_or(genuine);
        let binding =
            KeyBinding { account: next(BINDING.account), key_id: next(BINDING.key_id), spec: next(BINDING.spec), ..BINDING };
        check_token(&genuine.token, &binding);
    }
    check_token(&genuine.token, &KeyBinding { multi_region: true, ..BINDING });
    check_transfer(data);
    check_transfer(&genuine.token);
    check_transfer(&common::edited(&genuine.token, data));
    check_record(data);
    check_record(&common::edited(&genuine.record, data));
    let opened = genuine.hsm.open_opaque(REGION, "fuzz", data);
    assert_eq!(opened, Err(Error::InvalidToken));
});
