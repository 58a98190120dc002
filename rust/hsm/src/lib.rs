//! The software HSM of Clavero: protected memory, the key hierarchy, exported key tokens and ciphertext blobs.
//!
//! ```text
//! hsm        Hsm: the facade. Every call passes its guard (sealed? forked? self-tests passed?)
//!   recipient    what leaves for an attested recipient only, as CMS (cms)
//!   batch    many messages under one derived key, straight into the caller's memory
//!   pairs, import   data key pairs; wrapping keys, and key material from outside
//!   transfer multi-Region keys on their way to another Region
//!   message  one message: Encrypt, Decrypt, ReEncrypt, GenerateDataKey
//!   signing  SigV4: secrets under the shield, signing keys, verification of signatures
//!   asymmetric   Sign, Verify, RSA Encrypt and Decrypt, MACs, ECDH, ML-KEM
//!   domain   a Region's domain keys and their sealed state
//!   token    exported key tokens: a backing key sealed under a domain key, bound to whose it is
//!   keytable loaded backing keys, shielded, behind unforgeable handles
//!   blob, context, sealed   the byte formats (docs/formats)
//! key        key specs and what goes with them; parsed private keys
//! selftest   known answers before first use, and the error state
//! crypto, rng  the algorithms and CTR_DRBG over AWS-LC
//! memory     secret pages, fork detection, libcrypto's heap, the key scope, wiping on exit
//! error
//! ```
//!
//! A module uses only what stands below it. There is no I/O here and no Python: root keys come in through
//! [`UnsealProvider`], sealed bytes go out to whoever stores them, and time is an argument.
#![doc(test(attr(deny(warnings))))]

mod asymmetric;
pub mod batch;
pub mod blob;
mod cms;
pub mod context;
pub mod crypto;
mod domain;
mod error;
mod hsm;
mod import;
mod key;
mod keytable;
pub mod memory;
pub mod message;
mod pairs;
mod recipient;
mod rng;
mod sealed;
pub mod selftest;
pub mod signing;
mod token;
mod transfer;

pub use context::EncryptionContext;
pub use domain::DomainKeyInfo;
pub use error::{Error, Result};
pub use hsm::{EphemeralRoot, Hsm, HsmStatus, NewKey, UnsealProvider};
pub use import::{Imported, WrappingKey};
pub use key::spec;
pub use keytable::KeyHandle;
pub use memory::{Level, MemoryPolicy, Secret};
pub use pairs::DataKeyPair;
pub use recipient::Recipient;
pub use rng::{fill_random, request_id};
pub use token::{Hbkid, KeyBinding, material_id, token_domain_key};
