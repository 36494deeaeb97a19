//! Values brought in before anybody asks: by jobs, or by what was hot before a restart.
//!
//! A warm-up has no way of its own into a cache. Its loads are registered before they read, are poisoned by an
//! invalidation, take part in single flight and in the lease of the remote tier, as all loads do; and they have the lowest
//! urgency of the one [`LoadLimit`](crate::LoadLimit), of which they take at most half.
//!
//! - [`Warmups`] runs [`WarmupJob`]s: keys from a list, a stream or the hottest ones ([`Keys`]), at startup, every so often
//!   or on demand.
//! - [`HotKeys`] learns which keys are worth it. [`LearnedWarmup`] keeps that as a [`Snapshot`] in a [`SnapshotStore`], and
//!   loads the best of them after a restart, until its [`WarmupGate`] says that the node may be sent requests.
//!
//! ```
//! use tierkeep_cache::warmup::{Keys, KeyLoader, Priority, WarmupJob, Warmups};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = tierkeep_cache::Cache::builder("shop").build()?;
//! let squares = cache.view::<u64, u64>("squares").build()?;
//!
//! let load = KeyLoader::each(|key: u64, _| async move { Ok::<_, String>(key * key) });
//! let job = WarmupJob::new("first squares", &squares, Keys::list(1..=3), load).priority(Priority::Urgent);
//! let warmups = Warmups::builder(&cache).concurrent(8).job(job).start()?;
//!
//! let report = warmups.run("first squares").await?;
//! assert_eq!((report.loaded, report.failed), (3, 0));
//! assert_eq!(squares.get(&3).await.as_deref(), Some(&9));
//! # Ok(()) }
//! ```
//!
//! What was brought in vain is counted, per view: [`Counts::warmup_wasted`](crate::Counts::warmup_wasted).

mod crew;
mod gate;
mod hot;
mod job;
mod keys;
mod learned;
mod loader;
mod report;
mod restore;
mod rounds;
mod snapshot;
mod store;
mod turns;

pub use gate::{Ready, WarmupGate};
pub(crate) use hot::HotView;
pub use hot::{HotKey, HotKeys, HotKeysBuilder, ShapeDiffers};
pub use job::{Priority, WarmupJob};
pub use keys::Keys;
pub use learned::{LearnedCounts, LearnedWarmup, LearnedWarmupBuilder};
pub use loader::KeyLoader;
pub(crate) use report::Brought;
pub use report::{Ended, Progress, WarmupReport};
pub use rounds::{WarmupError, Warmups, WarmupsBuilder};
pub use snapshot::{Snapshot, SnapshotError};
pub use store::{InProcessSnapshots, SnapshotStore, SnapshotStoreError};
