//! Many messages in one call: one derived key with numbered IVs, all cores, straight into the caller's memory.
//!
//! Each blob is an ordinary one that opens alone. A batch's IVs are its messages' numbers from 0, under an N that is fresh for the
//! batch, so no (key, IV) pair repeats.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

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
            let per_thread = share(count, threads);
            self.with_scratch(|scratch| {
                let header = self.derive_batch(scratch, handle)?;
                let cipher = scratch.context();
                let chunks = plaintext.chunks_mut(per_thread * size).zip(out.chunks_mut(per_thread * blob_len(size)));
                let jobs = chunks.enumerate().map(|(chunk, (plaintext, out))| {
                    let mut sealer = Sealer::new(cipher, header, context, chunk * per_thread);
                    let drbg = Drbg::seeded();
                    move || sealer.generate(drbg?, size, plaintext, out)
                });
                in_parallel(jobs)
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
        let per_thread = share(plaintexts.len(), threads);
        self.with_scratch(|scratch| {
            let header = self.derive_batch(scratch, handle)?;
            let cipher = scratch.context();
            let mut rest = &mut *out;
            let jobs = plaintexts.chunks(per_thread).enumerate().map(|(chunk, plaintexts)| {
                let len = plaintexts.iter().map(|plaintext| blob_len(plaintext.len())).sum();
                let (out, after) = std::mem::take(&mut rest).split_at_mut(len);
                rest = after;
                let mut sealer = Sealer::new(cipher, header, context, chunk * per_thread);
                move || sealer.seal_each(plaintexts, out)
            });
            in_parallel(jobs)
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
            let per_thread = share(blobs.len(), threads);
            let mut rest = &mut *out;
            let jobs = blobs.chunks(per_thread).enumerate().map(|(chunk, blobs)| {
                let len = blobs.iter().map(|(_, blob)| blob.plaintext_len()).sum();
                let (out, after) = std::mem::take(&mut rest).split_at_mut(len);
                rest = after;
                let context = context.duplicate();
                move || self.open_each(context, blobs, out, chunk * per_thread)
            });
            in_parallel(jobs)
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
        mut context: EncryptionContext,
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
    fn new(cipher: &'a Context, header: Header, context: &EncryptionContext, first: usize) -> Sealer<'a> {
        Sealer { cipher, header, context: context.duplicate(), number: first as u64 }
    }

    fn generate(&mut self, mut drbg: Drbg, size: usize, plaintext: &mut [u8], out: &mut [u8]) -> Result<()> {
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

    fn seal_each(&mut self, plaintexts: &[&[u8]], out: &mut [u8]) -> Result<()> {
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

/// Messages a thread.
fn share(count: usize, threads: NonZeroUsize) -> usize {
    let threads = threads.get().min(count.div_ceil(MESSAGES_PER_THREAD)).max(1);
    count.div_ceil(threads)
}

/// Runs the jobs side by side, the first on this thread; gives the first failure in the order of the jobs.
fn in_parallel<J, E>(jobs: impl Iterator<Item = J>) -> std::result::Result<(), E>
where
    J: FnOnce() -> std::result::Result<(), E> + Send,
    E: From<Error> + Send,
{
    let mut jobs: Vec<J> = jobs.collect();
    if jobs.len() == 1 {
        return jobs.pop().map_or(Ok(()), |job| job());
    }
    std::thread::scope(|scope| {
        let rest = jobs.split_off(1);
        let running: Vec<_> = rest.into_iter().map(|job| Worker::start(scope, job)).collect();
        let mut result = jobs.pop().map_or(Ok(()), |job| job());
        for worker in running {
            result = result.and(worker.finish());
        }
        result
    })
}

/// A job on a thread of its own, or, where the system gives no more threads, waiting for this one.
enum Worker<'scope, J, E> {
    Thread(ScopedJoinHandle<'scope, Outcome<E>>),
    Here(Arc<Mutex<Option<J>>>),
}

type Outcome<E> = std::result::Result<(), E>;

impl<'scope, J, E> Worker<'scope, J, E>
where
    J: FnOnce() -> Outcome<E> + Send + 'scope,
    E: From<Error> + Send + 'scope,
{
    fn start(scope: &'scope Scope<'scope, '_>, job: J) -> Self {
        let job = Arc::new(Mutex::new(Some(job)));
        let theirs = Arc::clone(&job);
        match std::thread::Builder::new().spawn_scoped(scope, move || run_once(&theirs)) {
            Ok(thread) => Worker::Thread(thread),
            Err(_) => Worker::Here(job),
        }
    }

    fn finish(self) -> Outcome<E> {
        match self {
            Worker::Thread(thread) => thread.join().unwrap_or_else(|_| Err(Error::Internal("a batch thread").into())),
            Worker::Here(job) => run_once(&job),
        }
    }
}

fn run_once<J, E>(job: &Mutex<Option<J>>) -> Outcome<E>
where
    J: FnOnce() -> Outcome<E>,
    E: From<Error>,
{
    let taken = job.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.map_or_else(|| Err(Error::Internal("a batch thread").into()), |job| job())
}
