//! What the memory design promises, proved on a child process from outside: dumps without key bytes, forks that end, wipes that wipe.
//!
//! `cargo test --release -p clavero-hsm --features test-door --test memory_proofs`. Needs gdb's `gcore` and the right to attach to a
//! child; without them the dump tests are skipped with a notice, and fail where CI=true.
#![allow(unsafe_code, missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::panic)] // a test of pages

#[path = "support/judge.rs"]
mod judge;
#[path = "support/needles.rs"]
mod needles;
mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use support::{REGION, binding, unhex};

/// The tests take turns: each has a process with many threads, and some watch a clock.
static TURN: Mutex<()> = Mutex::new(());

struct Driver {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    /// What it said before READY.
    said: Vec<Vec<String>>,
}

impl Driver {
    fn start(arguments: &[&str], env: &[(&str, &str)]) -> Driver {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hsm-driver"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        for variable in ["CLAVERO_TEST_MEMORY_LEVEL", "CLAVERO_TEST_ARENA_FD"] {
            command.env_remove(variable);
        }
        // The child must not have fewer rights to lock than the machine gives; a debugger of ours may attach to it.
        command.envs(env.iter().copied());
        // SAFETY: between fork and exec the child only makes a system call, on numbers.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut driver = Driver { child, out, said: Vec::new() };
        driver.read_until("READY");
        driver
    }

    fn read_until(&mut self, word: &str) {
        loop {
            let mut line = String::new();
            let read = self.out.read_line(&mut line).unwrap();
            assert!(
                read > 0,
                "the driver ended with {:?} before it said {word}; it said {:?}",
                self.child.wait(),
                self.said.last()
            );
            if line.trim() == word {
                return;
            }
            self.said.push(line.split_whitespace().map(str::to_owned).collect());
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
    }

    fn said(&self, what: &str) -> Vec<&[String]> {
        self.said.iter().filter(|words| words[0] == what).map(|words| &words[1..]).collect()
    }

    /// Waits for the end, at most 20 seconds.
    fn end(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > Duration::from_secs(20) {
                self.child.kill().unwrap();
                panic!("the driver did not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Everything secret that the driver held, found out from its root key by the second implementation.
fn secrets(driver: &Driver) -> Vec<(String, [u8; 32])> {
    let root = needles::key(needles::ROOT);
    let mut secrets = vec![("the root key".to_owned(), root), ("the root's sealing key".to_owned(), judge::root_seal(&root))];
    let mut keys = Vec::new();
    let here = driver.said("domain").into_iter().map(|record| (REGION, record));
    for (region, record) in here.chain(driver.said("there").into_iter().map(|record| ("us-east-1", record))) {
        let state = judge::open_domain(&root, region, &unhex(&record[0])).unwrap();
        secrets.push(("the token-sealing key".into(), state.token_sealing));
        secrets.push(("the audit-sealing key".into(), state.audit_sealing));
        keys.extend(state.keys.into_iter().map(|key| (key.id, key.key)));
    }
    secrets.extend(keys.iter().map(|(_, key)| ("a domain key".to_owned(), *key)));
    let mut backing = HashMap::new();
    for token in driver.said("token") {
        let sealed = unhex(&token[2]);
        let domain_key = keys.iter().find(|(id, _)| sealed[4..20] == *id).unwrap().1;
        let multi_region = clavero_hsm::KeyBinding { multi_region: true, ..binding(&token[0]) };
        let aad = judge::token_aad(&multi_region, &unhex(&token[1]));
        let hbk: [u8; 32] = judge::open(&domain_key, "kms/ekt/v1", &sealed, &aad).unwrap().try_into().unwrap();
        backing.insert(unhex(&token[1]), hbk);
        secrets.push((format!("backing key {}", token[0]), hbk));
        secrets.push((format!("the derived key of token {}", token[0]), judge::message_key(&domain_key, "kms/ekt/v1", &sealed)));
    }
    assert_eq!(secrets.iter().filter(|(name, _)| name.starts_with("backing")).count(), 48);
    for number in 1..=24 {
        assert!(secrets.iter().any(|(_, key)| *key == needles::key(number)), "an imported key is among them");
    }
    for blob in driver.said("blob") {
        let blob = unhex(&blob[0]);
        secrets.push(("the derived key of a message".into(), judge::message_key(&backing[&blob[4..20]], "kms/enc/v1", &blob)));
    }
    secrets.sort();
    secrets.dedup();
    secrets
}

/// The forms that a key takes in memory: itself and its halves; HMAC's pads of them; each also as SHA-256's big-endian words.
fn forms(secrets: &[(String, [u8; 32])]) -> Vec<(String, Vec<u8>)> {
    let mut forms = Vec::new();
    for (name, key) in secrets {
        for half in [0, 1] {
            for (pad, what) in [(0, "bytes"), (0x36, "inner pad"), (0x5c, "outer pad")] {
                let bytes: Vec<u8> = key[half * 16..half * 16 + 16].iter().map(|byte| byte ^ pad).collect();
                let words: Vec<u8> = bytes.chunks(4).flat_map(|word| [word[3], word[2], word[1], word[0]]).collect();
                forms.push((format!("{name}, half {half}, {what}"), bytes));
                forms.push((format!("{name}, half {half}, {what} as words"), words));
            }
        }
    }
    forms
}

/// Every place in `haystack` where a form stands. (A whole key is found by its halves.)
fn hits(haystack: &[u8], forms: &[(String, Vec<u8>)]) -> Vec<(usize, String)> {
    let mut by_head: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut likely = vec![false; 1 << 16];
    for (index, (_, form)) in forms.iter().enumerate() {
        by_head.entry(u64::from_le_bytes(form[..8].try_into().unwrap())).or_default().push(index);
        likely[usize::from(u16::from_le_bytes([form[0], form[1]]))] = true;
    }
    let mut found = Vec::new();
    for (at, window) in haystack.windows(16).enumerate() {
        if !likely[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
            continue;
        }
        let head = u64::from_le_bytes(window[..8].try_into().unwrap());
        for &index in by_head.get(&head).into_iter().flatten() {
            if forms[index].1 == window {
                found.push((at, forms[index].0.clone()));
            }
        }
    }
    found
}

/// A full core of the process, all mappings; None (with a notice) where that cannot be had.
fn core_of(driver: &Driver) -> Option<Vec<u8>> {
    let prefix = std::env::temp_dir().join(format!("clavero-core-{}", std::process::id()));
    let path = prefix.with_extension(format!("{}", driver.child.id()));
    let done = Command::new("gcore").arg("-a").arg("-o").arg(prefix).arg(driver.child.id().to_string()).output();
    let core = std::fs::read(&path);
    let _ = std::fs::remove_file(&path);
    match (&done, core) {
        (Ok(output), Ok(core)) if output.status.success() => return Some(core),
        _ => {}
    }
    let notice = format!("NO DUMP WAS TAKEN, the key-byte test did not run: gcore -a (Debian: gdb) is needed; {done:?}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{notice}");
    eprintln!("{notice}");
    None
}

fn scan(arguments: &[&str], level: &str) -> Option<Vec<(usize, String)>> {
    let driver = Driver::start(arguments, &[("CLAVERO_TEST_MEMORY_LEVEL", level)]);
    let reached = driver.said("level")[0][0].clone();
    let core = core_of(&driver)?;
    let secrets = secrets(&driver);
    let found = hits(&core, &forms(&secrets));
    println!("{level} {arguments:?}: {} MiB of core, {} secrets, {} hits", core.len() >> 20, secrets.len(), found.len());
    assert_eq!(reached, level);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, what) in &found {
        *counts.entry(what).or_default() += 1;
    }
    for (what, count) in counts {
        println!("  {count} x {what}");
    }
    assert!(driver.end().success(), "the driver works on after the dump");
    Some(found)
}

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn secret_memory_exists() -> bool {
    // SAFETY: it takes flags only, and gives a descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, 0) };
    if fd >= 0 {
        // SAFETY: ours, closed once.
        unsafe { libc::close(i32::try_from(fd).unwrap()) };
    }
    fd >= 0
}

#[test]
fn a_full_core_holds_no_key_byte() {
    let _turn = turn();
    if !secret_memory_exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs memfd_secret");
        eprintln!("THE KEY-BYTE TEST DID NOT RUN: this kernel has no memfd_secret");
        return;
    }
    if let Some(found) = scan(&["scan", "quiet"], "memfd_secret") {
        assert!(found.is_empty(), "{found:?}");
    }
}

/// What a dump in the middle of operations shows: AWS-LC's own stack frames while they run, which no arena holds (SECURITY.md). A
/// measurement, not a promise: `cargo test ... --test memory_proofs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn snapshots_in_mid_operation() {
    let _turn = turn();
    for _ in 0..5 {
        scan(&["scan", "busy"], "memfd_secret");
    }
}

#[test]
fn without_protection_a_core_holds_keys() {
    let _turn = turn();
    // The control: the same search finds the resident keys, and, while threads compute, backing keys in use.
    if let Some(found) = scan(&["scan", "busy"], "unprotected") {
        for secret in ["a domain key", "the root's sealing key", "the token-sealing key", "backing key"] {
            assert!(found.iter().any(|(_, what)| what.starts_with(secret)), "{secret} is not found");
        }
    }
}

/// Reads one DER element: its tag, its content, what follows.
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (len, head) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
    };
    (der[0], &der[head..head + len], &der[head + len..])
}

