//! The arena: slots of a few sizes in protected pages, zero when handed out and wiped when given back.
#![allow(unsafe_code)] // typed access to slots of raw pages; every block argues its pointers

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::MemoryPolicy;
use super::exit;
use super::fork::Fence;
use super::region::{Level, OnFork, Region};
use crate::error::{Error, Result};

/// Slot sizes in bytes: a key, an AES-GCM context, the scratch of one running operation.
const SLOT_SIZES: [usize; 3] = [64, 1024, 8192];
/// Bytes of one mapping. Small, because secret and locked pages count against `RLIMIT_MEMLOCK` (8 MiB by default).
const REGION_BYTES: usize = 256 * 1024;
/// What a class carves from a region at a time.
const RUN_BYTES: usize = 16 * 1024;

/// A type whose all-zero bytes are a valid value and which owns nothing outside its slot.
///
/// # Safety
/// Zero bytes must be a valid value of the type, and dropping it must need no destructor: slots are wiped, not dropped.
pub unsafe trait Zeroable: Sized {}

// SAFETY: bytes are bytes.
unsafe impl<const N: usize> Zeroable for [u8; N] {}

/// Protected pages, cut into slots.
pub struct Arena {
    inner: Mutex<Inner>,
    fence: Fence,
    level: Level,
    mapped: AtomicUsize,
}

struct Inner {
    regions: Vec<Region>,
    /// Bytes of the last region that are carved already.
    carved: usize,
    free: [Vec<NonNull<u8>>; SLOT_SIZES.len()],
}

// SAFETY: the pointers are addresses of slots that no one uses; they move between threads under the Mutex.
unsafe impl Send for Inner {}

impl Arena {
    pub(super) fn new(region: Region) -> Result<Arena> {
        let level = region.level();
        let fence = Fence::new()?;
        exit::wipe_on_exit(region.data(), region.len())?; // last: from here on the region must stay mapped
        let mapped = AtomicUsize::new(region.len());
        let inner = Inner { regions: vec![region], carved: 0, free: Default::default() };
        Ok(Arena { inner: Mutex::new(inner), fence, level, mapped })
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn mapped_bytes(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    fn take(&self, class: usize) -> Result<NonNull<u8>> {
        if !self.fence.is_intact() {
            return Err(Error::Forked);
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.free[class].is_empty() {
            self.carve(&mut inner, class)?;
        }
        inner.free[class].pop().ok_or(Error::Internal("the arena"))
    }

    fn give_back(&self, class: usize, slot: NonNull<u8>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).free[class].push(slot);
    }

    fn carve(&self, inner: &mut Inner, class: usize) -> Result<()> {
        if inner.carved + RUN_BYTES > REGION_BYTES {
            let region = Region::map(REGION_BYTES, self.level, OnFork::Gone)
                .map_err(|error| Error::InsecureMemory(format!("the arena cannot grow: {error}")))?;
            exit::wipe_on_exit(region.data(), region.len())?;
            self.mapped.fetch_add(region.len(), Ordering::Relaxed);
            inner.regions.push(region);
            inner.carved = 0;
        }
        let region = inner.regions.last().ok_or(Error::Internal("the arena"))?;
        for offset in (0..RUN_BYTES).step_by(SLOT_SIZES[class]) {
            // SAFETY: carved + offset + slot size <= REGION_BYTES <= the region's length, so the slot is inside it.
            inner.free[class].push(unsafe { region.data().add(inner.carved + offset) });
        }
        inner.carved += RUN_BYTES;
        Ok(())
    }
}

/// The first mapping, at the best level that this machine and `policy` allow.
pub(super) fn first_region(policy: MemoryPolicy) -> Result<Region> {
    let mut reasons = String::new();
    let mut levels = vec![Level::SecretMemory, Level::Locked];
    #[cfg(feature = "test-door")]
    if let Ok(forced) = std::env::var("CLAVERO_TEST_MEMORY_LEVEL") {
        levels.retain(|level| level.name() == forced);
    }
    if policy.allow_insecure {
        levels.push(Level::Unprotected);
    }
    for level in levels {
        match Region::map(REGION_BYTES, level, OnFork::Gone) {
            Ok(region) => return Ok(region),
            Err(error) => reasons.push_str(&format!("{}: {error}; ", level.name())),
        }
    }
    Err(Error::InsecureMemory(reasons.trim_end_matches("; ").to_owned()))
}

/// A value of type `T` in the arena: zero at first, wiped when dropped.
pub struct Guarded<T: Zeroable> {
    slot: NonNull<T>,
    class: usize,
    arena: &'static Arena,
    owns: PhantomData<T>,
}

// SAFETY: Guarded owns its slot as a Box owns its heap cell.
unsafe impl<T: Zeroable + Send> Send for Guarded<T> {}
// SAFETY: as above: shared access gives only &T.
unsafe impl<T: Zeroable + Sync> Sync for Guarded<T> {}

impl<T: Zeroable> Guarded<T> {
    /// A zeroed value. Types larger than the largest slot, or aligned beyond 64 bytes, do not compile.
    pub fn zeroed(arena: &'static Arena) -> Result<Guarded<T>> {
        const {
            assert!(size_of::<T>() <= SLOT_SIZES[SLOT_SIZES.len() - 1]);
            assert!(align_of::<T>() <= SLOT_SIZES[0]);
        }
        let class = SLOT_SIZES.iter().position(|&size| size_of::<T>() <= size).ok_or(Error::Internal("the arena"))?;
        let slot = arena.take(class)?.cast::<T>();
        Ok(Guarded { slot, class, arena, owns: PhantomData })
    }

    /// True when the value lives in `arena`.
    pub fn lives_in(&self, arena: &Arena) -> bool {
        std::ptr::eq(self.arena, arena)
    }

    /// Overwrites the value with zeros; zero is a valid value of every [`Zeroable`] type.
    pub fn wipe(&mut self) {
        wipe(self.slot.cast(), size_of::<T>());
    }
}

/// Zeros that the compiler may not leave out.
fn wipe(start: NonNull<u8>, len: usize) {
    // SAFETY: callers pass memory that they own exclusively; OPENSSL_cleanse is a memset behind a compiler barrier.
    unsafe { aws_lc_sys::OPENSSL_cleanse(start.as_ptr().cast(), len) };
}

impl<T: Zeroable> Deref for Guarded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the slot is mapped for the process's life, sized and aligned for T (checked in `zeroed`; slot sizes divide the
        // page size), holds a valid T (zero or written through &mut T), and is ours alone. Every path into the HSM refuses in a
        // forked child before it gets here.
        unsafe { self.slot.as_ref() }
    }
}

