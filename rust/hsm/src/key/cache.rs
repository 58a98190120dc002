//! Parsed private keys that were used last: parsing and checking costs more than many an operation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crypto::pkey::PrivateKey;

/// The most parsed keys: 64 of the largest (ML-DSA-87, RSA-4096: 16 KiB) fill half of the key heap.
const CAPACITY: usize = 64;

/// The cache, by handles of the key table (any `Copy + Eq + Hash` name does).
pub(crate) struct Cache<N> {
    inner: Mutex<Inner<N>>,
}

struct Inner<N> {
    keys: HashMap<N, (Arc<PrivateKey>, u64)>,
    /// Counts uses; a key's last one says how recent it is.
    clock: u64,
}

impl<N: Copy + Eq + std::hash::Hash> Cache<N> {
    pub(crate) fn new() -> Cache<N> {
        Cache { inner: Mutex::new(Inner { keys: HashMap::new(), clock: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<N>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: N) -> Option<Arc<PrivateKey>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let (key, last_use) = inner.keys.get_mut(&name)?;
        *last_use = now;
        Some(Arc::clone(key))
    }

    /// Keeps a key, in the place of the one that was not used for longest.
    pub(crate) fn insert(&self, name: N, key: Arc<PrivateKey>) {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let mut dropped = None;
        if inner.keys.len() >= CAPACITY
            && let Some(oldest) = inner.keys.iter().min_by_key(|(_, (_, last_use))| *last_use).map(|(name, _)| *name)
        {
            dropped = inner.keys.remove(&oldest);
        }
        let replaced = inner.keys.insert(name, (key, now));
        drop(inner);
        drop((dropped, replaced)); // wiping takes a while, and nobody should wait for it
    }

    /// Wipes the keys that `keep` is false for.
    pub(crate) fn retain(&self, keep: impl Fn(N) -> bool) {
        self.lock().keys.retain(|name, _| keep(*name));
    }

    /// Wipes all.
    pub(crate) fn clear(&self) {
        self.lock().keys.clear();
    }
}
