//! The pairwise consistency test: whether the halves of a key pair work together, before either is used (FIPS 140-3, IG 10.3.A).

use zeroize::Zeroizing;

use crate::crypto::digest::{Hash, sha256};
use crate::crypto::pkey::{KeyType, PrivateKey, PublicKey};
use crate::crypto::{ec, ed25519, mldsa, mlkem, rsa};
use crate::error::Result;
use crate::memory::KeyScope;

const MESSAGE: &[u8] = b"a message for the pairwise consistency test";

/// Signs and verifies, or wraps and unwraps, whatever the pair can do. The public half comes from the form that callers get.
pub(crate) fn holds(scope: &KeyScope, private: &PrivateKey, public_spki: &[u8]) -> Result<bool> {
    let key_type = private.key_type();
    let public = PublicKey::from_spki(key_type, public_spki)?;
    let digest = sha256(MESSAGE);
    match key_type {
        KeyType::Rsa(_) => {
            let signature = rsa::sign(scope, private, rsa::Padding::Pkcs1, Hash::Sha256, &digest)?;
            let wrapped = rsa::encrypt(&public, Hash::Sha256, MESSAGE)?;
            let mut opened = Zeroizing::new([0; 512]);
            let len = rsa::decrypt(scope, private, Hash::Sha256, &wrapped, &mut opened[..]);
            Ok(rsa::verify(&public, rsa::Padding::Pkcs1, Hash::Sha256, &digest, &signature)?
                && len.is_ok_and(|len| opened[..len] == *MESSAGE))
        }
        // For ECDH, too: the signature shows that the public point is the private key's multiple of the base point, which is all that
        // SP 800-56A (5.6.2.1.4) asks.
        KeyType::Ec(_) => ec::verify(&public, &digest, &ec::sign(scope, private, &digest)?),
        KeyType::Ed25519 => {
            let input = ed25519::Input::Message(MESSAGE);
            ed25519::verify(&public, input, &ed25519::sign(scope, private, input)?)
        }
        KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => {
            let input = mldsa::Input::Message(MESSAGE);
            mldsa::verify(&public, input, &mldsa::sign(scope, private, input)?)
        }
        KeyType::MlKem512 | KeyType::MlKem768 | KeyType::MlKem1024 => {
            let (mut sent, mut received) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
            let ciphertext = mlkem::encapsulate(&public, key_type, &mut sent)?;
            mlkem::decapsulate(scope, private, &ciphertext, &mut received)?;
            Ok(*sent == *received)
        }
    }
}
