//! libcrypto's heap: a locked, undumped, wiped pool behind `CRYPTO_set_mem_functions`.
//!
//! AWS-LC keeps its DRBG state here, and the temporaries of its big-number code. It is copied on fork, unlike the arena: AWS-LC
//! walks its DRBG states in a destructor when a forked child exits, so a missing page would crash the child (ADR 0001); it
//! reseeds in a child by itself. KMS keys never come here: AES contexts live in the arena, and what libcrypto allocates while it works
//! with private keys comes from the key heap (`scope`, ADR 0005).
#![allow(unsafe_code)] // a malloc: raw blocks with a header in front

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::blocks::{Blocks, class_of};
use super::exit::leave_libcrypto_at_exit;
use super::fork::{ProcessLock, around_fork, close_libcrypto, reopen_libcrypto};
use super::region::{Level, OnFork, Region};
use super::scope::in_key_scope;
use super::{MemoryPolicy, ProcessMemory};
use crate::error::{Error, Result};

/// Bytes of the pool, largest first: what `RLIMIT_MEMLOCK` allows is taken.
const POOL_BYTES: [usize; 3] = [1 << 20, 256 << 10, 64 << 10];
/// In front of each block; keeps 16-byte alignment.
const HEADER: usize = 16;
const IN_HEAP: usize = usize::MAX;
/// Added to the class of a block of the key heap.
const OF_KEYS: usize = 1 << 32;

#[repr(C)]
struct Header {
    /// The class of a pool block, that and `OF_KEYS`, or `IN_HEAP`.
    class: usize,
    /// Bytes that the caller asked for.
    size: usize,
}

struct Pool {
    region: Option<Region>,
    level: Level,
}

static POOL: OnceLock<Pool> = OnceLock::new();
static BLOCKS: Blocks = Blocks::new();
static OVERFLOW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn before_fork() {
    close_libcrypto(); // first: those inside may need the pool to finish
    BLOCKS.lock.acquire();
}

extern "C" fn after_fork() {
    BLOCKS.lock.release();
    reopen_libcrypto();
}

/// Makes AWS-LC allocate here. Must come before its first allocation, and it accepts the functions only once: so every call into it
/// that may allocate (the DRBG's state, the error queue) comes here first. Later calls cost one load.
#[inline]
pub(crate) fn hook_libcrypto() -> Result<()> {
    if INSTALLED.load(Ordering::Acquire) { Ok(()) } else { install_hook() }
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

#[cold]
fn install_hook() -> Result<()> {
    static INSTALLING: ProcessLock = ProcessLock::new();
    static BEGUN: AtomicBool = AtomicBool::new(false);
    static IN_VAIN: AtomicBool = AtomicBool::new(false);
    const FAILED: Result<()> = Err(Error::Internal("the allocator hook of libcrypto"));
    let _guard = INSTALLING.acquire();
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    if BEGUN.swap(true, Ordering::Relaxed) {
        // libcrypto takes its functions only once. If it was not in vain, a fork left a thread in the middle of it, in the parent.
        return if IN_VAIN.load(Ordering::Relaxed) { FAILED } else { Err(Error::Forked) };
    }
    let pool = POOL.get_or_init(make);
    if let Some(region) = &pool.region {
        BLOCKS.add(region.data(), region.len());
    }
    let installed = leave_libcrypto_at_exit()
        && around_fork(before_fork, after_fork)
        // SAFETY: the three functions follow malloc's, realloc's and free's contracts.
        && unsafe { aws_lc_sys::CRYPTO_set_mem_functions(Some(pool_malloc), Some(pool_realloc), Some(pool_free)) == 1 };
    IN_VAIN.store(!installed, Ordering::Relaxed);
    INSTALLED.store(installed, Ordering::Release);
    if installed { Ok(()) } else { FAILED }
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

/// malloc's contract: null where there is no room, else `size` bytes that are the caller's until it frees them.
///
/// # Safety
/// Always safe to call; unsafe as the type that libcrypto takes it in.
unsafe extern "C" fn pool_malloc(size: usize, _file: *const libc::c_char, _line: libc::c_int) -> *mut libc::c_void {
    let Some(total) = size.checked_add(HEADER) else { return std::ptr::null_mut() };
    let (class, block) = if in_key_scope() {
        // What holds private keys has no other place to go: no room is a failure, not the ordinary heap.
        let Some(heap) = super::current().map(ProcessMemory::key_heap) else { return std::ptr::null_mut() };
        match class_of(total).and_then(|class| Some((class, heap.take(class)?))) {
            Some((class, block)) => (class + OF_KEYS, block),
            None => return std::ptr::null_mut(),
        }
    } else if let Some((class, block)) = class_of(total).and_then(|class| Some((class, BLOCKS.take(class, || None)?))) {
        (class, block)
    } else {
        // SAFETY: plain malloc; null is checked.
        let Some(block) = NonNull::new(unsafe { libc::malloc(total) }.cast::<u8>()) else {
            return std::ptr::null_mut();
        };
        OVERFLOW.fetch_add(size, Ordering::Relaxed);
        (IN_HEAP, block)
    };
    // SAFETY: the block has room for the header and is 16-byte aligned (pool blocks are multiples of 64 from a page start).
    unsafe {
        block.cast::<Header>().write(Header { class, size });
        block.as_ptr().add(HEADER).cast()
    }
}

/// free's contract.
///
/// # Safety
/// `pointer` is null, or came from [`pool_malloc`] or [`pool_realloc`], and nobody uses it any more. A block of the key heap is not there in
/// a forked child: its owner leaves it alone.
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
        } else if class >= OF_KEYS {
            if let Some(heap) = super::current().map(ProcessMemory::key_heap) {
                heap.give_back(class - OF_KEYS, block);
            }
        } else {
            BLOCKS.give_back(class, block);
        }
    }
}

/// realloc's contract, but that the old block is wiped. Where null comes back, the old block is as it was.
///
/// # Safety
/// `pointer` as for [`pool_free`].
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
