//! What listeners show to clients, and whom they let in.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clavero_edge::tls::{self, Certificate, ClientAuthentication};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::refused;
use crate::hsm::Hsm;

/// A server's TLS configuration.
#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct TlsConfig {
    pub(super) inner: Arc<tls::ServerConfig>,
}

fn clients(authorities: Option<Vec<u8>>, subjects: Vec<String>) -> Option<ClientAuthentication> {
    authorities.map(|authorities| ClientAuthentication { authorities, subjects })
}

#[pymethods]
impl TlsConfig {
    #[staticmethod]
    #[pyo3(signature = (chain, key, *, client_authorities = None, client_subjects = Vec::new()))]
    fn from_pem(
        chain: &[u8],
        key: &[u8],
        client_authorities: Option<Vec<u8>>,
        client_subjects: Vec<String>,
    ) -> PyResult<TlsConfig> {
        let certificate = Certificate::from_pem(chain, key).map_err(refused)?;
        let clients = clients(client_authorities, client_subjects);
        Ok(TlsConfig { inner: tls::server_config(certificate, clients.as_ref()).map_err(refused)? })
    }
}

/// A CA that issues the server certificates of one deployment.
#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct Authority {
    inner: clavero_edge::authority::Authority,
}

#[pymethods]
impl Authority {
    #[staticmethod]
    fn create<'py>(py: Python<'py>, hsm: &Hsm, region: &str) -> PyResult<(Authority, String, Bound<'py, PyBytes>)> {
        let (inner, pem, sealed) = clavero_edge::authority::Authority::create(&hsm.inner, region, now()).map_err(refused)?;
        Ok((Authority { inner }, pem, PyBytes::new(py, &sealed)))
    }

    #[staticmethod]
    fn open(hsm: &Hsm, region: &str, certificate: &[u8], sealed: &[u8]) -> PyResult<Authority> {
        let inner = clavero_edge::authority::Authority::open(&hsm.inner, region, certificate, sealed, now()).map_err(refused)?;
        Ok(Authority { inner })
    }

    #[pyo3(signature = (hosts, *, client_authorities = None, client_subjects = Vec::new()))]
    fn issue(
        &self,
        hosts: Vec<String>,
        client_authorities: Option<Vec<u8>>,
        client_subjects: Vec<String>,
    ) -> PyResult<TlsConfig> {
        let certificate = self.inner.issue(&hosts, now()).map_err(refused)?;
        let clients = clients(client_authorities, client_subjects);
        Ok(TlsConfig { inner: tls::server_config(certificate, clients.as_ref()).map_err(refused)? })
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}
