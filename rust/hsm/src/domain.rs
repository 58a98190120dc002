//! The domain of a Region: its keys, one active and the retired, and their sealed state (docs/formats/domain-state.md).
//!
//! A change is staged first: the caller stores the sealed state durably, then installs it. So no token is ever sealed under a
//! domain key that a crash could lose.

use std::sync::Arc;

use zeroize::Zeroize;

use crate::error::{Error, Result};
use crate::memory::{Arena, Secret};
use crate::rng::fill_random;
use crate::sealed::{Label, Parts, Scratch, open_scratch, push_field, seal_scratch};

/// The most domain keys at a time: rotation outran the re-wrap of tokens long before this.
const MAX_DOMAIN_KEYS: usize = 64;
const FIXED_LEN: usize = 8 + 32 + 32 + 1;
const ENTRY_LEN: usize = 16 + 1 + 8 + 32;

/// What may be known of a domain key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainKeyInfo {
    /// Random id; tokens name it.
    pub id: [u8; 16],
    /// The one that seals new tokens.
    pub active: bool,
    /// Epoch seconds.
    pub created: u64,
}

struct DomainKey {
    id: [u8; 16],
    created: u64,
    key: Secret<32>,
}

/// One version of a domain's state. Keys are shared with the version before; the last one is the active one.
pub(crate) struct DomainState {
    version: u64,
    keys: Vec<Arc<DomainKey>>,
    token_sealing: Arc<Secret<32>>,
    audit_sealing: Arc<Secret<32>>,
}

/// A Region's state in force, and one waiting to be installed.
#[derive(Default)]
pub(crate) struct Domain {
    pub(crate) current: Option<DomainState>,
    pub(crate) staged: Option<DomainState>,
}

/// What seals domain states: derived from the root key, which is not kept.
pub(crate) struct RootSeal {
    pub(crate) root_id: [u8; 16],
    pub(crate) key: Secret<32>,
}

fn random_secret(arena: &'static Arena) -> Result<Secret<32>> {
    Secret::new_with(arena, |bytes| fill_random(bytes))
}

impl DomainKey {
    fn random(arena: &'static Arena, created: u64) -> Result<Arc<DomainKey>> {
        let mut id = [0; 16];
        fill_random(&mut id)?;
        Ok(Arc::new(DomainKey { id, created, key: random_secret(arena)? }))
    }
}

impl DomainState {
    /// The first version of a new Region's state.
    pub(crate) fn create(arena: &'static Arena, now: u64) -> Result<DomainState> {
        Ok(DomainState {
            version: 1,
            keys: vec![DomainKey::random(arena, now)?],
            token_sealing: Arc::new(random_secret(arena)?),
            audit_sealing: Arc::new(random_secret(arena)?),
        })
    }

    /// The next version, with a new active key.
    pub(crate) fn rotated(&self, arena: &'static Arena, now: u64) -> Result<DomainState> {
        if self.keys.len() >= MAX_DOMAIN_KEYS {
            return Err(Error::Limit(format!(
                "the domain has {MAX_DOMAIN_KEYS} keys: finish re-wrapping the tokens under the retired ones first"
            )));
        }
        let mut next = self.successor()?;
        next.keys.push(DomainKey::random(arena, now)?);
        Ok(next)
    }

    /// The next version, without the retired keys `ids`. The caller has made sure that no stored token needs them.
    pub(crate) fn without(&self, ids: &[[u8; 16]]) -> Result<DomainState> {
        if ids.iter().any(|id| *id == self.active().id) {
            return Err(Error::Limit("the active domain key cannot be retired; rotate first".into()));
        }
        let mut next = self.successor()?;
        next.keys.retain(|key| !ids.contains(&key.id));
        Ok(next)
    }

    fn successor(&self) -> Result<DomainState> {
        Ok(DomainState {
            version: self.version.checked_add(1).ok_or(Error::Internal("the domain's version"))?,
            keys: self.keys.clone(),
            token_sealing: Arc::clone(&self.token_sealing),
            audit_sealing: Arc::clone(&self.audit_sealing),
        })
    }

    fn active(&self) -> &DomainKey {
        // Every constructor leaves at least one key, and `without` never takes the last.
        &self.keys[self.keys.len() - 1]
    }

    pub(crate) fn active_key(&self) -> (&[u8; 16], &Secret<32>) {
        let active = self.active();
        (&active.id, &active.key)
    }

