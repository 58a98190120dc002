//! Many messages in one call: one derived key with numbered IVs, all cores, straight into the caller's memory.
//!
//! Each blob is an ordinary one that opens alone. A batch's IVs are its messages' numbers from 0, under an N that is fresh for the
//! batch, so no (key, IV) pair repeats.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use crate::blob::{Blob, MAX_PLAINTEXT_LEN, blob_len};
use crate::context::EncryptionContext;
use crate::crypto::aead::Context;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, open_inner};
use crate::keytable::KeyHandle;
use crate::memory;
use crate::message::{MAX_DATA_KEY_LEN, check_plaintext};
use crate::rng::Drbg;
use crate::sealed::{Header, Label, Scratch, split_output};

/// The most messages of one batch. Far below GCM's 2^32 messages a key; it bounds the memory of one call.
pub const MAX_BATCH: usize = 1 << 24;
/// Fewer messages than this are not worth another thread (starting one costs about 20 µs, a message about 0.1).
const MESSAGES_PER_THREAD: usize = 2048;
/// Data keys are drawn from the DRBG this many bytes at a time: its cost is per call, and the block stays in cache.
const RANDOM_BLOCK: usize = 16 * 1024;

/// The message of a batch that failed, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct BatchError {
    /// Its index; None when the batch as a whole was refused.
    pub index: Option<usize>,
    /// What was wrong.
    pub error: Error,
}

impl From<Error> for BatchError {
    fn from(error: Error) -> BatchError {
        BatchError { index: None, error }
    }
}

impl Hsm {
    /// Random data keys of `size` bytes, one after the other in `plaintext`, their blobs in `out` (`blob_len(size)` bytes each).
    /// Uses up to `threads` threads. On failure both buffers are zeroed.
    pub fn generate_data_keys(
        &self,
        handle: KeyHandle,
        context: &EncryptionContext,
        size: usize,
        plaintext: &mut [u8],
        out: &mut [u8],
        threads: NonZeroUsize,
    ) -> Result<()> {
        check_plaintext(size, MAX_DATA_KEY_LEN)?;
        let count = plaintext.len() / size;
        check_count(count)?;
        if !plaintext.len().is_multiple_of(size) || Some(out.len()) != count.checked_mul(blob_len(size)) {
            return Err(Error::Limit("the buffers do not fit the number and size of the data keys".into()));
        }
        let result = (|| {
            let _running = self.enter_batch()?;
            let threads = useful(threads, count);
            self.with_scratch(|scratch| {
                let header = self.derive_batch(scratch, handle)?;
                let cipher = scratch.context();
                let workers = (0..threads).map(|_| {
                    let mut sealer = Sealer::new(cipher, header, context);
                    let mut drbg = Drbg::seeded()?;
                    Ok(move |(first, plaintext, out): (usize, &mut [u8], &mut [u8])| {
                        sealer.generate(&mut drbg, first, size, plaintext, out)
                    })
                });
                let workers = workers.collect::<Result<Vec<_>>>()?;
                let (mut plaintext, mut out) = (&mut *plaintext, &mut *out);
                let portions = Portions { first: 0, count, threads }.map(move |(first, count)| {
                    (first, split_off(&mut plaintext, count * size), split_off(&mut out, count * blob_len(size)))
                });
                in_parallel(workers, portions)
            })
        })();
        if result.is_err() {
            plaintext.fill(0);
            out.fill(0);
        }
        result
    }

    /// Encrypts each of `plaintexts` (1 to 4096 bytes); the blobs stand one after the other in `out`.
    pub fn encrypt_many(
        &self,
        handle: KeyHandle,
        context: &EncryptionContext,
        plaintexts: &[&[u8]],
        out: &mut [u8],
        threads: NonZeroUsize,
    ) -> std::result::Result<(), BatchError> {
        check_count(plaintexts.len())?;
        let mut total = 0;
        for (index, plaintext) in plaintexts.iter().enumerate() {
            check_plaintext(plaintext.len(), MAX_PLAINTEXT_LEN).map_err(|error| BatchError { index: Some(index), error })?;
            total += blob_len(plaintext.len());
        }
        if out.len() != total {
            return Err(Error::Limit(format!("the output buffer must have {total} bytes, not {}", out.len())).into());
        }
        let _running = self.enter_batch()?;
        let (threads, count) = (useful(threads, plaintexts.len()), plaintexts.len());
        self.with_scratch(|scratch| {
            let header = self.derive_batch(scratch, handle)?;
            let cipher = scratch.context();
            let workers = (0..threads).map(|_| {
                let mut sealer = Sealer::new(cipher, header, context);
                move |(first, plaintexts, out): (usize, &[&[u8]], &mut [u8])| sealer.seal_each(first, plaintexts, out)
            });
            let mut out = &mut *out;
            let portions = Portions { first: 0, count, threads }.map(move |(first, count)| {
                let plaintexts = &plaintexts[first..first + count];
                let len = plaintexts.iter().map(|plaintext| blob_len(plaintext.len())).sum();
                (first, plaintexts, split_off(&mut out, len))
            });
            in_parallel(workers.collect(), portions)
        })?;
        Ok(())
    }

