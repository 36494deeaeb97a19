//! The pool's rules against connections that exist only as counters, under paused time.

use std::collections::HashSet;

use proptest::prelude::*;
use tokio::task::yield_now;
use tokio::time::{advance, sleep};

use super::*;

mod schedules;

const SECOND: Duration = Duration::from_secs(1);

/// A server that counts its connections.
#[derive(Default)]
struct Server {
    state: Mutex<ServerState>,
}

#[derive(Default)]
struct ServerState {
    made: usize,
    live: HashSet<usize>,
    most_live: usize,
    dead: HashSet<usize>,
    unresettable: HashSet<usize>,
    pings: usize,
    resets: usize,
    refuses: bool,
    /// How long connecting, pinging, resetting and closing take.
    delay: Duration,
}

#[derive(Clone, Default)]
struct FakeConnector(Arc<Server>);

struct FakeSession {
    id: usize,
    server: Arc<Server>,
}

impl FakeConnector {
    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.0.state.lock().unwrap()
    }

    async fn delay(&self) {
        let delay = self.state().delay;
        // Even a sleep of nothing lasts until the next tick of the timer.
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    fn restart(&self) {
        let mut state = self.state();
        let live: Vec<usize> = state.live.iter().copied().collect();
        state.dead.extend(live);
    }

    fn is_healthy(&self, session: &FakeSession) -> bool {
        !self.state().dead.contains(&session.id)
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        self.server.state.lock().unwrap().live.remove(&self.id);
    }
}

impl Connector for FakeConnector {
    type Session = FakeSession;

    async fn connect(&self) -> Result<FakeSession, Error> {
        // The server has the connection before the client knows.
        let session = {
            let mut state = self.state();
            if state.refuses {
                return Err(Error::Closed);
            }
            state.made += 1;
            let id = state.made;
            state.live.insert(id);
            state.most_live = state.most_live.max(state.live.len());
            FakeSession { id, server: Arc::clone(&self.0) }
        };
        self.delay().await;
        Ok(session)
    }

    fn is_dead(&self, _session: &FakeSession) -> bool {
        false
    }

    async fn ping(&self, session: &mut FakeSession) -> bool {
        self.delay().await;
        self.state().pings += 1;
        self.is_healthy(session)
    }

    async fn reset(&self, session: &mut FakeSession) -> bool {
        self.delay().await;
        let mut state = self.state();
        state.resets += 1;
        !state.unresettable.contains(&session.id)
    }

    async fn close(&self, session: FakeSession) {
        self.delay().await;
        drop(session);
    }

    async fn cut_all(&self) {
        self.state().live.clear();
    }
}

fn pool(size: usize, overflow: usize) -> (FakeConnector, Lending<FakeConnector>) {
    let connector = FakeConnector::default();
    let limits = Limits { size, overflow, timeout: 30 * SECOND, recycle: Duration::from_secs(3600), pre_ping: true };
    (connector.clone(), Lending::new(connector, limits))
}

/// Waits until everything that was started has ended; paused time passes while nobody has anything to do.
async fn settle() {
    sleep(Duration::from_secs(60)).await;
}

fn used<C: Connector>(lease: Lease<C>) -> Lease<C> {
    let _ = lease.session();
    lease
}

#[tokio::test(start_paused = true)]
async fn nothing_is_connected_before_the_first_checkout() {
    let (server, pool) = pool(2, 0);

    settle().await;

    assert_eq!(server.state().made, 0);
    assert_eq!(pool.status(), PoolStatus { idle: 0, in_use: 0, waiting: 0, max: 2 });
}

#[tokio::test(start_paused = true)]
async fn connection_returned_last_is_lent_first() {
    let (_server, pool) = pool(2, 0);
    let (a, b) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let last = a.session().id;
    drop(b);
    drop(a);
    settle().await;

    assert_eq!(pool.get().await.unwrap().session().id, last);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_size_are_closed_when_returned() {
    let (server, pool) = pool(1, 2);
    let leases = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];

    drop(leases);
    settle().await;

    assert_eq!(server.state().live.len(), 1);
    assert_eq!(pool.status(), PoolStatus { idle: 1, in_use: 0, waiting: 0, max: 3 });
}

