//! What the HSM's operations with key pairs cost beside bare AWS-LC: `cargo bench -p clavero-hsm --bench pairs`.
//!
//! `bare` calls AWS-LC with a parsed key, no copies, no key scope: signing digests of 32 to 64 bytes, verifying with a parsed key.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)] // a benchmark

use std::hint::black_box;
use std::ptr::null_mut;

use aws_lc_sys as ffi;
use clavero_hsm::spec::KeySpec;
use clavero_hsm::{EncryptionContext, EphemeralRoot, Hsm, KeyBinding, MemoryPolicy};
use criterion::{Criterion, criterion_group, criterion_main};

const BINDING: KeyBinding<'static> = KeyBinding {
    region: "us-east-1",
    account: "000000000000",
    key_id: "1234abcd-12ab-34cd-56ef-1234567890ab",
    spec: "SYMMETRIC_DEFAULT",
    usage: "ENCRYPT_DECRYPT",
    origin: "AWS_KMS",
    multi_region: false,
};

fn hsm() -> Hsm {
    let hsm = Hsm::open(&EphemeralRoot, true, MemoryPolicy { allow_insecure: true }).unwrap();
    hsm.create_domain("us-east-1", 0).unwrap();
    hsm.install_domain("us-east-1").unwrap();
    hsm
}

/// A key of AWS-LC's alone.
fn bare(hsm: &Hsm, spec: &str) -> *mut ffi::EVP_PKEY {
    let handle = hsm.generate_key(&BINDING).unwrap().2;
    let pair = hsm.generate_data_key_pair(handle, spec, &mut EncryptionContext::empty(), true).unwrap();
    let der = pair.private_key.unwrap();
    // SAFETY: a CBS of zeros is an empty one, and CBS_init fills it; the parser reads the bytes, which outlive the call, and gives an owned
    // key or null.
    unsafe {
        let mut cbs = std::mem::zeroed();
        ffi::CBS_init(&mut cbs, der.as_ptr(), der.len());
        let key = ffi::EVP_parse_private_key(&mut cbs);
        assert!(!key.is_null());
        key
    }
}

fn signatures(criterion: &mut Criterion) {
    let hsm = hsm();
    for (spec, algorithm, digest) in [
        ("ECC_NIST_P256", "ECDSA_SHA_256", 32),
        ("ECC_NIST_P384", "ECDSA_SHA_384", 48),
        ("ECC_NIST_P521", "ECDSA_SHA_512", 64),
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", 32),
        ("RSA_4096", "RSASSA_PKCS1_V1_5_SHA_256", 32),
    ] {
        let key = hsm.create_key(&KeyBinding { spec, usage: "SIGN_VERIFY", ..BINDING }).unwrap();
        let public = key.public_key.unwrap();
        let message = vec![7; digest];
        let signature = hsm.sign(key.handle, algorithm, "DIGEST", &message).unwrap();
        let spec_of = KeySpec::parse(spec).unwrap();
        let pkey = bare(&hsm, spec);
        let mut group = criterion.benchmark_group(spec);
        group.bench_function("Sign", |bencher| bencher.iter(|| hsm.sign(key.handle, algorithm, "DIGEST", &message).unwrap()));
        group.bench_function("Verify", |bencher| {
            bencher.iter(|| hsm.verify(&public, spec_of, algorithm, "DIGEST", &message, &signature).unwrap())
        });
        let (mut out, mut len) = ([0u8; 512], 0);
        // SAFETY: a live key, freed once at the end; the getters give null for another type, and each function gets the key of its own
        // type. The digest has `digest` bytes, and the output as many as the largest signature (RSA-4096's 512).
        unsafe {
            let rsa = ffi::EVP_PKEY_get0_RSA(pkey);
            let ec = ffi::EVP_PKEY_get0_EC_KEY(pkey);
            ffi::ERR_clear_error();
            if rsa.is_null() {
                assert_eq!(ffi::ECDSA_sign(0, message.as_ptr(), digest, out.as_mut_ptr(), &mut len, ec), 1); // for a `bare verify` alone
                group.bench_function("bare sign", |bencher| {
                    bencher.iter(|| ffi::ECDSA_sign(0, message.as_ptr(), digest, out.as_mut_ptr(), &mut len, ec))
                });
                group.bench_function("bare verify", |bencher| {
                    bencher.iter(|| black_box(ffi::ECDSA_verify(0, message.as_ptr(), digest, out.as_ptr(), len as usize, ec)))
                });
            } else {
                let sha256 = ffi::NID_sha256;
                assert_eq!(ffi::RSA_sign(sha256, message.as_ptr(), digest, out.as_mut_ptr(), &mut len, rsa), 1); // for a `bare verify` alone
                group.bench_function("bare sign", |bencher| {
                    bencher.iter(|| ffi::RSA_sign(sha256, message.as_ptr(), digest, out.as_mut_ptr(), &mut len, rsa))
                });
                group.bench_function("bare verify", |bencher| {
                    bencher.iter(|| black_box(ffi::RSA_verify(sha256, message.as_ptr(), digest, out.as_ptr(), len as usize, rsa)))
                });
            }
            ffi::EVP_PKEY_free(pkey);
        }
        group.finish();
    }
    for (spec, algorithm) in [("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"), ("ML_DSA_65", "ML_DSA_SHAKE_256")] {
        let key = hsm.create_key(&KeyBinding { spec, usage: "SIGN_VERIFY", ..BINDING }).unwrap();
        let mut group = criterion.benchmark_group(spec);
        group.bench_function("Sign", |bencher| bencher.iter(|| hsm.sign(key.handle, algorithm, "RAW", &[7; 32]).unwrap()));
        if spec != "ML_DSA_65" {
            let (mut public, mut private, mut out) = ([0u8; 32], [0u8; 64], [0u8; 64]);
            // SAFETY: the outputs have the 32 and 64 bytes that are written.
            unsafe { ffi::ED25519_keypair(public.as_mut_ptr(), private.as_mut_ptr()) };
            group.bench_function("bare sign", |bencher| {
                // SAFETY: 64 bytes of output, a message of 32, a private key of 64.
                bencher.iter(|| unsafe { ffi::ED25519_sign(out.as_mut_ptr(), [7u8; 32].as_ptr(), 32, private.as_ptr()) })
            });
        }
        group.finish();
    }
}

