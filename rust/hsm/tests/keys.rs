//! Keys, tokens and domains: a stored row opens only where it belongs, and a domain key goes only when it may.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::{Error, Hsm, KeyBinding, KeyHandle, MemoryPolicy, UnsealProvider, material_id, token_domain_key};
use support::{BINDING, KnownRoot, POLICY, REGION, binding, context, decrypt, encrypt, hsm, open_with};

const OTHER_REGION: &str = "us-east-1";

fn reopened(root: [u8; 32], record: &[u8]) -> Hsm {
    let hsm = Hsm::open(&KnownRoot(root), false, POLICY).unwrap();
    hsm.load_domain(REGION, record).unwrap();
    hsm
}

#[test]
fn a_token_opens_after_a_restart_and_its_blobs_too() {
    let root = [0x11; 32];
    let (first, record) = open_with(root);
    let (hbkid, token, handle) = first.generate_key(&BINDING).unwrap();
    let blob = encrypt(&first, handle, &[("a", "b")], b"kept").unwrap();
    assert_eq!(blob[4..20], hbkid);
    drop(first);
    let second = reopened(root, &record);
    let handle = second.load_key(&token, &hbkid, &BINDING).unwrap();
    assert_eq!(decrypt(&second, handle, &[("a", "b")], &blob).unwrap(), b"kept");
    assert_eq!(second.status().unwrap().loaded_keys, 1);
}

#[test]
fn a_token_is_bound_to_every_field() {
    let hsm = hsm();
    hsm.create_domain(OTHER_REGION, 1).unwrap();
    hsm.install_domain(OTHER_REGION).unwrap();
    let (hbkid, token, _) = hsm.generate_key(&BINDING).unwrap();
    let swapped = [
        KeyBinding { region: OTHER_REGION, ..BINDING },
        KeyBinding { account: "444455556666", ..BINDING },
        KeyBinding { key_id: "0987dcba-09fe-87dc-65ba-ab0987654321", ..BINDING },
        KeyBinding { spec: "HMAC_256", ..BINDING },
        KeyBinding { usage: "GENERATE_VERIFY_MAC", ..BINDING },
        KeyBinding { origin: "EXTERNAL", ..BINDING },
        KeyBinding { multi_region: true, ..BINDING },
        // bytes moved over a field's edge
        KeyBinding { spec: "SYMMETRIC_DEFAULTE", usage: "NCRYPT_DECRYPT", ..BINDING },
    ];
    for binding in swapped {
        assert_eq!(hsm.load_key(&token, &hbkid, &binding), Err(Error::InvalidToken), "{binding:?}");
        assert_eq!(hsm.rewrap_key(&token, &hbkid, &binding), Err(Error::InvalidToken), "{binding:?}");
    }
    assert_eq!(hsm.load_key(&token, &[0; 16], &BINDING), Err(Error::InvalidToken), "another version");
    assert!(matches!(hsm.load_key(&token, &hbkid, &KeyBinding { region: "xx", ..BINDING }), Err(Error::UnknownDomain(_))));
    hsm.load_key(&token, &hbkid, &BINDING).unwrap();
    // Two keys of one account: their tokens do not change places.
    let (other_id, other, _) = hsm.generate_key(&binding("other")).unwrap();
    assert_eq!(hsm.load_key(&other, &hbkid, &BINDING), Err(Error::InvalidToken));
    assert_eq!(hsm.load_key(&other, &other_id, &BINDING), Err(Error::InvalidToken));
    assert_eq!(hsm.load_key(&token, &hbkid, &binding("other")), Err(Error::InvalidToken));
}

#[test]
fn an_edited_token_is_refused() {
    let hsm = hsm();
    let (hbkid, token, _) = hsm.generate_key(&BINDING).unwrap();
    for bit in 0..token.len() * 8 {
        let mut edited = token.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(hsm.load_key(&edited, &hbkid, &BINDING), Err(Error::InvalidToken), "bit {bit}");
    }
    for len in 0..token.len() {
        assert_eq!(hsm.load_key(&token[..len], &hbkid, &BINDING), Err(Error::InvalidToken), "cut to {len}");
    }
    let long = [token.as_slice(), &[0; 8000]].concat();
    assert_eq!(hsm.load_key(&long, &hbkid, &BINDING), Err(Error::InvalidToken), "a token longer than any scratch");
    assert_eq!(hsm.status().unwrap().loaded_keys, 1, "nothing was loaded");
    // A blob is no token, and a token is no blob, although they have one form.
    let handle = hsm.load_key(&token, &hbkid, &BINDING).unwrap();
    let blob = encrypt(&hsm, handle, &[], &[1; 32]).unwrap();
    assert_eq!(hsm.load_key(&blob, &hbkid, &BINDING), Err(Error::InvalidToken));
    assert_eq!(decrypt(&hsm, handle, &[], &token), Err(Error::InvalidCiphertext));
}

