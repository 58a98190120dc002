//! The HSM: opening and sealing it, its domains, and the keys loaded in it. Messages are in `message`, batches in `batch`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::crypto::kdf::kbkdf_ctr_hmac_sha256;
use crate::domain::{Domain, DomainKeyInfo, DomainState, RootSeal};
use crate::error::{Error, Result};
use crate::keytable::{KeyHandle, KeyTable};
use crate::memory::{self, Arena, Guarded, MemoryPolicy, ProcessMemory, Secret};
use crate::rng::fill_random;
use crate::sealed::{Label, Parts, Scratch, open_scratch, push_field, seal_scratch};
use crate::token::{self, BACKING_KEY_LEN, Hbkid, KeyBinding};
use crate::{rng, selftest};

/// Where the root key comes from. Implementations do the I/O; the HSM gives them protected memory to write to.
pub trait UnsealProvider: Send + Sync {
    /// What to call the provider in messages: `key file /var/lib/x/root.key`. Never part of a secret.
    fn describe(&self) -> String;

    /// Writes the 256-bit root key. `create` is true only where nothing was sealed yet: then, and only then, a provider that keeps
    /// its key somewhere may make a new one.
    fn root_key(&self, create: bool, out: &mut [u8; 32]) -> Result<()>;
}

/// An open HSM: a shield, the domains of its Regions, and the keys loaded in it. Share it between threads freely.
pub struct Hsm {
    memory: &'static ProcessMemory,
    inner: RwLock<Option<Inner>>,
    scratch: Mutex<Vec<Guarded<Scratch>>>,
    /// Read by each batch while it runs, written by `seal`, which waits for them.
    batches: RwLock<()>,
}

pub(crate) struct Inner {
    root: RootSeal,
    domains: BTreeMap<String, Domain>,
    pub(crate) keys: KeyTable,
}

/// What an operator may see of an HSM.
#[derive(Clone, Debug)]
pub struct HsmStatus {
    /// The protected memory of the process.
    pub memory: memory::MemoryStatus,
    /// Keys loaded now.
    pub loaded_keys: usize,
    /// Regions with a domain in force, and the version of its state.
    pub domains: Vec<(String, u64)>,
}

impl Hsm {
    /// Opens an HSM under the root key that `provider` gives. Runs the self-tests on the process's first use.
    pub fn open(provider: &dyn UnsealProvider, create: bool, policy: MemoryPolicy) -> Result<Hsm> {
        let memory = memory::open(policy)?;
        selftest::ensure_passed()?;
        let arena = memory.arena();
        let root_key: Secret<32> = Secret::new_with(arena, |bytes| provider.root_key(create, bytes))?;
        let Some(_passage) = memory::OPERATIONS.try_enter() else { return Err(Error::Sealed) };
        let root = derive_root_seal(arena, &root_key)?;
        drop(root_key);
        let inner = Inner { root, domains: BTreeMap::new(), keys: KeyTable::new(arena)? };
        Ok(Hsm { memory, inner: RwLock::new(Some(inner)), scratch: Mutex::new(Vec::new()), batches: RwLock::new(()) })
    }

