//! Loaded backing keys: each sealed under the shield key in ordinary heap, opened only for the operation that needs it.
//!
//! The shield key is random per HSM and lives, as an AES-GCM context, in the arena. Wiping it makes every entry unreadable at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::crypto::aead::Aes256Gcm;
use crate::error::{Error, Result};
use crate::key::spec::{KeySpec, KeyUsage};
use crate::memory::{Arena, Secret};
use crate::rng::fill_random;
use crate::token::Hbkid;

/// Names a loaded key. Handles are never reused: a stale one is refused, not served another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHandle(u64);

impl KeyHandle {
    /// The handle as a number, to pass it through Python.
    pub fn to_raw(self) -> u64 {
        self.0
    }

    /// Any number may come back; an invented one is refused at its use.
    pub fn from_raw(raw: u64) -> KeyHandle {
        KeyHandle(raw)
    }

    fn new(index: usize, generation: u32) -> Result<KeyHandle> {
        let index = u32::try_from(index).map_err(|_| Error::Limit("more than 2^32 keys are loaded".into()))?;
        Ok(KeyHandle(u64::from(generation) << 32 | u64::from(index)))
    }

    fn split(self) -> (usize, u32) {
        let index = usize::try_from(self.0 & 0xffff_ffff).unwrap_or(usize::MAX);
        (index, u32::try_from(self.0 >> 32).unwrap_or(0))
    }
}

struct Entry {
    hbkid: Hbkid,
    iv: u64,
    tag: [u8; 16],
    sealed: Sealed,
    spec: KeySpec,
    usage: KeyUsage,
    /// Set by each use, cleared by each sweep: what a sweep finds clear is idle.
    used: AtomicBool,
}

/// A shielded key. Symmetric keys stand in the table itself: with many in use, an operation finds its key in one place.
enum Sealed {
    Symmetric([u8; 32]),
    Other(Box<[u8]>),
}

impl Sealed {
    /// Room for a key of `len` bytes.
    fn zeroed(len: usize) -> Sealed {
        if len == 32 { Sealed::Symmetric([0; 32]) } else { Sealed::Other(vec![0; len].into_boxed_slice()) }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Sealed::Symmetric(bytes) => bytes,
            Sealed::Other(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Sealed::Symmetric(bytes) => bytes,
            Sealed::Other(bytes) => bytes,
        }
    }
}

/// A secret under the shield that is no backing key.
pub(crate) struct Shielded {
    iv: u64,
    sealed: Box<[u8]>,
    tag: [u8; 16],
}

/// What stands in the AAD of secrets without an HBKID: of another length, so that neither opens as the other.
const UNNAMED: &[u8] = b"unnamed";

struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// The table. Reading is shared; loading and unloading are exclusive (the HSM's lock sees to it).
pub(crate) struct KeyTable {
    shield: Aes256Gcm,
    next_iv: AtomicU64,
    /// A key that opens nothing: what an unknown HBKID is "opened" with, so that it costs the same. No handle names it.
    decoy: Entry,
    slots: Vec<Slot>,
    free: Vec<usize>,
    loaded: usize,
}

impl KeyTable {
    pub(crate) fn new(arena: &'static Arena) -> Result<KeyTable> {
        let key: Secret<32> = Secret::new_with(arena, |bytes| fill_random(bytes))?;
        let shield = Aes256Gcm::new(arena, key.expose_secret())?;
        let next_iv = AtomicU64::new(0);
        let decoy_key: Secret<32> = Secret::new_with(arena, |bytes| fill_random(bytes))?;
        let decoy = shielded(&shield, &next_iv, [0; 16], DECOY, decoy_key.expose_secret())?;
        Ok(KeyTable { shield, next_iv, decoy, slots: Vec::new(), free: Vec::new(), loaded: 0 })
    }

    /// How many keys are loaded.
    pub(crate) fn len(&self) -> usize {
        self.loaded
    }

