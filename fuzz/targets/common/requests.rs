//! A genuine signed request, and what the endpoint says of any other.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use clavero_edge::call::{Call, verified};
use clavero_edge::keyring::{Keyring, purpose};
use clavero_edge::peer::{Listener, Peer};
use clavero_edge::refusal::Refusal;
use clavero_edge::sigv4::{AmzDate, Received, Scope, canonical_request, hex, string_to_sign};
use clavero_hsm::crypto::digest::sha256;
use clavero_hsm::crypto::mac::hmac_sha256;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

pub(crate) const BODY: &[u8] = br#"{"KeyId":"alias/orders","KeySpec":"AES_256"}"#;
pub(crate) const TARGET: &str = "TrentService.GenerateDataKey";
const DATE: &str = "20260102T030405Z";
const SECRET: &[u8] = b"a secret of the fuzzer";
const ID: &str = "AKIAFUZZFUZZFUZZFUZZ";
const SIGNED: [&str; 4] = ["content-type", "host", "x-amz-date", "x-amz-target"];
const FIXED: [(&str, &str); 4] =
    [("host", "localhost:8443"), ("content-type", "application/x-amz-json-1.1"), ("x-amz-date", DATE), ("x-amz-target", TARGET)];

fn ring() -> &'static (Keyring, Arc<Peer>) {
    static RING: OnceLock<(Keyring, Arc<Peer>)> = OnceLock::new();
    RING.get_or_init(|| {
        let hsm = Arc::new(crate::common::hsm().0);
        let sealed = hsm.seal_opaque(crate::common::REGION, &purpose(ID), SECRET).unwrap();
        let ring = Keyring::new(hsm).unwrap();
        ring.put(ID, "000000000000", "arn:aws:iam::000000000000:root", crate::common::REGION, &sealed).unwrap();
        let listener = Arc::new(Listener::new("127.0.0.1:0".parse().unwrap()));
        (ring, Arc::new(Peer { address: "127.0.0.1".parse().unwrap(), tls: None, listener, notes: OnceLock::new() }))
    })
}

fn now() -> i64 {
    AmzDate::parse(DATE).unwrap().epoch_seconds()
}

/// The genuine request's Authorization header.
pub(crate) fn authorization() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut headers = HeaderMap::new();
        for (name, value) in FIXED {
            headers.append(name, HeaderValue::from_static(value));
        }
        let digest = hex(&sha256(BODY));
        let received =
            Received { method: "POST", path: "/", query: "", host: FIXED[0].1, headers: &headers, body_sha256: &digest };
        let canonical = canonical_request(&received, &SIGNED.map(str::to_owned)).unwrap();
        let scope = Scope { date: DATE[..8].into(), region: "us-east-1".into(), service: "kms".into() };
        let text = string_to_sign(&AmzDate::parse(DATE).unwrap(), &scope, &canonical);
        let mut key = hmac_sha256(&[b"AWS4", SECRET].concat(), &DATE.as_bytes()[..8]).unwrap();
        for part in ["us-east-1", "kms", "aws4_request"] {
            key = hmac_sha256(&key, part.as_bytes()).unwrap();
        }
        format!(
            "AWS4-HMAC-SHA256 Credential={ID}/20260102/us-east-1/kms/aws4_request, SignedHeaders={}, Signature={}",
            SIGNED.join(";"),
            hex(&hmac_sha256(&key, text.as_bytes()).unwrap())
        )
    })
}

/// The genuine request's headers, with this Authorization.
pub(crate) fn headers(authorization: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut headers: Vec<_> = FIXED.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    headers.push((b"authorization".to_vec(), authorization.as_bytes().to_vec()));
    headers
}

/// The genuine request in lines.
#[allow(dead_code)] // one of the two targets edits only its Authorization
pub(crate) fn genuine() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut lines = vec![b"POST".to_vec(), b"/".to_vec()];
        lines.extend(headers(authorization()).into_iter().map(|(name, value)| [name, value].join(&b':')));
        lines.push(Vec::new());
        lines.push(BODY.to_vec());
        lines.join(&b'\n')
    })
}

/// What the endpoint says; None for what HTTP's own parser would refuse.
pub(crate) fn verdict(
    method: &[u8],
    target: &[u8],
    headers: &[(Vec<u8>, Vec<u8>)],
    body: &[u8],
) -> Option<Result<Call, Refusal>> {
    let (ring, peer) = ring();
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some(verified(ring, peer, &parts, Bytes::copy_from_slice(body), now()))
}
