//! The HSM: opening and sealing it, its domains, and the keys loaded in it. Messages are in `message`, batches in `batch`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::crypto::kdf::kbkdf_ctr_hmac_sha256;
use crate::crypto::pkey::{KeyType, PrivateKey, PublicKey};
use crate::domain::{Domain, DomainKeyInfo, DomainState, RootSeal};
use crate::error::{Error, Result};
use crate::key::cache::Cache;
use crate::key::spec::{KeySpec, KeyUsage};
use crate::key::{consistency, depth_of};
use crate::keytable::{KeyHandle, KeyTable, misfit};
use crate::memory::{self, Arena, Depth, Guarded, MemoryPolicy, ProcessMemory, Secret, with_keys};
use crate::rng::fill_random;
use crate::sealed::{Label, Parts, Scratch, open_scratch, push_field, seal_scratch};
use crate::token::{self, Hbkid, KeyBinding};
use crate::{rng, selftest};

/// Where the root key comes from. Implementations do the I/O; the HSM gives them protected memory to write to.
pub trait UnsealProvider: Send + Sync {
    /// What to call the provider in messages: `key file /var/lib/x/root.key`. Never part of a secret.
    fn describe(&self) -> String;

    /// Writes the 256-bit root key. `create` is true only where nothing was sealed yet: then, and only then, a provider that keeps
    /// its key somewhere may make a new one.
    fn root_key(&self, create: bool, out: &mut [u8; 32]) -> Result<()>;
}

/// The most bytes of parsed private keys: five eighths of the key heap. The rest is for what operations allocate meanwhile.
const PARSED_BYTES: usize = 5 << 18;
/// The most parsed public keys. They are in libcrypto's pool, 1 to 5 KiB each.
const PARSED_PUBLIC: usize = 64;

/// An open HSM: a shield, the domains of its Regions, and the keys loaded in it. Share it between threads freely.
pub struct Hsm {
    memory: &'static ProcessMemory,
    inner: RwLock<Option<Inner>>,
    scratch: Mutex<Vec<Guarded<Scratch>>>,
    /// Read by each batch while it runs, written by `seal`, which waits for them.
    batches: RwLock<()>,
    /// Set while `seal` waits: what takes long looks here.
    sealing: AtomicBool,
    /// Private keys that were parsed for an operation, for the next one.
    parsed: Cache<KeyHandle, PrivateKey>,
    /// Public keys likewise, by their SubjectPublicKeyInfo.
    parsed_public: Cache<Box<[u8]>, PublicKey>,
}

/// A key that was just made or imported.
#[derive(Debug)]
pub struct NewKey {
    /// Its id.
    pub hbkid: Hbkid,
    /// Its token, to store.
    pub token: Vec<u8>,
    /// Its handle.
    pub handle: KeyHandle,
    /// Its public half as SubjectPublicKeyInfo, if it is a pair.
    pub public_key: Option<Vec<u8>>,
}

