//! Requests at intended times, whether or not what was asked before is answered.
//!
//! A generator that waits for an answer before it asks again does not ask during a stall, and the stall is counted once
//! instead of for all who would have come. So a latency counts from the intended time.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// How many requests are sent a second, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) rate: u32,
    pub(crate) length: Duration,
}

impl Load {
    pub(crate) fn requests(self) -> u64 {
        u64::from(self.rate) * self.length.as_secs()
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From the intended time to the answer, in order.
    latencies: Vec<Duration>,
    /// Why requests failed.
    pub(crate) failures: Vec<String>,
    /// From the first intended time to the last answer.
    pub(crate) took: Duration,
}

/// Sends `ask(0)`, `ask(1)` and so on, each at its time. Those that are not answered `patience` after the last one count as
/// long as the whole run.
pub(crate) async fn run<F>(load: Load, patience: Duration, ask: impl Fn(u64) -> F) -> Outcome
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let began = Instant::now();
    let mut ticks = interval_at(began, Duration::from_secs(1) / load.rate);
    // each tick says when it was intended
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut asked, mut outcome) = (JoinSet::new(), Outcome::default());
    let note = |ended: Result<(Duration, Result<(), String>), _>, outcome: &mut Outcome| match ended {
        Ok((latency, answered)) => {
            outcome.latencies.push(latency);
            outcome.failures.extend(answered.err());
        }
        Err::<_, tokio::task::JoinError>(error) => outcome.failures.push(error.to_string()),
    };
    for number in 0..load.requests() {
        let intended = ticks.tick().await;
        let answering = ask(number);
        asked.spawn(async move {
            let answered = answering.await;
            (intended.elapsed(), answered)
        });
        while let Some(ended) = asked.try_join_next() {
            note(ended, &mut outcome);
        }
    }
    let rest = async {
        while let Some(ended) = asked.join_next().await {
            note(ended, &mut outcome);
        }
    };
    let _ = timeout(patience, rest).await;
    outcome.took = began.elapsed();
    for _ in 0..asked.len() {
        outcome.latencies.push(outcome.took);
        outcome.failures.push("no answer".to_owned());
    }
    outcome.latencies.sort_unstable();
    outcome
}

impl Outcome {
    pub(crate) fn answered(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// The smallest that `share` of the latencies do not exceed.
    pub(crate) fn quantile(&self, per_mille: usize) -> Duration {
        quantile(&self.latencies, per_mille)
    }

    /// For people.
    pub(crate) fn line(&self, load: Load) -> String {
        let ms = |per_mille| self.quantile(per_mille).as_secs_f64() * 1000.0;
        format!(
            "{} requests, {} a second asked, {:.1} reached; p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms",
            self.answered(),
            load.rate,
            self.latencies.len() as f64 / self.took.as_secs_f64(),
            ms(500),
            ms(990),
            ms(999),
            ms(1000),
        )
    }
}

fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    let place = (sorted.len() * per_mille).div_ceil(1000).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// A server that answers at once, but nobody for a second from a time on.
#[derive(Debug, Clone, Copy)]
struct Stalling {
    from: Instant,
}

impl Stalling {
    const STALL: Duration = Duration::from_secs(1);

    async fn answer(self) {
        let now = Instant::now();
        if now >= self.from && now < self.from + Self::STALL {
            tokio::time::sleep_until(self.from + Self::STALL).await;
        }
    }
}

const QUIET: Load = Load { rate: 100, length: Duration::from_secs(20) };

#[tokio::test(start_paused = true)]
async fn a_stall_of_a_second_is_seen_in_p99() {
    let server = Stalling { from: Instant::now() + Duration::from_secs(10) };

    let outcome = run(QUIET, Duration::from_secs(5), |_| async move {
        server.answer().await;
        Ok(())
    })
    .await;

    assert_eq!(outcome.answered(), QUIET.requests());
    assert!(outcome.quantile(990) >= Duration::from_millis(750), "{}", outcome.line(QUIET));
    assert!(outcome.quantile(500) < Duration::from_millis(5), "{}", outcome.line(QUIET));
    assert!(outcome.failures.is_empty());
}

/// The control: who waits for each answer before asking again sees nothing of the same stall.
#[tokio::test(start_paused = true)]
async fn a_closed_loop_hides_the_same_stall() {
    let server = Stalling { from: Instant::now() + Duration::from_secs(10) };
    let mut ticks = interval_at(Instant::now(), Duration::from_secs(1) / QUIET.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut latencies = Vec::new();

    while latencies.len() < usize::try_from(QUIET.requests()).unwrap() {
        ticks.tick().await;
        let asked = Instant::now();
        server.answer().await;
        latencies.push(asked.elapsed());
    }

    latencies.sort_unstable();
    assert!(quantile(&latencies, 990) < Duration::from_millis(5));
    assert!(quantile(&latencies, 1000) >= Duration::from_millis(900));
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_never_ends_is_counted() {
    let load = Load { rate: 10, length: Duration::from_secs(10) };

    let outcome = run(load, Duration::from_secs(1), |number| async move {
        match number {
            7 => Err("refused".to_owned()),
            8 => std::future::pending().await,
            _ => Ok(()),
        }
    })
    .await;

    assert_eq!(outcome.answered(), 100);
    assert_eq!(outcome.failures, ["refused", "no answer"]);
    assert!(outcome.quantile(1000) >= load.length);
}
