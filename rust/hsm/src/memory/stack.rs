//! Stacks in protected pages, for operations that leave pieces of private keys on their stack (ADR 0005).
#![allow(unsafe_code)] // runs a closure on pages of ours

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::exit;
use super::region::{Level, OnFork, Region};
use crate::error::{Error, Result};

/// Bytes of a stack. ML-DSA-87 signing, the deepest, keeps about 130 KiB of vectors on it.
const STACK_BYTES: usize = 256 * 1024;
/// What is wiped after an operation with RSA or elliptic curves, which go down about 10 KiB.
const SHALLOW_BYTES: usize = 32 * 1024;
/// Stacks for operations: more would not run side by side on most machines, and each counts against `RLIMIT_MEMLOCK`.
const MOST_SHORT: usize = 6;
/// Stacks for generating RSA keys, which takes up to seconds: apart, so that it keeps nobody from signing.
const MOST_LONG: usize = 2;

/// The stacks of a process, made when they are needed and kept.
pub(super) struct Stacks {
    pub(super) short: Set,
    pub(super) long: Set,
}

/// Stacks of one kind.
pub(super) struct Set {
    idle: Mutex<Vec<Stack>>,
    returned: Condvar,
    made: AtomicUsize,
    most: usize,
    level: Level,
}

struct Stack {
    pages: Region,
    at_exit: &'static exit::Entry,
}

impl Stacks {
    pub(super) fn new(level: Level) -> Stacks {
        let set = |most| Set { idle: Mutex::new(Vec::new()), returned: Condvar::new(), made: AtomicUsize::new(0), most, level };
        Stacks { short: set(MOST_SHORT), long: set(MOST_LONG) }
    }

    pub(super) fn mapped_bytes(&self) -> usize {
        (self.short.made.load(Ordering::Relaxed) + self.long.made.load(Ordering::Relaxed)) * STACK_BYTES
    }

    pub(super) fn wipe_idle(&self) {
        for set in [&self.short, &self.long] {
            for stack in set.idle.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                stack.wipe(STACK_BYTES);
            }
        }
    }
}

impl Set {
    /// An idle stack, a new one, or the next that comes back.
    pub(super) fn lease(&self) -> Result<Lease<'_>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(stack) = idle.pop() {
                return Ok(Lease::new(self, stack));
            }
            if self.made.load(Ordering::Relaxed) < self.most {
                match Stack::make(self.level) {
                    Ok(stack) => {
                        self.made.fetch_add(1, Ordering::Relaxed);
                        return Ok(Lease::new(self, stack));
                    }
                    Err(error) if self.made.load(Ordering::Relaxed) == 0 => return Err(error),
                    Err(_) => {} // those that there are must do
                }
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Stack {
    fn make(level: Level) -> Result<Stack> {
        let pages = Region::map(STACK_BYTES, level, OnFork::Gone)
            .map_err(|error| Error::InsecureMemory(format!("no protected stack for private keys: {error}")))?;
        let at_exit = exit::wipe_on_exit(pages.data(), pages.len())?;
        Ok(Stack { pages, at_exit })
    }

    fn wipe(&mut self, bytes: usize) {
        let len = self.pages.len();
        let bytes = bytes.min(len);
        // SAFETY: the range is the upper end of our own pages, on which nothing runs.
        unsafe { aws_lc_sys::OPENSSL_cleanse(self.pages.data().as_ptr().add(len - bytes).cast(), bytes) };
    }
}

/// A stack on loan; wiped and given back when dropped.
pub(super) struct Lease<'a> {
    set: &'a Set,
    stack: Option<Stack>,
    deep: bool,
}

impl<'a> Lease<'a> {
    fn new(set: &'a Set, stack: Stack) -> Lease<'a> {
        stack.at_exit.set_busy(true);
        Lease { set, stack: Some(stack), deep: false }
    }

    /// Runs `work` there. `deep`: all of the stack is wiped afterwards, not only the part that shallow operations reach.
    pub(super) fn run<T>(&mut self, deep: bool, work: impl FnOnce() -> T) -> Option<T> {
        self.deep = deep;
        let pages = &self.stack.as_ref()?.pages;
        // SAFETY: page-aligned, writable pages with guard pages on either side, that are ours alone until the call returns. `work`
        // borrows what it likes: this thread waits for it as for any call. No panic unwinds across the switch.
        let ended = unsafe { psm::on_stack(pages.data().as_ptr(), pages.len(), || catch_unwind(AssertUnwindSafe(work))) };
        Some(ended.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(mut stack) = self.stack.take() else { return };
        stack.wipe(if self.deep { STACK_BYTES } else { SHALLOW_BYTES });
        stack.at_exit.set_busy(false);
        self.set.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stack);
        self.set.returned.notify_one();
    }
}
