//! The envelope: COSE_Sign1 (RFC 9052, 4.2) with ES384 (RFC 9053, 2.1), tagged or not.

use coset::iana::{self, EnumI64};
use coset::{CborSerializable, CoseSign1, Header, RegisteredLabelWithPrivate, TaggedCborSerializable};
use der::Encode;
use der::asn1::UintRef;

use crate::{Error, Result, malformed};

/// The most bytes of a payload.
const MAX_PAYLOAD: usize = 16384;
/// Bytes of one half of the signature: P-384's order.
const HALF: usize = 48;
/// The tag of a COSE_Sign1, as the first byte of one that has it.
const TAGGED: u8 = 0xd2;

pub(crate) struct Envelope {
    /// The attestation document itself.
    pub(crate) payload: Vec<u8>,
    /// The bytes that are signed.
    pub(crate) signed: Vec<u8>,
    /// The ECDSA signature in DER.
    pub(crate) signature: Vec<u8>,
}

pub(crate) fn open(document: &[u8]) -> Result<Envelope> {
    let no_sign1 = |_| Error::Malformed("it is no COSE_Sign1".into());
    let parsed = match document.first() {
        Some(&TAGGED) => CoseSign1::from_tagged_slice(document),
        _ => CoseSign1::from_slice(document),
    };
    let sign1 = parsed.map_err(no_sign1)?;
    let expected = Header { alg: Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES384)), ..Header::default() };
    if sign1.protected.header != expected {
        return malformed(format!(
            "its protected header must be the algorithm ES384 ({}) alone",
            iana::Algorithm::ES384.to_i64()
        ));
    }
    if !sign1.unprotected.is_empty() {
        return malformed("its unprotected header must be empty");
    }
    let signed = sign1.tbs_data(&[]);
    let Some((r, s)) = sign1.signature.split_first_chunk::<HALF>().filter(|(_, s)| s.len() == HALF) else {
        return malformed(format!("its signature must have {} bytes, not {}", 2 * HALF, sign1.signature.len()));
    };
    let signature = signature_der(r, s).ok_or_else(|| Error::Malformed("its signature is none of ES384".into()))?;
    match sign1.payload {
        Some(payload) if (1..=MAX_PAYLOAD).contains(&payload.len()) => Ok(Envelope { payload, signed, signature }),
        Some(payload) => malformed(format!("its payload must have 1 to {MAX_PAYLOAD} bytes, not {}", payload.len())),
        None => malformed("it has no payload"),
    }
}

/// The two numbers of a signature as X.509 writes them: SEQUENCE { INTEGER r, INTEGER s }.
fn signature_der(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let numbers = [UintRef::new(r).ok()?, UintRef::new(s).ok()?];
    let mut content = Vec::with_capacity(2 * HALF + 6);
    for number in numbers {
        content.extend(number.to_der().ok()?);
    }
    let mut out = vec![0x30, u8::try_from(content.len()).ok()?]; // at most 102 bytes: the short form
    out.extend(content);
    Some(out)
}
