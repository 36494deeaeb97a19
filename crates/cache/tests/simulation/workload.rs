//! What clients do: read, write and invalidate, and sometimes lose patience.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tierkeep_cache::{LoadError, Receipt, Source, WriteError};

use crate::checker::{Event, Place, Read, Saw, Tags, Update};
use crate::rng::Rng;
use crate::source::{
    HOT, KEYS, SourceError, Trip, Value, checksum, early_tags, family, load, load_many, loaded, named, tags,
};
use crate::world::{Node, World};

pub(crate) const CLIENTS_PER_NODE: u32 = 3;

/// How a written row's old values are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Key,
    /// Several keys in one call.
    Keys,
    KeySoftly,
    /// By key, and older versions are refused for a time.
    Below,
    EarlyTag,
    LateTag,
    TagSoftly,
    /// Everything that carries two tags.
    BothTags,
    ClearView,
    ClearAll,
    /// The cache writes to the source, and keeps what it wrote.
    Through,
    /// The cache has the source written, and forgets.
    Around,
}

/// One session: a client of one node, in one life of it after the other.
pub(crate) async fn client(world: Arc<World>, node: u8, session: u32) {
    let mut rng = Rng::new(world.seed, 100 + u64::from(session));
    for _ in 0..world.profile.operations {
        tokio::time::sleep(Duration::from_millis(rng.between(1, world.profile.pause))).await;
        let Some(node) = world.node(node) else { continue };
        let crashed = node.crashed.clone();
        let patience = if rng.one_in(20) { rng.between(0, 40) } else { 3_600_000 };
        let patience = tokio::time::sleep(Duration::from_millis(patience));
        let mut own = rng.clone();
        rng.next();
        let operation = async {
            match own.below(100) {
                0..20 => write(&world, &node, &mut own).await,
                20..32 => look(&world, &node, session, &mut own).await,
                32..42 => read_many(&world, &node, session, &mut own).await,
                _ => read(&world, &node, session, &mut own).await,
            }
        };
        tokio::select! {
            biased;
            () = crashed.cancelled() => {}
            () = operation => {}
            () = patience => {}
        }
    }
}

fn any_key(world: &World, rng: &mut Rng) -> u32 {
    if let Some(favourite) = world.profile.favourite
        && rng.one_in(2)
    {
        let of_it: Vec<u32> = (0..KEYS).filter(|key| family(*key) == favourite).collect();
        return of_it[rng.below(of_it.len() as u64) as usize];
    }
    if rng.percent(75) { rng.below(u64::from(HOT)) as u32 } else { rng.below(u64::from(KEYS)) as u32 }
}

/// A read that loads.
async fn read(world: &Arc<World>, node: &Node, session: u32, rng: &mut Rng) {
    let key = any_key(world, rng);
    let failing = *world.table.failing.lock().unwrap();
    let trip = Trip::draw(rng, failing);
    fetch(world, node, session, key, trip, rng.one_in(3)).await;
}

/// Reads a key to the source, if need be; `plainly` by the call that does not tell where from.
pub(crate) async fn fetch(world: &Arc<World>, node: &Node, session: u32, key: u32, trip: Trip, plainly: bool) {
    let (begun, loader_world) = (world.moment(), Arc::clone(world));
    let loader = move |context| load(loader_world, key, trip, context);
    if plainly {
        let found: Result<Arc<Value>, LoadError<SourceError>> = node.view(key).get_or_load(&key, loader).await;
        match found {
            // It may be stale, and nobody says so.
            Ok(value) => saw(world, node, session, key, begun, Some(&value), None, true),
            Err(LoadError::Absent) => saw(world, node, session, key, begun, None, None, true),
            Err(_) => {}
        }
    } else if let Ok(found) = node.view(key).fetch(&key, loader).await {
        saw(world, node, session, key, begun, found.value.as_deref(), Some(found.source), found.stale);
    }
}

