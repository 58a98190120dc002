//! TLS 1.2 and 1.3 on AWS-LC: forward secrecy and AEAD only, the hybrid post-quantum group first.

use std::sync::Arc;

pub use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConnection};

use crate::error::{Error, Result};
use crate::subject::SubjectVerifier;

/// The algorithms, in the order of our preference.
pub fn provider() -> Result<Arc<CryptoProvider>> {
    clavero_hsm::memory::claim_libcrypto()?; // before rustls allocates in libcrypto (ADR 0001)
    use aws_lc_rs::{cipher_suite as suite, kx_group as group};
    Ok(Arc::new(CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }))
}

/// A certificate chain, the server's first, and its private key, both in PEM.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// Reads PEM. The key may be PKCS #8, PKCS #1 or SEC 1.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Certificate> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| Error::Certificate(format!("the private key cannot be read as PEM: {error}")))?;
        Ok(Certificate { chain, key })
    }

    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Certificate {
        Certificate { chain, key }
    }
}

/// Who has to show a certificate, and of which subject.
#[derive(Clone)]
pub struct ClientAuthentication {
    /// Certificates of the CAs, in PEM.
    pub authorities: Vec<u8>,
    /// A common name or DNS name that the client's certificate must have; any, if empty.
    pub subjects: Vec<String>,
}

/// The configuration of a listener. Fails if key and certificate do not belong together.
pub fn server_config(certificate: Certificate, clients: Option<&ClientAuthentication>) -> Result<Arc<ServerConfig>> {
    let provider = provider()?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Error::Certificate(error.to_string()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(client_verifier(provider, clients)?),
    };
    let mut config = builder
        .with_single_cert(certificate.chain, certificate.key)
        .map_err(|error| Error::Certificate(format!("the certificate cannot be used: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_verifier(provider: Arc<CryptoProvider>, clients: &ClientAuthentication) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&clients.authorities)? {
        roots.add(certificate).map_err(|error| Error::Certificate(format!("a CA of clients cannot be used: {error}")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::Certificate(format!("the CAs of clients cannot be used: {error}")))?;
    Ok(if clients.subjects.is_empty() { verifier } else { Arc::new(SubjectVerifier::new(verifier, clients.subjects.clone())) })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::Certificate("there is no certificate in the PEM file".into())),
        Err(error) => Err(Error::Certificate(format!("a certificate cannot be read as PEM: {error}"))),
    }
}

/// What a handshake settled, in CloudTrail's and IANA's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// IANA's name of the cipher suite.
    pub cipher_suite: String,
    /// The group of the key exchange. Of a resumed session, that of the resumption.
    pub group: String,
}

impl TlsFacts {
    /// Reads them from a connection whose handshake is done.
    pub(crate) fn of(connection: &ServerConnection) -> TlsFacts {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let suite = suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1); // rustls' name of TLS_AES_256_GCM_SHA384 and its like
        let group = connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str()).unwrap_or_default();
        TlsFacts { version, cipher_suite: suite, group: group.to_owned() }
    }
}
