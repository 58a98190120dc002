//! Memory that Rust owns and Python sees through the buffer protocol; wiped on request and when it is dropped.
#![allow(unsafe_code)] // the buffer protocol hands out raw pointers

use std::alloc::Layout;
use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors::out_of_memory;
use crate::pages::Pages;

/// Buffers of so many bytes and more get pages of their own.
const LARGE: usize = 1 << 20;

/// Bytes that stay where they are; secret ones are wiped when the last owner goes.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
    place: Place,
    secret: bool,
    wiped: AtomicBool,
}

/// Where the bytes are.
enum Place {
    Heap(Layout),
    /// None only once they were given back.
    Pages(Option<Pages>),
}

// SAFETY: plain bytes. As with any writable Python buffer, who writes while another reads gets torn bytes, no more.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory of `len` bytes, filled by `fill` before anyone else can see it. `fill` writes every byte: of what it does not write
    /// nothing is known but that it is no secret.
    ///
    /// Large memory's pages come to be where they are first written, on the threads that fill them.
    pub(crate) fn filled<E: From<PyErr>>(
        len: usize,
        secret: bool,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Arc<Memory>, E> {
        let (start, place) = Place::take(len).ok_or_else(|| out_of_memory(len))?;
        let memory = Memory { start, len, place, secret, wiped: AtomicBool::new(false) }; // given back also when `fill` fails
        // SAFETY: at least `len` initialised bytes, and nobody else has the pointer yet.
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
        if self.secret && !self.is_wiped() {
            self.wipe();
        }
        match &mut self.place {
            // SAFETY: allocated in `take` with this layout.
            Place::Heap(layout) => unsafe { std::alloc::dealloc(self.start.as_ptr(), *layout) },
            Place::Pages(pages) => {
                if let Some(pages) = pages.take() {
                    pages.give_back();
                }
            }
        }
    }
}

impl Place {
    fn take(len: usize) -> Option<(NonNull<u8>, Place)> {
        if len >= LARGE {
            return Pages::take(len).map(|pages| (pages.start(), Place::Pages(Some(pages))));
        }
        let layout = Layout::array::<u8>(len.max(1)).ok()?;
        // SAFETY: the layout has a size of at least one byte.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        Some((start, Place::Heap(layout)))
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
