//! The HSM's single calls. They keep the GIL: each takes a microsecond or two, less than giving it up and taking it back.

use std::sync::Arc;

use clavero_hsm::batch::BatchError;
use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::message::MAX_DATA_KEY_LEN;
use clavero_hsm::{EncryptionContext, Error, Hbkid, KeyBinding, KeyHandle, MemoryPolicy};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::errors::{LimitError, to_python};
use crate::unseal::Unseal;

#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct Hsm {
    pub(crate) inner: Arc<clavero_hsm::Hsm>,
}

/// HBKID, token, handle, public key.
pub(crate) type NewKey<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, u64, Option<Bound<'py, PyBytes>>);

pub(crate) fn new_key<'py>(py: Python<'py>, key: &clavero_hsm::NewKey) -> NewKey<'py> {
    (
        PyBytes::new(py, &key.hbkid),
        PyBytes::new(py, &key.token),
        key.handle.to_raw(),
        key.public_key.as_ref().map(|public_key| PyBytes::new(py, public_key)),
    )
}

/// Region, account, key id, spec, usage, origin, whether multi-Region: a named tuple on the Python side.
pub(crate) type Binding = (PyBackedStr, PyBackedStr, PyBackedStr, PyBackedStr, PyBackedStr, PyBackedStr, bool);

pub(crate) fn bound((region, account, key_id, spec, usage, origin, multi_region): &Binding) -> KeyBinding<'_> {
    KeyBinding { region, account, key_id, spec, usage, origin, multi_region: *multi_region }
}

/// The pairs of `context`, canonical. Text that is not Unicode (lone surrogates) is refused.
pub(crate) fn canonical(context: Option<&Bound<'_, PyDict>>) -> PyResult<EncryptionContext> {
    let Some(context) = context else { return Ok(EncryptionContext::empty()) };
    let mut pairs = Vec::with_capacity(context.len());
    for (key, value) in context.iter() {
        pairs.push((text(key)?, text(value)?));
    }
    let mut borrowed = Vec::with_capacity(pairs.len());
    for (key, value) in &pairs {
        borrowed.push((utf8(key)?, utf8(value)?));
    }
    EncryptionContext::new(borrowed).map_err(to_python)
}

fn text(object: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyString>> {
    object.cast_into::<PyString>().map_err(|_| PyTypeError::new_err("the encryption context must map str to str"))
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str().map_err(|_| LimitError::new_err("the encryption context has text that is not valid Unicode"))
}

pub(crate) fn hbkid(bytes: &[u8]) -> PyResult<Hbkid> {
    Hbkid::try_from(bytes).map_err(|_| to_python(Error::InvalidToken))
}

/// A new bytes object of `len` bytes, filled by `fill`.
fn bytes_with<'py>(
    py: Python<'py>,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> clavero_hsm::Result<()>,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, len, |out| fill(out).map_err(to_python))
}

#[pymethods]
impl Hsm {
    #[staticmethod]
    #[pyo3(signature = (unseal, *, create, allow_insecure_memory = false))]
    fn open(py: Python<'_>, unseal: &Unseal, create: bool, allow_insecure_memory: bool) -> PyResult<Hsm> {
        let policy = MemoryPolicy { allow_insecure: allow_insecure_memory };
        // Argon2id, a command, or a person with a token: others go on meanwhile.
        let inner = py.detach(|| clavero_hsm::Hsm::open(&*unseal.provider, create, policy)).map_err(to_python)?;
        Ok(Hsm { inner: Arc::new(inner) })
    }

    fn seal(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.inner.seal()).map_err(to_python)
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.inner.status().map_err(to_python)?;
        let out = PyDict::new(py);
        out.set_item("memory", status.memory.level.name())?;
        out.set_item("arena_bytes", status.memory.arena_bytes)?;
        out.set_item("key_bytes", status.memory.key_bytes)?;
        out.set_item("libcrypto_memory", status.memory.libcrypto_level.name())?;
        out.set_item("libcrypto_overflow_bytes", status.memory.libcrypto_overflow_bytes)?;
        out.set_item("loaded_keys", status.loaded_keys)?;
        out.set_item("domains", status.domains.into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
        Ok(out)
    }

