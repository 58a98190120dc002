//! Messages and batches: what must come back does, and everything else is refused with nothing written.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

mod support;

use std::num::NonZeroUsize;

use clavero_hsm::batch::{BatchError, MAX_BATCH};
use clavero_hsm::blob::{Blob, MAX_BLOB_LEN, blob_len};
use clavero_hsm::{EncryptionContext, Error, Hsm, KeyHandle};
use support::{BINDING, binding, context, decrypt, encrypt, hsm, pattern};

const PAIRS: &[(&str, &str)] = &[("department", "10103.0"), ("é", "")];
const ONE: NonZeroUsize = NonZeroUsize::MIN;
const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

fn key(hsm: &Hsm, id: &str) -> KeyHandle {
    hsm.generate_key(&binding(id)).unwrap().2
}

#[test]
fn every_size_goes_round() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    for len in (1..=300).chain([511, 512, 1023, 1024, 1025, 2048, 4095, 4096]) {
        let plaintext = pattern(len, 1);
        let blob = encrypt(&hsm, handle, PAIRS, &plaintext).unwrap();
        assert_eq!(blob.len(), len + 64);
        assert_eq!(decrypt(&hsm, handle, PAIRS, &blob).unwrap(), plaintext);
    }
}

#[test]
fn no_two_blobs_share_a_nonce() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    let nonces: std::collections::HashSet<Vec<u8>> =
        (0..2000).map(|_| encrypt(&hsm, handle, &[], b"x").unwrap()[20..48].to_vec()).collect();
    assert_eq!(nonces.len(), 2000);
}

#[test]
fn sizes_outside_the_limits_are_refused() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    let limit = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Limit(_))), "{result:?}");
    for len in [0, 4097] {
        limit(encrypt(&hsm, handle, &[], &vec![0; len]).map(drop));
    }
    for len in [0, 1025] {
        let mut plaintext = vec![0; len];
        let mut out = vec![0; blob_len(len)];
        limit(hsm.generate_data_key(handle, &mut context(&[]), &mut plaintext, &mut out));
        limit(hsm.generate_data_key_without_plaintext(handle, &mut context(&[]), len, &mut out));
        limit(hsm.generate_data_keys(handle, &context(&[]), len, &mut vec![0; len.max(1)], &mut out, ONE));
    }
    // buffers that do not fit
    limit(hsm.encrypt(handle, &mut context(&[]), b"four", &mut vec![0; blob_len(4) + 1]));
    let blob = encrypt(&hsm, handle, &[], b"four").unwrap();
    let blob = Blob::parse(&blob).unwrap();
    limit(hsm.decrypt(handle, &mut context(&[]), &blob, &mut [0; 5]));
    limit(hsm.generate_data_keys(handle, &context(&[]), 32, &mut [0; 33], &mut vec![0; blob_len(32)], ONE));
    limit(hsm.generate_data_keys(handle, &context(&[]), 32, &mut [0; 64], &mut vec![0; blob_len(32)], ONE));
    limit(hsm.generate_data_keys(handle, &context(&[]), 32, &mut [], &mut [], ONE));
}

#[test]
fn every_flipped_bit_is_refused() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    for len in [1, 32, 100] {
        let blob = encrypt(&hsm, handle, PAIRS, &pattern(len, 2)).unwrap();
        for bit in 0..blob.len() * 8 {
            let mut flipped = blob.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decrypt(&hsm, handle, PAIRS, &flipped), Err(Error::InvalidCiphertext), "bit {bit} of {len} bytes");
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    let blob = encrypt(&hsm, handle, PAIRS, &pattern(40, 3)).unwrap();
    for len in 0..blob.len() {
        assert_eq!(decrypt(&hsm, handle, PAIRS, &blob[..len]), Err(Error::InvalidCiphertext), "cut to {len}");
        assert_eq!(decrypt(&hsm, handle, PAIRS, &blob[blob.len() - len..]), Err(Error::InvalidCiphertext), "last {len}");
    }
    for more in [1, 16, 5000] {
        let extended = [blob.as_slice(), &vec![0; more]].concat();
        assert_eq!(decrypt(&hsm, handle, PAIRS, &extended), Err(Error::InvalidCiphertext), "{more} bytes more");
    }
    let huge = [&blob[..4], &vec![0; MAX_BLOB_LEN - 3]].concat();
    assert_eq!(Blob::parse(&huge).err(), Some(Error::InvalidCiphertext));
    // The largest that parses is larger than any plaintext; it must be refused, not overrun anything.
    let mut largest = vec![0; MAX_BLOB_LEN];
    largest[..48].copy_from_slice(&blob[..48]);
    assert_eq!(decrypt(&hsm, handle, PAIRS, &largest), Err(Error::InvalidCiphertext));
    let parsed = Blob::parse(&largest).unwrap();
    assert_eq!(hsm.decrypt_unknown(&mut context(PAIRS), &parsed), Err(Error::InvalidCiphertext));
}

