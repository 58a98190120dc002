//! Secrets of SigV4: opened from the store straight into shielded form, signing keys derived in the arena, MACs compared there.
//!
//! AWS Signature Version 4: `kSigning = HMAC(HMAC(HMAC(HMAC("AWS4" ‖ secret, date), region), service), "aws4_request")` with SHA-256. A
//! signing key stands for its secret for one day, Region and service, so both are shielded as backing keys are.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::mac::hmac_sha256_into;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, open_inner};
use crate::keytable::Shielded;
use crate::rng::fill_random;
use crate::sealed::Scratch;

/// The longest secret that is taken. AWS's have 40 characters; XKS proxies', up to 64.
pub const MAX_SECRET_LEN: usize = 128;
/// Bytes of a new secret before base64: AWS's 40 characters.
const SECRET_BYTES: usize = 30;
const SECRET_LEN: usize = SECRET_BYTES / 3 * 4;
const PREFIX: &[u8; 4] = b"AWS4";

/// A secret of SigV4 or a signing key, under the shield of the HSM that made it: useless anywhere else, and after `seal`.
pub struct SigningSecret(Shielded);

impl Hsm {
    /// Makes a secret access key of 40 characters and seals it for `purpose`, as [`seal_opaque`](Self::seal_opaque) would.
    pub fn create_access_secret(&self, region: &str, purpose: &str) -> Result<Vec<u8>> {
        self.with_scratch(|scratch| {
            fill_random(&mut scratch.key[..SECRET_BYTES])?;
            let Scratch { key, plaintext, .. } = scratch;
            let len = base64_into(&key[..SECRET_BYTES], plaintext);
            self.seal_plaintext(region, purpose, scratch, len)
        })
    }

    /// Opens a sealed secret access key into shielded form. [`Error::InvalidToken`] for one of another Region or purpose.
    pub fn load_access_secret(&self, region: &str, purpose: &str, sealed: &[u8]) -> Result<SigningSecret> {
        self.with_scratch(|scratch| {
            let len = self.open_plaintext(region, purpose, sealed, scratch)?;
            if len > MAX_SECRET_LEN {
                return Err(Error::Limit(format!("a secret access key has {MAX_SECRET_LEN} bytes at most")));
            }
            scratch.plaintext.copy_within(..len, PREFIX.len());
            scratch.plaintext[..PREFIX.len()].copy_from_slice(PREFIX);
            self.shield(&scratch.plaintext[..PREFIX.len() + len])
        })
    }

    /// Makes a secret access key of 40 characters and seals it for `purpose` with `claims` behind it: gives both. The secret is for the
    /// one answer that tells it; whoever shows the sealed bytes later proves with a signature that it has the secret too.
    pub fn create_session(&self, region: &str, purpose: &str, claims: &[u8]) -> Result<(Vec<u8>, Zeroizing<String>)> {
        self.with_scratch(|scratch| {
            fill_random(&mut scratch.key[..SECRET_BYTES])?;
            let Scratch { key, plaintext, .. } = scratch;
            let len = base64_into(&key[..SECRET_BYTES], plaintext);
            let room = plaintext.get_mut(len..len + claims.len());
            room.ok_or_else(|| Error::Limit("more claims than a session token can hold".into()))?.copy_from_slice(claims);
            let secret = Zeroizing::new(plaintext[..len].iter().map(|byte| char::from(*byte)).collect());
            Ok((self.seal_plaintext(region, purpose, scratch, len + claims.len())?, secret))
        })
    }

    /// Opens what [`create_session`](Self::create_session) sealed: the secret in shielded form, and the claims.
    /// [`Error::InvalidToken`] for one of another Region or purpose.
    pub fn load_session(&self, region: &str, purpose: &str, sealed: &[u8]) -> Result<(SigningSecret, Vec<u8>)> {
        self.with_scratch(|scratch| {
            let len = self.open_plaintext(region, purpose, sealed, scratch)?;
            let claims = scratch.plaintext.get(SECRET_LEN..len).ok_or(Error::InvalidToken)?.to_vec();
            scratch.plaintext.copy_within(..SECRET_LEN, PREFIX.len());
            scratch.plaintext[..PREFIX.len()].copy_from_slice(PREFIX);
            Ok((self.shield(&scratch.plaintext[..PREFIX.len() + SECRET_LEN])?, claims))
        })
    }

