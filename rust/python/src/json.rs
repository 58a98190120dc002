//! JSON to and from Python's values: what nearly every request and answer consists of. Whatever is unusual is left to Python's `json`.

use std::fmt;

use base64ct::{Base64, Encoding};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Objects and arrays inside one another: more is looked at in Python, which refuses what the service does not take.
const MAX_DEPTH: usize = 32;

/// The object that a body holds. None for whatever is not quite plainly one: no JSON, no object, a name twice, a number with a fraction or
/// beyond 64 bits, half a surrogate pair, deep nesting. Python's reader then says what it is.
#[pyfunction]
pub(crate) fn read_json<'py>(py: Python<'py>, body: &[u8]) -> Option<Bound<'py, PyDict>> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Value { py, depth: 0 }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    value.cast_into().ok()
}

#[derive(Clone, Copy)]
struct Value<'py> {
    py: Python<'py>,
    depth: usize,
}

impl<'py> Value<'py> {
    fn inside<E: serde::de::Error>(self) -> Result<Value<'py>, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("deep"));
        }
        Ok(Value { depth: self.depth + 1, ..self })
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a plain value") // nobody reads it; a float ends here
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.py, value).to_owned().into_any())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside()?;
        let list = PyList::empty(self.py);
        while let Some(item) = items.next_element_seed(inside)? {
            list.append(item).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside()?;
        let dict = PyDict::new(self.py);
        let mut count = 0;
        while let Some(name) = members.next_key_seed(Value { ..self })? {
            let value = members.next_value_seed(inside)?;
            dict.set_item(name, value).map_err(A::Error::custom)?;
            count += 1;
        }
        if dict.len() != count {
            return Err(A::Error::custom("a name twice"));
        }
        Ok(dict.into_any())
    }
}

/// A value as JSON in ASCII without spaces: bytes in base64, and what JSON does not have as `plain(value)` gives it.
#[pyfunction]
pub(crate) fn write_json<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    plain: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = String::with_capacity(1024);
    push(&mut out, value, plain)?;
    Ok(PyBytes::new(py, out.as_bytes()))
}

fn push(out: &mut String, value: &Bound<'_, PyAny>, plain: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(text) = value.cast::<PyString>() {
        return push_string(out, text);
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        push_base64(out, bytes.as_bytes());
        return Ok(());
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        out.push('{');
        for (index, (name, member)) in dict.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_string(out, name.cast::<PyString>().map_err(|_| PyTypeError::new_err("a member's name is no string"))?)?;
            out.push(':');
            push(out, &member, plain)?;
        }
        out.push('}');
        return Ok(());
    }
    if value.is_none() {
        out.push_str("null");
        return Ok(());
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        out.push_str(if truth.is_true() { "true" } else { "false" });
        return Ok(());
    }
    if value.cast::<PyInt>().is_ok() {
        out.push_str(&value.py().get_type::<PyInt>().call_method1("__repr__", (value,))?.extract::<String>()?);
        return Ok(());
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        if !number.value().is_finite() {
            return Err(PyValueError::new_err("JSON has no form for a number that is not finite"));
        }
        // Python's shortest form that reads back as the same number
        out.push_str(&value.py().get_type::<PyFloat>().call_method1("__repr__", (value,))?.extract::<String>()?);
        return Ok(());
    }
    if let Ok(list) = value.cast::<PyList>() {
        return push_items(out, list.iter(), plain);
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return push_items(out, tuple.iter(), plain);
    }
    push(out, &plain.call1((value,))?, plain)
}

fn push_items<'py>(out: &mut String, items: impl Iterator<Item = Bound<'py, PyAny>>, plain: &Bound<'py, PyAny>) -> PyResult<()> {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(out, &item, plain)?;
    }
    out.push(']');
    Ok(())
}

/// In constant time: it may be a data key.
fn push_base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    out.push_str(&Base64::encode_string(bytes));
    out.push('"');
}

fn push_string(out: &mut String, text: &Bound<'_, PyString>) -> PyResult<()> {
    match text.to_str() {
        Ok(text) => push_quoted(out, text),
        Err(_) => {
            // Half a surrogate pair, which UTF-8 does not have. JSON's escapes do.
            static QUOTE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let quote = QUOTE.import(text.py(), "json.encoder", "encode_basestring_ascii")?;
            out.push_str(&quote.call1((text,))?.extract::<String>()?);
        }
    }
    Ok(())
}

/// A string of JSON in printable ASCII, as Python's `json` writes it.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        if let Some(c) = chars.next() {
            push_escaped(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn push_escaped(out: &mut String, c: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        _ => "",
    };
    if !short.is_empty() {
        out.push_str(short);
        return;
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from(HEX[usize::from(*unit >> shift & 15)]));
        }
    }
}
