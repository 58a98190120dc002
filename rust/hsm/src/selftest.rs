//! Self-tests: a known answer for every algorithm before its first use, and the error state in which everything is refused.
//!
//! Sources: AES-256-GCM from McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16; HMAC-SHA-256 from RFC 4231,
//! test case 2; SHA-256 from FIPS 180-4's example "abc"; KBKDF from NIST's CAVP file KDFCTR_gen (HMAC_SHA256, BEFORE_FIXED,
//! RLEN 32_BITS, COUNT 0). The DRBG has no answer to know: two blocks must differ, and neither may be all one byte.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::crypto::{digest, kdf, mac};
use crate::error::{Error, Result};
use crate::memory::{self, Guarded, MemoryPolicy};
use crate::rng::fill_random;

const UNTESTED: u8 = 0;
const PASSED: u8 = 1;
/// FAILED + the index in ALGORITHMS.
const FAILED: u8 = 2;

type KnownAnswer = fn(fault: u8) -> Result<bool>;

/// Each test gets a byte to XOR into its input: 0, or 1 where a test injects a fault.
const ALGORITHMS: [(&str, KnownAnswer); 5] = [
    ("SHA-256", sha256),
    ("HMAC-SHA-256", hmac_sha256),
    ("KBKDF-CTR-HMAC-SHA256", kbkdf),
    ("AES-256-GCM", aes_256_gcm),
    ("CTR_DRBG", drbg),
];

static STATE: AtomicU8 = AtomicU8::new(UNTESTED);
static RUNNING: Mutex<()> = Mutex::new(());
#[cfg(feature = "test-door")]
static FAULT: AtomicU8 = AtomicU8::new(u8::MAX);

/// The algorithms that are tested.
pub fn algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.iter().map(|(name, _)| *name)
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
    let _guard = memory::lock_across_fork(&RUNNING)?;
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
    let index = usize::from(state - FAILED);
    Error::SelfTest(ALGORITHMS.get(index).map_or("an algorithm", |(name, _)| name))
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
    let (mut first, mut second) = ([0; 64], [0; 64]);
    fill_random(&mut first)?;
    fill_random(&mut second)?;
    if fault != 0 {
        second = first; // a stuck generator
    }
    let constant = |block: &[u8; 64]| block.iter().all(|byte| *byte == block[0]);
    Ok(first != second && !constant(&first) && !constant(&second))
}

/// Only for the constants above.
fn unhex(text: &str) -> Vec<u8> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    text.as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}