#[test]
fn a_domain_rotates_in_two_steps() {
    let root = [0x22; 32];
    let (hsm, record_1) = open_with(root);
    let (hbkid, token_1, handle) = hsm.generate_key(&BINDING).unwrap();
    let blob = encrypt(&hsm, handle, &[], b"old").unwrap();
    let key_1 = token_domain_key(&token_1).unwrap();
    assert_eq!(hsm.domain_keys(REGION).unwrap().len(), 1);

    // Staged is not in force: new tokens still name the first key, and a discarded state leaves no trace.
    hsm.stage_domain_rotation(REGION, 2_000).unwrap();
    assert_eq!(token_domain_key(&hsm.rewrap_key(&token_1, &hbkid, &BINDING).unwrap()).unwrap(), key_1);
    hsm.discard_staged_domain(REGION).unwrap();
    assert!(matches!(hsm.install_domain(REGION), Err(Error::Limit(_))));
    assert_eq!(hsm.domain_keys(REGION).unwrap().len(), 1);

    let record_2 = hsm.stage_domain_rotation(REGION, 3_000).unwrap();
    hsm.install_domain(REGION).unwrap();
    let keys = hsm.domain_keys(REGION).unwrap();
    assert_eq!(keys.iter().map(|key| (key.active, key.created)).collect::<Vec<_>>(), [(false, 1_700_000_000), (true, 3_000)]);
    assert_eq!(keys[0].id, key_1);
    assert_eq!(hsm.status().unwrap().domains, [(REGION.to_owned(), 2)]);

    // The retired key still opens; a re-wrapped token names the new one and opens as the same key.
    hsm.load_key(&token_1, &hbkid, &BINDING).unwrap();
    let token_2 = hsm.rewrap_key(&token_1, &hbkid, &BINDING).unwrap();
    assert_eq!(token_domain_key(&token_2).unwrap(), keys[1].id);
    let again = hsm.load_key(&token_2, &hbkid, &BINDING).unwrap();
    assert_eq!(decrypt(&hsm, again, &[], &blob).unwrap(), b"old");

    // The active key cannot go; the retired one can, and then its tokens are refused.
    assert!(matches!(hsm.stage_domain_retirement(REGION, &[keys[1].id]), Err(Error::Limit(_))));
    assert!(matches!(hsm.stage_domain_retirement(REGION, &[keys[0].id, keys[1].id]), Err(Error::Limit(_))));
    let record_3 = hsm.stage_domain_retirement(REGION, &[key_1]).unwrap();
    hsm.load_key(&token_1, &hbkid, &BINDING).unwrap(); // not before it is installed
    hsm.install_domain(REGION).unwrap();
    assert_eq!(hsm.load_key(&token_1, &hbkid, &BINDING), Err(Error::InvalidToken));
    assert_eq!(hsm.rewrap_key(&token_1, &hbkid, &BINDING), Err(Error::InvalidToken));
    assert_eq!(decrypt(&hsm, hsm.load_key(&token_2, &hbkid, &BINDING).unwrap(), &[], &blob).unwrap(), b"old");

    // Each stored version opens under the root key as what it was.
    for (record, version, key_count, first_token_opens) in
        [(&record_1, 1, 1, true), (&record_2, 2, 2, true), (&record_3, 3, 1, false)]
    {
        let restored = Hsm::open(&KnownRoot(root), false, POLICY).unwrap();
        assert_eq!(restored.load_domain(REGION, record).unwrap(), version);
        assert_eq!(restored.domain_keys(REGION).unwrap().len(), key_count);
        assert_eq!(restored.load_key(&token_1, &hbkid, &BINDING).is_ok(), first_token_opens);
        assert_eq!(restored.load_key(&token_2, &hbkid, &BINDING).is_ok(), version > 1);
    }
}

