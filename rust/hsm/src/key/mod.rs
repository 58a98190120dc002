//! What a KMS key is made of: specs and what goes with them, parsed private keys, and the test of a pair's halves.

pub(crate) mod cache;
pub(crate) mod consistency;
pub mod spec;

use crate::crypto::pkey::KeyType;
use crate::memory::Depth;

/// How deep operations with a private key of this type go.
pub(crate) fn depth_of(key_type: KeyType) -> Depth {
    if key_type.is_post_quantum() { Depth::Deep } else { Depth::Shallow }
}
