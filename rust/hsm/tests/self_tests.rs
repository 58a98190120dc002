//! The error state: whichever algorithm's known answer is wrong, everything is refused, by every HSM of the process.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

mod support;

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::{EphemeralRoot, Error, Hsm, selftest};
use support::{BINDING, POLICY, REGION, context, decrypt, encrypt, hsm};

#[test] // one test: the error state is the process's
fn every_fault_refuses_everything() {
    let hsm = hsm();
    let (hbkid, token, handle) = hsm.generate_key(&BINDING).unwrap();
    let blob = encrypt(&hsm, handle, &[], b"text").unwrap();
    let parsed = Blob::parse(&blob).unwrap();
    let record = hsm.stage_domain_rotation(REGION, 5).unwrap();
    let threads = std::num::NonZeroUsize::MIN;
    let names: Vec<_> = selftest::algorithms().collect();
    assert_eq!(names, ["SHA-256", "HMAC-SHA-256", "KBKDF-CTR-HMAC-SHA256", "AES-256-GCM", "CTR_DRBG"]);
    for (index, name) in (0u8..).zip(names) {
        selftest::inject_fault(Some(index));
        let (mut key, mut out, mut text) = (vec![0; 32], vec![0; blob_len(32)], [0; 4]);
        let refused: Vec<Result<(), Error>> = vec![
            Hsm::open(&EphemeralRoot, true, POLICY).map(drop),
            encrypt(&hsm, handle, &[], b"x").map(drop),
            decrypt(&hsm, handle, &[], &blob).map(drop),
            hsm.decrypt_unknown(&mut context(&[]), &parsed),
            hsm.generate_data_key(handle, &mut context(&[]), &mut key, &mut out),
            hsm.generate_data_key_without_plaintext(handle, &mut context(&[]), 32, &mut out),
            hsm.generate_data_keys(handle, &context(&[]), 32, &mut key, &mut out, threads),
            hsm.encrypt_many(handle, &context(&[]), &[&[1; 32]], &mut out, threads).map_err(|error| error.error),
            hsm.decrypt_many(&context(&[]), &[(handle, Blob::parse(&blob).unwrap())], &mut text, threads)
                .map_err(|error| error.error),
            hsm.reencrypt((handle, &mut context(&[])), &parsed, (handle, &mut context(&[])), &mut vec![0; blob.len()]),
            hsm.status().map(drop),
            hsm.create_domain("new", 1).map(drop),
            hsm.load_domain(REGION, &record).map(drop),
            hsm.stage_domain_rotation(REGION, 1).map(drop),
            hsm.stage_domain_retirement(REGION, &[]).map(drop),
            hsm.install_domain(REGION),
            hsm.discard_staged_domain(REGION),
            hsm.domain_keys(REGION).map(drop),
            hsm.generate_key(&BINDING).map(drop),
            hsm.load_key(&token, &hbkid, &BINDING).map(drop),
            hsm.rewrap_key(&token, &hbkid, &BINDING).map(drop),
            hsm.unload_key(handle),
            hsm.evict_idle_keys().map(drop),
            hsm.seal_opaque(REGION, "marker", b"x").map(drop),
            hsm.open_opaque(REGION, "marker", &blob).map(drop),
        ];
        for (entry, result) in refused.into_iter().enumerate() {
            assert_eq!(result, Err(Error::SelfTest(name)), "entry {entry}");
        }
        assert!(key.iter().chain(&out).chain(&text).all(|&byte| byte == 0));
        // The error state lasts, also when nothing is wrong any more; only the door can undo it.
        assert_eq!(hsm.status().err(), Some(Error::SelfTest(name)));
    }
    selftest::inject_fault(None);
    assert_eq!(decrypt(&hsm, handle, &[], &blob).unwrap(), b"text");
}
