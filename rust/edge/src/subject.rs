//! Client certificates of given subjects: a verifier that looks at the common name and the DNS names after the chain was verified.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Wraps the verifier of chains.
#[derive(Debug)]
pub(crate) struct SubjectVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    subjects: Vec<String>,
}

impl SubjectVerifier {
    pub(crate) fn new(chain: Arc<dyn ClientCertVerifier>, subjects: Vec<String>) -> SubjectVerifier {
        SubjectVerifier { chain, subjects }
    }
}

impl ClientCertVerifier for SubjectVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let names = subject_names(end_entity).unwrap_or_default();
        if names.iter().any(|name| self.subjects.contains(name)) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// The strings that names are written in: UTF8String, PrintableString, IA5String.
const STRINGS: [u8; 3] = [0x0c, 0x13, 0x16];
const DNS_NAME: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// The common names and DNS names of a certificate (RFC 5280, 4.1), which was verified before: this reads, and checks nothing.
pub(crate) fn subject_names(der: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut to_be_signed = Reader(Reader(Reader(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
    if to_be_signed.0.first() == Some(&0xa0) {
        to_be_signed.next()?; // version
    }
    for _ in ["serial", "algorithm", "issuer", "validity"] {
        to_be_signed.next()?;
    }
    let mut subject = Reader(to_be_signed.expect(SEQUENCE)?);
    while !subject.0.is_empty() {
        let mut set = Reader(subject.expect(SET)?);
        while !set.0.is_empty() {
            let mut attribute = Reader(set.expect(SEQUENCE)?);
            let kind = attribute.expect(OID)?;
            let (tag, value) = attribute.next()?;
            if kind == COMMON_NAME && STRINGS.contains(&tag) {
                names.push(std::str::from_utf8(value).ok()?.to_owned());
            }
        }
    }
    while !to_be_signed.0.is_empty() {
        let (tag, value) = to_be_signed.next()?;
        if tag == EXTENSIONS {
            dns_names(value, &mut names)?;
        }
    }
    Some(names)
}

fn dns_names(extensions: &[u8], names: &mut Vec<String>) -> Option<()> {
    let mut extensions = Reader(Reader(extensions).expect(SEQUENCE)?);
    while !extensions.0.is_empty() {
        let mut extension = Reader(extensions.expect(SEQUENCE)?);
        if extension.expect(OID)? != SUBJECT_ALT_NAME {
            continue;
        }
        let (mut tag, mut value) = extension.next()?;
        if tag == 0x01 {
            (tag, value) = extension.next()?; // after whether it is critical
        }
        if tag != 0x04 {
            return None;
        }
        let mut general_names = Reader(Reader(value).expect(SEQUENCE)?);
        while !general_names.0.is_empty() {
            let (tag, value) = general_names.next()?;
            if tag == DNS_NAME {
                names.push(std::str::from_utf8(value).ok()?.to_owned());
            }
        }
    }
    Some(())
}

/// Reads DER values one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (len, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((*tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, value) = self.next()?;
        (found == tag).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_certificate_and_of_every_cut_of_it() {
        crate::tls::provider().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "not a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, "client one");
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let der: &[u8] = certificate.der();
        assert_eq!(subject_names(der).unwrap(), ["client one", "a.example"]);
        for len in 0..der.len() {
            assert_eq!(subject_names(&der[..len]), None);
        }
    }
}
