//! What a connection proves about its client: address, TLS, and the VPC endpoint that its listener stands for.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::HeaderMap;

use crate::tls::TlsFacts;

/// A listener and what it stands for.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The VPC endpoint that its clients come through.
    pub vpce: Option<String>,
    /// That endpoint's VPC.
    pub vpc: Option<String>,
    /// Proxies whose word counts.
    pub proxies: Vec<Network>,
    /// Whether those proxies begin each connection with a header of PROXY protocol v2.
    pub proxy_protocol: bool,
}

impl Listener {
    /// A plain listener.
    pub fn new(address: SocketAddr) -> Listener {
        Listener { address, vpce: None, vpc: None, proxies: Vec::new(), proxy_protocol: false }
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(address))
    }
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
    pub fn parse(text: &str) -> Option<Network> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        Some(Network { base, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (u32::from(base) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (u128::from(base) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}

/// One connection's facts.
pub struct Peer {
    /// The client's address, or what a trusted proxy's PROXY header said.
    pub address: IpAddr,
    /// What TLS settled; None over plain HTTP.
    pub tls: Option<TlsFacts>,
    /// Its listener.
    pub listener: Arc<Listener>,
    /// What the backend remembers of the connection.
    pub notes: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Peer {
    /// Where a request comes from: the last address in `X-Forwarded-For` that is no trusted proxy's, if a trusted proxy sent it.
    pub(crate) fn source(&self, headers: &HeaderMap) -> IpAddr {
        let mut source = self.address.to_canonical();
        if !self.listener.trusts(source) {
            return source;
        }
        // Hop by hop as bytes: what the client wrote in front must not hide what the proxy wrote after it.
        let forwarded: Vec<&[u8]> =
            headers.get_all("x-forwarded-for").iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
        for hop in forwarded.iter().rev() {
            let address = std::str::from_utf8(hop).ok().and_then(|hop| hop.trim().parse::<IpAddr>().ok());
            let Some(address) = address else { return source }; // what is no address proves nothing
            source = address.to_canonical();
            if !self.listener.trusts(source) {
                break;
            }
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, proxies: &[&str]) -> Peer {
        let mut listener = Listener::new("127.0.0.1:0".parse().unwrap());
        listener.proxies = proxies.iter().map(|network| Network::parse(network).unwrap()).collect();
        Peer { address: address.parse().unwrap(), tls: None, listener: Arc::new(listener), notes: OnceLock::new() }
    }

    fn source(peer: &Peer, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        peer.source(&headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let direct = peer("192.0.2.1", &["10.0.0.0/8"]);
        assert_eq!(source(&direct, &["198.51.100.7"]), "192.0.2.1");
        let proxied = peer("10.1.1.1", &["10.0.0.0/8", "fd00::/8"]);
        assert_eq!(source(&proxied, &[]), "10.1.1.1");
        assert_eq!(source(&proxied, &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(source(&proxied, &["203.0.113.9, 198.51.100.7, 10.2.2.2"]), "198.51.100.7", "what the client wrote is not");
        assert_eq!(source(&proxied, &["203.0.113.9", "198.51.100.7"]), "198.51.100.7", "headers in their order");
        assert_eq!(source(&proxied, &["198.51.100.7, rubbish"]), "10.1.1.1");
        assert_eq!(source(&proxied, &["\u{fc}, 198.51.100.7"]), "198.51.100.7", "what is no ASCII hides nothing");
        assert_eq!(source(&proxied, &["\u{fc}", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(source(&proxied, &["198.51.100.7", "\u{fc}"]), "10.1.1.1");
        assert_eq!(source(&proxied, &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(source(&peer("::ffff:10.1.1.1", &["10.0.0.0/8"]), &["198.51.100.7"]), "198.51.100.7", "mapped");
    }

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.4", "192.0.2.4", "192.0.2.5"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let network = Network::parse(text).unwrap();
            assert!(network.contains(inside.parse().unwrap()) && !network.contains(outside.parse().unwrap()), "{text}");
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/8", "host"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
