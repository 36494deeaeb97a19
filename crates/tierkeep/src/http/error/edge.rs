//! What is refused before a handler sees it.

use std::time::Duration;

use super::kinds::KINDS;
use super::{Problem, clip, problem};
use crate::config::ByteSize;
use crate::http::origin::Foreign;

/// Why a request is refused before a handler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edge {
    /// A node without tokens was asked from elsewhere.
    Foreign(Foreign),
    /// The client asks too often; it may again after this time.
    TooOften(Duration),
    /// Too many tokens from there are unknown; another one is looked at after this time.
    TooManyGuesses(Duration),
    /// It is no HTTP/1.1.
    Malformed,
    /// The address alone takes most of what a head may be long.
    LongAddress(ByteSize),
    /// The head is longer than this limit.
    LongHead(ByteSize),
    /// The head did not come within this time.
    SlowHead(Duration),
}

impl Edge {
    /// Whole seconds after which the same request may succeed, at least 1.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooOften(left) | Self::TooManyGuesses(left) => {
                Some((left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1))
            }
            _ => None,
        }
    }

    /// What the client is told.
    pub(in crate::http) fn problem(&self) -> Problem {
        let seconds = self.retry_after().unwrap_or_default();
        match self {
            Self::Foreign(Foreign::Host(host)) => Problem {
                parameter: Some("Host".to_owned()),
                given: Some(clip(host)),
                accepted: Some("localhost, 127.0.0.1 or [::1], with any port".to_owned()),
                ..problem(
                    KINDS.foreign,
                    format!(
                        "without API tokens this server answers by the names of its own machine only, and {:?} is none",
                        clip(host)
                    ),
                )
            },
            Self::Foreign(Foreign::Origin(origin)) => Problem {
                parameter: Some("Origin".to_owned()),
                given: Some(clip(origin)),
                accepted: Some("pages of localhost, 127.0.0.1 or [::1]".to_owned()),
                ..problem(
                    KINDS.foreign,
                    format!("without API tokens pages from elsewhere, such as {:?}, may write nothing", clip(origin)),
                )
            },
            Self::TooOften(_) => problem(
                KINDS.too_often,
                format!("this client has asked more often than it may; it may again after {seconds} s"),
            ),
            Self::TooManyGuesses(_) => problem(
                KINDS.too_often,
                format!("too many tokens from this address were unknown; another one is looked at after {seconds} s"),
            ),
            Self::Malformed => problem(KINDS.malformed, "this is no request of HTTP/1.1".to_owned()),
            Self::LongAddress(limit) => Problem {
                accepted: Some(format!("at most {limit}, headers included")),
                ..problem(
                    KINDS.long_address,
                    format!("the address is too long: with its headers the request exceeds {limit}"),
                )
            },
            Self::LongHead(limit) => Problem {
                accepted: Some(format!("at most {limit} and 100 headers")),
                ..problem(
                    KINDS.long_head,
                    format!("the request line and its headers are longer than {limit}, or more than 100"),
                )
            },
            Self::SlowHead(limit) => {
                problem(KINDS.slow_head, format!("the headers of the request did not come within {limit:?}"))
            }
        }
    }
}