#[test]
fn foreign_blobs_and_contexts_are_refused() {
    let hsm = hsm();
    let (one, two) = (key(&hsm, "a"), key(&hsm, "b"));
    let blob = encrypt(&hsm, one, PAIRS, b"secret").unwrap();
    assert_eq!(decrypt(&hsm, two, PAIRS, &blob), Err(Error::InvalidCiphertext), "another key");
    for pairs in
        [&[][..], &[("department", "10103.0")], &[("é", ""), ("department", "10103.1")], &[("department", ""), ("é", "10103.0")]]
    {
        assert_eq!(decrypt(&hsm, one, pairs, &blob), Err(Error::InvalidCiphertext), "{pairs:?}");
    }
    assert_eq!(decrypt(&hsm, one, &[("é", ""), ("department", "10103.0")], &blob).unwrap(), b"secret", "order does not matter");
    // Relabelled as another key's: the HBKID is authenticated.
    let mut relabelled = blob.clone();
    relabelled[4..20].copy_from_slice(&encrypt(&hsm, two, PAIRS, b"x").unwrap()[4..20]);
    assert_eq!(decrypt(&hsm, two, PAIRS, &relabelled), Err(Error::InvalidCiphertext));
    // A blob of another HSM: no stored key has its HBKID.
    let other = support::hsm();
    let foreign = encrypt(&other, key(&other, "a"), PAIRS, b"secret").unwrap();
    assert_eq!(hsm.decrypt_unknown(&mut context(PAIRS), &Blob::parse(&foreign).unwrap()), Err(Error::InvalidCiphertext));
    assert_eq!(hsm.decrypt_unknown(&mut context(PAIRS), &Blob::parse(&blob).unwrap()), Err(Error::InvalidCiphertext));
}

#[test]
fn data_keys_open_and_differ() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    let mut seen = std::collections::HashSet::new();
    for len in [16, 32, 32, 1, 1024] {
        let (mut plaintext, mut out) = (vec![0; len], vec![0; blob_len(len)]);
        hsm.generate_data_key(handle, &mut context(PAIRS), &mut plaintext, &mut out).unwrap();
        assert_eq!(decrypt(&hsm, handle, PAIRS, &out).unwrap(), plaintext);
        assert!(seen.insert(plaintext));
        hsm.generate_data_key_without_plaintext(handle, &mut context(PAIRS), len, &mut out).unwrap();
        let hidden = decrypt(&hsm, handle, PAIRS, &out).unwrap();
        assert_eq!(hidden.len(), len);
        if len > 1 {
            assert!(seen.insert(hidden));
        }
    }
}

#[test]
fn reencrypt_moves_a_message_between_keys_and_contexts() {
    let hsm = hsm();
    let (one, two) = (key(&hsm, "a"), key(&hsm, "b"));
    for len in [1, 32, 4096] {
        let plaintext = pattern(len, 4);
        let blob = encrypt(&hsm, one, PAIRS, &plaintext).unwrap();
        let parsed = Blob::parse(&blob).unwrap();
        let mut moved = vec![0; blob_len(len)];
        hsm.reencrypt((one, &mut context(PAIRS)), &parsed, (two, &mut context(&[("new", "1")])), &mut moved).unwrap();
        assert_eq!(decrypt(&hsm, two, &[("new", "1")], &moved).unwrap(), plaintext);
        assert_eq!(decrypt(&hsm, one, PAIRS, &moved), Err(Error::InvalidCiphertext));
        let mut out = vec![0; blob_len(len)];
        let refused = hsm.reencrypt((one, &mut context(&[])), &parsed, (two, &mut context(&[])), &mut out);
        assert_eq!(refused, Err(Error::InvalidCiphertext));
        assert!(out.iter().all(|&byte| byte == 0), "nothing is written");
        let refused = hsm.reencrypt((two, &mut context(PAIRS)), &parsed, (one, &mut context(PAIRS)), &mut out);
        assert_eq!(refused, Err(Error::InvalidCiphertext));
        assert!(out.iter().all(|&byte| byte == 0), "nothing is written");
    }
}

