//! KMS's names of key specs and algorithms, and which of them go together.

use crate::crypto::digest::Hash;
use crate::crypto::ec::Curve;
use crate::crypto::pkey::KeyType;
use crate::error::{Error, Result};

/// A KeySpec of KMS. (SM2 exists in AWS's China Regions only, and not here.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySpec {
    /// SYMMETRIC_DEFAULT: a 256-bit key from which message keys are derived.
    Symmetric,
    /// HMAC_224 to HMAC_512: as many bits of key as the hash gives.
    Hmac(Hash),
    /// A key pair.
    Pair(KeyType),
}

/// Every key spec with its name.
const SPECS: [(&str, KeySpec); 19] = [
    ("SYMMETRIC_DEFAULT", KeySpec::Symmetric),
    ("RSA_2048", KeySpec::Pair(KeyType::Rsa(2048))),
    ("RSA_3072", KeySpec::Pair(KeyType::Rsa(3072))),
    ("RSA_4096", KeySpec::Pair(KeyType::Rsa(4096))),
    ("ECC_NIST_P256", KeySpec::Pair(KeyType::Ec(Curve::P256))),
    ("ECC_NIST_P384", KeySpec::Pair(KeyType::Ec(Curve::P384))),
    ("ECC_NIST_P521", KeySpec::Pair(KeyType::Ec(Curve::P521))),
    ("ECC_SECG_P256K1", KeySpec::Pair(KeyType::Ec(Curve::Secp256k1))),
    ("ECC_NIST_EDWARDS25519", KeySpec::Pair(KeyType::Ed25519)),
    ("HMAC_224", KeySpec::Hmac(Hash::Sha224)),
    ("HMAC_256", KeySpec::Hmac(Hash::Sha256)),
    ("HMAC_384", KeySpec::Hmac(Hash::Sha384)),
    ("HMAC_512", KeySpec::Hmac(Hash::Sha512)),
    ("ML_DSA_44", KeySpec::Pair(KeyType::MlDsa44)),
    ("ML_DSA_65", KeySpec::Pair(KeyType::MlDsa65)),
    ("ML_DSA_87", KeySpec::Pair(KeyType::MlDsa87)),
    ("ML_KEM_512", KeySpec::Pair(KeyType::MlKem512)),
    ("ML_KEM_768", KeySpec::Pair(KeyType::MlKem768)),
    ("ML_KEM_1024", KeySpec::Pair(KeyType::MlKem1024)),
];

impl KeySpec {
    /// The spec that KMS calls `name`.
    pub fn parse(name: &str) -> Result<KeySpec> {
        lookup("key spec", &SPECS, name)
    }

    /// KMS's name.
    pub fn name(self) -> &'static str {
        SPECS.iter().find(|(_, spec)| *spec == self).map_or("?", |(name, _)| name)
    }

    /// All specs.
    pub fn all() -> impl Iterator<Item = KeySpec> {
        SPECS.iter().map(|(_, spec)| *spec)
    }

    /// The key pair's type, unless the key is symmetric.
    pub fn pair(self) -> Option<KeyType> {
        if let KeySpec::Pair(pair) = self { Some(pair) } else { None }
    }

    /// Bytes of the secret of a spec that is one random string; None for key pairs, whose secret is a PKCS#8 structure.
    pub fn secret_len(self) -> Option<usize> {
        match self {
            KeySpec::Symmetric => Some(32),
            KeySpec::Hmac(hash) => Some(hash.len()),
            KeySpec::Pair(_) => None,
        }
    }

    pub(crate) fn fits_secret(self, len: usize) -> bool {
        self.secret_len().map_or((1..=MAX_SECRET_LEN).contains(&len), |expected| expected == len)
    }
}

/// Bytes of the longest secret: an RSA-4096 private key in PKCS#8 has about 2375.
pub(crate) const MAX_SECRET_LEN: usize = 2560;

/// A KeyUsage of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    /// ENCRYPT_DECRYPT.
    EncryptDecrypt,
    /// SIGN_VERIFY.
    SignVerify,
    /// GENERATE_VERIFY_MAC.
    GenerateVerifyMac,
    /// KEY_AGREEMENT.
    KeyAgreement,
    /// ENCAPSULATE_DECAPSULATE.
    EncapsulateDecapsulate,
}

impl KeyUsage {
    /// The usage that KMS calls `name`.
    pub fn parse(name: &str) -> Result<KeyUsage> {
        const USAGES: [(&str, KeyUsage); 5] = [
            ("ENCRYPT_DECRYPT", KeyUsage::EncryptDecrypt),
            ("SIGN_VERIFY", KeyUsage::SignVerify),
            ("GENERATE_VERIFY_MAC", KeyUsage::GenerateVerifyMac),
            ("KEY_AGREEMENT", KeyUsage::KeyAgreement),
            ("ENCAPSULATE_DECAPSULATE", KeyUsage::EncapsulateDecapsulate),
        ];
        lookup("key usage", &USAGES, name)
    }
}

