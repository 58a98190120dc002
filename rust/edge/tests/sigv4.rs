//! Signatures: AWS's vectors, every changed byte, the window of time, the rules on headers, known and unknown keys.
#![allow(missing_docs, clippy::unwrap_used)] // a test: what cannot fail, or the test fails

#[path = "support/aws.rs"]
mod aws;

use std::sync::{Arc, OnceLock};

use clavero_edge::keyring::{create_session, purpose};
use clavero_edge::refusal::Kind;
use clavero_edge::sigv4::{AmzDate, Received, canonical_request, claim, hex, string_to_sign};
use clavero_edge::{Keyring, Refusal};
use clavero_hsm::crypto::digest::sha256;
use clavero_hsm::crypto::mac::hmac_sha256;
use clavero_hsm::{EphemeralRoot, Hsm, MemoryPolicy};
use http::{HeaderMap, HeaderName, HeaderValue};

const ID: &str = "AKIDEXAMPLE";
const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "us-east-1";
const ARN: &str = "arn:aws:iam::111122223333:root";

fn ring() -> &'static Keyring {
    static RING: OnceLock<Keyring> = OnceLock::new();
    RING.get_or_init(|| {
        let hsm = Arc::new(Hsm::open(&EphemeralRoot, true, MemoryPolicy { allow_insecure: true }).unwrap());
        hsm.create_domain(REGION, 1).unwrap();
        hsm.install_domain(REGION).unwrap();
        let sealed = hsm.seal_opaque(REGION, &purpose(ID), SECRET).unwrap();
        let ring = Keyring::new(hsm).unwrap();
        ring.put(ID, "111122223333", ARN, REGION, &sealed).unwrap();
        ring
    })
}

/// A request that owns its parts, so that tests can change them.
#[derive(Clone)]
struct Request {
    method: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// None: HTTP's own parser would refuse it.
fn verdict(request: &Request, service: &str, now: i64) -> Option<Result<String, Refusal>> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let digest = hex(&sha256(&request.body));
    let received = Received {
        method: std::str::from_utf8(&request.method).ok()?,
        path: std::str::from_utf8(&request.path).ok()?,
        query: std::str::from_utf8(&request.query).ok()?,
        host: &host,
        headers: &headers,
        body_sha256: &digest,
    };
    let token = headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
    Some(claim(&received, &[service], now).and_then(|claim| ring().verify(&claim, token)).map(|identity| identity.arn.clone()))
}

fn authorization(signed: &str, signature: &str, scope: &str) -> Vec<u8> {
    format!("AWS4-HMAC-SHA256 Credential={ID}/{scope}/aws4_request, SignedHeaders={signed}, Signature={signature}").into_bytes()
}

fn now_of_vectors() -> i64 {
    AmzDate::parse("20150830T123600Z").unwrap().epoch_seconds()
}

fn of_vector(case: &aws::Case) -> Request {
    let mut headers: Vec<_> =
        case.headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.trim().as_bytes().to_vec())).collect();
    headers.push((b"authorization".to_vec(), authorization(case.signed, case.signature, "20150830/us-east-1/service")));
    Request { method: case.method.into(), path: case.path.into(), query: case.query.into(), headers, body: case.body.into() }
}

#[test]
fn aws_vectors() {
    for case in aws::CASES {
        let found = verdict(&of_vector(case), "service", now_of_vectors()).unwrap();
        let kind = match case.name {
            // Clients of KMS sign normalised paths; only S3's do not.
            "get-relative-relative-unnormalized"
            | "get-relative-unnormalized"
            | "get-slash-dot-slash-unnormalized"
            | "get-slash-pointless-dot-unnormalized"
            | "get-slash-unnormalized"
            | "get-slashes-unnormalized" => Some(Kind::Signature),
            // The token was added after signing.
            "post-sts-header-after" => Some(Kind::Signature),
            // A good signature with a token, which a long-term key has not.
            "post-sts-header-before" | "get-vanilla-with-session-token" => Some(Kind::Token),
            _ => None,
        };
        match kind {
            None => assert_eq!(found.as_deref(), Ok(ARN), "{}", case.name),
            Some(kind) => assert_eq!(found.unwrap_err().kind, kind, "{}", case.name),
        }
    }
    assert_eq!(aws::CASES.len(), 38);
}

