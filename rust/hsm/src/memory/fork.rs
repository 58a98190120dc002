//! Forks: knowing that this process is a forked child (one page that the kernel clears), and leaving no lock held across a fork.
#![allow(unsafe_code)] // a volatile read of our own page, getpid, and pthread_atfork

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::region::{Level, OnFork, Region};
use crate::error::{Error, Result};

/// A page that holds 1 in the process that made it and 0 in every process forked from it, however it was forked.
pub(super) struct Fence {
    page: Region,
}

impl Fence {
    pub(super) fn new() -> Result<Fence> {
        let page = Region::map(1, Level::Unprotected, OnFork::Copied)
            .and_then(|page| {
                page.advise(libc::MADV_WIPEONFORK)?;
                Ok(page)
            })
            .map_err(|error: io::Error| {
                Error::InsecureMemory(format!("the kernel cannot mark memory as wiped on fork: {error}"))
            })?;
        let fence = Fence { page };
        fence.marker().store(1, Ordering::Release);
        Ok(fence)
    }

    /// True in the process that made the fence.
    #[inline]
    pub(super) fn is_intact(&self) -> bool {
        self.marker().load(Ordering::Relaxed) == 1
    }

    #[inline]
    fn marker(&self) -> &AtomicU8 {
        // SAFETY: the page is mapped read-write for as long as `self.page` lives, and only ever used as this one atomic.
        unsafe { &*self.page.data().as_ptr().cast::<AtomicU8>() }
    }
}

/// A lock that knows in which process it was taken. A fork while another thread holds it leaves it locked in the child by a thread
/// that does not exist there; whoever comes for it in the child takes it over, and may find half done what it guards.
pub(crate) struct ProcessLock {
    /// The process that holds it, or 0. (A child with its parent's number, the first of a PID namespace made by the first of another,
    /// would wait for ever.)
    holder: AtomicI32,
}

/// Holds a [`ProcessLock`] until dropped.
pub(crate) struct ProcessGuard<'a>(&'a ProcessLock);

impl ProcessLock {
    pub(crate) const fn new() -> ProcessLock {
        ProcessLock { holder: AtomicI32::new(0) }
    }

    /// Waits for the lock (for threads of this process; at the start of things, so a pause of a tenth of a millisecond will do).
    pub(crate) fn acquire(&self) -> ProcessGuard<'_> {
        // SAFETY: getpid has no preconditions.
        let own = unsafe { libc::getpid() };
        loop {
            let holder = self.holder.load(Ordering::Relaxed);
            if holder != own && self.holder.compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return ProcessGuard(self);
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Drop for ProcessGuard<'_> {
    fn drop(&mut self) {
        self.0.holder.store(0, Ordering::Release);
    }
}

/// A lock that is held across a fork, so that a child never inherits it in another thread's hands.
pub(super) struct ForkLock {
    held: AtomicBool,
}

impl ForkLock {
    pub(super) const fn new() -> ForkLock {
        ForkLock { held: AtomicBool::new(false) }
    }

    pub(super) fn acquire(&self) {
        while self.held.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::thread::yield_now();
        }
    }

    pub(super) fn release(&self) {
        self.held.store(false, Ordering::Release);
    }
}

/// Lets many threads through at once, and nobody while it is closed. Each thread counts in a shard of its own cache line, so that
/// threads do not slow each other down (about 10 ns a passage).
pub(crate) struct Gate {
    shards: [Shard; GATE_SHARDS],
    /// 0 while it is open; else who keeps it closed, `FOR_A_FORK` or `FOR_GOOD` or both.
    closed: AtomicU8,
    closing: ForkLock,
}

const FOR_A_FORK: u8 = 1;
const FOR_GOOD: u8 = 2;

const GATE_SHARDS: usize = 16;

#[repr(align(128))]
struct Shard(AtomicUsize);

/// A passage through a [`Gate`]; over when dropped.
pub(crate) struct Passage<'a>(&'a AtomicUsize);

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gate {
    pub(crate) const fn new() -> Gate {
        Gate { shards: [const { Shard(AtomicUsize::new(0)) }; GATE_SHARDS], closed: AtomicU8::new(0), closing: ForkLock::new() }
    }

    /// Passes, or None while the gate is closed.
    #[inline]
    pub(crate) fn try_enter(&self) -> Option<Passage<'_>> {
        thread_local! {
            static SHARD: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % GATE_SHARDS
            };
        }
        // A thread that is being torn down has no thread-locals any more, but may still wipe and draw.
        let count = &self.shards[SHARD.try_with(|shard| *shard).unwrap_or(0)].0;
        // Counted first, looked second, both sequentially consistent: either the closer sees the count, or we see it closed.
        count.fetch_add(1, Ordering::SeqCst);
        let passage = Passage(count);
        if self.closed.load(Ordering::SeqCst) == 0 { Some(passage) } else { None }
    }

    /// Passes, after waiting for a fork to be over; [`Error::Sealed`] at the end of the process.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Passage<'_>> {
        loop {
            if let Some(passage) = self.try_enter() {
                return Ok(passage);
            }
            if self.closed.load(Ordering::SeqCst) & FOR_GOOD != 0 {
                return Err(Error::Sealed);
            }
            std::thread::yield_now();
        }
    }

    /// True while someone waits for those inside to leave.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) != 0
    }

    /// Closes, and waits until nobody is inside. Undo with [`reopen`](Self::reopen).
    fn close(&self) {
        self.closing.acquire();
        self.closed.fetch_or(FOR_A_FORK, Ordering::SeqCst);
        while !self.is_empty() {
            std::thread::yield_now();
        }
    }

    fn reopen(&self) {
        self.closed.fetch_and(!FOR_A_FORK, Ordering::SeqCst);
        self.closing.release();
    }

    /// Closes for good, and waits until nobody is inside, but not longer than `patience`. Safe in a signal handler: atomics, the
    /// clock and a yield only. (A thread that was interrupted inside never leaves: hence the bound.)
    pub(super) fn close_for_good(&self, patience: Duration) {
        self.closed.fetch_or(FOR_GOOD, Ordering::SeqCst);
        let give_up = Instant::now() + patience;
        while !self.is_empty() && Instant::now() < give_up {
            std::thread::yield_now();
        }
    }

    /// Forgets who was inside: in a forked child, where those threads do not exist.
    pub(super) fn reset(&self) {
        for shard in &self.shards {
            shard.0.store(0, Ordering::SeqCst);
        }
    }

    fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.0.load(Ordering::SeqCst) == 0)
    }
}

/// Around every call that takes a lock inside libcrypto: its random generator, and whatever draws on it (signing, blinding, key pairs). No fork happens while someone is
/// inside, because the child's exit handlers (AWS-LC clears every thread's DRBG state under its lock) would wait for ever for a
/// thread that does not exist there.
pub(crate) static LIBCRYPTO_LOCKS: Gate = Gate::new();

pub(super) fn close_libcrypto() {
    LIBCRYPTO_LOCKS.close();
}

pub(super) fn reopen_libcrypto() {
    LIBCRYPTO_LOCKS.reopen();
}

/// Has `prepare` called before each fork and `release` after it, in parent and child.
pub(super) fn around_fork(prepare: extern "C" fn(), release: extern "C" fn()) -> bool {
    // SAFETY: the handlers are plain functions that live as long as the process; they only touch a ForkLock.
    unsafe { libc::pthread_atfork(Some(prepare), Some(release), Some(release)) == 0 }
}
