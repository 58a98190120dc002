//! Batches as Arrow arrays through the C data interface, without a copy.
#![allow(unsafe_code)] // a buffer over memory that an Arc keeps alive

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{ArrayRef, StructArray, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

use crate::buffer::{Memory, NativeBuffer};

/// A column: its name, its bytes, and either the offsets of its values or the one width that all have.
type Column<'py> = (String, Bound<'py, NativeBuffer>, Option<Bound<'py, NativeBuffer>>, Option<i32>);

/// The pair of capsules (`arrow_schema`, `arrow_array`) of a struct array with one binary column each; with a single column and
/// `unwrap`, of that column itself.
#[pyfunction]
#[pyo3(signature = (columns, length, unwrap = false))]
pub(crate) fn arrow_struct<'py>(
    py: Python<'py>,
    columns: Vec<Column<'py>>,
    length: usize,
    unwrap: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let mut fields = Vec::with_capacity(columns.len());
    for (name, data, offsets, width) in columns {
        let memory = Arc::clone(&data.get().memory);
        if memory.is_wiped() {
            return Err(PyValueError::new_err("the batch was wiped"));
        }
        let array = column(memory, offsets.map(|offsets| Arc::clone(&offsets.get().memory)), width, length).map_err(refused)?;
        fields.push((Arc::new(Field::new(name, array.data_type().clone(), false)), array));
    }
    let data = match fields.as_slice() {
        [(_, only)] if unwrap => only.to_data(),
        _ => StructArray::from(fields).into_data(),
    };
    let schema = FFI_ArrowSchema::try_from(data.data_type()).map_err(refused)?;
    let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
    let array = PyCapsule::new_with_value(py, FFI_ArrowArray::new(&data), c"arrow_array")?;
    PyTuple::new(py, [schema, array])
}

fn column(memory: Arc<Memory>, offsets: Option<Arc<Memory>>, width: Option<i32>, length: usize) -> Result<ArrayRef, ArrowError> {
    let data_type = match (&offsets, width) {
        (None, Some(width)) => DataType::FixedSizeBinary(width),
        _ => DataType::LargeBinary,
    };
    let mut builder = ArrayData::builder(data_type).len(length);
    if let Some(offsets) = offsets {
        builder = builder.add_buffer(buffer(offsets));
    }
    builder.add_buffer(buffer(memory)).align_buffers(true).build().map(make_array)
}

fn buffer(memory: Arc<Memory>) -> Buffer {
    let (start, len) = (memory.start(), memory.len());
    // SAFETY: the Arc that owns the bytes goes along, so they outlive the buffer. A wipe turns them into zeros under Arrow's eyes:
    // that is its purpose, and binary values have no invariant to break (offsets are never wiped before they are dropped).
    unsafe { Buffer::from_custom_allocation(start, len, memory) }
}

fn refused(error: ArrowError) -> PyErr {
    PyValueError::new_err(format!("the batch cannot be shown as an Arrow array: {error}"))
}