impl<T: Zeroable> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and &mut self makes the access exclusive.
        unsafe { self.slot.as_mut() }
    }
}

impl<T: Zeroable> Drop for Guarded<T> {
    fn drop(&mut self) {
        if !self.arena.fence.is_intact() {
            return; // a forked child: the page is not there, and its owner wipes it
        }
        self.wipe();
        self.arena.give_back(self.class, self.slot.cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> &'static Arena {
        super::super::open(MemoryPolicy { allow_insecure: true }).unwrap().arena()
    }

    #[test]
    fn a_slot_is_zero_when_handed_out_again() {
        let arena = arena();
        let mut first = Guarded::<[u8; 700]>::zeroed(arena).unwrap();
        first.fill(0xee);
        let address = first.slot;
        drop(first);
        let mut held = Vec::new();
        loop {
            let next = Guarded::<[u8; 700]>::zeroed(arena).unwrap();
            assert!(next.iter().all(|&byte| byte == 0));
            if next.slot == address || held.len() > 64 {
                break;
            }
            held.push(next);
        }
    }

    #[test]
    fn the_arena_grows_and_slots_do_not_overlap() {
        let arena = arena();
        let mut slots: Vec<_> = (0..200u8).map(|_| Guarded::<[u8; 8000]>::zeroed(arena).unwrap()).collect();
        for (value, slot) in slots.iter_mut().enumerate() {
            slot.fill(u8::try_from(value).unwrap());
        }
        for (value, slot) in slots.iter().enumerate() {
            assert!(slot.iter().all(|&byte| usize::from(byte) == value));
        }
        assert!(arena.mapped_bytes() >= 200 * 8000);
    }
}
