//! One mapping of protected pages between two guard pages.
#![allow(unsafe_code)] // mmap and friends have no safe form; every block argues its pointers

use std::io;
use std::ptr::NonNull;

/// How well a mapping is protected, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Pages of `memfd_secret(2)`: gone from the kernel's direct map, unreadable to debuggers and core dumps, never swapped.
    SecretMemory,
    /// Anonymous pages with `mlock`, `MADV_DONTDUMP` and `MADV_WIPEONFORK`.
    Locked,
    /// Ordinary pages.
    Unprotected,
}

impl Level {
    /// The name that status reports use.
    pub fn name(self) -> &'static str {
        match self {
            Level::SecretMemory => "memfd_secret",
            Level::Locked => "mlock",
            Level::Unprotected => "unprotected",
        }
    }
}

/// What a forked child finds in the mapping. (Secret memory is never inherited.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFork {
    /// Nothing: unmapped or zero pages.
    Gone,
    /// A copy, for libcrypto's own state, which libcrypto itself walks when a child exits.
    Copied,
}

/// A read-write mapping of whole pages with an inaccessible page on either side.
pub(super) struct Region {
    mapping: NonNull<u8>,
    mapping_len: usize,
    data: NonNull<u8>,
    len: usize,
    level: Level,
}

// SAFETY: a Region is an address range owned by one value; threads share it through the allocators' own locks.
unsafe impl Send for Region {}
// SAFETY: as above; Region itself offers no access to the bytes.
unsafe impl Sync for Region {}

pub(super) fn page_size() -> usize {
    // SAFETY: sysconf reads a constant.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

impl Region {
    /// Maps at least `len` bytes at exactly `level`, or says why that cannot be had.
    pub(super) fn map(len: usize, level: Level, on_fork: OnFork) -> io::Result<Region> {
        let page = page_size();
        let len = len.next_multiple_of(page);
        let mapping_len = len + 2 * page;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let mapping = unsafe {
            libc::mmap(std::ptr::null_mut(), mapping_len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = NonNull::new(mapping.cast::<u8>()).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: page < mapping_len, so the result is inside the mapping.
        let data = unsafe { mapping.add(page) };
        let region = Region { mapping, mapping_len, data, len, level }; // Drop unmaps when a step below fails
        match level {
            Level::SecretMemory => region.back_with_secret_memory()?,
            Level::Locked => region.lock_pages(on_fork)?,
            Level::Unprotected => region.make_writable()?,
        }
        Ok(region)
    }

    fn back_with_secret_memory(&self) -> io::Result<()> {
        let fd = secret_memory_file();
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let len = libc::off_t::try_from(self.len).map_err(io::Error::other)?;
        // SAFETY: fd is ours; the fixed mapping replaces exactly our own data pages; the descriptor is closed once.
        unsafe {
            let truncated = libc::ftruncate(fd, len);
            let mapped = if truncated == 0 {
                libc::mmap(
                    self.data.as_ptr().cast(),
                    self.len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_FIXED,
                    fd,
                    0,
                )
            } else {
                libc::MAP_FAILED
            };
            let error = io::Error::last_os_error();
            libc::close(fd);
            if mapped == libc::MAP_FAILED {
                return Err(error);
            }
        }
        self.advise(libc::MADV_DONTFORK)
    }

    fn lock_pages(&self, on_fork: OnFork) -> io::Result<()> {
        self.make_writable()?;
        // SAFETY: the range is our own data pages.
        if unsafe { libc::mlock(self.data.as_ptr().cast(), self.len) } != 0 {
            return Err(io::Error::last_os_error());
        }
        self.advise(libc::MADV_DONTDUMP)?;
        if on_fork == OnFork::Gone {
            self.advise(libc::MADV_WIPEONFORK)?;
        }
        Ok(())
    }

    fn make_writable(&self) -> io::Result<()> {
        // SAFETY: the range is our own data pages.
        let done = unsafe { libc::mprotect(self.data.as_ptr().cast(), self.len, libc::PROT_READ | libc::PROT_WRITE) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn advise(&self, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: the range is our own data pages; none of the advices used here invalidates the mapping in this process.
        let done = unsafe { libc::madvise(self.data.as_ptr().cast(), self.len, advice) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn data(&self) -> NonNull<u8> {
        self.data
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }
}

/// A descriptor of fresh secret memory, or -1.
fn secret_memory_file() -> libc::c_int {
    #[cfg(feature = "test-door")]
    if let Some(fd) = shared_with_test() {
        return fd;
    }
    // SAFETY: memfd_secret takes flags only (the flag value fits) and returns a descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    libc::c_int::try_from(fd).unwrap_or(-1)
}

/// The descriptor in `CLAVERO_TEST_ARENA_FD`, once: a test that holds it too sees the first mapping, also after our end.
#[cfg(feature = "test-door")]
fn shared_with_test() -> Option<libc::c_int> {
    static GIVEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let fd = std::env::var("CLAVERO_TEST_ARENA_FD").ok()?.parse().ok()?;
    (!GIVEN.swap(true, std::sync::atomic::Ordering::Relaxed)).then_some(fd)
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the whole mapping is ours and nothing points into it any more (its owners drop it last). The kernel clears
        // freed pages before anyone else sees them; owners wipe before that all the same.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapping_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_gives_zeroed_writable_pages() {
        for level in [Level::SecretMemory, Level::Locked, Level::Unprotected] {
            let Ok(region) = Region::map(10_000, level, OnFork::Gone) else {
                assert_ne!(level, Level::Unprotected, "ordinary memory is always there");
                continue; // this kernel or its limits do not offer the level
            };
            assert_eq!(region.len() % page_size(), 0);
            // SAFETY: the region's own pages.
            let bytes = unsafe { std::slice::from_raw_parts_mut(region.data().as_ptr(), region.len()) };
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(0xa5);
        }
    }
}
