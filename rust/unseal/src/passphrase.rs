//! A root key from a passphrase by Argon2id (RFC 9106).

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use argon2::{Algorithm, Argon2, Params, Version};
use clavero_hsm::{Error, Result, UnsealProvider, fill_random};
use zeroize::Zeroizing;

use crate::files;

/// RFC 9106 section 4, second recommended option: 64 MiB of memory, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
const SALT_LEN: usize = 16;
const MIN_PASSPHRASE_LEN: usize = 8;
const PREFIX: &str = "argon2id v=19 m=65536 t=3 p=4 salt=";

/// A passphrase, with its salt and the parameters in a file beside the store. The file is no secret, but the key cannot be made
/// again without it.
pub struct Passphrase {
    passphrase: Zeroizing<Vec<u8>>,
    salt_path: PathBuf,
}

impl Passphrase {
    /// The passphrase (wiped when this is dropped) and the file of its salt, which is made on first use.
    pub fn new(passphrase: Vec<u8>, salt_path: impl Into<PathBuf>) -> Passphrase {
        Passphrase { passphrase: Zeroizing::new(passphrase), salt_path: salt_path.into() }
    }

    fn salt(&self, create: bool) -> Result<[u8; SALT_LEN]> {
        let mut text = [0; 256];
        match files::read_private(&self.salt_path, &mut text)? {
            Some(len) => parse_salt(&text[..len]).ok_or_else(|| {
                Error::Unseal(format!(
                    "{} is damaged or not a passphrase salt: restore it from a backup",
                    self.salt_path.display()
                ))
            }),
            None if create => {
                let mut salt = [0; SALT_LEN];
                fill_random(&mut salt)?;
                let hex: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();
                files::create_private(&self.salt_path, format!("{PREFIX}{hex}\n").as_bytes())?;
                Ok(salt)
            }
            None => Err(Error::Unseal(format!(
                "the passphrase's salt {} is missing, and the store is sealed with it: restore the file from a backup",
                self.salt_path.display()
            ))),
        }
    }
}

impl UnsealProvider for Passphrase {
    fn describe(&self) -> String {
        format!("the passphrase with the salt {}", self.salt_path.display())
    }

    fn root_key(&self, create: bool, out: &mut [u8; 32]) -> Result<()> {
        known_answer()?;
        if self.passphrase.len() < MIN_PASSPHRASE_LEN {
            return Err(Error::Unseal(format!("the passphrase must have at least {MIN_PASSPHRASE_LEN} bytes")));
        }
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|_| Error::Internal("Argon2id"))?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&self.passphrase, &self.salt(create)?, out)
            .map_err(|_| Error::Internal("Argon2id"))
    }
}

fn parse_salt(text: &[u8]) -> Option<[u8; SALT_LEN]> {
    let hex = std::str::from_utf8(text).ok()?.trim_end().strip_prefix(PREFIX)?;
    if hex.len() != 2 * SALT_LEN || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut salt = [0; SALT_LEN];
    for (index, byte) in salt.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(salt)
}

/// Argon2id's self-test before its first use: RFC 9106 section 5.3.
fn known_answer() -> Result<()> {
    // No lock: one that a thread holds at a fork stays locked in the child. Twice at once is only twice the work.
    static PASSED: AtomicBool = AtomicBool::new(false);
    if !PASSED.load(Ordering::Relaxed) {
        if !rfc_9106_tag().is_ok_and(|tag| tag == ANSWER) {
            return Err(Error::SelfTest("Argon2id"));
        }
        PASSED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

const ANSWER: [u8; 32] = [
    0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9, 0xd0, 0x1e, 0xf0, 0x45, 0x2d,
    0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
];

fn rfc_9106_tag() -> std::result::Result<[u8; 32], argon2::Error> {
    let mut builder = argon2::ParamsBuilder::new();
    builder.m_cost(32).t_cost(3).p_cost(4).output_len(32);
    builder.data(argon2::AssociatedData::new(&[4; 12])?);
    let context = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, builder.build()?)?;
    let mut tag = [0; 32];
    context.hash_password_into(&[1; 32], &[2; 16], &mut tag)?;
    Ok(tag)
}
