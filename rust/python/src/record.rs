//! The audit record of a usual call as one line of JSON. `clavero.audit.record` says what a record is, and renders all that is not usual.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyString, PyTuple};

use crate::json::push_quoted;

/// Bytes of a string, items of a map, bytes of the members: beyond them Python cuts.
const MAX_STRING: usize = 32_768;
const MAX_ITEMS: usize = 1_000;
const MAX_MEMBERS: usize = 65_536;

/// Head, middle and tail of the line, the prefixes of the request's members, and those of the answer's.
type Fragments<'py> = (Bound<'py, PyString>, Bound<'py, PyString>, Bound<'py, PyString>, Bound<'py, PyDict>, Bound<'py, PyAny>);

/// The line with its newline; None where the record holds what is not usual, for Python to render.
///
/// `fragments` are what the records of one operation and principal share; of `params` the members that `allowed` names are written,
/// each behind its prefix.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // a record has many facts
#[pyo3(signature = (fragments, instant, source_ip, user_agent, params, request_id, event_id, resources, transport))]
pub(crate) fn record_line<'py>(
    py: Python<'py>,
    fragments: Fragments<'py>,
    instant: &Bound<'py, PyString>,
    source_ip: &Bound<'py, PyString>,
    user_agent: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    request_id: &Bound<'py, PyString>,
    event_id: &Bound<'py, PyString>,
    resources: &Bound<'py, PyTuple>,
    transport: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyBytes>> {
    let (head, middle, tail, allowed, _) = fragments;
    let mut out = String::with_capacity(2048);
    out.push_str(head.to_str().ok()?);
    out.push_str(instant.to_str().ok()?);
    out.push_str(middle.to_str().ok()?);
    push_string(&mut out, source_ip)?;
    out.push_str(",\"userAgent\":");
    push_string(&mut out, user_agent)?;
    out.push_str(",\"requestParameters\":");
    push_members(&mut out, params, &allowed)?;
    out.push_str(",\"responseElements\":null,");
    let connection = match transport.is_none() {
        true => None,
        false => Some(Connection::of(transport)?),
    };
    if let Some(trace) = connection.as_ref().and_then(|connection| connection.trace.as_ref()) {
        out.push_str("\"additionalEventData\":{\"traceparent\":");
        push_string(&mut out, trace)?;
        out.push_str("},");
    }
    out.push_str("\"requestID\":");
    push_string(&mut out, request_id)?;
    out.push_str(",\"eventID\":");
    push_string(&mut out, event_id)?;
    out.push_str(",\"resources\":[");
    for (index, arn) in resources.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_resource(&mut out, short(&arn)?);
    }
    let tail = tail.to_str().ok()?;
    match connection {
        None => out.push_str(tail),
        Some(connection) => {
            out.push_str(tail.strip_suffix('}')?);
            connection.push(&mut out)?;
            out.push('}');
        }
    }
    out.push('\n');
    Some(PyBytes::new(py, out.as_bytes()))
}

/// A string that is written whole.
fn short<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok().filter(|text| text.len() <= MAX_STRING)
}

fn push_string(out: &mut String, value: &Bound<'_, PyAny>) -> Option<()> {
    push_quoted(out, short(value)?);
    Some(())
}

fn push_members(out: &mut String, params: &Bound<'_, PyAny>, allowed: &Bound<'_, PyDict>) -> Option<()> {
    if params.is_none() {
        out.push_str("null");
        return Some(());
    }
    let begin = out.len();
    for (name, value) in params.cast_exact::<PyDict>().ok()? {
        let Some(prefix) = allowed.get_item(&name).ok()? else { continue };
        if value.is_none() {
            continue;
        }
        out.push(if out.len() == begin { '{' } else { ',' });
        out.push_str(prefix.cast::<PyString>().ok()?.to_str().ok()?);
        if let Ok(truth) = value.cast::<PyBool>() {
            out.push_str(if truth.is_true() { "true" } else { "false" });
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            out.push_str(&number.extract::<i64>().ok()?.to_string());
        } else if let Ok(map) = value.cast_exact::<PyDict>() {
            // The names in an encryption context are the caller's own; those of other maps are written in another case.
            if !short(&name)?.contains("EncryptionContext") || map.len() > MAX_ITEMS {
                return None;
            }
            out.push('{');
            for (index, (key, each)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_string(out, &key)?;
                out.push(':');
                push_string(out, &each)?;
            }
            out.push('}');
        } else {
            push_string(out, &value)?;
        }
    }
    if out.len() == begin {
        out.push_str("null");
    } else if out.len() - begin > MAX_MEMBERS {
        return None;
    } else {
        out.push('}');
    }
    Some(())
}

fn push_resource(out: &mut String, arn: &str) {
    let mut parts = arn.splitn(6, ':').skip(4);
    let (account, name) = match (parts.next(), parts.next()) {
        (Some(account), Some(name)) => (account, name),
        _ => ("", ""),
    };
    out.push_str("{\"accountId\":");
    push_quoted(out, account);
    out.push_str(if name.starts_with("alias/") {
        ",\"type\":\"AWS::KMS::Alias\",\"ARN\":"
    } else {
        ",\"type\":\"AWS::KMS::Key\",\"ARN\":"
    });
    push_quoted(out, arn);
    out.push('}');
}

/// What is written of a connection.
struct Connection<'py> {
    tls: Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    group: Option<Bound<'py, PyAny>>,
    endpoint: Option<Bound<'py, PyAny>>,
    host: Bound<'py, PyAny>,
    trace: Option<Bound<'py, PyAny>>,
}

impl<'py> Connection<'py> {
    /// Of TLS version, cipher suite, group, VPC endpoint, VPC, Host header, traceparent.
    fn of(transport: &Bound<'py, PyAny>) -> Option<Connection<'py>> {
        let values: Vec<_> = transport.cast::<PyTuple>().ok()?.iter().collect();
        let [version, suite, group, endpoint, _, host, trace] = <[_; 7]>::try_from(values).ok()?;
        let there = |value: Bound<'py, PyAny>| (!value.is_none()).then_some(value);
        Some(Connection {
            tls: there(version).zip(there(suite)),
            group: there(group),
            endpoint: there(endpoint),
            host,
            trace: there(trace),
        })
    }

    /// vpcEndpointId and tlsDetails.
    fn push(&self, out: &mut String) -> Option<()> {
        if let Some(endpoint) = &self.endpoint {
            out.push_str(",\"vpcEndpointId\":");
            push_string(out, endpoint)?;
        }
        let Some((version, suite)) = &self.tls else { return Some(()) };
        out.push_str(",\"tlsDetails\":{\"tlsVersion\":");
        push_string(out, version)?;
        out.push_str(",\"cipherSuite\":");
        push_string(out, suite)?;
        out.push_str(",\"clientProvidedHostHeader\":");
        push_string(out, &self.host)?;
        if let Some(group) = &self.group
            && !short(group)?.is_empty()
        {
            out.push_str(",\"keyExchange\":");
            push_string(out, group)?;
        }
        out.push('}');
        Some(())
    }
}
