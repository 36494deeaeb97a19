//! Write-back: dirty values, acknowledgements, failures. S11 without a crash; `crash` has those with one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_cache::journal::{Journal, JournalError, Record};
use tierkeep_cache::{
    Ack, Acknowledgement, Cache, Event, Fault, OpenError, Operation, Sink, SinkError, WriteBack, WriteBackError,
    WriteError,
};

use crate::orders::Points;
use crate::stage::{Cluster, KEY, Numbers, cache, numbers};

/// A table that takes only what is newer, and remembers what it was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// By key: version and value.
    pub(crate) rows: HashMap<u64, (u64, Option<u64>)>,
    /// Every operation that was handed over and taken, in order.
    pub(crate) taken: Vec<(u64, u64, Option<u64>)>,
    faults: VecDeque<SinkError>,
    stuck: bool,
}

impl Table {
    fn lock(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }

    fn value(&self, key: u64) -> Option<u64> {
        self.lock().rows.get(&key).and_then(|row| row.1)
    }

    /// The next batches fail like this.
    fn fail(&self, faults: impl IntoIterator<Item = SinkError>) {
        self.lock().faults.extend(faults);
    }
}

#[async_trait]
impl Sink<u64, u64> for Table {
    async fn write(&self, batch: &[Operation<u64, u64>]) -> Result<(), SinkError> {
        let stuck = self.lock().stuck;
        if stuck {
            std::future::pending::<()>().await;
        }
        let mut rows = self.lock();
        if let Some(fault) = rows.faults.pop_front() {
            return Err(fault);
        }
        for operation in batch {
            let value = operation.value.as_deref().copied();
            rows.taken.push((operation.version, operation.key, value));
            let row = rows.rows.entry(operation.key).or_default();
            if row.0 < operation.version {
                *row = (operation.version, value);
            }
        }
        Ok(())
    }
}

/// A journal that outlives whoever opens it.
#[derive(Debug, Default)]
struct Kept(Mutex<(u64, BTreeMap<u64, Record>)>);

#[async_trait]
impl Journal for Kept {
    async fn reserve(&self, count: u64) -> Result<u64, JournalError> {
        let mut kept = self.0.lock().unwrap();
        kept.0 += count;
        Ok(kept.0 - count + 1)
    }

    async fn append(&self, records: Vec<Record>) -> Result<(), JournalError> {
        self.0.lock().unwrap().1.extend(records.into_iter().map(|record| (record.number, record)));
        Ok(())
    }

    async fn settle(&self, numbers: Vec<u64>) -> Result<(), JournalError> {
        self.0.lock().unwrap().1.retain(|number, _| !numbers.contains(number));
        Ok(())
    }

    async fn unsettled(&self) -> Result<Vec<Record>, JournalError> {
        Ok(self.0.lock().unwrap().1.values().cloned().collect())
    }
}

struct Stage {
    cache: Cache,
    view: Numbers,
    table: Table,
    journal: Arc<Kept>,
    writes: WriteBack<u64, u64>,
}

async fn stage() -> Stage {
    stage_on(cache(|builder| builder), Table::default(), Arc::default()).await
}

async fn stage_on(cache: Cache, table: Table, journal: Arc<Kept>) -> Stage {
    let view = numbers(&cache);
    let builder = view.write_back(table.clone(), journal.clone()).capacity(3, Duration::from_secs(2));
    let writes = builder.open().await.unwrap();
    Stage { cache, view, table, journal, writes }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn s11_every_read_of_the_node_sees_its_own_writes_before_the_source_has_them() {
    let Stage { cache, view, writes, table, .. } = stage().await;
    view.get_or_load(&KEY, async |_| Ok::<_, String>(1)).await.unwrap();
    table.fail(std::iter::repeat_n(SinkError::retry("down"), 1000));

    writes.put(&KEY, 2, Ack::Memory).await.unwrap();

    let unwanted = async |_| Err::<u64, _>("no load".to_owned());
    assert_eq!(writes.get(&KEY).await.as_deref(), Some(&2));
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&2));
    assert_eq!(*view.get_or_load(&KEY, unwanted).await.unwrap(), 2);
    assert_eq!(*view.get_or_load_here(&KEY, unwanted).await.unwrap(), 2);
    assert_eq!(*view.fetch(&KEY, unwanted).await.unwrap().value.unwrap(), 2);
    assert_eq!(view.get_many(&[KEY]).await[&KEY].as_ref(), &2);
    assert_eq!(*cache.view::<u64, u64>("other").build().unwrap().put(&KEY, 9).await.value.unwrap(), 9);
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&2));
    cache.clear().await.complete().unwrap();
    view.clear().await.complete().unwrap();
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&2), "no invalidation drops it");

    writes.delete(&KEY, Ack::Memory).await.unwrap();
    assert_eq!(view.get(&KEY).await, None);
    assert_eq!(view.find_or_load(&KEY, unwanted).await.unwrap(), None);
    assert_eq!(table.value(KEY), None);
}

