//! `clavero._native`: the HSM for Python. A table of contents: conversion and the GIL are dealt with in the modules, the rest in
//! `clavero-hsm`, `clavero-attest` and `clavero-unseal`.
#![allow(missing_docs)] // the documentation of this interface is python/clavero/_native.pyi, which stubtest checks

mod arrow;
mod asymmetric;
mod attest;
mod batch;
mod buffer;
mod edge;
mod errors;
mod hsm;
mod inputs;
mod json;
mod pages;
mod record;
mod unseal;

use pyo3::prelude::*;

/// The HSM of Clavero.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::arrow::arrow_struct;
    #[pymodule_export]
    use crate::attest::{Attestation, AttestationRoots};
    #[pymodule_export]
    use crate::buffer::NativeBuffer;
    #[pymodule_export]
    use crate::edge::{Authority, Endpoint, Keyring, TlsConfig};
    #[pymodule_export]
    use crate::errors::{
        AttestationError, BatchFailure, ForkedError, HsmError, InsecureMemory, InvalidCiphertext, InvalidDomainState,
        InvalidToken, KeyNotLoaded, LimitError, SealedError, SelfTestFailed, UnsealError, WrongRootKey,
    };
    #[pymodule_export]
    use crate::hsm::{Hsm, blob_key, material_id, request_id, token_domain_key};
    #[pymodule_export]
    use crate::json::{read_json, write_json};
    #[pymodule_export]
    use crate::record::record_line;
    #[pymodule_export]
    use crate::unseal::Unseal;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("MAX_BATCH", clavero_hsm::batch::MAX_BATCH)?;
        module.add("BLOB_OVERHEAD", clavero_hsm::blob::blob_len(0))
    }
}
