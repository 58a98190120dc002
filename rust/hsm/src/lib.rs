//! The software HSM of Clavero: protected memory, the key hierarchy, exported key tokens and ciphertext blobs.
//!
//! ```text
//! hsm        Hsm: the facade. Every call passes its guard (sealed? forked? self-tests passed?)
//!   batch    many messages under one derived key, straight into the caller's memory
//!   message  one message: Encrypt, Decrypt, ReEncrypt, GenerateDataKey
//!   domain   a Region's domain keys and their sealed state
//!   token    exported key tokens: a backing key sealed under a domain key, bound to whose it is
//!   keytable loaded backing keys, shielded, behind unforgeable handles
//!   blob, context, sealed   the byte formats (docs/formats)
//! selftest   known answers before first use, and the error state
//! crypto, rng  AES-256-GCM, KBKDF, HMAC, SHA-256, CTR_DRBG over AWS-LC
//! memory     secret pages, fork detection, libcrypto's heap, wiping on exit
//! error
//! ```
//!
//! A module uses only what stands below it. There is no I/O here and no Python: root keys come in through
//! [`UnsealProvider`], sealed bytes go out to whoever stores them, and time is an argument.
#![doc(test(attr(deny(warnings))))]

pub mod batch;
pub mod blob;
pub mod context;
pub mod crypto;
mod domain;
mod error;
mod hsm;
mod keytable;
pub mod memory;
pub mod message;
mod rng;
mod sealed;
pub mod selftest;
mod token;

pub use context::EncryptionContext;
pub use domain::DomainKeyInfo;
pub use error::{Error, Result};
pub use hsm::{EphemeralRoot, Hsm, HsmStatus, UnsealProvider};
pub use keytable::KeyHandle;
pub use memory::{Level, MemoryPolicy, Secret};
pub use rng::{fill_random, request_id};
pub use token::{Hbkid, KeyBinding, material_id, token_domain_key};
