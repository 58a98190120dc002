//! The byte formats as documented (docs/formats), judged by a second implementation: from a known root key down to a plaintext, and
//! from hand-made bytes into the HSM.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // a test, its helpers too

#[path = "support/judge.rs"]
mod judge;
mod support;

use clavero_hsm::Hsm;
use clavero_hsm::blob::blob_len;
use sha2::{Digest, Sha256};
use support::{BINDING, KnownRoot, POLICY, REGION, binding, context, decrypt, encrypt, open_with, pattern, unhex};

const PAIRS: &[(&str, &str)] = &[("purpose", "backup"), ("äquator", "0°"), ("a", "")];

#[test]
fn what_the_hsm_writes_opens_by_the_book() {
    let root = [0x77; 32];
    let (hsm, record) = open_with(root);
    let state = judge::open_domain(&root, REGION, &record).unwrap();
    assert_eq!((state.version, state.keys.len()), (1, 1));
    let info = hsm.domain_keys(REGION).unwrap();
    assert_eq!((state.keys[0].id, state.keys[0].active, state.keys[0].created), (info[0].id, true, 1_700_000_000));
    assert!(judge::open_domain(&root, "us-east-1", &record).is_none());

    let (hbkid, token, handle) = hsm.generate_key(&BINDING).unwrap();
    let hbk = judge::open_token(&state, &BINDING, &hbkid, &token).unwrap();
    assert_eq!(hbk.len(), 32);
    assert!(judge::open_token(&state, &binding("other"), &hbkid, &token).is_none());

    for len in [1, 15, 16, 17, 32, 100, 4096] {
        let plaintext = pattern(len, 9);
        let blob = encrypt(&hsm, handle, PAIRS, &plaintext).unwrap();
        assert_eq!(judge::open_blob(&hbk, PAIRS, &blob).unwrap(), plaintext);
        assert!(judge::open_blob(&hbk, &[], &blob).is_none());
    }
    let (mut keys, mut blobs) = (vec![0; 5000 * 32], vec![0; 5000 * blob_len(32)]);
    hsm.generate_data_keys(handle, &context(PAIRS), 32, &mut keys, &mut blobs, 2.try_into().unwrap()).unwrap();
    for (index, (key, blob)) in keys.chunks(32).zip(blobs.chunks(96)).enumerate() {
        assert_eq!(blob[36..48], [&[0; 4][..], &(index as u64).to_be_bytes()].concat(), "IVs are numbered");
        if index % 250 == 0 {
            assert_eq!(judge::open_blob(&hbk, PAIRS, blob).unwrap(), key);
        }
    }

    // A rotation keeps the keys that were, appends the new one, and re-wraps under it.
    let record = hsm.stage_domain_rotation(REGION, 1_800_000_000).unwrap();
    hsm.install_domain(REGION).unwrap();
    let next = judge::open_domain(&root, REGION, &record).unwrap();
    assert_eq!((next.version, next.keys.len()), (2, 2));
    assert_eq!(next.keys.iter().map(|key| key.active).collect::<Vec<_>>(), [false, true]);
    assert_eq!(next.keys[0].key, state.keys[0].key);
    assert_eq!((next.token_sealing, next.audit_sealing), (state.token_sealing, state.audit_sealing));
    let token = hsm.rewrap_key(&token, &hbkid, &BINDING).unwrap();
    assert_eq!(token[4..20], next.keys[1].id);
    assert_eq!(judge::open_token(&next, &BINDING, &hbkid, &token).unwrap(), hbk);

    // Opaque tokens: key id zero, the purpose as AAD.
    let opaque = hsm.seal_opaque(REGION, "ListKeys", b"page 2").unwrap();
    assert_eq!(opaque[4..20], [0; 16]);
    assert_eq!(judge::open(&next.token_sealing, "kms/tok/v1", &opaque, &judge::fields(&[b"ListKeys"])).unwrap(), b"page 2");
}

