//! Multi-Region keys on their way to another Region: opened under one domain key and sealed under another's, inside the HSM.
//!
//! Whether a key is multi-Region is sealed into its tokens when it is made. A single-Region key's token does not open as a multi-Region
//! key's, so that no edit of a store makes one leave its Region.

use crate::error::{Error, Result};
use crate::hsm::{Hsm, open_inner};
use crate::token::{self, Hbkid, KeyBinding};

impl Hsm {
    /// The token of the same backing key for the related key in `to_region`, which differs from `binding` in its Region alone.
    /// [`Error::Limit`] for a single-Region key, [`Error::InvalidToken`] for a token that was not sealed for this multi-Region key.
    pub fn transfer_key(&self, token: &[u8], hbkid: &Hbkid, binding: &KeyBinding<'_>, to_region: &str) -> Result<Vec<u8>> {
        let there = related(binding, to_region)?;
        let guard = self.read()?;
        let inner = open_inner(&guard)?;
        self.with_scratch(|scratch| {
            let len = inner.open_token(scratch, token, hbkid, binding)?;
            token::seal(scratch, len, inner.state(to_region)?.active_key(), hbkid, &there)
        })
    }

    /// The fingerprint that the same key material has where it is imported into the related key in `to_region`, by which it is known
    /// there without being there. Errors as for [`transfer_key`](Self::transfer_key).
    pub fn transfer_fingerprint(
        &self,
        token: &[u8],
        hbkid: &Hbkid,
        binding: &KeyBinding<'_>,
        to_region: &str,
    ) -> Result<[u8; 32]> {
        let there = related(binding, to_region)?;
        let _running = self.enter_batch()?;
        self.with_scratch(|scratch| {
            let len = {
                let guard = self.read()?;
                open_inner(&guard)?.open_token(scratch, token, hbkid, binding)?
            };
            self.fingerprint(&there, &scratch.plaintext[..len])
        })
    }
}

fn related<'a>(binding: &KeyBinding<'a>, region: &'a str) -> Result<KeyBinding<'a>> {
    if !binding.multi_region {
        return Err(Error::Limit("a single-Region key does not leave its Region".into()));
    }
    if binding.region == region {
        return Err(Error::Limit(format!("the key is in Region {region} already")));
    }
    Ok(KeyBinding { region, ..*binding })
}