#[tokio::test(start_paused = true)]
async fn s11_what_is_acknowledged_in_memory_is_in_the_source_within_the_window() {
    let Stage { writes, table, .. } = stage().await;

    for round in 0..20 {
        tokio::time::sleep(Duration::from_millis(137)).await;
        writes.put(&KEY, round, Ack::Memory).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1001)).await;
        assert_eq!(table.value(KEY), Some(round));
    }
    assert_eq!(writes.dirty(), 0);
}

#[tokio::test(start_paused = true)]
async fn s11_writes_of_a_key_are_one_operation_with_growing_versions() {
    let Stage { writes, table, journal, .. } = stage().await;

    for value in 1..=5 {
        writes.put(&KEY, value, Ack::Journal).await.unwrap();
        writes.put(&2, value * 10, Ack::Memory).await.unwrap();
    }
    assert_eq!(writes.flush().await, 0);
    writes.delete(&KEY, Ack::Journal).await.unwrap();
    writes.flush().await;

    let rows = table.lock();
    let values: Vec<(u64, Option<u64>)> = rows.taken.iter().map(|(_, key, value)| (*key, *value)).collect();
    assert_eq!(values, [(KEY, Some(5)), (2, Some(50)), (KEY, None)]);
    assert!(rows.taken.is_sorted_by_key(|(version, ..)| *version));
    assert!(journal.0.lock().unwrap().1.is_empty(), "the source has all");
}

#[tokio::test(start_paused = true)]
async fn a_write_acknowledged_by_the_source_is_there_and_is_told_to_other_nodes() {
    let (cluster, points) = (Cluster::new(), Points::default());
    points.open();
    let other = numbers(&cluster.node(&points, 2).await);
    let Stage { view, writes, table, .. } =
        stage_on(cluster.node(&points, 1).await, Table::default(), Arc::default()).await;
    other.get_or_load(&KEY, async |_| Ok::<_, String>(1)).await.unwrap();
    writes.put(&KEY, 2, Ack::Memory).await.unwrap();
    assert_eq!(other.get(&KEY).await.as_deref(), Some(&1), "the price of write-back");

    writes.put(&KEY, 3, Ack::Db).await.unwrap();

    assert_eq!(table.value(KEY), Some(3));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(other.get(&KEY).await, None);
    let table = table.clone();
    let load = async move |_| Ok::<_, String>(table.value(KEY));
    assert_eq!(other.find_or_load(&KEY, load.clone()).await.unwrap().as_deref(), Some(&3));
    assert_eq!(view.find_or_load(&KEY, load).await.unwrap().as_deref(), Some(&3));
}

#[tokio::test(start_paused = true)]
async fn s11_what_the_source_did_not_take_is_tried_again_and_stays_readable() {
    let Stage { view, writes, table, journal, .. } = stage().await;
    table.fail([
        SinkError::retry("down"),
        SinkError::retry("down"),
        SinkError::some([(0, Fault::Retry("locked".into()))]),
    ]);

    writes.put(&KEY, 1, Ack::Journal).await.unwrap();
    writes.put(&2, 2, Ack::Memory).await.unwrap();
    assert_eq!(writes.flush().await, 2);
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&1));
    assert_eq!(journal.0.lock().unwrap().1.len(), 1);
    pass(10).await;

    assert_eq!((table.value(KEY), table.value(2)), (Some(1), Some(2)));
    assert_eq!(writes.dirty(), 0);
    assert!(journal.0.lock().unwrap().1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_source_will_never_take_is_a_dead_letter() {
    let Stage { cache, view, writes, table, journal } = stage().await;
    let mut events = cache.events();
    let poison = || SinkError::some([(0, Fault::Poison("too long".into()))]);
    table.fail([poison()]);

    let refused = writes.put(&KEY, 1, Ack::Db).await;

    assert!(matches!(&refused, Err(WriteBackError::Poison(why)) if why == "too long"), "{refused:?}");
    assert_eq!(writes.dirty(), 0);
    assert_eq!(view.get(&KEY).await, None);
    let letters = writes.dead_letters();
    assert_eq!(letters.len(), 1);
    let told = std::iter::from_fn(|| Some(())).take(10);
    let mut found = false;
    for () in told {
        if let Some(Ok(Event::DeadLetter { why, .. })) = events.next().await {
            assert_eq!(&*why, "too long");
            found = true;
            break;
        }
    }
    assert!(found);

    table.fail([poison()]);
    writes.put(&KEY, 2, Ack::Journal).await.unwrap();
    writes.flush().await;
    assert_eq!(journal.0.lock().unwrap().1.len(), 1, "it is not lost with the process");
    for letter in writes.dead_letters() {
        assert!(writes.discard(letter.operation.version).await.unwrap());
    }
    assert!(journal.0.lock().unwrap().1.is_empty());
    assert!(writes.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_dirty_keys_make_writers_wait_and_then_refuse_them() {
    let Stage { writes, table, .. } = stage().await;
    table.fail(std::iter::repeat_n(SinkError::retry("down"), 4));
    for key in 1..=3 {
        writes.put(&key, key, Ack::Memory).await.unwrap();
    }

    writes.put(&1, 11, Ack::Memory).await.unwrap();
    let waited = tokio::time::Instant::now();
    writes.put(&4, 4, Ack::Memory).await.unwrap();
    assert!(waited.elapsed() > Duration::from_millis(50), "there was no room");

    pass(10).await;
    assert_eq!(writes.dirty(), 0);
    table.fail(std::iter::repeat_n(SinkError::retry("down"), 1000));
    for key in 5..=7 {
        writes.put(&key, key, Ack::Memory).await.unwrap();
    }
    let refused = writes.put(&8, 8, Ack::Memory).await;
    assert!(matches!(refused, Err(WriteBackError::Overloaded)), "{refused:?}");
    assert_eq!(writes.dirty(), 3);
}

#[tokio::test(start_paused = true)]
async fn s11_invalidating_a_dirty_key_writes_it_first_or_reports_the_conflict() {
    let Stage { view, writes, table, .. } = stage().await;

    writes.put(&KEY, 1, Ack::Memory).await.unwrap();
    view.invalidate(&KEY).await.complete().unwrap();
    assert_eq!((table.value(KEY), writes.dirty()), (Some(1), 0));

    table.fail([SinkError::retry("down"), SinkError::retry("down")]);
    writes.put(&KEY, 2, Ack::Memory).await.unwrap();
    let receipt = view.invalidate(&KEY).await;
    assert!(matches!(receipt.remote, Acknowledgement::Pending(_)), "{receipt}");
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&2));

    let around = view.write_around(&KEY, async { Ok::<_, String>(()) }).await;
    assert!(matches!(around, Err(WriteError::Dirty)), "{around:?}");
    pass(5).await;
    let through = view.write_through(&KEY, async { Ok::<_, String>(7) }).await.unwrap();
    assert_eq!((table.value(KEY), through.refused), (Some(2), None));
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&7));
}

