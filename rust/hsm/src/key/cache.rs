//! Parsed keys that were used last: parsing and checking costs more than many an operation.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A cache of keys of type `K` by names of type `N`. Keys have weights; the least recently used go where all would weigh too much.
pub(crate) struct Cache<N, K> {
    inner: Mutex<Inner<N, K>>,
    capacity: usize,
}

struct Inner<N, K> {
    keys: HashMap<N, Kept<K>>,
    weight: usize,
    /// Counts uses; a key's last one says how recent it is.
    clock: u64,
}

struct Kept<K> {
    key: Arc<K>,
    weight: usize,
    last_use: u64,
}

impl<N: Clone + Eq + Hash, K> Cache<N, K> {
    /// A cache of keys that weigh at most `capacity` together.
    pub(crate) fn new(capacity: usize) -> Cache<N, K> {
        Cache { inner: Mutex::new(Inner { keys: HashMap::new(), weight: 0, clock: 0 }), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<N, K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> Option<Arc<K>>
    where
        N: Borrow<Q>,
    {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let kept = inner.keys.get_mut(name)?;
        kept.last_use = now;
        Some(Arc::clone(&kept.key))
    }

    /// Keeps a key, in the place of those that were not used for longest.
    pub(crate) fn insert(&self, name: N, key: Arc<K>, weight: usize) {
        let mut dropped = Vec::new(); // wiping takes a while, and nobody should wait for it
        let mut inner = self.lock();
        inner.clock += 1;
        let last_use = inner.clock;
        dropped.extend(inner.keys.remove(&name));
        inner.weight += weight;
        inner.weight -= dropped.iter().map(|kept| kept.weight).sum::<usize>();
        while inner.weight > self.capacity
            && let Some(oldest) = inner.keys.iter().min_by_key(|(_, kept)| kept.last_use).map(|(name, _)| name.clone())
            && let Some(kept) = inner.keys.remove(&oldest)
        {
            inner.weight -= kept.weight;
            dropped.push(kept);
        }
        inner.keys.insert(name, Kept { key, weight, last_use });
    }

    /// Drops the keys that `keep` is false for.
    pub(crate) fn retain(&self, keep: impl Fn(&N) -> bool) {
        let mut inner = self.lock();
        inner.keys.retain(|name, _| keep(name));
        inner.weight = inner.keys.values().map(|kept| kept.weight).sum();
    }

    /// Drops all.
    pub(crate) fn clear(&self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_make_room_by_weight() {
        let cache = Cache::new(10);
        for name in 0..5u32 {
            cache.insert(name, Arc::new(name), 2);
        }
        assert_eq!(cache.get(&0).as_deref(), Some(&0)); // so that 1 and 2 are the oldest
        cache.insert(5, Arc::new(5), 3);
        let kept = |cache: &Cache<u32, u32>| (0..7).filter(|name| cache.get(name).is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&cache), [0, 3, 4, 5]);
        cache.insert(5, Arc::new(50), 4); // the same name again weighs once
        assert_eq!(kept(&cache), [0, 3, 4, 5]);
        assert_eq!(cache.get(&5).as_deref(), Some(&50));
        cache.retain(|name| *name != 5);
        cache.insert(6, Arc::new(6), 4);
        assert_eq!(kept(&cache), [0, 3, 4, 6]);
        cache.clear();
        assert_eq!(kept(&cache), [0u32; 0]);
    }
}