/// Reads several keys of one view in one call, which does not tell what is stale, nor why something is missing.
async fn read_many(world: &Arc<World>, node: &Node, session: u32, rng: &mut Rng) {
    let key = any_key(world, rng);
    let keys: Vec<u32> = (0..KEYS).filter(|other| family(*other) == family(key) && rng.one_in(2)).collect();
    let trip = Trip::draw(rng, *world.table.failing.lock().unwrap());
    let begun = world.moment();
    let found = if rng.one_in(3) {
        node.view(key).get_many(&keys).await
    } else {
        let loader_world = Arc::clone(world);
        let loader = move |keys| load_many(Arc::clone(&loader_world), keys, trip);
        match node.view(key).get_many_or_load(&keys, loader).await {
            Ok(found) => found,
            Err(_) => return,
        }
    };
    for key in keys {
        if let Some(value) = found.get(&key) {
            saw(world, node, session, key, begun, Some(value), None, true);
        }
    }
}

/// A read that does not load, and so cannot tell "there is none" from "I do not know".
async fn look(world: &Arc<World>, node: &Node, session: u32, rng: &mut Rng) {
    let key = any_key(world, rng);
    let begun = world.moment();
    if let Some(value) = node.view(key).get(&key).await {
        saw(world, node, session, key, begun, Some(&value), None, false);
    }
}

#[expect(clippy::too_many_arguments, reason = "a record has as many parts")]
fn saw(
    world: &World,
    node: &Node,
    session: u32,
    key: u32,
    begun: crate::checker::Moment,
    value: Option<&Value>,
    source: Option<Source>,
    stale: bool,
) {
    let (saw, tags) = match value {
        Some(&(of, version, sum)) => {
            assert!(of == key && sum == checksum(key, version), "seed {}: key {key} was given {value:?}", world.seed);
            (Saw::Version(version), tags(key, version))
        }
        None => (Saw::Absent, early_tags(key)),
    };
    let place = node.place;
    let read = Read { key, place, session, saw, tags, begun, returned: world.moment(), source, stale };
    world.history.lock().unwrap().push(Event::Read(read));
}