fn agreement_and_macs(criterion: &mut Criterion) {
    let hsm = hsm();
    let spec = "ECC_NIST_P256";
    let key = hsm.create_key(&KeyBinding { spec, usage: "KEY_AGREEMENT", ..BINDING }).unwrap();
    let public = key.public_key.unwrap();
    let pkey = bare(&hsm, spec);
    let mut group = criterion.benchmark_group("agreement");
    group.bench_function("DeriveSharedSecret P-256", |bencher| {
        bencher.iter(|| hsm.derive_shared_secret(key.handle, &public).unwrap())
    });
    let mut out = [0u8; 32];
    // SAFETY: a live P-256 key, freed once at the end; the point is borrowed from it, and the secret has 32 bytes.
    unsafe {
        let ec = ffi::EVP_PKEY_get0_EC_KEY(pkey);
        let point = ffi::EC_KEY_get0_public_key(ec);
        group.bench_function("bare ECDH P-256", |bencher| {
            bencher.iter(|| ffi::ECDH_compute_key(out.as_mut_ptr().cast(), 32, point, ec, None))
        });
        ffi::EVP_PKEY_free(pkey);
    }
    group.finish();
    let mac = hsm.create_key(&KeyBinding { spec: "HMAC_256", usage: "GENERATE_VERIFY_MAC", ..BINDING }).unwrap();
    criterion.bench_function("GenerateMac HMAC_256", |bencher| {
        bencher.iter(|| hsm.generate_mac(mac.handle, "HMAC_SHA_256", &[7; 32]).unwrap())
    });
}

fn generation(criterion: &mut Criterion) {
    let hsm = hsm();
    let handle = hsm.generate_key(&BINDING).unwrap().2;
    let mut group = criterion.benchmark_group("GenerateDataKeyPair");
    for spec in ["ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_KEM_768"] {
        group.bench_function(spec, |bencher| {
            bencher.iter(|| hsm.generate_data_key_pair(handle, spec, &mut EncryptionContext::empty(), true).unwrap())
        });
    }
    group.sample_size(10);
    group.bench_function("RSA_2048", |bencher| {
        bencher.iter(|| hsm.generate_data_key_pair(handle, "RSA_2048", &mut EncryptionContext::empty(), true).unwrap())
    });
    group.bench_function("bare RSA_2048", |bencher| {
        // SAFETY: both are made, used and freed here (out of memory would be a null, which libcrypto refuses); no callback.
        bencher.iter(|| unsafe {
            let (rsa, e) = (ffi::RSA_new(), ffi::BN_new());
            ffi::BN_set_word(e, 65537);
            assert_eq!(ffi::RSA_generate_key_ex(rsa, 2048, e, null_mut()), 1);
            ffi::RSA_free(rsa);
            ffi::BN_free(e);
        })
    });
    group.finish();
}

criterion_group!(benches, signatures, agreement_and_macs, generation);
criterion_main!(benches);
