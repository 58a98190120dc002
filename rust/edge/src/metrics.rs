//! Counts of what happens at the edge, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::call::Protocol;
use crate::refusal::Kind;
use crate::tls::TlsFacts;

/// Upper bounds of the latency histogram's buckets, in microseconds.
const BUCKETS: [u64; 12] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];
const OTHER: &str = "other";

/// The counters of one endpoint.
pub struct Metrics {
    operations: BTreeMap<String, PerOperation>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    handshakes: Mutex<BTreeMap<(&'static str, String), u64>>,
    failed_handshakes: Mutex<BTreeMap<&'static str, u64>>,
    full: AtomicU64,
}

#[derive(Default)]
struct PerOperation {
    ok: AtomicU64,
    client_error: AtomicU64,
    server_error: AtomicU64,
    microseconds: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
}

impl Metrics {
    /// Counters for these operations; whatever else is asked for is counted as one.
    pub fn new(operations: Vec<String>) -> Metrics {
        Metrics {
            operations: operations.into_iter().chain([OTHER.to_owned()]).map(|name| (name, PerOperation::default())).collect(),
            refused: Mutex::default(),
            handshakes: Mutex::default(),
            failed_handshakes: Mutex::default(),
            full: AtomicU64::new(0),
        }
    }

    /// The operation's name as a label: never a client's text.
    pub(crate) fn operation(&self, target: Option<&str>, protocol: Protocol) -> &str {
        if protocol == Protocol::Query {
            return OTHER;
        }
        let name = target.and_then(|target| target.split_once('.')).map_or("", |(_, name)| name);
        self.operations.get_key_value(name).map_or(OTHER, |(name, _)| name)
    }

    pub(crate) fn answered(&self, operation: &str, status: u16, took: Duration) {
        let Some(counters) = self.operations.get(operation) else { return };
        let counter = match status {
            0..=399 => &counters.ok,
            400..=499 => &counters.client_error,
            _ => &counters.server_error,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counters.microseconds.fetch_add(micros, Ordering::Relaxed);
        if let Some(at) = BUCKETS.iter().position(|bound| micros <= *bound) {
            counters.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn refused(&self, kind: Kind) {
        add(&self.refused, kind.label());
    }

    pub(crate) fn handshake(&self, facts: &TlsFacts) {
        add(&self.handshakes, (facts.version, facts.group.clone()));
    }

    pub(crate) fn handshake_failed(&self, why: &'static str) {
        add(&self.failed_handshakes, why);
    }

    /// No room for the next connection.
    pub(crate) fn connections_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, in Prometheus' text format (version 0.0.4). `connections` are those that there are, and may be.
    pub fn render(&self, connections: (usize, usize)) -> String {
        let mut out = String::with_capacity(4096);
        let _ = self.write(&mut out, connections); // writing to a String does not fail
        out
    }

    fn write(&self, out: &mut String, (connections, limit): (usize, usize)) -> std::fmt::Result {
        writeln!(
            out,
            "# HELP clavero_requests_total Answered calls by operation and result.\n# TYPE clavero_requests_total counter"
        )?;
        let used = || self.operations.iter().filter(|(_, counters)| counters.count() > 0);
        for (name, counters) in used() {
            for (result, counter) in
                [("ok", &counters.ok), ("client_error", &counters.client_error), ("server_error", &counters.server_error)]
            {
                let count = counter.load(Ordering::Relaxed);
                writeln!(out, "clavero_requests_total{{operation=\"{name}\",result=\"{result}\"}} {count}")?;
            }
        }
        writeln!(
            out,
            "# HELP clavero_request_seconds Time from a request's head to its answer.\n# TYPE clavero_request_seconds histogram"
        )?;
        for (name, counters) in used() {
            let mut sum = 0;
            for (bound, bucket) in BUCKETS.iter().zip(&counters.buckets) {
                sum += bucket.load(Ordering::Relaxed);
                let seconds = Duration::from_micros(*bound).as_secs_f64();
                writeln!(out, "clavero_request_seconds_bucket{{operation=\"{name}\",le=\"{seconds}\"}} {sum}")?;
            }
            let count = counters.count();
            writeln!(out, "clavero_request_seconds_bucket{{operation=\"{name}\",le=\"+Inf\"}} {count}")?;
            let total = Duration::from_micros(counters.microseconds.load(Ordering::Relaxed)).as_secs_f64();
            writeln!(out, "clavero_request_seconds_sum{{operation=\"{name}\"}} {total}")?;
            writeln!(out, "clavero_request_seconds_count{{operation=\"{name}\"}} {count}")?;
        }
        writeln!(
            out,
            "# HELP clavero_refused_total Requests refused before they were calls.\n# TYPE clavero_refused_total counter"
        )?;
        for (kind, count) in self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(out, "clavero_refused_total{{error=\"{kind}\"}} {count}")?;
        }
        writeln!(out, "# HELP clavero_handshakes_total TLS handshakes.\n# TYPE clavero_handshakes_total counter")?;
        for ((version, group), count) in self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(out, "clavero_handshakes_total{{version=\"{version}\",group=\"{group}\"}} {count}")?;
        }
        writeln!(
            out,
            "# HELP clavero_failed_handshakes_total TLS handshakes that failed.\n# TYPE clavero_failed_handshakes_total counter"
        )?;
        for (why, count) in self.failed_handshakes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(out, "clavero_failed_handshakes_total{{reason=\"{why}\"}} {count}")?;
        }
        writeln!(
            out,
            "# HELP clavero_connections Connections now.\n# TYPE clavero_connections gauge\nclavero_connections {connections}"
        )?;
        writeln!(
            out,
            "# HELP clavero_connections_limit Connections that there may be; more wait to be accepted.\n\
             # TYPE clavero_connections_limit gauge\nclavero_connections_limit {limit}"
        )?;
        let full = self.full.load(Ordering::Relaxed);
        writeln!(
            out,
            "# HELP clavero_connections_full_total How often there was no room to accept another.\n\
             # TYPE clavero_connections_full_total counter\nclavero_connections_full_total {full}"
        )
    }
}

impl PerOperation {
    fn count(&self) -> u64 {
        [&self.ok, &self.client_error, &self.server_error].iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

fn add<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) {
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
}
