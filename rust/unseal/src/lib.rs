//! Where root keys come from. The only Rust crate that reads files, the environment or another program for a key.
//!
//! | provider | keeps | for |
//! |---|---|---|
//! | [`KeyFile`] | 32 bytes in a 0600 file, made on first use | the embedded default; systemd credentials |
//! | [`Passphrase`] | a salt and Argon2id's parameters in a file; the passphrase nowhere | people |
//! | [`Environment`] | nothing | container platforms that inject secrets |
//! | [`Command`] | nothing | secret managers with a command line |
//!
//! Each implements [`UnsealProvider`]; others (TPM, PKCS#11, Shamir shares) plug into the same trait. The key goes from its source
//! into protected memory; what passes through ordinary memory on the way is wiped.

mod command;
mod encoding;
mod environment;
mod files;
mod key_file;
mod passphrase;

pub use clavero_hsm::UnsealProvider;
pub use command::Command;
pub use environment::Environment;
pub use key_file::KeyFile;
pub use passphrase::Passphrase;