#[tokio::test(start_paused = true)]
async fn s11_the_next_process_hands_over_what_the_journal_kept() {
    let (table, journal) = (Table::default(), Arc::<Kept>::default());
    table.fail(std::iter::repeat_n(SinkError::retry("down"), 10_000));
    let first = stage_on(cache(|builder| builder), table.clone(), journal.clone()).await;
    first.writes.put(&KEY, 1, Ack::Journal).await.unwrap();
    first.writes.put(&KEY, 2, Ack::Journal).await.unwrap();
    let kept = first.writes.put(&2, 3, Ack::Journal).await.unwrap();
    first.writes.put(&2, 4, Ack::Memory).await.unwrap();
    assert!(first.writes.drain(Duration::from_secs(1)).await.is_err_and(|undrained| undrained.left == 2));
    assert!(matches!(first.writes.put(&KEY, 5, Ack::Memory).await, Err(WriteBackError::Closed)));
    table.lock().faults.clear();
    table.lock().stuck = true;

    let next = stage_on(cache(|builder| builder), Table::default(), journal).await;
    assert_eq!(next.view.get(&KEY).await.as_deref(), Some(&2), "dirty again");
    next.writes.drain(Duration::from_secs(1)).await.unwrap();

    assert_eq!((next.table.value(KEY), next.table.value(2)), (Some(2), Some(3)));
    assert_eq!(next.table.lock().rows[&2].0, kept.version);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_is_given_up_and_asked_again() {
    let Stage { writes, table, .. } = stage().await;
    table.lock().stuck = true;
    writes.put(&KEY, 1, Ack::Memory).await.unwrap();
    pass(20).await;

    table.lock().stuck = false;
    pass(60).await;

    assert_eq!(table.value(KEY), Some(1));
}

#[tokio::test(start_paused = true)]
async fn handles_that_are_gone_leave_nothing_dirty() {
    let Stage { writes, table, view, .. } = stage().await;
    writes.put(&KEY, 1, Ack::Memory).await.unwrap();

    drop(writes);
    pass(1).await;

    assert_eq!(table.value(KEY), Some(1));
    assert_eq!(view.get(&KEY).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_view_is_written_back_once_and_needs_a_codec() {
    let Stage { cache, view, table, .. } = stage().await;
    let twice = view.write_back(table.clone(), Arc::new(Kept::default())).open().await;
    assert!(matches!(twice, Err(OpenError::Twice(_))), "{twice:?}");

    let bare = cache.view::<u64, u64>("bare").build().unwrap();
    let opened = bare.write_back(table.clone(), Arc::new(Kept::default())).open().await;
    assert!(matches!(opened, Err(OpenError::NoCodec(_))), "{opened:?}");

    let foreign = Arc::new(Kept::default());
    foreign.append(vec![crate::journal::record(1, 1, 1)]).await.unwrap();
    let view = cache.view::<u64, u64>("new").codec(tierkeep_cache::Postcard::shape(2)).build().unwrap();
    let opened = view.write_back(table, foreign).open().await;
    assert!(matches!(opened, Err(OpenError::Foreign { number: 1, .. })), "{opened:?}");
}