    /// A random secret that no client has: what an unknown access key is checked against, so that it costs the same.
    pub fn decoy_access_secret(&self) -> Result<SigningSecret> {
        self.with_scratch(|scratch| {
            fill_random(&mut scratch.plaintext[..44])?;
            self.shield(&scratch.plaintext[..44])
        })
    }

    /// The signing key of `secret` for a date (`YYYYMMDD`), Region and service.
    pub fn derive_signing_key(&self, secret: &SigningSecret, date: &str, region: &str, service: &str) -> Result<SigningSecret> {
        self.with_scratch(|scratch| {
            let Scratch { key, plaintext, .. } = scratch;
            let guard = self.read()?;
            let keys = &open_inner(&guard)?.keys; // under one lock: who takes it twice waits for a writer who waits for him
            let len = keys.open_shielded(&secret.0, plaintext)?;
            let (mut from, mut to) = key.split_at_mut(32);
            hmac_sha256_into(&plaintext[..len], date.as_bytes(), from)?;
            for part in [region.as_bytes(), service.as_bytes(), b"aws4_request"] {
                hmac_sha256_into(from, part, to)?;
                std::mem::swap(&mut from, &mut to);
            }
            keys.shield(from).map(SigningSecret)
        })
    }

    /// Whether `signature` is the signing key's MAC of `string_to_sign`; compared in constant time.
    pub fn verify_signature(&self, key: &SigningSecret, string_to_sign: &[u8], signature: &[u8; 32]) -> Result<bool> {
        self.with_scratch(|scratch| {
            let Scratch { key: mac, plaintext, .. } = scratch;
            let guard = self.read()?;
            let len = open_inner(&guard)?.keys.open_shielded(&key.0, plaintext)?;
            hmac_sha256_into(&plaintext[..len], string_to_sign, &mut mac[..32])?;
            Ok(mac[..32].ct_eq(signature).into())
        })
    }

    fn shield(&self, secret: &[u8]) -> Result<SigningSecret> {
        let guard = self.read()?;
        open_inner(&guard)?.keys.shield(secret).map(SigningSecret)
    }
}

/// Base64 (RFC 4648) of whole groups of three bytes, without a table that a cache would give away.
fn base64_into(bytes: &[u8], out: &mut [u8]) -> usize {
    let mut len = 0;
    for group in bytes.chunks_exact(3) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        for shift in [18, 12, 6, 0] {
            out[len] = base64_digit((bits >> shift & 63).to_le_bytes()[0]);
            len += 1;
        }
    }
    len
}