#[test]
fn a_domain_has_a_limit_of_keys_and_all_fit_a_record() {
    let root = [0x33; 32];
    let (hsm, mut record) = open_with(root);
    for rotation in 1..64 {
        record = hsm.stage_domain_rotation(REGION, rotation).unwrap();
        hsm.install_domain(REGION).unwrap();
    }
    assert!(matches!(hsm.stage_domain_rotation(REGION, 64), Err(Error::Limit(_))));
    let restored = reopened(root, &record);
    assert_eq!(restored.domain_keys(REGION).unwrap(), hsm.domain_keys(REGION).unwrap());
}

#[test]
fn a_region_has_one_domain() {
    let hsm = hsm();
    assert!(matches!(hsm.create_domain(REGION, 1), Err(Error::Limit(_))));
    for result in
        [hsm.domain_keys("nowhere").map(drop), hsm.stage_domain_rotation("nowhere", 1).map(drop), hsm.install_domain("nowhere")]
    {
        assert_eq!(result, Err(Error::UnknownDomain("nowhere".into())));
    }
    // Staged only: no key can be made under it yet.
    hsm.create_domain(OTHER_REGION, 1).unwrap();
    let there = KeyBinding { region: OTHER_REGION, ..BINDING };
    assert!(matches!(hsm.generate_key(&there), Err(Error::UnknownDomain(_))));
    hsm.install_domain(OTHER_REGION).unwrap();
    hsm.generate_key(&there).unwrap();
}

#[test]
fn a_wrong_root_key_and_an_edited_state_are_told_apart() {
    let (hsm, record) = open_with([0x44; 32]);
    let other = Hsm::open(&KnownRoot([0x45; 32]), false, POLICY).unwrap();
    assert_eq!(other.load_domain(REGION, &record), Err(Error::WrongRootKey));
    assert_eq!(other.status().unwrap().domains, []);

    let same = Hsm::open(&KnownRoot([0x44; 32]), false, POLICY).unwrap();
    let invalid = Err(Error::InvalidDomainState(REGION.into()));
    for bit in 0..record.len() * 8 {
        let mut edited = record.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        let names_the_root = (4..20).contains(&(bit / 8));
        assert_eq!(
            same.load_domain(REGION, &edited),
            if names_the_root { Err(Error::WrongRootKey) } else { invalid.clone() },
            "bit {bit}"
        );
    }
    for len in 0..record.len() {
        assert_eq!(same.load_domain(REGION, &record[..len]), invalid, "cut to {len}");
    }
    assert_eq!(same.load_domain(REGION, &[record.as_slice(), &[0; 9000]].concat()), invalid);
    assert!(matches!(same.load_domain(OTHER_REGION, &record), Err(Error::InvalidDomainState(_))), "a state of another Region");
    assert_eq!(same.status().unwrap().domains, [], "nothing was changed");
    assert_eq!(same.load_domain(REGION, &record), Ok(1));
    drop(hsm);
}

#[test]
fn a_provider_that_fails_is_heard() {
    struct Failing;
    impl UnsealProvider for Failing {
        fn describe(&self) -> String {
            "one that fails".into()
        }
        fn root_key(&self, _create: bool, out: &mut [u8; 32]) -> clavero_hsm::Result<()> {
            out.fill(1);
            Err(Error::Unseal("the file is not there".into()))
        }
    }
    assert_eq!(Hsm::open(&Failing, false, POLICY).err(), Some(Error::Unseal("the file is not there".into())));
}

#[test]
fn a_sealed_hsm_refuses_everything_and_a_new_one_works() {
    let (hsm, record) = open_with([0x55; 32]);
    let (hbkid, token, handle) = hsm.generate_key(&BINDING).unwrap();
    let blob = encrypt(&hsm, handle, &[], b"text").unwrap();
    let parsed = Blob::parse(&blob).unwrap();
    let opaque = hsm.seal_opaque(REGION, "marker", b"x").unwrap();
    hsm.seal().unwrap();
    hsm.seal().unwrap(); // again is fine
    let threads = std::num::NonZeroUsize::MIN;
    let (mut key, mut out) = (vec![0; 32], vec![0; blob_len(32)]);
    let mut text = [0; 4];
    let sealed: Vec<Result<(), Error>> = vec![
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
        hsm.open_opaque(REGION, "marker", &opaque).map(drop),
    ];
    for (index, result) in sealed.into_iter().enumerate() {
        assert_eq!(result, Err(Error::Sealed), "entry {index}");
    }
    let again = reopened([0x55; 32], &record);
    let handle = again.load_key(&token, &hbkid, &BINDING).unwrap();
    assert_eq!(decrypt(&again, handle, &[], &blob).unwrap(), b"text");
    assert_eq!(again.open_opaque(REGION, "marker", &opaque).unwrap(), b"x");
}