    /// Wipes every key from memory. Operations that run finish first; later ones get [`Error::Sealed`].
    pub fn seal(&self) -> Result<()> {
        self.guard()?;
        let _batches_ended = self.batches.write().unwrap_or_else(PoisonError::into_inner);
        drop(self.inner.write().unwrap_or_else(PoisonError::into_inner).take());
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// The HSM's state, for health checks and reports.
    pub fn status(&self) -> Result<HsmStatus> {
        let inner = self.read()?;
        let inner = open_inner(&inner)?;
        Ok(HsmStatus {
            memory: self.memory.status(),
            loaded_keys: inner.keys.len(),
            domains: inner
                .domains
                .iter()
                .filter_map(|(region, domain)| Some((region.clone(), domain.current.as_ref()?.version())))
                .collect(),
        })
    }

    /// Refuses in a forked child and in the error state. Every entry passes here first: nothing below may be touched in a child.
    #[inline]
    fn guard(&self) -> Result<()> {
        if !self.memory.is_ours() {
            return Err(Error::Forked);
        }
        selftest::ensure_passed()
    }

    #[inline]
    pub(crate) fn read(&self) -> Result<RwLockReadGuard<'_, Option<Inner>>> {
        self.guard()?;
        Ok(self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Option<Inner>>> {
        self.guard()?;
        Ok(self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Holds off `seal` while a batch runs.
    pub(crate) fn enter_batch(&self) -> Result<RwLockReadGuard<'_, ()>> {
        self.guard()?;
        Ok(self.batches.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `operation` with scratch memory that is wiped after it, also when it fails.
    #[inline]
    pub(crate) fn with_scratch<T>(&self, operation: impl FnOnce(&mut Scratch) -> Result<T>) -> Result<T> {
        let Some(_passage) = memory::OPERATIONS.try_enter() else { return Err(Error::Sealed) };
        let kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lease = ScratchLease {
            hsm: self,
            scratch: Some(match kept {
                Some(scratch) => scratch,
                None => Scratch::new(self.memory.arena())?,
            }),
        };
        let result = match lease.scratch.as_deref_mut() {
            Some(scratch) => operation(scratch),
            None => Err(Error::Internal("the scratch")),
        };
        drop(lease);
        // An operation that ran while the process wiped its keys may have computed with zeros: its result does not leave.
        if memory::wiping_started() { Err(Error::Sealed) } else { result }
    }

    // Domains

    /// Stages the first state of a new Region; gives its sealed record. Store it, then [`install_domain`](Self::install_domain).
    pub fn create_domain(&self, region: &str, now: u64) -> Result<Vec<u8>> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        if inner.domains.get(region).is_some_and(|domain| domain.current.is_some()) {
            return Err(Error::Limit(format!("Region {region} has a domain already")));
        }
        let state = DomainState::create(self.memory.arena(), now)?;
        self.stage(inner, region, state)
    }

    /// Loads a stored domain record and puts it in force; gives its version.
    pub fn load_domain(&self, region: &str, record: &[u8]) -> Result<u64> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let state = self.with_scratch(|scratch| DomainState::open(self.memory.arena(), scratch, &inner.root, region, record))?;
        let version = state.version();
        inner.domains.insert(region.to_owned(), Domain { current: Some(state), staged: None });
        Ok(version)
    }

    /// Stages a state with a new active domain key; gives its sealed record.
    pub fn stage_domain_rotation(&self, region: &str, now: u64) -> Result<Vec<u8>> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let next = inner.state(region)?.rotated(self.memory.arena(), now)?;
        self.stage(inner, region, next)
    }

    /// Stages a state without the retired domain keys `ids`. Only after a durable check that no stored token names them.
    pub fn stage_domain_retirement(&self, region: &str, ids: &[[u8; 16]]) -> Result<Vec<u8>> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let next = inner.state(region)?.without(ids)?;
        self.stage(inner, region, next)
    }

    fn stage(&self, inner: &mut Inner, region: &str, state: DomainState) -> Result<Vec<u8>> {
        let record = self.with_scratch(|scratch| state.seal(scratch, &inner.root, region))?;
        inner.domains.entry(region.to_owned()).or_default().staged = Some(state);
        Ok(record)
    }

    /// Puts the staged state in force, once its record is durable.
    pub fn install_domain(&self, region: &str) -> Result<()> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let domain = inner.domains.get_mut(region).ok_or_else(|| Error::UnknownDomain(region.to_owned()))?;
        match domain.staged.take() {
            Some(staged) => domain.current = Some(staged),
            None => return Err(Error::Limit(format!("no domain state is staged for Region {region}"))),
        }
        Ok(())
    }

