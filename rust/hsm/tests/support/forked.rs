//! What a forked child must find: every call of the parent's HSM refused, before it touches what is not there; and an HSM of its own.

use std::num::NonZeroUsize;

use clavero_hsm::blob::{Blob, blob_len};
use clavero_hsm::signing::SigningSecret;
use clavero_hsm::spec::KeySpec;
use clavero_hsm::{EncryptionContext, Error, Hsm, KeyBinding, NewKey, Recipient, Result, WrappingKey, request_id, selftest};

use super::{Key, REGION, THERE, binding, make_domains, open, work};

const WRAPPING: &str = "RSA_AES_KEY_WRAP_SHA_256";
const OAEP: &str = "RSAES_OAEP_SHA_256";
const ECDSA: &str = "ECDSA_SHA_256";
const MESSAGE: &[u8] = b"message";

/// What the parent made with its HSM, for its child to try.
pub(super) struct Inherited {
    record: Vec<u8>,
    blob: Vec<u8>,
    signer: NewKey,
    signature: Vec<u8>,
    rsa: NewKey,
    encrypted: Vec<u8>,
    recipient: Recipient,
    mac: NewKey,
    agreement: NewKey,
    kem: NewKey,
    encapsulated: Vec<u8>,
    wrapping: WrappingKey,
    wrapped: Vec<u8>,
    sealed_secret: Vec<u8>,
    session: Vec<u8>,
    secret: SigningSecret,
    signing_key: SigningSecret,
    opaque: Vec<u8>,
}

impl Inherited {
    /// `record` is that of the HSM's domain; `key` is one of its keys.
    pub(super) fn make(hsm: &Hsm, key: &Key, record: Vec<u8>) -> Result<Inherited> {
        let blob = work(hsm, key, key)?;
        let pair = |spec, usage| hsm.create_key(&KeyBinding { spec, usage, ..binding("pair") });
        let signer = pair("ECC_NIST_P256", "SIGN_VERIFY")?;
        let signature = hsm.sign(signer.handle, ECDSA, "RAW", MESSAGE)?;
        let rsa = pair("RSA_2048", "ENCRYPT_DECRYPT")?;
        let encrypted = hsm.rsa_encrypt(public(&rsa), OAEP, MESSAGE)?;
        let kem = pair("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")?;
        let (_, encapsulated) = hsm.encapsulate(public(&kem), KeySpec::parse("ML_KEM_768")?)?;
        let wrapping = hsm.create_wrapping_key(REGION, "import", "RSA_2048")?;
        let wrapped = hsm.wrap_material(&wrapping.public_key, ("RSA_2048", WRAPPING), &[7; 32])?;
        let sealed_secret = hsm.create_access_secret(REGION, "access")?;
        let secret = hsm.load_access_secret(REGION, "access", &sealed_secret)?;
        Ok(Inherited {
            recipient: Recipient::new(public(&rsa))?,
            mac: pair("HMAC_384", "GENERATE_VERIFY_MAC")?,
            agreement: pair("ECC_NIST_P256", "KEY_AGREEMENT")?,
            signing_key: hsm.derive_signing_key(&secret, "20260101", REGION, "kms")?,
            opaque: hsm.seal_opaque(REGION, "marker", b"page")?,
            session: hsm.create_session(REGION, "session", b"claims")?.0,
            record,
            blob,
            signer,
            signature,
            rsa,
            encrypted,
            kem,
            encapsulated,
            wrapping,
            wrapped,
            sealed_secret,
            secret,
        })
    }

