//! Blocks of powers of two from regions that are given to it: the allocator behind libcrypto's pool and the key heap.
#![allow(unsafe_code)] // free lists threaded through free blocks

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fork::ForkLock;

/// Block sizes are powers of two from 2^6 to 2^16 bytes.
const SMALLEST_SHIFT: u32 = 6;
const CLASSES: usize = 11;

/// The class of blocks that hold `total` bytes, if there is one.
pub(super) fn class_of(total: usize) -> Option<usize> {
    let class = total.checked_next_power_of_two()?.trailing_zeros().max(SMALLEST_SHIFT) - SMALLEST_SHIFT;
    usize::try_from(class).ok().filter(|&class| class < CLASSES)
}

fn block_bytes(class: usize) -> usize {
    1 << (class + SMALLEST_SHIFT as usize)
}

/// Free lists and the region that blocks are carved from. Blocks come out zeroed if they go back wiped.
pub(super) struct Blocks {
    /// Guards the rest, and may be held across a fork.
    pub(super) lock: ForkLock,
    free: [AtomicUsize; CLASSES],
    /// Where the next block is carved, and where the region ends.
    next: AtomicUsize,
    end: AtomicUsize,
}

impl Blocks {
    pub(super) const fn new() -> Blocks {
        Blocks {
            lock: ForkLock::new(),
            free: [const { AtomicUsize::new(0) }; CLASSES],
            next: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    /// Carves from this zeroed region, which is never unmapped, from now on.
    pub(super) fn add(&self, start: NonNull<u8>, len: usize) {
        self.lock.acquire();
        self.set_region(start, len);
        self.lock.release();
    }

    fn set_region(&self, start: NonNull<u8>, len: usize) {
        self.next.store(start.as_ptr().expose_provenance(), Ordering::Relaxed);
        self.end.store(start.as_ptr().expose_provenance() + len, Ordering::Relaxed);
    }

    /// A block of `class`. `grow` may give another region where the last is used up.
    pub(super) fn take(&self, class: usize, grow: impl FnOnce() -> Option<(NonNull<u8>, usize)>) -> Option<NonNull<u8>> {
        self.lock.acquire();
        let head = self.free[class].load(Ordering::Relaxed);
        let block = if let Some(block) = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(head)) {
            // SAFETY: a free block's first word is the next free block (written in `give_back` under the lock).
            let next = unsafe { block.cast::<usize>().read() };
            self.free[class].store(next, Ordering::Relaxed);
            // SAFETY: the block is ours now; the word goes back to zero so that blocks are handed out clean.
            unsafe { block.cast::<usize>().write(0) };
            Some(block)
        } else {
            self.carve(class).or_else(|| {
                let (start, len) = grow()?;
                self.set_region(start, len);
                self.carve(class)
            })
        };
        self.lock.release();
        block
    }

    fn carve(&self, class: usize) -> Option<NonNull<u8>> {
        let next = self.next.load(Ordering::Relaxed);
        let after = next + block_bytes(class);
        if after > self.end.load(Ordering::Relaxed) {
            return None;
        }
        self.next.store(after, Ordering::Relaxed);
        NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(next))
    }

    /// Takes back a wiped block of `class`.
    pub(super) fn give_back(&self, class: usize, block: NonNull<u8>) {
        self.lock.acquire();
        // SAFETY: the block is a wiped block of at least 64 bytes that its user gave up.
        unsafe { block.cast::<usize>().write(self.free[class].load(Ordering::Relaxed)) };
        self.free[class].store(block.as_ptr().expose_provenance(), Ordering::Relaxed);
        self.lock.release();
    }
}
