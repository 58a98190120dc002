//! Makes attestation documents: certificates and CBOR by hand, keys and signatures by an HSM. Shared with the fuzz target.
#![allow(dead_code, unreachable_pub, missing_docs)] // each user has a use for a part

use clavero_hsm::{EphemeralRoot, Hsm, KeyBinding, KeyHandle, MemoryPolicy};
use coset::cbor;
use coset::cbor::value::Value;

pub const NOW: u64 = 1_800_000_000;
const REGION: &str = "us-east-1";
const ECDSA_WITH_SHA384: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];

pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        len @ 0..=127 => out.push(u8::try_from(len).unwrap()),
        len @ 128..=255 => out.extend([0x81, u8::try_from(len).unwrap()]),
        len => out.extend([&[0x82][..], &u16::try_from(len).unwrap().to_be_bytes()].concat()),
    }
    out.extend(content);
    out
}

/// A key pair in the HSM.
pub struct Pair {
    handle: KeyHandle,
    public: Vec<u8>,
}

pub struct Maker {
    pub hsm: Hsm,
    root: Pair,
    signer: Pair,
    pub root_der: Vec<u8>,
    signer_der: Vec<u8>,
}

fn name(common: &str) -> Vec<u8> {
    let attribute = element(0x30, &[&[6, 3, 0x55, 4, 3], &element(0x0c, &[common.as_bytes()])]);
    element(0x30, &[&element(0x31, &[&attribute])])
}

fn extension(id: u8, value: &[u8]) -> Vec<u8> {
    element(0x30, &[&[6, 3, 0x55, 0x1d, id], &[1, 1, 0xff], &element(4, &[value])])
}

impl Maker {
    pub fn new() -> Maker {
        let hsm = Hsm::open(&EphemeralRoot, true, MemoryPolicy { allow_insecure: true }).unwrap();
        hsm.create_domain(REGION, 1).unwrap();
        hsm.install_domain(REGION).unwrap();
        let (root, signer) = (Maker::pair(&hsm), Maker::pair(&hsm));
        let mut maker = Maker { hsm, root, signer, root_der: Vec::new(), signer_der: Vec::new() };
        let (authority, signing) = ([3, 2, 1, 6], [3, 2, 7, 0x80]);
        let exts = [extension(19, &element(0x30, &[&[1, 1, 0xff]])), extension(15, &authority)].concat();
        maker.root_der = maker.certificate("root", &maker.root, &exts);
        let exts = [extension(19, &element(0x30, &[])), extension(15, &signing)].concat();
        maker.signer_der = maker.certificate("signer", &maker.signer, &exts);
        maker
    }

    fn pair(hsm: &Hsm) -> Pair {
        let binding = KeyBinding {
            region: REGION,
            account: "000000000000",
            key_id: "1234abcd-12ab-34cd-56ef-1234567890ab",
            spec: "ECC_NIST_P384",
            usage: "SIGN_VERIFY",
            origin: "AWS_KMS",
            multi_region: false,
        };
        let key = hsm.create_key(&binding).unwrap();
        Pair { handle: key.handle, public: key.public_key.unwrap() }
    }

    fn sign(&self, pair: &Pair, message: &[u8]) -> Vec<u8> {
        self.hsm.sign(pair.handle, "ECDSA_SHA_384", "RAW", message).unwrap()
    }

    /// A certificate that the root signs, valid from 2026-01-01 to 2028-01-01.
    fn certificate(&self, common: &str, pair: &Pair, extensions: &[u8]) -> Vec<u8> {
        let dates = [element(0x17, &[b"260101000000Z"]), element(0x17, &[b"280101000000Z"])].concat();
        let tbs = element(
            0x30,
            &[
                &element(0xa0, &[&[2, 1, 2]]),
                &[2, 1, 1],
                ECDSA_WITH_SHA384,
                &name("root"),
                &element(0x30, &[&dates]),
                &name(common),
                &pair.public,
                &element(0xa3, &[&element(0x30, &[extensions])]),
            ],
        );
        let signature = self.sign(&self.root, &tbs);
        element(0x30, &[&tbs, ECDSA_WITH_SHA384, &element(3, &[&[0], &signature])])
    }

    /// The fields of a good payload.
    pub fn fields(&self) -> Vec<(Value, Value)> {
        let pcrs = (0..4).map(|index| (Value::from(index), Value::Bytes(vec![7; 48]))).collect();
        let fields = [
            ("module_id", Value::from("i-0-enc0")),
            ("digest", Value::from("SHA384")),
            ("timestamp", Value::from(NOW * 1000)),
            ("pcrs", Value::Map(pcrs)),
            ("certificate", Value::Bytes(self.signer_der.clone())),
            ("cabundle", Value::Array(vec![Value::Bytes(self.root_der.clone())])),
            ("public_key", Value::Bytes(b"the recipient's".to_vec())),
            ("user_data", Value::Null),
            ("nonce", Value::Bytes(vec![1; 16])),
        ];
        fields.map(|(name, value)| (Value::from(name), value)).into()
    }

    /// A document with these bytes as its payload, rightly signed.
    pub fn signed(&self, payload: &[u8]) -> Vec<u8> {
        let protected = [0xa1, 1, 0x38, 0x22];
        let parts = [Value::from("Signature1"), Value::from(&protected[..]), Value::Bytes(vec![]), Value::from(payload)];
        let signature = raw(&self.sign(&self.signer, &encoded(&Value::Array(parts.into()))));
        let parts = [Value::from(&protected[..]), Value::Map(vec![]), Value::from(payload), Value::Bytes(signature)];
        encoded(&Value::Array(parts.into()))
    }

    pub fn document(&self) -> Vec<u8> {
        self.signed(&encoded(&Value::Map(self.fields())))
    }
}

pub fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::ser::into_writer(value, &mut out).unwrap();
    out
}

/// The two halves of a DER signature, 48 bytes each.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut out = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let digits = &number[number.len().saturating_sub(48)..];
        out.extend(vec![0; 48 - digits.len()]);
        out.extend(digits);
        rest = after;
    }
    out
}
