//! Encryption contexts: the canonical bytes do not depend on the order of the pairs, and an independent decoder gets the same pairs back,
//! so no two contexts share them.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

use std::collections::BTreeMap;

use clavero_hsm::context::MAX_CONTEXT_LEN;
use clavero_hsm::{EncryptionContext, Error};
use libfuzzer_sys::fuzz_target;

/// Reads `count u32 ‖ (length u32 ‖ key ‖ length u32 ‖ value)*` to the last byte.
fn decode(mut bytes: &[u8]) -> Vec<(&str, &str)> {
    fn number(bytes: &mut &[u8]) -> usize {
        let (head, rest) = bytes.split_first_chunk::<4>().unwrap();
        *bytes = rest;
        usize::try_from(u32::from_be_bytes(*head)).unwrap()
    }
    fn text<'a>(bytes: &mut &'a [u8]) -> &'a str {
        let len = number(bytes);
        let (head, rest) = bytes.split_at(len);
        *bytes = rest;
        std::str::from_utf8(head).unwrap()
    }
    let count = number(&mut bytes);
    let pairs = (0..count).map(|_| (text(&mut bytes), text(&mut bytes))).collect();
    assert!(bytes.is_empty(), "bytes after the last pair");
    pairs
}

fuzz_target!(|data: &[u8]| {
    // Texts between zero bytes, keys and values in turn; the first byte says how they are turned about.
    let Some((&turn, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let texts: Vec<&str> = text.split('\0').collect();
    let pairs: Vec<(&str, &str)> = texts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let map: BTreeMap<&[u8], &str> = pairs.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
    let len: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    let context = match EncryptionContext::new(pairs.clone()) {
        Ok(context) => context,
        Err(error) => {
            assert!(matches!(error, Error::Limit(_)));
            assert!(map.len() < pairs.len() || len > MAX_CONTEXT_LEN, "refused without a reason");
            return;
        }
    };
    assert!(map.len() == pairs.len() && len <= MAX_CONTEXT_LEN, "accepted against the rules");
    let decoded = decode(context.canonical());
    assert_eq!(decoded, map.iter().map(|(key, value)| (std::str::from_utf8(key).unwrap(), *value)).collect::<Vec<_>>());
    let mut turned = pairs;
    if !turned.is_empty() {
        let places = usize::from(turn) % turned.len();
        turned.rotate_left(places);
        if turn & 1 == 1 {
            turned.reverse();
        }
    }
    assert_eq!(EncryptionContext::new(turned).unwrap().canonical(), context.canonical());
});