    /// Forgets a staged state whose record could not be stored.
    pub fn discard_staged_domain(&self, region: &str) -> Result<()> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        if let Some(domain) = inner.domains.get_mut(region) {
            domain.staged = None;
        }
        Ok(())
    }

    /// The domain keys of a Region, oldest first.
    pub fn domain_keys(&self, region: &str) -> Result<Vec<DomainKeyInfo>> {
        let guard = self.read()?;
        Ok(open_inner(&guard)?.state(region)?.info())
    }

    // Keys

    /// Makes a random 256-bit backing key; gives its id, its token to store, and a handle to use it.
    pub fn generate_key(&self, binding: &KeyBinding<'_>) -> Result<(Hbkid, Vec<u8>, KeyHandle)> {
        self.admit_key(binding, fill_random)
    }

    /// Takes a known backing key. Only for tests that must know the bytes that they look for.
    #[cfg(feature = "test-door")]
    pub fn import_known_key(&self, binding: &KeyBinding<'_>, key: &[u8; 32]) -> Result<(Hbkid, Vec<u8>, KeyHandle)> {
        self.admit_key(binding, |out| {
            out.copy_from_slice(key);
            Ok(())
        })
    }

    fn admit_key(
        &self,
        binding: &KeyBinding<'_>,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<(Hbkid, Vec<u8>, KeyHandle)> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let mut hbkid = [0; 16];
        fill_random(&mut hbkid)?;
        self.with_scratch(|scratch| {
            fill(&mut scratch.plaintext[..BACKING_KEY_LEN])?;
            let token = token::seal(scratch, BACKING_KEY_LEN, inner.state(binding.region)?.active_key(), &hbkid, binding)?;
            let handle = inner.keys.insert(hbkid, &scratch.plaintext[..BACKING_KEY_LEN])?;
            Ok((hbkid, token, handle))
        })
    }

    /// Loads a stored token. [`Error::InvalidToken`] unless it was sealed for exactly this key.
    pub fn load_key(&self, token: &[u8], hbkid: &Hbkid, binding: &KeyBinding<'_>) -> Result<KeyHandle> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        self.with_scratch(|scratch| {
            let len = inner.open_token(scratch, token, hbkid, binding)?;
            inner.keys.insert(*hbkid, &scratch.plaintext[..len])
        })
    }

    /// Seals a stored token anew under the active domain key.
    pub fn rewrap_key(&self, token: &[u8], hbkid: &Hbkid, binding: &KeyBinding<'_>) -> Result<Vec<u8>> {
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        self.with_scratch(|scratch| {
            let len = inner.open_token(scratch, token, hbkid, binding)?;
            token::seal(scratch, len, inner.state(binding.region)?.active_key(), hbkid, binding)
        })
    }

    /// Wipes a loaded key. Unknown handles are ignored: the key is gone either way.
    pub fn unload_key(&self, handle: KeyHandle) -> Result<()> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        inner.keys.remove(handle);
        Ok(())
    }

    /// Wipes every key that no operation used since the last sweep; gives their number. The caller sets the pace.
    pub fn evict_idle_keys(&self) -> Result<usize> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let evicted = inner.keys.sweep();
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(evicted)
    }

    // Bytes that the service hands out to get them back

    /// Seals up to 6144 bytes for `purpose` under the Region's token-sealing key: pagination markers and their like.
    pub fn seal_opaque(&self, region: &str, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        let mut aad = Vec::new();
        push_field(&mut aad, purpose.as_bytes())?;
        self.with_scratch(|scratch| {
            let room = scratch.plaintext.get_mut(..bytes.len());
            room.ok_or_else(|| Error::Limit("more bytes than can be sealed".into()))?.copy_from_slice(bytes);
            let key = inner.state(region)?.token_sealing_key().expose_secret();
            seal_scratch(scratch, bytes.len(), key, &[0; 16], Label::Opaque, &aad)
        })
    }

    /// Opens what [`seal_opaque`](Self::seal_opaque) sealed for the same Region and purpose, or [`Error::InvalidToken`].
    pub fn open_opaque(&self, region: &str, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        let mut aad = Vec::new();
        push_field(&mut aad, purpose.as_bytes())?;
        let parts = Parts::parse(sealed).ok_or(Error::InvalidToken)?;
        self.with_scratch(|scratch| {
            let key = inner.state(region)?.token_sealing_key().expose_secret();
            let len = open_scratch(scratch, &parts, key, Label::Opaque, &aad).map_err(|_| Error::InvalidToken)?;
            Ok(scratch.plaintext[..len].to_vec())
        })
    }
}

impl Inner {
    fn state(&self, region: &str) -> Result<&DomainState> {
        self.domains.get(region).and_then(|domain| domain.current.as_ref()).ok_or_else(|| Error::UnknownDomain(region.to_owned()))
    }

    fn open_token(&self, scratch: &mut Scratch, token: &[u8], hbkid: &Hbkid, binding: &KeyBinding<'_>) -> Result<usize> {
        let parts = Parts::parse(token).ok_or(Error::InvalidToken)?;
        let domain_key = self.state(binding.region)?.key(parts.key_id()).ok_or(Error::InvalidToken)?;
        token::open(scratch, &parts, domain_key, hbkid, binding)
    }
}

pub(crate) fn open_inner(guard: &Option<Inner>) -> Result<&Inner> {
    guard.as_ref().ok_or(Error::Sealed)
}

fn open_inner_mut(guard: &mut Option<Inner>) -> Result<&mut Inner> {
    guard.as_mut().ok_or(Error::Sealed)
}

fn derive_root_seal(arena: &'static Arena, root_key: &Secret<32>) -> Result<RootSeal> {
    let mut id = [0; 16];
    kbkdf_ctr_hmac_sha256(root_key.expose_secret(), b"kms/root/id\0", &mut id)?;
    let key =
        Secret::new_with(arena, |out: &mut [u8; 32]| kbkdf_ctr_hmac_sha256(root_key.expose_secret(), b"kms/root/seal\0", out))?;
    Ok(RootSeal { root_id: id, key })
}

/// Scratch on loan: wiped when the operation ends, however it ends, and kept for the next one.
struct ScratchLease<'a> {
    hsm: &'a Hsm,
    scratch: Option<Guarded<Scratch>>,
}

impl Drop for ScratchLease<'_> {
    fn drop(&mut self) {
        if let Some(mut scratch) = self.scratch.take() {
            scratch.wipe();
            self.hsm.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        }
    }
}

/// A provider of a random root key that nothing keeps: for an HSM whose store lives no longer than itself.
pub struct EphemeralRoot;

impl UnsealProvider for EphemeralRoot {
    fn describe(&self) -> String {
        "a root key that lives as long as this HSM".into()
    }

    fn root_key(&self, _create: bool, out: &mut [u8; 32]) -> Result<()> {
        rng::fill_random(out)
    }
}
