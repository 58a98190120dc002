//! Small private files: read with their permissions checked, made durably and at most once.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use clavero_hsm::{Error, Result};

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::Unseal(format!("cannot {what} {}: {error}", path.display()))
}

/// Reads at most `buffer.len()` bytes straight into `buffer`; None when there is no such file. Refuses a file that others may read
/// or write, or that belongs to another user.
pub(crate) fn read_private(path: &Path, buffer: &mut [u8]) -> Result<Option<usize>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path, &error)),
    };
    let metadata = file.metadata().map_err(|error| failed("examine", path, &error))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::Unseal(format!(
            "{} can be read or changed by others (mode {:o}): run chmod 600 on it, and replace the key if others may have seen it",
            path.display(),
            metadata.mode() & 0o777
        )));
    }
    if ![0, effective_user()].contains(&metadata.uid()) {
        return Err(Error::Unseal(format!("{} belongs to another user (uid {})", path.display(), metadata.uid())));
    }
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path, &error)),
        }
    }
    Ok(Some(len))
}

/// Makes `path` with `contents` and mode 0600, and has both file and folder on disk before it returns. The file appears whole or not
/// at all; one that is there already is never replaced.
pub(crate) fn create_private(path: &Path, contents: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::hard_link(&temporary, path)?; // unlike rename, fails where the file exists
        File::open(folder)?.sync_all()
    })();
    // The temporary name goes away whether or not the link was made; a failure to remove it loses nothing.
    let _ = std::fs::remove_file(&temporary);
    written.map_err(|error| failed("make", path, &error))
}

#[allow(unsafe_code)]
fn effective_user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}