#[test]
fn what_is_made_by_the_book_opens_in_the_hsm() {
    let root: [u8; 32] = pattern(32, 100).try_into().unwrap();
    let hbk = pattern(32, 101);
    let (hbkid, dk_id) = ([0xb1; 16], [0xd1; 16]);
    let domain_key = pattern(32, 102);
    let state = [
        &7u64.to_be_bytes()[..],
        &pattern(32, 103),
        &pattern(32, 104),
        &[1],
        &dk_id,
        &[1],
        &1_650_000_000u64.to_be_bytes(),
        &domain_key,
    ]
    .concat();
    let seal_state = |state: &[u8]| {
        judge::seal(
            &judge::root_seal(&root),
            "kms/dom/v1",
            &judge::root_id(&root),
            &[1; 16],
            &[2; 12],
            state,
            &judge::domain_aad(REGION),
        )
    };
    let record = seal_state(&state);
    let token = judge::seal(&domain_key, "kms/ekt/v1", &dk_id, &[3; 16], &[4; 12], &hbk, &judge::token_aad(&BINDING, &hbkid));
    let blob = judge::seal(&hbk, "kms/enc/v1", &hbkid, &[5; 16], &[6; 12], b"format 1, for ever", &judge::context_aad(PAIRS));

    // The bytes themselves are pinned: whoever changes a format must change its version.
    let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    let pinned = [&record, &token, &blob].map(|bytes| digest(bytes));
    assert_eq!(pinned, PINNED.map(unhex), "{:02x?}", pinned);

    let hsm = Hsm::open(&KnownRoot(root), false, POLICY).unwrap();
    assert_eq!(hsm.load_domain(REGION, &record).unwrap(), 7);
    let handle = hsm.load_key(&token, &hbkid, &BINDING).unwrap();
    assert_eq!(decrypt(&hsm, handle, PAIRS, &blob).unwrap(), b"format 1, for ever");

    // States that are sealed rightly but laid out wrongly.
    for (at, value, what) in [
        (72, 0, "no key"),
        (72, 2, "fewer keys than counted"),
        (72, 65, "too many"),
        (89, 0, "no active key"),
        (89, 2, "neither"),
    ] {
        let mut wrong = state.clone();
        wrong[at] = value;
        assert!(hsm.load_domain(REGION, &seal_state(&wrong)).is_err(), "{what}");
    }
    for len in 0..state.len() {
        assert!(hsm.load_domain(REGION, &seal_state(&state[..len])).is_err(), "cut to {len}");
    }
    assert_eq!(hsm.status().unwrap().domains, [(REGION.to_owned(), 7)], "what was in force stays");
    // Tokens of odd key lengths: rightly sealed, but no backing key of ours has such a length.
    for len in [0, 1, 31, 33, 65, 6000] {
        let odd = judge::seal(
            &domain_key,
            "kms/ekt/v1",
            &dk_id,
            &[3; 16],
            &[4; 12],
            &vec![7; len],
            &judge::token_aad(&BINDING, &hbkid),
        );
        assert!(hsm.load_key(&odd, &hbkid, &BINDING).is_err(), "a key of {len} bytes");
    }
}

/// SHA-256 of the record, the token and the blob of the test above.
const PINNED: [&str; 3] = [
    "97fba25a6ef88cb45c63112b2419a22f382a62b40913ed59c55d6509f1dfa0fb",
    "d66c554b1fa168cc798ff1f1ca747c6f3963a5ff5bf8ff226625b16f18ff5b98",
    "1d4f7eb5b6bae191796a05bea2640718103060828900038d6a83bc24545e4c65",
];

#[test]
fn the_judge_knows_nists_answers() {
    // KDFCTR_gen, PRF=HMAC_SHA256, BEFORE_FIXED, RLEN=32_BITS, COUNT=0
    let key = unhex("dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0");
    let fixed = unhex(
        "01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b864a145fab25e517b08f8683d0315bb2911d80a0e8aba17f3b413faac",
    );
    assert_eq!(judge::kbkdf(&key, &fixed, 16), unhex("10621342bfb0fd40046c0e29f2cfdbf0"));
}
