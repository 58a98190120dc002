//! The Authorization header: exactly `AWS4-HMAC-SHA256`, a credential with its scope, the signed headers and a signature.

use crate::refusal::Refusal;

/// The one algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// More headers are signed by no client.
const MAX_SIGNED: usize = 64;
/// The longest header that is read: AWS's has under 1 KiB.
const MAX_LEN: usize = 4096;

/// What a signing key is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `YYYYMMDD`.
    pub date: String,
    /// The Region that is asked.
    pub region: String,
    /// `kms`, or `sts`.
    pub service: String,
}

/// A header that was read. Nothing in it is proved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Names the secret.
    pub access_key_id: String,
    /// The credential's scope.
    pub scope: Scope,
    /// Lower case, sorted, without duplicates.
    pub signed_headers: Vec<String>,
    /// The claimed MAC.
    pub signature: [u8; 32],
}

/// Reads the header. A refusal says what is missing or malformed, in AWS's words where it has some.
pub fn parse_authorization(text: &str) -> Result<Authorization, Refusal> {
    if text.len() > MAX_LEN {
        return Err(Refusal::incomplete(format!(
            "The Authorization header has {} bytes, and {MAX_LEN} at most are read.",
            text.len()
        )));
    }
    let Some((algorithm, rest)) = text.split_once(' ') else { return Err(Refusal::missing_token()) };
    if algorithm != ALGORITHM {
        return Err(Refusal::incomplete(format!(
            "Unsupported AWS 'algorithm': '{}'. The only supported 'algorithm' is '{ALGORITHM}'.",
            shown(algorithm)
        )));
    }
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let part = part.trim_start_matches(' ');
        let Some((name, value)) = part.split_once('=') else {
            return Err(Refusal::incomplete(format!(
                "'{}' not a valid key=value pair (missing equal-sign) in Authorization header.",
                shown(part)
            )));
        };
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return Err(Refusal::incomplete(format!("Authorization header has the unknown parameter '{}'.", shown(name)))),
        };
        if slot.replace(value).is_some() {
            return Err(Refusal::incomplete(format!("Authorization header has the parameter '{name}' twice.")));
        }
    }
    let (Some(credential), Some(signed), Some(signature)) = (credential, signed, signature) else {
        let missing: Vec<String> = [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed)]
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
            .collect();
        return Err(Refusal::incomplete(missing.join(" ")));
    };
    let (access_key_id, scope) = parse_credential(credential)?;
    Ok(Authorization { access_key_id, scope, signed_headers: parse_signed(signed)?, signature: parse_signature(signature)? })
}

fn parse_credential(text: &str) -> Result<(String, Scope), Refusal> {
    let parts: Vec<&str> = text.split('/').collect();
    let [access_key_id, date, region, service, terminator] = parts[..] else {
        return Err(Refusal::incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
            shown(text)
        )));
    };
    if terminator != "aws4_request" {
        return Err(Refusal::invalid_signature(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'. ",
            shown(terminator)
        )));
    }
    let word = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !word(access_key_id, 128) || date.len() != 8 || !word(date, 8) || !word(region, 32) || !word(service, 32) {
        return Err(Refusal::incomplete(format!("The Credential '{}' is malformed.", shown(text))));
    }
    let scope = Scope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() };
    Ok((access_key_id.to_owned(), scope))
}

fn parse_signed(text: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let plain = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    if names.len() > MAX_SIGNED || !names.iter().all(plain) || !names.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::incomplete("SignedHeaders must be lower-case names of headers, sorted, each once.".into()));
    }
    Ok(names)
}

fn parse_signature(text: &str) -> Result<[u8; 32], Refusal> {
    let mut signature = [0; 32];
    let digits = text.as_bytes();
    if digits.len() == 64 {
        for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
            match (lower_hex(pair[0]), lower_hex(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(mismatch()),
            }
        }
        return Ok(signature);
    }
    Err(mismatch())
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn mismatch() -> Refusal {
    Refusal::signature_mismatch()
}

/// What of a client's text an error repeats: printable, and not for ever.
fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

    fn good() -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
        )
    }

    #[test]
    fn reads_what_clients_send() {
        let read = parse_authorization(&good()).unwrap();
        assert_eq!(read.access_key_id, "AKIDEXAMPLE");
        assert_eq!(
            (read.scope.date.as_str(), read.scope.region.as_str(), read.scope.service.as_str()),
            ("20150830", "us-east-1", "kms")
        );
        assert_eq!(read.signed_headers, ["host", "x-amz-date"]);
        assert_eq!((read.signature[0], read.signature[31]), (0x5f, 0x31));
        assert_eq!(parse_authorization(&good().replace(", ", ",")).unwrap(), read, "the space is optional");
    }

    #[test]
    fn refuses_everything_else() {
        for (from, to) in [
            ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
            ("AWS4-HMAC-SHA256 ", ""),
            ("Credential=", "Credential"),
            ("Credential=", "credential="),
            ("SignedHeaders=host;x-amz-date, ", ""),
            ("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date;host"),
            ("SignedHeaders=host;x-amz-date", "SignedHeaders=host;host"),
            ("SignedHeaders=host;x-amz-date", "SignedHeaders=Host;x-amz-date"),
            ("SignedHeaders=host;x-amz-date", "SignedHeaders=host;;x-amz-date"),
            ("SignedHeaders=host;x-amz-date", "SignedHeaders="),
            ("AKIDEXAMPLE/", ""),
            ("AKIDEXAMPLE", ""),
            ("AKIDEXAMPLE", "AKID EXAMPLE"),
            ("/aws4_request", "/aws4_request/"),
            ("/aws4_request", "/aws5_request"),
            ("/20150830/", "/2015083/"),
            ("Signature=5", "Signature=F"),
            ("Signature=5", "Signature="),
            ("Signature=5", "Signature=55"),
            ("Signature=", "Signature=x, Signature="),
            ("Signature=", "Extra=1, Signature="),
        ] {
            let text = good().replacen(from, to, 1);
            assert_ne!(text, good());
            assert!(parse_authorization(&text).is_err(), "{text}");
        }
        assert!(parse_authorization(&format!("{}{}", good(), " ".repeat(5000))).is_err());
    }
}
