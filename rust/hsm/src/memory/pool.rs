//! libcrypto's heap: a locked, undumped, wiped pool behind `CRYPTO_set_mem_functions`.
//!
//! AWS-LC keeps its DRBG state here, and the temporaries of its big-number code. It is copied on fork, unlike the arena: AWS-LC
//! walks its DRBG states in a destructor when a forked child exits, so a missing page would crash the child (ADR 0001); it
//! reseeds in a child by itself. KMS keys under symmetric operations never come here: their contexts live in the arena.
#![allow(unsafe_code)] // a malloc: raw blocks with a header in front

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::MemoryPolicy;
use super::fork::{ForkLock, around_fork, close_libcrypto, reopen_libcrypto};
use super::region::{Level, OnFork, Region};
use crate::error::{Error, Result};

/// Bytes of the pool, largest first: what `RLIMIT_MEMLOCK` allows is taken.
const POOL_BYTES: [usize; 3] = [1 << 20, 256 << 10, 64 << 10];
/// Block sizes are powers of two from 2^6 to 2^16 bytes, the header included.
const SMALLEST_SHIFT: u32 = 6;
const CLASSES: usize = 11;
/// In front of each block; keeps 16-byte alignment.
const HEADER: usize = 16;
const IN_HEAP: usize = usize::MAX;

#[repr(C)]
struct Header {
    /// The class of a pool block, or `IN_HEAP`.
    class: usize,
    /// Bytes that the caller asked for.
    size: usize,
}

struct Pool {
    region: Option<Region>,
    level: Level,
}

static POOL: OnceLock<Pool> = OnceLock::new();
static LOCK: ForkLock = ForkLock::new();
static OVERFLOW: AtomicUsize = AtomicUsize::new(0);
/// Guarded by LOCK: heads of the free lists, and how far the region is carved.
static FREE: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];
static CARVED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn before_fork() {
    close_libcrypto(); // first: those inside may need the pool to finish
    LOCK.acquire();
}

extern "C" fn after_fork() {
    LOCK.release();
    reopen_libcrypto();
}

/// Makes AWS-LC allocate here. Must come before its first allocation, and it accepts the functions only once: so every call into it
/// that may allocate (the DRBG's state, the error queue) comes here first. Later calls cost one load.
#[inline]
pub(crate) fn hook_libcrypto() -> Result<()> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let installed = *INSTALLED.get_or_init(|| {
        POOL.get_or_init(make);
        if !around_fork(before_fork, after_fork) {
            return false;
        }
        // SAFETY: the three functions follow malloc's, realloc's and free's contracts.
        unsafe { aws_lc_sys::CRYPTO_set_mem_functions(Some(pool_malloc), Some(pool_realloc), Some(pool_free)) == 1 }
    });
    if installed { Ok(()) } else { Err(Error::Internal("the allocator hook of libcrypto")) }
}

/// The pool for an HSM: one that cannot be locked (it holds the DRBG's state) is refused unless `policy` allows it.
pub(super) fn install(policy: MemoryPolicy) -> Result<()> {
    hook_libcrypto()?;
    if status().0 == Level::Unprotected && !policy.allow_insecure {
        return Err(Error::InsecureMemory("libcrypto's own memory cannot be locked".into()));
    }
    Ok(())
}

/// The pool's level, and the bytes in use outside it.
pub(super) fn status() -> (Level, usize) {
    (POOL.get().map_or(Level::Unprotected, |pool| pool.level), OVERFLOW.load(Ordering::Relaxed))
}

fn make() -> Pool {
    for len in POOL_BYTES {
        if let Ok(region) = Region::map(len, Level::Locked, OnFork::Copied) {
            return Pool { region: Some(region), level: Level::Locked };
        }
    }
    Pool { region: None, level: Level::Unprotected }
}

fn class_of(size: usize) -> Option<usize> {
    let total = size.checked_add(HEADER)?.checked_next_power_of_two()?;
    let class = total.trailing_zeros().max(SMALLEST_SHIFT) - SMALLEST_SHIFT;
    usize::try_from(class).ok().filter(|&class| class < CLASSES)
}

fn block_bytes(class: usize) -> usize {
    1 << (class + SMALLEST_SHIFT as usize)
}

