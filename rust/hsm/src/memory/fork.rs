//! Knowing that this process is a forked child: one page that the kernel clears on fork.
#![allow(unsafe_code)] // a volatile read of our own page, and pthread_atfork

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
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

/// Takes `lock`, but gives up with [`Error::Forked`] instead of waiting for a holder that a fork left behind.
pub(super) fn lock_across_fork(lock: &Mutex<()>) -> Result<MutexGuard<'_, ()>> {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        match lock.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => return Err(Error::Forked),
        }
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

/// Has `prepare` called before each fork and `release` after it, in parent and child.
pub(super) fn around_fork(prepare: extern "C" fn(), release: extern "C" fn()) -> bool {
    // SAFETY: the handlers are plain functions that live as long as the process; they only touch a ForkLock.
    unsafe { libc::pthread_atfork(Some(prepare), Some(release), Some(release)) == 0 }
}
