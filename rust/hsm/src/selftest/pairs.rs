//! Known answers of the algorithms of key pairs, HMACs and key wrap, each tested before its own first use.
//!
//! Sources: `*.bin`, made by OpenSSL (`tools/known_answers.py`; ML-KEM-512 from Wycheproof's mlkem_512_test.json, tcId 1); Ed25519 from
//! RFC 8032, 7.1, TEST 3; Ed25519ph from RFC 8032, 7.3; HMAC from RFC 4231, test case 2; hashes from FIPS 180-4's example "abc"; AES-KWP
//! from Wycheproof's aes_kwp_test.json; AES-256-CBC from NIST SP 800-38A, F.2.5. Signing that is randomised is tested by verifying what it made, after verification itself.

use super::unhex;
use crate::crypto::digest::Hash;
use crate::crypto::ec::Curve;
use crate::crypto::pkey::{KeyType, PrivateKey, PublicKey};
use crate::crypto::{cbc, ec, ed25519, keywrap, mac, mldsa, mlkem, rsa};
use crate::error::{Error, Result};
use crate::memory::{self, Depth, Guarded, KeyScope, MemoryPolicy, with_keys};

/// Each test gets a byte to XOR into its input: 0, or 1 where a test injects a fault.
pub(super) type KnownAnswer = fn(fault: u8) -> Result<bool>;

/// In the order of `Tested`.
pub(super) const ALGORITHMS: [(&str, KnownAnswer); 19] = [
    ("SHA-1, SHA-224, SHA-384, SHA-512 and HMAC with them", hashes),
    ("RSASSA-PKCS1-v1_5", |fault| rsa_signatures(rsa::Padding::Pkcs1, fault)),
    ("RSASSA-PSS", |fault| rsa_signatures(rsa::Padding::Pss, fault)),
    ("RSAES-OAEP", rsa_oaep),
    ("ECDSA P-256", |fault| ecdsa(Curve::P256, fault)),
    ("ECDSA P-384", |fault| ecdsa(Curve::P384, fault)),
    ("ECDSA P-521", |fault| ecdsa(Curve::P521, fault)),
    ("ECDSA secp256k1", |fault| ecdsa(Curve::Secp256k1, fault)),
    ("ECDH", ecdh),
    ("Ed25519", ed25519_pure),
    ("Ed25519ph", ed25519_prehash),
    ("ML-DSA-44", |fault| ml_dsa(KeyType::MlDsa44, include_bytes!("mldsa44.bin"), fault)),
    ("ML-DSA-65", |fault| ml_dsa(KeyType::MlDsa65, include_bytes!("mldsa65.bin"), fault)),
    ("ML-DSA-87", |fault| ml_dsa(KeyType::MlDsa87, include_bytes!("mldsa87.bin"), fault)),
    ("ML-KEM-512", |fault| ml_kem(KeyType::MlKem512, include_bytes!("mlkem512.bin"), fault)),
    ("ML-KEM-768", |fault| ml_kem(KeyType::MlKem768, include_bytes!("mlkem768.bin"), fault)),
    ("ML-KEM-1024", |fault| ml_kem(KeyType::MlKem1024, include_bytes!("mlkem1024.bin"), fault)),
    ("AES-KWP", key_wrap),
    ("AES-256-CBC", aes_256_cbc),
];

const MESSAGE: &[u8] = b"known answer";

/// The fields of a file: each has its 16-bit big-endian length in front.
fn fields<const N: usize>(mut file: &[u8]) -> Result<[&[u8]; N]> {
    let mut fields = [&[][..]; N];
    for field in &mut fields {
        let (len, rest) = file.split_first_chunk::<2>().ok_or(Error::Internal("a known answer"))?;
        (*field, file) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(Error::Internal("a known answer"))?;
    }
    Ok(fields)
}

fn in_scope<T>(depth: Depth, work: impl FnOnce(&mut KeyScope) -> Result<T>) -> Result<T> {
    with_keys(memory::open(MemoryPolicy { allow_insecure: true })?, depth, work)
}

fn faulty(bytes: &[u8], fault: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= fault;
    }
    bytes
}

