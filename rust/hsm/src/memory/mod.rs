//! Protected volatile memory: what keys may touch while they are in use.
//!
//! Promised at [`Level::SecretMemory`]: the arena's pages are in no core dump (also not one taken by root with
//! `gcore -a`), never swapped, not readable through `/proc/PID/mem`, not inherited by a forked child, and wiped on free,
//! [`seal`](crate::Hsm::seal), process exit and SIGTERM. At [`Level::Locked`] they are out of ordinary core dumps and of swap,
//! and empty in a forked child, but a debugger with the right to attach can read them. Not promised at any level: secrecy
//! against code that runs inside the process, the kernel, or the hypervisor.
//!
//! `unsafe` lives in this folder (mappings, the allocator hook, signal and fork handlers) and in the FFI modules of
//! [`crypto`](crate::crypto).

mod arena;
mod blocks;
mod exit;
mod fork;
mod keyheap;
mod pool;
mod region;
mod scope;
mod secret;
mod stack;

pub use arena::{Arena, Guarded, Zeroable};
pub(crate) use exit::OPERATIONS;
pub use exit::wiping_started;
pub(crate) use fork::{LIBCRYPTO_LOCKS, ProcessLock};
pub(crate) use pool::hook_libcrypto;
pub use region::Level;
pub use scope::{Depth, KeyScope, with_keys};
pub(crate) use scope::{in_key_scope, with_libcrypto};
pub use secret::Secret;

use std::sync::atomic::{AtomicPtr, Ordering};

use crate::error::{Error, Result};

/// How much protection the caller insists on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// Start even where neither secret nor locked memory can be had. For tests and for machines that cannot do better.
    pub allow_insecure: bool,
}

/// What this process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStatus {
    /// The arena's level.
    pub level: Level,
    /// Bytes mapped for the arena.
    pub arena_bytes: usize,
    /// Bytes mapped, at the arena's level, for parsed private keys and the stacks that work with them.
    pub key_bytes: usize,
    /// The level of libcrypto's own heap (its DRBG state and temporaries).
    pub libcrypto_level: Level,
    /// Bytes that libcrypto asked for when its pool was full, and got from the ordinary heap (wiped on free all the same).
    pub libcrypto_overflow_bytes: usize,
}

/// Puts libcrypto's heap into our pool before anything else allocates there: other users of the same libcrypto (TLS) call this first.
pub fn claim_libcrypto() -> Result<()> {
    hook_libcrypto()
}

/// The memory of one process: made on the first use, remade in a forked child that opens an HSM of its own.
pub struct ProcessMemory {
    arena: Arena,
    key_heap: keyheap::KeyHeap,
    stacks: stack::Stacks,
    fence: fork::Fence,
}

static CURRENT: AtomicPtr<ProcessMemory> = AtomicPtr::new(std::ptr::null_mut());
static MAKING: ProcessLock = ProcessLock::new();

/// Makes the protected memory of this process, or returns it when it is there and good enough for `policy`.
pub fn open(policy: MemoryPolicy) -> Result<&'static ProcessMemory> {
    if let Some(memory) = current().filter(|memory| memory.is_ours()) {
        return memory.checked(policy);
    }
    let _guard = MAKING.acquire(); // what a parent left half made is its own: a child maps new pages
    if let Some(memory) = current().filter(|memory| memory.is_ours()) {
        return memory.checked(policy);
    }
    // The arena's pages first: where little can be locked, they come before libcrypto's pool, which makes do with less.
    let pages = arena::first_region(policy)?;
    pool::install(policy)?;
    let fence = fork::Fence::new()?;
    let arena = Arena::new(pages)?;
    exit::OPERATIONS.reset(); // in a forked child: the parent's operations do not run here
    // Leaked on purpose: handles into the arena live as long as the process, and a child must never touch the parent's.
    let (key_heap, stacks) = (keyheap::KeyHeap::new(arena.level()), stack::Stacks::new(arena.level()));
    let memory: &'static ProcessMemory = Box::leak(Box::new(ProcessMemory { arena, key_heap, stacks, fence }));
    CURRENT.store(std::ptr::from_ref(memory).cast_mut(), Ordering::Release);
    exit::install();
    Ok(memory)
}

#[allow(unsafe_code)] // one pointer read; see SAFETY
fn current() -> Option<&'static ProcessMemory> {
    let pointer = CURRENT.load(Ordering::Acquire);
    // SAFETY: the pointer is null or came from Box::leak in `open`, so it is valid and shared for the whole process.
    unsafe { pointer.as_ref() }
}

impl ProcessMemory {
    /// The arena that keys in use live in.
    pub fn arena(&'static self) -> &'static Arena {
        &self.arena
    }

    fn key_heap(&self) -> &keyheap::KeyHeap {
        &self.key_heap
    }

    /// Wipes the stacks that no operation runs on.
    pub(crate) fn wipe_stacks(&self) {
        self.stacks.wipe_idle();
    }

    /// False in a child that was forked after this memory was made: nothing of it may be touched there.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.fence.is_intact()
    }

    /// What this process got.
    pub fn status(&self) -> MemoryStatus {
        let (libcrypto_level, libcrypto_overflow_bytes) = pool::status();
        MemoryStatus {
            level: self.arena.level(),
            arena_bytes: self.arena.mapped_bytes(),
            key_bytes: self.key_heap.mapped_bytes() + self.stacks.mapped_bytes(),
            libcrypto_level,
            libcrypto_overflow_bytes,
        }
    }

    fn checked(&'static self, policy: MemoryPolicy) -> Result<&'static ProcessMemory> {
        if self.arena.level() == Level::Unprotected && !policy.allow_insecure {
            return Err(Error::InsecureMemory("this process already opened an HSM with insecure memory allowed".into()));
        }
        Ok(self)
    }
}
