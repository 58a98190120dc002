//! The only source of randomness: AWS-LC's CTR_DRBG with AES-256 (NIST SP 800-90A), seeded from the OS and CPU jitter.
#![allow(unsafe_code)] // RAND_bytes through aws-lc-sys

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Fills `out` with random bytes. Reseeds by itself in a forked child (AWS-LC watches for that).
pub fn fill_random(out: &mut [u8]) -> Result<()> {
    // SAFETY: pointer and length come from a slice.
    let done = unsafe { aws_lc_sys::RAND_bytes(out.as_mut_ptr(), out.len()) };
    if done == 1 { Ok(()) } else { Err(Error::Internal("the DRBG")) }
}

struct Ids {
    bytes: [u8; 1024],
    used: usize,
    pid: u32,
}

static IDS: Mutex<Ids> = Mutex::new(Ids { bytes: [0; 1024], used: 1024, pid: 0 });

/// A random UUID (RFC 9562 version 4, lower case): request ids, event ids, key ids. Not a secret.
///
/// Draws on the DRBG 64 at a time, since ids are needed on every call. A forked child draws its own.
pub fn request_id() -> Result<String> {
    let mut id = [0; 16];
    {
        let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = std::process::id();
        if ids.used == ids.bytes.len() || ids.pid != pid {
            fill_random(&mut ids.bytes)?;
            ids.used = 0;
            ids.pid = pid;
        }
        let used = ids.used;
        id.copy_from_slice(&ids.bytes[used..used + 16]);
        ids.used += 16;
    }
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