fn hashes(fault: u8) -> Result<bool> {
    let answers = [
        (Hash::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Hash::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        (Hash::Sha384, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"),
        (
            Hash::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];
    for (hash, answer) in answers {
        if hash.digest(&faulty(b"abc", fault))?[..] != unhex(answer)[..] {
            return Ok(false);
        }
    }
    let answers = [
        (Hash::Sha224, "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
        (Hash::Sha384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"),
        (
            Hash::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ];
    for (hash, answer) in answers {
        if !mac::verify_hmac(hash, b"Jefe", b"what do ya want for nothing?", &unhex(answer))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn rsa_signatures(padding: rsa::Padding, fault: u8) -> Result<bool> {
    let [private, public, pkcs1, pss, ..] = fields::<6>(include_bytes!("rsa.bin"))?;
    let known = if padding == rsa::Padding::Pkcs1 { pkcs1 } else { pss };
    let key_type = KeyType::Rsa(2048);
    let public = PublicKey::from_spki(key_type, public)?;
    let digest = Hash::Sha256.digest(&faulty(MESSAGE, fault))?;
    if !rsa::verify(&public, padding, Hash::Sha256, &digest, known)?
        || rsa::verify(&public, padding, Hash::Sha256, &digest, &faulty(known, 1))?
    {
        return Ok(false);
    }
    let signature = in_scope(Depth::Shallow, |scope| {
        rsa::sign(scope, &PrivateKey::from_pkcs8(scope, key_type, private)?, padding, Hash::Sha256, &digest)
    })?;
    let same = padding == rsa::Padding::Pss || signature == known; // PKCS #1 v1.5 is deterministic
    Ok(same && rsa::verify(&public, padding, Hash::Sha256, &digest, &signature)?)
}

fn rsa_oaep(fault: u8) -> Result<bool> {
    let [private, public, _, _, sha1, sha256] = fields::<6>(include_bytes!("rsa.bin"))?;
    let key_type = KeyType::Rsa(2048);
    let public = PublicKey::from_spki(key_type, public)?;
    in_scope(Depth::Shallow, |scope| {
        let key = PrivateKey::from_pkcs8(scope, key_type, private)?;
        for (hash, known) in [(Hash::Sha1, sha1), (Hash::Sha256, sha256)] {
            for ciphertext in [faulty(known, fault), rsa::encrypt(&public, hash, MESSAGE)?] {
                let mut out = [0; 512];
                let opened = rsa::decrypt(scope, &key, hash, &ciphertext, &mut out);
                if opened != Ok(MESSAGE.len()) || out[..MESSAGE.len()] != *MESSAGE {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    })
}

fn curve_file(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => include_bytes!("p256.bin"),
        Curve::P384 => include_bytes!("p384.bin"),
        Curve::P521 => include_bytes!("p521.bin"),
        Curve::Secp256k1 => include_bytes!("secp256k1.bin"),
    }
}

fn ecdsa(curve: Curve, fault: u8) -> Result<bool> {
    let [private, public, known, _, _] = fields::<5>(curve_file(curve))?;
    let key_type = KeyType::Ec(curve);
    let hash = match curve {
        Curve::P384 => Hash::Sha384,
        Curve::P521 => Hash::Sha512,
        _ => Hash::Sha256,
    };
    let digest = hash.digest(&faulty(MESSAGE, fault))?;
    let public = PublicKey::from_spki(key_type, public)?;
    if !ec::verify(&public, &digest, known)? || ec::verify(&public, &hash.digest(b"another")?, known)? {
        return Ok(false);
    }
    let signature =
        in_scope(Depth::Shallow, |scope| ec::sign(scope, &PrivateKey::from_pkcs8(scope, key_type, private)?, &digest))?;
    ec::verify(&public, &digest, &signature)
}

fn ecdh(fault: u8) -> Result<bool> {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let [private, _, _, peer, secret] = fields::<5>(curve_file(curve))?;
        let key_type = KeyType::Ec(curve);
        let peer = PublicKey::from_spki(key_type, peer)?;
        let mut out = [0; 66];
        let len = in_scope(Depth::Shallow, |scope| {
            ec::agree(scope, &PrivateKey::from_pkcs8(scope, key_type, private)?, &peer, &mut out)
        })?;
        if out[..len] != faulty(secret, fault)[..] {
            return Ok(false);
        }
    }
    Ok(true)
}

fn ed25519_known(seed: &str, public: &str, input: ed25519::Input<'_>, known: &str) -> Result<bool> {
    let spki = [unhex("302a300506032b6570032100"), unhex(public)].concat();
    let known = unhex(known);
    let signature = in_scope(Depth::Shallow, |scope| {
        let key = PrivateKey::from_seed(scope, KeyType::Ed25519, &unhex(seed))?;
        if key.public_spki(scope)? != spki {
            return Err(Error::Internal("Ed25519"));
        }
        ed25519::sign(scope, &key, input)
    })?;
    let public = PublicKey::from_spki(KeyType::Ed25519, &spki)?;
    Ok(signature == known && ed25519::verify(&public, input, &known)? && !ed25519::verify(&public, input, &faulty(&known, 1))?)
}

fn ed25519_pure(fault: u8) -> Result<bool> {
    ed25519_known(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ed25519::Input::Message(&faulty(&unhex("af82"), fault)),
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    )
}

fn ed25519_prehash(fault: u8) -> Result<bool> {
    let digest = Hash::Sha512.digest(&faulty(b"abc", fault))?;
    let digest = <&[u8; 64]>::try_from(&digest[..]).map_err(|_| Error::Internal("a digest"))?;
    ed25519_known(
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        ed25519::Input::Prehash(digest),
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
    )
}

fn ml_dsa(key_type: KeyType, file: &[u8], fault: u8) -> Result<bool> {
    let [seed, spki, known] = fields::<3>(file)?;
    let public = PublicKey::from_spki(key_type, spki)?;
    let message = faulty(MESSAGE, fault);
    let input = mldsa::Input::Message(&message);
    if !mldsa::verify(&public, input, known)? || mldsa::verify(&public, mldsa::Input::Message(b"another"), known)? {
        return Ok(false);
    }
    let (made, signature, of_mu) = in_scope(Depth::Deep, |scope| {
        let key = PrivateKey::from_seed(scope, key_type, seed)?;
        let of_mu = mldsa::sign(scope, &key, mldsa::Input::Mu(&[7; 64]))?;
        Ok((key.public_spki(scope)?, mldsa::sign(scope, &key, input)?, of_mu))
    })?;
    Ok(made == spki && mldsa::verify(&public, input, &signature)? && mldsa::verify(&public, mldsa::Input::Mu(&[7; 64]), &of_mu)?)
}

fn ml_kem(key_type: KeyType, file: &[u8], fault: u8) -> Result<bool> {
    let [seed, spki, ciphertext, secret] = fields::<4>(file)?;
    let public = PublicKey::from_spki(key_type, spki)?;
    let mut sent = [0; 32];
    let fresh = mlkem::encapsulate(&public, key_type, &mut sent)?;
    in_scope(Depth::Deep, |scope| {
        let key = PrivateKey::from_seed(scope, key_type, seed)?;
        let (mut known, mut received) = ([0; 32], [0; 32]);
        mlkem::decapsulate(scope, &key, &faulty(ciphertext, fault), &mut known)?;
        mlkem::decapsulate(scope, &key, &fresh, &mut received)?;
        Ok(key.public_spki(scope)? == spki && known[..] == *secret && received == sent)
    })
}

fn key_wrap(fault: u8) -> Result<bool> {
    let key = unhex("07518a82cbc8da1dcec55f3763a206d277487abd03cedd0b8bef9ee2fb157121");
    let key = <&[u8; 32]>::try_from(&key[..]).map_err(|_| Error::Internal("a known answer"))?;
    let secret = unhex("faa4664d79fce3c7d2fdd462f6c1c423c2f8e6b69be2e071");
    let wrapped = unhex("4b1220525c537aec30ebcd562b694b4e9e2ccd819de22ef608b5d8090779d9de");
    in_scope(Depth::Shallow, |scope| {
        let mut out = [0; 40];
        let len = keywrap::unwrap(scope, key, &faulty(&wrapped, fault), &mut out)?;
        let refused = keywrap::unwrap(scope, key, &faulty(&wrapped, 1), &mut [0; 40]);
        Ok(out[..len] == secret[..] && keywrap::wrap(scope, key, &secret)? == wrapped && refused.is_err())
    })
}

fn aes_256_cbc(fault: u8) -> Result<bool> {
    let arena = memory::open(MemoryPolicy { allow_insecure: true })?.arena();
    let mut content = Guarded::<cbc::Content>::zeroed(arena)?;
    content.key.copy_from_slice(&unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"));
    let iv = std::array::from_fn(|place| u8::try_from(place).unwrap_or(0));
    let plaintext = unhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    let known = unhex(
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
    );
    let ciphertext = content.encrypt(&iv, &faulty(&plaintext, fault))?;
    // The vector has no padding: its blocks come first, and one block of padding follows.
    Ok(ciphertext.len() == known.len() + cbc::BLOCK_LEN && ciphertext.starts_with(&known))
}
