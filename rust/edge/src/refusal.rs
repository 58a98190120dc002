//! Why a request was refused before it became a call: AWS's error name and text. The protocol decides how it is written.

use std::borrow::Cow;

/// A refusal at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub kind: Kind,
    /// AWS's text, or a sentence that says what to do.
    pub message: Cow<'static, str>,
}

/// AWS's common errors, as far as the edge has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No Authorization header, or none of AWS's.
    MissingToken,
    /// A header that lacks a part, or has one twice.
    Incomplete,
    /// An access key that nobody has.
    UnknownKey,
    /// A signature that is another, of another time, scope or set of headers.
    Signature,
    /// A security token that is none of ours.
    Token,
    /// A body over the limit.
    TooLarge,
    /// A body that did not arrive in time.
    Timeout,
    /// A body whose chunks are none, or whose end never came.
    Body,
    /// What is no request of this service.
    Malformed,
    /// The service stops, or has more to do than it can.
    Unavailable,
    /// An answer could not be made.
    Internal,
}

impl Kind {
    /// The name in AWS's JSON protocols, and the status.
    pub fn json(self) -> (&'static str, u16) {
        match self {
            Kind::MissingToken => ("MissingAuthenticationTokenException", 400),
            Kind::Incomplete => ("IncompleteSignatureException", 400),
            Kind::UnknownKey | Kind::Token => ("UnrecognizedClientException", 400),
            Kind::Signature => ("InvalidSignatureException", 400),
            Kind::TooLarge => ("SerializationException", 413),
            Kind::Timeout => ("RequestTimeoutException", 408),
            Kind::Body => ("SerializationException", 400),
            Kind::Malformed => ("UnknownOperationException", 404),
            Kind::Unavailable => ("ServiceUnavailableException", 503),
            Kind::Internal => ("KMSInternalException", 500),
        }
    }

    /// The name in AWS's query protocol, and the status.
    pub fn query(self) -> (&'static str, u16) {
        match self {
            Kind::MissingToken => ("MissingAuthenticationToken", 403),
            Kind::Incomplete => ("IncompleteSignature", 400),
            Kind::UnknownKey | Kind::Token => ("InvalidClientTokenId", 403),
            Kind::Signature => ("SignatureDoesNotMatch", 403),
            Kind::TooLarge => ("RequestEntityTooLarge", 413),
            Kind::Timeout => ("RequestTimeout", 408),
            Kind::Body => ("MalformedQueryString", 400),
            Kind::Malformed => ("InvalidAction", 400),
            Kind::Unavailable => ("ServiceUnavailable", 503),
            Kind::Internal => ("InternalFailure", 500),
        }
    }

    /// A short name for metrics.
    pub fn label(self) -> &'static str {
        self.json().0
    }
}

impl Refusal {
    /// Whether the connection cannot go on: the rest of the request was not read.
    pub fn ends_connection(&self) -> bool {
        matches!(self.kind, Kind::TooLarge | Kind::Timeout | Kind::Body)
    }

    fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { kind, message: message.into() }
    }

    /// No credentials at all.
    pub fn missing_token() -> Refusal {
        Refusal::new(Kind::MissingToken, "Missing Authentication Token")
    }

    /// A header that cannot be read.
    pub fn incomplete(message: String) -> Refusal {
        Refusal::new(Kind::Incomplete, message)
    }

    /// An access key that nobody has.
    pub fn unknown_key() -> Refusal {
        Refusal::new(Kind::UnknownKey, "The security token included in the request is invalid.")
    }

    /// A security token that is none of ours.
    pub fn unknown_token() -> Refusal {
        Refusal::new(Kind::Token, "The security token included in the request is invalid.")
    }

    /// A signature out of its time, scope or headers.
    pub fn invalid_signature(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(Kind::Signature, message)
    }

    /// Another signature than the request's.
    pub fn signature_mismatch() -> Refusal {
        Refusal::new(
            Kind::Signature,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
             signing method. Consult the service documentation for details.",
        )
    }

    /// A body over `limit` bytes.
    pub fn too_large(limit: usize) -> Refusal {
        Refusal::new(Kind::TooLarge, format!("The request has more than {limit} bytes, and KMS takes no more."))
    }

    /// A body that did not come.
    pub fn timeout() -> Refusal {
        Refusal::new(Kind::Timeout, "The request's body did not arrive in time.")
    }

    /// A body that cannot be read.
    pub fn body() -> Refusal {
        Refusal::new(Kind::Body, "The request's body could not be read: it is not framed as HTTP frames one, or it was cut off.")
    }

    /// No operation.
    pub fn unknown_operation() -> Refusal {
        Refusal::new(Kind::Malformed, "")
    }

    /// Too much to do, or at the end.
    pub fn unavailable() -> Refusal {
        Refusal::new(Kind::Unavailable, "The service stops, or has more requests than it can take: try again.")
    }

    /// A bug, or a sealed HSM.
    pub fn internal() -> Refusal {
        Refusal::new(Kind::Internal, "The request could not be answered; the log of the service tells more.")
    }
}
