//! ML-KEM (FIPS 203): encapsulation and decapsulation.
#![allow(unsafe_code)] // EVP_PKEY_encapsulate and EVP_PKEY_decapsulate through aws-lc-sys

use aws_lc_sys as ffi;

use crate::crypto::pkey::{Context, KeyType, PrivateKey, PublicKey, done};
use crate::error::{Error, Result};
use crate::memory::{KeyScope, with_libcrypto};

/// Bytes of a shared secret.
pub const SECRET_LEN: usize = 32;

fn ciphertext_len(key_type: KeyType) -> Result<usize> {
    match key_type {
        KeyType::MlKem512 => Ok(768),
        KeyType::MlKem768 => Ok(1088),
        KeyType::MlKem1024 => Ok(1568),
        _ => Err(Error::Internal("a key's type")),
    }
}

/// A fresh shared secret and its ciphertext.
pub fn encapsulate(key: &PublicKey, key_type: KeyType, secret: &mut [u8; SECRET_LEN]) -> Result<Vec<u8>> {
    with_libcrypto(|| {
        let context = Context::new(key.as_ptr())?;
        let mut out = vec![0; ciphertext_len(key_type)?];
        let (mut len, mut secret_len) = (out.len(), SECRET_LEN);
        // SAFETY: a live context; both outputs are passed with their lengths.
        let encapsulated = unsafe {
            ffi::EVP_PKEY_encapsulate(context.as_ptr(), out.as_mut_ptr(), &mut len, secret.as_mut_ptr(), &mut secret_len)
        };
        done(encapsulated, "ML-KEM encapsulation")?;
        if (len, secret_len) == (out.len(), SECRET_LEN) { Ok(out) } else { Err(Error::Internal("ML-KEM encapsulation")) }
    })
}

/// The shared secret of `ciphertext`. One of the right length always gives a secret: for one that was not made for this key, a
/// pseudo-random one (implicit rejection). One of a wrong length is refused.
pub fn decapsulate(_scope: &KeyScope, key: &PrivateKey, ciphertext: &[u8], secret: &mut [u8; SECRET_LEN]) -> Result<()> {
    if ciphertext.len() != ciphertext_len(key.key_type())? {
        return Err(Error::InvalidCiphertext);
    }
    let context = Context::new(key.as_ptr())?;
    let mut len = SECRET_LEN;
    // SAFETY: a live context; the output is passed with its length, pointers and lengths come from slices.
    let decapsulated = unsafe {
        ffi::EVP_PKEY_decapsulate(context.as_ptr(), secret.as_mut_ptr(), &mut len, ciphertext.as_ptr(), ciphertext.len())
    };
    done(decapsulated, "ML-KEM decapsulation")?;
    if len == SECRET_LEN { Ok(()) } else { Err(Error::Internal("ML-KEM decapsulation")) }
}
