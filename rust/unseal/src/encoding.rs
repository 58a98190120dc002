//! Root keys as text: 64 hexadecimal digits, or standard base64 of 32 bytes (44 characters with padding).

use base64ct::Base64;
use clavero_hsm::{Error, Result};

/// Decodes `text` (white space around it is ignored) into `out`. `source` names the provider in the error; the text never appears.
pub(crate) fn decode_key(text: &[u8], source: &str, out: &mut [u8; 32]) -> Result<()> {
    let text = text.trim_ascii();
    // Constant-time decoders: the digits of a key must not choose branches or cache lines.
    let decoded = match text.len() {
        64 => base16ct::mixed::decode(text, out).is_ok_and(|bytes| bytes.len() == 32),
        44 => <Base64 as base64ct::Encoding>::decode(text, out).is_ok_and(|bytes| bytes.len() == 32),
        _ => false,
    };
    if decoded {
        return Ok(());
    }
    out.fill(0);
    Err(Error::Unseal(format!(
        "{source} does not hold a root key: expected 32 bytes as 64 hexadecimal digits or as base64 ({} characters found)",
        text.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_key() {
        let (mut hex, mut base64) = ([0; 32], [0; 32]);
        decode_key(b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1D1E1F\n", "x", &mut hex).unwrap();
        decode_key(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "x", &mut base64).unwrap();
        assert_eq!(hex, base64);
        assert_eq!(hex.to_vec(), (0..32).collect::<Vec<u8>>());
    }

    #[test]
    fn anything_else_is_refused_and_leaves_zeros() {
        let cases: [&[u8]; 5] = [b"", b"abc", &[b'g'; 64], &[b'='; 44], b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9="];
        for case in cases {
            let mut out = [7; 32];
            assert!(matches!(decode_key(case, "the test", &mut out), Err(Error::Unseal(_))));
            assert_eq!(out, [0; 32]);
        }
    }
}
