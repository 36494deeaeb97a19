//! Every path by which a value comes into a tier, stopped at the moment where it has read and not yet stored.
//!
//! [`Path::ALL`] is what the tests of S1, S2 and S3 go through; a path that is missing in `begin` does not compile.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use tierkeep_cache::warmup::{
    HotKeys, InProcessSnapshots, KeyLoader, Keys, LearnedWarmup, SnapshotStore as _, WarmupJob, Warmups,
};
use tierkeep_cache::{
    AdaptiveRefresh, Cache, CacheBuilder, LoadContext, Loaded, RefreshLimit, Tag, Tick, View, ViewBuilder,
};
use tokio::task::JoinHandle;

use crate::fixture::{Cluster, Down, Gate, answering, exactly, giving, held_tagged, numbers_with, quiet, secs, soon};
use crate::wire::{Call, Wire};

/// The key that all paths fill.
pub(crate) const KEY: u64 = 1;
/// What the path has read when it is stopped.
pub(crate) const OLD: u64 = 1;
/// What the source has after the invalidation.
pub(crate) const NEW: u64 = 2;
/// What was there before, for paths that replace a value.
pub(crate) const OLDER: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    GetOrLoad,
    FindOrLoad,
    Fetch,
    GetOrLoadHere,
    /// The value was invalidated softly, and a read refreshes it.
    SoftRefresh,
    /// The value's life is over, and a read refreshes it while it is served.
    StaleRefresh,
    /// The value's life is nearly over.
    EarlyRefresh,
    /// The value is due at its key's own pace.
    AdaptiveRefresh,
    /// Copied from the remote tier by a read that never loads.
    PromotionByGet,
    /// Copied from the remote tier by a read that would load.
    PromotionByGetOrLoad,
    /// Loaded by another value's loader.
    Within,
    /// Loaded together with another key.
    GetManyOrLoad,
    /// Copied from the remote tier together with another key.
    PromotionByGetMany,
    /// Loaded before anybody asked.
    Warm,
    /// Loaded by a warm-up job, key by key.
    WarmupJob,
    /// Loaded by a warm-up job, together with another key.
    WarmupJobTogether,
    /// Loaded after a restart because it was hot before.
    LearnedWarmup,
    /// Written to the source by a writer that gives the value back.
    WriteThrough,
}

impl Path {
    pub(crate) const ALL: [Self; 18] = [
        Self::GetOrLoad,
        Self::FindOrLoad,
        Self::Fetch,
        Self::GetOrLoadHere,
        Self::SoftRefresh,
        Self::StaleRefresh,
        Self::EarlyRefresh,
        Self::AdaptiveRefresh,
        Self::PromotionByGet,
        Self::PromotionByGetOrLoad,
        Self::Within,
        Self::GetManyOrLoad,
        Self::PromotionByGetMany,
        Self::Warm,
        Self::WarmupJob,
        Self::WarmupJobTogether,
        Self::LearnedWarmup,
        Self::WriteThrough,
    ];

    /// Whether the value comes from the remote tier.
    pub(crate) fn is_promotion(self) -> bool {
        matches!(self, Self::PromotionByGet | Self::PromotionByGetOrLoad | Self::PromotionByGetMany)
    }
}

/// The tag that follows from the key.
pub(crate) fn early() -> Tag {
    Tag::of("early", KEY)
}

/// The tag that the loader gives.
pub(crate) fn late() -> Tag {
    Tag::of("late", KEY)
}

/// Which tiers a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tiers {
    Memory,
    Both,
}

impl Tiers {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Both];
}

/// Another key of the same batch.
const OTHER: u64 = 77;

/// A batch loader that has read [`OLD`] under [`KEY`], and waits at the gate before it answers.
fn together(gate: &Gate) -> impl Fn(Vec<u64>) -> Batch + Send + Sync + 'static {
    let gate = gate.clone();
    move |keys| {
        let gate = gate.clone();
        Box::pin(async move {
            if keys.contains(&KEY) {
                gate.pass().await;
            }
            let loaded = |key| if key == KEY { Loaded::value(OLD).tag(late()) } else { Loaded::value(OTHER) };
            Ok(keys.into_iter().map(|key| (key, loaded(key))).collect())
        })
    }
}