/// Proof that `seal` waits for the operation that has it.
pub(crate) type Running<'a> = RwLockReadGuard<'a, ()>;

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
        Ok(Hsm {
            memory,
            inner: RwLock::new(Some(inner)),
            scratch: Mutex::new(Vec::new()),
            batches: RwLock::new(()),
            sealing: AtomicBool::new(false),
            parsed: Cache::new(PARSED_BYTES),
            parsed_public: Cache::new(PARSED_PUBLIC),
        })
    }

    /// Wipes every key from memory. Operations that run finish first; later ones get [`Error::Sealed`].
    pub fn seal(&self) -> Result<()> {
        self.guard()?;
        self.sealing.store(true, Ordering::Relaxed);
        let _batches_ended = self.batches.write().unwrap_or_else(PoisonError::into_inner);
        drop(self.inner.write().unwrap_or_else(PoisonError::into_inner).take());
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.parsed.clear();
        self.parsed_public.clear();
        self.memory.wipe_stacks();
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

    /// The protected memory of the process.
    pub(crate) fn memory(&self) -> &'static ProcessMemory {
        self.memory
    }

    /// True once `seal` waits for running operations.
    pub(crate) fn is_sealing(&self) -> bool {
        self.sealing.load(Ordering::Relaxed)
    }

    /// Holds off `seal` while a batch, or an operation with a private key, runs. Once an operation: who enters again behind a waiting
    /// `seal` would wait for it, as it for him.
    pub(crate) fn enter_batch(&self) -> Result<Running<'_>> {
        self.guard()?;
        Ok(self.batches.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `operation` with scratch memory that is wiped after it, also when it fails. [`Error::Forked`] in a forked child, whatever the
    /// operation would have looked at first: the scratch is not there.
    #[inline]
    pub(crate) fn with_scratch<T>(&self, operation: impl FnOnce(&mut Scratch) -> Result<T>) -> Result<T> {
        self.guard()?;
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

    /// Makes a random key of `binding.spec`. Nothing is locked while it is made, which takes RSA up to seconds.
    pub fn create_key(&self, binding: &KeyBinding<'_>) -> Result<NewKey> {
        let (spec, _) = binding.kind()?;
        let _running = self.enter_batch()?;
        self.with_scratch(|scratch| {
            let (len, public_key) = match spec {
                KeySpec::Pair(key_type) => {
                    let (len, public_key) = self.make_pair(key_type, scratch)?;
                    (len, Some(public_key))
                }
                KeySpec::Symmetric | KeySpec::Hmac(_) => {
                    let len = spec.secret_len().ok_or(Error::Internal("a key length"))?;
                    fill_random(&mut scratch.plaintext[..len])?;
                    (len, None)
                }
            };
            let (hbkid, token, handle) = self.admit_key(binding, None, scratch, len)?;
            Ok(NewKey { hbkid, token, handle, public_key })
        })
    }

    /// As [`create_key`](Self::create_key), without the public key.
    pub fn generate_key(&self, binding: &KeyBinding<'_>) -> Result<(Hbkid, Vec<u8>, KeyHandle)> {
        self.create_key(binding).map(|key| (key.hbkid, key.token, key.handle))
    }

    /// Takes a known symmetric key. Only for tests that must know the bytes that they look for.
    #[cfg(feature = "test-door")]
    pub fn import_known_key(&self, binding: &KeyBinding<'_>, key: &[u8; 32]) -> Result<(Hbkid, Vec<u8>, KeyHandle)> {
        self.import_known_secret(binding, key).map(|key| (key.hbkid, key.token, key.handle))
    }

    /// Takes known key material: random bytes, or a PKCS #8 private key. Only for tests.
    #[cfg(feature = "test-door")]
    pub fn import_known_secret(&self, binding: &KeyBinding<'_>, material: &[u8]) -> Result<NewKey> {
        let _running = self.enter_batch()?;
        self.with_scratch(|scratch| self.admit_material(binding, None, scratch, material))
    }

    /// Takes key material of the binding's spec that is not of our making: checks it, brings it into canonical form, tries it.
    pub(crate) fn admit_material(
        &self,
        binding: &KeyBinding<'_>,
        hbkid: Option<Hbkid>,
        scratch: &mut Scratch,
        material: &[u8],
    ) -> Result<NewKey> {
        let (len, public_key) = self.canonical(binding, scratch, material)?;
        let (hbkid, token, handle) = self.admit_key(binding, hbkid, scratch, len)?;
        Ok(NewKey { hbkid, token, handle, public_key })
    }

    /// Checks foreign key material and writes its canonical form into `scratch.plaintext` (its length comes back), with its public
    /// half if it is a pair.
    pub(crate) fn canonical(
        &self,
        binding: &KeyBinding<'_>,
        scratch: &mut Scratch,
        material: &[u8],
    ) -> Result<(usize, Option<Vec<u8>>)> {
        let (spec, _) = binding.kind()?;
        match spec {
            KeySpec::Pair(key_type) => {
                let out = &mut scratch.plaintext;
                let (len, public_key) = with_keys(self.memory, depth_of(key_type), |scope| {
                    let key = PrivateKey::from_pkcs8(scope, key_type, material)?;
                    let public_key = key.public_spki(scope)?;
                    if !consistency::holds(scope, &key, &public_key)? {
                        return Err(Error::Limit("the halves of the imported key pair do not work together".into()));
                    }
                    Ok((key.to_pkcs8(scope, out)?, public_key))
                })?;
                Ok((len, Some(public_key)))
            }
            KeySpec::Symmetric | KeySpec::Hmac(_) => {
                if !spec.fits_secret(material.len()) {
                    return Err(Error::Limit(format!(
                        "key material of spec {} has {} bytes, not {}",
                        spec.name(),
                        spec.secret_len().unwrap_or(0),
                        material.len()
                    )));
                }
                scratch.plaintext[..material.len()].copy_from_slice(material);
                Ok((material.len(), None))
            }
        }
    }

    /// Makes a key pair: its private half as PKCS #8 in `scratch.plaintext` (its length comes back), its public half.
    pub(crate) fn make_pair(&self, key_type: KeyType, scratch: &mut Scratch) -> Result<(usize, Vec<u8>)> {
        selftest::ensure_tested(selftest::of_key(key_type))?;
        let out = &mut scratch.plaintext;
        let depth = if matches!(key_type, KeyType::Rsa(_)) { Depth::Long } else { depth_of(key_type) };
        with_keys(self.memory, depth, |scope| {
            let key = PrivateKey::generate(scope, key_type, &|| self.is_sealing())?;
            let public_key = key.public_spki(scope)?;
            if !consistency::holds(scope, &key, &public_key)? {
                return Err(selftest::fail_pair());
            }
            Ok((key.to_pkcs8(scope, out)?, public_key))
        })
    }

    /// Seals and loads the key in `scratch.plaintext[..len]`.
    pub(crate) fn admit_key(
        &self,
        binding: &KeyBinding<'_>,
        hbkid: Option<Hbkid>,
        scratch: &mut Scratch,
        len: usize,
    ) -> Result<(Hbkid, Vec<u8>, KeyHandle)> {
        let kind = binding.kind()?;
        let hbkid = match hbkid {
            Some(hbkid) => hbkid,
            None => {
                let mut fresh = [0; 16];
                fill_random(&mut fresh)?;
                fresh
            }
        };
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let token = token::seal(scratch, len, inner.state(binding.region)?.active_key(), &hbkid, binding)?;
        let handle = inner.keys.insert(hbkid, kind, &scratch.plaintext[..len])?;
        Ok((hbkid, token, handle))
    }

    /// The parsed private key of `handle`, if it is for `usage`. Hold [`enter_batch`](Self::enter_batch) for as long as you use it.
    pub(crate) fn private_key(&self, handle: KeyHandle, usage: KeyUsage, algorithm: &str) -> Result<(KeyType, Arc<PrivateKey>)> {
        let key_type = {
            let guard = self.read()?;
            let (spec, own_usage) = open_inner(&guard)?.keys.describe(handle)?;
            let key_type = spec.pair().filter(|_| own_usage == usage).ok_or_else(|| misfit(algorithm, spec))?;
            if let Some(key) = self.parsed.get(&handle) {
                return Ok((key_type, key));
            }
            key_type
        };
        let key = self.with_scratch(|scratch| {
            let len = {
                let guard = self.read()?;
                open_inner(&guard)?.keys.unshield_secret(handle, &mut scratch.plaintext)?
            };
            let secret = &scratch.plaintext[..len];
            with_keys(self.memory, depth_of(key_type), |scope| PrivateKey::from_pkcs8(scope, key_type, secret))
        })?;
        let key = Arc::new(key);
        let guard = self.read()?;
        if open_inner(&guard)?.keys.is_loaded(handle) {
            self.parsed.insert(handle, Arc::clone(&key), key_type.parsed_bytes()); // not for a key that was unloaded meanwhile
        }
        Ok((key_type, key))
    }

    /// The parsed public key of the caller's SubjectPublicKeyInfo, which is of one of these types.
    pub(crate) fn public_key(&self, key_types: &[KeyType], spki: &[u8]) -> Result<Arc<PublicKey>> {
        if let Some(key) = self.parsed_public.get(spki).filter(|key| key_types.contains(&key.key_type())) {
            return Ok(key);
        }
        let mut parsed = Err(Error::Internal("no type of key"));
        for key_type in key_types {
            parsed = parsed.or_else(|_| PublicKey::from_spki(*key_type, spki));
        }
        let key = Arc::new(parsed?);
        self.parsed_public.insert(spki.into(), Arc::clone(&key), 1);
        Ok(key)
    }

    /// Loads a stored token. [`Error::InvalidToken`] unless it was sealed for exactly this key.
    pub fn load_key(&self, token: &[u8], hbkid: &Hbkid, binding: &KeyBinding<'_>) -> Result<KeyHandle> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        self.with_scratch(|scratch| {
            let len = inner.open_token(scratch, token, hbkid, binding)?;
            inner.keys.insert(*hbkid, binding.kind()?, &scratch.plaintext[..len])
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
        self.parsed.retain(|parsed| *parsed != handle);
        Ok(())
    }

    /// Wipes every key that no operation used since the last sweep; gives their number. The caller sets the pace.
    pub fn evict_idle_keys(&self) -> Result<usize> {
        let mut guard = self.write()?;
        let inner = open_inner_mut(&mut guard)?;
        let evicted = inner.keys.sweep();
        self.parsed.retain(|handle| inner.keys.is_loaded(*handle));
        self.parsed_public.clear();
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.memory.wipe_stacks();
        Ok(evicted)
    }

    // Bytes that the service hands out to get them back

    /// Seals up to 6144 bytes for `purpose` under the Region's token-sealing key: pagination markers and their like.
    pub fn seal_opaque(&self, region: &str, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        self.with_scratch(|scratch| {
            let room = scratch.plaintext.get_mut(..bytes.len());
            room.ok_or_else(|| Error::Limit("more bytes than can be sealed".into()))?.copy_from_slice(bytes);
            self.seal_plaintext(region, purpose, scratch, bytes.len())
        })
    }

    /// Opens what [`seal_opaque`](Self::seal_opaque) sealed for the same Region and purpose, or [`Error::InvalidToken`].
    pub fn open_opaque(&self, region: &str, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.with_scratch(|scratch| {
            let len = self.open_plaintext(region, purpose, sealed, scratch)?;
            Ok(scratch.plaintext[..len].to_vec())
        })
    }

    /// As [`seal_opaque`](Self::seal_opaque), for bytes that stand in `scratch.plaintext[..len]`.
    pub(crate) fn seal_plaintext(&self, region: &str, purpose: &str, scratch: &mut Scratch, len: usize) -> Result<Vec<u8>> {
        let guard = self.read()?;
        let key = open_inner(&guard)?.state(region)?.token_sealing_key().expose_secret();
        seal_scratch(scratch, len, key, &[0; 16], Label::Opaque, &opaque_aad(purpose)?)
    }

    /// As [`open_opaque`](Self::open_opaque), into `scratch.plaintext`; gives the length.
    pub(crate) fn open_plaintext(&self, region: &str, purpose: &str, sealed: &[u8], scratch: &mut Scratch) -> Result<usize> {
        let guard = self.read()?;
        let key = open_inner(&guard)?.state(region)?.token_sealing_key().expose_secret();
        let parts = Parts::parse(sealed).ok_or(Error::InvalidToken)?;
        open_scratch(scratch, &parts, key, Label::Opaque, &opaque_aad(purpose)?).map_err(|_| Error::InvalidToken)
    }
}

fn opaque_aad(purpose: &str) -> Result<Vec<u8>> {
    let mut aad = Vec::new();
    push_field(&mut aad, purpose.as_bytes())?;
    Ok(aad)
}

impl Inner {
    pub(crate) fn state(&self, region: &str) -> Result<&DomainState> {
        self.domains.get(region).and_then(|domain| domain.current.as_ref()).ok_or_else(|| Error::UnknownDomain(region.to_owned()))
    }

    pub(crate) fn open_token(
        &self,
        scratch: &mut Scratch,
        token: &[u8],
        hbkid: &Hbkid,
        binding: &KeyBinding<'_>,
    ) -> Result<usize> {
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