#[test]
fn a_stale_handle_never_matches() {
    let hsm = hsm();
    let (_, token, stale) = hsm.generate_key(&BINDING).unwrap();
    let blob = encrypt(&hsm, stale, &[], b"mine").unwrap();
    hsm.unload_key(stale).unwrap();
    hsm.unload_key(stale).unwrap();
    assert_eq!(decrypt(&hsm, stale, &[], &blob), Err(Error::KeyNotLoaded));
    let mut seen = std::collections::HashSet::from([stale]);
    for _ in 0..500 {
        let (_, _, handle) = hsm.generate_key(&binding("next")).unwrap();
        assert!(seen.insert(handle), "a handle was given twice");
        assert_eq!(decrypt(&hsm, stale, &[], &blob), Err(Error::KeyNotLoaded));
        hsm.unload_key(handle).unwrap();
    }
    for raw in [u64::MAX, 1 << 32, u64::from(u32::MAX), 12345, stale.to_raw() ^ (1 << 33)] {
        assert_eq!(decrypt(&hsm, KeyHandle::from_raw(raw), &[], &blob), Err(Error::KeyNotLoaded), "{raw:#x}");
    }
    let mut hbkid = [0; 16];
    hbkid.copy_from_slice(&blob[4..20]);
    let handle = hsm.load_key(&token, &hbkid, &BINDING).unwrap();
    assert_eq!(decrypt(&hsm, handle, &[], &blob).unwrap(), b"mine");
}

#[test]
fn the_decoy_is_nobodys_key() {
    // The HSM's own decoy has the first slot. Whatever handle a caller invents for it: it opens no blob, and it cannot be unloaded.
    let hsm = hsm();
    let (_, _, handle) = hsm.generate_key(&BINDING).unwrap();
    let blob = encrypt(&hsm, handle, &[], b"text").unwrap();
    let decoy = KeyHandle::from_raw(1 << 32);
    hsm.unload_key(decoy).unwrap();
    hsm.evict_idle_keys().unwrap();
    hsm.evict_idle_keys().unwrap();
    assert_eq!(hsm.decrypt_unknown(&mut context(&[]), &Blob::parse(&blob).unwrap()), Err(Error::InvalidCiphertext));
    assert!(encrypt(&hsm, decoy, &[], b"text").is_err(), "nothing may be sealed under the decoy: nobody could open it");
    assert!(decrypt(&hsm, decoy, &[], &blob).is_err());
}

#[test]
fn idle_keys_are_evicted_and_used_ones_stay() {
    let hsm = hsm();
    let (_, _, used) = hsm.generate_key(&binding("used")).unwrap();
    let (hbkid, token, idle) = hsm.generate_key(&binding("idle")).unwrap();
    let blob = encrypt(&hsm, idle, &[], b"later").unwrap();
    assert_eq!(hsm.evict_idle_keys().unwrap(), 0, "both are new");
    encrypt(&hsm, used, &[], b"x").unwrap();
    assert_eq!(hsm.evict_idle_keys().unwrap(), 1);
    encrypt(&hsm, used, &[], b"x").unwrap();
    assert_eq!(decrypt(&hsm, idle, &[], &blob), Err(Error::KeyNotLoaded));
    assert_eq!(hsm.status().unwrap().loaded_keys, 1);
    let idle = hsm.load_key(&token, &hbkid, &binding("idle")).unwrap();
    assert_eq!(decrypt(&hsm, idle, &[], &blob).unwrap(), b"later");
}

#[test]
fn opaque_tokens_are_bound_to_purpose_and_region() {
    let hsm = hsm();
    hsm.create_domain(OTHER_REGION, 1).unwrap();
    hsm.install_domain(OTHER_REGION).unwrap();
    for bytes in [&[][..], b"page 2", &[7; 6144]] {
        let sealed = hsm.seal_opaque(REGION, "ListKeys", bytes).unwrap();
        assert_eq!(hsm.open_opaque(REGION, "ListKeys", &sealed).unwrap(), bytes);
        assert_eq!(hsm.open_opaque(REGION, "ListAliases", &sealed), Err(Error::InvalidToken));
        assert_eq!(hsm.open_opaque(OTHER_REGION, "ListKeys", &sealed), Err(Error::InvalidToken));
        for at in 0..sealed.len().min(70) {
            let mut edited = sealed.clone();
            edited[at] ^= 1;
            assert_eq!(hsm.open_opaque(REGION, "ListKeys", &edited), Err(Error::InvalidToken), "byte {at}");
        }
    }
    assert!(matches!(hsm.seal_opaque(REGION, "x", &[0; 6145]), Err(Error::Limit(_))));
    for junk in [&[][..], &[1, 1, 0, 0], &[0; 64], &[1; 7000]] {
        assert_eq!(hsm.open_opaque(REGION, "x", junk), Err(Error::InvalidToken));
    }
    // A rotation does not invalidate them: the token-sealing key is the domain's, not a domain key.
    let sealed = hsm.seal_opaque(REGION, "x", b"1").unwrap();
    hsm.stage_domain_rotation(REGION, 2).unwrap();
    hsm.install_domain(REGION).unwrap();
    assert_eq!(hsm.open_opaque(REGION, "x", &sealed).unwrap(), b"1");
}

