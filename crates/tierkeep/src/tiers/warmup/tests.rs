//! The warm-up by itself, in paused time: what it computes, when, and how much at once.

use std::sync::Arc;

use tierkeep_learning::key::Key;

use super::*;

const DELAY: Duration = Duration::from_secs(5);
const OPTIONS: Options = Options { delay: DELAY, ..Options::DEFAULT };

fn user(n: i64) -> UserId {
    UserId::new(Key::Int(n))
}

fn changes(users: impl IntoIterator<Item = i64>) -> Changes {
    let learners: Vec<_> = users.into_iter().map(|n| (user(n), 2)).collect();
    let (floor, broken) = (0, Vec::new());
    Changes { position: 2, more: false, floor, learners, everybody: None, unfolded: true, epoch: 1, broken }
}

/// A warm-up at work on computations that take a while, and what was computed when.
struct Work {
    warmup: Arc<Warmup>,
    began: Instant,
    computed: Arc<Mutex<Vec<(Question, Duration)>>>,
    /// The most computations that ran at once.
    most: Arc<AtomicU64>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Work {
    fn start(options: Options, takes: Duration, warmed: Warmed) -> Self {
        let (warmup, began) = (Arc::new(Warmup::new(options, false)), Instant::now());
        let (computed, most, running) = (Arc::<Mutex<Vec<_>>>::default(), Arc::default(), Arc::new(AtomicU64::new(0)));
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (warmup, computed, most, stop) =
                (Arc::clone(&warmup), Arc::clone(&computed), Arc::<AtomicU64>::clone(&most), stop.clone());
            async move {
                let warm = move |question| {
                    let (computed, most, running) = (Arc::clone(&computed), Arc::clone(&most), Arc::clone(&running));
                    async move {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        computed.lock().unwrap().push((question, began.elapsed()));
                        tokio::time::sleep_until(Instant::now() + takes).await;
                        running.fetch_sub(1, Ordering::SeqCst);
                        warmed
                    }
                };
                warmup.work(warm, stop).await;
            }
        });
        Self { warmup, began, computed, most, stop, task }
    }

    /// Lets paused time pass, and what is due in it happen.
    async fn pass(&self, time: Duration) {
        let nothing = tokio::time::timeout(time, std::future::pending::<()>()).await;
        assert!(nothing.is_err());
    }

    fn times(&self) -> Vec<Duration> {
        self.computed.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn ask(warmup: &Warmup, n: i64) {
    warmup.missed(Question::Streaks { user: user(n) });
    warmup.missed(Question::Daily { user: user(n), date: None });
}

#[tokio::test(start_paused = true)]
async fn a_thousand_writes_compute_each_hot_statistic_once() {
    let work = Work::start(OPTIONS, Duration::ZERO, Warmed::Yes);
    ask(&work.warmup, 7);

    for _ in 0..1000 {
        work.warmup.changed(&changes([7]));
        work.pass(Duration::from_millis(2)).await;
    }
    work.pass(DELAY * 10).await;

    assert_eq!(work.times().len(), 2);
    assert!(work.times()[0] >= Duration::from_millis(1998) + DELAY);
    let counts = WarmupCounts { queued: 1, done: 2, ..WarmupCounts::default() };
    assert_eq!(work.warmup.counts(), counts);
    work.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_debouncing_a_thousand_writes_compute_many_times() {
    let work = Work::start(Options { delay: Duration::ZERO, ..OPTIONS }, Duration::ZERO, Warmed::Yes);
    ask(&work.warmup, 7);

    for _ in 0..1000 {
        work.warmup.changed(&changes([7]));
        work.pass(Duration::from_millis(2)).await;
    }

    assert!(work.times().len() > 100, "{}", work.times().len());
    work.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_writes_does_not_postpone_it_for_ever() {
    let work = Work::start(OPTIONS, Duration::ZERO, Warmed::Yes);
    work.warmup.missed(Question::Streaks { user: user(7) });

    for _ in 0..700 {
        work.warmup.changed(&changes([7]));
        work.pass(Duration::from_millis(100)).await;
    }

    let times = work.times();
    assert_eq!(times.len(), 2, "{times:?}");
    assert!(times[0] <= DELAY * 6 + Duration::from_millis(100), "{times:?}");
    work.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asked_for_is_not_computed() {
    let work = Work::start(OPTIONS, Duration::ZERO, Warmed::Yes);
    ask(&work.warmup, 7);

    work.warmup.changed(&changes([8]));
    work.pass(DELAY * 2).await;
    work.pass(Duration::from_secs(3600)).await;
    work.warmup.changed(&changes([7]));
    work.pass(DELAY * 2).await;

    assert_eq!((work.times().len(), work.warmup.counts()), (0, WarmupCounts::default()));
    work.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_everybody_warms_whoever_is_hot() {
    let work = Work::start(OPTIONS, Duration::ZERO, Warmed::Yes);
    (1..=3).for_each(|n| ask(&work.warmup, n));

    work.warmup.changed(&Changes { everybody: Some(2), ..changes([]) });
    work.pass(DELAY * 2).await;

    assert_eq!(work.times().len(), 6);
    work.end().await;
}

#[tokio::test(start_paused = true)]
async fn computations_are_bounded_in_number_and_rate() {
    let (slow, fast) = (Duration::from_secs(1), Duration::ZERO);
    for (takes, options, most, seconds) in [
        // four at once, a second each
        (slow, OPTIONS, 4, 25..=26),
        (slow, Options { concurrency: 1, ..OPTIONS }, 1, 100..=101),
        (fast, Options { rate: 10, ..OPTIONS }, 1, 9..=11),
        (fast, OPTIONS, 1, 0..=1),
    ] {
        let work = Work::start(options, takes, Warmed::Yes);
        (0..50).for_each(|n| ask(&work.warmup, n));

        work.warmup.changed(&changes(0..50));
        work.pass(Duration::from_secs(300)).await;

        let last = *work.times().last().unwrap() + takes - DELAY;
        assert_eq!((work.times().len(), work.most.load(Ordering::SeqCst)), (100, most));
        assert!(seconds.contains(&last.as_secs()), "{options:?}: {last:?}");
        work.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_what_is_dropped_is_counted() {
    let warmup = Warmup::new(OPTIONS, false);
    *warmup.queue.lock().unwrap() = Debounce::new(DELAY, 10);
    (0..30).for_each(|n| ask(&warmup, n));

    warmup.changed(&changes(0..30));

    let counts = WarmupCounts { queued: 30, dropped: 20, waiting: 10, ..WarmupCounts::default() };
    assert_eq!(warmup.counts(), counts);
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_and_stop_nothing() {
    for (warmed, expected) in [
        (Warmed::Failed, WarmupCounts { queued: 2, failed: 4, ..WarmupCounts::default() }),
        (Warmed::NotNow, WarmupCounts { queued: 2, dropped: 4, ..WarmupCounts::default() }),
    ] {
        let work = Work::start(OPTIONS, Duration::ZERO, warmed);
        ask(&work.warmup, 7);
        for _ in 0..2 {
            work.warmup.changed(&changes([7]));
            work.pass(DELAY * 2).await;
        }
        assert_eq!(work.warmup.counts(), expected);
        work.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn turned_off_it_records_and_computes_nothing() {
    let work = Work::start(Options { concurrency: 0, ..OPTIONS }, Duration::ZERO, Warmed::Yes);
    ask(&work.warmup, 7);

    work.warmup.changed(&changes([7]));
    work.pass(DELAY * 2).await;

    assert_eq!((work.times().len(), work.warmup.counts()), (0, WarmupCounts::default()));
    assert!(work.began.elapsed() >= DELAY);
    work.end().await;
}

#[test]
fn nodes_that_share_a_redis_do_not_wait_the_same_time() {
    let delays: Vec<Duration> = (0..20).map(|_| Warmup::new(OPTIONS, true).options.delay).collect();

    assert!(delays.iter().all(|delay| (DELAY * 9 / 10..=DELAY).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
}
