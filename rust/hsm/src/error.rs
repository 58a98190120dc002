//! What can go wrong, and whose fault it is. Failures of cryptography carry no detail on purpose.

/// The result of every HSM call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the HSM refused.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Caller: a ciphertext that no key here opens under this encryption context. Never says which of these it was.
    #[error("the ciphertext is invalid")]
    InvalidCiphertext,

    /// Caller: a length, count or size outside what the call takes.
    #[error("{0}")]
    Limit(String),

    /// Caller or bug: a handle whose key is not (or no longer) loaded. Load the key's token again.
    #[error("the key is not loaded in the HSM; load its exported token again")]
    KeyNotLoaded,

    /// Store: an exported key token that does not open as this key's: edited, swapped, or of a domain that is not loaded.
    #[error(
        "the exported key token does not open as this key's: the stored row was changed, swapped with another, or belongs to another domain"
    )]
    InvalidToken,

    /// Store: the domain state record does not open although the root key is the right one.
    #[error("the stored domain state of Region {0} was changed or belongs to another Region; restore it from a backup")]
    InvalidDomainState(String),

    /// Operator: this root key is not the one that sealed the store.
    #[error("this root key does not open the store: it was sealed under another root key")]
    WrongRootKey,

    /// Caller or bug: a Region without a loaded domain.
    #[error("no domain is loaded for Region {0}")]
    UnknownDomain(String),

    /// Operator: the HSM was sealed; its keys are gone from memory.
    #[error("the HSM is sealed: its keys were wiped from memory; open it again")]
    Sealed,

    /// Caller: this process is a fork of the one that opened the HSM and holds none of its keys.
    #[error(
        "this process was forked from the one that opened the HSM, and no key crosses a fork: open a new KMS in this process (or start workers with the 'spawn' or 'forkserver' method)"
    )]
    Forked,

    /// Platform: memory cannot be protected as far as the policy demands.
    #[error("memory cannot be protected here ({0}); raise RLIMIT_MEMLOCK (ulimit -l) or allow insecure memory explicitly")]
    InsecureMemory(String),

    /// Platform or bug: a known-answer test failed; every operation is refused from now on.
    #[error("the HSM is in its error state: the self-test of {0} failed; no operation is possible in this process")]
    SelfTest(&'static str),

    /// Operator: an unseal provider could not give the root key.
    #[error("{0}")]
    Unseal(String),

    /// Platform or bug: AWS-LC or the operating system failed where it must not.
    #[error("internal failure in {0}")]
    Internal(&'static str),
}
