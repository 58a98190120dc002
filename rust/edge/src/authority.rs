//! The CA of a deployment that brings no certificate: made once, its key sealed by the HSM, a new server certificate at every start.

use clavero_hsm::Hsm;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::tls::Certificate;

const PURPOSE: &str = "tls-authority";
/// A CA is trusted by hand, so it lives long; its server certificates do not.
const CA_YEARS: i64 = 10;
/// How long a server certificate is valid.
pub const SERVER_DAYS: i64 = 90;
const DAY: i64 = 86_400;

/// A CA whose key is in memory.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a CA: itself, its certificate in PEM, and its private key, sealed for `region`.
    pub fn create(hsm: &Hsm, region: &str, now: i64) -> Result<(Authority, String, Vec<u8>)> {
        clavero_hsm::memory::claim_libcrypto()?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let sealed = hsm.seal_opaque(region, PURPOSE, &Zeroizing::new(key.serialize_der()))?;
        let mut params = authority_params(now);
        // A name of its own, so that two deployments' CAs are told apart by whoever trusts both.
        params.distinguished_name = authority_name(&clavero_hsm::request_id()?);
        let certificate = params.self_signed(&key).map_err(failed)?;
        let pem = certificate.pem();
        Ok((Authority { certificate: certificate.into(), issuer: Issuer::new(params, key) }, pem, sealed))
    }

    /// Opens a stored CA.
    pub fn open(hsm: &Hsm, region: &str, certificate_pem: &[u8], sealed: &[u8], now: i64) -> Result<Authority> {
        clavero_hsm::memory::claim_libcrypto()?;
        let unusable = |why: &str| Error::Certificate(format!("the CA of the data folder cannot be used: {why}"));
        let certificate = CertificateDer::from_pem_slice(certificate_pem).map_err(|error| unusable(&error.to_string()))?;
        let name = crate::subject::subject_names(&certificate).and_then(|names| names.into_iter().next());
        let name = name.ok_or_else(|| unusable("its certificate has no name"))?;
        let der = Zeroizing::new(hsm.open_opaque(region, PURPOSE, sealed)?);
        let key = KeyPair::try_from(der.as_slice()).map_err(failed)?;
        let certified = ParsedCertificate::try_from(&certificate).map_err(|error| unusable(&error.to_string()))?;
        if certified.subject_public_key_info().as_ref() != key.subject_public_key_info() {
            return Err(unusable("its certificate is of another key")); // clients would refuse what it issues
        }
        let mut params = authority_params(now);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Authority { certificate, issuer: Issuer::new(params, key) })
    }

    /// A server certificate for these DNS names and addresses, with a key that was made for it and is nowhere else.
    pub fn issue(&self, hosts: &[String], now: i64) -> Result<Certificate> {
        let mut params = CertificateParams::new(hosts).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "clavero");
        (params.not_before, params.not_after) = validity(now, SERVER_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Certificate::new(vec![certificate.into(), self.certificate.clone()], key))
    }
}

fn authority_name(id: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("Clavero CA {}", &id[..8.min(id.len())]));
    name
}

fn authority_params(now: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(now, CA_YEARS * 365);
    params
}

fn validity<T>(now: i64, days: i64) -> (T, T)
where
    T: From<std::time::SystemTime>,
{
    let at = |seconds: i64| T::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    (at(now - DAY), at(now + days * DAY)) // clocks differ by hours at times
}

fn failed(error: rcgen::Error) -> Error {
    Error::Certificate(format!("a certificate cannot be made: {error}"))
}
