//! The encryption context as additional authenticated data: length-prefixed pairs, sorted by the key's UTF-8 bytes.
//!
//! `count u32 ‖ (key length u32 ‖ key ‖ value length u32 ‖ value)*`, all big-endian. The encoding is injective, so
//! `{"a": "bc"}` and `{"ab": "c"}` differ, and independent of the order in which pairs were given.

use crate::error::{Error, Result};
use crate::sealed::{HEADER_LEN, push_field};

/// The most bytes that the keys and values of one context may have together. KMS documents no figure; 8192 is what its external
/// key store protocol guarantees for additional authenticated data (XKS proxy API specification 1.0.3, Encrypt).
pub const MAX_CONTEXT_LEN: usize = 8192;

/// A canonical encryption context with room for a message's header in front: together they are the AAD.
pub struct EncryptionContext {
    bytes: Vec<u8>,
}

impl EncryptionContext {
    /// The empty context. (No context and an empty one are the same, as in KMS.)
    pub fn empty() -> EncryptionContext {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(&[0; 4]);
        EncryptionContext { bytes }
    }

    /// The canonical form of `pairs`. Refuses a key given twice, and more than [`MAX_CONTEXT_LEN`] bytes.
    pub fn new(mut pairs: Vec<(&str, &str)>) -> Result<EncryptionContext> {
        let len: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        if len > MAX_CONTEXT_LEN {
            return Err(Error::Limit(format!(
                "the encryption context has {len} bytes of keys and values; the most is {MAX_CONTEXT_LEN}"
            )));
        }
        pairs.sort_unstable_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
        if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Limit("the encryption context has the same key twice".into()));
        }
        let mut bytes = Vec::with_capacity(HEADER_LEN + 4 + len + 8 * pairs.len());
        bytes.resize(HEADER_LEN, 0);
        let count = u32::try_from(pairs.len()).map_err(|_| Error::Limit("too many pairs".into()))?;
        bytes.extend_from_slice(&count.to_be_bytes());
        for (key, value) in pairs {
            push_field(&mut bytes, key.as_bytes())?;
            push_field(&mut bytes, value.as_bytes())?;
        }
        Ok(EncryptionContext { bytes })
    }

    /// The canonical bytes, without the header.
    pub fn canonical(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// The AAD of the message under `header`.
    #[inline]
    pub(crate) fn aad(&mut self, header: &[u8; HEADER_LEN]) -> &[u8] {
        self.bytes[..HEADER_LEN].copy_from_slice(header);
        &self.bytes
    }

    /// A copy for another thread of a batch.
    pub(crate) fn duplicate(&self) -> EncryptionContext {
        EncryptionContext { bytes: self.bytes.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_boundaries_do() {
        let one = EncryptionContext::new(vec![("a", "1"), ("b", "2")]).unwrap();
        let two = EncryptionContext::new(vec![("b", "2"), ("a", "1")]).unwrap();
        assert_eq!(one.canonical(), two.canonical());
        let left = EncryptionContext::new(vec![("a", "bc")]).unwrap();
        let right = EncryptionContext::new(vec![("ab", "c")]).unwrap();
        assert_ne!(left.canonical(), right.canonical());
        assert_eq!(EncryptionContext::new(vec![]).unwrap().canonical(), EncryptionContext::empty().canonical());
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let context = EncryptionContext::new(vec![("é", ""), ("a", "xy")]).unwrap();
        assert_eq!(context.canonical(), b"\0\0\0\x02\0\0\0\x01a\0\0\0\x02xy\0\0\0\x02\xc3\xa9\0\0\0\0");
    }

    #[test]
    fn a_repeated_key_and_too_many_bytes_are_refused() {
        assert!(matches!(EncryptionContext::new(vec![("a", "1"), ("a", "2")]), Err(Error::Limit(_))));
        let long = "x".repeat(MAX_CONTEXT_LEN);
        assert!(EncryptionContext::new(vec![("", &long)]).is_ok());
        assert!(matches!(EncryptionContext::new(vec![("k", &long)]), Err(Error::Limit(_))));
    }
}
