//! Threads that carry verified calls into Python. One thread holds the GIL for a batch of short calls, so that the lock changes hands
//! once for many of them; calls that may take long (they make key pairs, or wait for the disk) have threads of their own.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use clavero_edge::call::Protocol;
use clavero_edge::peer::Peer;
use clavero_edge::{Answer, Backend, Call, Identity, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use tokio::sync::oneshot;

/// Calls that wait: beyond it they are refused, which is better than an answer after the client has gone.
const MAX_WAITING: usize = 4096;
/// Short calls that are answered under one hold of the GIL.
const BATCH: usize = 32;
/// Threads for calls that may take long.
const LONG_THREADS: usize = 8;
/// Operations of the data plane: no write, no key pair.
const SHORT: [&str; 11] = [
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "ReEncrypt",
    "Sign",
    "Verify",
    "VerifyMac",
];

/// Calls whose audit records are written in one go, before any of them is answered. A write to the file costs as much as a third of such a
/// call; more of them at a time would leave the threads of the connections with nothing to do meanwhile.
const GROUP: usize = 8;
/// Of the short operations those that take microseconds, unless they are RSA's: an answer waits for the calls of its group.
const QUICK: [&str; 9] = [
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "ReEncrypt",
    "VerifyMac",
];
/// A body that names an algorithm of RSA has this in it. One that hides it in JSON's escapes has others wait for it, and nothing else.
const RSA: &[u8] = b"RSAES";
/// Larger bodies take longer than others should wait.
const QUICK_BODY: usize = 8192;

struct Job {
    call: Call,
    quick: bool,
    reply: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Waiting {
    short: VecDeque<Job>,
    long: VecDeque<Job>,
    stopped: bool,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    short_came: Condvar,
    long_came: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next calls; none when the queue was stopped.
    fn take(&self, short: bool, out: &mut Vec<Job>) {
        let mut waiting = self.lock();
        loop {
            let Waiting { short: shorts, long, stopped } = &mut *waiting;
            let (jobs, most) = if short { (shorts, BATCH) } else { (long, 1) };
            if !jobs.is_empty() {
                let count = jobs.len().min(most);
                out.extend(jobs.drain(..count));
                return;
            }
            if *stopped {
                return;
            }
            let came = if short { &self.short_came } else { &self.long_came };
            waiting = came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The threads.
pub(super) struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// The way to them.
pub(super) struct ToPython {
    queue: Arc<Queue>,
}

/// What is called in Python.
pub(super) struct Callables {
    /// `caller(access_key_id, account, arn, region, claims)` gives what `answer` gets of the sender, once for each Region.
    pub(super) caller: Py<PyAny>,
    /// `answer(protocol, caller, target, content_type, body, user_agent, source, host, trace, connection)` gives status, request id, body.
    pub(super) answer: Py<PyAny>,
    /// `hold()`: records of this thread's calls wait from now on.
    pub(super) hold: Py<PyAny>,
    /// `release()` writes them; it gives status and body of what every call since `hold` gets if that failed.
    pub(super) release: Py<PyAny>,
}

impl Workers {
    /// Starts `workers` threads for short calls, and some for others.
    pub(super) fn start(callables: Callables, workers: usize) -> std::io::Result<(Workers, ToPython)> {
        let queue = Arc::new(Queue::default());
        let callables = Arc::new(callables);
        let mut made = Workers { queue: Arc::clone(&queue), threads: Vec::new() };
        for index in 0..workers.max(1) + LONG_THREADS {
            let short = index < workers.max(1);
            let (queue, callables) = (Arc::clone(&queue), Arc::clone(&callables));
            let thread = std::thread::Builder::new().name(format!("clavero-{}{index}", if short { "call" } else { "long" }));
            // A thread that cannot be had: those that there are end when `made` is stopped.
            match thread.spawn(move || work(&queue, &callables, short)) {
                Ok(thread) => made.threads.push(thread),
                Err(error) => {
                    made.stop();
                    return Err(error);
                }
            }
        }
        Ok((made, ToPython { queue }))
    }

    /// Answers what waits, then ends the threads. Call it without the GIL.
    pub(super) fn stop(self) {
        self.queue.lock().stopped = true;
        self.queue.short_came.notify_all();
        self.queue.long_came.notify_all();
        for thread in self.threads {
            let _ = thread.join(); // a panic in one was printed by it
        }
    }
}

impl Backend for ToPython {
    fn submit(&self, call: Call, reply: oneshot::Sender<Answer>) -> Result<(), Refusal> {
        let name = match call.protocol {
            Protocol::Json => call.target.as_deref().and_then(|target| target.split_once('.')).map_or("", |(_, name)| name),
            _ => "",
        };
        let short = SHORT.contains(&name);
        let quick =
            QUICK.contains(&name) && call.body.len() <= QUICK_BODY && !call.body.windows(RSA.len()).any(|window| window == RSA);
        let mut waiting = self.queue.lock();
        if waiting.stopped || waiting.short.len() + waiting.long.len() >= MAX_WAITING {
            return Err(Refusal::unavailable());
        }
        let (jobs, came) =
            if short { (&mut waiting.short, &self.queue.short_came) } else { (&mut waiting.long, &self.queue.long_came) };
        jobs.push_back(Job { call, quick, reply });
        drop(waiting);
        came.notify_one();
        Ok(())
    }
}

fn work(queue: &Queue, callables: &Callables, short: bool) {
    // Attached for the thread's life, and detached while it waits: a Python thread state is made once.
    Python::attach(|py| {
        let mut jobs = Vec::with_capacity(BATCH);
        let mut group = Vec::with_capacity(GROUP);
        loop {
            py.detach(|| queue.take(short, &mut jobs));
            if jobs.is_empty() {
                return;
            }
            for job in jobs.drain(..) {
                if !job.quick {
                    callables.answer_group(py, &mut group);
                    callables.answer_one(py, job);
                    continue;
                }
                group.push(job);
                if group.len() == GROUP {
                    callables.answer_group(py, &mut group);
                }
            }
            callables.answer_group(py, &mut group);
        }
    });
}

/// What is kept of an identity: its callers, one a Region.
type Callers = Mutex<Vec<(String, Py<PyAny>)>>;
/// Regions that are kept of an identity: a client may name any.
const MAX_CALLERS: usize = 64;

impl Callables {
    /// Answers a call. A failure is a bug in the Python side, which answers every error itself: the client gets a 500 as the reply drops.
    fn answer_one(&self, py: Python<'_>, Job { call, reply, .. }: Job) {
        match self.answer(py, &call) {
            Ok(answer) => drop(reply.send(answer)),
            Err(error) => error.write_unraisable(py, None),
        }
    }

    /// Answers calls, each after the records of all of them are written.
    fn answer_group(&self, py: Python<'_>, group: &mut Vec<Job>) {
        if group.len() == 1 {
            return group.drain(..).for_each(|job| self.answer_one(py, job));
        }
        if group.is_empty() {
            return;
        }
        if let Err(error) = self.hold.call0(py) {
            error.write_unraisable(py, None);
            return group.clear();
        }
        let answered: Vec<_> = group.drain(..).map(|Job { call, reply, .. }| (reply, self.answer(py, &call))).collect();
        let released = self.release.call0(py).and_then(|refusal| refusal.extract::<Option<(u16, Vec<u8>)>>(py));
        let refusal = match released {
            Ok(refusal) => refusal.map(|(status, body)| (status, Bytes::from(body))),
            Err(error) => return error.write_unraisable(py, None), // nobody knows whether the records stand: no answers
        };
        for (reply, answer) in answered {
            match answer {
                Ok(mut answer) => {
                    if let Some((status, body)) = &refusal {
                        answer.status = *status;
                        answer.body = body.clone();
                    }
                    drop(reply.send(answer));
                }
                Err(error) => error.write_unraisable(py, None),
            }
        }
    }

    fn answer(&self, py: Python<'_>, call: &Call) -> PyResult<Answer> {
        let caller = self.caller(py, &call.identity, &call.region)?;
        let connection = connection(py, &call.peer)?;
        let arguments = (
            if call.protocol == Protocol::Json { pyo3::intern!(py, "json") } else { pyo3::intern!(py, "query") },
            caller,
            call.target.as_deref(),
            call.content_type.as_deref(),
            PyBytes::new(py, &call.body),
            call.user_agent.as_str(),
            call.source.to_string(),
            call.host.as_str(),
            call.trace.as_deref(),
            connection,
        );
        let answer = self.answer.bind(py).call1(arguments)?;
        let (status, request_id, body): (u16, String, Bound<'_, PyBytes>) = answer.extract()?;
        Ok(Answer { status, request_id, body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    fn caller<'py>(&self, py: Python<'py>, identity: &Identity, region: &str) -> PyResult<Bound<'py, PyAny>> {
        let notes = identity.notes.get_or_init(|| Box::new(Callers::default()));
        let Some(callers) = notes.downcast_ref::<Callers>() else { return Ok(py.None().into_bound(py)) };
        let kept = |callers: &[(String, Py<PyAny>)]| {
            callers.iter().find(|(known, _)| known == region).map(|(_, caller)| caller.bind(py).clone())
        };
        if let Some(caller) = kept(&callers.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(caller);
        }
        let claims = identity.claims.as_deref().map(|claims| PyBytes::new(py, claims));
        let caller = self.caller.bind(py).call1((&identity.access_key_id, &identity.account, &identity.arn, region, claims))?;
        let mut callers = callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MAX_CALLERS {
            callers.clear();
        }
        callers.push((region.to_owned(), caller.clone().unbind()));
        Ok(caller)
    }
}

/// TLS version, cipher suite, group, VPC endpoint, VPC: a tuple that is made once for a connection.
fn connection<'py>(py: Python<'py>, peer: &Peer) -> PyResult<Bound<'py, PyAny>> {
    let notes = peer.notes.get_or_init(|| Box::new(Mutex::new(None::<Py<PyTuple>>)));
    let Some(slot) = notes.downcast_ref::<Mutex<Option<Py<PyTuple>>>>() else { return Ok(py.None().into_bound(py)) };
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*slot {
        return Ok(known.bind(py).clone().into_any());
    }
    let tls = peer.tls.as_ref();
    let text = |value: Option<&str>| value.map(|value| PyString::new(py, value));
    let tuple = (
        text(tls.map(|tls| tls.version)),
        text(tls.map(|tls| tls.cipher_suite.as_str())),
        text(tls.map(|tls| tls.group.as_str())),
        text(peer.listener.vpce.as_deref()),
        text(peer.listener.vpc.as_deref()),
    )
        .into_pyobject(py)?;
    *slot = Some(tuple.clone().unbind());
    Ok(tuple.into_any())
}
