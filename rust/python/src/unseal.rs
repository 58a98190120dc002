//! Unseal providers for Python.

use std::ffi::OsString;
use std::path::PathBuf;

use clavero_hsm::EphemeralRoot;
use clavero_unseal::{Command, Environment, KeyFile, Passphrase, UnsealProvider};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::errors::UnsealError;

#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct Unseal {
    pub(crate) provider: Box<dyn UnsealProvider>,
}

impl Unseal {
    fn of(provider: impl UnsealProvider + 'static) -> Unseal {
        Unseal { provider: Box::new(provider) }
    }
}

#[pymethods]
impl Unseal {
    #[staticmethod]
    fn key_file(path: PathBuf) -> Unseal {
        Unseal::of(KeyFile::new(path))
    }

    #[staticmethod]
    fn passphrase(passphrase: &Bound<'_, PyAny>, salt_path: PathBuf) -> PyResult<Unseal> {
        let bytes = if let Ok(text) = passphrase.cast::<PyString>() {
            text.to_str()?.as_bytes().to_vec()
        } else if let Ok(bytes) = passphrase.cast::<PyBytes>() {
            bytes.as_bytes().to_vec()
        } else {
            return Err(UnsealError::new_err("the passphrase must be str or bytes"));
        };
        Ok(Unseal::of(Passphrase::new(bytes, salt_path)))
    }

    #[staticmethod]
    fn environment(name: String) -> Unseal {
        Unseal::of(Environment::new(name))
    }

    #[staticmethod]
    fn command(argv: Vec<OsString>) -> Unseal {
        Unseal::of(Command::new(argv))
    }

    #[staticmethod]
    fn ephemeral() -> Unseal {
        Unseal::of(EphemeralRoot)
    }

    #[getter]
    fn description(&self) -> String {
        self.provider.describe()
    }

    fn __repr__(&self) -> String {
        format!("<Unseal by {}>", self.provider.describe())
    }
}
