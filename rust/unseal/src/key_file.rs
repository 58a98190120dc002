//! A root key in a file of 32 bytes: the embedded default.

use std::path::PathBuf;

use clavero_hsm::{Error, Result, UnsealProvider, fill_random};

use crate::files;

/// 32 bytes in a file with mode 0600.
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`. It is made on first use, and only while nothing is sealed under it yet.
    pub fn new(path: impl Into<PathBuf>) -> KeyFile {
        KeyFile { path: path.into() }
    }
}

impl UnsealProvider for KeyFile {
    fn describe(&self) -> String {
        format!("the key file {}", self.path.display())
    }

    fn root_key(&self, create: bool, out: &mut [u8; 32]) -> Result<()> {
        match files::read_private(&self.path, out)? {
            Some(32) => match std::fs::metadata(&self.path) {
                Ok(metadata) if metadata.len() != 32 => Err(self.wrong_length(metadata.len())),
                _ => Ok(()),
            },
            Some(len) => Err(self.wrong_length(len as u64)),
            None if create => {
                fill_random(out)?;
                files::create_private(&self.path, out)
            }
            None => Err(Error::Unseal(format!(
                "the key file {} is missing, and the store is sealed under it: restore the file from a backup",
                self.path.display()
            ))),
        }
    }
}

impl KeyFile {
    fn wrong_length(&self, len: u64) -> Error {
        Error::Unseal(format!("the key file {} has {len} bytes, not 32: it is damaged or not a key file", self.path.display()))
    }
}