    fn create_domain<'py>(&self, py: Python<'py>, region: &str, now: u64) -> PyResult<Bound<'py, PyBytes>> {
        let record = py.detach(|| self.inner.create_domain(region, now)).map_err(to_python)?;
        Ok(PyBytes::new(py, &record))
    }

    fn load_domain(&self, py: Python<'_>, region: &str, record: &[u8]) -> PyResult<u64> {
        py.detach(|| self.inner.load_domain(region, record)).map_err(to_python)
    }

    fn stage_domain_rotation<'py>(&self, py: Python<'py>, region: &str, now: u64) -> PyResult<Bound<'py, PyBytes>> {
        let record = py.detach(|| self.inner.stage_domain_rotation(region, now)).map_err(to_python)?;
        Ok(PyBytes::new(py, &record))
    }

    fn stage_domain_retirement<'py>(
        &self,
        py: Python<'py>,
        region: &str,
        domain_key_ids: Vec<Vec<u8>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let ids = domain_key_ids.iter().map(|id| hbkid(id)).collect::<PyResult<Vec<_>>>()?;
        let record = py.detach(|| self.inner.stage_domain_retirement(region, &ids)).map_err(to_python)?;
        Ok(PyBytes::new(py, &record))
    }

    fn install_domain(&self, py: Python<'_>, region: &str) -> PyResult<()> {
        py.detach(|| self.inner.install_domain(region)).map_err(to_python)
    }

    fn discard_staged_domain(&self, py: Python<'_>, region: &str) -> PyResult<()> {
        py.detach(|| self.inner.discard_staged_domain(region)).map_err(to_python)
    }

    fn domain_keys<'py>(&self, py: Python<'py>, region: &str) -> PyResult<Vec<(Bound<'py, PyBytes>, bool, u64)>> {
        let keys = self.inner.domain_keys(region).map_err(to_python)?;
        Ok(keys.into_iter().map(|key| (PyBytes::new(py, &key.id), key.active, key.created)).collect())
    }

    fn generate_key<'py>(&self, py: Python<'py>, binding: Binding) -> PyResult<NewKey<'py>> {
        let binding = bound(&binding);
        let key = py.detach(|| self.inner.create_key(&binding)).map_err(to_python)?;
        Ok(new_key(py, &key))
    }

    fn load_key(&self, py: Python<'_>, token: &[u8], hbkid: &[u8], binding: Binding) -> PyResult<u64> {
        let binding = bound(&binding);
        let hbkid = self::hbkid(hbkid)?;
        py.detach(|| self.inner.load_key(token, &hbkid, &binding)).map(KeyHandle::to_raw).map_err(to_python)
    }

    fn rewrap_key<'py>(&self, py: Python<'py>, token: &[u8], hbkid: &[u8], binding: Binding) -> PyResult<Bound<'py, PyBytes>> {
        let binding = bound(&binding);
        let hbkid = self::hbkid(hbkid)?;
        let token = py.detach(|| self.inner.rewrap_key(token, &hbkid, &binding)).map_err(to_python)?;
        Ok(PyBytes::new(py, &token))
    }

    fn transfer_key<'py>(
        &self,
        py: Python<'py>,
        token: &[u8],
        hbkid: &[u8],
        binding: Binding,
        to_region: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let binding = bound(&binding);
        let hbkid = self::hbkid(hbkid)?;
        let token = py.detach(|| self.inner.transfer_key(token, &hbkid, &binding, to_region)).map_err(to_python)?;
        Ok(PyBytes::new(py, &token))
    }

    fn transfer_fingerprint<'py>(
        &self,
        py: Python<'py>,
        token: &[u8],
        hbkid: &[u8],
        binding: Binding,
        to_region: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let binding = bound(&binding);
        let hbkid = self::hbkid(hbkid)?;
        let fingerprint = py.detach(|| self.inner.transfer_fingerprint(token, &hbkid, &binding, to_region)).map_err(to_python)?;
        Ok(PyBytes::new(py, &fingerprint))
    }

    fn unload_key(&self, py: Python<'_>, handle: u64) -> PyResult<()> {
        py.detach(|| self.inner.unload_key(KeyHandle::from_raw(handle))).map_err(to_python)
    }

    fn evict_idle_keys(&self, py: Python<'_>) -> PyResult<usize> {
        crate::pages::release(); // batches' pages are idle, too
        py.detach(|| self.inner.evict_idle_keys()).map_err(to_python)
    }

    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        handle: u64,
        plaintext: &[u8],
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut context = canonical(context)?;
        bytes_with(py, blob_len(plaintext.len()), |out| {
            self.inner.encrypt(KeyHandle::from_raw(handle), &mut context, plaintext, out)
        })
    }

    fn decrypt<'py>(
        &self,
        py: Python<'py>,
        handle: u64,
        blob: &[u8],
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut context = canonical(context)?;
        let blob = Blob::parse(blob).map_err(to_python)?;
        bytes_with(py, blob.plaintext_len(), |out| self.inner.decrypt(KeyHandle::from_raw(handle), &mut context, &blob, out))
    }

    fn decrypt_unknown(&self, blob: &[u8], context: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let mut context = canonical(context)?;
        let blob = Blob::parse(blob).map_err(to_python)?;
        self.inner.decrypt_unknown(&mut context, &blob).map_err(to_python)
    }

    fn reencrypt<'py>(
        &self,
        py: Python<'py>,
        source: u64,
        blob: &[u8],
        source_context: Option<&Bound<'py, PyDict>>,
        destination: u64,
        destination_context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut source_context = canonical(source_context)?;
        let mut destination_context = canonical(destination_context)?;
        let blob = Blob::parse(blob).map_err(to_python)?;
        bytes_with(py, blob_len(blob.plaintext_len()), |out| {
            self.inner.reencrypt(
                (KeyHandle::from_raw(source), &mut source_context),
                &blob,
                (KeyHandle::from_raw(destination), &mut destination_context),
                out,
            )
        })
    }

    fn generate_data_key<'py>(
        &self,
        py: Python<'py>,
        handle: u64,
        size: usize,
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        check_size(size)?;
        let mut context = canonical(context)?;
        let mut blob = None;
        let plaintext = PyBytes::new_with(py, size, |plaintext| {
            blob = Some(bytes_with(py, blob_len(size), |out| {
                self.inner.generate_data_key(KeyHandle::from_raw(handle), &mut context, plaintext, out)
            })?);
            Ok(())
        })?;
        let blob = blob.ok_or_else(|| to_python(Error::Internal("a data key's blob")))?;
        Ok((plaintext, blob))
    }

    fn generate_data_key_without_plaintext<'py>(
        &self,
        py: Python<'py>,
        handle: u64,
        size: usize,
        context: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        check_size(size)?;
        let mut context = canonical(context)?;
        bytes_with(py, blob_len(size), |out| {
            self.inner.generate_data_key_without_plaintext(KeyHandle::from_raw(handle), &mut context, size, out)
        })
    }

    fn generate_random<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        check_size(size)?;
        bytes_with(py, size, |out| self.inner.generate_random(out))
    }

    fn seal_opaque<'py>(&self, py: Python<'py>, region: &str, purpose: &str, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let sealed = self.inner.seal_opaque(region, purpose, data).map_err(to_python)?;
        Ok(PyBytes::new(py, &sealed))
    }

    fn create_access_secret<'py>(&self, py: Python<'py>, region: &str, access_key_id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let purpose = clavero_edge::keyring::purpose(access_key_id);
        let sealed = self.inner.create_access_secret(region, &purpose).map_err(to_python)?;
        Ok(PyBytes::new(py, &sealed))
    }

    fn create_session(&self, region: &str, access_key_id: &str, claims: &[u8]) -> PyResult<(String, String)> {
        let (token, secret) =
            clavero_edge::keyring::create_session(&self.inner, region, access_key_id, claims).map_err(to_python)?;
        Ok((token, secret.to_string()))
    }

    fn open_opaque<'py>(&self, py: Python<'py>, region: &str, purpose: &str, sealed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let data = self.inner.open_opaque(region, purpose, sealed).map_err(to_python)?;
        Ok(PyBytes::new(py, &data))
    }
}