/// Signs as AWS documents it, with a second HMAC chain than the HSM's.
fn signed(mut request: Request, names: &[&str], date: &str, region: &str, service: &str) -> Request {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_bytes(name).unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    let host = headers.get("host").map(|host| host.to_str().unwrap().to_owned()).unwrap_or_default();
    let digest = hex(&sha256(&request.body));
    let received = Received {
        method: std::str::from_utf8(&request.method).unwrap(),
        path: std::str::from_utf8(&request.path).unwrap(),
        query: std::str::from_utf8(&request.query).unwrap(),
        host: &host,
        headers: &headers,
        body_sha256: &digest,
    };
    let signed: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let canonical = canonical_request(&received, &signed).unwrap();
    let day = &date[..8];
    let scope = clavero_edge::sigv4::Scope { date: day.into(), region: region.into(), service: service.into() };
    let text = string_to_sign(&AmzDate::parse(date).unwrap(), &scope, &canonical);
    let mut key = hmac_sha256(&[b"AWS4", SECRET].concat(), day.as_bytes()).unwrap();
    for part in [region, service, "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes()).unwrap();
    }
    let signature = hex(&hmac_sha256(&key, text.as_bytes()).unwrap());
    let scope = format!("{day}/{region}/{service}");
    request.headers.push((b"authorization".to_vec(), authorization(&names.join(";"), &signature, &scope)));
    request
}

const DATE: &str = "20260102T030405Z";
const SIGNED: [&str; 5] = ["content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-target"];

fn plain() -> Request {
    let body = br#"{"KeyId":"alias/orders","KeySpec":"AES_256"}"#.to_vec();
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    Request {
        method: b"POST".to_vec(),
        path: b"/".to_vec(),
        query: b"a=1&b=%20".to_vec(),
        headers: vec![
            header("host", "localhost:8443"),
            header("content-type", "application/x-amz-json-1.1"),
            header("x-amz-date", DATE),
            header("x-amz-target", "TrentService.GenerateDataKey"),
            header("x-amz-content-sha256", &hex(&sha256(&body))),
        ],
        body,
    }
}

fn genuine() -> Request {
    signed(plain(), &SIGNED, DATE, "eu-west-1", "kms")
}

fn now() -> i64 {
    AmzDate::parse(DATE).unwrap().epoch_seconds()
}

#[test]
fn every_changed_byte_is_refused() {
    let genuine = genuine();
    assert_eq!(verdict(&genuine, "kms", now()), Some(Ok(ARN.into())));
    let tried = std::cell::Cell::new(0);
    let check = |change: &mut dyn FnMut(&mut Request)| {
        let mut changed = genuine.clone();
        change(&mut changed);
        if let Some(found) = verdict(&changed, "kms", now()) {
            assert!(found.is_err(), "{:?} {:?} {:?}", changed.method, changed.path, changed.query);
            tried.set(tried.get() + 1);
        }
    };
    for value in 0..=u8::MAX {
        let part = |of: &dyn Fn(&mut Request) -> &mut Vec<u8>, same: &dyn Fn(u8) -> bool| {
            for at in 0..of(&mut genuine.clone()).len() {
                if !same(of(&mut genuine.clone())[at]) {
                    check(&mut |request| of(request)[at] = value);
                }
            }
        };
        let same = |byte: u8| byte == value;
        part(&|request| &mut request.method, &same);
        part(&|request| &mut request.path, &same);
        part(&|request| &mut request.query, &same);
        part(&|request| &mut request.body, &same);
        for index in 0..genuine.headers.len() {
            part(&move |request| &mut request.headers[index].1, &same);
            part(&move |request| &mut request.headers[index].0, &|byte| byte.eq_ignore_ascii_case(&value));
        }
    }
    assert!(tried.get() > 100_000, "{}", tried.get());
    // And what is left out, or stands twice
    for index in 0..genuine.headers.len() {
        check(&mut |request| {
            request.headers.remove(index);
        });
        check(&mut |request| {
            let twice = request.headers[index].clone();
            request.headers.push(twice);
        });
    }
    check(&mut |request| request.body.push(b' '));
    check(&mut |request| request.body.truncate(10));
    check(&mut |request| request.query.clear());
    check(&mut |request| request.path.push(b'x'));
}

