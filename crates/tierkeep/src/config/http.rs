//! `[http]`: where the API listens, and how much of it one client may have.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use super::{ByteSize, Network};
use crate::access::Reach;

/// Most requests a second that can be said, and most at once.
pub(super) const MOST_A_SECOND: u32 = 1_000_000;
/// Requests a second of one client, where others reach the node.
const RATE: NonZeroU32 = NonZeroU32::new(1000).expect("it is not 0");

/// How the API listens.
#[derive(Debug, Clone)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// Longest body of a request.
    pub body_limit: ByteSize,
    /// Longest time for one answer, the reading of the body included.
    pub request_timeout: Duration,
    /// What a connection may hold, and for how long.
    pub connections: Connections,
    /// How often one client may ask.
    pub rates: Rates,
}

/// What a connection may hold, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// Longest time from a connection, or from the first byte of a later request, to the end of the request's headers.
    pub header_timeout: Duration,
    /// Longest time without any request, or without the client taking anything of an answer.
    pub idle_timeout: Duration,
    /// Longest request line with its headers.
    pub header_limit: ByteSize,
    /// Connections that are open at once, at least 1. Beyond it the one that waits longest is closed.
    pub most: usize,
    /// How long the node goes on accepting after the end was asked for, while `/readyz` says so.
    pub shutdown_delay: Duration,
}

/// How often one client may ask. A client is an API token, or else an address: of IPv6 the network of 64 bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests a second; 0 = as often as it likes, `None` = by who can reach the node.
    pub rate: Option<u32>,
    /// Requests at once; `None` = what two seconds allow.
    pub burst: Option<NonZeroU32>,
    /// Who is believed about the address of a client.
    pub trusted_proxies: Vec<Network>,
}

/// A rate that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second.
    pub a_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl Rates {
    /// The rate of one client; `None` = there is no limit, as on loopback unless one is set.
    #[must_use]
    pub fn of(&self, reach: Reach) -> Option<Rate> {
        let a_second = match (self.rate, reach) {
            (Some(rate), _) => NonZeroU32::new(rate)?,
            (None, Reach::Network) => RATE,
            (None, Reach::Loopback) => return None,
        };
        Some(Rate { a_second, burst: self.burst.unwrap_or_else(|| a_second.saturating_add(a_second.get())) })
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8420)),
            body_limit: ByteSize::mebibytes(1),
            request_timeout: Duration::from_secs(30),
            connections: Connections::default(),
            rates: Rates::default(),
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            header_limit: ByteSize::bytes(16 * 1024),
            most: 4096,
            shutdown_delay: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_where_others_reach_the_node_or_where_it_is_set() {
        let of = |rate, burst: u32, reach| {
            let rates = Rates { rate, burst: NonZeroU32::new(burst), ..Rates::default() };
            rates.of(reach).map(|rate| (rate.a_second.get(), rate.burst.get()))
        };

        assert_eq!(of(None, 0, Reach::Loopback), None);
        assert_eq!(of(None, 0, Reach::Network), Some((1000, 2000)));
        assert_eq!(of(Some(0), 0, Reach::Network), None);
        assert_eq!(of(Some(5), 0, Reach::Loopback), Some((5, 10)));
        assert_eq!(of(Some(5), 7, Reach::Network), Some((5, 7)));
    }
}