/// A SigningAlgorithmSpec of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA_PSS_SHA_*: MGF1 with the same hash, salt as long as the digest.
    RsaPss(Hash),
    /// RSASSA_PKCS1_V1_5_SHA_*.
    RsaPkcs1(Hash),
    /// ECDSA_SHA_*: signatures in DER.
    Ecdsa(Hash),
    /// ED25519_SHA_512: pure Ed25519 (RFC 8032).
    Ed25519,
    /// ED25519_PH_SHA_512: Ed25519ph with an empty context.
    Ed25519Ph,
    /// ML_DSA_SHAKE_256: ML-DSA (FIPS 204) with an empty context.
    MlDsa,
}

impl SigningAlgorithm {
    /// The algorithm that KMS calls `name`.
    pub fn parse(name: &str) -> Result<SigningAlgorithm> {
        const ALGORITHMS: [(&str, SigningAlgorithm); 12] = [
            ("RSASSA_PSS_SHA_256", SigningAlgorithm::RsaPss(Hash::Sha256)),
            ("RSASSA_PSS_SHA_384", SigningAlgorithm::RsaPss(Hash::Sha384)),
            ("RSASSA_PSS_SHA_512", SigningAlgorithm::RsaPss(Hash::Sha512)),
            ("RSASSA_PKCS1_V1_5_SHA_256", SigningAlgorithm::RsaPkcs1(Hash::Sha256)),
            ("RSASSA_PKCS1_V1_5_SHA_384", SigningAlgorithm::RsaPkcs1(Hash::Sha384)),
            ("RSASSA_PKCS1_V1_5_SHA_512", SigningAlgorithm::RsaPkcs1(Hash::Sha512)),
            ("ECDSA_SHA_256", SigningAlgorithm::Ecdsa(Hash::Sha256)),
            ("ECDSA_SHA_384", SigningAlgorithm::Ecdsa(Hash::Sha384)),
            ("ECDSA_SHA_512", SigningAlgorithm::Ecdsa(Hash::Sha512)),
            ("ED25519_SHA_512", SigningAlgorithm::Ed25519),
            ("ED25519_PH_SHA_512", SigningAlgorithm::Ed25519Ph),
            ("ML_DSA_SHAKE_256", SigningAlgorithm::MlDsa),
        ];
        lookup("signing algorithm", &ALGORITHMS, name)
    }

    /// Whether keys of this type sign so (KMS developer guide, "Key spec reference").
    pub fn fits(self, key: KeyType) -> bool {
        match (self, key) {
            (SigningAlgorithm::RsaPss(_) | SigningAlgorithm::RsaPkcs1(_), KeyType::Rsa(_))
            | (SigningAlgorithm::Ed25519 | SigningAlgorithm::Ed25519Ph, KeyType::Ed25519)
            | (SigningAlgorithm::MlDsa, KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87) => true,
            (SigningAlgorithm::Ecdsa(hash), KeyType::Ec(curve)) => {
                hash == match curve {
                    Curve::P256 | Curve::Secp256k1 => Hash::Sha256,
                    Curve::P384 => Hash::Sha384,
                    Curve::P521 => Hash::Sha512,
                }
            }
            _ => false,
        }
    }

    /// Whether the algorithm takes messages given like this: pure Ed25519 has no digest to give, Ed25519ph takes nothing else (KMS
    /// API reference, Sign), and only ML-DSA has an external mu.
    pub fn takes(self, message: MessageType) -> bool {
        match self {
            SigningAlgorithm::Ed25519 => message == MessageType::Raw,
            SigningAlgorithm::Ed25519Ph => message == MessageType::Digest,
            SigningAlgorithm::MlDsa => matches!(message, MessageType::Raw | MessageType::ExternalMu),
            _ => matches!(message, MessageType::Raw | MessageType::Digest),
        }
    }
}

/// How a message to sign is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// The message itself.
    Raw,
    /// Its digest, of the algorithm's length.
    Digest,
    /// ML-DSA's message representative mu, 64 bytes (FIPS 204, Algorithm 7).
    ExternalMu,
}

impl MessageType {
    /// The type that KMS calls `name`.
    pub fn parse(name: &str) -> Result<MessageType> {
        const TYPES: [(&str, MessageType); 3] =
            [("RAW", MessageType::Raw), ("DIGEST", MessageType::Digest), ("EXTERNAL_MU", MessageType::ExternalMu)];
        lookup("message type", &TYPES, name)
    }
}

/// The hash of a MacAlgorithmSpec. HMAC_SHA_n goes with HMAC_n alone.
pub fn mac_algorithm(name: &str) -> Result<Hash> {
    const ALGORITHMS: [(&str, Hash); 4] = [
        ("HMAC_SHA_224", Hash::Sha224),
        ("HMAC_SHA_256", Hash::Sha256),
        ("HMAC_SHA_384", Hash::Sha384),
        ("HMAC_SHA_512", Hash::Sha512),
    ];
    lookup("MAC algorithm", &ALGORITHMS, name)
}

