//! A root key in an environment variable.

use std::os::unix::ffi::OsStringExt;

use clavero_hsm::{Error, Result, UnsealProvider};
use zeroize::Zeroizing;

use crate::encoding::decode_key;

/// A variable that holds the key in hexadecimal or base64. The environment block itself stays readable in the process: whoever
/// starts the process chose that.
pub struct Environment {
    name: String,
}

impl Environment {
    /// The variable `name`.
    pub fn new(name: impl Into<String>) -> Environment {
        Environment { name: name.into() }
    }
}

impl UnsealProvider for Environment {
    fn describe(&self) -> String {
        format!("the environment variable {}", self.name)
    }

    fn root_key(&self, _create: bool, out: &mut [u8; 32]) -> Result<()> {
        let value = std::env::var_os(&self.name)
            .ok_or_else(|| Error::Unseal(format!("the environment variable {} is not set", self.name)))?;
        let value = Zeroizing::new(value.into_vec());
        decode_key(&value, &self.describe(), out)
    }
}
