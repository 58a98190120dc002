//! The hook of libcrypto's heap comes before its first allocation, whatever is called first. A process of its own: one test.
#![allow(missing_docs, clippy::unwrap_used)] // a test

mod support;

use std::sync::mpsc::channel;

use clavero_hsm::crypto::kdf::kbkdf_ctr_hmac_sha256;
use clavero_hsm::{fill_random, request_id};
use support::{BINDING, decrypt, encrypt};

#[test]
fn libcrypto_may_be_used_before_the_first_hsm() {
    // Threads on which libcrypto allocates its generator's state and its error queue before any HSM is opened; freed at their end.
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (end, ended) = channel::<()>();
            let (ready, is_ready) = channel();
            let thread = std::thread::spawn(move || {
                assert!(kbkdf_ctr_hmac_sha256(&[], b"label", &mut []).is_err());
                request_id().unwrap();
                fill_random(&mut [0; 32]).unwrap();
                ready.send(()).unwrap();
                ended.recv().unwrap();
            });
            is_ready.recv().unwrap();
            (thread, end)
        })
        .collect();
    let hsm = support::hsm();
    for (thread, end) in threads {
        end.send(()).unwrap();
        thread.join().unwrap();
    }
    let handle = hsm.generate_key(&BINDING).unwrap().2;
    let blob = encrypt(&hsm, handle, &[], b"text").unwrap();
    assert_eq!(decrypt(&hsm, handle, &[], &blob).unwrap(), b"text");
    let overflow = hsm.status().unwrap().memory.libcrypto_overflow_bytes;
    assert!(overflow < 1 << 20, "{overflow} bytes outside the pool");
}