#[tokio::test(start_paused = true)]
async fn wait_ends_with_an_error_that_names_the_sizes() {
    let (_server, pool) = pool(1, 1);
    let _leases = [pool.get().await.unwrap(), pool.get().await.unwrap()];

    let start = Instant::now();
    let error = pool.get().await.err().unwrap();

    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(
        error.to_string(),
        "no connection became free within 30s (timeout): 2 of 2 (size 1 + overflow 1) are in use and 0 others wait"
    );
    assert_eq!(pool.status().waiting, 0);
    let counts = pool.counts();
    assert_eq!((counts.timed_out, counts.lent, counts.made), (1, 2, 2));
    assert_eq!((counts.waited.as_secs(), counts.longest_wait.as_secs()), (30, 30));
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_of_asking_also_around_cancelled_ones() {
    let (_server, pool) = pool(1, 0);
    let held = pool.get().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..6 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        waiters.push(tokio::spawn(async move {
            let lease = used(pool.get().await.unwrap());
            order.lock().unwrap().push(number);
            drop(lease);
        }));
        yield_now().await;
    }
    assert_eq!(pool.status().waiting, 6);
    waiters[0].abort();
    waiters[3].abort();

    drop(held);
    settle().await;

    assert_eq!(*order.lock().unwrap(), [1, 2, 4, 5]);
    assert_eq!(pool.status(), PoolStatus { idle: 1, in_use: 0, waiting: 0, max: 1 });
}

#[tokio::test(start_paused = true)]
async fn connection_older_than_recycle_is_replaced_at_the_next_checkout() {
    let (server, pool) = pool(1, 0);
    drop(pool.get().await.unwrap());
    advance(Duration::from_secs(3599)).await;
    assert_eq!(pool.get().await.unwrap().session().id, 1);
    settle().await;
    assert_eq!(server.state().live.len(), 1, "it is kept until somebody asks");

    let lease = pool.get().await.unwrap();

    assert_eq!(lease.session().id, 2);
    assert_eq!(server.state().most_live, 1, "the old one was closed first");
}

#[tokio::test(start_paused = true)]
async fn dead_connection_found_by_a_ping_invalidates_all_older_ones() {
    let (server, pool) = pool(3, 0);
    let (lent, a, b) = (pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap());
    drop((a, b));
    settle().await;
    server.state().dead.insert(3);
    advance(SECOND).await;

    let fresh = pool.get().await.unwrap();

    assert_eq!(fresh.session().id, 4, "the idle ones were replaced, the healthy one too");
    drop(lent);
    drop(fresh);
    settle().await;
    assert_eq!(server.state().live, HashSet::from([4]), "the lent one was closed when returned");
    assert_eq!(pool.get().await.unwrap().session().id, 4, "younger ones stay");
}

#[tokio::test(start_paused = true)]
async fn without_pre_ping_no_connection_is_asked() {
    let connector = FakeConnector::default();
    let limits = Limits { size: 1, overflow: 0, timeout: SECOND, recycle: 60 * SECOND, pre_ping: false };
    let pool = Lending::new(connector.clone(), limits);

    for _ in 0..3 {
        drop(pool.get().await.unwrap());
    }

    assert_eq!(connector.state().pings, 0);
    assert_eq!(connector.state().made, 1);
}

#[tokio::test(start_paused = true)]
async fn used_connection_is_reset_before_it_is_lent_again_and_an_unused_one_is_not() {
    let (server, pool) = pool(1, 0);

    drop(used(pool.get().await.unwrap()));
    drop(pool.get().await.unwrap());
    settle().await;

    assert_eq!(server.state().resets, 1);
    assert_eq!(server.state().made, 1);
}

#[tokio::test(start_paused = true)]
async fn connection_that_cannot_be_reset_is_closed() {
    let (server, pool) = pool(1, 0);
    server.state().unresettable.insert(1);

    drop(used(pool.get().await.unwrap()));

    assert_eq!(pool.get().await.unwrap().session().id, 2);
    assert_eq!(server.state().most_live, 1);
}

