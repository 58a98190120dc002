//! Many byte strings in one argument: a list or tuple, a 2-D array of bytes, or an Arrow binary array. None of them is copied.
#![allow(unsafe_code)] // views of Python buffers and of Arrow's C structures

use arrow_array::cast::AsArray;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::{Array, ArrayRef, make_array};
use arrow_schema::DataType;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyList, PyTuple};

/// The argument, held alive.
pub(crate) enum Inputs {
    List(Vec<PyBackedBytes>),
    Matrix { buffer: PyBuffer<u8>, rows: usize, columns: usize },
    Arrow(ArrayRef),
}

impl Inputs {
    pub(crate) fn of(argument: &Bound<'_, PyAny>) -> PyResult<Inputs> {
        if argument.is_instance_of::<PyList>() || argument.is_instance_of::<PyTuple>() {
            return argument.extract().map(Inputs::List).map_err(|_| PyTypeError::new_err("the list must hold bytes objects"));
        }
        if argument.hasattr("__arrow_c_array__")? {
            return arrow(argument).map(Inputs::Arrow);
        }
        matrix(argument)
    }

    /// The byte strings, in order.
    pub(crate) fn slices(&self) -> PyResult<Vec<&[u8]>> {
        match self {
            Inputs::List(list) => Ok(list.iter().map(|bytes| &**bytes).collect()),
            Inputs::Matrix { buffer, rows, columns } => {
                // SAFETY: the buffer is C-contiguous with rows * columns bytes (checked in `matrix`) and held by `self`. Python code
                // that writes to it from another thread meanwhile gets garbage encrypted, but reaches nothing else (pyca's buf.rs
                // admits the same of every bytes-like argument).
                let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), rows * columns) };
                Ok(bytes.chunks_exact((*columns).max(1)).collect())
            }
            Inputs::Arrow(array) => match array.data_type() {
                DataType::Binary => Ok(array.as_binary::<i32>().iter().flatten().collect()),
                DataType::LargeBinary => Ok(array.as_binary::<i64>().iter().flatten().collect()),
                DataType::FixedSizeBinary(_) => Ok(array.as_fixed_size_binary().iter().flatten().collect()),
                DataType::BinaryView => Ok(array.as_binary_view().iter().flatten().collect()),
                other => Err(PyTypeError::new_err(format!("the Arrow array must be of a binary type, not {other}"))),
            },
        }
    }
}

fn matrix(argument: &Bound<'_, PyAny>) -> PyResult<Inputs> {
    let expected = "expected a list of bytes, a 2-D uint8 array, or an Arrow binary array (combine the chunks of a chunked one)";
    let buffer = PyBuffer::<u8>::get(argument).map_err(|_| PyTypeError::new_err(expected))?;
    match *buffer.shape() {
        [rows, columns] if buffer.is_c_contiguous() => Ok(Inputs::Matrix { rows, columns, buffer }),
        [_, _] => Err(PyValueError::new_err("the array must be C-contiguous (numpy.ascontiguousarray makes it so)")),
        _ => Err(PyTypeError::new_err(expected)),
    }
}

fn arrow(argument: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let pair = argument.call_method0("__arrow_c_array__")?;
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = pair.extract()?;
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names hold these structures (Arrow PyCapsule interface). The array is moved out as the interface
    // prescribes (its release pointer becomes null, so the capsule does not release it again); the schema is only read.
    let data = unsafe {
        let array = FFI_ArrowArray::from_raw(array.as_ptr());
        from_ffi(array, schema.as_ref())
    };
    let array = make_array(data.map_err(|error| PyValueError::new_err(format!("the Arrow array cannot be read: {error}")))?);
    if array.null_count() > 0 {
        return Err(PyValueError::new_err("the Arrow array has nulls; every value must be there"));
    }
    Ok(array)
}
