//! The faults of framing.

/// An ambiguity or an error in a request's framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingFault {
    /// Line feed without carriage return, or the reverse.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// A header continues on the next line (obs-fold).
    #[error("a header is folded over two lines; send it on one line")]
    Fold,
    /// Not `METHOD SP target SP HTTP/1.x`, `*` as the target of another method than OPTIONS, or a target with a `#`, a
    /// control byte or a byte beyond ASCII.
    #[error("the request line is malformed")]
    RequestLine,
    /// A line without a name and a colon, or with a control byte.
    #[error("a header line is malformed")]
    Header,
    /// Host is missing, repeated, or not a host with an optional port (RFC 9112, 3.2).
    #[error("the Host header is missing, repeated or malformed; send one, with a host and an optional port")]
    Host,
    /// Content-Length is repeated or not a number.
    #[error("Content-Length is repeated or not a number; send one number")]
    Length,
    /// Transfer-Encoding is anything but one `chunked`, or is in an HTTP/1.0 request.
    #[error("Transfer-Encoding is not \"chunked\"; send that and nothing else")]
    Encoding,
    /// Content-Length and Transfer-Encoding.
    #[error("the request has both Content-Length and Transfer-Encoding; send one of them")]
    Both,
    /// A chunk's size is no hexadecimal number, or has an extension.
    #[error("a chunk of the body is malformed")]
    Chunk,
    /// Fields after the last chunk.
    #[error("the body has trailers; send none")]
    Trailer,
    /// More than [`HEAD_MAX`](super::HEAD_MAX) bytes of request line.
    #[error("the request's URL is longer than 32 KiB; shorten it")]
    TargetTooLong,
    /// More than [`HEAD_MAX`](super::HEAD_MAX) bytes of head.
    #[error("the request's headers are longer than 32 KiB; shorten them")]
    TooLong,
}
