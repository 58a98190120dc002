//! The trust anchors of attestation documents: AWS's root certificate, or what a deployment trusts instead.

use clavero_hsm::crypto::digest::sha256;
use clavero_hsm::crypto::ec::Curve;
use clavero_hsm::crypto::pkey::{KeyType, PublicKey};

use crate::chain::{Parsed, Place};
use crate::{Error, Result, malformed};

/// AWS_NitroEnclaves_Root-G1, valid from 2019-10-28 to 2049-10-28, as AWS publishes it beside its SHA-256 fingerprint
/// 64:1A:03:21:A3:E2:44:EF:E4:56:46:31:95:D6:06:31:7E:D7:CD:CC:3C:17:56:E0:98:93:F3:C6:8F:79:BB:5B
/// ("Verifying the root of trust", AWS Nitro Enclaves user guide). A test holds the file to the fingerprint.
const AWS_G1: &str = include_str!("aws-nitro-enclaves-root-g1.pem");

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// The most roots, so that each document is cheap to judge.
const MAX_ROOTS: usize = 16;

/// Root certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots(Vec<Vec<u8>>);

impl Roots {
    /// AWS's root of the commercial partition, G1.
    pub fn aws() -> Result<Roots> {
        Roots::parse(AWS_G1.as_bytes())
    }

    /// The roots of a PEM text (other text in it is skipped), or the one of a DER certificate.
    ///
    /// Each must be a certificate authority's with a P-384 key. [`Error::Malformed`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Roots> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let roots = if text.contains(BEGIN) { from_pem(text)? } else { vec![bytes.to_vec()] };
        if roots.len() > MAX_ROOTS {
            return malformed(format!("there are more than {MAX_ROOTS} root certificates"));
        }
        for root in &roots {
            let parsed = Parsed::read(root)?;
            let refused = |why: String| Error::Malformed(format!("the certificate {} cannot be a root: {why}", parsed.name()));
            if !parsed.is_issued_by(&parsed) {
                return Err(refused("another issued it".into()));
            }
            PublicKey::from_spki(KeyType::Ec(Curve::P384), &parsed.public_key()?)
                .map_err(|_| refused("its key is not of P-384".into()))?;
            parsed.check(Place::Authority { below: 0 }).map_err(|error| refused(error.to_string()))?;
        }
        Ok(Roots(roots))
    }

    /// Whether this DER is one of the roots.
    pub(crate) fn contain(&self, der: &[u8]) -> bool {
        self.0.iter().any(|root| root == der)
    }

    /// The SHA-256 fingerprints, in hexadecimal.
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|root| sha256(root).iter().map(|byte| format!("{byte:02x}")).collect()).collect()
    }

    /// What messages call them.
    pub(crate) fn describe(&self) -> String {
        let names: Vec<_> =
            self.fingerprints().into_iter().map(|print| format!("the one with the SHA-256 fingerprint {print}")).collect();
        names.join(" or ")
    }
}

fn from_pem(text: &str) -> Result<Vec<Vec<u8>>> {
    let mut roots = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let (body, _) = block.split_once(END).ok_or_else(|| Error::Malformed("a PEM certificate has no end".into()))?;
        let (_, der) = der::pem::decode_vec(format!("{BEGIN}{body}{END}\n").as_bytes())
            .map_err(|_| Error::Malformed("a PEM certificate cannot be decoded".into()))?;
        roots.push(der);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_aws_is_the_one_that_aws_publishes() {
        let published = "64:1A:03:21:A3:E2:44:EF:E4:56:46:31:95:D6:06:31:7E:D7:CD:CC:3C:17:56:E0:98:93:F3:C6:8F:79:BB:5B";
        let expected = published.replace(':', "").to_lowercase();
        assert_eq!(Roots::aws().unwrap().fingerprints(), [expected]);
    }

    #[test]
    fn roots_come_as_pem_or_der_and_several_at_once() {
        let aws = Roots::aws().unwrap();
        assert_eq!(Roots::parse(&aws.0[0]).unwrap(), aws);
        let noted = format!("a note\r\n{AWS_G1}\nanother note\n{}", AWS_G1.replace('\n', "\r\n"));
        assert_eq!(Roots::parse(noted.as_bytes()).unwrap().0, [aws.0[0].clone(), aws.0[0].clone()]);
        assert!(Roots::parse(AWS_G1.repeat(MAX_ROOTS + 1).as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_root_is_refused() {
        let der = Roots::aws().unwrap().0.remove(0);
        for bytes in [&b""[..], b"no certificate", &der[..der.len() - 1], &[&der[..], b"\0"].concat(), BEGIN.as_bytes()] {
            assert!(matches!(Roots::parse(bytes), Err(Error::Malformed(_))));
        }
    }
}
