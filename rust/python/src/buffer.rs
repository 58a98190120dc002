//! Memory that Rust owns and Python sees through the buffer protocol; wiped on request and when it is dropped.
#![allow(unsafe_code)] // the buffer protocol hands out raw pointers

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors::out_of_memory;

/// Bytes on the heap that stay where they are, wiped when the last owner goes.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
    wiped: AtomicBool,
}

// SAFETY: plain bytes. As with any writable Python buffer, who writes while another reads gets torn bytes, no more.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed memory of `len` bytes, filled by `fill` before anyone else can see it.
    pub(crate) fn filled<E: From<PyErr>>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Arc<Memory>, E> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| out_of_memory(len))?;
        bytes.resize(len, 0);
        let boxed: Box<[u8]> = bytes.into_boxed_slice();
        let start = NonNull::from(Box::leak(boxed)).cast::<u8>();
        let memory = Memory { start, len, wiped: AtomicBool::new(false) };
        // SAFETY: freshly allocated, `len` bytes, and nobody else has the pointer yet.
        fill(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) })?;
        Ok(Arc::new(memory))
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_wiped(&self) -> bool {
        self.wiped.load(Ordering::Acquire)
    }

    pub(crate) fn wipe(&self) {
        // SAFETY: the allocation is ours and alive; views of it see zeros from now on, which is what wiping means.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) };
        zeroize::Zeroize::zeroize(bytes);
        self.wiped.store(true, Ordering::Release);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.wipe();
        // SAFETY: start and len came from Box::leak of exactly this slice.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.len)) });
    }
}

#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct NativeBuffer {
    pub(crate) memory: Arc<Memory>,
}

#[pymethods]
impl NativeBuffer {
    fn wipe(&self) {
        self.memory.wipe();
    }

    #[getter]
    fn wiped(&self) -> bool {
        self.memory.is_wiped()
    }

    fn __len__(&self) -> usize {
        self.memory.len()
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view given"));
        }
        let memory = Arc::clone(&slf.get().memory);
        let len = ffi::Py_ssize_t::try_from(memory.len())?;
        // SAFETY: the view is the interpreter's; the memory lives as long as the object that the view holds a reference to.
        let done = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), memory.start().as_ptr().cast(), len, 0, flags) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {}
}
