//! The canonical request and the string to sign, from the bytes that were received.

use std::fmt::Write as _;

use clavero_hsm::crypto::digest::sha256;

use super::Received;
use super::date::AmzDate;
use super::header::{ALGORITHM, Scope};
use crate::refusal::Refusal;

/// The canonical request over these signed headers. Refused if one of them is not there.
pub fn canonical_request(request: &Received<'_>, signed_headers: &[String]) -> Result<String, Refusal> {
    let mut out = String::with_capacity(512);
    out.push_str(request.method);
    out.push('\n');
    push_path(&mut out, request.path);
    out.push('\n');
    push_query(&mut out, request.query);
    out.push('\n');
    for name in signed_headers {
        out.push_str(name);
        out.push(':');
        if name == "host" {
            push_value(&mut out, request.host.as_bytes())?;
        } else {
            let mut values = request.headers.get_all(name.as_str()).iter();
            let Some(first) = values.next() else {
                return Err(Refusal::signature_mismatch()); // as AWS: an absent header cannot have been signed
            };
            push_value(&mut out, first.as_bytes())?;
            for value in values {
                out.push(',');
                push_value(&mut out, value.as_bytes())?;
            }
        }
        out.push('\n');
    }
    out.push('\n');
    for (index, name) in signed_headers.iter().enumerate() {
        if index > 0 {
            out.push(';');
        }
        out.push_str(name);
    }
    out.push('\n');
    out.push_str(request.body_sha256);
    Ok(out)
}

/// What the signing key's MAC is over.
pub fn string_to_sign(date: &AmzDate, scope: &Scope, canonical_request: &str) -> String {
    format!(
        "{ALGORITHM}\n{}\n{}/{}/{}/aws4_request\n{}",
        date.text(),
        scope.date,
        scope.region,
        scope.service,
        hex(&sha256(canonical_request.as_bytes()))
    )
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// The path with its dot segments and empty segments resolved (RFC 3986, 5.2.4), each segment encoded once more.
fn push_path(out: &mut String, path: &str) {
    if path == "/" {
        out.push('/');
        return;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push('/');
        push_encoded(out, segment.as_bytes());
    }
    let is_folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if segments.is_empty() || is_folder {
        out.push('/');
    }
}

/// The query's parameters, each decoded and encoded in the one way, sorted by name and then by value.
fn push_query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        pairs.push((recoded(name), recoded(value)));
    }
    pairs.sort();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

fn recoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_encoded(&mut out, &percent_decoded(text));
    out
}

/// `%XX` as bytes; a percent sign that begins no such group stands for itself.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let group = bytes.get(at + 1..at + 3).and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        match group {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn push_encoded(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // writing to a String does not fail
        }
    }
}

/// A header's value without spaces at its ends, and runs of spaces inside it as one.
fn push_value(out: &mut String, value: &[u8]) -> Result<(), Refusal> {
    // Clients sign their text in UTF-8. What is none was not signed by one.
    let text = std::str::from_utf8(value).map_err(|_| Refusal::signature_mismatch())?;
    let mut space = false;
    for c in text.trim_matches([' ', '\t']).chars() {
        if c == ' ' && space {
            continue;
        }
        space = c == ' ';
        out.push(c);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        let mut out = String::new();
        push_path(&mut out, text);
        out
    }

    fn query(text: &str) -> String {
        let mut out = String::new();
        push_query(&mut out, text);
        out
    }

    #[test]
    fn paths() {
        for (given, expected) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/foo/..", "/"),
            ("/./example", "/example"),
            ("/example/..", "/"),
            ("//foo//", "/foo/"),
            ("/foo/bar/../..", "/"),
            ("/foo%20bar/baz", "/foo%2520bar/baz"),
            ("/../..", "/"),
            ("/-._~0aZ", "/-._~0aZ"),
            ("/a b", "/a%20b"),
        ] {
            assert_eq!(path(given), expected, "{given}");
        }
    }

    #[test]
    fn queries() {
        for (given, expected) in [
            ("", ""),
            ("a", "a="),
            ("b=1&a=2", "a=2&b=1"),
            ("a=b&a=a", "a=a&a=b"),
            ("a=%7e&b=%2F", "a=~&b=%2F"),
            ("a=x=y", "a=x%3Dy"),
            ("a=%&b=%4", "a=%25&b=%254"),
            ("a=+", "a=%2B"),
            ("&&a=1&", "a=1"),
            ("a%20b=c", "a%20b=c"),
        ] {
            assert_eq!(query(given), expected, "{given}");
        }
    }

    #[test]
    fn values() {
        for (given, expected) in [("  a   b  ", "a b"), ("a\t b", "a\t b"), ("\"a   b\"", "\"a b\""), ("", ""), (" ", "")] {
            let mut out = String::new();
            push_value(&mut out, given.as_bytes()).unwrap();
            assert_eq!(out, expected);
        }
        assert!(push_value(&mut String::new(), &[0xff]).is_err());
    }
}
