//! Listeners: accept, handshake, serve; a bound on connections; an orderly end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::answer::Answer;
use crate::call::{Call, MAX_BODY};
use crate::error::{Error, Result};
use crate::http;
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::peer::{Listener, Peer};
use crate::proxy::{self, Origin};
use crate::refusal::Refusal;
use crate::tls::TlsFacts;

/// How much, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// How long a client may take for what comes before HTTP: a PROXY header, the TLS handshake.
    pub handshake: Duration,
    /// How long it may be idle, or take for a request's head.
    pub head: Duration,
    /// How long it may take for a body after the head, and how long it may take nothing of an answer.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16_384,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(20),
        }
    }
}

/// Whoever answers verified calls.
pub trait Backend: Send + Sync + 'static {
    /// Takes a call; the answer goes to `reply`. Must not block. A refusal where there is no room.
    fn submit(&self, call: Call, reply: oneshot::Sender<Answer>) -> std::result::Result<(), Refusal>;
}

/// How to serve.
pub struct Settings {
    /// Where.
    pub listeners: Vec<Listener>,
    /// How much, and for how long.
    pub limits: Limits,
    /// Threads for connections.
    pub threads: usize,
}

pub(crate) struct Shared {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_body: usize,
    pub(crate) limits: Limits,
    /// None: plain HTTP.
    tls: Option<RwLock<Arc<ServerConfig>>>,
    connections: AtomicUsize,
}

/// A running endpoint. Dropping it ends it at once; [`drain`](Self::drain) first for an orderly end.
pub struct Endpoint {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    draining: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Endpoint {
    /// Binds every listener, then serves. `tls` is None for plain HTTP, which only loopback addresses may have.
    pub fn start(
        settings: Settings,
        tls: Option<Arc<ServerConfig>>,
        keyring: Arc<Keyring>,
        backend: Box<dyn Backend>,
        metrics: Arc<Metrics>,
    ) -> Result<Endpoint> {
        if tls.is_none() {
            for listener in &settings.listeners {
                if !listener.address.ip().to_canonical().is_loopback() {
                    return Err(Error::Setting(format!(
                        "plain HTTP is for loopback addresses only, and {} is none: serve TLS there",
                        listener.address
                    )));
                }
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_name("clavero-edge")
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let shared = Arc::new(Shared {
            keyring,
            backend,
            metrics,
            max_body: MAX_BODY,
            limits: settings.limits,
            tls: tls.map(RwLock::new),
            connections: AtomicUsize::new(0),
        });
        let (draining, watcher) = watch::channel(false);
        // A listener that waits for a client holds the room for it: none may be without, however few connections there may be.
        let room = Arc::new(Semaphore::new(settings.limits.connections + settings.listeners.len().saturating_sub(1)));
        let mut addresses = Vec::new();
        let mut bound = Vec::new();
        for listener in settings.listeners {
            let address = listener.address;
            let socket = runtime.block_on(TcpListener::bind(address)).map_err(|error| Error::Listen(address, error))?;
            addresses.push(socket.local_addr().map_err(|error| Error::Listen(address, error))?);
            bound.push((socket, Arc::new(listener)));
        }
        for (socket, listener) in bound {
            runtime.spawn(accept(socket, listener, Arc::clone(&shared), Arc::clone(&room), watcher.clone()));
        }
        Ok(Endpoint { shared, addresses, draining, runtime: Some(runtime) })
    }

    /// Where it listens, in the order of the settings.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections that there may be.
    pub fn most_connections(&self) -> usize {
        self.shared.limits.connections
    }

    /// Takes another certificate (or CAs of clients) for connections from now on.
    pub fn replace_tls(&self, config: Arc<ServerConfig>) {
        if let Some(tls) = &self.shared.tls {
            *tls.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
    }

    /// Accepts nothing more, lets requests that arrived be answered, and waits for that; false when `patience` ended first.
    pub fn drain(&self, patience: Duration) -> bool {
        let _ = self.draining.send(true); // an error: no task is left
        let Some(runtime) = &self.runtime else { return true };
        runtime.block_on(async {
            let emptied = async {
                while self.connections() > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(patience, emptied).await.is_ok()
        })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

async fn accept(
    socket: TcpListener,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    mut draining: watch::Receiver<bool>,
) {
    loop {
        let permit = match Arc::clone(&room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                shared.metrics.connections_full();
                let room = tokio::select! {
                    biased; // the end of a connection at the end makes room for no other
                    _ = draining.wait_for(|draining| *draining) => return,
                    room = Arc::clone(&room).acquire_owned() => room,
                };
                let Ok(permit) = room else { return };
                permit
            }
        };
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (listener, shared, draining) = (Arc::clone(&listener), Arc::clone(&shared), draining.clone());
                shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _counted = Counted(Arc::clone(&shared));
                    connection(stream, address, listener, shared, draining).await;
                    drop(permit);
                });
            }
            // Out of descriptors, or a client that is gone: the next may do better, but not at once.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    mut draining: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    // Who asks and does not read would keep its connection, and what it was answered, for as long as it likes.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(shared.limits.body));
    let mut stream = Box::pin(stream);
    let mut address = address.ip();
    let give_up = tokio::time::Instant::now() + shared.limits.handshake;
    if listener.proxy_protocol {
        if !listener.trusts(address) {
            return; // it could name any address
        }
        match tokio::time::timeout_at(give_up, proxy::read(&mut stream)).await {
            Ok(Ok(Origin::Client(client))) => address = client,
            Ok(Ok(Origin::Proxy)) => {}
            _ => return,
        }
    }
    let config = match &shared.tls {
        None => {
            let peer = Arc::new(Peer { address, tls: None, listener, notes: OnceLock::new() });
            http::serve(stream, peer, shared, false, draining).await;
            return;
        }
        Some(tls) => Arc::clone(&tls.read().unwrap_or_else(PoisonError::into_inner)),
    };
    let handshake = tokio::time::timeout_at(give_up, TlsAcceptor::from(config).accept(stream));
    let stream = tokio::select! {
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return shared.metrics.handshake_failed("refused"),
            Err(_) => return shared.metrics.handshake_failed("timeout"),
        },
        _ = draining.wait_for(|draining| *draining) => return,
    };
    let connection = stream.get_ref().1;
    let facts = TlsFacts::of(connection);
    shared.metrics.handshake(&facts);
    let http2 = connection.alpn_protocol() == Some(b"h2");
    let peer = Arc::new(Peer { address, tls: Some(facts), listener, notes: OnceLock::new() });
    http::serve(stream, peer, shared, http2, draining).await;
}
