//! From a received request to a verified call: the one way by which bytes of a client reach the service.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use clavero_hsm::crypto::digest::sha256;
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::keyring::{Identity, Keyring};
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::sigv4::{self, Received};

/// The largest body. KMS's largest request is an attestation document of 256 KiB, in base64.
pub const MAX_BODY: usize = 1 << 20;

/// Which of AWS's protocols a request speaks: it decides which services it may be signed for and how errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.1: KMS.
    Json,
    /// AWS query: STS and IAM.
    Query,
}

impl Protocol {
    /// The protocol that the headers speak.
    pub fn of(method: &Method, headers: &HeaderMap) -> Protocol {
        let form = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
        let query = form || (method == Method::GET && !headers.contains_key("content-type"));
        if query && !headers.contains_key("x-amz-target") { Protocol::Query } else { Protocol::Json }
    }

    fn services(self) -> &'static [&'static str] {
        match self {
            Protocol::Json => &["kms"],
            Protocol::Query => &["sts", "iam"],
        }
    }
}

/// A request whose sender is known.
pub struct Call {
    /// What it is written in.
    pub protocol: Protocol,
    /// Who sent it.
    pub identity: Arc<Identity>,
    /// The Region that it is for.
    pub region: String,
    /// `X-Amz-Target`.
    pub target: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `User-Agent`, empty if there is none.
    pub user_agent: String,
    /// The Host header, or `:authority`.
    pub host: String,
    /// `traceparent` (W3C Trace Context), if it has that form.
    pub trace: Option<String>,
    /// Where the client is: the peer's address, or what a trusted proxy says.
    pub source: IpAddr,
    /// What the connection proved.
    pub peer: Arc<Peer>,
    /// As received. For a GET, its query.
    pub body: Bytes,
}

/// Verifies a request. `now` is in epoch seconds.
pub fn verified(keyring: &Keyring, peer: &Arc<Peer>, parts: &Parts, body: Bytes, now: i64) -> Result<Call, Refusal> {
    let headers = &parts.headers;
    let protocol = Protocol::of(&parts.method, headers);
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(), // HTTP/2, and HTTP/1.1 with an absolute target
        None => text(headers, "host").unwrap_or_default(),
    };
    let query = parts.uri.query().unwrap_or_default();
    let digest = sigv4::hex(&sha256(&body));
    let received = Received { method: parts.method.as_str(), path: parts.uri.path(), query, host, headers, body_sha256: &digest };
    let claim = sigv4::claim(&received, protocol.services(), now)?;
    let identity = keyring.verify(&claim, text(headers, "x-amz-security-token"))?;
    let is_get = parts.method == Method::GET && protocol == Protocol::Query;
    if !(parts.method == Method::POST || is_get) || parts.uri.path() != "/" || !(query.is_empty() || is_get) {
        return Err(Refusal::unknown_operation());
    }
    Ok(Call {
        protocol,
        identity,
        region: claim.authorization.scope.region,
        target: text(headers, "x-amz-target").map(str::to_owned),
        content_type: text(headers, "content-type").map(str::to_owned),
        user_agent: text(headers, "user-agent").unwrap_or_default().to_owned(),
        host: host.to_owned(),
        trace: text(headers, "traceparent").filter(|value| is_traceparent(value)).map(str::to_owned),
        source: peer.source(headers),
        peer: Arc::clone(peer),
        body: if is_get { Bytes::copy_from_slice(query.as_bytes()) } else { body },
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `version-traceid-parentid-flags` in lower-case hexadecimal: version 00, neither id all zeros (W3C Trace Context, 3.2.2).
fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let id = |text: &str, len: usize| hex(text, len) && text.bytes().any(|byte| byte != b'0');
    matches!(parts[..], ["00", trace, parent, flags] if id(trace, 32) && id(parent, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_traceparent_is_passed_on_to_nobody() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for value in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ] {
            assert!(!is_traceparent(value), "{value}");
        }
    }
}
