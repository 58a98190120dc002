//! The key heap: where libcrypto allocates while it works with private keys. At the arena's level, gone on fork (ADR 0005).

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::blocks::Blocks;
use super::exit;
use super::region::{Level, OnFork, Region};
use crate::error::{Error, Result};

/// Bytes of one mapping.
const REGION_BYTES: usize = 256 * 1024;
/// The most mappings: 2 MiB, a quarter of the usual `RLIMIT_MEMLOCK`. Parsed keys take 1 to 20 KiB each, and five eighths together.
const MAX_REGIONS: usize = 8;

/// Blocks for libcrypto's objects of private keys.
pub(super) struct KeyHeap {
    blocks: Blocks,
    level: Level,
    regions: AtomicUsize,
}

impl KeyHeap {
    /// Maps nothing yet.
    pub(super) fn new(level: Level) -> KeyHeap {
        KeyHeap { blocks: Blocks::new(), level, regions: AtomicUsize::new(0) }
    }

    pub(super) fn mapped_bytes(&self) -> usize {
        self.regions.load(Ordering::Relaxed) * REGION_BYTES
    }

    /// Maps the first region, so that a machine without room says so in words.
    pub(super) fn ensure(&self) -> Result<()> {
        if self.regions.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let Some(block) = self.take(0) else {
            return Err(Error::InsecureMemory("no protected memory is left for private keys".into()));
        };
        self.give_back(0, block);
        Ok(())
    }

    /// A block of the class (`blocks::class_of`), or None where there is no more room.
    pub(super) fn take(&self, class: usize) -> Option<NonNull<u8>> {
        self.blocks.take(class, || {
            if self.regions.load(Ordering::Relaxed) >= MAX_REGIONS {
                return None;
            }
            let region = Region::map(REGION_BYTES, self.level, OnFork::Gone).ok()?;
            exit::wipe_on_exit(region.data(), region.len()).ok()?;
            self.regions.fetch_add(1, Ordering::Release);
            let mapped = (region.data(), region.len());
            std::mem::forget(region); // blocks live as long as the process
            Some(mapped)
        })
    }

    /// Takes back a wiped block.
    pub(super) fn give_back(&self, class: usize, block: NonNull<u8>) {
        self.blocks.give_back(class, block);
    }
}