/// The hash of an RSAES_OAEP_SHA_*: of the label and of MGF1.
pub fn rsa_encryption(name: &str) -> Result<Hash> {
    const ALGORITHMS: [(&str, Hash); 2] = [("RSAES_OAEP_SHA_1", Hash::Sha1), ("RSAES_OAEP_SHA_256", Hash::Sha256)];
    lookup("RSA encryption algorithm", &ALGORITHMS, name)
}

/// The key type of a DataKeyPairSpec.
pub fn data_key_pair(name: &str) -> Result<KeyType> {
    match KeySpec::parse(name)? {
        KeySpec::Pair(KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87) | KeySpec::Symmetric | KeySpec::Hmac(_) => {
            Err(unknown("data key pair spec", name))
        }
        KeySpec::Pair(pair) => Ok(pair),
    }
}

/// The key type of a WrappingKeySpec.
pub fn wrapping_key(name: &str) -> Result<KeyType> {
    match KeySpec::parse(name)? {
        KeySpec::Pair(pair @ KeyType::Rsa(_)) => Ok(pair),
        _ => Err(unknown("wrapping key spec", name)),
    }
}

/// How imported key material is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrappingAlgorithm {
    /// RSAES_OAEP_SHA_*: the material itself under RSA.
    Oaep(Hash),
    /// RSA_AES_KEY_WRAP_SHA_*: a 256-bit AES key under RSA-OAEP, then the material under AES-KWP (RFC 5649).
    AesKeyWrap(Hash),
}

impl WrappingAlgorithm {
    /// The algorithm that KMS calls `name`. (RSAES_PKCS1_V1_5 is no longer accepted, as in AWS since October 2023.)
    pub fn parse(name: &str) -> Result<WrappingAlgorithm> {
        const ALGORITHMS: [(&str, WrappingAlgorithm); 4] = [
            ("RSAES_OAEP_SHA_1", WrappingAlgorithm::Oaep(Hash::Sha1)),
            ("RSAES_OAEP_SHA_256", WrappingAlgorithm::Oaep(Hash::Sha256)),
            ("RSA_AES_KEY_WRAP_SHA_1", WrappingAlgorithm::AesKeyWrap(Hash::Sha1)),
            ("RSA_AES_KEY_WRAP_SHA_256", WrappingAlgorithm::AesKeyWrap(Hash::Sha256)),
        ];
        lookup("wrapping algorithm", &ALGORITHMS, name)
    }
}

fn lookup<T: Copy>(what: &str, table: &[(&str, T)], name: &str) -> Result<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| unknown(what, name))
}

fn unknown(what: &str, name: &str) -> Error {
    Error::Limit(format!("the HSM has no {what} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNING: [&str; 12] = [
        "RSASSA_PSS_SHA_256",
        "RSASSA_PSS_SHA_384",
        "RSASSA_PSS_SHA_512",
        "RSASSA_PKCS1_V1_5_SHA_256",
        "RSASSA_PKCS1_V1_5_SHA_384",
        "RSASSA_PKCS1_V1_5_SHA_512",
        "ECDSA_SHA_256",
        "ECDSA_SHA_384",
        "ECDSA_SHA_512",
        "ED25519_SHA_512",
        "ED25519_PH_SHA_512",
        "ML_DSA_SHAKE_256",
    ];

    #[test]
    fn names_go_there_and_back() {
        for spec in KeySpec::all() {
            assert_eq!(KeySpec::parse(spec.name()).unwrap(), spec);
        }
        for name in ["SM2", "", "rsa_2048", "RSA_1024", "HMAC_SHA_256"] {
            assert!(matches!(KeySpec::parse(name), Err(Error::Limit(_))), "{name}");
        }
    }

    #[test]
    fn each_signing_algorithm_fits_the_specs_that_kms_says() {
        for (spec, expected) in [
            ("RSA_2048", 0..6),
            ("RSA_3072", 0..6),
            ("RSA_4096", 0..6),
            ("ECC_NIST_P256", 6..7),
            ("ECC_SECG_P256K1", 6..7),
            ("ECC_NIST_P384", 7..8),
            ("ECC_NIST_P521", 8..9),
            ("ECC_NIST_EDWARDS25519", 9..11),
            ("ML_DSA_44", 11..12),
            ("ML_DSA_65", 11..12),
            ("ML_DSA_87", 11..12),
            ("ML_KEM_512", 0..0),
        ] {
            let pair = KeySpec::parse(spec).unwrap().pair().unwrap();
            for (number, name) in SIGNING.into_iter().enumerate() {
                assert_eq!(SigningAlgorithm::parse(name).unwrap().fits(pair), expected.contains(&number), "{spec} {name}");
            }
        }
    }

    #[test]
    fn pair_and_wrapping_specs_are_subsets() {
        for spec in KeySpec::all() {
            let name = spec.name();
            let pair = !matches!(spec, KeySpec::Symmetric | KeySpec::Hmac(_)) && !name.starts_with("ML_DSA");
            assert_eq!(data_key_pair(name).is_ok(), pair, "{name}");
            assert_eq!(wrapping_key(name).is_ok(), name.starts_with("RSA_"), "{name}");
        }
        assert!(WrappingAlgorithm::parse("RSAES_PKCS1_V1_5").is_err());
    }
}