#[test]
fn header_names_are_case_insensitive_only() {
    let mut upper = genuine();
    for (name, _) in &mut upper.headers {
        name.make_ascii_uppercase();
    }
    assert_eq!(verdict(&upper, "kms", now()), Some(Ok(ARN.into())));
}

#[test]
fn the_window_is_five_minutes_either_way() {
    for (offset, good) in [(0, true), (300, true), (-300, true), (301, false), (-301, false), (86_400, false)] {
        let found = verdict(&genuine(), "kms", now() + offset).unwrap();
        assert_eq!(found.is_ok(), good, "{offset}");
        if let Err(refusal) = found {
            assert_eq!(refusal.kind, Kind::Signature);
        }
    }
    let late = verdict(&genuine(), "kms", now() + 301).unwrap().unwrap_err();
    assert_eq!(
        late.message,
        "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z (20260102T030906Z - 5 min.)"
    );
    let early = verdict(&genuine(), "kms", now() - 301).unwrap().unwrap_err();
    assert_eq!(
        early.message,
        "Signature not yet current: 20260102T030405Z is still later than 20260102T030404Z (20260102T025904Z + 5 min.)"
    );
}

#[test]
fn what_decides_must_be_signed() {
    for left_out in ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-target"] {
        let names: Vec<&str> = SIGNED.into_iter().filter(|name| *name != left_out).collect();
        let found = verdict(&signed(plain(), &names, DATE, "eu-west-1", "kms"), "kms", now()).unwrap().unwrap_err();
        assert_eq!(found.kind, Kind::Signature, "{left_out}");
        assert!(found.message.contains("must be a 'SignedHeader'"), "{}", found.message);
    }
    let mut with_token = plain();
    with_token.headers.push((b"x-amz-security-token".to_vec(), b"token".to_vec()));
    let found = verdict(&signed(with_token, &SIGNED, DATE, "eu-west-1", "kms"), "kms", now()).unwrap().unwrap_err();
    assert!(found.message.starts_with("'x-amz-security-token' must be"));
    let names = ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-target"];
    assert!(
        verdict(&signed(plain(), &names, DATE, "eu-west-1", "kms"), "kms", now()).unwrap().is_ok(),
        "the content type need not"
    );
}

#[test]
fn the_scope_must_fit() {
    for (region, service, expected, message) in [
        ("eu-west-1", "sts", Kind::Signature, "Credential should be scoped to correct service: 'kms'. "),
        ("EU-WEST-1", "kms", Kind::Signature, "Credential should be scoped to a valid region, not 'EU-WEST-1'. "),
        ("x", "kms", Kind::Signature, "Credential should be scoped to a valid region, not 'x'. "),
    ] {
        let found = verdict(&signed(plain(), &SIGNED, DATE, region, service), "kms", now()).unwrap().unwrap_err();
        assert_eq!((found.kind, found.message.as_ref()), (expected, message));
    }
    let mut other_day = plain();
    other_day.headers[2].1 = b"20260103T000001Z".to_vec();
    let mut other_day = signed(other_day, &SIGNED, "20260103T000001Z", "eu-west-1", "kms");
    let text = String::from_utf8(other_day.headers.pop().unwrap().1).unwrap().replace("/20260103/", "/20260102/");
    other_day.headers.push((b"authorization".to_vec(), text.into_bytes()));
    let now = AmzDate::parse("20260103T000001Z").unwrap().epoch_seconds();
    let found = verdict(&other_day, "kms", now).unwrap().unwrap_err();
    assert!(found.message.starts_with("Date in Credential scope does not match"), "{}", found.message);
}

