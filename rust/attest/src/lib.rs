//! Attestation documents of AWS Nitro enclaves and NitroTPM: parsed, and verified against a root certificate.
//!
//! ```text
//! verify     a document's bytes -> an Attestation, or why not
//!   envelope COSE_Sign1 (RFC 9052): the signed bytes and the signature
//!   document the payload, by AWS's rules
//!   chain    the certificates from the root to the one that signed
//! roots      the trust anchors: AWS's, or those of a PEM file
//! ```
//!
//! The rules are those of AWS's "Nitro Enclaves Attestation Process" (aws-nitro-enclaves-nsm-api, docs/attestation_process.md) and
//! "Validate a NitroTPM Attestation Document" (EC2 user guide). There is no I/O here and no Python: roots come in as bytes, time is an
//! argument, and signatures are verified by the HSM.
#![doc(test(attr(deny(warnings))))]

mod chain;
mod document;
mod envelope;
mod roots;

use std::collections::BTreeMap;

use clavero_hsm::Hsm;
use clavero_hsm::crypto::ec::Curve;
use clavero_hsm::crypto::pkey::KeyType;
use clavero_hsm::spec::KeySpec;

pub use roots::Roots;

/// Why a document was refused.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Caller: not an attestation document, or one that breaks a rule.
    #[error("{0}")]
    Malformed(String),

    /// Caller: the certificates do not lead from a trusted root to the document, or not at this time.
    #[error("{0}")]
    Untrusted(String),

    /// The HSM could not verify a signature at all.
    #[error(transparent)]
    Hsm(#[from] clavero_hsm::Error),
}

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// What made a document, and so what its PCRs mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A Nitro enclave: PCR0 is the digest of its image.
    NitroEnclave,
    /// The NitroTPM of an EC2 instance.
    NitroTpm,
}

/// What a verified document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Who made the document.
    pub platform: Platform,
    /// The module's id: `i-...-enc...` or `i-...-tpm...`.
    pub module_id: String,
    /// When the document was made, in milliseconds since the epoch. Nothing here judges its age: the certificates live for hours.
    pub timestamp: u64,
    /// The locked platform configuration registers.
    pub pcrs: BTreeMap<u8, Vec<u8>>,
    /// The key to encrypt for, if the document has one. Nothing says that it is a key.
    pub public_key: Option<Vec<u8>>,
    /// What the attested program signed along.
    pub user_data: Option<Vec<u8>>,
    /// The nonce that the attested program was given.
    pub nonce: Option<Vec<u8>>,
}

/// Verifies a document as of `now`, in seconds since the epoch: its form, the certificates up to one of `roots`, its signature.
pub fn verify(hsm: &Hsm, roots: &Roots, document: &[u8], now: u64) -> Result<Attestation> {
    let envelope = envelope::open(document)?;
    let parsed = document::parse(&envelope.payload)?;
    let signer = chain::verify(hsm, roots, &parsed.cabundle, &parsed.certificate, now)?;
    if !es384(hsm, &signer, &envelope.signed, &envelope.signature)? {
        return Err(Error::Untrusted("its signature is not that of its certificate".into()));
    }
    Ok(parsed.attestation)
}

/// Whether a DER signature is ECDSA with P-384 and SHA-384 of `message`, under a SubjectPublicKeyInfo.
fn es384(hsm: &Hsm, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<bool> {
    let spec = KeySpec::Pair(KeyType::Ec(Curve::P384));
    match hsm.verify(public_key, spec, "ECDSA_SHA_384", "RAW", message, signature) {
        Err(clavero_hsm::Error::Limit(_)) => Err(Error::Untrusted("a certificate of its chain has no P-384 key".into())),
        verified => Ok(verified?),
    }
}

fn malformed<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::Malformed(why.into()))
}

fn untrusted<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::Untrusted(why.into()))
}
