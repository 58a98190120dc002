//! Self-tests: a known answer for every algorithm before its first use, and the error state in which everything is refused.
//!
//! Symmetric algorithms, which every HSM needs, are tested when the first one is opened; those of key pairs each at its own first use
//! (`pairs`), so that opening stays quick.
//!
//! Sources: AES-256-GCM from McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16; HMAC-SHA-256 from RFC 4231,
//! test case 2; SHA-256 from FIPS 180-4's example "abc"; KBKDF from NIST's CAVP file KDFCTR_gen (HMAC_SHA256, BEFORE_FIXED,
//! RLEN 32_BITS, COUNT 0); CTR_DRBG from SP 800-90A by OpenSSL's AES (`tools/known_answers.py`), and the process's own generator must not be
//! stuck.

mod pairs;

use std::sync::atomic::{AtomicU8, Ordering};

use crate::crypto::ec::Curve;
use crate::crypto::pkey::KeyType;
use crate::crypto::{digest, kdf, mac};
use crate::error::{Error, Result};
use crate::memory::{self, Guarded, MemoryPolicy, ProcessLock};
use crate::rng::{Drbg, fill_random};

const UNTESTED: u8 = 0;
const PASSED: u8 = 1;
/// FAILED + the index in ALGORITHMS.
const FAILED: u8 = 2;
/// A new key pair failed its pairwise consistency test.
const FAILED_PAIR: u8 = u8::MAX;
/// How many algorithms every HSM needs.
const BASIC: u8 = 5;

use pairs::KnownAnswer;

/// Each test gets a byte to XOR into its input: 0, or 1 where a test injects a fault.
const ALGORITHMS: [(&str, KnownAnswer); BASIC as usize] = [
    ("SHA-256", sha256),
    ("HMAC-SHA-256", hmac_sha256),
    ("KBKDF-CTR-HMAC-SHA256", kbkdf),
    ("AES-256-GCM", aes_256_gcm),
    ("CTR_DRBG", drbg),
];

/// The number of the algorithm in `pairs::ALGORITHMS`; their numbers in the error state follow those of ALGORITHMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tested {
    Hashes,
    RsaPkcs1,
    RsaPss,
    RsaOaep,
    P256,
    P384,
    P521,
    Secp256k1,
    Ecdh,
    Ed25519,
    Ed25519Ph,
    MlDsa44,
    MlDsa65,
    MlDsa87,
    MlKem512,
    MlKem768,
    MlKem1024,
    KeyWrap,
    AesCbc,
}

/// The test that stands for making a key of this type, and for the signatures or encapsulation that come with it.
pub(crate) fn of_key(key_type: KeyType) -> Tested {
    match key_type {
        KeyType::Rsa(_) => Tested::RsaPkcs1,
        KeyType::Ec(Curve::P256) => Tested::P256,
        KeyType::Ec(Curve::P384) => Tested::P384,
        KeyType::Ec(Curve::P521) => Tested::P521,
        KeyType::Ec(Curve::Secp256k1) => Tested::Secp256k1,
        KeyType::Ed25519 => Tested::Ed25519,
        KeyType::MlDsa44 => Tested::MlDsa44,
        KeyType::MlDsa65 => Tested::MlDsa65,
        KeyType::MlDsa87 => Tested::MlDsa87,
        KeyType::MlKem512 => Tested::MlKem512,
        KeyType::MlKem768 => Tested::MlKem768,
        KeyType::MlKem1024 => Tested::MlKem1024,
    }
}

static STATE: AtomicU8 = AtomicU8::new(UNTESTED);
static PAIR_STATES: [AtomicU8; pairs::ALGORITHMS.len()] = [const { AtomicU8::new(UNTESTED) }; pairs::ALGORITHMS.len()];
static RUNNING: ProcessLock = ProcessLock::new();
#[cfg(feature = "test-door")]
static FAULT: AtomicU8 = AtomicU8::new(u8::MAX);

/// The algorithms that are tested when the first HSM is opened.
pub fn algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.iter().map(|(name, _)| *name)
}

/// The algorithms that are tested at their first use. Their numbers follow those of [`algorithms`].
pub fn later_algorithms() -> impl Iterator<Item = &'static str> {
    pairs::ALGORITHMS.iter().map(|(name, _)| *name)
}

/// Runs the test of an algorithm if it has not run; a failure is the error state for everything. (Call before a key scope, not in it.)
#[inline]
pub(crate) fn ensure_tested(algorithm: Tested) -> Result<()> {
    ensure_passed()?;
    let index = algorithm as u8;
    match PAIR_STATES.get(usize::from(index)) {
        Some(state) if state.load(Ordering::Acquire) == PASSED => Ok(()),
        Some(state) => run_pair(index, state),
        None => Err(Error::Internal("a self-test")),
    }
}

#[cold]
fn run_pair(index: u8, state: &AtomicU8) -> Result<()> {
    let _guard = RUNNING.acquire();
    ensure_passed()?; // it has run, so this does not take the lock again
    if state.load(Ordering::Acquire) == PASSED {
        return Ok(());
    }
    let Some((_, known_answer)) = pairs::ALGORITHMS.get(usize::from(index)) else { return Err(Error::Internal("a self-test")) };
    let number = index + BASIC;
    match known_answer(injected_fault(number)) {
        Ok(true) => {
            state.store(PASSED, Ordering::Release);
            Ok(())
        }
        // Without protected memory, or at the end of the process, nothing was tested.
        Err(error @ (Error::InsecureMemory(_) | Error::Sealed | Error::Forked)) => Err(error),
        _ => {
            STATE.store(FAILED + number, Ordering::Release);
            Err(error_state(FAILED + number))
        }
    }
}