#[test]
fn unknown_keys_and_no_credentials() {
    let mut unknown = genuine();
    let text = String::from_utf8(unknown.headers.pop().unwrap().1).unwrap();
    assert_eq!(verdict(&unknown, "kms", now()).unwrap().unwrap_err(), Refusal::missing_token());
    unknown.headers.push((b"authorization".to_vec(), text.replace(ID, "AKIDEXAMPLF").into_bytes()));
    assert_eq!(verdict(&unknown, "kms", now()).unwrap().unwrap_err(), Refusal::unknown_key());
    let mut bearer = plain();
    bearer.headers.push((b"authorization".to_vec(), b"Bearer abc".to_vec()));
    assert_eq!(verdict(&bearer, "kms", now()).unwrap().unwrap_err().kind, Kind::Incomplete);
}

fn signed_with(id: &str, secret: &str, token: &str, now: i64) -> Result<Arc<clavero_edge::Identity>, Refusal> {
    let date = AmzDate::from_epoch_seconds(now);
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers.insert("x-amz-date", HeaderValue::from_str(date.text()).unwrap());
    headers.insert("x-amz-security-token", HeaderValue::from_str(token).unwrap());
    let digest = hex(&sha256(b""));
    let scope = format!("{}/us-east-1/kms", date.day());
    let sign = |signature: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature={signature}"
        )
    };
    headers.insert("authorization", HeaderValue::from_str(&sign(&"0".repeat(64))).unwrap());
    let mut received =
        Received { method: "POST", path: "/", query: "", host: "localhost", headers: &headers, body_sha256: &digest };
    let unsigned = claim(&received, &["kms"], now).unwrap();
    let mut key = hmac_sha256(format!("AWS4{secret}").as_bytes(), date.day().as_bytes()).unwrap();
    for part in ["us-east-1", "kms", "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes()).unwrap();
    }
    let signature = hex(&hmac_sha256(&key, unsigned.string_to_sign.as_bytes()).unwrap());
    let mut signed = headers.clone();
    signed.insert("authorization", HeaderValue::from_str(&sign(&signature)).unwrap());
    received.headers = &signed;
    session_ring().1.verify(&claim(&received, &["kms"], now).unwrap(), Some(token))
}

fn session_ring() -> &'static (Arc<Hsm>, Keyring) {
    static RING: OnceLock<(Arc<Hsm>, Keyring)> = OnceLock::new();
    RING.get_or_init(|| {
        let hsm = Arc::new(Hsm::open(&EphemeralRoot, true, MemoryPolicy { allow_insecure: true }).unwrap());
        hsm.create_domain(REGION, 1).unwrap();
        hsm.install_domain(REGION).unwrap();
        (Arc::clone(&hsm), Keyring::new(hsm).unwrap())
    })
}

#[test]
fn a_session_signs_with_its_secret_and_shows_its_token() {
    let (hsm, now) = (&session_ring().0, now_of_vectors());
    let (token, secret) = create_session(hsm, REGION, "ASIAEXAMPLE", b"claims").unwrap();
    for _ in 0..2 {
        let identity = signed_with("ASIAEXAMPLE", &secret, &token, now).unwrap();
        assert_eq!(identity.claims.as_deref(), Some(&b"claims"[..]));
    }
    let kind = |id: &str, secret: &str, token: &str| signed_with(id, secret, token, now).err().unwrap().kind;
    assert_eq!(kind("ASIAEXAMPLE", "another secret", &token), Kind::Signature);
    assert_eq!(kind("ASIAOTHER", &secret, &token), Kind::Token, "sealed for another access key");
    for wrong in ["", "AQ", "token", &token[4..], &format!("{token}AAAA")] {
        assert_eq!(kind("ASIAEXAMPLE", &secret, wrong), Kind::Token, "{wrong}");
    }
    for at in (0..token.len()).step_by(7) {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut edited = token.clone();
        edited.replace_range(at..=at, other);
        assert_eq!(kind("ASIAEXAMPLE", &secret, &edited), Kind::Token, "character {at}");
    }
    // More sessions than are kept: the first is opened again
    for number in 0..1030 {
        let id = format!("ASIA{number}");
        let (token, secret) = create_session(hsm, REGION, &id, b"x").unwrap();
        assert!(signed_with(&id, &secret, &token, now).is_ok());
    }
    assert!(signed_with("ASIAEXAMPLE", &secret, &token, now).is_ok());
}
