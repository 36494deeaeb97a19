//! A cache against a slow and obvious one: it may forget, never invent, and nothing outlives its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tierkeep_cache::remote::InProcess;
use tierkeep_cache::{Cache, Clock, Loaded, Postcard, Tag, View};

use crate::fixture::{Down, exactly};

const LIFE: u64 = 1000;

#[derive(Clone, Debug)]
enum Step {
    Get(u64),
    GetOrLoad(u64, Option<u8>),
    GetMany(Vec<u64>),
    Put(u64),
    Invalidate(u64),
    InvalidateSoftly(u64),
    InvalidateTag(u8),
    InvalidateTagSoftly(u8),
    InvalidateBoth(u8, u8),
    ClearView,
    Clear,
    Advance(u64),
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, tag) = (0u64..6, 0u8..4);
    let step = prop_oneof![
        4 => key.clone().prop_map(Step::Get),
        6 => (key.clone(), prop::option::of(tag.clone())).prop_map(|(key, tag)| Step::GetOrLoad(key, tag)),
        1 => prop::collection::vec(key.clone(), 1..5).prop_map(Step::GetMany),
        1 => key.clone().prop_map(Step::Put),
        1 => key.clone().prop_map(Step::Invalidate),
        1 => key.prop_map(Step::InvalidateSoftly),
        1 => tag.clone().prop_map(Step::InvalidateTag),
        1 => tag.clone().prop_map(Step::InvalidateTagSoftly),
        1 => (tag.clone(), tag).prop_map(|(left, right)| Step::InvalidateBoth(left, right)),
        1 => Just(Step::ClearView),
        1 => Just(Step::Clear),
        2 => (1u64..LIFE).prop_map(Step::Advance),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the cache may hold of a key.
#[derive(Clone, Debug)]
struct Held {
    value: u64,
    until: u64,
    tags: Vec<u8>,
    stale: bool,
}

type Loads = Arc<Mutex<Vec<(u64, u64, Option<u8>)>>>;

struct World {
    cache: Cache,
    view: View<u64, u64>,
    clock: Clock,
    model: BTreeMap<u64, Held>,
    /// Loads that ran and the model does not know of yet.
    loads: Loads,
    /// Every load gives another value.
    next: Arc<Mutex<u64>>,
}

/// The tag that follows from the key.
fn early(key: u64) -> u8 {
    (key % 2) as u8
}

fn tag(number: u8) -> Tag {
    Tag::of("t", number)
}

impl World {
    fn new(both_tiers: bool) -> Self {
        let clock = Clock::manual();
        let mut builder = Cache::builder("t").clock(clock.clone()).seed(3);
        if both_tiers {
            builder = builder.remote(Arc::new(InProcess::new(clock.clone())));
        }
        let cache = builder.build().unwrap();
        let view = cache
            .view("v")
            .codec(Postcard::shape(1))
            .policy(exactly(Duration::from_millis(LIFE)))
            .tags(|key| vec![tag(early(*key))])
            .build()
            .unwrap();
        Self { cache, view, clock, model: BTreeMap::new(), loads: Loads::default(), next: Arc::default() }
    }

    fn now(&self) -> u64 {
        self.clock.now().as_millis()
    }

    /// What the model lets a read see.
    fn may(&self, key: u64, stale: bool) -> Option<u64> {
        self.model.get(&key).filter(|held| self.now() < held.until && (stale || !held.stale)).map(|held| held.value)
    }

    fn forget(&mut self, which: impl Fn(u64, &Held) -> bool) {
        self.model.retain(|key, held| !which(*key, held));
    }

    fn age(&mut self, which: impl Fn(u64, &Held) -> bool) {
        self.model.iter_mut().filter(|(key, held)| which(**key, held)).for_each(|(_, held)| held.stale = true);
    }

    /// Lets loads in the background end, and tells the model of all of them.
    async fn settle(&mut self) -> Vec<u64> {
        crate::fixture::quiet().await;
        let loads = std::mem::take(&mut *self.loads.lock().unwrap());
        let until = self.now() + LIFE;
        for (key, value, late) in &loads {
            let tags = late.iter().copied().chain([early(*key)]).collect();
            self.model.insert(*key, Held { value: *value, until, tags, stale: false });
        }
        loads.into_iter().map(|(_, value, _)| value).collect()
    }

    async fn run(&mut self, step: &Step) {
        match step.clone() {
            Step::Get(key) => {
                let found = self.view.get(&key).await.map(|value| *value);
                assert!(found.is_none() || found == self.may(key, false), "get {key}: {found:?}");
            }
            Step::GetMany(keys) => {
                for (key, value) in self.view.get_many(&keys).await {
                    assert_eq!(Some(*value), self.may(key, false), "get_many {key}");
                }
            }
            Step::GetOrLoad(key, late) => {
                let may = self.may(key, true);
                let (loads, next) = (Arc::clone(&self.loads), Arc::clone(&self.next));
                let load = async move |_| {
                    let mut next = next.lock().unwrap();
                    *next += 1;
                    loads.lock().unwrap().push((key, *next, late));
                    let loaded = Loaded::value(*next);
                    Ok::<_, Down>(late.into_iter().fold(loaded, |loaded, late| loaded.tag(tag(late))))
                };
                let value = *self.view.get_or_load(&key, load).await.unwrap();
                let loaded = self.settle().await;
                assert!(Some(value) == may || loaded.contains(&value), "get_or_load {key}: {value}");
            }
            Step::Put(key) => {
                let value = {
                    let mut next = self.next.lock().unwrap();
                    *next += 1;
                    *next
                };
                let written = self.view.put(&key, value).await;
                self.model.remove(&key);
                if written.refused.is_none() {
                    let until = self.now() + LIFE;
                    self.model.insert(key, Held { value, until, tags: vec![early(key)], stale: false });
                }
            }
            Step::Invalidate(key) => {
                self.view.invalidate(&key).await.complete().unwrap();
                self.forget(|held, _| held == key);
            }
            Step::InvalidateSoftly(key) => {
                self.view.invalidate_softly(&key).await.complete().unwrap();
                self.age(|held, _| held == key);
            }
            Step::InvalidateTag(number) => {
                self.cache.invalidate_tag(&tag(number)).await.complete().unwrap();
                self.forget(|_, held| held.tags.contains(&number));
            }
            Step::InvalidateTagSoftly(number) => {
                self.cache.invalidate_tags_softly(&[tag(number)]).await.complete().unwrap();
                self.age(|_, held| held.tags.contains(&number));
            }
            Step::InvalidateBoth(left, right) => {
                self.cache.invalidate_tags_all(&[tag(left), tag(right)]).await.complete().unwrap();
                self.forget(|_, held| held.tags.contains(&left) && held.tags.contains(&right));
            }
            Step::ClearView => {
                self.view.clear().await.complete().unwrap();
                self.forget(|_, _| true);
            }
            Step::Clear => {
                self.cache.clear().await.complete().unwrap();
                self.forget(|_, _| true);
            }
            Step::Advance(millis) => self.clock.advance(Duration::from_millis(millis)),
            Step::Sweep => self.cache.sweep(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_cache_forgets_and_never_invents_or_outlives(steps in steps(), both_tiers: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(both_tiers);
            for step in &steps {
                world.run(step).await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_model_is_hit_and_not_only_missed() {
    let mut world = World::new(true);
    for step in [Step::GetOrLoad(1, Some(3)), Step::Get(1), Step::Advance(LIFE - 1), Step::Get(1)] {
        world.run(&step).await;
    }

    assert_eq!(world.view.counts().memory_hits, 2);
}