fn base64_digit(value: u8) -> u8 {
    // Each range adds the step from the one below it; a comparison is all ones or zero, without a branch.
    let above = |bound: u8| (bound.wrapping_sub(value + 1) as i8 >> 7).cast_unsigned();
    let mut digit = value.wrapping_add(b'A');
    digit = digit.wrapping_add(above(26) & (b'a' - b'A' - 26));
    digit = digit.wrapping_sub(above(52) & (b'a' + 26 - b'0'));
    digit = digit.wrapping_sub(above(62) & (b'0' + 10 - b'+'));
    digit.wrapping_add(above(63) & (b'/' - b'+' - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EphemeralRoot, MemoryPolicy};

    fn hsm() -> Hsm {
        let hsm = Hsm::open(&EphemeralRoot, true, MemoryPolicy { allow_insecure: true }).unwrap();
        hsm.create_domain("us-east-1", 1).unwrap();
        hsm.install_domain("us-east-1").unwrap();
        hsm
    }

    #[test]
    fn base64_is_rfc_4648s() {
        let alphabet: Vec<u8> = (0..64).map(base64_digit).collect();
        assert_eq!(alphabet, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
        let mut out = [0; 8];
        assert_eq!((base64_into(b"foobar", &mut out), &out), (8, b"Zm9vYmFy"));
    }

    #[test]
    fn a_signing_key_is_aws_documented_one() {
        // AWS, "Examples of how to derive a signing key for Signature Version 4": the key for 20150830, us-east-1, iam.
        let hsm = hsm();
        let sealed = hsm.seal_opaque("us-east-1", "access-key/AKIDEXAMPLE", b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
        let secret = hsm.load_access_secret("us-east-1", "access-key/AKIDEXAMPLE", &sealed).unwrap();
        let key = hsm.derive_signing_key(&secret, "20150830", "us-east-1", "iam").unwrap();
        let expected = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&expected[2 * i..2 * i + 2], 16).unwrap()).collect();
        let mac = crate::crypto::mac::hmac_sha256(&bytes, b"anything").unwrap();
        assert!(hsm.verify_signature(&key, b"anything", &mac).unwrap());
        assert!(!hsm.verify_signature(&key, b"anythinG", &mac).unwrap());
        for (date, region, service) in
            [("20150831", "us-east-1", "iam"), ("20150830", "us-east-2", "iam"), ("20150830", "us-east-1", "kms")]
        {
            let other = hsm.derive_signing_key(&secret, date, region, service).unwrap();
            assert!(!hsm.verify_signature(&other, b"anything", &mac).unwrap());
        }
    }

    #[test]
    fn a_session_opens_for_its_purpose_with_its_secret_and_claims() {
        let hsm = hsm();
        let (sealed, secret) = hsm.create_session("us-east-1", "session/A", b"claims").unwrap();
        assert_eq!(secret.len(), 40);
        assert!(!sealed.windows(40).any(|window| window == secret.as_bytes()));
        let (shielded, claims) = hsm.load_session("us-east-1", "session/A", &sealed).unwrap();
        assert_eq!(claims, b"claims");
        let key = hsm.derive_signing_key(&shielded, "20260101", "us-east-1", "kms").unwrap();
        let mac = |key: &[u8], bytes: &[u8]| crate::crypto::mac::hmac_sha256(key, bytes).unwrap();
        let mut expected = mac(format!("AWS4{}", secret.as_str()).as_bytes(), b"20260101");
        for part in ["us-east-1", "kms", "aws4_request"] {
            expected = mac(&expected, part.as_bytes());
        }
        assert!(hsm.verify_signature(&key, b"x", &mac(&expected, b"x")).unwrap());
        assert!(hsm.create_session("us-east-1", "session/A", &[0; 6144 - 40]).is_ok());
        assert!(matches!(hsm.create_session("us-east-1", "session/A", &[0; 6144 - 39]), Err(Error::Limit(_))));
        for at in 0..sealed.len() {
            let mut edited = sealed.clone();
            edited[at] ^= 1;
            assert_eq!(hsm.load_session("us-east-1", "session/A", &edited).err(), Some(Error::InvalidToken), "byte {at}");
        }
        assert_eq!(hsm.load_session("us-east-1", "session/B", &sealed).err(), Some(Error::InvalidToken));
        let short = hsm.seal_opaque("us-east-1", "session/A", &[b'x'; 39]).unwrap();
        assert_eq!(hsm.load_session("us-east-1", "session/A", &short).err(), Some(Error::InvalidToken));
    }

    #[test]
    fn secrets_open_for_their_purpose_only_and_not_after_seal() {
        let hsm = hsm();
        let sealed = hsm.create_access_secret("us-east-1", "access-key/A").unwrap();
        let text = hsm.open_opaque("us-east-1", "access-key/A", &sealed).unwrap();
        assert_eq!(text.len(), 40);
        assert!(text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)));
        assert_ne!(hsm.create_access_secret("us-east-1", "access-key/A").unwrap(), sealed);
        assert_eq!(hsm.load_access_secret("us-east-1", "access-key/B", &sealed).err(), Some(Error::InvalidToken));
        let long = hsm.seal_opaque("us-east-1", "access-key/L", &[b'x'; MAX_SECRET_LEN + 1]).unwrap();
        assert!(matches!(hsm.load_access_secret("us-east-1", "access-key/L", &long), Err(Error::Limit(_))));
        let secret = hsm.load_access_secret("us-east-1", "access-key/A", &sealed).unwrap();
        let key = hsm.derive_signing_key(&secret, "20260101", "us-east-1", "kms").unwrap();
        let other = self::hsm();
        assert!(other.verify_signature(&key, b"x", &[0; 32]).is_err(), "another HSM's shield");
        assert!(!hsm.verify_signature(&hsm.decoy_access_secret().unwrap(), b"x", &[0; 32]).unwrap());
        hsm.seal().unwrap();
        assert_eq!(hsm.verify_signature(&key, b"x", &[0; 32]), Err(Error::Sealed));
        assert_eq!(hsm.derive_signing_key(&secret, "20260101", "us-east-1", "kms").err(), Some(Error::Sealed));
    }
}
