//! Answers for an attested recipient: the secret leaves the HSM encrypted under the recipient's public key, and in no other form.
//!
//! The plaintext is made in the scratch, encrypted there under a fresh AES-256 key that RSAES-OAEP transports, and wiped.

use zeroize::Zeroizing;

use crate::blob::{Blob, blob_len};
use crate::cms::{self, KEY_ID_LEN};
use crate::context::EncryptionContext;
use crate::crypto::cbc;
use crate::crypto::digest::{Hash, sha256};
use crate::crypto::pkey::{KeyType, PublicKey};
use crate::crypto::rsa;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, open_inner};
use crate::keytable::KeyHandle;
use crate::memory::Guarded;
use crate::message::{MAX_DATA_KEY_LEN, check_plaintext};
use crate::pairs::DataKeyPair;
use crate::rng::fill_random;
use crate::sealed::split_output;
use crate::selftest::{Tested, ensure_tested};

/// The sizes of RSA keys that a recipient may have: those of KMS itself.
const SIZES: [u32; 3] = [2048, 3072, 4096];

/// Who alone can open an answer: the holder of an RSA key.
#[derive(Clone, Debug)]
pub struct Recipient {
    spki: Vec<u8>,
    size: u32,
    key_id: [u8; KEY_ID_LEN],
}

impl Recipient {
    /// The holder of the public key (SubjectPublicKeyInfo DER), which must be RSA of 2048, 3072 or 4096 bits.
    pub fn new(spki: &[u8]) -> Result<Recipient> {
        let size = SIZES.into_iter().find(|&size| PublicKey::from_spki(KeyType::Rsa(size), spki).is_ok());
        let size = size.ok_or_else(|| {
            Error::Limit(
                "the public key is not the DER of a SubjectPublicKeyInfo of an RSA key of 2048, 3072 or 4096 bits".into(),
            )
        })?;
        Ok(Recipient { spki: spki.to_vec(), size, key_id: sha256(spki) })
    }
}

impl Hsm {
    /// Encrypts `plaintext` for the recipient: CMS EnvelopedData.
    fn envelop(&self, recipient: &Recipient, plaintext: &[u8]) -> Result<Vec<u8>> {
        ensure_tested(Tested::RsaOaep)?;
        ensure_tested(Tested::AesCbc)?;
        let mut content = Guarded::<cbc::Content>::zeroed(self.memory().arena())?;
        let mut iv = [0; cbc::BLOCK_LEN];
        fill_random(&mut content.key)?;
        fill_random(&mut iv)?;
        let ciphertext = content.encrypt(&iv, plaintext)?;
        let public_key = PublicKey::from_spki(KeyType::Rsa(recipient.size), &recipient.spki)?;
        let encrypted_key = rsa::encrypt(&public_key, Hash::Sha256, &content.key)?;
        Ok(cms::enveloped_data(&recipient.key_id, &encrypted_key, &iv, &ciphertext))
    }

    /// As [`decrypt`](Self::decrypt), for the recipient.
    pub fn decrypt_for(
        &self,
        recipient: &Recipient,
        handle: KeyHandle,
        context: &mut EncryptionContext,
        blob: &Blob<'_>,
    ) -> Result<Vec<u8>> {
        let _running = self.enter_batch()?;
        self.with_scratch(|scratch| {
            let parts = &blob.parts;
            open_inner(&*self.read()?)?.derive_for_opening(scratch, handle, parts)?;
            let (cipher, plaintext) = scratch.context_and_plaintext();
            let plaintext = plaintext.get_mut(..blob.plaintext_len()).ok_or(Error::InvalidCiphertext)?;
            cipher.open(parts.iv(), context.aad(parts.header), parts.ciphertext, parts.tag, plaintext)?;
            self.envelop(recipient, plaintext)
        })
    }

    /// As [`rsa_decrypt`](Self::rsa_decrypt), for the recipient.
    pub fn rsa_decrypt_for(
        &self,
        recipient: &Recipient,
        handle: KeyHandle,
        algorithm: &str,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>> {
        let running = self.enter_batch()?;
        self.with_scratch(|scratch| {
            let len = self.rsa_decrypt_into(&running, handle, algorithm, ciphertext, &mut scratch.plaintext)?;
            self.envelop(recipient, &scratch.plaintext[..len])
        })
    }

    /// As [`generate_data_key`](Self::generate_data_key), for the recipient: the enveloped data key, and its blob.
    pub fn generate_data_key_for(
        &self,
        recipient: &Recipient,
        handle: KeyHandle,
        context: &mut EncryptionContext,
        len: usize,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        check_plaintext(len, MAX_DATA_KEY_LEN)?;
        let _running = self.enter_batch()?;
        self.with_scratch(|scratch| {
            let header = open_inner(&*self.read()?)?.derive_for_sealing(scratch, handle)?;
            let mut blob = vec![0; blob_len(len)];
            let (cipher, plaintext) = scratch.context_and_plaintext();
            let plaintext = plaintext.get_mut(..len).ok_or(Error::Internal("a data key length"))?;
            fill_random(plaintext)?;
            let (ciphertext, tag) = split_output(&header, &mut blob)?;
            cipher.seal(&header.iv(), context.aad(header.as_bytes()), plaintext, ciphertext, tag)?;
            Ok((self.envelop(recipient, plaintext)?, blob))
        })
    }

    /// As [`generate_random`](Self::generate_random), for the recipient.
    pub fn generate_random_for(&self, recipient: &Recipient, len: usize) -> Result<Vec<u8>> {
        check_plaintext(len, MAX_DATA_KEY_LEN)?;
        let _running = self.enter_batch()?;
        open_inner(&*self.read()?)?;
        self.with_scratch(|scratch| {
            fill_random(&mut scratch.plaintext[..len])?;
            self.envelop(recipient, &scratch.plaintext[..len])
        })
    }

    /// As [`derive_shared_secret`](Self::derive_shared_secret), for the recipient.
    pub fn derive_shared_secret_for(&self, recipient: &Recipient, handle: KeyHandle, peer_public_key: &[u8]) -> Result<Vec<u8>> {
        let running = self.enter_batch()?;
        self.with_scratch(|scratch| {
            let len = self.derive_shared_secret_into(&running, handle, peer_public_key, &mut scratch.plaintext)?;
            self.envelop(recipient, &scratch.plaintext[..len])
        })
    }

    /// As [`generate_data_key_pair`](Self::generate_data_key_pair), for the recipient: the enveloped private key, and the pair.
    pub fn generate_data_key_pair_for(
        &self,
        recipient: &Recipient,
        handle: KeyHandle,
        pair_spec: &str,
        context: &mut EncryptionContext,
    ) -> Result<(Vec<u8>, DataKeyPair)> {
        let mut envelope = Vec::new();
        let pair = self.make_data_key_pair(handle, pair_spec, context, |private_key| {
            envelope = self.envelop(recipient, private_key)?;
            Ok(None::<Zeroizing<Vec<u8>>>)
        })?;
        Ok((envelope, pair))
    }
}
