//! Answers: what the service gives back, and refusals in the words of the protocol that the client speaks.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::call::Protocol;
use crate::refusal::{Kind, Refusal};

/// An answer of the service.
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// A UUID.
    pub request_id: String,
    /// JSON or XML, as the call's protocol.
    pub body: Bytes,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const XML: HeaderValue = HeaderValue::from_static("text/xml");
// As AWS: what KMS answers is kept by nobody on the way.
const UNCACHED: HeaderValue = HeaderValue::from_static("no-cache, no-store, must-revalidate, private");

/// The HTTP response.
pub(crate) fn response(protocol: Protocol, answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(answer.request_id)) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CONTENT_TYPE, if protocol == Protocol::Json { JSON } else { XML });
    headers.insert(CACHE_CONTROL, UNCACHED);
    response
}

/// A refusal as an answer.
pub(crate) fn refused(protocol: Protocol, refusal: &Refusal) -> Answer {
    let request_id = clavero_hsm::request_id().unwrap_or_default();
    let (code, status) = match protocol {
        Protocol::Json => refusal.kind.json(),
        Protocol::Query => refusal.kind.query(),
    };
    let body = match protocol {
        Protocol::Json if refusal.message.is_empty() => format!(r#"{{"__type":"{code}"}}"#),
        Protocol::Json => {
            // Where AWS's front end answers instead of KMS, the text is under a capital for some names (clavero.wire.json11).
            let member = if code == "SerializationException" { "Message" } else { "message" };
            format!(r#"{{"__type":"{code}","{member}":"{}"}}"#, escaped(&refusal.message, json_escape))
        }
        Protocol::Query => {
            let kind = if matches!(refusal.kind, Kind::Internal | Kind::Unavailable) { "Receiver" } else { "Sender" };
            format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>{kind}</Type>\n    \
                 <Code>{code}</Code>\n    <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
                escaped(&refusal.message, xml_escape)
            )
        }
    };
    Answer { status, request_id, body: Bytes::from(body) }
}

fn escaped(text: &str, escape: fn(char) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match escape(c) {
            Some(replacement) => out.push_str(&replacement),
            None => out.push(c),
        }
    }
    out
}

fn json_escape(c: char) -> Option<String> {
    match c {
        '"' | '\\' => Some(format!("\\{c}")),
        c if c < ' ' => Some(format!("\\u{:04x}", u32::from(c))),
        _ => None,
    }
}

fn xml_escape(c: char) -> Option<String> {
    matches!(c, '<' | '>' | '&' | '"' | '\'').then(|| format!("&#{};", u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_written_in_the_client_s_protocol() {
        let refusal = Refusal::incomplete("a \"b\" <c> & \\d".into());
        let json = refused(Protocol::Json, &refusal);
        assert_eq!(json.status, 400);
        assert_eq!(json.body, r#"{"__type":"IncompleteSignatureException","message":"a \"b\" <c> & \\d"}"#);
        let xml = refused(Protocol::Query, &Refusal::unknown_key());
        assert_eq!(xml.status, 403);
        let text = String::from_utf8(xml.body.to_vec()).unwrap();
        assert!(text.contains("<Code>InvalidClientTokenId</Code>") && text.contains(&xml.request_id));
        let xml = refused(Protocol::Query, &refusal);
        assert!(String::from_utf8(xml.body.to_vec()).unwrap().contains("a &#34;b&#34; &#60;c&#62; &#38; \\d"));
    }
}
