//! The HSM's errors as Python exceptions: one class a kind, mapped in one place.

use clavero_hsm::Error;
use clavero_hsm::batch::BatchError;
use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::{PyErr, create_exception};

create_exception!(clavero._native, HsmError, PyException, "The HSM refused a call.");
create_exception!(clavero._native, InvalidCiphertext, HsmError, "No key here opens this ciphertext under this context.");
create_exception!(clavero._native, LimitError, HsmError, "A length, count or size outside what the call takes.");
create_exception!(clavero._native, KeyNotLoaded, HsmError, "The handle's key is not loaded (any more).");
create_exception!(clavero._native, InvalidToken, HsmError, "A stored token does not open as this key's.");
create_exception!(clavero._native, InvalidDomainState, HsmError, "A stored domain state was changed.");
create_exception!(clavero._native, WrongRootKey, HsmError, "The root key is not the one that sealed the store.");
create_exception!(clavero._native, SealedError, HsmError, "The HSM was sealed.");
create_exception!(clavero._native, ForkedError, SealedError, "This process is a fork of the one that opened the HSM.");
create_exception!(clavero._native, InsecureMemory, HsmError, "Memory cannot be protected as the policy demands.");
create_exception!(clavero._native, SelfTestFailed, HsmError, "The HSM is in its error state.");
create_exception!(clavero._native, UnsealError, HsmError, "An unseal provider could not give the root key.");
create_exception!(clavero._native, AttestationError, HsmError, "An attestation document, or a root certificate, is refused.");
create_exception!(clavero._native, BatchFailure, HsmError, "args: (index of the message, the error of that message).");

/// The exception of an HSM error.
pub(crate) fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::InvalidCiphertext => InvalidCiphertext::new_err(message),
        Error::Limit(_) => LimitError::new_err(message),
        Error::KeyNotLoaded => KeyNotLoaded::new_err(message),
        Error::InvalidToken => InvalidToken::new_err(message),
        Error::InvalidDomainState(_) => InvalidDomainState::new_err(message),
        Error::WrongRootKey => WrongRootKey::new_err(message),
        Error::Sealed => SealedError::new_err(message),
        Error::Forked => ForkedError::new_err(message),
        Error::InsecureMemory(_) => InsecureMemory::new_err(message),
        Error::SelfTest(_) => SelfTestFailed::new_err(message),
        Error::Unseal(_) => UnsealError::new_err(message),
        _ => HsmError::new_err(message),
    }
}

/// The exception of a batch: [`BatchFailure`] where one message is to blame, else the error itself.
pub(crate) fn batch_to_python(py: Python<'_>, error: BatchError) -> PyErr {
    match error.index {
        Some(index) => BatchFailure::new_err((index, to_python(error.error).into_value(py))),
        None => to_python(error.error),
    }
}

pub(crate) fn out_of_memory(bytes: usize) -> PyErr {
    PyMemoryError::new_err(format!("cannot allocate {bytes} bytes"))
}