/// Enters the error state because the halves of a new key pair do not work together.
#[cold]
pub(crate) fn fail_pair() -> Error {
    STATE.store(FAILED_PAIR, Ordering::Release);
    error_state(FAILED_PAIR)
}

/// Runs the tests if they have not run; refuses if one failed, then and ever after.
#[inline]
pub fn ensure_passed() -> Result<()> {
    match STATE.load(Ordering::Acquire) {
        PASSED => Ok(()),
        UNTESTED => run(),
        failed => Err(error_state(failed)),
    }
}

#[cold]
fn run() -> Result<()> {
    let _guard = RUNNING.acquire();
    match STATE.load(Ordering::Acquire) {
        PASSED => return Ok(()),
        UNTESTED => {}
        failed => return Err(error_state(failed)),
    }
    for (index, (_, known_answer)) in (0u8..).zip(ALGORITHMS.iter()) {
        if !known_answer(injected_fault(index)).unwrap_or(false) {
            STATE.store(FAILED + index, Ordering::Release);
            return Err(error_state(FAILED + index));
        }
    }
    STATE.store(PASSED, Ordering::Release);
    Ok(())
}

fn error_state(state: u8) -> Error {
    if state == FAILED_PAIR {
        return Error::SelfTest("a new key pair");
    }
    let index = usize::from(state - FAILED);
    Error::SelfTest(ALGORITHMS.iter().chain(&pairs::ALGORITHMS).nth(index).map_or("an algorithm", |(name, _)| name))
}

#[cfg(not(feature = "test-door"))]
fn injected_fault(_index: u8) -> u8 {
    0
}

#[cfg(feature = "test-door")]
fn injected_fault(index: u8) -> u8 {
    u8::from(FAULT.load(Ordering::Acquire) == index)
}

/// Breaks the test of the algorithm at `index` (or none), and has the tests run again at the next use.
#[cfg(feature = "test-door")]
pub fn inject_fault(index: Option<u8>) {
    FAULT.store(index.unwrap_or(u8::MAX), Ordering::Release);
    for state in &PAIR_STATES {
        state.store(UNTESTED, Ordering::Release);
    }
    STATE.store(UNTESTED, Ordering::Release);
}

fn sha256(fault: u8) -> Result<bool> {
    let answer = unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    Ok(digest::sha256(&[b'a' ^ fault, b'b', b'c'])[..] == answer[..])
}

fn hmac_sha256(fault: u8) -> Result<bool> {
    let answer = unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    mac::verify_hmac_sha256(&[b'J' ^ fault, b'e', b'f', b'e'], b"what do ya want for nothing?", &answer)
}

fn kbkdf(fault: u8) -> Result<bool> {
    let mut key = unhex("dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0");
    key[0] ^= fault;
    let fixed = unhex(
        "01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b864a145fab25e517b08f8683d0315bb2911d80a0e8aba17f3b413faac",
    );
    let mut out = [0; 16];
    kdf::kbkdf_ctr_hmac_sha256(&key, &fixed, &mut out)?;
    Ok(out[..] == unhex("10621342bfb0fd40046c0e29f2cfdbf0")[..])
}

fn aes_256_gcm(fault: u8) -> Result<bool> {
    let mut key = [0; 32];
    key.copy_from_slice(&unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
    key[0] ^= fault;
    let mut iv = [0; 12];
    iv.copy_from_slice(&unhex("cafebabefacedbaddecaf888"));
    let aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let plaintext = unhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let ciphertext = unhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
    );
    let tag = unhex("76fc6ece0f4e1768cddf8853bb2d551b");
    let memory = memory::open(MemoryPolicy { allow_insecure: true })?;
    let mut context = Guarded::<crate::crypto::aead::Context>::zeroed(memory.arena())?;
    context.set_key(&key)?;
    let (mut sealed, mut sealed_tag) = (vec![0; plaintext.len()], [0; 16]);
    context.seal(&iv, &aad, &plaintext, &mut sealed, &mut sealed_tag)?;
    let mut opened = vec![0; plaintext.len()];
    if sealed != ciphertext || sealed_tag[..] != tag[..] {
        return Ok(false);
    }
    context.open(&iv, &aad, &sealed, &sealed_tag, &mut opened)?;
    sealed_tag[0] ^= 1;
    let refused = context.open(&iv, &aad, &sealed, &sealed_tag, &mut vec![0; plaintext.len()]);
    Ok(opened == plaintext && refused == Err(Error::InvalidCiphertext))
}

fn drbg(fault: u8) -> Result<bool> {
    let mut seed = [0; 48];
    for (byte, value) in seed.iter_mut().zip(0u8..) {
        *byte = value;
    }
    seed[0] ^= fault;
    let mut known = Drbg::from_seed(&seed)?;
    let mut answer = [0; 64];
    known.fill(&mut answer)?;
    known.fill(&mut answer)?;
    let expected = unhex(
        "04562ad35e8ecafaafda16981cdaa147606beea62801342af13c8b5535f72f9495b74317c762f0adab7abe710797612176b61b0e208398113cf9c170157bc75f",
    );
    // The process's own generator has no answer to know: it must not be stuck.
    let (mut first, mut second) = ([0; 64], [0; 64]);
    fill_random(&mut first)?;
    fill_random(&mut second)?;
    let constant = |block: &[u8; 64]| block.iter().all(|byte| *byte == block[0]);
    Ok(answer[..] == expected[..] && first != second && !constant(&first) && !constant(&second))
}

/// Only for the constants above.
fn unhex(text: &str) -> Vec<u8> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    text.as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}
