//! Memory of large buffers: mappings in huge pages, of which the last that were given back are kept for the next buffer.
//!
//! Fresh pages cost a batch a quarter of its time: the kernel clears and maps each where it is first written. A program that makes one
//! batch after the other gets the same pages again. What was secret in them is wiped by who gives them back.
#![allow(unsafe_code)] // mmap

use std::ptr::{NonNull, null_mut};
use std::sync::Mutex;

/// The size of a huge page on x86-64 and, with pages of 4 KiB, on ARM; elsewhere only a unit.
const HUGE_PAGE: usize = 2 << 20;
/// The most bytes kept: the plaintexts and blobs of half a million 256-bit data keys.
const KEPT_BYTES: usize = 64 << 20;

/// Whole huge pages of this process.
pub(crate) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range owned by one value, which itself offers no access to the bytes.
unsafe impl Send for Pages {}

/// Oldest first. Only ever tried, never waited for: a fork may leave it locked for ever in the child.
static KEPT: Mutex<Vec<Pages>> = Mutex::new(Vec::new());

impl Pages {
    /// Pages for `len` bytes: kept ones, which hold anything but secrets, or fresh ones, which hold zeros. None where memory is out.
    pub(crate) fn take(len: usize) -> Option<Pages> {
        let len = len.checked_next_multiple_of(HUGE_PAGE)?;
        Pages::kept(len).or_else(|| Pages::map(len))
    }

    fn kept(len: usize) -> Option<Pages> {
        let mut kept = KEPT.try_lock().ok()?;
        let fits = |pages: &&Pages| (len..=2 * len).contains(&pages.len);
        let best = kept.iter().filter(fits).map(|pages| pages.len).min()?;
        let at = kept.iter().rposition(|pages| pages.len == best)?; // the last one may still be in the cache
        Some(kept.remove(at))
    }

    fn map(len: usize) -> Option<Pages> {
        let room = len.checked_add(HUGE_PAGE)?;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let mapping = unsafe {
            libc::mmap(null_mut(), room, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if mapping == libc::MAP_FAILED {
            return None;
        }
        let mapping = mapping.cast::<u8>();
        let before = mapping.align_offset(HUGE_PAGE);
        // SAFETY: what stands before and behind the aligned part is ours, whole pages, and given up; the advice is about our own pages
        // and changes nothing that can be read (where huge pages are not to be had, they stay small).
        unsafe {
            let start = mapping.add(before);
            for (unused, len) in [(mapping, before), (start.add(len), HUGE_PAGE - before)] {
                if len > 0 {
                    libc::munmap(unused.cast(), len);
                }
            }
            libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE);
            NonNull::new(start).map(|start| Pages { start, len })
        }
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Gives them back, to be kept. They hold no secret any more.
    pub(crate) fn give_back(self) {
        let mut dropped = Vec::new(); // unmapped when nothing is locked
        if self.len <= KEPT_BYTES
            && let Ok(mut kept) = KEPT.try_lock()
        {
            let mut bytes = self.len + kept.iter().map(|pages| pages.len).sum::<usize>();
            while bytes > KEPT_BYTES && !kept.is_empty() {
                let oldest = kept.remove(0);
                bytes -= oldest.len;
                dropped.push(oldest);
            }
            kept.push(self);
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing points into any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Gives what is kept to the system.
pub(crate) fn release() {
    let kept = KEPT.try_lock().map(|mut kept| std::mem::take(&mut *kept));
    drop(kept);
}
