//! Who may sign: access keys with their shielded secrets, and the verification of a claim with cached signing keys.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use base64ct::{Base64, Encoding};
use clavero_hsm::Hsm;
use clavero_hsm::crypto::digest::sha256;
use clavero_hsm::signing::SigningSecret;
use zeroize::Zeroizing;

use crate::refusal::Refusal;
use crate::sigv4::{Claim, Scope};

/// Signing keys that are kept of one secret: two days at midnight, some Regions, two services.
const MAX_SIGNING_KEYS: usize = 32;
/// Opened session tokens that are kept: opening one costs more than finding it.
const MAX_SESSIONS: usize = 1024;
/// The first byte of a session token.
const TOKEN_FORMAT: u8 = 1;

/// An access key, of a user or of a session: whose it is, and its secret.
pub struct Identity {
    /// `AKIA...`.
    pub access_key_id: String,
    /// 12 digits.
    pub account: String,
    /// The principal's ARN; empty for a session, whose claims say it.
    pub arn: String,
    /// What a session's token says.
    pub claims: Option<Vec<u8>>,
    /// What the backend remembers of the identity.
    pub notes: OnceLock<Box<dyn Any + Send + Sync>>,
    secret: SigningSecret,
    signing_keys: Mutex<Vec<(Scope, Arc<SigningSecret>)>>,
}

/// All access keys.
pub struct Keyring {
    hsm: Arc<Hsm>,
    identities: RwLock<HashMap<String, Arc<Identity>>>,
    sessions: RwLock<Sessions>,
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

/// Sessions by the digest of their tokens. The oldest goes first.
#[derive(Default)]
struct Sessions {
    known: HashMap<[u8; 32], Arc<Identity>>,
    order: VecDeque<[u8; 32]>,
}

impl Keyring {
    /// An empty ring over an open HSM.
    pub fn new(hsm: Arc<Hsm>) -> clavero_hsm::Result<Keyring> {
        let decoy = Identity::new(String::new(), String::new(), String::new(), None, hsm.decoy_access_secret()?);
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Keyring { hsm, identities: RwLock::default(), sessions: RwLock::default(), decoy, hits, misses })
    }

    /// Adds an access key, in place of one of the same id. `sealed` is its secret for the purpose `access-key/ID`.
    pub fn put(&self, id: &str, account: &str, arn: &str, region: &str, sealed: &[u8]) -> clavero_hsm::Result<()> {
        let secret = self.hsm.load_access_secret(region, &purpose(id), sealed)?;
        let identity = Identity::new(id.to_owned(), account.to_owned(), arn.to_owned(), None, secret);
        self.identities.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), Arc::new(identity));
        Ok(())
    }

    /// Takes an access key out; false when there was none.
    pub fn remove(&self, id: &str) -> bool {
        self.identities.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    /// The identity that signed. An unknown access key or token costs what a known one does, and a wrong signature what a right one does.
    pub fn verify(&self, claim: &Claim, token: Option<&str>) -> Result<Arc<Identity>, Refusal> {
        let authorization = &claim.authorization;
        let mut found = self.identities.read().unwrap_or_else(PoisonError::into_inner).get(&authorization.access_key_id).cloned();
        let is_long_term = found.is_some();
        let digest = token.map(|token| sha256(token.as_bytes()));
        let mut is_new = false;
        if let (Some(token), Some(digest), false) = (token, &digest, is_long_term) {
            found = self.session(&authorization.access_key_id, digest);
            if found.is_none() {
                found = self.opened(&authorization.access_key_id, token)?;
                is_new = true;
            }
        }
        let identity = found.as_deref().unwrap_or(&self.decoy);
        let valid = self
            .signing_key(identity, &authorization.scope)
            .and_then(|key| self.hsm.verify_signature(&key, claim.string_to_sign.as_bytes(), &authorization.signature))
            .map_err(refused)?;
        match found {
            None if token.is_some() => Err(Refusal::unknown_token()),
            None => Err(Refusal::unknown_key()),
            Some(_) if !valid => Err(Refusal::signature_mismatch()),
            Some(_) if token.is_some() && is_long_term => Err(Refusal::unknown_token()), // long-term keys have none
            Some(identity) => {
                // Only now: who has no secret of a token must not drive others' tokens out
                if let (Some(digest), true) = (digest, is_new) {
                    self.keep(digest, Arc::clone(&identity));
                }
                Ok(identity)
            }
        }
    }

    fn session(&self, id: &str, digest: &[u8; 32]) -> Option<Arc<Identity>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.known.get(digest).filter(|identity| identity.access_key_id == id).cloned()
    }

    /// The session of a token that this deployment's HSM sealed for the access key; None for any other.
    fn opened(&self, id: &str, token: &str) -> Result<Option<Arc<Identity>>, Refusal> {
        let Some((region, sealed)) = read_token(token) else { return Ok(None) };
        match self.hsm.load_session(&region, &session_purpose(id), &sealed) {
            Ok((secret, claims)) => {
                Ok(Some(Arc::new(Identity::new(id.to_owned(), String::new(), String::new(), Some(claims), secret))))
            }
            Err(clavero_hsm::Error::InvalidToken | clavero_hsm::Error::UnknownDomain(_)) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    fn keep(&self, digest: [u8; 32], identity: Arc<Identity>) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.known.insert(digest, identity).is_none() {
            sessions.order.push_back(digest);
        }
        if sessions.order.len() > MAX_SESSIONS
            && let Some(oldest) = sessions.order.pop_front()
        {
            sessions.known.remove(&oldest);
        }
    }
}

fn refused(error: clavero_hsm::Error) -> Refusal {
    match error {
        clavero_hsm::Error::Sealed => Refusal::unavailable(),
        _ => Refusal::internal(),
    }
}

/// Makes a session's token and secret access key for an access key id: `format ‖ length of the Region's name ‖ name ‖ sealed`, in base64.
pub fn create_session(hsm: &Hsm, region: &str, id: &str, claims: &[u8]) -> clavero_hsm::Result<(String, Zeroizing<String>)> {
    let (sealed, secret) = hsm.create_session(region, &session_purpose(id), claims)?;
    let len = u8::try_from(region.len()).map_err(|_| clavero_hsm::Error::Limit("a Region's name is too long".into()))?;
    let bytes = [&[TOKEN_FORMAT, len], region.as_bytes(), &sealed].concat();
    Ok((Base64::encode_string(&bytes), secret))
}

fn read_token(token: &str) -> Option<(String, Vec<u8>)> {
    let bytes = Base64::decode_vec(token).ok()?;
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let (region, sealed) = rest.split_at_checked(usize::from(head[1]))?;
    let region = std::str::from_utf8(region).ok()?;
    (head[0] == TOKEN_FORMAT).then(|| (region.to_owned(), sealed.to_vec()))
}

fn session_purpose(access_key_id: &str) -> String {
    format!("session/{access_key_id}")
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
    fn new(access_key_id: String, account: String, arn: String, claims: Option<Vec<u8>>, secret: SigningSecret) -> Identity {
        Identity { access_key_id, account, arn, claims, notes: OnceLock::new(), secret, signing_keys: Mutex::default() }
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
