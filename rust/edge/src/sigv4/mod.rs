//! AWS Signature Version 4 of requests that arrive: read, canonicalised from the received bytes, verified in the HSM.
//!
//! Source: AWS General Reference, "Create a signed AWS API request". Only signatures in the Authorization header are taken: query
//! signatures are for links, and no client of KMS or STS sends them.

mod canonical;
mod date;
mod header;

pub use canonical::{canonical_request, hex, string_to_sign};
pub use date::AmzDate;
pub use header::{Authorization, Scope, parse_authorization};

use http::HeaderMap;

use crate::refusal::Refusal;

/// How far a request's time may be from ours, either way.
pub const WINDOW_SECONDS: i64 = 300;
/// Headers that decide who asks for what: each stands once at most, and is signed where it is there.
const DECIDING: [&str; 4] = ["x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256"];
/// These stand once at most too.
const SINGLE: [&str; 6] = ["authorization", "host", "date", "content-type", "content-length", "transfer-encoding"];

/// A request as it was received. `path` and `query` are the raw bytes of the request line; `host` is the Host header or `:authority`.
pub struct Received<'a> {
    /// GET or POST.
    pub method: &'a str,
    /// Percent-encoded, as received.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    /// The host that the client named.
    pub host: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The SHA-256 digest of the body, in lower-case hexadecimal.
    pub body_sha256: &'a str,
}

/// A request whose form is in order: what remains is to compare the signature.
pub struct Claim {
    /// Who, for what.
    pub authorization: Authorization,
    /// What was signed.
    pub string_to_sign: String,
    /// The request's time.
    pub date: AmzDate,
}

/// Everything about a signature but the comparison. `now` is in epoch seconds.
pub fn claim(request: &Received<'_>, services: &[&str], now: i64) -> Result<Claim, Refusal> {
    let headers = request.headers;
    for name in DECIDING.iter().chain(&SINGLE) {
        if headers.get_all(*name).iter().nth(1).is_some() {
            return Err(Refusal::incomplete(format!("The request has more than one '{name}' header.")));
        }
    }
    let Some(authorization) = headers.get("authorization") else {
        return Err(Refusal::missing_token());
    };
    let text = authorization.to_str().map_err(|_| Refusal::incomplete("The Authorization header is not ASCII.".into()))?;
    let authorization = parse_authorization(text)?;
    let signed = |name: &str| authorization.signed_headers.iter().any(|header| header == name);
    if !signed("host") {
        return Err(Refusal::invalid_signature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."));
    }
    for name in DECIDING {
        if headers.contains_key(name) && !signed(name) {
            return Err(Refusal::invalid_signature(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
        }
    }
    let (date_name, date) = match headers.get("x-amz-date") {
        Some(date) => ("x-amz-date", date),
        None => match headers.get("date") {
            Some(date) => ("date", date),
            None => {
                return Err(Refusal::incomplete(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into(),
                ));
            }
        },
    };
    if !signed(date_name) {
        return Err(Refusal::invalid_signature(format!("'{date_name}' must be a 'SignedHeader' in the AWS Authorization.")));
    }
    let date = date
        .to_str()
        .ok()
        .and_then(AmzDate::parse)
        .ok_or_else(|| Refusal::incomplete("Date must be in ISO-8601 'basic format': YYYYMMDD'T'HHMMSS'Z'.".into()))?;
    let scope = &authorization.scope;
    if date.day() != scope.date {
        return Err(Refusal::invalid_signature(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{}'.",
            scope.date,
            date.day(),
            date.text()
        )));
    }
    if !services.contains(&scope.service.as_str()) {
        return Err(Refusal::invalid_signature(format!(
            "Credential should be scoped to correct service: '{}'. ",
            services.first().copied().unwrap_or_default()
        )));
    }
    if !is_region(&scope.region) {
        return Err(Refusal::invalid_signature(format!(
            "Credential should be scoped to a valid region, not '{}'. ",
            scope.region
        )));
    }
    if !request.path.starts_with('/') {
        return Err(Refusal::signature_mismatch()); // no path of a request; dots alone would be taken for the root
    }
    check_window(&date, now)?;
    if headers.get("x-amz-content-sha256").is_some_and(|hash| hash.as_bytes() != request.body_sha256.as_bytes()) {
        return Err(Refusal::invalid_signature("The 'x-amz-content-sha256' header does not match the body."));
    }
    let canonical = canonical_request(request, &authorization.signed_headers)?;
    let string_to_sign = string_to_sign(&date, scope, &canonical);
    Ok(Claim { authorization, string_to_sign, date })
}

fn check_window(date: &AmzDate, now: i64) -> Result<(), Refusal> {
    let then = date.epoch_seconds();
    let ours = AmzDate::from_epoch_seconds(now);
    if then < now - WINDOW_SECONDS {
        let bound = AmzDate::from_epoch_seconds(now - WINDOW_SECONDS);
        return Err(Refusal::invalid_signature(format!(
            "Signature expired: {} is now earlier than {} ({} - 5 min.)",
            date.text(),
            bound.text(),
            ours.text()
        )));
    }
    if then > now + WINDOW_SECONDS {
        let bound = AmzDate::from_epoch_seconds(now + WINDOW_SECONDS);
        return Err(Refusal::invalid_signature(format!(
            "Signature not yet current: {} is still later than {} ({} + 5 min.)",
            date.text(),
            bound.text(),
            ours.text()
        )));
    }
    Ok(())
}

/// Whether a name has the form of a Region's: `us-east-1`, `us-gov-west-1`, `me-central-1`.
pub fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let Some((first, middle)) = words.split_first() else { return false };
    let lower = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    name.len() <= 32
        && (2..=4).contains(&first.len())
        && lower(first)
        && (1..=3).contains(&middle.len())
        && middle.iter().all(|word| lower(word))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}
