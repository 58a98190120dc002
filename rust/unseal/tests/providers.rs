//! Each provider gives the same key again, makes one only when it may, and refuses what could be somebody else's.
#![allow(missing_docs, clippy::unwrap_used)] // a test, its helpers too

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clavero_unseal::{Command, Environment, KeyFile, Passphrase, UnsealProvider};

type Outcome = Result<[u8; 32], String>;

fn root_key(provider: &dyn UnsealProvider, create: bool) -> Outcome {
    clavero_hsm::memory::open(clavero_hsm::MemoryPolicy { allow_insecure: true }).unwrap();
    let mut key = [0; 32];
    provider.root_key(create, &mut key).map(|()| key).map_err(|error| error.to_string())
}

fn refused(outcome: Outcome, with: &str) {
    let message = outcome.expect_err("must be refused");
    assert!(message.contains(with), "{message:?} does not say {with:?}");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_file_is_made_once_private_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    refused(root_key(&KeyFile::new(&path), false), "is missing");
    assert!(!path.exists());
    let key = root_key(&KeyFile::new(&path), true).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(std::fs::read(&path).unwrap(), key);
    assert_eq!(root_key(&KeyFile::new(&path), true).unwrap(), key);
    assert_eq!(root_key(&KeyFile::new(&path), false).unwrap(), key);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_key_file_that_others_may_read_or_of_another_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    root_key(&KeyFile::new(&path), true).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    refused(root_key(&KeyFile::new(&path), false), "chmod 600");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    for len in [0, 31, 33, 1000] {
        std::fs::write(&path, vec![1; len]).unwrap();
        refused(root_key(&KeyFile::new(&path), true), &format!("has {len} bytes"));
        assert_eq!(std::fs::read(&path).unwrap().len(), len, "a damaged file is left for its owner");
    }
}

#[test]
fn a_passphrase_gives_its_key_with_its_salt_only() {
    let folder = tempfile::tempdir().unwrap();
    let salt = folder.path().join("root.salt");
    let provider = |passphrase: &str| Passphrase::new(passphrase.into(), &salt);
    refused(root_key(&provider("correct horse"), false), "is missing");
    let key = root_key(&provider("correct horse"), true).unwrap();
    assert_eq!(root_key(&provider("correct horse"), false).unwrap(), key);
    assert_ne!(root_key(&provider("correct horsf"), false).unwrap(), key);
    refused(root_key(&provider("short"), false), "at least 8");
    let text = std::fs::read_to_string(&salt).unwrap();
    assert!(text.starts_with("argon2id v=19 m=65536 t=3 p=4 salt="));
    std::fs::write(&salt, text.replace("m=65536", "m=1")).unwrap();
    refused(root_key(&provider("correct horse"), false), "damaged");
}

#[test]
fn a_command_prints_the_key_and_its_failures_are_told() {
    let command = |argv: &[&str]| Command::new(argv.iter().map(OsString::from).collect());
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let key = root_key(&command(&["printf", "%s\\n", hex]), false).unwrap();
    assert_eq!(key[..4], [0, 0x11, 0x22, 0x33]);
    refused(root_key(&command(&["false"]), false), "exit status: 1");
    refused(root_key(&command(&["/nonexistent/program"]), false), "No such file");
    refused(root_key(&command(&["printf", "secret-but-not-a-key"]), false), "does not hold a root key");
    refused(root_key(&command(&["head", "-c", "1025", "/dev/zero"]), false), "more than 1024");
    refused(root_key(&command(&[]), false), "empty");
    let message = root_key(&command(&["printf", "secret-but-not-a-key"]), false).unwrap_err();
    assert!(!message.contains("secret"));
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    refused(root_key(&Environment::new("CLAVERO_NO_SUCH_VARIABLE"), false), "CLAVERO_NO_SUCH_VARIABLE is not set");
    // PATH is set everywhere, and is no key.
    refused(root_key(&Environment::new("PATH"), false), "does not hold a root key");
}
