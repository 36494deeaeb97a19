//! How often a client may ask, who the client is, and whether the node is about to end.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::HeaderMap;
use tierkeep_learning::store::Scope;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limit::{Limiter, Quota};
use crate::access::{Admitted, Reach};
use crate::config::{Network, Rate, Rates};

/// Paths that watchers ask for, and that a flood must not hide.
pub(super) const UNLIMITED: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// Tokens that nobody has, from one address: so many at once, and so many a minute after that.
const GUESSES: NonZeroU32 = NonZeroU32::new(20).expect("it is not 0");
const GUESSES_A_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("it is not 0");
/// A write costs about four times what a read does, and an order of an operator much more.
const READS_PER_WRITE: u32 = 4;
const READS_PER_ORDER: u32 = 20;

/// How often a client may ask, who the client is, and whether the node is about to end.
#[derive(Debug)]
pub struct Gate {
    general: Option<Limits>,
    guesses: Limiter,
    trusted_proxies: Vec<Network>,
    stopping: CancellationToken,
    began: Instant,
}

#[derive(Debug)]
struct Limits {
    limiter: Limiter,
    reads: Quota,
    writes: Quota,
    orders: Quota,
}

/// The address at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Whoever brings this token.
    Token(u64),
    /// Whoever has this address.
    V4(u32),
    /// Whoever has an address that begins so: one subscriber has all the others.
    V6(u64),
}

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Read,
    Write,
    Order,
}

impl Default for Gate {
    /// Everybody may ask as often as they like.
    fn default() -> Self {
        Self::new(&Rates { rate: Some(0), ..Rates::default() }, Reach::Loopback, CancellationToken::new())
    }
}

impl Gate {
    /// `stopping` is cancelled when the node is about to end.
    #[must_use]
    pub fn new(rates: &Rates, reach: Reach, stopping: CancellationToken) -> Self {
        let general = rates.of(reach).map(|Rate { a_second, burst }| {
            let part = |share: u32| {
                let of = |whole: NonZeroU32| NonZeroU32::new(whole.get() / share).unwrap_or(NonZeroU32::MIN);
                Quota::per_second(of(a_second), of(burst))
            };
            let (reads, writes, orders) = (part(1), part(READS_PER_WRITE), part(READS_PER_ORDER));
            Limits { limiter: Limiter::new(), reads, writes, orders }
        });
        let trusted_proxies = rates.trusted_proxies.clone();
        Self { general, guesses: Limiter::new(), trusted_proxies, stopping, began: Instant::now() }
    }

    /// Whether the node is about to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// The address that a request comes from: the peer's, or what a trusted proxy says of it.
    pub(super) fn address(&self, peer: Option<Peer>, headers: &HeaderMap) -> Option<IpAddr> {
        Some(client_address(peer?.0.to_canonical(), headers, &self.trusted_proxies))
    }

    /// Counts a request that was let in.
    ///
    /// # Errors
    /// How long it is until the client may ask again.
    pub(super) fn count(
        &self,
        admitted: Admitted,
        address: Option<IpAddr>,
        scope: Option<Scope>,
    ) -> Result<(), Duration> {
        let Some(Limits { limiter, reads, writes, orders }) = &self.general else { return Ok(()) };
        let client = match (admitted, address) {
            (Admitted::Token(token), _) => Client::Token(token),
            (Admitted::Anybody, Some(address)) => Client::at(address),
            // no socket: somebody calls the service itself
            (Admitted::Anybody, None) => return Ok(()),
        };
        let (kind, quota) = match scope {
            None | Some(Scope::Read) => (Kind::Read, *reads),
            Some(Scope::Write) => (Kind::Write, *writes),
            Some(Scope::Admin) => (Kind::Order, *orders),
        };
        limiter.take(&(client, kind), quota, self.began.elapsed())
    }

    /// Counts a token that nobody has.
    ///
    /// # Errors
    /// How long it is until another one is looked at.
    pub(super) fn count_guess(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let Some(address) = address else { return Ok(()) };
        let quota = Quota::per_minute(GUESSES_A_MINUTE, GUESSES);
        self.guesses.take(&Client::at(address), quota, self.began.elapsed())
    }
}

impl Client {
    fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            // the first half of the bits
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Goes back along `X-Forwarded-For`, from the proxy that is nearest, for as long as whoever added a name is trusted. What
/// strangers say of themselves is not read.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer;
    if trusted.is_empty() || !is_trusted(address) {
        return address;
    }
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for said in value.as_bytes().rsplit(|byte| *byte == b',') {
            let said = std::str::from_utf8(said.trim_ascii()).ok().and_then(|said| said.parse::<IpAddr>().ok());
            let Some(said) = said else { return address };
            address = said.to_canonical();
            if !is_trusted(address) {
                return address;
            }
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let headers = forwarded.iter().map(|value| ("x-forwarded-for".parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap<HeaderValue> = headers.collect();
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let ours = &["10.0.0.0/8", "127.0.0.1"][..];

        assert_eq!(seen("10.0.0.1", &["203.0.113.7"], &[]), "10.0.0.1", "nobody is trusted");
        assert_eq!(seen("198.51.100.1", &["203.0.113.7"], ours), "198.51.100.1", "a stranger is not");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7"], ours), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, 10.9.9.9"], ours), "203.0.113.7", "through two proxies");
        assert_eq!(seen("10.0.0.1", &["192.0.2.1, 203.0.113.7"], ours), "203.0.113.7", "the first one was made up");
        assert_eq!(seen("10.0.0.1", &["192.0.2.1", "203.0.113.7"], ours), "203.0.113.7", "in two headers");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, unknown"], ours), "10.0.0.1", "what cannot be read ends it");
        assert_eq!(seen("10.0.0.1", &[], ours), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["10.0.0.2"], ours), "10.0.0.2", "a client among the proxies");
        assert_eq!(seen("10.0.0.1", &["2001:db8::1"], ours), "2001:db8::1");
    }

    #[test]
    fn a_subscriber_has_one_network_of_ipv6() {
        let client = |text: &str| Client::at(text.parse().unwrap());

        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_writes_and_orders_are_counted_apart() {
        let rates = Rates { rate: Some(40), burst: NonZeroU32::new(40), ..Rates::default() };
        let gate = Gate::new(&rates, Reach::Network, CancellationToken::new());
        let asked = |scope, times: u32| {
            (0..times).filter(|_| gate.count(Admitted::Token(1), None, Some(scope)).is_ok()).count()
        };

        assert_eq!(asked(Scope::Admin, 50), 2);
        assert_eq!(asked(Scope::Write, 50), 10);
        assert_eq!(asked(Scope::Read, 50), 40);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((asked(Scope::Read, 50), asked(Scope::Admin, 50)), (40, 2));
        assert_eq!(gate.count(Admitted::Token(2), None, Some(Scope::Read)), Ok(()), "another client");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_are_few_and_then_rare() {
        let gate = Gate::default();
        let guess = |address: &str| gate.count_guess(Some(address.parse().unwrap()));

        assert_eq!((0..100).filter(|_| guess("192.0.2.1").is_ok()).count(), 20);
        assert_eq!(guess("192.0.2.1"), Err(Duration::from_secs(6)));
        assert_eq!(guess("192.0.2.2"), Ok(()));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..100).filter(|_| guess("192.0.2.1").is_ok()).count(), 10);
    }
}