    /// Every public call of an HSM (tests/architecture/test_forks.py compares), each as it would work in the parent.
    fn tried(&self, hsm: &Hsm, key: &Key) -> Result<Vec<Result<()>>> {
        let own = binding(&key.id);
        let (handle, recipient) = (key.handle, &self.recipient);
        let mut context = EncryptionContext::new(vec![("key", key.id.as_str())])?;
        let blob = Blob::parse(&self.blob)?;
        let (mut out, mut moved, mut text) = (vec![0; blob_len(32)], vec![0; self.blob.len()], vec![0; blob.plaintext_len()]);
        let (mut data_key, threads) = ([0; 32], NonZeroUsize::MIN);
        let p256 = KeySpec::parse("ECC_NIST_P256")?;
        Ok(vec![
            hsm.encrypt(handle, &mut context, &[1; 32], &mut out),
            hsm.decrypt(handle, &mut context, &blob, &mut text),
            hsm.decrypt_unknown(&mut context, &blob),
            hsm.generate_data_key(handle, &mut context, &mut data_key, &mut out),
            hsm.generate_data_key_without_plaintext(handle, &mut context, 32, &mut out),
            hsm.generate_data_keys(handle, &context, 32, &mut data_key, &mut out, threads),
            hsm.encrypt_many(handle, &context, &[&[1; 32]], &mut out, threads).map_err(|error| error.error),
            hsm.decrypt_many(&context, &[(handle, Blob::parse(&self.blob)?)], &mut text, threads).map_err(|error| error.error),
            hsm.reencrypt((handle, &mut context), &blob, (handle, &mut EncryptionContext::empty()), &mut moved),
            hsm.generate_random(&mut data_key),
            hsm.sign(self.signer.handle, ECDSA, "RAW", MESSAGE).map(drop),
            hsm.verify(public(&self.signer), p256, ECDSA, "RAW", MESSAGE, &self.signature).map(drop),
            hsm.rsa_encrypt(public(&self.rsa), OAEP, MESSAGE).map(drop),
            hsm.rsa_decrypt(self.rsa.handle, OAEP, &self.encrypted).map(drop),
            hsm.generate_mac(self.mac.handle, "HMAC_SHA_384", MESSAGE).map(drop),
            hsm.verify_mac(self.mac.handle, "HMAC_SHA_384", MESSAGE, &[0; 48]).map(drop),
            hsm.derive_shared_secret(self.agreement.handle, public(&self.agreement)).map(drop),
            hsm.encapsulate(public(&self.kem), KeySpec::parse("ML_KEM_768")?).map(drop),
            hsm.decapsulate(self.kem.handle, &self.encapsulated).map(drop),
            hsm.generate_data_key_pair(handle, "ECC_NIST_P256", &mut context, true).map(drop),
            hsm.decrypt_for(recipient, handle, &mut context, &blob).map(drop),
            hsm.rsa_decrypt_for(recipient, self.rsa.handle, OAEP, &self.encrypted).map(drop),
            hsm.generate_data_key_for(recipient, handle, &mut context, 32).map(drop),
            hsm.generate_random_for(recipient, 32).map(drop),
            hsm.derive_shared_secret_for(recipient, self.agreement.handle, public(&self.agreement)).map(drop),
            hsm.generate_data_key_pair_for(recipient, handle, "ECC_NIST_P256", &mut context).map(drop),
            hsm.status().map(drop),
            hsm.create_domain("new", 1).map(drop),
            hsm.load_domain(REGION, &self.record).map(drop),
            hsm.stage_domain_rotation(REGION, 1).map(drop),
            hsm.stage_domain_retirement(REGION, &[]).map(drop),
            hsm.install_domain(REGION),
            hsm.discard_staged_domain(REGION),
            hsm.domain_keys(REGION).map(drop),
            hsm.create_key(&binding("new")).map(drop),
            hsm.generate_key(&binding("new")).map(drop),
            hsm.import_known_key(&binding("new"), &[0; 32]).map(drop),
            hsm.import_known_secret(&binding("new"), &[0; 32]).map(drop),
            hsm.load_key(&key.token, &key.hbkid, &own).map(drop),
            hsm.rewrap_key(&key.token, &key.hbkid, &own).map(drop),
            hsm.transfer_key(&key.token, &key.hbkid, &own, THERE).map(drop),
            hsm.transfer_fingerprint(&key.token, &key.hbkid, &own, THERE).map(drop),
            hsm.create_wrapping_key(REGION, "import", "RSA_2048").map(drop),
            hsm.import_key(REGION, "import", &self.wrapping.sealed_private_key, WRAPPING, &self.wrapped, &own, None).map(drop),
            hsm.import_plain_key(&binding("new"), &[7; 32], 1).map(drop),
            hsm.wrap_material(&self.wrapping.public_key, ("RSA_2048", WRAPPING), &[7; 32]).map(drop),
            hsm.create_access_secret(REGION, "access").map(drop),
            hsm.load_access_secret(REGION, "access", &self.sealed_secret).map(drop),
            hsm.create_session(REGION, "session", b"claims").map(drop),
            hsm.load_session(REGION, "session", &self.session).map(drop),
            hsm.decoy_access_secret().map(drop),
            hsm.derive_signing_key(&self.secret, "20260101", REGION, "kms").map(drop),
            hsm.verify_signature(&self.signing_key, MESSAGE, &[0; 32]).map(drop),
            hsm.seal_opaque(REGION, "marker", b"x").map(drop),
            hsm.open_opaque(REGION, "marker", &self.opaque).map(drop),
            hsm.unload_key(handle),
            hsm.evict_idle_keys().map(drop),
            hsm.seal(),
        ])
    }

    /// The status of a child: 0, or the number of the first thing that was not as it must be.
    pub(super) fn check_in_child(&self, hsm: &Hsm, key: &Key) -> i32 {
        let Ok(tried) = self.tried(hsm, key) else { return 100 };
        for (number, result) in (1..).zip(tried) {
            if result != Err(Error::Forked) {
                return number;
            }
        }
        if request_id().is_err() || selftest::ensure_passed().is_err() {
            return 101;
        }
        // An HSM of its own works, also on threads, and is sealed in turn for its own child.
        let Ok(own) = open(true) else { return 102 };
        make_domains(&own);
        let Ok((hbkid, token, handle)) = own.generate_key(&binding("own")) else { return 103 };
        let key = Key { hbkid, token, handle, id: "own".into() };
        if work(&own, &key, &key).is_err() {
            return 104;
        }
        let pair = KeyBinding { spec: "ECC_NIST_P256", usage: "SIGN_VERIFY", ..binding("pair") };
        let Ok((_, _, handle)) = own.generate_key(&pair) else { return 105 };
        if own.sign(handle, ECDSA, "RAW", MESSAGE).is_err() {
            return 106;
        }
        // The parent's HSM refuses still, where the child has memory that it could be mistaken for.
        match hsm.sign(self.signer.handle, ECDSA, "RAW", MESSAGE) {
            Err(Error::Forked) => 0,
            _ => 107,
        }
    }
}

/// Every call that a child must find refused does its work in the parent: so no refusal is for another reason.
pub(super) fn all_work_in_the_parent() {
    let hsm = open(true).unwrap();
    let [record, _] = make_domains(&hsm);
    let (hbkid, token, handle) = hsm.generate_key(&binding("own")).unwrap();
    let key = Key { hbkid, token, handle, id: "own".into() };
    let tried = Inherited::make(&hsm, &key, record).unwrap().tried(&hsm, &key).unwrap();
    let failed: Vec<_> = (1..).zip(tried).filter(|(_, result)| result.is_err()).collect();
    assert_eq!(failed, [(3, Err(Error::InvalidCiphertext))], "all but the blob of an unknown key");
}

fn public(key: &NewKey) -> &[u8] {
    key.public_key.as_deref().unwrap_or_default()
}
