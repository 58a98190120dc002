//! Ciphertext blobs: no bytes make the parser panic, and nothing opens but the blob that the HSM issued.
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a fuzz target: a panic is how it reports

mod common;

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use clavero_hsm::blob::{Blob, MAX_BLOB_LEN, blob_len};
use clavero_hsm::{EncryptionContext, Error, Hsm, KeyHandle};
use libfuzzer_sys::fuzz_target;

const PLAINTEXT: &[u8] = b"the plaintext of the one genuine blob";

fn context() -> EncryptionContext {
    EncryptionContext::new(vec![("purpose", "fuzz")]).unwrap()
}

fn genuine() -> &'static (Hsm, KeyHandle, Vec<u8>) {
    static GENUINE: OnceLock<(Hsm, KeyHandle, Vec<u8>)> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let hsm = common::hsm().0;
        let handle = hsm.generate_key(&common::BINDING).unwrap().2;
        let mut blob = vec![0; blob_len(PLAINTEXT.len())];
        hsm.encrypt(handle, &mut context(), PLAINTEXT, &mut blob).unwrap();
        (hsm, handle, blob)
    })
}

fn check(bytes: &[u8]) {
    let (hsm, handle, blob) = genuine();
    let parsed = match Blob::parse(bytes) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert_eq!(error, Error::InvalidCiphertext);
            assert_ne!(bytes, blob);
            return;
        }
    };
    assert!((64..=MAX_BLOB_LEN).contains(&bytes.len()) && bytes[..4] == [1, 1, 0, 0]);
    assert_eq!(parsed.plaintext_len(), bytes.len() - 64);
    assert_eq!((&parsed.hbkid()[..], &parsed.nonce()[..]), (&bytes[4..20], &bytes[20..36]));
    let mut out = vec![0xa5; parsed.plaintext_len()];
    let opened = hsm.decrypt(*handle, &mut context(), &parsed, &mut out);
    if bytes == blob {
        assert_eq!((opened, out.as_slice()), (Ok(()), PLAINTEXT));
        return;
    }
    assert_eq!(opened, Err(Error::InvalidCiphertext));
    assert!(out.iter().all(|&byte| byte == 0));
    assert_eq!(hsm.decrypt_unknown(&mut context(), &parsed), Err(Error::InvalidCiphertext));
    let mut moved = vec![0; blob_len(parsed.plaintext_len())];
    let refused = hsm.reencrypt((*handle, &mut context()), &parsed, (*handle, &mut context()), &mut moved);
    assert_eq!(refused, Err(Error::InvalidCiphertext));
    // Behind the genuine one in a batch, where its derived key is at hand already.
    let blobs = [(*handle, Blob::parse(blob).unwrap()), (*handle, parsed)];
    let mut out = vec![0xa5; PLAINTEXT.len() + bytes.len() - 64];
    let refused = hsm.decrypt_many(&context(), &blobs, &mut out, NonZeroUsize::MIN).unwrap_err();
    assert_eq!((refused.index, refused.error), (Some(1), Error::InvalidCiphertext));
    assert!(out.iter().all(|&byte| byte == 0));
}

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&common::edited(&genuine().2, data));
});
