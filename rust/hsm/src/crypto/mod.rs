//! The algorithms, over AWS-LC. Pure functions and contexts; nothing here knows what a KMS key is.
//!
//! | algorithm | standard | module |
//! |---|---|---|
//! | AES-256-GCM, 96-bit IV, 128-bit tag | NIST SP 800-38D | [`aead`] |
//! | KDF in counter mode with HMAC-SHA-256, 32-bit counter before the fixed input | NIST SP 800-108r1, 4.1 | [`kdf`] |
//! | HMAC-SHA-256 | FIPS 198-1 | [`mac`] |
//! | SHA-256 | FIPS 180-4 | [`digest`] |

pub mod aead;
pub mod digest;
pub mod kdf;
pub mod mac;
