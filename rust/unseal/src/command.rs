//! A root key that another program prints.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use clavero_hsm::{Error, Result, UnsealProvider};
use zeroize::Zeroizing;

use crate::encoding::decode_key;

/// How long the program may take: people may have to touch a token.
const TIMEOUT: Duration = Duration::from_secs(60);
/// More output than any form of a key has.
const MAX_OUTPUT: usize = 1024;

/// A program, run without a shell, whose standard output is the key in hexadecimal or base64.
pub struct Command {
    argv: Vec<OsString>,
}

impl Command {
    /// The program and its arguments.
    pub fn new(argv: Vec<OsString>) -> Command {
        Command { argv }
    }

    fn failed(&self, why: &str) -> Error {
        Error::Unseal(format!("{} gave no root key: {why}", self.describe()))
    }
}

impl UnsealProvider for Command {
    fn describe(&self) -> String {
        // Arguments may hold secrets: only the program is named.
        format!("the command {}", self.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default())
    }

    fn root_key(&self, _create: bool, out: &mut [u8; 32]) -> Result<()> {
        let (program, arguments) = self.argv.split_first().ok_or_else(|| Error::Unseal("the unseal command is empty".into()))?;
        let mut child = Process::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| self.failed(&error.to_string()))?;
        let mut pipe = child.stdout.take().ok_or(Error::Internal("the unseal command's pipe"))?;
        let reader = std::thread::spawn(move || {
            let mut output = Zeroizing::new(vec![0; MAX_OUTPUT + 1]);
            let mut len = 0;
            while len < output.len() {
                match pipe.read(&mut output[len..]) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => len += read,
                }
            }
            (output, len)
        });
        let give_up = Instant::now() + TIMEOUT;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    let _ = child.kill(); // it may have ended meanwhile
                    let _ = child.wait();
                    return Err(self.failed("it did not end within 60 seconds"));
                }
                Err(error) => return Err(self.failed(&error.to_string())),
            }
        };
        if !status.success() {
            return Err(self.failed(&status.to_string()));
        }
        let (output, len) = reader.join().map_err(|_| Error::Internal("the unseal command's reader"))?;
        if len > MAX_OUTPUT {
            return Err(self.failed("it printed more than 1024 bytes"));
        }
        decode_key(&output[..len], &self.describe(), out)
    }
}