    /// Shields `key` (which stands in protected memory) and gives its handle.
    pub(crate) fn insert(&mut self, hbkid: Hbkid, kind: (KeySpec, KeyUsage), key: &[u8]) -> Result<KeyHandle> {
        let entry = shielded(&self.shield, &self.next_iv, hbkid, kind, key)?;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot { generation: 0, entry: None });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1);
        slot.entry = Some(entry);
        self.loaded += 1;
        KeyHandle::new(index, slot.generation)
    }

    /// Opens a symmetric key into `out` (in protected memory); gives its length and id. No other key makes or opens blobs.
    #[inline]
    pub(crate) fn unshield(&self, handle: KeyHandle, out: &mut [u8]) -> Result<(usize, &Hbkid)> {
        let entry = self.entry(handle)?;
        if entry.spec != KeySpec::Symmetric {
            return Err(misfit("SYMMETRIC_DEFAULT", entry.spec));
        }
        let len = self.open(entry, out)?;
        entry.mark();
        Ok((len, &entry.hbkid))
    }

    /// Opens a key of any spec into `out` (in protected memory); gives its length.
    pub(crate) fn unshield_secret(&self, handle: KeyHandle, out: &mut [u8]) -> Result<usize> {
        let entry = self.entry(handle)?;
        entry.mark();
        self.open(entry, out)
    }

    /// What a key is and what for; counts as a use.
    #[inline]
    pub(crate) fn describe(&self, handle: KeyHandle) -> Result<(KeySpec, KeyUsage)> {
        let entry = self.entry(handle)?;
        entry.mark();
        Ok((entry.spec, entry.usage))
    }

    /// Shields a secret that has no handle: its owner keeps it, and it opens here only.
    pub(crate) fn shield(&self, secret: &[u8]) -> Result<Shielded> {
        let iv = self.next_iv.fetch_add(1, Ordering::Relaxed);
        let mut sealed = vec![0; secret.len()].into_boxed_slice();
        let mut tag = [0; 16];
        self.shield.seal(&shield_iv(iv), UNNAMED, secret, &mut sealed, &mut tag)?;
        Ok(Shielded { iv, sealed, tag })
    }

    /// Opens such a secret into `out` (in protected memory); gives its length.
    pub(crate) fn open_shielded(&self, secret: &Shielded, out: &mut [u8]) -> Result<usize> {
        let out = out.get_mut(..secret.sealed.len()).ok_or(Error::Internal("a secret's length"))?;
        self.shield
            .open(&shield_iv(secret.iv), UNNAMED, &secret.sealed, &secret.tag, out)
            .map_err(|_| Error::Internal("the shield: a secret of another HSM, or changed in memory"))?;
        Ok(out.len())
    }

    /// Whether the handle names a key.
    pub(crate) fn is_loaded(&self, handle: KeyHandle) -> bool {
        self.entry(handle).is_ok()
    }

    /// Opens the decoy as [`unshield`](Self::unshield) opens a key; gives its length.
    pub(crate) fn unshield_decoy(&self, out: &mut [u8]) -> Result<usize> {
        self.open(&self.decoy, out)
    }

    fn open(&self, entry: &Entry, out: &mut [u8]) -> Result<usize> {
        let sealed = entry.sealed.bytes();
        let len = sealed.len();
        let out = out.get_mut(..len).ok_or(Error::Internal("a key length"))?;
        self.shield
            .open(&shield_iv(entry.iv), &entry.hbkid, sealed, &entry.tag, out)
            .map_err(|_| Error::Internal("the shield: a loaded key was changed in memory"))?;
        Ok(len)
    }

    fn entry(&self, handle: KeyHandle) -> Result<&Entry> {
        let (index, generation) = handle.split();
        let slot = self.slots.get(index).filter(|slot| slot.generation == generation).ok_or(Error::KeyNotLoaded)?;
        slot.entry.as_ref().ok_or(Error::KeyNotLoaded)
    }

    /// Forgets a key. False when the handle named none.
    pub(crate) fn remove(&mut self, handle: KeyHandle) -> bool {
        if self.entry(handle).is_err() {
            return false;
        }
        self.clear(handle.split().0);
        true
    }

    /// Forgets every key that nothing used since the sweep before; gives their number.
    pub(crate) fn sweep(&mut self) -> usize {
        let mut evicted = 0;
        for index in 0..self.slots.len() {
            let idle = match &self.slots[index].entry {
                Some(entry) => !entry.used.swap(false, Ordering::Relaxed),
                None => false,
            };
            if idle {
                self.clear(index);
                evicted += 1;
            }
        }
        evicted
    }

    fn clear(&mut self, index: usize) {
        if let Some(mut entry) = self.slots[index].entry.take() {
            zeroize::Zeroize::zeroize(entry.sealed.bytes_mut());
            self.loaded -= 1;
            // A generation that would wrap is retired with its slot, so that no old handle ever matches again.
            if self.slots[index].generation < u32::MAX {
                self.free.push(index);
            }
        }
    }
}

const DECOY: (KeySpec, KeyUsage) = (KeySpec::Symmetric, KeyUsage::EncryptDecrypt);

/// The refusal of an algorithm that a key of this spec does not have.
pub(crate) fn misfit(algorithm: &str, spec: KeySpec) -> Error {
    Error::Limit(format!("the algorithm {algorithm} does not fit a key of spec {}", spec.name()))
}

impl Entry {
    #[inline]
    fn mark(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

fn shielded(
    shield: &Aes256Gcm,
    next_iv: &AtomicU64,
    hbkid: Hbkid,
    (spec, usage): (KeySpec, KeyUsage),
    key: &[u8],
) -> Result<Entry> {
    let iv = next_iv.fetch_add(1, Ordering::Relaxed); // 2^64 loads: never repeats in a boot
    let mut sealed = Sealed::zeroed(key.len());
    let mut tag = [0; 16];
    shield.seal(&shield_iv(iv), &hbkid, key, sealed.bytes_mut(), &mut tag)?;
    Ok(Entry { hbkid, spec, usage, iv, sealed, tag, used: AtomicBool::new(true) })
}

fn shield_iv(number: u64) -> [u8; 12] {
    let mut iv = [0; 12];
    iv[4..].copy_from_slice(&number.to_be_bytes());
    iv
}
