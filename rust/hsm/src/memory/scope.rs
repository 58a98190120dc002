//! The key scope: while a thread is in it, libcrypto's heap and stack are protected memory. Everything that touches a private key
//! demands one as an argument, so that nothing can forget it (ADR 0005).
#![allow(unsafe_code)] // ERR_clear_error, and the first byte of a thread's generator

use std::cell::Cell;

use super::fork::{LIBCRYPTO_LOCKS, Passage};
use super::pool::hook_libcrypto;
use super::{OPERATIONS, ProcessMemory, wiping_started};
use crate::error::{Error, Result};

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread has its generator: libcrypto's state of it outlives the scope, and belongs into libcrypto's pool.
    static SEEDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread works with private keys now.
#[inline]
pub(crate) fn in_key_scope() -> bool {
    ACTIVE.try_with(Cell::get).unwrap_or(false)
}

/// How much an operation leaves on its stack, and how long it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Kilobytes: RSA and elliptic curves.
    Shallow,
    /// A hundred kilobytes: ML-DSA, ML-KEM.
    Deep,
    /// Up to seconds: generating RSA keys.
    Long,
}

/// Proof that the thread is in a key scope.
pub struct KeyScope {
    memory: &'static ProcessMemory,
    passage: Option<Passage<'static>>,
}

impl KeyScope {
    pub(crate) fn memory(&self) -> &'static ProcessMemory {
        self.memory
    }

    /// Lets a fork through that waits for this scope's end. Only between calls of libcrypto, or in its callbacks that hold no lock.
    pub(crate) fn breathe(&mut self) {
        if LIBCRYPTO_LOCKS.is_closed() {
            self.passage = None;
            self.passage = LIBCRYPTO_LOCKS.enter().ok(); // none at the end of the process, which the caller asks about
        }
    }
}

/// Runs `work` in a key scope. Give no handle on a private key out of it but a [`PrivateKey`](crate::crypto::pkey::PrivateKey).
pub fn with_keys<T>(memory: &'static ProcessMemory, depth: Depth, work: impl FnOnce(&mut KeyScope) -> Result<T>) -> Result<T> {
    if !memory.is_ours() {
        return Err(Error::Forked);
    }
    let Some(_running) = OPERATIONS.try_enter() else { return Err(Error::Sealed) };
    if !SEEDED.get() {
        seed_generator()?;
        SEEDED.set(true);
    }
    memory.key_heap.ensure()?;
    let stacks = if depth == Depth::Long { &memory.stacks.long } else { &memory.stacks.short };
    let mut stack = stacks.lease()?;
    let ran = stack.run(depth == Depth::Deep, || {
        let mut scope = KeyScope { memory, passage: Some(LIBCRYPTO_LOCKS.enter()?) };
        let _active = Active::begin();
        let result = work(&mut scope);
        if result.is_err() {
            clear_errors(); // what is in the queue may point to key material
        }
        result
    });
    drop(stack);
    // An operation that ran while the process wiped its keys may have computed with zeros: its result does not leave.
    if wiping_started() { Err(Error::Sealed) } else { ran.unwrap_or(Err(Error::Internal("a protected stack"))) }
}

/// Runs `work`, which calls libcrypto without private keys: public-key operations. No fork falls into it, and no stale error stays.
pub(crate) fn with_libcrypto<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    hook_libcrypto()?;
    let _passage = if in_key_scope() { None } else { Some(LIBCRYPTO_LOCKS.enter()?) };
    let result = work();
    clear_errors();
    result
}

fn seed_generator() -> Result<()> {
    let _passage = LIBCRYPTO_LOCKS.enter()?;
    let mut byte = 0;
    // SAFETY: one byte of ours.
    let drawn = unsafe { aws_lc_sys::RAND_bytes(&mut byte, 1) };
    if drawn == 1 { Ok(()) } else { Err(Error::Internal("the DRBG")) }
}

fn clear_errors() {
    // SAFETY: no preconditions; clears this thread's queue.
    unsafe { aws_lc_sys::ERR_clear_error() };
}

struct Active;

impl Active {
    fn begin() -> Active {
        ACTIVE.set(true);
        Active
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryPolicy, open};
    use super::*;

    fn address_of_a_local() -> usize {
        let local = 0u8;
        std::ptr::from_ref(std::hint::black_box(&local)).addr()
    }

    #[test]
    fn a_scope_has_its_own_heap_and_stack_and_ends_also_by_a_panic() {
        let memory = open(MemoryPolicy { allow_insecure: true }).unwrap();
        let outside = address_of_a_local();
        let (inside, block) = with_keys(memory, Depth::Shallow, |_| {
            assert!(in_key_scope());
            // SAFETY: libcrypto's malloc and free.
            let block = unsafe { aws_lc_sys::OPENSSL_malloc(100) };
            let address = block.addr();
            // SAFETY: as above.
            unsafe { aws_lc_sys::OPENSSL_free(block) };
            Ok((address_of_a_local(), address))
        })
        .unwrap();
        assert!(outside.abs_diff(inside) > 1 << 20, "another stack");
        // SAFETY: as above.
        let ordinary = unsafe { aws_lc_sys::OPENSSL_malloc(100) };
        assert!(ordinary.addr().abs_diff(block) > 64 * 1024, "another heap");
        // SAFETY: as above.
        unsafe { aws_lc_sys::OPENSSL_free(ordinary) };
        assert!(!in_key_scope());
        let panicked = std::panic::catch_unwind(|| with_keys::<()>(memory, Depth::Deep, |_| panic!("inside")));
        assert!(panicked.is_err() && !in_key_scope());
        assert_eq!(with_keys(memory, Depth::Long, |_| Ok(7)), Ok(7));
        assert!(memory.status().key_bytes > 0);
    }

    #[test]
    fn more_threads_than_stacks_take_turns() {
        let memory = open(MemoryPolicy { allow_insecure: true }).unwrap();
        std::thread::scope(|threads| {
            for _ in 0..24 {
                threads.spawn(|| {
                    for _ in 0..20 {
                        with_keys(memory, Depth::Shallow, |_| {
                            std::thread::yield_now();
                            Ok(())
                        })
                        .unwrap();
                    }
                });
            }
        });
    }
}