/// The secret numbers of a PKCS #8 private key: of RSA d, p, q, d mod p-1, d mod q-1, 1/q mod p; a scalar; a seed.
fn secret_numbers(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    let (_, info, _) = element(pkcs8);
    let (_, _, rest) = element(info);
    let (_, _, rest) = element(rest);
    let (_, key, _) = element(rest);
    let (tag, inner, _) = element(key);
    match tag {
        0x30 => {
            let mut numbers = Vec::new();
            let mut rest = inner;
            while !rest.is_empty() {
                let (tag, content, after) = element(rest);
                if matches!(tag, 2 | 4) {
                    numbers.push(content.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
                }
                rest = after;
            }
            let public = if numbers.len() > 4 { 3 } else { 1 }; // version, n and e; version
            numbers.split_off(public)
        }
        _ => vec![inner.to_vec()],
    }
}

/// Pieces of 16 bytes, every 8 bytes from either end, in both byte orders.
fn pieces(name: &str, number: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut pieces = Vec::new();
    for at in (0..=number.len().saturating_sub(16)).step_by(8) {
        for from in [at, number.len() - 16 - at] {
            let big: Vec<u8> = number[from..from + 16].to_vec();
            let little = big.iter().rev().copied().collect();
            pieces.push((format!("{name}, big-endian"), big));
            pieces.push((format!("{name}, little-endian"), little));
        }
    }
    pieces
}

/// Imports private keys into the driver, has it work with them, and searches its dumps for them.
fn scan_pairs(load: &str, level: &str, dumps: usize) -> Option<Vec<String>> {
    let hsm = support::hsm();
    let handle = hsm.generate_key(&support::BINDING).unwrap().2;
    let mut driver = Driver::start(&["pairs", load], &[("CLAVERO_TEST_MEMORY_LEVEL", level)]);
    let mut forms = Vec::new();
    for (spec, usage, algorithm) in [
        ("RSA_2048", "SIGN_VERIFY", "RSASSA_PSS_SHA_256"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256"),
        ("RSA_4096", "SIGN_VERIFY", "RSASSA_PKCS1_V1_5_SHA_512"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"),
        ("ECC_NIST_P384", "SIGN_VERIFY", "ECDSA_SHA_384"),
        ("ECC_NIST_P521", "SIGN_VERIFY", "ECDSA_SHA_512"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "ED25519_SHA_512"),
        ("ML_DSA_65", "SIGN_VERIFY", "ML_DSA_SHAKE_256"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "ML_KEM"),
    ] {
        let private: Vec<u8> = if spec.starts_with("ML_DSA") {
            // PKCS #8 around a seed (RFC 9881), since KMS has no data key pair of this kind.
            let mut seed = [0; 32];
            clavero_hsm::fill_random(&mut seed).unwrap();
            [unhex("3034020100300b06096086480165030403120422").as_slice(), &[0x80, 32], &seed].concat()
        } else {
            let mut context = clavero_hsm::EncryptionContext::empty();
            hsm.generate_data_key_pair(handle, spec, &mut context, true).unwrap().private_key.unwrap().to_vec()
        };
        for number in secret_numbers(&private) {
            forms.extend(pieces(spec, &number));
        }
        let text: String = private.iter().map(|byte| format!("{byte:02x}")).collect();
        driver.order(&format!("{spec} {usage} {algorithm} {text}"));
    }
    driver.order("work");
    driver.read_until("DONE");
    let mut found = Vec::new();
    for _ in 0..dumps {
        found.extend(hits(&core_of(&driver)?, &forms).into_iter().map(|(_, what)| what));
    }
    println!("{level} pairs {load}: {} forms, {} dumps, {} hits", forms.len(), dumps, found.len());
    assert_eq!(driver.said("level")[0], [level]);
    driver.order("end");
    assert!(driver.end().success());
    Some(found)
}

#[test]
fn a_full_core_holds_no_private_key() {
    let _turn = turn();
    if !secret_memory_exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs memfd_secret");
        return;
    }
    if let Some(found) = scan_pairs("quiet", "memfd_secret", 1) {
        assert!(found.is_empty(), "{found:?}");
    }
    // In mid-operation: the registers of running threads are in a core, their heap and stack are not.
    if let Some(found) = scan_pairs("busy", "memfd_secret", 2) {
        assert!(found.len() <= 4, "{found:?}");
    }
    // The control: the same search finds what is parsed, where nothing protects it.
    if let Some(found) = scan_pairs("quiet", "unprotected", 1) {
        for spec in ["RSA_2048", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P521", "ML_DSA_65"] {
            assert!(found.iter().any(|what| what.starts_with(spec)), "{spec} is not found: {found:?}");
        }
    }
}

/// Secret memory that the driver uses as its arena and the test sees too, also after the driver's end.
struct SharedArena {
    fd: i32,
    pages: *mut u8,
}

impl SharedArena {
    const LEN: usize = 256 * 1024;

    fn new() -> SharedArena {
        // SAFETY: fresh descriptors and a fresh mapping at an address of the kernel's choice; each result is checked.
        unsafe {
            let secret = libc::syscall(libc::SYS_memfd_secret, 0);
            // The driver gives it its length, which secret memory takes only once.
            let fd = match i32::try_from(secret) {
                Ok(fd) if fd >= 0 => fd,
                _ => libc::memfd_create(c"arena".as_ptr(), 0),
            };
            assert!(fd >= 0);
            let pages = libc::mmap(std::ptr::null_mut(), Self::LEN, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            SharedArena { fd, pages: pages.cast() }
        }
    }

    fn start(&self, arguments: &[&str]) -> Driver {
        Driver::start(arguments, &[("CLAVERO_TEST_ARENA_FD", &self.fd.to_string())])
    }

    /// The names of the secrets that stand in the arena now.
    fn found(&self, forms: &[(String, Vec<u8>)]) -> Vec<String> {
        hits(&self.now(), forms).into_iter().map(|(_, what)| what).collect()
    }

    fn is_zero(&self) -> bool {
        self.now().iter().all(|&byte| byte == 0)
    }

    fn now(&self) -> Vec<u8> {
        // SAFETY: inside our mapping, which the driver gave its length before it said READY; the driver writes meanwhile, so each byte is
        // read as volatile, and may be old or new.
        (0..Self::LEN).map(|at| unsafe { self.pages.add(at).read_volatile() }).collect()
    }
}

impl Drop for SharedArena {
    fn drop(&mut self) {
        // SAFETY: our mapping and our descriptor, given up once; nothing points into the mapping any more.
        unsafe {
            libc::munmap(self.pages.cast(), Self::LEN);
            libc::close(self.fd);
        }
    }
}

#[test]
fn seal_wipes_the_arena() {
    let _turn = turn();
    let arena = SharedArena::new();
    let mut driver = arena.start(&["end"]);
    let forms = forms(&secrets(&driver));
    assert!(arena.found(&forms).len() >= 8, "domain keys are there before");
    driver.order("seal");
    driver.read_until("DONE");
    assert_eq!(arena.found(&forms), [""; 0], "the process lives, its keys do not");
    assert!(driver.end().success());
}

#[test]
fn eviction_leaves_domain_keys_and_no_backing_key() {
    let _turn = turn();
    let arena = SharedArena::new();
    let mut driver = arena.start(&["end"]);
    let forms = forms(&secrets(&driver));
    driver.order("evict");
    driver.read_until("DONE");
    assert_eq!(driver.said("evicted")[0], ["48"], "every key was idle");
    let found = arena.found(&forms);
    assert!(found.iter().any(|what| what.starts_with("a domain key")));
    assert!(!found.iter().any(|what| what.starts_with("backing key") || what.contains("derived")), "{found:?}");
    assert!(driver.end().success());
}

#[test]
fn exit_wipes_the_arena_also_under_load() {
    let _turn = turn();
    for load in ["idle", "busy", "busy", "busy", "busy", "busy"] {
        let arena = SharedArena::new();
        let mut driver = arena.start(&["end", load]);
        assert!(!arena.found(&forms(&secrets(&driver))).is_empty(), "keys are there before");
        driver.order("exit");
        let status = driver.end();
        assert!(status.success(), "{load}: {status}");
        assert!(arena.is_zero(), "{load}: the arena is not zero after exit()");
    }
}

#[test]
fn sigterm_wipes_the_arena_also_under_load() {
    let _turn = turn();
    for load in ["idle", "busy", "busy", "busy", "busy", "busy"] {
        let arena = SharedArena::new();
        let mut driver = arena.start(&["end", load]);
        assert!(!arena.found(&forms(&secrets(&driver))).is_empty(), "keys are there before");
        let _open = driver.child.stdin.take(); // at its end the driver would exit by itself, and race the signal
        let started = Instant::now();
        // SAFETY: a child of ours that was not waited for, so the number is still its own.
        unsafe { libc::kill(i32::try_from(driver.child.id()).unwrap(), libc::SIGTERM) };
        let status = driver.end();
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{load}: {status}");
        assert!(started.elapsed() < Duration::from_secs(5), "{load}: a prompt end");
        assert!(arena.is_zero(), "{load}: the arena is not zero after SIGTERM");
    }
}

#[test]
fn sigkill_is_the_control_for_the_wipes() {
    let _turn = turn();
    let arena = SharedArena::new();
    let mut driver = arena.start(&["end"]);
    let forms = forms(&secrets(&driver));
    driver.child.kill().unwrap();
    driver.end();
    assert!(!arena.found(&forms).is_empty(), "nobody wipes on SIGKILL (the kernel clears pages that no one else holds)");
}

#[test]
fn forced_levels_work_and_are_reported() {
    let _turn = turn();
    for (level, libcrypto) in [("memfd_secret", "mlock"), ("mlock", "mlock"), ("unprotected", "mlock")] {
        if level == "memfd_secret" && !secret_memory_exists() {
            continue;
        }
        let driver = Driver::start(&["level", "insecure"], &[("CLAVERO_TEST_MEMORY_LEVEL", level)]);
        assert_eq!(driver.said("level"), [[level, libcrypto]]);
        assert!(driver.end().success());
    }
    // Without leave, what is forced to be unprotected is refused.
    let driver = Driver::start(&["level"], &[("CLAVERO_TEST_MEMORY_LEVEL", "unprotected")]);
    assert!(driver.said("refused")[0].join(" ").starts_with("memory cannot be protected here"));
    assert!(driver.end().success());
}

#[test]
fn a_machine_that_locks_nothing_is_refused_unless_that_is_allowed() {
    let _turn = turn();
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("THE UNPRIVILEGED TEST DID NOT RUN: it needs root to become nobody");
        return;
    }
    let driver = Driver::start(&["level", "nobody"], &[]);
    let refused = driver.said("refused")[0].join(" ");
    assert!(refused.starts_with("memory cannot be protected here") && refused.contains("RLIMIT_MEMLOCK"), "{refused}");
    assert!(driver.end().success());
    let driver = Driver::start(&["level", "nobody", "insecure"], &[]);
    assert_eq!(driver.said("level"), [["unprotected", "unprotected"]]);
    assert!(driver.end().success());
}

#[test]
fn forked_children_refuse_open_their_own_and_end() {
    let _turn = turn();
    let driver = Driver::start(&["fork", "120"], &[]);
    println!("{:?}", driver.said("forked"));
    assert!(driver.end().success());
}

#[test]
fn exit_is_an_orderly_end_while_threads_draw_sign_and_start() {
    let _turn = turn();
    for round in 0..10 {
        let mut driver = Driver::start(&["fork", "0"], &[]);
        driver.order("leave");
        assert_eq!(driver.end().code(), Some(7), "round {round}: libcrypto aborts a process that draws behind its destructors");
    }
}