/// Before a buffer is made: a size from a caller must not decide about memory.
pub(crate) fn check_size(size: usize) -> PyResult<()> {
    if (1..=MAX_DATA_KEY_LEN).contains(&size) {
        Ok(())
    } else {
        Err(LimitError::new_err(format!("the size must be between 1 and {MAX_DATA_KEY_LEN} bytes, not {size}")))
    }
}

/// The HBKID that a ciphertext blob names.
#[pyfunction]
pub(crate) fn blob_key<'py>(py: Python<'py>, blob: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let blob = Blob::parse(blob).map_err(to_python)?;
    Ok(PyBytes::new(py, blob.hbkid()))
}

#[pyfunction]
pub(crate) fn token_domain_key<'py>(py: Python<'py>, token: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let id = clavero_hsm::token_domain_key(token).map_err(to_python)?;
    Ok(PyBytes::new(py, &id))
}

#[pyfunction]
pub(crate) fn material_id(hbkid: &[u8]) -> PyResult<String> {
    Ok(clavero_hsm::material_id(&self::hbkid(hbkid)?))
}

#[pyfunction]
pub(crate) fn request_id() -> PyResult<String> {
    clavero_hsm::request_id().map_err(to_python)
}

/// A refusal of one message, for the modules that build batches.
pub(crate) fn refused(index: usize, error: Error) -> BatchError {
    BatchError { index: Some(index), error }
}
