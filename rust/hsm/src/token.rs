//! Exported key tokens: a backing key sealed under a domain key, bound to whose it is (docs/formats/key-token.md).
//!
//! `format 1 ‖ suite 1 ‖ 0 ‖ 0 ‖ domain key id 16 ‖ N 16 ‖ IV 12 ‖ ciphertext ‖ tag 16`. The AAD is the header and the
//! binding, so a row that was edited or swapped between keys, accounts or Regions does not open.

use crate::crypto::digest::sha256;
use crate::error::{Error, Result};
use crate::key::spec::{KeySpec, KeyUsage};
use crate::memory::Secret;
use crate::sealed::{Label, Parts, Scratch, open_scratch, push_field, seal_scratch};

/// The id of a backing key (one version of a KMS key): 128 bits, random, or of a seeded version pseudorandom.
pub type Hbkid = [u8; 16];

/// The last field of a multi-Region key's AAD.
const MULTI_REGION: &[u8] = b"multi-Region";

/// Whose key a token holds, and what for. Every field is authenticated.
#[derive(Clone, Copy, Debug)]
pub struct KeyBinding<'a> {
    /// AWS Region.
    pub region: &'a str,
    /// 12-digit account id.
    pub account: &'a str,
    /// KMS key id.
    pub key_id: &'a str,
    /// KeySpec.
    pub spec: &'a str,
    /// KeyUsage.
    pub usage: &'a str,
    /// Origin.
    pub origin: &'a str,
    /// Whether related keys in other Regions may have the same backing keys. Decided when the key is made, and sealed into its tokens.
    pub multi_region: bool,
}

impl KeyBinding<'_> {
    /// The spec and the usage, if the HSM knows them.
    pub(crate) fn kind(&self) -> Result<(KeySpec, KeyUsage)> {
        Ok((KeySpec::parse(self.spec)?, KeyUsage::parse(self.usage)?))
    }

    fn aad(&self, hbkid: &Hbkid) -> Result<Vec<u8>> {
        let mut aad = Vec::with_capacity(256);
        for field in [self.account, self.region, self.key_id] {
            push_field(&mut aad, field.as_bytes())?;
        }
        push_field(&mut aad, hbkid)?;
        for field in [self.spec, self.usage, self.origin] {
            push_field(&mut aad, field.as_bytes())?;
        }
        if self.multi_region {
            // A field more than any single-Region key has: neither kind of token opens as the other.
            push_field(&mut aad, MULTI_REGION)?;
        }
        Ok(aad)
    }
}

/// The domain key that a token is sealed under.
pub fn token_domain_key(token: &[u8]) -> Result<[u8; 16]> {
    Parts::parse(token).map(|parts| *parts.key_id()).ok_or(Error::InvalidToken)
}

/// The KeyMaterialId that KMS shows for a backing key: 64 lower-case hexadecimal digits, from the HBKID alone.
pub fn material_id(hbkid: &Hbkid) -> String {
    let mut input = *b"clavero/key-material-id\0----------------";
    input[24..].copy_from_slice(hbkid);
    sha256(&input).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seals the backing key in `scratch.plaintext[..len]` under a domain key.
pub(crate) fn seal(
    scratch: &mut Scratch,
    len: usize,
    domain_key: (&[u8; 16], &Secret<32>),
    hbkid: &Hbkid,
    binding: &KeyBinding<'_>,
) -> Result<Vec<u8>> {
    seal_scratch(scratch, len, domain_key.1.expose_secret(), domain_key.0, Label::Token, &binding.aad(hbkid)?)
}

/// Opens a token into `scratch.plaintext`; gives the key's length. A length that the spec does not have was sealed by another
/// program; a spec or usage that there is not, by a later one.
pub(crate) fn open(
    scratch: &mut Scratch,
    parts: &Parts<'_>,
    domain_key: &Secret<32>,
    hbkid: &Hbkid,
    binding: &KeyBinding<'_>,
) -> Result<usize> {
    if !binding.kind().is_ok_and(|(spec, _)| spec.fits_secret(parts.ciphertext.len())) {
        return Err(Error::InvalidToken);
    }
    open_scratch(scratch, parts, domain_key.expose_secret(), Label::Token, &binding.aad(hbkid)?)
        .map_err(|error| if error == Error::InvalidCiphertext { Error::InvalidToken } else { error })
}