/// Data keys of one batch: (plaintexts, blobs).
fn batch(
    hsm: &Hsm,
    handle: KeyHandle,
    pairs: &[(&str, &str)],
    count: usize,
    size: usize,
    threads: NonZeroUsize,
) -> (Vec<u8>, Vec<u8>) {
    let (mut plaintext, mut out) = (vec![0; count * size], vec![0; count * blob_len(size)]);
    hsm.generate_data_keys(handle, &context(pairs), size, &mut plaintext, &mut out, threads).unwrap();
    (plaintext, out)
}

#[test]
fn blobs_of_a_batch_open_singly_and_the_other_way_round() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    for (count, size, threads) in [(1, 32, FOUR), (3, 1024, FOUR), (2049, 32, FOUR), (10_000, 16, FOUR), (5000, 33, ONE)] {
        let (plaintext, out) = batch(&hsm, handle, PAIRS, count, size, threads);
        let keys: std::collections::HashSet<&[u8]> = plaintext.chunks(size).collect();
        assert_eq!(keys.len(), count, "data keys differ");
        let headers: std::collections::HashSet<&[u8]> = out.chunks(blob_len(size)).map(|blob| &blob[20..48]).collect();
        assert_eq!(headers.len(), count, "no (N, IV) pair repeats");
        for (index, (key, blob)) in plaintext.chunks(size).zip(out.chunks(blob_len(size))).enumerate() {
            if index % 97 == 0 || index + 1 == count {
                assert_eq!(decrypt(&hsm, handle, PAIRS, blob).unwrap(), key, "blob {index}");
            }
        }
        let blobs: Vec<_> = out.chunks(blob_len(size)).map(|blob| (handle, Blob::parse(blob).unwrap())).collect();
        for threads in [ONE, FOUR] {
            let mut opened = vec![0; plaintext.len()];
            hsm.decrypt_many(&context(PAIRS), &blobs, &mut opened, threads).unwrap();
            assert_eq!(opened, plaintext);
        }
    }
    // single blobs through decrypt_many
    let singles: Vec<Vec<u8>> = (1..200).map(|len| encrypt(&hsm, handle, PAIRS, &pattern(len, 5)).unwrap()).collect();
    let blobs: Vec<_> = singles.iter().map(|blob| (handle, Blob::parse(blob).unwrap())).collect();
    let mut opened = vec![0; (1..200).sum()];
    hsm.decrypt_many(&context(PAIRS), &blobs, &mut opened, FOUR).unwrap();
    let mut rest = opened.as_slice();
    for len in 1..200 {
        let (one, after) = rest.split_at(len);
        assert_eq!(one, pattern(len, 5));
        rest = after;
    }
}

#[test]
fn encrypt_many_takes_mixed_sizes() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    let plaintexts: Vec<Vec<u8>> = (0..5000).map(|index| pattern(1 + index % 300, index as u64)).collect();
    let slices: Vec<&[u8]> = plaintexts.iter().map(Vec::as_slice).collect();
    let mut out = vec![0; plaintexts.iter().map(|plaintext| blob_len(plaintext.len())).sum()];
    hsm.encrypt_many(handle, &context(PAIRS), &slices, &mut out, FOUR).unwrap();
    let mut rest = out.as_slice();
    for plaintext in &plaintexts {
        let (blob, after) = rest.split_at(blob_len(plaintext.len()));
        assert_eq!(decrypt(&hsm, handle, PAIRS, blob).unwrap(), *plaintext);
        rest = after;
    }
    assert!(rest.is_empty());
}

