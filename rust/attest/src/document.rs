//! The payload of an attestation document: a CBOR map of known fields, each within its limits.

use std::collections::{BTreeMap, BTreeSet};

use coset::cbor;
use coset::cbor::value::Value;

use crate::{Attestation, Error, Platform, Result, malformed};

/// The most bytes of a certificate.
const MAX_CERTIFICATE: usize = 1024;
/// The most bytes of `public_key`.
const MAX_PUBLIC_KEY: usize = 1024;
/// The most bytes of `user_data` and of `nonce`.
const MAX_USER_DATA: usize = 512;
/// How deep CBOR may nest: the map, a list or a map in it, their items; and some to spare.
const MAX_DEPTH: usize = 8;
/// Registers have the indices below this.
const PCRS: u8 = 32;
/// SHA-256, SHA-384 and SHA-512.
const PCR_LENGTHS: [usize; 3] = [32, 48, 64];

/// A payload that keeps the rules. Nothing of it is verified yet.
pub(crate) struct Document {
    pub(crate) attestation: Attestation,
    /// The certificate whose key signed the document.
    pub(crate) certificate: Vec<u8>,
    /// The certificates above it, the root first.
    pub(crate) cabundle: Vec<Vec<u8>>,
}

/// The fields of a payload, each to be taken once.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn read(payload: &[u8]) -> Result<Fields> {
        let mut rest = payload;
        let value: Value = cbor::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
            .map_err(|_| Error::Malformed("its payload is no CBOR".into()))?;
        if !rest.is_empty() {
            return malformed("its payload has bytes after its end");
        }
        let Value::Map(entries) = value else { return malformed("its payload is no map") };
        let mut fields = BTreeMap::new();
        for (name, value) in entries {
            let Value::Text(name) = name else { return malformed("a field's name is no text") };
            if fields.insert(name, value).is_some() {
                return malformed("a field stands there twice");
            }
        }
        Ok(Fields(fields))
    }

    /// A field that must be there.
    fn required(&mut self, name: &str) -> Result<Value> {
        self.0.remove(name).ok_or_else(|| Error::Malformed(format!("it has no {name}")))
    }

    /// Bytes that may be absent, or null, as the Nitro Secure Module writes what it was not given.
    fn optional_bytes(&mut self, name: &str, least: usize, most: usize) -> Result<Option<Vec<u8>>> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => bytes(name, value, least, most).map(Some),
        }
    }
}

fn bytes(name: &str, value: Value, least: usize, most: usize) -> Result<Vec<u8>> {
    match value {
        Value::Bytes(bytes) if (least..=most).contains(&bytes.len()) => Ok(bytes),
        Value::Bytes(bytes) => malformed(format!("{name} must have {least} to {most} bytes, not {}", bytes.len())),
        _ => malformed(format!("{name} is no byte string")),
    }
}

pub(crate) fn parse(payload: &[u8]) -> Result<Document> {
    let mut fields = Fields::read(payload)?;
    let module_id = match fields.required("module_id")? {
        Value::Text(text) if !text.is_empty() => text,
        _ => return malformed("module_id must be a text that is not empty"),
    };
    if fields.required("digest")? != Value::Text("SHA384".into()) {
        return malformed("digest must be SHA384");
    }
    let timestamp = match fields.required("timestamp")? {
        Value::Integer(number) => u64::try_from(number).ok().filter(|&number| number > 0),
        _ => None,
    };
    let timestamp = timestamp.ok_or_else(|| Error::Malformed("timestamp must be a positive integer".into()))?;
    let (platform, registers) = match (fields.0.remove("pcrs"), fields.0.remove("nitrotpm_pcrs")) {
        (Some(registers), None) => (Platform::NitroEnclave, registers),
        (None, Some(registers)) => (Platform::NitroTpm, registers),
        _ => return malformed("it must have either pcrs (of an enclave) or nitrotpm_pcrs (of a NitroTPM)"),
    };
    let certificate = bytes("certificate", fields.required("certificate")?, 1, MAX_CERTIFICATE)?;
    let cabundle = match fields.required("cabundle")? {
        Value::Array(certificates) if !certificates.is_empty() => certificates
            .into_iter()
            .map(|certificate| bytes("a certificate of cabundle", certificate, 1, MAX_CERTIFICATE))
            .collect::<Result<_>>()?,
        _ => return malformed("cabundle must be a list that is not empty"),
    };
    let attestation = Attestation {
        platform,
        module_id,
        timestamp,
        pcrs: pcrs(registers)?,
        public_key: fields.optional_bytes("public_key", 1, MAX_PUBLIC_KEY)?,
        user_data: fields.optional_bytes("user_data", 0, MAX_USER_DATA)?,
        nonce: fields.optional_bytes("nonce", 0, MAX_USER_DATA)?,
    };
    if !fields.0.is_empty() {
        return malformed("it has fields that are not known");
    }
    Ok(Document { attestation, certificate, cabundle })
}

fn pcrs(registers: Value) -> Result<BTreeMap<u8, Vec<u8>>> {
    let Value::Map(entries) = registers else { return malformed("the PCRs are no map") };
    if !(1..=usize::from(PCRS)).contains(&entries.len()) {
        return malformed(format!("there must be 1 to {PCRS} PCRs, not {}", entries.len()));
    }
    let mut registers = BTreeMap::new();
    let lengths: BTreeSet<usize> = PCR_LENGTHS.into();
    for (index, value) in entries {
        let index = match index {
            Value::Integer(index) => u8::try_from(index).ok().filter(|&index| index < PCRS),
            _ => None,
        };
        let index = index.ok_or_else(|| Error::Malformed(format!("a PCR's index must be an integer below {PCRS}")))?;
        let value = match value {
            Value::Bytes(value) if lengths.contains(&value.len()) => value,
            _ => return malformed("a PCR must be a byte string of 32, 48 or 64 bytes"),
        };
        if registers.insert(index, value).is_some() {
            return malformed("a PCR stands there twice");
        }
    }
    Ok(registers)
}
