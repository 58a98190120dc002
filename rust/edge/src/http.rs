//! One connection's HTTP: bounded heads and bodies, bounded time for each, and one answer for each request.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};

use crate::answer::{refused, response};
use crate::call::{Protocol, verified};
use crate::listen::Shared;
use crate::peer::Peer;
use crate::refusal::Refusal;

/// An HTTP/2 connection without a sign of life is asked for one.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEAD_LIST: u32 = 32 * 1024;
/// Headers of a request: SDKs send a dozen.
const MAX_HEADERS: usize = 64;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Serves a connection until it ends, or has answered what it had asked when `draining` becomes true.
pub(crate) async fn serve<S>(stream: S, peer: Arc<Peer>, shared: Arc<Shared>, http2: bool, mut draining: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let handler = Arc::clone(&shared);
    let activity = Arc::new(Activity::default());
    let counter = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (shared, peer, running) = (Arc::clone(&handler), Arc::clone(&peer), Activity::begin(&counter));
        async move {
            let _running = running;
            Ok::<_, Infallible>(answer(&shared, &peer, request).await)
        }
    });
    let drained = async move {
        let _ = draining.wait_for(|draining| *draining).await; // an error: the endpoint is gone
    };
    tokio::pin!(drained);
    if http2 {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(64)
            .max_local_error_reset_streams(256)
            .max_header_list_size(MAX_HEAD_LIST)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .serve_connection(io, service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = &mut drained => {}
            () = activity.ended(shared.limits.head) => {}
        }
        connection.as_mut().graceful_shutdown();
        // A client that does not read what it was answered would keep the connection for ever.
        tokio::select! {
            _ = connection => {}
            () = activity.ended(shared.limits.head) => {}
        }
    } else {
        // Without pipeline_flush, under which answers that nobody takes gather as long as requests come.
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(shared.limits.head)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            // As AWS spells them. Some clients of KMS, libmongocrypt for one, know no `content-length`.
            .title_case_headers(true)
            .serve_connection(io, service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = &mut drained => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

/// The requests of a connection: HTTP/2 may keep one open with pings alone, or with no window for an answer, which is no reason to.
#[derive(Default)]
struct Activity {
    running: AtomicUsize,
    /// How often one began or ended.
    changes: AtomicUsize,
}

struct Running(Arc<Activity>);

impl Activity {
    fn begin(activity: &Arc<Activity>) -> Running {
        activity.running.fetch_add(1, Ordering::Relaxed);
        activity.changes.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(activity))
    }

    /// Waits until nothing ran, began or ended for `idle`.
    async fn ended(&self, idle: Duration) {
        loop {
            let before = self.changes.load(Ordering::Relaxed);
            tokio::time::sleep(idle).await;
            if self.running.load(Ordering::Relaxed) == 0 && self.changes.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }
}

async fn answer(shared: &Shared, peer: &Arc<Peer>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let protocol = Protocol::of(&parts.method, &parts.headers);
    let outcome = match received(shared, &parts.headers, body).await {
        Ok(body) => verified(&shared.keyring, peer, &parts, body, now()),
        Err(refusal) => Err(refusal),
    };
    let mut operation = "";
    let outcome = match outcome {
        Ok(call) => {
            operation = shared.metrics.operation(call.target.as_deref(), protocol);
            let (sender, receiver) = oneshot::channel();
            match shared.backend.submit(call, sender) {
                Ok(()) => receiver.await.map_err(|_| Refusal::internal()),
                Err(refusal) => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(answer) => {
            shared.metrics.answered(operation, answer.status, begun.elapsed());
            response(protocol, answer)
        }
        Err(refusal) => {
            shared.metrics.refused(refusal.kind);
            let mut response = response(protocol, refused(protocol, &refusal));
            if refusal.ends_connection() && parts.version < Version::HTTP_2 {
                // The rest of the body is not read, so that nothing can follow it.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// The whole body, bounded in bytes and time.
async fn received(shared: &Shared, headers: &http::HeaderMap, body: Incoming) -> Result<Bytes, Refusal> {
    let limit = shared.max_body;
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|len| len > limit as u64) {
        return Err(Refusal::too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(shared.limits.body, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large(limit)),
        Ok(Err(_)) => Err(Refusal::body()), // where the connection is gone, nobody reads this
        Err(_) => Err(Refusal::timeout()),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}
