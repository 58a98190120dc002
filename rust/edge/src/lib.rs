//! Clavero's HTTPS endpoint: from a socket to a verified call, and from an answer back to the socket. No Python, no KMS.
//!
//! ```text
//! listen     Endpoint: listeners, handshakes, the bound on connections, the orderly end
//!   http     one connection: HTTP/1.1 or HTTP/2, limits and times
//!   call     a request becomes a Call, or is refused
//!   keyring  access keys, their secrets under the HSM's shield; verification
//!   sigv4    the Authorization header, canonical requests, the window of time
//!   peer, proxy   what a connection proves; proxies that are trusted
//!   answer, refusal   what goes back
//! tls, subject, authority   certificates: what is offered, who is let in, the CA of a deployment
//! metrics
//! error
//! ```
//!
//! What answers the calls is a [`Backend`]: in Clavero the one pipeline, in Python (`rust/python/src/edge`).
#![doc(test(attr(deny(warnings))))]

pub mod answer;
pub mod authority;
pub mod call;
mod error;
mod http;
pub mod keyring;
mod listen;
pub mod metrics;
pub mod peer;
pub mod proxy;
pub mod refusal;
pub mod sigv4;
mod subject;
pub mod tls;

pub use answer::Answer;
pub use call::Call;
pub use error::{Error, Result};
pub use keyring::{Identity, Keyring};
pub use listen::{Backend, Endpoint, Limits, Settings};
pub use refusal::Refusal;
