//! Who may sign: access keys with their shielded secrets, and the verification of a claim with cached signing keys.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use clavero_hsm::Hsm;
use clavero_hsm::signing::SigningSecret;

use crate::refusal::Refusal;
use crate::sigv4::{Claim, Scope};

/// Signing keys that are kept of one secret: two days at midnight, some Regions, two services.
const MAX_SIGNING_KEYS: usize = 32;

/// An access key: whose it is, and its secret.
pub struct Identity {
    /// `AKIA...`.
    pub access_key_id: String,
    /// 12 digits.
    pub account: String,
    /// The principal's ARN.
    pub arn: String,
    /// What the backend remembers of the identity.
    pub notes: OnceLock<Box<dyn Any + Send + Sync>>,
    secret: SigningSecret,
    signing_keys: Mutex<Vec<(Scope, Arc<SigningSecret>)>>,
}

/// All access keys.
pub struct Keyring {
    hsm: Arc<Hsm>,
    identities: RwLock<HashMap<String, Arc<Identity>>>,
    decoy: Identity,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a ring holds, all of it under the HSM's shield, and how often a signing key was there when it was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyringStatus {
    /// Access keys.
    pub access_keys: usize,
    /// Signing keys that were derived from them.
    pub signing_keys: usize,
    /// Signatures whose signing key was there.
    pub hits: u64,
    /// Signatures for which it was derived.
    pub misses: u64,
}

impl Keyring {
    /// An empty ring over an open HSM.
    pub fn new(hsm: Arc<Hsm>) -> clavero_hsm::Result<Keyring> {
        let decoy = Identity::new(String::new(), String::new(), String::new(), hsm.decoy_access_secret()?);
        Ok(Keyring { hsm, identities: RwLock::default(), decoy, hits: AtomicU64::new(0), misses: AtomicU64::new(0) })
    }

    /// Adds an access key, in place of one of the same id. `sealed` is its secret for the purpose `access-key/ID`.
    pub fn put(&self, id: &str, account: &str, arn: &str, region: &str, sealed: &[u8]) -> clavero_hsm::Result<()> {
        let secret = self.hsm.load_access_secret(region, &purpose(id), sealed)?;
        let identity = Identity::new(id.to_owned(), account.to_owned(), arn.to_owned(), secret);
        self.identities.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), Arc::new(identity));
        Ok(())
    }

    /// Takes an access key out; false when there was none.
    pub fn remove(&self, id: &str) -> bool {
        self.identities.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    /// The identity that signed. An unknown access key costs what a known one does, and a wrong signature what a right one does.
    pub fn verify(&self, claim: &Claim, token: Option<&str>) -> Result<Arc<Identity>, Refusal> {
        let authorization = &claim.authorization;
        let found = self.identities.read().unwrap_or_else(PoisonError::into_inner).get(&authorization.access_key_id).cloned();
        let identity = found.as_deref().unwrap_or(&self.decoy);
        let valid = self
            .signing_key(identity, &authorization.scope)
            .and_then(|key| self.hsm.verify_signature(&key, claim.string_to_sign.as_bytes(), &authorization.signature))
            .map_err(|error| match error {
                clavero_hsm::Error::Sealed => Refusal::unavailable(),
                _ => Refusal::internal(),
            })?;
        match found {
            None => Err(Refusal::unknown_key()),
            Some(_) if !valid => Err(Refusal::signature_mismatch()),
            Some(_) if token.is_some() => Err(Refusal::unknown_token()), // long-term keys have none
            Some(identity) => Ok(identity),
        }
    }
}

impl Keyring {
    fn signing_key(&self, identity: &Identity, scope: &Scope) -> clavero_hsm::Result<Arc<SigningSecret>> {
        if let Some(key) = identity.known_signing_key(scope) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(key);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let key = Arc::new(self.hsm.derive_signing_key(&identity.secret, &scope.date, &scope.region, &scope.service)?);
        let mut keys = identity.signing_keys();
        if keys.len() >= MAX_SIGNING_KEYS {
            keys.remove(0);
        }
        keys.push((scope.clone(), Arc::clone(&key)));
        Ok(key)
    }

    /// How it stands.
    pub fn status(&self) -> KeyringStatus {
        let identities = self.identities.read().unwrap_or_else(PoisonError::into_inner);
        KeyringStatus {
            access_keys: identities.len(),
            signing_keys: identities.values().map(|identity| identity.signing_keys().len()).sum(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

/// What a secret access key is sealed for.
pub fn purpose(access_key_id: &str) -> String {
    format!("access-key/{access_key_id}")
}

impl Identity {
    fn new(access_key_id: String, account: String, arn: String, secret: SigningSecret) -> Identity {
        Identity { access_key_id, account, arn, notes: OnceLock::new(), secret, signing_keys: Mutex::default() }
    }

    fn signing_keys(&self) -> MutexGuard<'_, Vec<(Scope, Arc<SigningSecret>)>> {
        self.signing_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_signing_key(&self, scope: &Scope) -> Option<Arc<SigningSecret>> {
        let mut keys = self.signing_keys();
        let at = keys.iter().rposition(|(known, _)| known == scope)?;
        if at + 1 < keys.len() {
            let last = keys.len() - 1;
            keys.swap(at, last); // the next look finds it first
        }
        keys.last().map(|(_, key)| Arc::clone(key))
    }
}
