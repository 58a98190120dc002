//! What the HSM's work costs beside the bare cipher: `cargo bench -p clavero-hsm`.
//!
//! Every figure is of 32-byte plaintexts, the size of a data key. `bare` is EVP_AEAD's AES-256-GCM alone, under one key, with the 64
//! bytes of additional data that a blob with a short encryption context has: what no envelope can beat.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a benchmark

use std::hint::black_box;
use std::num::NonZeroUsize;

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::crypto::aead::Context;
use clavero_hsm::memory::{self, Guarded};
use clavero_hsm::{EncryptionContext, EphemeralRoot, Hsm, KeyBinding, KeyHandle, MemoryPolicy, fill_random, request_id};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const POLICY: MemoryPolicy = MemoryPolicy { allow_insecure: true };
const BATCH: usize = 100_000;

fn setup() -> (Hsm, KeyHandle, EncryptionContext) {
    let hsm = Hsm::open(&EphemeralRoot, true, POLICY).unwrap();
    hsm.create_domain("us-east-1", 0).unwrap();
    hsm.install_domain("us-east-1").unwrap();
    let binding = KeyBinding {
        region: "us-east-1",
        account: "000000000000",
        key_id: "1234abcd-12ab-34cd-56ef-1234567890ab",
        spec: "SYMMETRIC_DEFAULT",
        usage: "ENCRYPT_DECRYPT",
        origin: "AWS_KMS",
        multi_region: false,
    };
    let handle = hsm.generate_key(&binding).unwrap().2;
    (hsm, handle, EncryptionContext::new(vec![("a", "bcd")]).unwrap()) // 16 canonical bytes: 64 of AAD with the header
}

/// What the process pays once, so it must run before everything else. Read it from a run of its own: cargo bench ... -- first-use
fn first_use(_: &mut Criterion) {
    let started = std::time::Instant::now();
    let memory = memory::open(POLICY).unwrap();
    let mapped = started.elapsed();
    fill_random(&mut [0; 32]).unwrap();
    let seeded = started.elapsed();
    let hsm = Hsm::open(&EphemeralRoot, true, POLICY).unwrap();
    let opened = started.elapsed();
    drop(hsm);
    let again = std::time::Instant::now();
    drop(Hsm::open(&EphemeralRoot, true, POLICY).unwrap());
    let again = again.elapsed();
    // Every slot size once, then all of one region: what the first touch of a secret page costs.
    let touching = std::time::Instant::now();
    let slots: Vec<_> = (0..24).map(|_| Guarded::<[u8; 8192]>::zeroed(memory.arena()).unwrap()).collect();
    let sum: u64 = slots.iter().map(|slot| u64::from(slot[0]) + u64::from(slot[4096])).sum();
    let touched = touching.elapsed();
    println!(
        "first use: memory {:.2} ms, the DRBG's first seed {:.2} ms, first open with self-tests {:.2} ms, a second open {:.3} ms; first touch of 48 \
         pages of {} {:.3} ms{}",
        mapped.as_secs_f64() * 1e3,
        (seeded - mapped).as_secs_f64() * 1e3,
        (opened - seeded).as_secs_f64() * 1e3,
        again.as_secs_f64() * 1e3,
        memory.status().level.name(),
        touched.as_secs_f64() * 1e3,
        if sum == 0 { "" } else { " (dirty)" },
    );
}

fn bare(c: &mut Criterion) {
    let memory = memory::open(POLICY).unwrap();
    let mut context = Guarded::<Context>::zeroed(memory.arena()).unwrap();
    context.set_key(&[7; 32]).unwrap();
    let (plaintext, aad) = ([1; 32], [2; 64]);
    let (mut out, mut tag, mut number) = ([0; 32], [0; 16], 0u64);
    let mut group = c.benchmark_group("bare");
    group.throughput(Throughput::Elements(1));
    group.bench_function("seal_32", |b| {
        b.iter(|| {
            number += 1;
            let mut iv = [0; 12];
            iv[4..].copy_from_slice(&number.to_be_bytes());
            context.seal(&iv, black_box(&aad), black_box(&plaintext), &mut out, &mut tag).unwrap();
        });
    });
    group.bench_function("key_setup", |b| b.iter(|| context.set_key(black_box(&[7; 32])).unwrap()));
    group.bench_function("random_32", |b| b.iter(|| fill_random(black_box(&mut out)).unwrap()));
    let mut block = vec![0; 16 * 1024];
    group.bench_function("random_16KiB", |b| b.iter(|| fill_random(black_box(&mut block)).unwrap()));
    group.bench_function("request_id", |b| b.iter(|| request_id().unwrap()));
    group.bench_function("new_thread", |b| b.iter(|| std::thread::spawn(|| ()).join().unwrap()));
    group.bench_function("new_thread_that_draws_32", |b| {
        b.iter(|| std::thread::spawn(|| fill_random(&mut [0; 32]).unwrap()).join().unwrap());
    });
    group.finish();
}