/// Writes rows, and then tells the cache.
async fn write(world: &Arc<World>, node: &Node, rng: &mut Rng) {
    let change = rng.pick(world.profile.changes);
    let key = any_key(world, rng);
    if matches!(change, Change::Through | Change::Around) {
        return write_by_the_cache(world, node, key, change, rng).await;
    }
    tokio::time::sleep(Duration::from_millis(rng.between(0, 5))).await;
    let carried = carried_now(world, key);
    let late = carried & 0b1100;
    let all =
        |reached: Tags| -> Vec<u32> { (0..KEYS).filter(|key| carried_now(world, *key) & reached == reached).collect() };
    // The rows that are written, of those that the call reaches.
    let some = |of: Vec<u32>, rng: &mut Rng| -> Vec<u32> {
        let few = rng.between(1, 3);
        let mut keys = vec![key];
        for _ in 1..few {
            keys.push(of[rng.below(of.len() as u64) as usize]);
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let early = early_tags(key);
    let (keys, scope) = match change {
        Change::Key | Change::KeySoftly | Change::Below | Change::Through | Change::Around => (vec![key], 0),
        // One view, one call.
        Change::Keys => (some((0..KEYS).filter(|other| other % 5 == key % 5).collect(), rng), 0),
        Change::EarlyTag | Change::TagSoftly => (some(all(early), rng), early),
        Change::LateTag if late != 0 => (some(all(late), rng), late),
        Change::BothTags if late != 0 => (some(all(early | late), rng), early | late),
        Change::LateTag | Change::BothTags => (some(all(early), rng), early),
        Change::ClearView => (some((0..KEYS).filter(|o| view_number(*o) == view_number(key)).collect(), rng), 0),
        Change::ClearAll => (some((0..KEYS).collect(), rng), 0),
    };
    let soft = matches!(change, Change::KeySoftly | Change::TagSoftly);
    let mut written = Vec::new();
    for key in &keys {
        written.push(commit(world, node.place, *key, scope, soft, rng));
    }
    let receipt = tell(world, node, change, key, &keys, scope).await;
    let at = world.moment();
    let mut history = world.history.lock().unwrap();
    for index in written {
        if let Event::Update(update) = &mut history[index] {
            update.returned = Some(at);
            update.ack = receipt.is_complete().then_some(at);
        }
    }
}

/// Writes a row by the cache's own calls; one write in eight fails, and half of those after it took effect.
async fn write_by_the_cache(world: &Arc<World>, node: &Node, key: u32, change: Change, rng: &mut Rng) {
    let (place, shared, mut own) = (node.place, Arc::clone(world), Rng::new(rng.next(), 4));
    let written = Arc::new(Mutex::new(None));
    let at = Arc::clone(&written);
    let row = async move {
        let fails = own.one_in(8);
        tokio::time::sleep(Duration::from_millis(own.between(0, 20))).await;
        if fails && own.one_in(2) {
            return Err(SourceError);
        }
        let index = commit(&shared, place, key, 0, false, &mut own);
        *at.lock().unwrap() = Some(index);
        let row = shared.table.row(key);
        tokio::time::sleep(Duration::from_millis(own.between(0, 30))).await;
        if fails { Err(SourceError) } else { Ok(loaded(key, row, Trip::CLEAN)) }
    };
    let receipt = match change {
        Change::Through => match node.view(key).write_through(&key, row).await {
            Ok(written) => Some(written.receipt),
            Err(WriteError::Source { receipt, .. }) => Some(receipt),
            Err(_) => None,
        },
        _ => match node.view(key).write_around(&key, row).await {
            Ok((_, receipt)) | Err(WriteError::Source { receipt, .. }) => Some(receipt),
            Err(_) => None,
        },
    };
    let now = world.moment();
    let index = *written.lock().unwrap();
    if let (Some(receipt), Some(index)) = (receipt, index)
        && let Event::Update(update) = &mut world.history.lock().unwrap()[index]
    {
        update.returned = Some(now);
        update.ack = receipt.is_complete().then_some(now);
    }
}

/// The tags of what the cache may hold of a row as it is: the loader knows no more of a row that is not there.
fn carried_now(world: &World, key: u32) -> Tags {
    let row = world.table.row(key);
    if row.deleted { early_tags(key) } else { tags(key, row.version) }
}

fn view_number(key: u32) -> u8 {
    family(key) as u8
}

/// Writes one row; returns where in the history that is.
fn commit(world: &World, place: Place, key: u32, scope: Tags, soft: bool, rng: &mut Rng) -> usize {
    let row = world.table.write(key, rng.one_in(8));
    let begun = world.moment();
    let (version, tombstone) = (row.version, row.deleted);
    let update = Update { key, version, tombstone, scope, soft, place, begun, returned: None, ack: None };
    let mut history = world.history.lock().unwrap();
    history.push(Event::Update(update));
    history.len() - 1
}

async fn tell(world: &World, node: &Node, change: Change, key: u32, keys: &[u32], scope: Tags) -> Receipt {
    let carried: Vec<_> = (0..4).filter(|bit| scope & (1 << bit) != 0).map(named).collect();
    let view = node.view(key);
    match change {
        Change::Key | Change::Through | Change::Around => view.invalidate(&key).await,
        Change::Keys => view.invalidate_many(keys).await,
        Change::KeySoftly => view.invalidate_softly(&key).await,
        Change::Below => view.invalidate_below(&key, world.table.row(key).version, Duration::from_millis(300)).await,
        Change::EarlyTag | Change::LateTag => node.cache.invalidate_tags(&carried).await,
        Change::TagSoftly => node.cache.invalidate_tags_softly(&carried).await,
        Change::BothTags => node.cache.invalidate_tags_all(&carried).await,
        Change::ClearView => view.clear().await,
        Change::ClearAll => node.cache.clear().await,
    }
}

/// Writes a key and tells the cache until it has said that everybody knows.
pub(crate) async fn settle_key(world: &Arc<World>, node: &Node, key: u32) {
    let mut rng = Rng::new(world.seed, 3);
    let at = commit(world, node.place, key, 0, false, &mut rng);
    let receipt = node.view(key).invalidate(&key).await;
    let now = world.moment();
    if let Event::Update(update) = &mut world.history.lock().unwrap()[at] {
        update.returned = Some(now);
        update.ack = receipt.is_complete().then_some(now);
    }
}
