//! Wiping the arena when the process ends: at `exit()` and on SIGTERM.
#![allow(unsafe_code)] // atexit and sigaction; the handler only stores to memory that stays mapped

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use super::fork::{Gate, LIBCRYPTO_LOCKS};
use crate::error::{Error, Result};

/// How many arena mappings a process can have: 64 of 256 KiB are 16 MiB, twice the usual `RLIMIT_MEMLOCK`.
const MAX_REGIONS: usize = 64;

pub(super) struct Entry {
    start: AtomicPtr<u8>,
    len: AtomicUsize,
    pid: AtomicUsize,
    /// A stack that a thread runs on: wiping it would send that thread (which may be the one that wipes) to address 0. The kernel
    /// clears its pages.
    busy: AtomicBool,
}

impl Entry {
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::SeqCst);
    }
}

/// A fixed table and no lock, so that a signal handler may read it at any moment.
static REGIONS: [Entry; MAX_REGIONS] = [const {
    Entry {
        start: AtomicPtr::new(std::ptr::null_mut()),
        len: AtomicUsize::new(0),
        pid: AtomicUsize::new(0),
        busy: AtomicBool::new(false),
    }
}; MAX_REGIONS];
/// How long the end of the process waits for running operations. They take microseconds; batches look at WIPING at every message.
const PATIENCE: Duration = Duration::from_millis(200);
/// Who is computing with keys.
pub(crate) static OPERATIONS: Gate = Gate::new();
static WIPING: AtomicBool = AtomicBool::new(false);

/// True from the moment that the process began to wipe its keys for its end.
///
/// An operation that ran at that moment may have computed with zeros: it looks here after it is done, and gives no answer.
#[inline]
pub fn wiping_started() -> bool {
    WIPING.load(Ordering::SeqCst)
}

/// Adds an arena mapping (which is never unmapped) to what is wiped at the end.
pub(super) fn wipe_on_exit(start: NonNull<u8>, len: usize) -> Result<&'static Entry> {
    let pid = own_pid();
    for entry in &REGIONS {
        let taken = entry.start.load(Ordering::Acquire);
        // An entry of the parent process is free in a forked child: those pages are not there.
        let stale = !taken.is_null() && entry.pid.load(Ordering::Acquire) != pid;
        if (taken.is_null() || stale)
            && entry.start.compare_exchange(taken, start.as_ptr(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            entry.pid.store(pid, Ordering::Release);
            entry.busy.store(false, Ordering::Release);
            entry.len.store(len, Ordering::Release);
            return Ok(entry);
        }
    }
    Err(Error::Limit("the HSM's protected memory is at its limit of 16 MiB".into()))
}

fn own_pid() -> usize {
    // SAFETY: getpid has no preconditions.
    usize::try_from(unsafe { libc::getpid() }).unwrap_or(0)
}

/// Wipes every arena mapping of this process. Safe in a signal handler: atomics and stores only.
fn wipe_all() {
    WIPING.store(true, Ordering::SeqCst);
    let pid = own_pid();
    if !REGIONS.iter().any(|entry| entry.pid.load(Ordering::Acquire) == pid) {
        return; // a forked child that opened no HSM of its own
    }
    // A context that is wiped under a running operation would send it through null function pointers.
    OPERATIONS.close_for_good(PATIENCE);
    for entry in &REGIONS {
        let start = entry.start.load(Ordering::Acquire);
        if start.is_null() || entry.pid.load(Ordering::Acquire) != pid || entry.busy.load(Ordering::SeqCst) {
            continue;
        }
        let len = entry.len.load(Ordering::Acquire);
        // SAFETY: entries with our pid are arena mappings of this process, which are never unmapped.
        unsafe { aws_lc_sys::OPENSSL_cleanse(start.cast(), len) };
    }
}

extern "C" fn at_exit() {
    wipe_all();
}

extern "C" fn leave_libcrypto() {
    LIBCRYPTO_LOCKS.close_for_good(PATIENCE);
}

/// Arranges that nobody is in libcrypto's random generator when its destructors run, at `exit()`: they clear what it works with, and
/// it ends a process in which it finds that by `abort()`.
pub(super) fn leave_libcrypto_at_exit() -> bool {
    // SAFETY: leave_libcrypto lives as long as the process.
    unsafe { libc::atexit(leave_libcrypto) == 0 }
}

extern "C" fn on_sigterm(signal: libc::c_int) {
    wipe_all();
    // SAFETY: SA_RESETHAND put the default action back, so this ends the process as if we had not been here.
    unsafe { libc::raise(signal) };
}

/// Arranges the wipes. SIGTERM is taken only where nobody handles it: a program with a handler of its own leaves through
/// `exit()`, which wipes.
/// (The caller holds the lock of the making; a child that finds this half done does it again, which does no harm.)
pub(super) fn install() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.load(Ordering::Acquire) {
        // SAFETY: at_exit and on_sigterm live as long as the process; the structs are zeroed, then filled in.
        unsafe {
            libc::atexit(at_exit);
            let mut old: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGTERM, std::ptr::null(), &mut old) == 0 && old.sa_sigaction == libc::SIG_DFL {
                let mut new: libc::sigaction = std::mem::zeroed();
                new.sa_sigaction = on_sigterm as extern "C" fn(libc::c_int) as usize;
                new.sa_flags = libc::SA_RESETHAND;
                libc::sigaction(libc::SIGTERM, &new, std::ptr::null_mut());
            }
        }
        DONE.store(true, Ordering::Release);
    }
}
