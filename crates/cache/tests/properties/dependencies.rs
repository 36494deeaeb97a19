//! Values that are made of other values: what reaches them, and what they must not become.

use tierkeep_cache::{Cache, LoadContext, Promise, Tag, View, ViewBuilder};

use crate::fixture::{Cluster, Gate, LEASE, alone, exactly, giving, numbers_with, quiet, secs, soon};

/// Three levels; each value is ten times the one it is made of.
struct Levels {
    source: View<u64, u64>,
    sum: View<u64, u64>,
    board: View<u64, u64>,
}

impl Levels {
    fn of(cache: &Cache) -> Self {
        let level = |name: &str| {
            let codec = tierkeep_cache::Postcard::shape(1);
            cache.view::<u64, u64>(name).codec(codec).policy(exactly(secs(300))).tracked()
        };
        let source = level("source").tags(|_| vec![Tag::named("rows")]).build().unwrap();
        Self { source, sum: level("sum").build().unwrap(), board: level("board").build().unwrap() }
    }

    async fn read(&self, value: u64) -> u64 {
        let (source, sum) = (self.source.clone(), self.sum.clone());
        let board = async move |context: LoadContext<u64>| {
            let sum_of = async move |context: LoadContext<u64>| {
                source.within(&context).get_or_load(&1, giving(value)).await.map(|value| *value * 10)
            };
            sum.within(&context).get_or_load(&1, sum_of).await.map(|value| *value * 10)
        };
        *soon(self.board.get_or_load(&1, board)).await.unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum How {
    Key,
    Tag,
    View,
    SoftKey,
}

async fn invalidate(levels: &Levels, how: How) {
    let receipt = match how {
        How::Key => levels.source.invalidate(&1).await,
        How::Tag => levels.source.cache().invalidate_tag(&Tag::named("rows")).await,
        How::View => levels.source.clear().await,
        How::SoftKey => levels.source.invalidate_softly(&1).await,
    };
    receipt.complete().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_value_made_of_others_is_kept() {
    let levels = Levels::of(&alone());
    assert_eq!(levels.read(1).await, 100);

    assert_eq!(levels.read(2).await, 100);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_reaches_what_depends_on_it_over_two_levels() {
    for how in [How::Key, How::Tag, How::View] {
        for both_tiers in [false, true] {
            let cache = if both_tiers { Cluster::new().deaf() } else { alone() };
            let levels = Levels::of(&cache);
            levels.read(1).await;
            levels.read(1).await;

            invalidate(&levels, how).await;

            assert_eq!(levels.read(2).await, 200, "{how:?}, both tiers: {both_tiers}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_soft_invalidation_makes_stale_what_depends_on_it() {
    let levels = Levels::of(&alone());
    levels.read(1).await;

    invalidate(&levels, How::SoftKey).await;

    assert!(levels.board.peek(&1).unwrap().stale);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_on_one_node_reaches_what_depends_on_it_on_another() {
    for how in [How::Key, How::Tag, How::View] {
        let cluster = Cluster::new();
        let promise = Promise::Bounded(LEASE);
        let (left, right) = (Levels::of(&cluster.node(promise).await), Levels::of(&cluster.node(promise).await));
        left.read(1).await;
        right.read(1).await;

        invalidate(&left, how).await;
        quiet().await;

        assert_eq!(right.read(2).await, 200, "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_while_the_value_is_made_of_the_old_one_keeps_it_out() {
    let cache = alone();
    let levels = Levels::of(&cache);
    let gate = Gate::closed();
    let (source, stopped) = (levels.source.clone(), gate.clone());
    let sum = levels.sum.clone();
    let reader = tokio::spawn(async move {
        let made = async move |context: LoadContext<u64>| {
            let value = source.within(&context).get_or_load(&1, giving(1)).await.map(|value| *value * 10);
            stopped.pass().await;
            value
        };
        *sum.get_or_load(&1, made).await.unwrap()
    });
    gate.reached().await;

    invalidate(&levels, How::Key).await;
    gate.open();

    assert_eq!((soon(reader).await.unwrap(), levels.sum.get(&1).await), (10, None));
}

#[tokio::test(start_paused = true)]
async fn a_declared_dependency_needs_no_loader_to_say_so() {
    let cache = alone();
    let rows = numbers_with(&cache, |view| view.tracked().tags(|_| vec![Tag::named("rows")]));
    let board = cache.view::<u64, u64>("board").depends_on(&rows, |key| vec![*key]).build().unwrap();
    for by_tag in [false, true] {
        board.get_or_load(&1, giving(1)).await.unwrap();

        match by_tag {
            false => rows.invalidate(&1).await.complete().unwrap(),
            true => cache.invalidate_tag(&Tag::named("rows")).await.complete().unwrap(),
        }

        assert_eq!(board.get(&1).await, None, "by tag: {by_tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_made_of_a_view_that_is_not_tracked_is_not_stored() {
    let cache = alone();
    let (plain, board) = (numbers_with(&cache, |view| view), cache.view::<u64, u64>("board").build().unwrap());
    let through = async move |context: LoadContext<u64>| {
        plain.within(&context).get_or_load(&1, giving(1)).await.map(|value| *value)
    };

    board.get_or_load(&1, through).await.unwrap();

    assert_eq!(board.get(&1).await, None);
}

type Text = Result<u64, String>;

/// A loader of one key that reads another one, after the gate.
async fn reads(view: View<u64, u64>, key: u64, other: u64, gate: Gate) -> Text {
    let inner = view.clone();
    let load = async move |context: LoadContext<u64>| {
        gate.pass().await;
        let back = inner.clone();
        let other_reads_key = async move |context: LoadContext<u64>| {
            let answer = back.within(&context).get_or_load(&key, async |_| Text::Ok(0)).await;
            answer.map(|value| *value).map_err(|error| error.to_string())
        };
        let answer = inner.within(&context).get_or_load(&other, other_reads_key).await;
        answer.map(|value| *value).map_err(|error| error.to_string())
    };
    view.get_or_load(&key, load).await.map(|value| *value).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_value_that_would_depend_on_itself_is_an_error() {
    let view = numbers_with(&alone(), ViewBuilder::tracked);
    let inner = view.clone();
    let load = async move |context: LoadContext<u64>| {
        let answer = inner.within(&context).get_or_load(&1, async |_| Text::Ok(0)).await;
        answer.map(|value| *value).map_err(|error| error.to_string())
    };

    let error = soon(view.get_or_load(&1, load)).await.unwrap_err().to_string();

    assert!(error.contains("would depend on itself"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_two_in_one_chain_is_an_error() {
    let (view, gate) = (numbers_with(&alone(), ViewBuilder::tracked), Gate::closed());
    gate.open();

    let error = soon(reads(view, 1, 2, gate)).await.unwrap_err();

    assert!(error.contains("would depend on itself"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_loads_that_wait_for_each_other_end_with_an_error() {
    let (view, gate) = (numbers_with(&alone(), ViewBuilder::tracked), Gate::closed());
    let left = tokio::spawn(reads(view.clone(), 1, 2, gate.clone()));
    let right = tokio::spawn(reads(view.clone(), 2, 1, gate.clone()));
    gate.reached().await;
    gate.reached().await;

    gate.open();

    let (left, right) = (soon(left).await.unwrap(), soon(right).await.unwrap());
    assert!(left.is_err() || right.is_err(), "{left:?}, {right:?}");
    assert_eq!(view.cache().state().loads_running, 0);
}