fn single(c: &mut Criterion) {
    let (hsm, handle, mut context) = setup();
    let mut group = c.benchmark_group("single");
    group.throughput(Throughput::Elements(1));
    let mut out = vec![0; blob_len(32)];
    group.bench_function("encrypt_32", |b| {
        b.iter(|| hsm.encrypt(handle, &mut context, black_box(&[3; 32]), &mut out).unwrap());
    });
    hsm.encrypt(handle, &mut context, &[3; 32], &mut out).unwrap(); // also where a filter left the bench above out
    let blob = Blob::parse(&out).unwrap();
    let mut plaintext = [0; 32];
    group.bench_function("decrypt_32", |b| {
        b.iter(|| hsm.decrypt(handle, &mut context, black_box(&blob), &mut plaintext).unwrap());
    });
    let mut out = vec![0; blob_len(32)];
    group.bench_function("generate_data_key_32", |b| {
        b.iter(|| hsm.generate_data_key(handle, &mut context, &mut plaintext, black_box(&mut out)).unwrap());
    });
    group.finish();
}

fn batch(c: &mut Criterion) {
    let (hsm, handle, context) = setup();
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH as u64));
    let (mut plaintext, mut out) = (vec![0; BATCH * 32], vec![0; BATCH * blob_len(32)]);
    for threads in [1, 2].map(|threads| NonZeroUsize::new(threads).unwrap()) {
        group.bench_function(format!("generate_data_keys_{threads}_threads"), |b| {
            b.iter(|| hsm.generate_data_keys(handle, &context, 32, &mut plaintext, &mut out, threads).unwrap());
        });
        let plaintexts: Vec<&[u8]> = plaintext.chunks(32).collect();
        group.bench_function(format!("encrypt_many_{threads}_threads"), |b| {
            b.iter(|| hsm.encrypt_many(handle, &context, &plaintexts, &mut out, threads).unwrap());
        });
        hsm.encrypt_many(handle, &context, &plaintexts, &mut out, threads).unwrap();
        let blobs: Vec<_> = out.chunks(blob_len(32)).map(|blob| (handle, Blob::parse(blob).unwrap())).collect();
        let mut opened = vec![0; BATCH * 32];
        group.bench_function(format!("decrypt_many_{threads}_threads"), |b| {
            b.iter(|| hsm.decrypt_many(&context, &blobs, &mut opened, threads).unwrap());
        });
    }
    group.finish();
}

/// The ratios that the budgets are set in, from the best of many short rounds: on a machine that others use too, the best round is the
/// one that was least disturbed.
fn ratios(_: &mut Criterion) {
    let best = |mut round: Box<dyn FnMut() + '_>| {
        let times = (0..60).map(|_| {
            let started = std::time::Instant::now();
            round();
            started.elapsed().as_secs_f64()
        });
        BATCH as f64 / times.fold(f64::INFINITY, f64::min)
    };
    let memory = memory::open(POLICY).unwrap();
    let mut cipher = Guarded::<Context>::zeroed(memory.arena()).unwrap();
    cipher.set_key(&[7; 32]).unwrap();
    let bare = best(Box::new(|| {
        let (mut out, mut tag) = ([0; 32], [0; 16]);
        for number in 0..BATCH as u64 {
            let mut iv = [0; 12];
            iv[4..].copy_from_slice(&number.to_be_bytes());
            cipher.seal(&iv, black_box(&[2; 64]), black_box(&[1; 32]), &mut out, &mut tag).unwrap();
        }
    }));
    let (hsm, handle, context) = setup();
    let (mut plaintext, mut out) = (vec![0; BATCH * 32], vec![0; BATCH * blob_len(32)]);
    let mut batch = |threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap();
        best(Box::new(|| hsm.generate_data_keys(handle, &context, 32, &mut plaintext, &mut out, threads).unwrap()))
    };
    let (one, two) = (batch(1), batch(2));
    println!(
        "best rounds, million elements a second: bare seals {:.2}, batch on one thread {:.2}, on two {:.2}",
        bare / 1e6,
        one / 1e6,
        two / 1e6
    );
    println!("a batch reaches {:.0} % of bare seals on one thread; two threads reach {:.2} x one", 100.0 * one / bare, two / one);
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_millis(1500)).without_plots();
    targets = first_use, bare, single, batch, ratios
}
criterion_main!(benches);