    /// Opens each of `blobs`; the plaintexts stand one after the other in `out`. Blobs that share a key and an N one after another
    /// (those of one batch) cost one derivation together. The first failure fails the batch, and `out` is zeroed.
    pub fn decrypt_many(
        &self,
        context: &EncryptionContext,
        blobs: &[(KeyHandle, Blob<'_>)],
        out: &mut [u8],
        threads: NonZeroUsize,
    ) -> std::result::Result<(), BatchError> {
        check_count(blobs.len())?;
        let total: usize = blobs.iter().map(|(_, blob)| blob.plaintext_len()).sum();
        if out.len() != total {
            return Err(Error::Limit(format!("the output buffer must have {total} bytes, not {}", out.len())).into());
        }
        let result = (|| {
            let _running = self.enter_batch()?;
            let (threads, count) = (useful(threads, blobs.len()), blobs.len());
            let workers = (0..threads).map(|_| {
                let mut context = context.duplicate();
                move |(first, blobs, out): (usize, &[(KeyHandle, Blob<'_>)], &mut [u8])| {
                    self.open_each(&mut context, blobs, out, first)
                }
            });
            let mut out = &mut *out;
            let portions = Portions { first: 0, count, threads }.map(move |(first, count)| {
                let blobs = &blobs[first..first + count];
                let len = blobs.iter().map(|(_, blob)| blob.plaintext_len()).sum();
                (first, blobs, split_off(&mut out, len))
            });
            in_parallel(workers.collect(), portions)
        })();
        if result.is_err() {
            out.fill(0);
        }
        result
    }

    /// The derived context of a batch in `scratch`. The key table's lock is not held while the batch runs: others may load keys.
    fn derive_batch(&self, scratch: &mut Scratch, handle: KeyHandle) -> Result<Header> {
        let guard = self.read()?;
        let (len, hbkid) = open_inner(&guard)?.keys.unshield(handle, &mut scratch.key)?;
        let header = Header::numbered(hbkid)?;
        scratch.derive(len, Label::Message, hbkid, header.nonce())?;
        Ok(header)
    }

    fn open_each(
        &self,
        context: &mut EncryptionContext,
        blobs: &[(KeyHandle, Blob<'_>)],
        out: &mut [u8],
        first: usize,
    ) -> std::result::Result<(), BatchError> {
        let mut failed = None;
        let result = self.with_scratch(|scratch| {
            let mut rest = out;
            let mut derived: Option<(KeyHandle, [&[u8; 16]; 2])> = None;
            for (index, (handle, blob)) in blobs.iter().enumerate() {
                let (plaintext, after) = std::mem::take(&mut rest).split_at_mut(blob.plaintext_len());
                rest = after;
                let parts = &blob.parts;
                let opened = (|| {
                    if memory::wiping_started() {
                        return Err(Error::Sealed);
                    }
                    let wanted = Some((*handle, [parts.key_id(), parts.nonce()]));
                    if derived != wanted {
                        derived = None;
                        let guard = self.read()?;
                        open_inner(&guard)?.derive_for_opening(scratch, *handle, parts)?;
                        derived = wanted;
                    }
                    let aad = context.aad(parts.header);
                    scratch.context().open(parts.iv(), aad, parts.ciphertext, parts.tag, plaintext)
                })();
                if let Err(error) = opened {
                    failed = Some(first + index);
                    return Err(error);
                }
            }
            Ok(())
        });
        result.map_err(|error| BatchError { index: failed, error })
    }
}

/// Seals consecutive messages of a batch.
struct Sealer<'a> {
    cipher: &'a Context,
    header: Header,
    context: EncryptionContext,
    number: u64,
}

impl<'a> Sealer<'a> {
    fn new(cipher: &'a Context, header: Header, context: &EncryptionContext) -> Sealer<'a> {
        Sealer { cipher, header, context: context.duplicate(), number: 0 }
    }

    fn generate(&mut self, drbg: &mut Drbg, first: usize, size: usize, plaintext: &mut [u8], out: &mut [u8]) -> Result<()> {
        self.number = first as u64;
        let per_block = (RANDOM_BLOCK / size).max(1);
        let blocks = plaintext.chunks_mut(per_block * size).zip(out.chunks_mut(per_block * blob_len(size)));
        for (plaintext, out) in blocks {
            drbg.fill(plaintext)?;
            for (key, blob) in plaintext.chunks_exact(size).zip(out.chunks_exact_mut(blob_len(size))) {
                self.seal_next(key, blob)?;
            }
        }
        Ok(())
    }

    fn seal_each(&mut self, first: usize, plaintexts: &[&[u8]], out: &mut [u8]) -> Result<()> {
        self.number = first as u64;
        let mut rest = out;
        for plaintext in plaintexts {
            let (blob, after) = std::mem::take(&mut rest).split_at_mut(blob_len(plaintext.len()));
            rest = after;
            self.seal_next(plaintext, blob)?;
        }
        Ok(())
    }

    #[inline]
    fn seal_next(&mut self, plaintext: &[u8], blob: &mut [u8]) -> Result<()> {
        if memory::wiping_started() {
            return Err(Error::Sealed); // the end of the process waits for us
        }
        let iv = Header::numbered_iv(self.number);
        self.number += 1;
        self.header.set_iv(&iv);
        let (ciphertext, tag) = split_output(&self.header, blob)?;
        self.cipher.seal(&iv, self.context.aad(self.header.as_bytes()), plaintext, ciphertext, tag)
    }
}

fn check_count(count: usize) -> Result<()> {
    if (1..=MAX_BATCH).contains(&count) {
        Ok(())
    } else {
        Err(Error::Limit(format!("a batch has between 1 and {MAX_BATCH} messages, not {count}")))
    }
}

/// As many threads as are worth their start.
fn useful(threads: NonZeroUsize, count: usize) -> usize {
    threads.get().min(count.div_ceil(MESSAGES_PER_THREAD)).max(1)
}

/// The messages of a batch in portions that threads fetch as they come to need them: first large ones, which share no pages, then smaller
/// ones, so that a thread whose core is also someone else's does not keep the others waiting. Each is its first message and their number.
struct Portions {
    first: usize,
    count: usize,
    threads: usize,
}

impl Iterator for Portions {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let left = self.count - self.first;
        let fair = if self.threads == 1 { left } else { left.div_ceil(2 * self.threads) };
        let portion = (self.first, fair.max(MESSAGES_PER_THREAD).min(left));
        self.first += portion.1;
        (left > 0).then_some(portion)
    }
}

fn split_off<'a>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, after) = std::mem::take(rest).split_at_mut(len);
    *rest = after;
    front
}

/// Has the workers, each on a thread and the first on this one, take the portions in their order; gives the first failure in that order.
/// Where the system gives no more threads, fewer do it.
fn in_parallel<P, W, E>(workers: Vec<W>, portions: P) -> std::result::Result<(), E>
where
    P: Iterator + Send,
    W: FnMut(P::Item) -> std::result::Result<(), E> + Send,
    E: From<Error> + Send,
{
    let queue = Mutex::new(portions.enumerate());
    let failure: Mutex<Option<(usize, E)>> = Mutex::new(None);
    let fetch = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = |mut work: W| {
        while let Some((number, portion)) = fetch() {
            let Err(error) = work(portion) else { continue };
            // All before it were taken before it, and are finished by those who took them; none after it needs to be.
            for _ in queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref() {}
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            if failure.as_ref().is_none_or(|(first, _)| number < *first) {
                *failure = Some((number, error));
            }
        }
    };
    let panicked = std::thread::scope(|scope| {
        let mut workers = workers.into_iter();
        let own = workers.next();
        let run = &run;
        let started = workers.map_while(|work| std::thread::Builder::new().spawn_scoped(scope, move || run(work)).ok());
        let started: Vec<_> = started.collect();
        own.map(run);
        started.into_iter().filter_map(|thread| thread.join().err()).count()
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None if panicked > 0 => Err(Error::Internal("a batch thread").into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_every_message_once_and_become_smaller() {
        for (count, threads) in [(1, 1), (2048, 1), (5000, 1), (1, 2), (2049, 2), (200_000, 2), (1_000_000, 8), (70_000, 64)] {
            let portions: Vec<_> = Portions { first: 0, count, threads }.collect();
            let mut next = 0;
            for (first, count) in &portions {
                assert_eq!(*first, next);
                next += count;
            }
            assert_eq!(next, count);
            assert!(portions.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            assert!(portions.iter().all(|(_, portion)| threads == 1 || *portion <= (count / threads).max(MESSAGES_PER_THREAD)));
        }
    }

    #[test]
    fn the_first_failure_in_the_order_of_the_portions_is_given() {
        let done = Mutex::new(Vec::new());
        for failing in [0, 3, 49] {
            done.lock().unwrap().clear();
            let workers = (0..4).map(|_| {
                |portion: usize| {
                    done.lock().unwrap().push(portion);
                    if portion >= failing { Err(Error::Limit(portion.to_string())) } else { Ok(()) }
                }
            });
            let result = in_parallel(workers.collect(), 0..50);
            assert_eq!(result, Err(Error::Limit(failing.to_string())));
            let done = done.lock().unwrap();
            assert!((0..=failing).all(|portion| done.contains(&portion)), "all before the failure are done");
            assert!(done.len() <= failing + 4, "and at most what others were at: {done:?}");
        }
        assert_eq!(in_parallel(vec![|_: usize| Ok::<_, Error>(())], 0..50), Ok(()));
    }
}