    pub(crate) fn key(&self, id: &[u8; 16]) -> Option<&Secret<32>> {
        self.keys.iter().rev().find(|key| key.id == *id).map(|key| &key.key)
    }

    pub(crate) fn token_sealing_key(&self) -> &Secret<32> {
        &self.token_sealing
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn info(&self) -> Vec<DomainKeyInfo> {
        let active = self.active().id;
        self.keys.iter().map(|key| DomainKeyInfo { id: key.id, active: key.id == active, created: key.created }).collect()
    }

    /// The sealed record of this version.
    pub(crate) fn seal(&self, scratch: &mut Scratch, root: &RootSeal, region: &str) -> Result<Vec<u8>> {
        let out = &mut scratch.plaintext;
        out[..8].copy_from_slice(&self.version.to_be_bytes());
        out[8..40].copy_from_slice(self.token_sealing.expose_secret());
        out[40..72].copy_from_slice(self.audit_sealing.expose_secret());
        out[72] = u8::try_from(self.keys.len()).map_err(|_| Error::Internal("the domain's keys"))?;
        let mut at = FIXED_LEN;
        for (index, key) in self.keys.iter().enumerate() {
            let entry = &mut out[at..at + ENTRY_LEN];
            entry[..16].copy_from_slice(&key.id);
            entry[16] = u8::from(index + 1 == self.keys.len());
            entry[17..25].copy_from_slice(&key.created.to_be_bytes());
            entry[25..].copy_from_slice(key.key.expose_secret());
            at += ENTRY_LEN;
        }
        let sealed = seal_scratch(scratch, at, root.key.expose_secret(), &root.root_id, Label::Domain, &aad(region)?);
        scratch.plaintext[..at].zeroize();
        sealed
    }

    /// Opens a stored record.
    pub(crate) fn open(
        arena: &'static Arena,
        scratch: &mut Scratch,
        root: &RootSeal,
        region: &str,
        record: &[u8],
    ) -> Result<DomainState> {
        let invalid = || Error::InvalidDomainState(region.to_owned());
        let parts = Parts::parse(record).ok_or_else(invalid)?;
        if *parts.key_id() != root.root_id {
            return Err(Error::WrongRootKey);
        }
        let len = open_scratch(scratch, &parts, root.key.expose_secret(), Label::Domain, &aad(region)?)
            .map_err(|error| if error == Error::InvalidCiphertext { invalid() } else { error })?;
        let state = DomainState::decode(arena, &scratch.plaintext[..len]);
        scratch.plaintext[..len].zeroize();
        state?.ok_or_else(invalid)
    }

    /// None when the layout is not version 1's (only a program that holds the root key can have written that).
    fn decode(arena: &'static Arena, bytes: &[u8]) -> Result<Option<DomainState>> {
        let Some((fixed, entries)) = bytes.split_first_chunk::<FIXED_LEN>() else { return Ok(None) };
        let count = usize::from(fixed[72]);
        if count == 0 || count > MAX_DOMAIN_KEYS || entries.len() != count * ENTRY_LEN {
            return Ok(None);
        }
        let secret = |bytes: &[u8]| {
            Secret::new_with(arena, |secret: &mut [u8; 32]| {
                secret.copy_from_slice(bytes);
                Ok::<(), Error>(())
            })
        };
        let mut keys = Vec::with_capacity(count);
        for (index, entry) in entries.chunks_exact(ENTRY_LEN).enumerate() {
            if entry[16] != u8::from(index + 1 == count) {
                return Ok(None); // exactly the last key is the active one
            }
            let (Some(id), Some(created)) = (entry.first_chunk::<16>(), entry[17..].first_chunk::<8>()) else {
                return Ok(None);
            };
            let key = secret(&entry[25..])?;
            keys.push(Arc::new(DomainKey { id: *id, created: u64::from_be_bytes(*created), key }));
        }
        let Some(version) = fixed.first_chunk::<8>() else { return Ok(None) };
        Ok(Some(DomainState {
            version: u64::from_be_bytes(*version),
            keys,
            token_sealing: Arc::new(secret(&fixed[8..40])?),
            audit_sealing: Arc::new(secret(&fixed[40..72])?),
        }))
    }
}

fn aad(region: &str) -> Result<Vec<u8>> {
    let mut aad = Vec::with_capacity(64);
    push_field(&mut aad, b"domain-state")?;
    push_field(&mut aad, region.as_bytes())?;
    Ok(aad)
}
