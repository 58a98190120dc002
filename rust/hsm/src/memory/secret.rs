//! Secret bytes as a type: no Debug, Clone, Display or Serialize, wiped on drop, read through one greppable exit.

use subtle::ConstantTimeEq;

use super::arena::{Arena, Guarded};
use crate::error::Error;

/// `N` secret bytes in the arena.
pub struct Secret<const N: usize> {
    bytes: Guarded<[u8; N]>,
}

impl<const N: usize> Secret<N> {
    /// A secret that `fill` writes in place, so that no copy exists elsewhere. When `fill` fails, nothing remains.
    pub fn new_with<E: From<Error>>(
        arena: &'static Arena,
        fill: impl FnOnce(&mut [u8; N]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Secret<N>, E> {
        let mut bytes = Guarded::zeroed(arena)?;
        fill(&mut bytes)?;
        Ok(Secret { bytes })
    }

    /// The one exit. Each use is a place where key bytes are read: keep it inside this workspace and inside protected memory.
    pub fn expose_secret(&self) -> &[u8; N] {
        &self.bytes
    }

    /// Equality in constant time.
    pub fn equals(&self, other: &[u8; N]) -> bool {
        self.expose_secret().ct_eq(other).into()
    }
}
