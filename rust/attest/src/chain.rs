//! The certificates of a document, from the root down: RFC 5280's path validation, narrowed to what AWS's Nitro PKI issues.
//!
//! Every key is P-384 and every signature ECDSA with SHA-384. The order is given, so nothing is searched; each signature is verified
//! with a key that is trusted already, so what is not signed costs nothing more. There are no revocation lists, as AWS says.

use clavero_hsm::Hsm;
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use der::{Decode, Encode, Reader, SliceReader};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, NameConstraints};

use crate::{Error, Result, Roots, es384, untrusted};

/// OBJECT IDENTIFIER ecdsa-with-SHA384 (RFC 5758, 3.2).
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// What a certificate is in a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It issues certificates; so many issuing ones may follow below it.
    Authority { below: usize },
    /// It signed the document.
    Signer,
}

/// A certificate, and the bytes of it that are signed.
pub(crate) struct Parsed<'a> {
    certificate: Certificate,
    signed: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parsed<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Parsed<'a>> {
        let refused = |_| Error::Malformed("a certificate is not the DER of an X.509 certificate".into());
        let certificate = Certificate::from_der(der).map_err(refused)?;
        let mut outer = SliceReader::new(der).map_err(refused)?;
        let (signed, signature) = outer
            .sequence(|inner| {
                let signed = inner.tlv_bytes()?;
                inner.tlv_bytes()?; // the algorithm, which `certificate` has
                let bits = der::asn1::BitStringRef::decode(inner)?;
                Ok((signed, bits.as_bytes()))
            })
            .map_err(refused)?;
        let signature = signature.ok_or_else(|| Error::Malformed("a certificate's signature is no byte string".into()))?;
        Ok(Parsed { certificate, signed, signature })
    }

    /// Its subject, for messages.
    pub(crate) fn name(&self) -> String {
        self.certificate.tbs_certificate().subject().to_string()
    }

    pub(crate) fn is_issued_by(&self, issuer: &Parsed<'_>) -> bool {
        self.certificate.tbs_certificate().issuer() == issuer.certificate.tbs_certificate().subject()
    }

    pub(crate) fn public_key(&self) -> Result<Vec<u8>> {
        let key = self.certificate.tbs_certificate().subject_public_key_info().to_der();
        key.map_err(|_| Error::Malformed("a certificate's public key is no DER".into()))
    }

    /// Everything but the issuer's signature and the time.
    pub(crate) fn check(&self, place: Place) -> Result<()> {
        let own = self.certificate.tbs_certificate();
        let name = self.name();
        if own.version() != Version::V3 {
            return untrusted(format!("the certificate {name} is not of version 3"));
        }
        let algorithm = self.certificate.signature_algorithm();
        if algorithm != own.signature() || algorithm.oid != ECDSA_WITH_SHA384 || algorithm.parameters.is_some() {
            return untrusted(format!("the certificate {name} is not signed with ECDSA and SHA-384"));
        }
        let known = [BasicConstraints::OID, KeyUsage::OID];
        let mut seen = Vec::new();
        for extension in own.extensions().into_iter().flatten() {
            let id = extension.extn_id;
            if seen.contains(&id) {
                return untrusted(format!("the certificate {name} has the extension {id} twice"));
            }
            seen.push(id);
            // Name constraints narrow what an authority may issue. AWS issues none, and unheeded they would widen it.
            if (extension.critical && !known.contains(&id)) || id == NameConstraints::OID {
                return untrusted(format!("the certificate {name} has an extension {id} that is not known here"));
            }
        }
        let broken = |_| Error::Untrusted(format!("the certificate {name} has an extension that cannot be read"));
        let constraints = own.get_extension::<BasicConstraints>().map_err(broken)?.map(|(_, constraints)| constraints);
        let usage = own.get_extension::<KeyUsage>().map_err(broken)?.map(|(_, usage)| usage);
        match place {
            Place::Authority { below } => {
                let Some(constraints) = constraints.filter(|constraints| constraints.ca) else {
                    return untrusted(format!("the certificate {name} may not issue others (basic constraints)"));
                };
                if constraints.path_len_constraint.is_some_and(|most| usize::from(most) < below) {
                    return untrusted(format!("more certificates stand below {name} than it may have (path length)"));
                }
                if !usage.is_some_and(|usage| usage.key_cert_sign()) {
                    return untrusted(format!("the certificate {name} may not sign certificates (key usage)"));
                }
            }
            Place::Signer => {
                if constraints.is_some_and(|constraints| constraints.ca || constraints.path_len_constraint.is_some()) {
                    return untrusted(format!("the certificate {name} is an authority's (basic constraints)"));
                }
                if !usage.is_some_and(|usage| usage.digital_signature()) {
                    return untrusted(format!("the certificate {name} may not sign (key usage)"));
                }
            }
        }
        Ok(())
    }

    fn check_time(&self, now: u64) -> Result<()> {
        let validity = self.certificate.tbs_certificate().validity();
        let (first, last) = (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs());
        if (first..=last).contains(&now) {
            return Ok(());
        }
        let named = |time: u64| {
            let time = der::DateTime::from_unix_duration(std::time::Duration::from_secs(time));
            time.map_or_else(|_| now.to_string(), |time| time.to_string())
        };
        let (name, verb) = (self.name(), if now < first { "is not valid before" } else { "expired at" });
        untrusted(format!(
            "the certificate {name} {verb} {}, and it is {}",
            named(if now < first { first } else { last }),
            named(now)
        ))
    }
}

/// The public key (SubjectPublicKeyInfo) that `signer` certifies, if `bundle` leads to it from one of the roots at the time `now`.
pub(crate) fn verify(hsm: &Hsm, roots: &Roots, bundle: &[Vec<u8>], signer: &[u8], now: u64) -> Result<Vec<u8>> {
    let (root, intermediates) = bundle.split_first().ok_or_else(|| Error::Malformed("cabundle is empty".into()))?;
    if !roots.contain(root) {
        return untrusted(format!("its chain begins with another root than {}", roots.describe()));
    }
    let mut issuer = Parsed::read(root)?;
    issuer.check(Place::Authority { below: intermediates.len() })?;
    issuer.check_time(now)?;
    let below = |index: usize| Place::Authority { below: intermediates.len() - index - 1 };
    let authorities = intermediates.iter().enumerate().map(|(index, der)| (der.as_slice(), below(index)));
    for (der, place) in authorities.chain([(signer, Place::Signer)]) {
        let next = Parsed::read(der)?;
        if !next.is_issued_by(&issuer) {
            return untrusted(format!("the certificate {} was not issued by {}", next.name(), issuer.name()));
        }
        if !es384(hsm, &issuer.public_key()?, next.signed, next.signature)? {
            return untrusted(format!("the certificate {} is not signed by {}", next.name(), issuer.name()));
        }
        next.check(place)?;
        next.check_time(now)?;
        issuer = next;
    }
    issuer.public_key()
}
