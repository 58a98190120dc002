//! The only source of randomness: AWS-LC's CTR_DRBG with AES-256 (NIST SP 800-90A), seeded from the OS and CPU jitter.
#![allow(unsafe_code)] // RAND_bytes through aws-lc-sys

use std::cell::RefCell;
use std::ptr::NonNull;

use aws_lc_sys::{CTR_DRBG_STATE, CTR_DRBG_free, CTR_DRBG_generate, CTR_DRBG_new};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::memory::{LIBCRYPTO_LOCKS, hook_libcrypto, in_key_scope};

/// Fills `out` with random bytes. Reseeds by itself in a forked child (AWS-LC watches for that).
///
/// # Errors
/// [`Error::Sealed`] once the process runs its exit handlers.
pub fn fill_random(out: &mut [u8]) -> Result<()> {
    hook_libcrypto()?;
    // A key scope has a passage for its whole length.
    let _passage = if in_key_scope() { None } else { Some(LIBCRYPTO_LOCKS.enter()?) };
    // SAFETY: pointer and length come from a slice.
    let done = unsafe { aws_lc_sys::RAND_bytes(out.as_mut_ptr(), out.len()) };
    if done == 1 { Ok(()) } else { Err(Error::Internal("the DRBG")) }
}

/// A generator of one's own, for a batch: CTR_DRBG with AES-256, seeded with 384 bits of the process's generator, as AWS-LC seeds the
/// generators of its threads from one another. It spares a call its per-call reseeding, and a thread that only lives for a batch a
/// generator in AWS-LC's global list, whose lock it would take at its end, where no fork can be kept away.
pub(crate) struct Drbg {
    state: NonNull<CTR_DRBG_STATE>,
}

// SAFETY: the state is owned, and nothing in it knows its thread.
unsafe impl Send for Drbg {}

impl Drbg {
    /// The most bytes of one call (SP 800-90A, table 3).
    const MOST: usize = 1 << 16;

    pub(crate) fn seeded() -> Result<Drbg> {
        let mut seed = Zeroizing::new([0; 48]);
        fill_random(&mut seed[..])?;
        Drbg::from_seed(&seed)
    }

    /// A generator whose output is known to who knows the seed: for [`seeded`](Self::seeded) and the self-test.
    pub(crate) fn from_seed(seed: &[u8; 48]) -> Result<Drbg> {
        // SAFETY: the seed has CTR_DRBG_ENTROPY_LEN bytes; there is no personalization string.
        let state = unsafe { CTR_DRBG_new(seed.as_ptr(), std::ptr::null(), 0) };
        NonNull::new(state).map(|state| Drbg { state }).ok_or(Error::Internal("the DRBG"))
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        for part in out.chunks_mut(Self::MOST) {
            // SAFETY: a live state that is ours alone; pointer and length come from a slice within the bound.
            let done = unsafe { CTR_DRBG_generate(self.state.as_ptr(), part.as_mut_ptr(), part.len(), std::ptr::null(), 0) };
            if done != 1 {
                return Err(Error::Internal("the DRBG"));
            }
        }
        Ok(())
    }
}

impl Drop for Drbg {
    fn drop(&mut self) {
        // SAFETY: made by CTR_DRBG_new, freed once; the pool wipes it.
        unsafe { CTR_DRBG_free(self.state.as_ptr()) };
    }
}

struct Ids {
    bytes: [u8; 1024],
    used: usize,
    pid: u32,
}

thread_local! {
    /// One a thread, not one behind a lock: a fork could leave a lock in the hands of a thread that the child does not have.
    static IDS: RefCell<Ids> = const { RefCell::new(Ids { bytes: [0; 1024], used: 1024, pid: 0 }) };
}

/// A random UUID (RFC 9562 version 4, lower case): request ids, event ids, key ids. Not a secret.
///
/// Draws on the DRBG 64 at a time, since ids are needed on every call. A forked child draws its own.
pub fn request_id() -> Result<String> {
    let mut id = [0; 16];
    let drawn = IDS.try_with(|ids| {
        let mut ids = ids.borrow_mut();
        let pid = std::process::id();
        if ids.used == ids.bytes.len() || ids.pid != pid {
            fill_random(&mut ids.bytes)?;
            ids.used = 0;
            ids.pid = pid;
        }
        let used = ids.used;
        id.copy_from_slice(&ids.bytes[used..used + 16]);
        ids.used += 16;
        Ok(())
    });
    drawn.unwrap_or_else(|_| fill_random(&mut id))?; // a thread at its end has no thread-locals any more
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (index, byte) in id.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_uuids_and_differ() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| request_id().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let parts: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
            assert_eq!(&id[14..15], "4");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"));
        }
    }
}
