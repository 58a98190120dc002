//! From a request's head and body to a call: no bytes panic, and nothing that differs from the genuine request becomes a call.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;
#[path = "common/requests.rs"]
mod requests;

use libfuzzer_sys::fuzz_target;

/// Method, target, headers and body in lines; what is none of HTTP's is refused before our code sees it.
fn check(bytes: &[u8]) {
    let text = bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    let [method, target, rest @ ..] = &text[..] else { return };
    let end = rest.iter().position(|line| line.is_empty()).unwrap_or(rest.len());
    let headers: Vec<(Vec<u8>, Vec<u8>)> = rest[..end]
        .iter()
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((line[..colon].to_vec(), line[colon + 1..].to_vec()))
        })
        .collect();
    let body = rest.get(end + 1..).unwrap_or_default().join(&b'\n');
    if let Some(Ok(call)) = requests::verdict(method, target, &headers, &body) {
        assert_eq!((call.region.as_str(), &call.body[..]), ("us-east-1", requests::BODY));
        assert_eq!(call.target.as_deref().map(str::trim), Some(requests::TARGET));
        assert_eq!(*method, b"POST");
    }
}

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&common::edited(requests::genuine(), data));
});