#[tokio::test(start_paused = true)]
async fn discarded_connection_is_closed() {
    let (server, pool) = pool(2, 0);

    pool.get().await.unwrap().discard();
    settle().await;

    assert!(server.state().live.is_empty());
    assert_eq!(pool.status().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn failed_connect_gives_its_place_back() {
    let (server, pool) = pool(1, 0);
    server.state().refuses = true;
    assert!(pool.get().await.is_err());
    assert_eq!((pool.counts().refused, pool.counts().made), (1, 0));
    server.state().refuses = false;

    assert!(pool.get().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn checkout_cancelled_at_any_moment_leaks_nothing() {
    for outdated in [false, true] {
        for after in 0..8 {
            let (server, pool) = pool(1, 0);
            server.state().delay = SECOND;
            drop(pool.get().await.unwrap());
            if outdated {
                server.restart();
            }

            // Ping, close and connect take a second each, so the cut falls into each of them.
            let cut = tokio::time::timeout(Duration::from_millis(500 * after), pool.get()).await;
            drop(cut);
            settle().await;

            assert_eq!(pool.status().in_use, 0, "cut after {after}");
            assert_eq!(server.state().live.len(), pool.status().idle, "cut after {after}");
            assert_eq!(server.state().most_live, 1, "cut after {after}");
            assert!(pool.get().await.is_ok(), "cut after {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_waiters_and_waits_for_lent_connections() {
    let (server, pool) = pool(1, 0);
    let lease = pool.get().await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.err() }
    });
    yield_now().await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.close().await;
            Instant::now()
        }
    });
    yield_now().await;

    assert!(matches!(waiter.await.unwrap(), Some(Error::Closed)));
    assert!(matches!(pool.get().await.err(), Some(Error::Closed)));
    assert_eq!(server.state().live.len(), 1);
    sleep(SECOND).await;
    let returned = Instant::now();
    drop(lease);
    assert_eq!(closing.await.unwrap(), returned);
    assert!(server.state().live.is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_cuts_what_does_not_come_back() {
    let (server, pool) = pool(1, 0);
    let lease = pool.get().await.unwrap();

    let start = Instant::now();
    pool.close().await;

    assert_eq!(start.elapsed().as_secs(), CLOSE_GRACE.as_secs());
    assert!(server.state().live.is_empty());
    drop(lease);
    settle().await;
    assert_eq!(pool.status().idle, 0);
}

#[test]
fn lease_can_be_dropped_outside_of_the_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, pool) = pool(1, 0);
    let lease = runtime.block_on(pool.get()).unwrap();

    drop(used(lease));

    runtime.block_on(async { drop(pool.get().await.unwrap()) });
    assert_eq!(server.state().made, 1);
}

/// What one caller does.
#[derive(Debug, Clone)]
struct Caller {
    starts_ms: u64,
    holds_ms: u64,
    gives_up_ms: Option<u64>,
    uses: bool,
    discards: bool,
}

fn caller() -> impl Strategy<Value = Caller> {
    (0_u64..400, 0_u64..60, proptest::option::weighted(0.3, 0_u64..80), any::<bool>(), prop::bool::weighted(0.1))
        .prop_map(|(starts_ms, holds_ms, gives_up_ms, uses, discards)| Caller {
            starts_ms,
            holds_ms,
            gives_up_ms,
            uses,
            discards,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// P-D1: never more than size + overflow, at most size idle after settling, no dead connection after a ping,
    /// nothing leaked by those who gave up.
    #[test]
    fn bounds_hold_whatever_callers_and_server_do(
        size in 1_usize..4,
        overflow in 0_usize..4,
        delay_ms in 0_u64..12,
        recycle_ms in prop_oneof![Just(3_600_000_u64), 1_u64..100],
        callers in proptest::collection::vec(caller(), 1..40),
        restarts in proptest::collection::vec(0_u64..400, 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let result: Result<(), TestCaseError> = runtime.block_on(async {
            let server = FakeConnector::default();
            server.state().delay = Duration::from_millis(delay_ms);
            let limits = Limits {
                size,
                overflow,
                timeout: 30 * SECOND,
                recycle: Duration::from_millis(recycle_ms),
                pre_ping: true,
            };
            let pool = Lending::new(server.clone(), limits);
            let mut tasks = Vec::new();
            for at in restarts {
                let server = server.clone();
                tasks.push(tokio::spawn(async move {
                    sleep(Duration::from_millis(at)).await;
                    server.restart();
                    true
                }));
            }
            for caller in callers {
                let (pool, server) = (pool.clone(), server.clone());
                tasks.push(tokio::spawn(async move {
                    sleep(Duration::from_millis(caller.starts_ms)).await;
                    let patience = caller.gives_up_ms.map_or(300 * SECOND, Duration::from_millis);
                    let Ok(lease) = tokio::time::timeout(patience, pool.get()).await else { return true };
                    let lease = lease.unwrap();
                    let content = lease.content.as_ref().unwrap();
                    // The server may have restarted while a connection was made; one that was pinged is alive.
                    let is_new = content.made.elapsed().is_zero();
                    let is_healthy = is_new || server.is_healthy(&content.session);
                    if caller.uses {
                        let _ = lease.session();
                    }
                    sleep(Duration::from_millis(caller.holds_ms)).await;
                    if caller.discards {
                        lease.discard();
                    }
                    is_healthy
                }));
            }
            for task in tasks {
                prop_assert!(task.await.unwrap(), "a dead connection was lent after a ping");
            }
            settle().await;

            let status = pool.status();
            prop_assert_eq!(status.in_use, 0);
            prop_assert_eq!(status.waiting, 0);
            prop_assert!(status.idle <= size);
            let state = server.state();
            prop_assert_eq!(state.live.len(), status.idle);
            prop_assert!(state.most_live <= size + overflow, "{} connections at once", state.most_live);
            let counts = pool.counts();
            prop_assert!(counts.made - counts.closed.total() == status.idle as u64, "{:?}", counts);
            Ok(())
        });
        result?;
    }
}
