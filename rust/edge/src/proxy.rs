//! PROXY protocol version 2: the address of the client behind a load balancer, in front of everything else on the connection.
//!
//! Source: HAProxy, "The PROXY protocol, versions 1 & 2", section 2.2. Only a listener that was told so reads it, and only from proxies
//! that it trusts: anybody else could name any address.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses take 36 bytes, and TLVs of load balancers a few hundred.
const MAX_LEN: usize = 2048;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The client's address.
    Client(IpAddr),
    /// The proxy itself connects: a health check.
    Proxy,
}

/// Reads the header, and not a byte more.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Origin> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let len = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if len > MAX_LEN {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; len];
    stream.read_exact(&mut rest).await?;
    parse(&head, &rest).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Reads a header of 16 bytes and what comes after it; None for what is no header of a TCP connection.
pub fn parse(head: &[u8; 16], rest: &[u8]) -> Option<Origin> {
    if !head.starts_with(SIGNATURE) {
        return None;
    }
    match (head[12], head[13]) {
        (0x20, _) => Some(Origin::Proxy),
        (0x21, 0x11) if rest.len() >= 12 => {
            Some(Origin::Client(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&rest[..4]).ok()?))))
        }
        (0x21, 0x21) if rest.len() >= 36 => {
            Some(Origin::Client(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&rest[..16]).ok()?))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(command: u8, family: u8) -> [u8; 16] {
        let mut head = [0; 16];
        head[..12].copy_from_slice(SIGNATURE);
        (head[12], head[13]) = (command, family);
        head
    }

    #[test]
    fn addresses_of_clients() {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];
        assert_eq!(parse(&head(0x21, 0x11), &four), Some(Origin::Client("192.0.2.7".parse().unwrap())));
        let with_tlvs = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(parse(&head(0x21, 0x11), &with_tlvs), Some(Origin::Client("192.0.2.7".parse().unwrap())));
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 9;
        assert_eq!(parse(&head(0x21, 0x21), &six), Some(Origin::Client("2001:db8::9".parse().unwrap())));
        assert_eq!(parse(&head(0x20, 0x00), &[]), Some(Origin::Proxy));
    }

    #[test]
    fn nothing_else() {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];
        for (command, family, rest) in [
            (0x21, 0x11, &four[..11]),
            (0x21, 0x21, &four[..]),
            (0x21, 0x12, &four[..]), // UDP
            (0x21, 0x31, &four[..]), // a Unix socket
            (0x21, 0x00, &four[..]),
            (0x11, 0x11, &four[..]), // version 1
            (0x22, 0x11, &four[..]), // no such command
        ] {
            assert_eq!(parse(&head(command, family), rest), None);
        }
        let mut other = head(0x21, 0x11);
        other[3] = 0;
        assert_eq!(parse(&other, &four), None);
    }

    #[tokio::test]
    async fn what_follows_is_left_alone() {
        let mut bytes = head(0x20, 0).to_vec();
        bytes.extend_from_slice(b"after");
        let mut stream = &bytes[..];
        assert_eq!(read(&mut stream).await.unwrap(), Origin::Proxy);
        assert_eq!(stream, b"after");
        let mut long = head(0x21, 0x11);
        long[14] = 0xff;
        assert!(read(&mut &long[..]).await.is_err());
        assert!(read(&mut &head(0x21, 0x11)[..10]).await.is_err());
    }
}
