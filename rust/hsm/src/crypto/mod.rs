//! The algorithms, over AWS-LC. Pure functions and contexts; nothing here knows what a KMS key is.
//!
//! | algorithm | standard | module |
//! |---|---|---|
//! | AES-256-GCM, 96-bit IV, 128-bit tag | NIST SP 800-38D | [`aead`] |
//! | AES-256-CBC with CMS's padding, encryption only | NIST SP 800-38A | [`cbc`] |
//! | AES-256 key wrap with padding | RFC 5649 | [`keywrap`] |
//! | KDF in counter mode with HMAC-SHA-256, 32-bit counter before the fixed input | NIST SP 800-108r1, 4.1 | [`kdf`] |
//! | HMAC with SHA-2 | FIPS 198-1 | [`mac`] |
//! | SHA-1, SHA-2 | FIPS 180-4 | [`digest`] |
//! | RSASSA-PSS, RSASSA-PKCS1-v1_5, RSAES-OAEP | RFC 8017 | [`rsa`] |
//! | RSA key pairs | FIPS 186-5, A.1.3 | `rsa_pair` |
//! | ECDSA, ECDH | FIPS 186-5, NIST SP 800-56A | [`ec`] |
//! | Ed25519, Ed25519ph | RFC 8032 | [`ed25519`] |
//! | ML-DSA | FIPS 204 | [`mldsa`] |
//! | ML-KEM | FIPS 203 | [`mlkem`] |
//!
//! Key pairs are in [`pkey`]; what touches a private one takes a [`KeyScope`](crate::memory::KeyScope).

pub mod aead;
mod bignum;
pub mod cbc;
pub mod digest;
pub mod ec;
pub mod ed25519;
pub mod kdf;
pub mod keywrap;
mod limbs;
pub mod mac;
pub mod mldsa;
pub mod mlkem;
pub mod pkey;
mod primes;
pub mod rsa;
mod rsa_pair;
