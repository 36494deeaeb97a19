//! A multi-level cache that cannot serve a value it was told to forget.
//!
//! ```
//! # use tierkeep_cache::Cache;
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::builder("shop").build()?;
//! let prices = cache.view::<u64, String>("prices").build()?;
//! let price = prices.get_or_load(&7, async |_| Ok::<_, std::io::Error>("9.90".to_owned())).await?;
//! prices.invalidate(&7).await.complete()?;
//! assert_eq!(prices.get(&7).await, None);
//! # Ok(()) }
//! ```
//!
//! A load that began before an invalidation never leaves its value behind, in any tier, on any path; the invalidation
//! does not wait for it. The README has the table of what other caches do there, which call is for what, what is
//! promised of other nodes and at which price, and how to come from moka, cached and hitbox.
//!
//! # How to read this crate
//!
//! A [`Cache`] has tiers and a [`Promise`]; a [`View`] is one family of its values with a [`Policy`]. Below them:
//!
//! - `flight` is the heart: loads in flight, and the only way into `memory`. `cells` are the tags of this node.
//! - `load` takes one load from its beginning to its end, `shared_read` its dealings with the [`remote`] tier, `batch`
//!   and `glimpse` those of many keys, `write` those of writes.
//! - `adaptive` decides which values are refreshed before they expire, and how often; `pulse` is what it keeps with each.
//! - `invalidation` and `membership` are the two ends of the [`bus`]: what is told, and what is noticed not to have been.
//! - [`warmup`] brings values in before anybody asks, and learns which: by `load` and `batch`, as everybody else.
//! - [`testing`] breaks remote tiers and buses on purpose, for your tests as for ours.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive;
mod batch;
mod budget;
pub mod bus;
mod byte_size;
mod cache;
pub mod call;
mod cells;
mod clock;
mod codec;
mod counters;
mod engine;
mod entropy;
mod envelope;
mod error;
mod event;
mod explain;
mod flight;
mod glimpse;
mod here;
pub mod history;
mod invalidation;
#[cfg(feature = "write-back")]
pub mod journal;
mod key;
mod lineage;
mod load;
mod loaded;
mod membership;
mod memory;
mod pending;
mod policy;
mod promise;
mod pulse;
#[cfg(feature = "redis")]
pub mod redis;
mod refresh;
pub mod remote;
mod shared_read;
mod stamp;
mod sweep;
mod sync;
mod tag;
pub mod testing;
mod view;
mod waits;
pub mod warmup;
mod write;
#[cfg(feature = "write-back")]
mod write_back;

pub use adaptive::{AdaptiveRefresh, RefreshLimit};
pub use budget::LoadLimit;
pub use byte_size::ByteSize;
#[doc(hidden)]
pub use cache::Sabotage;
pub use cache::{Cache, CacheBuilder, State};
pub use clock::{Clock, Tick};
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Codec, CodecError, RawBytes};
pub use counters::Counts;
pub use engine::Source;
pub use error::{BuildError, LoadError};
pub use event::{Event, EventStream};
pub use explain::{Explanation, InMemory, InRemote};
pub use flight::FillRefusal;
pub use invalidation::{Acknowledgement, Incomplete, Receipt};
pub use key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
pub use loaded::{LoadContext, Loaded};
pub use pending::{Pending, Savepoint};
pub use policy::{MAX_TTL, Policy};
pub use promise::Promise;
pub use stamp::{Severity, Stamped, Stamps, Standing};
pub use tag::{Tag, TagId};
#[cfg(feature = "macros")]
pub use tierkeep_macros::{cached, invalidates};
pub use view::{Found, View, ViewBuilder, Within};
pub use waits::Waits;
pub use write::{WriteError, Written};
#[cfg(feature = "write-back")]
pub use write_back::{
    Accepted, Ack, DeadLetter, Fault, JournalKey, OpenError, Operation, Sink, SinkError, Undrained, WriteBack,
    WriteBackBuilder, WriteBackError,
};
