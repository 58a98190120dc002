//! GenerateDataKeyPair: a key pair whose private half leaves encrypted under a symmetric key, and in the clear where it is asked for.

use zeroize::Zeroizing;

use crate::blob::blob_len;
use crate::context::EncryptionContext;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, open_inner};
use crate::key::spec::data_key_pair;
use crate::keytable::KeyHandle;
use crate::sealed::split_output;

/// A data key pair.
pub struct DataKeyPair {
    /// The private key as PKCS #8 DER (ML-KEM in its seed form), where it was asked for.
    pub private_key: Option<Zeroizing<Vec<u8>>>,
    /// The same, as an ordinary ciphertext blob.
    pub blob: Vec<u8>,
    /// The public key as SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

impl Hsm {
    /// Makes a key pair of KMS's DataKeyPairSpec `pair_spec`, its private half encrypted by the symmetric key of `handle`.
    pub fn generate_data_key_pair(
        &self,
        handle: KeyHandle,
        pair_spec: &str,
        context: &mut EncryptionContext,
        with_plaintext: bool,
    ) -> Result<DataKeyPair> {
        self.make_data_key_pair(handle, pair_spec, context, |private_key| {
            Ok(with_plaintext.then(|| Zeroizing::new(private_key.to_vec())))
        })
    }

    /// Makes the pair; `hand_out` says what becomes of its private key besides the blob.
    pub(crate) fn make_data_key_pair(
        &self,
        handle: KeyHandle,
        pair_spec: &str,
        context: &mut EncryptionContext,
        hand_out: impl FnOnce(&[u8]) -> Result<Option<Zeroizing<Vec<u8>>>>,
    ) -> Result<DataKeyPair> {
        let key_type = data_key_pair(pair_spec)?;
        let _running = self.enter_batch()?;
        self.with_scratch(|made| {
            // A key that cannot encrypt is refused before an RSA pair is made for nothing.
            self.with_scratch(|sealing| open_inner(&*self.read()?)?.derive_for_sealing(sealing, handle).map(drop))?;
            let (len, public_key) = self.make_pair(key_type, made)?;
            let private_key = made.plaintext.get(..len).ok_or(Error::Internal("a private key's length"))?;
            let mut blob = vec![0; blob_len(len)];
            self.with_scratch(|sealing| {
                let header = open_inner(&*self.read()?)?.derive_for_sealing(sealing, handle)?;
                let (ciphertext, tag) = split_output(&header, &mut blob)?;
                sealing.context().seal(&header.iv(), context.aad(header.as_bytes()), private_key, ciphertext, tag)
            })?;
            Ok(DataKeyPair { private_key: hand_out(private_key)?, blob, public_key })
        })
    }
}
