//! The HTTPS endpoint for Python: access keys, certificates, listeners. Calls come back through `workers`.

mod certificates;
mod workers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clavero_edge::metrics::Metrics;
use clavero_edge::peer::{Listener, Network};
use clavero_edge::{Error, Limits, Settings};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pub(crate) use certificates::{Authority, TlsConfig};
use workers::{Callables, Workers};

use crate::errors::to_python;
use crate::hsm::Hsm;

fn refused(error: Error) -> PyErr {
    match error {
        Error::Hsm(error) => to_python(error),
        Error::Listen(_, ref cause) => PyOSError::new_err((cause.raw_os_error().unwrap_or(0), error.to_string())),
        error => PyValueError::new_err(error.to_string()),
    }
}

/// Access keys with their secrets under the HSM's shield.
#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct Keyring {
    inner: Arc<clavero_edge::Keyring>,
}

#[pymethods]
impl Keyring {
    #[new]
    fn new(hsm: &Hsm) -> PyResult<Keyring> {
        let inner = clavero_edge::Keyring::new(Arc::clone(&hsm.inner)).map_err(to_python)?;
        Ok(Keyring { inner: Arc::new(inner) })
    }

    fn put(&self, access_key_id: &str, account: &str, arn: &str, region: &str, sealed: &[u8]) -> PyResult<()> {
        self.inner.put(access_key_id, account, arn, region, sealed).map_err(to_python)
    }

    fn remove(&self, access_key_id: &str) -> bool {
        self.inner.remove(access_key_id)
    }

    fn status(&self) -> (usize, usize, u64, u64) {
        let status = self.inner.status();
        (status.access_keys, status.signing_keys, status.hits, status.misses)
    }
}

/// Address, VPC endpoint, VPC, trusted proxies, whether they speak PROXY protocol v2.
type ListenerTuple = (String, Option<String>, Option<String>, Vec<String>, bool);

fn listener((address, vpce, vpc, proxies, proxy_protocol): ListenerTuple) -> PyResult<Listener> {
    let address = address.parse().map_err(|_| PyValueError::new_err(format!("{address} is no address and port")))?;
    let networks = proxies.iter().map(|text| {
        Network::parse(text)
            .ok_or_else(|| PyValueError::new_err(format!("{text} is no address and no network such as 10.0.0.0/8")))
    });
    Ok(Listener { address, vpce, vpc, proxies: networks.collect::<PyResult<_>>()?, proxy_protocol })
}

struct Running {
    endpoint: clavero_edge::Endpoint,
    workers: Workers,
}

/// A running endpoint.
#[pyclass(frozen, module = "clavero._native")]
pub(crate) struct Endpoint {
    running: Mutex<Option<Running>>,
    metrics: Arc<Metrics>,
    addresses: Vec<String>,
}

impl Endpoint {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Endpoint {
    #[new]
    #[allow(clippy::too_many_arguments)] // of Python's, most by keyword
    #[pyo3(signature = (keyring, listeners, tls, caller, answer, hold, release, operations, *, limits, threads, workers))]
    fn new(
        py: Python<'_>,
        keyring: &Keyring,
        listeners: Vec<ListenerTuple>,
        tls: Option<&TlsConfig>,
        caller: Py<PyAny>,
        answer: Py<PyAny>,
        hold: Py<PyAny>,
        release: Py<PyAny>,
        operations: Vec<String>,
        limits: (usize, f64, f64, f64),
        threads: usize,
        workers: usize,
    ) -> PyResult<Endpoint> {
        let listeners = listeners.into_iter().map(listener).collect::<PyResult<Vec<_>>>()?;
        let metrics = Arc::new(Metrics::new(operations));
        let callables = Callables { caller, answer, hold, release };
        let (workers, backend) =
            Workers::start(callables, workers).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let (connections, handshake, head, body) = limits;
        let seconds = |value| {
            Duration::try_from_secs_f64(value).map_err(|_| PyValueError::new_err(format!("{value} is no number of seconds")))
        };
        let limits = Limits { connections, handshake: seconds(handshake)?, head: seconds(head)?, body: seconds(body)? };
        let settings = Settings { listeners, limits, threads };
        let tls = tls.map(|tls| Arc::clone(&tls.inner));
        let keyring = Arc::clone(&keyring.inner);
        let counters = Arc::clone(&metrics);
        let started = py.detach(|| clavero_edge::Endpoint::start(settings, tls, keyring, Box::new(backend), counters));
        let endpoint = match started {
            Ok(endpoint) => endpoint,
            Err(error) => {
                py.detach(|| workers.stop());
                return Err(refused(error));
            }
        };
        let addresses = endpoint.addresses().iter().map(ToString::to_string).collect();
        Ok(Endpoint { running: Mutex::new(Some(Running { endpoint, workers })), metrics, addresses })
    }

    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    fn replace_tls(&self, tls: &TlsConfig) {
        if let Some(running) = &*self.running() {
            running.endpoint.replace_tls(Arc::clone(&tls.inner));
        }
    }

    fn metrics(&self) -> String {
        let connections = |running: &Running| (running.endpoint.connections(), running.endpoint.most_connections());
        self.metrics.render(self.running().as_ref().map_or((0, 0), connections))
    }

    fn close(&self, py: Python<'_>, patience: f64) -> bool {
        let Some(Running { endpoint, workers }) = self.running().take() else { return true };
        // Without the GIL: the calls in flight need it.
        py.detach(move || {
            let drained = endpoint.drain(Duration::try_from_secs_f64(patience).unwrap_or_default());
            drop(endpoint);
            workers.stop();
            drained
        })
    }
}
