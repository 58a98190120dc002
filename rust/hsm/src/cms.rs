//! CMS EnvelopedData (RFC 5652, 6) for one recipient, byte for byte in the form in which AWS KMS writes CiphertextForRecipient.
//!
//! That is BER of indefinite lengths around DER: clients read it by hand, and not each of them reads every form. The recipient is
//! named by a SubjectKeyIdentifier that is the SHA-256 of its SubjectPublicKeyInfo; the content key is transported by RSAES-OAEP with
//! SHA-256 and MGF1 with SHA-256 (RFC 4055), the content is AES-256-CBC in one OCTET STRING.

/// SHA-256 of a SubjectPublicKeyInfo.
pub(crate) const KEY_ID_LEN: usize = 32;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
/// [0], primitive: the SubjectKeyIdentifier form of a RecipientIdentifier.
const SUBJECT_KEY_IDENTIFIER: u8 = 0x80;
/// [0], constructed: a ContentInfo's content, and the encrypted content in BER's constructed form.
const EXPLICIT_0: u8 = 0xa0;
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// OBJECT IDENTIFIER 1.2.840.113549.1.7.3, id-envelopedData.
const ENVELOPED_DATA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3];
/// OBJECT IDENTIFIER 1.2.840.113549.1.7.1, id-data.
const DATA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// OBJECT IDENTIFIER 2.16.840.1.101.3.4.1.42, id-aes256-CBC.
const AES_256_CBC: [u8; 11] = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2a];
/// OBJECT IDENTIFIER 1.2.840.113549.1.1.7, id-RSAES-OAEP.
const RSAES_OAEP: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
/// OBJECT IDENTIFIER 1.2.840.113549.1.1.8, id-mgf1.
const MGF1: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
/// AlgorithmIdentifier of SHA-256, with NULL parameters.
const SHA_256: [u8; 15] = [SEQUENCE, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0];
/// CMSVersion 2: a recipient that is named by its key, not by a certificate.
const VERSION: [u8; 3] = [INTEGER, 1, 2];

/// One element of definite length, in DER.
fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let len: usize = content.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = len.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
    match significant {
        [] => out.push(0),
        [short @ ..=0x7f] => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8)); // a usize has 8 bytes at most
            out.extend_from_slice(long);
        }
    }
    for part in content {
        out.extend_from_slice(part);
    }
    out
}

/// The whole ContentInfo.
pub(crate) fn enveloped_data(
    key_id: &[u8; KEY_ID_LEN],
    encrypted_key: &[u8],
    iv: &[u8; 16],
    encrypted_content: &[u8],
) -> Vec<u8> {
    let mask = element(SEQUENCE, &[&MGF1, &SHA_256]);
    let parameters = element(SEQUENCE, &[&element(0xa0, &[&SHA_256]), &element(0xa1, &[&mask])]);
    let transport = element(
        SEQUENCE,
        &[
            &VERSION,
            &element(SUBJECT_KEY_IDENTIFIER, &[key_id]),
            &element(SEQUENCE, &[&RSAES_OAEP, &parameters]),
            &element(OCTET_STRING, &[encrypted_key]),
        ],
    );
    let encryption = element(SEQUENCE, &[&AES_256_CBC, &element(OCTET_STRING, &[iv])]);
    [
        &[SEQUENCE, INDEFINITE][..],
        &ENVELOPED_DATA,
        &[EXPLICIT_0, INDEFINITE],
        &[SEQUENCE, INDEFINITE],
        &VERSION,
        &element(SET, &[&transport]),
        &[SEQUENCE, INDEFINITE],
        &DATA,
        &encryption,
        &[EXPLICIT_0, INDEFINITE],
        &element(OCTET_STRING, &[encrypted_content]),
        &END_OF_CONTENTS.repeat(5),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of AWS KMS, as the tests of AWS's own SDK for enclaves have it (aws-nitro-enclaves-sdk-c, tests/cms_test.c,
    /// Apache-2.0): all but the key id, the encrypted key, the IV and the content is the same in every answer.
    #[test]
    fn the_form_is_that_of_aws() {
        let head = "308006092a864886f70d010703a08030800201023182016b308201670201028020";
        let algorithm = "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500";
        let (key_id, key, iv, content) = ("11".repeat(32), "22".repeat(256), "33".repeat(16), "44".repeat(48));
        let expected = format!(
            "{head}{key_id}{algorithm}04820100{key}308006092a864886f70d010701301d060960864801650304012a0410{iv}a0800430{content}{}",
            "00".repeat(10)
        );
        let made = enveloped_data(&[0x11; 32], &[0x22; 256], &[0x33; 16], &[0x44; 48]);
        assert_eq!(made.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }

    #[test]
    fn lengths_are_der() {
        for (len, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (4112, &[4, 0x82, 0x10, 0x10]),
        ] {
            let made = element(OCTET_STRING, &[&vec![7; len]]);
            assert_eq!((&made[..head.len()], made.len()), (head, head.len() + len));
        }
    }
}
