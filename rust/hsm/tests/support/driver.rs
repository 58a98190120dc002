//! The child process of the memory tests (tests/memory_proofs.rs): it works with known keys while the test dumps, forks, signals and
//! kills it. It speaks in lines on standard output, takes orders on standard input, and never holds a known key outside the HSM.
//!
//! It has C's `main`, as Python has: the start of a Rust program installs a handler for stack overflows whose lock every starting and
//! ending thread takes, and a child forked at such a moment would hang in it, which has nothing to do with the HSM.
#![no_main]
#![allow(unsafe_code)] // fork, waitpid, setuid: what a test of process ends needs
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)] // a test program

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::{
    EncryptionContext, Error, Hbkid, Hsm, KeyBinding, KeyHandle, MemoryPolicy, Result, UnsealProvider, request_id,
};
use zeroize::Zeroizing;

mod forked;
mod needles;

use forked::Inherited;

const REGION: &str = "eu-central-1";
const THERE: &str = "us-east-1";
const KEYS: u64 = 24;
const THREADS: usize = 8;

struct NeedleRoot;

impl UnsealProvider for NeedleRoot {
    fn describe(&self) -> String {
        "the test's root key".into()
    }

    fn root_key(&self, _create: bool, out: &mut [u8; 32]) -> Result<()> {
        needles::write(needles::ROOT, out);
        Ok(())
    }
}

