//! The HSM's calls with key pairs and MAC keys, and imports. They take 10 µs to seconds: the GIL is released meanwhile.

use clavero_hsm::spec::KeySpec;
use clavero_hsm::{Imported, KeyHandle};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::to_python;
use crate::hsm::{Binding, Hsm, NewKey, bound, canonical, hbkid, new_key};

type Bytes<'py> = Bound<'py, PyBytes>;

fn spec(name: &str) -> PyResult<KeySpec> {
    KeySpec::parse(name).map_err(to_python)
}

#[pymethods]
impl Hsm {
    fn sign<'py>(
        &self,
        py: Python<'py>,
        handle: u64,
        algorithm: &str,
        message_type: &str,
        message: &[u8],
    ) -> PyResult<Bytes<'py>> {
        let handle = KeyHandle::from_raw(handle);
        let signature = py.detach(|| self.inner.sign(handle, algorithm, message_type, message)).map_err(to_python)?;
        Ok(PyBytes::new(py, &signature))
    }

    #[allow(clippy::too_many_arguments)] // each is its own field of Verify
    fn verify(
        &self,
        py: Python<'_>,
        public_key: &[u8],
        spec: &str,
        algorithm: &str,
        message_type: &str,
        message: &[u8],
        signature: &[u8],
    ) -> PyResult<bool> {
        let spec = self::spec(spec)?;
        py.detach(|| self.inner.verify(public_key, spec, algorithm, message_type, message, signature)).map_err(to_python)
    }

    fn rsa_encrypt<'py>(&self, py: Python<'py>, public_key: &[u8], algorithm: &str, plaintext: &[u8]) -> PyResult<Bytes<'py>> {
        let ciphertext = py.detach(|| self.inner.rsa_encrypt(public_key, algorithm, plaintext)).map_err(to_python)?;
        Ok(PyBytes::new(py, &ciphertext))
    }

    fn rsa_decrypt<'py>(&self, py: Python<'py>, handle: u64, algorithm: &str, ciphertext: &[u8]) -> PyResult<Bytes<'py>> {
        let handle = KeyHandle::from_raw(handle);
        let plaintext = py.detach(|| self.inner.rsa_decrypt(handle, algorithm, ciphertext)).map_err(to_python)?;
        Ok(PyBytes::new(py, &plaintext))
    }

    fn generate_mac<'py>(&self, py: Python<'py>, handle: u64, algorithm: &str, message: &[u8]) -> PyResult<Bytes<'py>> {
        // A microsecond or two, like the single calls in `hsm`: not worth giving up the GIL.
        let mac = self.inner.generate_mac(KeyHandle::from_raw(handle), algorithm, message).map_err(to_python)?;
        Ok(PyBytes::new(py, &mac))
    }

    fn verify_mac(&self, handle: u64, algorithm: &str, message: &[u8], mac: &[u8]) -> PyResult<bool> {
        self.inner.verify_mac(KeyHandle::from_raw(handle), algorithm, message, mac).map_err(to_python)
    }

    fn derive_shared_secret<'py>(&self, py: Python<'py>, handle: u64, peer_public_key: &[u8]) -> PyResult<Bytes<'py>> {
        let handle = KeyHandle::from_raw(handle);
        let secret = py.detach(|| self.inner.derive_shared_secret(handle, peer_public_key)).map_err(to_python)?;
        Ok(PyBytes::new(py, &secret))
    }

    fn encapsulate<'py>(&self, py: Python<'py>, public_key: &[u8], spec: &str) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
        let spec = self::spec(spec)?;
        let (secret, ciphertext) = py.detach(|| self.inner.encapsulate(public_key, spec)).map_err(to_python)?;
        Ok((PyBytes::new(py, &secret[..]), PyBytes::new(py, &ciphertext)))
    }

    fn decapsulate<'py>(&self, py: Python<'py>, handle: u64, ciphertext: &[u8]) -> PyResult<Bytes<'py>> {
        let handle = KeyHandle::from_raw(handle);
        let secret = py.detach(|| self.inner.decapsulate(handle, ciphertext)).map_err(to_python)?;
        Ok(PyBytes::new(py, &secret[..]))
    }

    fn generate_data_key_pair<'py>(
        &self,
        py: Python<'py>,
        handle: u64,
        pair_spec: &str,
        context: Option<&Bound<'py, PyDict>>,
        with_plaintext: bool,
    ) -> PyResult<(Option<Bytes<'py>>, Bytes<'py>, Bytes<'py>)> {
        let mut context = canonical(context)?;
        let handle = KeyHandle::from_raw(handle);
        let pair = py
            .detach(|| self.inner.generate_data_key_pair(handle, pair_spec, &mut context, with_plaintext))
            .map_err(to_python)?;
        let private_key = pair.private_key.map(|private_key| PyBytes::new(py, &private_key));
        Ok((private_key, PyBytes::new(py, &pair.blob), PyBytes::new(py, &pair.public_key)))
    }

    fn create_wrapping_key<'py>(
        &self,
        py: Python<'py>,
        region: &str,
        purpose: &str,
        wrapping_spec: &str,
    ) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
        let key = py.detach(|| self.inner.create_wrapping_key(region, purpose, wrapping_spec)).map_err(to_python)?;
        Ok((PyBytes::new(py, &key.public_key), PyBytes::new(py, &key.sealed_private_key)))
    }

    #[allow(clippy::too_many_arguments)] // each is its own field of ImportKeyMaterial
    #[pyo3(signature = (region, purpose, sealed_private, wrapping_algorithm, wrapped, binding, hbkid = None))]
    fn import_key<'py>(
        &self,
        py: Python<'py>,
        region: &str,
        purpose: &str,
        sealed_private: &[u8],
        wrapping_algorithm: &str,
        wrapped: &[u8],
        binding: Binding,
        hbkid: Option<&[u8]>,
    ) -> PyResult<Taken<'py>> {
        let binding = bound(&binding);
        let hbkid = hbkid.map(self::hbkid).transpose()?;
        let imported = py
            .detach(|| self.inner.import_key(region, purpose, sealed_private, wrapping_algorithm, wrapped, &binding, hbkid))
            .map_err(to_python)?;
        Ok(taken(py, &imported))
    }

    fn import_plain_key<'py>(&self, py: Python<'py>, binding: Binding, material: &[u8], number: u32) -> PyResult<Taken<'py>> {
        let binding = bound(&binding);
        let imported = py.detach(|| self.inner.import_plain_key(&binding, material, number)).map_err(to_python)?;
        Ok(taken(py, &imported))
    }
}

/// HBKID, token, handle, public key, fingerprint.
type Taken<'py> = (Bytes<'py>, Bytes<'py>, u64, Option<Bytes<'py>>, Bytes<'py>);

fn taken<'py>(py: Python<'py>, imported: &Imported) -> Taken<'py> {
    let (hbkid, token, handle, public_key): NewKey<'py> = new_key(py, &imported.key);
    (hbkid, token, handle, public_key, PyBytes::new(py, &imported.fingerprint))
}