#[test]
fn decrypt_many_takes_mixed_keys_and_names_the_one_that_fails() {
    let hsm = hsm();
    let handles: Vec<KeyHandle> = (0..5).map(|id| key(&hsm, &format!("k{id}"))).collect();
    let mut blobs: Vec<(KeyHandle, Vec<u8>)> = Vec::new();
    let mut expected = Vec::new();
    for round in 0..1000 {
        for &handle in &handles {
            let (plaintext, out) = batch(&hsm, handle, PAIRS, 1 + round % 3, 32, ONE);
            blobs.extend(out.chunks(blob_len(32)).map(|blob| (handle, blob.to_vec())));
            expected.extend(plaintext);
        }
    }
    let parse = |blobs: &[(KeyHandle, Vec<u8>)], out: &mut Vec<u8>, threads| {
        let parsed: Vec<_> = blobs.iter().map(|(handle, blob)| (*handle, Blob::parse(blob).unwrap())).collect();
        hsm.decrypt_many(&context(PAIRS), &parsed, out, threads)
    };
    let mut opened = vec![0; expected.len()];
    parse(&blobs, &mut opened, FOUR).unwrap();
    assert_eq!(opened, expected);
    for at in [0, 1, 4999, blobs.len() - 1] {
        for threads in [ONE, FOUR] {
            let mut damaged: Vec<_> = blobs.to_vec();
            damaged[at].1[70] ^= 1;
            let mut opened = vec![0xa5; expected.len()];
            let refused = parse(&damaged, &mut opened, threads);
            assert_eq!(refused, Err(BatchError { index: Some(at), error: Error::InvalidCiphertext }));
            assert!(opened.iter().all(|&byte| byte == 0), "a failed batch leaves nothing");
            // A blob of another key under this handle, also where the run's derived key is at hand.
            let mut swapped = blobs.to_vec();
            swapped[at].0 = handles[(handles.iter().position(|handle| *handle == swapped[at].0).unwrap() + 1) % 5];
            assert_eq!(parse(&swapped, &mut opened, threads).unwrap_err().index, Some(at));
        }
    }
    // The first of several failures is the one that is named.
    let mut damaged = blobs.to_vec();
    for at in [3000, 7000, 77] {
        damaged[at].1[64] ^= 0x80;
    }
    assert_eq!(parse(&damaged, &mut opened, FOUR).unwrap_err().index, Some(77));
}

#[test]
fn batch_counts_and_buffers_are_checked() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    let none: &[&[u8]] = &[];
    assert!(matches!(
        hsm.encrypt_many(handle, &context(&[]), none, &mut [], ONE),
        Err(BatchError { index: None, error: Error::Limit(_) })
    ));
    assert!(matches!(
        hsm.decrypt_many(&context(&[]), &[], &mut [], ONE),
        Err(BatchError { index: None, error: Error::Limit(_) })
    ));
    let too_long = [0; 4097];
    for (index, bad) in [(0, &[][..]), (2, &too_long[..])] {
        let mut plaintexts: Vec<&[u8]> = vec![b"ok"; 4];
        plaintexts[index] = bad;
        let refused = hsm.encrypt_many(handle, &context(&[]), &plaintexts, &mut vec![0; 6000], ONE);
        assert_eq!(refused.unwrap_err().index, Some(index));
    }
    let wrong = hsm.encrypt_many(handle, &context(&[]), &[b"ok"], &mut [0; 5], ONE);
    assert!(matches!(wrong, Err(BatchError { index: None, error: Error::Limit(_) })));
    // More than the most messages: refused before anything is computed.
    let mut plaintext = vec![0; MAX_BATCH + 1];
    let mut out = vec![0; (MAX_BATCH + 1) * blob_len(1)];
    let refused = hsm.generate_data_keys(handle, &context(&[]), 1, &mut plaintext, &mut out, ONE);
    assert!(matches!(refused, Err(Error::Limit(_))));
}

#[test]
fn a_failed_batch_of_data_keys_leaves_nothing() {
    let hsm = hsm();
    let handle = key(&hsm, "a");
    hsm.unload_key(handle).unwrap();
    let (mut plaintext, mut out) = (vec![0xa5; 32 * 10], vec![0xa5; 10 * blob_len(32)]);
    let refused = hsm.generate_data_keys(handle, &context(&[]), 32, &mut plaintext, &mut out, ONE);
    assert_eq!(refused, Err(Error::KeyNotLoaded));
    assert!(plaintext.iter().chain(&out).all(|&byte| byte == 0));
    let (mut plaintext, mut out) = (vec![0xa5; 32], vec![0; blob_len(32)]);
    assert_eq!(hsm.generate_data_key(handle, &mut context(&[]), &mut plaintext, &mut out), Err(Error::KeyNotLoaded));
    assert!(plaintext.iter().all(|&byte| byte == 0));
}

#[test]
fn an_encryption_context_is_refused_when_it_repeats_a_key() {
    assert!(matches!(EncryptionContext::new(vec![("a", "1"), ("a", "1")]), Err(Error::Limit(_))));
    let _ = BINDING;
}