type Batch = Pin<Box<dyn Future<Output = Result<Vec<(u64, Loaded<u64>)>, Down>> + Send>>;

/// A path that has read [`OLD`], and waits.
pub(crate) struct Stage {
    path: Path,
    pub(crate) cluster: Cluster,
    pub(crate) node: Cache,
    pub(crate) view: View<u64, u64>,
    gate: Gate,
    reader: JoinHandle<()>,
}

impl Path {
    fn shape(self, view: ViewBuilder<u64, u64>) -> ViewBuilder<u64, u64> {
        let policy = exactly(secs(100)).stale_while_revalidate(secs(100)).early_refresh(50);
        let view = view.tags(|key| vec![Tag::of("early", *key)]).policy(policy);
        match self {
            Self::Within => view.tracked(),
            Self::AdaptiveRefresh => view.policy(policy.adaptive_refresh(AdaptiveRefresh::default())).compared(),
            _ => view,
        }
    }
}

fn hot() -> Arc<HotKeys> {
    HotKeys::builder().build()
}

impl Stage {
    /// `None` where this path needs a tier that is not there.
    pub(crate) async fn begin(path: Path, tiers: Tiers) -> Option<Self> {
        Self::begin_with(path, tiers, |builder| builder).await
    }

    pub(crate) async fn begin_with(
        path: Path,
        tiers: Tiers,
        build: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Option<Self> {
        if path.is_promotion() && tiers == Tiers::Memory {
            return None;
        }
        let cluster = Cluster::new();
        let wire = Wire::to(&cluster.remote);
        let with = |builder: CacheBuilder| match tiers {
            Tiers::Memory => builder,
            Tiers::Both => builder.remote(wire.clone()),
        };
        // One load was made before, and half of a life is over: a cap of twice what readers load would be in the way.
        let with = |builder: CacheBuilder| with(builder.refresh_limit(RefreshLimit::extra_percent(1_000)));
        let node = crate::fixture::alone_with(|builder| build(with(builder)));
        let view = numbers_with(&node, |view| path.shape(view));
        let gate = Gate::closed();
        let replaced = || async {
            view.get_or_load(&KEY, answering(Loaded::value(OLDER).tag(late()))).await.unwrap();
        };
        let (reading, load, stopped) = (view.clone(), held_tagged(OLD, &gate, late()), gate.clone());
        let reader = match path {
            Path::GetOrLoad => tokio::spawn(async move { drop(reading.get_or_load(&KEY, load).await) }),
            Path::FindOrLoad => tokio::spawn(async move { drop(reading.find_or_load(&KEY, load).await) }),
            Path::Fetch => tokio::spawn(async move { drop(reading.fetch(&KEY, load).await) }),
            Path::GetOrLoadHere => tokio::spawn(async move { drop(reading.get_or_load_here(&KEY, load).await) }),
            Path::SoftRefresh => {
                replaced().await;
                view.invalidate_softly(&KEY).await.complete().unwrap();
                tokio::spawn(async move { drop(reading.get_or_load(&KEY, load).await) })
            }
            Path::StaleRefresh => {
                replaced().await;
                crate::fixture::pass(secs(101)).await;
                tokio::spawn(async move { drop(reading.get_or_load(&KEY, load).await) })
            }
            Path::EarlyRefresh | Path::AdaptiveRefresh => {
                replaced().await;
                crate::fixture::pass(secs(51)).await;
                tokio::spawn(async move { drop(reading.get_or_load(&KEY, load).await) })
            }
            Path::GetManyOrLoad => tokio::spawn(async move {
                drop(reading.get_many_or_load(&[KEY, OTHER], together(&stopped)).await);
            }),
            Path::Warm => tokio::spawn(async move { drop(reading.warm(&[OTHER, KEY], together(&stopped)).await) }),
            Path::WarmupJob => {
                let load = KeyLoader::each(move |_, context| (load.clone())(context));
                let job = WarmupJob::new("job", &reading, Keys::list([KEY]), load);
                let warmups = Warmups::builder(&node).job(job).start().unwrap();
                tokio::spawn(async move { drop(warmups.run("job").await) })
            }
            Path::WarmupJobTogether => {
                let load = KeyLoader::together(together(&stopped));
                let job = WarmupJob::new("job", &reading, Keys::list([OTHER, KEY]), load);
                let warmups = Warmups::builder(&node).job(job).start().unwrap();
                tokio::spawn(async move { drop(warmups.run("job").await) })
            }
            Path::LearnedWarmup => {
                let (before, hot, store) = (hot(), hot(), Arc::new(InProcessSnapshots::new()));
                before.record("numbers", &KEY.to_be_bytes(), Tick::default());
                let snapshot = before.snapshot(10, Tick::default(), SystemTime::UNIX_EPOCH, 0);
                store.save(&snapshot.encode()).await.unwrap();
                let load = KeyLoader::each(move |_, context| (load.clone())(context));
                let decode = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
                let learned = LearnedWarmup::builder(&node, &hot, store, || SystemTime::UNIX_EPOCH);
                let learned = learned.deadline(secs(100_000)).view(&reading, decode, load).restore();
                tokio::spawn(async move { drop(learned.restored().await) })
            }
            Path::PromotionByGet | Path::PromotionByGetOrLoad | Path::PromotionByGetMany => {
                let loaded = Loaded::value(OLD).tag(late());
                let other = numbers_with(&cluster.deaf(), |view| path.shape(view));
                other.get_or_load(&KEY, answering(loaded)).await.unwrap();
                wire.hold_next(Call::Read, &gate);
                tokio::spawn(async move {
                    match path {
                        Path::PromotionByGet => drop(reading.get(&KEY).await),
                        Path::PromotionByGetMany => drop(reading.get_many(&[OTHER, KEY]).await),
                        _ => drop(reading.get_or_load(&KEY, giving(NEW)).await),
                    }
                })
            }
            Path::WriteThrough => tokio::spawn(async move {
                let write = async move {
                    stopped.pass().await;
                    Ok::<_, Down>(Loaded::value(OLD).tag(late()))
                };
                drop(reading.write_through(&KEY, write).await);
            }),
            Path::Within => {
                let outer = node.view::<u64, u64>("outer").build().unwrap();
                tokio::spawn(async move {
                    let through = async move |context: LoadContext<u64>| {
                        reading.within(&context).get_or_load(&KEY, load).await.map(|value| *value)
                    };
                    drop(outer.get_or_load(&KEY, through).await);
                })
            }
        };
        gate.reached().await;
        Some(Self { path, cluster, node, view, gate, reader })
    }

    /// Lets the path end, and waits until it has.
    pub(crate) async fn finish(self) -> Finished {
        self.gate.open();
        soon(self.reader).await.unwrap();
        quiet().await;
        Finished { path: self.path, cluster: Arc::new(self.cluster), view: self.view, _node: self.node }
    }
}

/// A path at its end.
pub(crate) struct Finished {
    path: Path,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) view: View<u64, u64>,
    /// Lives as long as the view.
    _node: Cache,
}

impl Finished {
    /// What this node's tiers have.
    pub(crate) async fn value(&self) -> Option<u64> {
        self.view.get(&KEY).await.map(|value| *value)
    }

    /// What memory has, stale or not.
    pub(crate) fn in_memory(&self) -> Option<u64> {
        self.view.peek(&KEY).and_then(|found| found.value).map(|value| *value)
    }

    /// What a node finds that starts now.
    pub(crate) async fn remote_value(&self) -> Option<u64> {
        let view = numbers_with(&self.cluster.deaf(), |view| self.path.shape(view));
        view.get(&KEY).await.map(|value| *value)
    }

    /// What a read gives now, while the source has this.
    pub(crate) async fn read(&self, source: u64) -> u64 {
        *soon(self.view.get_or_load(&KEY, giving(source))).await.unwrap()
    }
}
