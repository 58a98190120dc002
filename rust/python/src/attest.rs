//! Attestation documents, and the HSM's answers for their makers alone. The plaintext of an answer stays in Rust.

use std::collections::BTreeMap;

use clavero_attest::{Platform, Roots};
use clavero_hsm::blob::Blob;
use clavero_hsm::{KeyHandle, Recipient};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::{AttestationError, to_python};
use crate::hsm::{Hsm, canonical, check_size};

type Bytes<'py> = Bound<'py, PyBytes>;

fn refused(error: clavero_attest::Error) -> PyErr {
    match error {
        clavero_attest::Error::Hsm(error) => to_python(error),
        error => AttestationError::new_err(error.to_string()),
    }
}

#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct AttestationRoots {
    roots: Roots,
}

#[pymethods]
impl AttestationRoots {
    #[staticmethod]
    fn aws() -> PyResult<AttestationRoots> {
        Ok(AttestationRoots { roots: Roots::aws().map_err(refused)? })
    }

    #[staticmethod]
    fn parse(certificates: &[u8]) -> PyResult<AttestationRoots> {
        Ok(AttestationRoots { roots: Roots::parse(certificates).map_err(refused)? })
    }

    #[getter]
    fn fingerprints(&self) -> Vec<String> {
        self.roots.fingerprints()
    }
}

#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct Attestation {
    document: clavero_attest::Attestation,
    recipient: Recipient,
}

#[pymethods]
impl Attestation {
    #[getter]
    fn platform(&self) -> &'static str {
        match self.document.platform {
            Platform::NitroEnclave => "nitro-enclave",
            Platform::NitroTpm => "nitro-tpm",
        }
    }

    #[getter]
    fn module_id(&self) -> &str {
        &self.document.module_id
    }

    #[getter]
    fn timestamp(&self) -> u64 {
        self.document.timestamp
    }

    #[getter]
    fn pcrs<'py>(&self, py: Python<'py>) -> BTreeMap<u8, Bytes<'py>> {
        self.document.pcrs.iter().map(|(index, value)| (*index, PyBytes::new(py, value))).collect()
    }
}

#[pymethods]
impl Hsm {
    fn verify_attestation(&self, py: Python<'_>, document: &[u8], roots: &AttestationRoots, now: u64) -> PyResult<Attestation> {
        py.detach(|| {
            let document = clavero_attest::verify(&self.inner, &roots.roots, document, now).map_err(refused)?;
            let Some(public_key) = &document.public_key else {
                return Err(AttestationError::new_err("it has no public_key to encrypt the answer with"));
            };
            let recipient = Recipient::new(public_key)
                .map_err(|error| AttestationError::new_err(format!("{error}, so the answer cannot be encrypted with it")))?;
            Ok(Attestation { document, recipient })
        })
    }

    fn decrypt_for<'py>(
        &self,
        py: Python<'py>,
        attestation: &Attestation,
        handle: u64,
        blob: &[u8],
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bytes<'py>> {
        let mut context = canonical(context)?;
        let (handle, recipient) = (KeyHandle::from_raw(handle), &attestation.recipient);
        let blob = Blob::parse(blob).map_err(to_python)?;
        let envelope = py.detach(|| self.inner.decrypt_for(recipient, handle, &mut context, &blob)).map_err(to_python)?;
        Ok(PyBytes::new(py, &envelope))
    }

    fn rsa_decrypt_for<'py>(
        &self,
        py: Python<'py>,
        attestation: &Attestation,
        handle: u64,
        algorithm: &str,
        ciphertext: &[u8],
    ) -> PyResult<Bytes<'py>> {
        let (handle, recipient) = (KeyHandle::from_raw(handle), &attestation.recipient);
        let envelope = py.detach(|| self.inner.rsa_decrypt_for(recipient, handle, algorithm, ciphertext)).map_err(to_python)?;
        Ok(PyBytes::new(py, &envelope))
    }

    fn generate_data_key_for<'py>(
        &self,
        py: Python<'py>,
        attestation: &Attestation,
        handle: u64,
        size: usize,
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
        check_size(size)?;
        let mut context = canonical(context)?;
        let (handle, recipient) = (KeyHandle::from_raw(handle), &attestation.recipient);
        let (envelope, blob) =
            py.detach(|| self.inner.generate_data_key_for(recipient, handle, &mut context, size)).map_err(to_python)?;
        Ok((PyBytes::new(py, &envelope), PyBytes::new(py, &blob)))
    }

    fn generate_random_for<'py>(&self, py: Python<'py>, attestation: &Attestation, size: usize) -> PyResult<Bytes<'py>> {
        check_size(size)?;
        let envelope = py.detach(|| self.inner.generate_random_for(&attestation.recipient, size)).map_err(to_python)?;
        Ok(PyBytes::new(py, &envelope))
    }

    fn derive_shared_secret_for<'py>(
        &self,
        py: Python<'py>,
        attestation: &Attestation,
        handle: u64,
        peer_public_key: &[u8],
    ) -> PyResult<Bytes<'py>> {
        let (handle, recipient) = (KeyHandle::from_raw(handle), &attestation.recipient);
        let envelope =
            py.detach(|| self.inner.derive_shared_secret_for(recipient, handle, peer_public_key)).map_err(to_python)?;
        Ok(PyBytes::new(py, &envelope))
    }

    fn generate_data_key_pair_for<'py>(
        &self,
        py: Python<'py>,
        attestation: &Attestation,
        handle: u64,
        pair_spec: &str,
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bytes<'py>, Bytes<'py>, Bytes<'py>)> {
        let mut context = canonical(context)?;
        let (handle, recipient) = (KeyHandle::from_raw(handle), &attestation.recipient);
        let (envelope, pair) =
            py.detach(|| self.inner.generate_data_key_pair_for(recipient, handle, pair_spec, &mut context)).map_err(to_python)?;
        Ok((PyBytes::new(py, &envelope), PyBytes::new(py, &pair.blob), PyBytes::new(py, &pair.public_key)))
    }
}
