//! Signatures: no Authorization header makes the parser panic, what it takes means one thing, and no edit of a genuine request passes.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;
#[path = "common/requests.rs"]
mod requests;

use clavero_edge::sigv4::parse_authorization;
use libfuzzer_sys::fuzz_target;

fn check(text: &str) {
    let Ok(read) = parse_authorization(text) else { return };
    let scope = &read.scope;
    assert!(text.starts_with("AWS4-HMAC-SHA256 ") && text.contains(&read.access_key_id));
    assert_eq!(scope.date.len(), 8);
    assert!(read.signed_headers.is_sorted_by(|a, b| a < b));
    // Written again it is read as the same
    let digits: String = read.signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let again = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}/{}/{}/aws4_request, SignedHeaders={}, Signature={digits}",
        read.access_key_id,
        scope.date,
        scope.region,
        scope.service,
        read.signed_headers.join(";")
    );
    assert_eq!(parse_authorization(&again).unwrap(), read);
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    let genuine = requests::authorization();
    let edited = common::edited(genuine.as_bytes(), data);
    if let Ok(text) = std::str::from_utf8(&edited) {
        check(text);
        let passed = requests::verdict(b"POST", b"/", &requests::headers(text), requests::BODY).is_some_and(|call| call.is_ok());
        // Spaces after commas, and their absence, mean nothing
        assert!(!passed || text.replace(", ", ",").replace(' ', "") == genuine.replace(", ", ",").replace(' ', ""), "{text}");
    }
});
