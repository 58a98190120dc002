//! Why an endpoint cannot start or be reconfigured: sentences for its operator.

/// The result of building and starting an endpoint.
pub type Result<T> = std::result::Result<T, Error>;

/// What was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A certificate, key or CA that cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// An address that cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// The runtime could not start.
    #[error("the endpoint's threads cannot be started: {0}")]
    Runtime(std::io::Error),
    /// The HSM refused.
    #[error(transparent)]
    Hsm(#[from] clavero_hsm::Error),
}