#[test]
fn material_ids_follow_the_hbkid() {
    let one = material_id(&[1; 16]);
    assert_eq!(one.len(), 64);
    assert!(one.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    assert_eq!(one, material_id(&[1; 16]));
    assert_ne!(one, material_id(&[2; 16]));
    assert_eq!(token_domain_key(b"not a token"), Err(Error::InvalidToken));
}

#[test]
fn eight_threads_mix_everything_until_the_seal() {
    let (hsm, _) = open_with([0x66; 32]);
    let (stop, answered, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let (hsm, stop, answered, refused) = (&hsm, &stop, &answered, &refused);
            scope.spawn(move || {
                let id = format!("key-{thread}");
                let mut number = 0u32;
                let result: Result<(), Error> = (|| {
                    while !stop.load(Ordering::Relaxed) {
                        let (hbkid, token, handle) = hsm.generate_key(&binding(&id))?;
                        for _ in 0..20 {
                            number += 1;
                            let plaintext = number.to_be_bytes().repeat(8);
                            let blob = encrypt(hsm, handle, &[("n", &id)], &plaintext)?;
                            assert_eq!(decrypt(hsm, handle, &[("n", &id)], &blob)?, plaintext);
                            let (mut keys, mut out) = (vec![0; 32 * 16], vec![0; blob_len(32) * 16]);
                            hsm.generate_data_keys(handle, &context(&[]), 32, &mut keys, &mut out, 2.try_into().unwrap())?;
                            assert_eq!(decrypt(hsm, handle, &[], &out[96..192])?, keys[32..64]);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        match thread {
                            0 => {
                                hsm.stage_domain_rotation(REGION, 1).map(drop).or_else(only_limit)?;
                                hsm.install_domain(REGION).or_else(only_limit)?;
                                let old: Vec<_> =
                                    hsm.domain_keys(REGION)?.iter().filter(|key| !key.active).map(|key| key.id).collect();
                                hsm.stage_domain_retirement(REGION, &old[..old.len().saturating_sub(8)])?;
                                hsm.install_domain(REGION).or_else(only_limit)?;
                            }
                            1 => drop(hsm.status()?),
                            _ => {
                                let again = hsm.load_key(&token, &hbkid, &binding(&id));
                                if let Ok(again) = again {
                                    hsm.unload_key(again)?;
                                } else {
                                    // Its domain key may have been retired meanwhile by thread 0; nothing else is an answer.
                                    assert!(matches!(again, Err(Error::InvalidToken | Error::Sealed)), "{again:?}");
                                }
                            }
                        }
                        hsm.unload_key(handle)?;
                    }
                    Ok(())
                })();
                match result {
                    Ok(()) => {}
                    Err(Error::Sealed) => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(other) => panic!("thread {thread}: {other}"),
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 3000 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        hsm.seal().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(refused.load(Ordering::Relaxed), 8, "every thread meets the seal");
    assert_eq!(hsm.status().err(), Some(Error::Sealed));
}

fn only_limit(error: Error) -> Result<(), Error> {
    if matches!(error, Error::Limit(_)) { Ok(()) } else { Err(error) }
}

#[test]
fn the_status_reports_the_memory() {
    let hsm = Hsm::open(&KnownRoot([1; 32]), true, MemoryPolicy { allow_insecure: true }).unwrap();
    let status = hsm.status().unwrap();
    assert!(status.memory.arena_bytes >= 256 * 1024);
    assert!(["memfd_secret", "mlock", "unprotected"].contains(&status.memory.level.name()));
    assert_eq!(status.loaded_keys, 0);
}
