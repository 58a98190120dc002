//! The HSM's batch calls: the GIL is released while they run, and results go straight into memory that Python then sees.

use std::num::NonZeroUsize;

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::{Error, KeyHandle};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::buffer::{Memory, NativeBuffer};
use crate::errors::{LimitError, batch_to_python, to_python};
use crate::hsm::{Hsm, canonical, check_size, refused};
use crate::inputs::Inputs;

/// Many byte strings, one after the other: the bytes, and where each ends (as native-endian 64-bit offsets, the first 0).
type Strings = (NativeBuffer, NativeBuffer);

fn threads(threads: Option<usize>) -> PyResult<NonZeroUsize> {
    match threads {
        None => Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        Some(threads) => NonZeroUsize::new(threads).ok_or_else(|| LimitError::new_err("threads must be at least 1")),
    }
}

#[pymethods]
impl Hsm {
    #[pyo3(signature = (handle, count, size, context, threads = None))]
    fn generate_data_keys(
        &self,
        py: Python<'_>,
        handle: u64,
        count: usize,
        size: usize,
        context: Option<&Bound<'_, PyDict>>,
        threads: Option<usize>,
    ) -> PyResult<(NativeBuffer, NativeBuffer)> {
        check_size(size)?;
        if !(1..=clavero_hsm::batch::MAX_BATCH).contains(&count) {
            return Err(LimitError::new_err(format!(
                "the number of keys must be between 1 and {}, not {count}",
                clavero_hsm::batch::MAX_BATCH
            )));
        }
        let context = canonical(context)?;
        let threads = self::threads(threads)?;
        let handle = KeyHandle::from_raw(handle);
        py.detach(|| {
            let mut blobs = None;
            let plaintext = Memory::filled(count * size, true, |plaintext| {
                blobs = Some(Memory::filled(count * blob_len(size), false, |out| {
                    self.inner.generate_data_keys(handle, &context, size, plaintext, out, threads).map_err(to_python)
                })?);
                Ok::<(), PyErr>(())
            })?;
            let blobs = blobs.ok_or_else(|| to_python(Error::Internal("a batch's blobs")))?;
            Ok((NativeBuffer { memory: plaintext }, NativeBuffer { memory: blobs }))
        })
    }

    #[pyo3(signature = (handle, plaintexts, context, threads = None))]
    fn encrypt_many(
        &self,
        py: Python<'_>,
        handle: u64,
        plaintexts: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyDict>>,
        threads: Option<usize>,
    ) -> PyResult<Strings> {
        let context = canonical(context)?;
        let threads = self::threads(threads)?;
        let inputs = Inputs::of(plaintexts)?;
        let plaintexts = inputs.slices()?;
        let handle = KeyHandle::from_raw(handle);
        py.detach(|| {
            let lengths = plaintexts.iter().map(|plaintext| blob_len(plaintext.len()));
            let offsets = offsets(lengths.clone())?;
            let blobs = Memory::filled(lengths.sum(), false, |out| {
                self.inner
                    .encrypt_many(handle, &context, &plaintexts, out, threads)
                    .map_err(|error| Python::attach(|py| batch_to_python(py, error)))
            })?;
            Ok((NativeBuffer { memory: blobs }, offsets))
        })
    }

    #[pyo3(signature = (handles, blobs, context, threads = None))]
    fn decrypt_many(
        &self,
        py: Python<'_>,
        handles: &Bound<'_, PyDict>,
        blobs: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyDict>>,
        threads: Option<usize>,
    ) -> PyResult<Strings> {
        let context = canonical(context)?;
        let threads = self::threads(threads)?;
        let handles: std::collections::HashMap<Vec<u8>, u64> = handles.extract()?;
        let inputs = Inputs::of(blobs)?;
        let blobs = inputs.slices()?;
        py.detach(|| {
            let fail = |error| Python::attach(|py| batch_to_python(py, error));
            let mut jobs = Vec::with_capacity(blobs.len());
            for (index, bytes) in blobs.iter().enumerate() {
                let blob = Blob::parse(bytes).map_err(|error| fail(refused(index, error)))?;
                let handle = handles.get(&blob.hbkid()[..]).ok_or_else(|| fail(refused(index, Error::InvalidCiphertext)))?;
                jobs.push((KeyHandle::from_raw(*handle), blob));
            }
            let lengths = jobs.iter().map(|(_, blob)| blob.plaintext_len());
            let offsets = offsets(lengths.clone())?;
            let plaintexts =
                Memory::filled(lengths.sum(), true, |out| self.inner.decrypt_many(&context, &jobs, out, threads).map_err(fail))?;
            Ok((NativeBuffer { memory: plaintexts }, offsets))
        })
    }

    /// The HBKIDs that `blobs` name, each once, in the order of their first use.
    fn blob_keys<'py>(&self, py: Python<'py>, blobs: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let inputs = Inputs::of(blobs)?;
        let blobs = inputs.slices()?;
        let mut seen = std::collections::HashSet::new();
        let mut keys = Vec::new();
        for (index, bytes) in blobs.iter().enumerate() {
            let blob = Blob::parse(bytes).map_err(|error| batch_to_python(py, refused(index, error)))?;
            if seen.insert(*blob.hbkid()) {
                keys.push(PyBytes::new(py, blob.hbkid()));
            }
        }
        Ok(keys)
    }
}

fn offsets(lengths: impl Iterator<Item = usize> + Clone) -> PyResult<NativeBuffer> {
    let count = lengths.clone().count() + 1;
    let memory = Memory::filled(count * 8, false, |out| {
        let mut end = 0u64;
        let mut slots = out.chunks_exact_mut(8);
        for length in std::iter::once(0).chain(lengths) {
            end += length as u64;
            if let Some(slot) = slots.next() {
                slot.copy_from_slice(&end.to_ne_bytes());
            }
        }
        Ok::<(), PyErr>(())
    })?;
    Ok(NativeBuffer { memory })
}