fn binding(key_id: &str) -> KeyBinding<'_> {
    KeyBinding {
        region: REGION,
        account: "111122223333",
        key_id,
        spec: "SYMMETRIC_DEFAULT",
        usage: "ENCRYPT_DECRYPT",
        origin: "AWS_KMS",
        multi_region: true,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open(allow_insecure: bool) -> Result<Hsm> {
    Hsm::open(&NeedleRoot, true, MemoryPolicy { allow_insecure })
}

/// An HSM with the domains of two Regions; tells the test their sealed states.
fn open_with_domain() -> Hsm {
    let hsm = open(true).unwrap();
    for (name, record) in ["domain", "there"].iter().zip(make_domains(&hsm)) {
        println!("{name} {}", hex(&record));
    }
    hsm
}

fn make_domains(hsm: &Hsm) -> [Vec<u8>; 2] {
    [REGION, THERE].map(|region| {
        let record = hsm.create_domain(region, 1).unwrap();
        hsm.install_domain(region).unwrap();
        record
    })
}

struct Key {
    hbkid: Hbkid,
    token: Vec<u8>,
    handle: KeyHandle,
    id: String,
}

/// Imported known keys, and as many random ones; tells the test their tokens.
fn keys(hsm: &Hsm) -> Vec<Key> {
    let admit = |number: u64| {
        let id = format!("key-{number}");
        let (hbkid, token, handle) = if number <= KEYS {
            let mut key = Zeroizing::new([0; 32]);
            needles::write(number, &mut key);
            hsm.import_known_key(&binding(&id), &key).unwrap()
        } else {
            hsm.generate_key(&binding(&id)).unwrap()
        };
        println!("token {id} {} {}", hex(&hbkid), hex(&token));
        Key { hbkid, token, handle, id }
    };
    (1..=2 * KEYS).map(admit).collect()
}

/// One round of everything; gives one blob of it.
fn work(hsm: &Hsm, key: &Key, other: &Key) -> Result<Vec<u8>> {
    let mut context = EncryptionContext::new(vec![("key", key.id.as_str())])?;
    let mut blob = vec![0; blob_len(48)];
    hsm.encrypt(key.handle, &mut context, &[7; 48], &mut blob)?;
    let mut text = [0; 48];
    hsm.decrypt(key.handle, &mut context, &Blob::parse(&blob)?, &mut text)?;
    assert_eq!(text, [7; 48]);
    let mut moved = vec![0; blob_len(48)];
    let mut empty = EncryptionContext::empty();
    hsm.reencrypt((key.handle, &mut context), &Blob::parse(&blob)?, (other.handle, &mut empty), &mut moved)?;
    let (mut data_key, mut sealed) = ([0; 32], vec![0; blob_len(32)]);
    hsm.generate_data_key(key.handle, &mut context, &mut data_key, &mut sealed)?;
    hsm.generate_data_key_without_plaintext(key.handle, &mut context, 32, &mut sealed)?;
    assert_eq!(hsm.decrypt_unknown(&mut empty, &Blob::parse(&blob)?), Err(Error::InvalidCiphertext));
    let two = 2.try_into().map_err(|_| Error::Sealed)?;
    let count = 4200;
    let (mut plaintext, mut out) = (vec![0; 32 * count], vec![0; blob_len(32) * count]);
    hsm.generate_data_keys(key.handle, &context, 32, &mut plaintext, &mut out, two)?;
    let blobs: Vec<_> =
        out.chunks(blob_len(32)).map(|blob| Blob::parse(blob).map(|blob| (key.handle, blob))).collect::<Result<_>>()?;
    let mut opened = vec![0; 32 * count];
    hsm.decrypt_many(&context, &blobs, &mut opened, two).map_err(|error| error.error)?;
    assert_eq!(opened, plaintext);
    let slices: Vec<&[u8]> = plaintext.chunks(32).take(10).collect();
    let mut sealed = vec![0; blob_len(32) * 10];
    hsm.encrypt_many(key.handle, &context, &slices, &mut sealed, two).map_err(|error| error.error)?;
    let handle = hsm.load_key(&key.token, &key.hbkid, &binding(&key.id))?;
    hsm.unload_key(handle)?;
    hsm.rewrap_key(&key.token, &key.hbkid, &binding(&key.id))?;
    let moved = hsm.transfer_key(&key.token, &key.hbkid, &binding(&key.id), THERE)?;
    let there = hsm.load_key(&moved, &key.hbkid, &KeyBinding { region: THERE, ..binding(&key.id) })?;
    hsm.unload_key(there)?;
    hsm.transfer_fingerprint(&key.token, &key.hbkid, &binding(&key.id), THERE)?;
    let opaque = hsm.seal_opaque(REGION, "marker", b"page")?;
    assert_eq!(hsm.open_opaque(REGION, "marker", &opaque)?, b"page");
    Ok(blob)
}

/// Works with every key on several threads, rotating the domain meanwhile; tells the test the states and some blobs.
/// The threads stay, idle: what they left on their stacks and in their registers is there to be found.
fn work_on_threads(hsm: &'static Hsm, keys: &'static [Key], rounds: usize) {
    let (done, finished) = std::sync::mpsc::channel();
    for thread in 0..THREADS {
        let done = done.clone();
        std::thread::spawn(move || {
            let mut last = Vec::new();
            for round in 0..rounds {
                let at = (thread * 7 + round) % keys.len();
                last = work(hsm, &keys[at], &keys[(at + 1) % keys.len()]).unwrap();
            }
            done.send(last).unwrap();
            loop {
                std::thread::park();
            }
        });
    }
    for at in 2..5 {
        println!("domain {}", hex(&hsm.stage_domain_rotation(REGION, at).unwrap()));
        hsm.install_domain(REGION).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..THREADS {
        println!("blob {}", hex(&finished.recv().unwrap()));
    }
}

/// A private key that the test gives as hexadecimal text; its bytes stand here only while the HSM takes them.
fn take_pair(hsm: &Hsm, words: &[&str]) -> (KeyHandle, String) {
    let [spec, usage, algorithm, text] = words else { panic!("unknown order {words:?}") };
    let mut material = Zeroizing::new(vec![0u8; text.len() / 2]);
    for (at, byte) in material.iter_mut().enumerate() {
        let nibble = |at: usize| char::from(text.as_bytes()[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap();
        *byte = std::hint::black_box(nibble(2 * at) << 4 | nibble(2 * at + 1));
    }
    let key = hsm.import_known_secret(&KeyBinding { spec, usage, ..binding("pair") }, &material).unwrap();
    (key.handle, (*algorithm).to_owned())
}

fn use_pair(hsm: &Hsm, (handle, algorithm): &(KeyHandle, String)) -> Result<()> {
    match algorithm.as_str() {
        "RSAES_OAEP_SHA_256" => match hsm.rsa_decrypt(*handle, algorithm, &[1; 256]) {
            Err(Error::InvalidCiphertext) => Ok(()),
            other => other.map(drop),
        },
        "ML_KEM" => hsm.decapsulate(*handle, &[1; 1088]).map(drop),
        _ => hsm.sign(*handle, algorithm, "RAW", b"a message").map(drop),
    }
}

/// `pairs quiet|busy`: takes private keys until it is told to work, and waits to be dumped.
fn pairs(busy: bool) {
    let hsm: &'static Hsm = Box::leak(Box::new(open_with_domain()));
    println!("READY");
    let mut pairs = Vec::new();
    loop {
        let order = order();
        match order.split(' ').collect::<Vec<_>>().as_slice() {
            ["work"] => break,
            words => pairs.push(take_pair(hsm, words)),
        }
    }
    let pairs: &'static [(KeyHandle, String)] = Box::leak(pairs.into_boxed_slice());
    let (done, finished) = std::sync::mpsc::channel();
    for thread in 0..4 {
        let done = done.clone();
        std::thread::spawn(move || {
            for round in 0.. {
                match use_pair(hsm, &pairs[(thread + round) % pairs.len()]) {
                    Ok(()) => {}
                    Err(Error::Sealed) => return, // the process ends
                    Err(error) => panic!("{error}"),
                }
                if round == 40 {
                    done.send(()).unwrap();
                    if !busy {
                        loop {
                            std::thread::park();
                        }
                    }
                }
            }
        });
    }
    for _ in 0..4 {
        finished.recv().unwrap();
    }
    println!("level {}", hsm.status().unwrap().memory.level.name());
    println!("DONE");
    order();
}

fn order() -> String {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Threads that never rest, until the process ends or the HSM is sealed.
fn keep_busy(hsm: &'static Hsm, keys: &'static [Key]) -> &'static AtomicUsize {
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    for thread in 0..THREADS {
        std::thread::spawn(move || {
            let mut at = thread;
            let mut context = EncryptionContext::empty();
            let mut blob = vec![0; blob_len(32)];
            loop {
                let key = &keys[at % keys.len()];
                if let Err(error) = hsm
                    .encrypt(key.handle, &mut context, &[1; 32], &mut blob)
                    .and_then(|()| if at % 50 == thread { work(hsm, key, &keys[0]).map(drop) } else { Ok(()) })
                {
                    assert_eq!(error, Error::Sealed, "a busy thread");
                    return;
                }
                at += 1;
                ROUNDS.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    &ROUNDS
}

/// `scan quiet|busy`: works, then waits to be dumped; busy threads keep computing with keys.
fn scan(busy: bool) {
    let hsm: &'static Hsm = Box::leak(Box::new(open_with_domain()));
    let keys: &'static [Key] = Box::leak(keys(hsm).into_boxed_slice());
    work_on_threads(hsm, keys, 12);
    if busy {
        keep_busy(hsm, keys);
    }
    println!("level {}", hsm.status().unwrap().memory.level.name());
    println!("READY");
    order();
    // The process ends with this: the dump saw the HSM as it is in use.
    assert_eq!(work(hsm, &keys[0], &keys[1]).map(drop), Ok(()));
}

/// `end`: works (busy) and does as it is ordered: `seal`, `evict`, `exit`, or waits for a signal.
fn end() {
    let hsm: &'static Hsm = Box::leak(Box::new(open_with_domain()));
    let keys: &'static [Key] = Box::leak(keys(hsm).into_boxed_slice());
    work_on_threads(hsm, keys, 1);
    let busy = std::env::args().any(|argument| argument == "busy");
    if busy {
        let rounds = keep_busy(hsm, keys);
        while rounds.load(Ordering::Relaxed) < 500 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!("READY");
    loop {
        match order().as_str() {
            "seal" => hsm.seal().unwrap(),
            "evict" => {
                hsm.evict_idle_keys().unwrap();
                println!("evicted {}", hsm.evict_idle_keys().unwrap());
            }
            "exit" => std::process::exit(0),
            "" => return,
            other => panic!("unknown order {other}"),
        }
        println!("DONE");
    }
}

/// `level [nobody] [insecure]`: opens an HSM and tells the level, or why not.
fn level() {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    if has("nobody") {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the limit is a struct of ours; setuid takes a number. No other thread runs yet.
        unsafe {
            assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &none), 0);
            assert_eq!(libc::setuid(65534), 0);
        }
    }
    match open(has("insecure")) {
        Ok(hsm) => {
            let memory = hsm.status().unwrap().memory;
            println!("level {} {}", memory.level.name(), memory.libcrypto_level.name());
            make_domains(&hsm);
            let (hbkid, token, handle) = hsm.generate_key(&binding("one")).unwrap();
            let key = Key { hbkid, token, handle, id: "one".into() };
            work(&hsm, &key, &key).unwrap();
            if !has("insecure") && memory.level.name() == "unprotected" {
                panic!("unprotected memory that nobody allowed");
            }
        }
        Err(error) => println!("refused {error}"),
    }
    println!("READY");
}

/// `fork COUNT`: forks under load; every child must refuse, open its own HSM, and end through exit(). `fork 0` leaves under that load.
fn fork(count: usize) {
    let hsm: &'static Hsm = Box::leak(Box::new(open(true).unwrap()));
    let [record, _] = make_domains(hsm);
    let keys: &'static [Key] = Box::leak(keys(hsm).into_boxed_slice());
    let inherited = Inherited::make(hsm, &keys[0], record).unwrap();
    // An HSM that no other thread uses, with keys of every kind loaded and parsed: each child drops it.
    let idle = Hsm::open(&NeedleRoot, true, MemoryPolicy { allow_insecure: true }).unwrap();
    let [record, _] = make_domains(&idle);
    let (hbkid, token, handle) = idle.generate_key(&binding("idle")).unwrap();
    let key = Key { hbkid, token, handle, id: "idle".into() };
    let idle_inherited = Inherited::make(&idle, &key, record).unwrap();
    if count > 0 {
        forked::all_work_in_the_parent();
    }
    keep_busy(hsm, keys);
    // Threads that sign and make key pairs: a fork waits for their way out of libcrypto, not for a whole RSA key.
    for spec in ["ECC_NIST_P256", "ML_DSA_44", "RSA_2048"] {
        let usage = KeyBinding { spec, usage: "SIGN_VERIFY", ..binding("pair") };
        std::thread::spawn(move || {
            while let Ok((_, _, handle)) = hsm.generate_key(&usage) {
                let algorithm = match spec {
                    "RSA_2048" => "RSASSA_PSS_SHA_256",
                    "ML_DSA_44" => "ML_DSA_SHAKE_256",
                    _ => "ECDSA_SHA_256",
                };
                if hsm.sign(handle, algorithm, "RAW", b"message").and_then(|_| hsm.unload_key(handle)).is_err() {
                    return;
                }
            }
        });
    }
    static CHURN: AtomicBool = AtomicBool::new(true);
    // A thread whose short-lived threads draw randomness: libcrypto's per-thread states come and go while we fork.
    let churn = std::thread::spawn(|| {
        while CHURN.load(Ordering::Relaxed) {
            if std::thread::spawn(request_id).join().unwrap() == Err(Error::Sealed) {
                return; // the process ends
            }
        }
    });
    if count == 0 {
        std::thread::sleep(Duration::from_millis(50)); // all of them are at it
        println!("READY");
        order();
        std::process::exit(7);
    }
    let mut longest = Duration::ZERO;
    for number in 0..count {
        let started = Instant::now();
        // SAFETY: what a child must not do after a fork of many threads, the HSM must bear: that is the test.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            // Every second child only leaves: exit handlers and libcrypto's destructors run with the parent's states.
            let status = if number % 2 == 0 { inherited.check_in_child(hsm, &keys[0]) } else { 0 };
            drop((idle, idle_inherited));
            std::process::exit(status);
        }
        let mut status = 0;
        loop {
            // SAFETY: a child of ours, and a status of ours to write to.
            let done = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
            assert!(done >= 0, "waitpid failed");
            if done == pid {
                break;
            }
            if started.elapsed() > Duration::from_secs(20) {
                println!("child {number} hangs: {pid}");
                if std::env::var_os("CLAVERO_TEST_KEEP_HANGING").is_some() {
                    std::thread::sleep(Duration::from_secs(3600));
                }
                // SAFETY: a child of ours that we have not waited for, so the number is still its own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                std::process::exit(1);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "child {number} ended with {status:#x}");
        longest = longest.max(started.elapsed());
    }
    CHURN.store(false, Ordering::Relaxed);
    churn.join().unwrap();
    assert!(hsm.status().is_ok(), "the parent goes on");
    hsm.seal().unwrap();
    println!("forked {count}, the longest child took {} ms", longest.as_millis());
    println!("READY");
}

#[unsafe(no_mangle)]
extern "C" fn main() -> libc::c_int {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("scan") => scan(arguments.get(2).is_some_and(|word| word == "busy")),
        Some("pairs") => pairs(arguments.get(2).is_some_and(|word| word == "busy")),
        Some("end") => end(),
        Some("level") => level(),
        Some("fork") => fork(arguments[2].parse().unwrap()),
        other => panic!("unknown mode {other:?}"),
    }
    0
}