/// A block of `class` from the pool, or None when it is full.
fn take(class: usize) -> Option<NonNull<u8>> {
    let region = POOL.get()?.region.as_ref()?;
    LOCK.acquire();
    let head = FREE[class].load(Ordering::Relaxed);
    let block = if let Some(block) = NonNull::new(head as *mut u8) {
        // SAFETY: a free block's first word is the next free block (written in `give_back` under the lock).
        let next = unsafe { block.cast::<usize>().read() };
        FREE[class].store(next, Ordering::Relaxed);
        // SAFETY: the block is ours now; the word goes back to zero so that blocks are handed out clean.
        unsafe { block.cast::<usize>().write(0) };
        Some(block)
    } else {
        let carved = CARVED.load(Ordering::Relaxed);
        if carved + block_bytes(class) <= region.len() {
            CARVED.store(carved + block_bytes(class), Ordering::Relaxed);
            // SAFETY: the sum is within the region, as just checked.
            Some(unsafe { region.data().add(carved) })
        } else {
            None
        }
    };
    LOCK.release();
    block
}

fn give_back(class: usize, block: NonNull<u8>) {
    LOCK.acquire();
    // SAFETY: the block is a wiped pool block of at least 64 bytes that its user gave up.
    unsafe { block.cast::<usize>().write(FREE[class].load(Ordering::Relaxed)) };
    FREE[class].store(block.as_ptr() as usize, Ordering::Relaxed);
    LOCK.release();
}

unsafe extern "C" fn pool_malloc(size: usize, _file: *const libc::c_char, _line: libc::c_int) -> *mut libc::c_void {
    let pooled = class_of(size).and_then(|class| Some((class, take(class)?)));
    let (class, block) = match pooled {
        Some((class, block)) => (class, block),
        None => {
            let Some(total) = size.checked_add(HEADER) else { return std::ptr::null_mut() };
            // SAFETY: plain malloc; null is checked.
            let Some(block) = NonNull::new(unsafe { libc::malloc(total) }.cast::<u8>()) else {
                return std::ptr::null_mut();
            };
            OVERFLOW.fetch_add(size, Ordering::Relaxed);
            (IN_HEAP, block)
        }
    };
    // SAFETY: the block has room for the header and is 16-byte aligned (pool blocks are multiples of 64 from a page start).
    unsafe {
        block.cast::<Header>().write(Header { class, size });
        block.as_ptr().add(HEADER).cast()
    }
}

unsafe extern "C" fn pool_free(pointer: *mut libc::c_void, _file: *const libc::c_char, _line: libc::c_int) {
    let Some(user) = NonNull::new(pointer.cast::<u8>()) else { return };
    // SAFETY: libcrypto frees what pool_malloc returned, once; the header stands in front of it.
    unsafe {
        let block = user.sub(HEADER);
        let Header { class, size } = block.cast::<Header>().read();
        aws_lc_sys::OPENSSL_cleanse(block.as_ptr().cast(), size + HEADER);
        if class == IN_HEAP {
            OVERFLOW.fetch_sub(size, Ordering::Relaxed);
            libc::free(block.as_ptr().cast());
        } else {
            give_back(class, block);
        }
    }
}

unsafe extern "C" fn pool_realloc(
    pointer: *mut libc::c_void,
    size: usize,
    file: *const libc::c_char,
    line: libc::c_int,
) -> *mut libc::c_void {
    // SAFETY: realloc's contract: pointer is null or live; the old block is copied up to the smaller size, then wiped.
    unsafe {
        let new = pool_malloc(size, file, line);
        if let (Some(new), Some(old)) = (NonNull::new(new.cast::<u8>()), NonNull::new(pointer.cast::<u8>())) {
            let old_size = old.sub(HEADER).cast::<Header>().read().size;
            std::ptr::copy_nonoverlapping(old.as_ptr(), new.as_ptr(), old_size.min(size));
            pool_free(pointer, file, line);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_clean_distinct_and_wiped() {
        install(MemoryPolicy { allow_insecure: true }).unwrap();
        let file = std::ptr::null();
        let mut blocks = Vec::new();
        // SAFETY: the allocator's own functions under their contracts.
        unsafe {
            for round in 0..3u8 {
                for size in [1usize, 40, 48, 49, 200, 4000, 60_000, 200_000] {
                    let block = pool_malloc(size, file, 0).cast::<u8>();
                    assert!(!block.is_null() && block.addr() % 16 == 0);
                    block.write_bytes(round + 1, size);
                    blocks.push((block, size, round + 1));
                }
            }
            for &(block, size, value) in &blocks {
                assert!(std::slice::from_raw_parts(block, size).iter().all(|&byte| byte == value));
            }
            for (block, size, value) in blocks {
                let moved = pool_realloc(block.cast(), size * 2, file, 0).cast::<u8>();
                assert!(std::slice::from_raw_parts(moved, size).iter().all(|&byte| byte == value));
                pool_free(moved.cast(), file, 0);
            }
            let again = pool_malloc(200, file, 0).cast::<u8>();
            assert!(std::slice::from_raw_parts(again, 200).iter().all(|&byte| byte == 0));
            pool_free(again.cast(), file, 0);
        }
    }
}
