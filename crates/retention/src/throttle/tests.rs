use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn healthy() -> Vec<Reading> {
    vec![
        Reading::Replicas(vec![replica(Some(0), None)]),
        Reading::Waiters { sessions: 0 },
        Reading::Archive { is_failing: false, waiting_segments: 0 },
        Reading::Slots { retained_bytes: 0 },
        Reading::Load { active: 1, max_connections: 100 },
        Reading::Tables { is_vacuumed: false, rows: vec![TableRows { live: 1_000_000, dead: 100 }] },
    ]
}

fn replica(bytes: Option<u64>, delay_ms: Option<u64>) -> Replica {
    Replica { name: "standby".to_owned(), bytes, delay: delay_ms.map(Duration::from_millis) }
}

fn unknown(source: Source) -> Reading {
    Reading::Unknown { source, why: "revoked".to_owned() }
}

fn share(percent: u8) -> Share {
    Share::new(percent).unwrap()
}

fn stop(reason: Source) -> Verdict {
    Verdict::Stop { reason, retry: SECOND }
}

fn judge(reading: Reading) -> Verdict {
    Limits::default().judge(&reading)
}

fn judge_replica(bytes: Option<u64>, delay_ms: Option<u64>) -> Verdict {
    judge(Reading::Replicas(vec![replica(Some(0), None), replica(bytes, delay_ms)]))
}

#[test]
fn healthy_database_has_room() {
    let decision = Throttle::new(Limits::default(), &Source::POSTGRES).decide(Instant::now(), &healthy());

    assert_eq!(decision.verdict, Verdict::Go);
    assert_eq!(decision.source(), None);
    assert_eq!(decision.each.len(), 6);
}

#[test]
fn replicas_are_judged_by_bytes_and_by_delay() {
    assert_eq!(judge(Reading::Replicas(vec![])), Verdict::Go);
    assert_eq!(judge_replica(Some(1000), Some(3)), Verdict::Go);
    assert_eq!(judge_replica(Some(136 << 20), Some(3)), Verdict::Slow(share(50)));
    assert_eq!(judge_replica(Some(1000), Some(1000)), Verdict::Slow(share(50)));
    assert_eq!(judge_replica(Some(256 << 20), Some(3)), stop(Source::ReplicationLag));
    assert_eq!(judge_replica(Some(1000), Some(1500)), stop(Source::ReplicationLag));
}

#[test]
fn replica_without_a_delay_lags_unless_it_has_applied_everything() {
    assert_eq!(judge_replica(Some(0), None), Verdict::Go);
    assert_eq!(judge_replica(Some(1), None), stop(Source::ReplicationLag));
    assert_eq!(judge_replica(None, Some(1)), stop(Source::ReplicationLag));
    assert_eq!(judge_replica(None, None), stop(Source::ReplicationLag));
}

#[test]
fn replica_that_was_excepted_does_not_count() {
    let replication = ReplicationLimits { ignored: vec!["standby".to_owned()], ..Default::default() };
    let limits = Limits { replication: Some(replication), ..Default::default() };

    assert_eq!(limits.judge(&Reading::Replicas(vec![replica(None, None)])), Verdict::Go);
}

#[test]
fn waiters_slow_down_and_then_stop() {
    assert_eq!(judge(Reading::Waiters { sessions: 1 }), Verdict::Slow(share(50)));
    assert_eq!(judge(Reading::Waiters { sessions: 4 }), Verdict::Slow(share(20)));
    assert_eq!(judge(Reading::Waiters { sessions: 5 }), stop(Source::LockWaiters));
}

#[test]
fn failing_archive_stops_whatever_waits() {
    assert_eq!(judge(Reading::Archive { is_failing: true, waiting_segments: 0 }), stop(Source::WalArchive));
    assert_eq!(judge(Reading::Archive { is_failing: false, waiting_segments: 42 }), stop(Source::WalArchive));
}

#[test]
fn slot_that_keeps_much_stops() {
    assert_eq!(judge(Reading::Slots { retained_bytes: (1 << 30) - 1 }), Verdict::Go);
    assert_eq!(judge(Reading::Slots { retained_bytes: 8 << 30 }), stop(Source::SlotRetention));
}

#[test]
fn load_slows_down_in_proportion_and_never_stops() {
    let load = |active| judge(Reading::Load { active, max_connections: 100 });

    assert_eq!(load(25), Verdict::Go);
    assert_eq!(load(50), Verdict::Slow(share(50)));
    assert_eq!(load(u64::MAX), Verdict::Slow(share(10)));
}

#[test]
fn load_is_judged_by_the_cores_if_they_are_told() {
    let limits = Limits { load: Some(LoadLimits { active_max: Some(4), ..Default::default() }), ..Default::default() };

    assert_eq!(limits.judge(&Reading::Load { active: 8, max_connections: 100 }), Verdict::Slow(share(50)));
}

#[test]
fn vacuum_that_runs_slows_down_and_one_that_is_due_if_that_is_wanted() {
    let reading = |is_vacuumed, live, dead| Reading::Tables { is_vacuumed, rows: vec![TableRows { live, dead }] };
    let wanted = TableLimits { dead: Some(share(20)), ..TableLimits::default() };
    let limits = Limits { tables: Some(wanted), ..Limits::default() };
    let tables = |is_vacuumed, live, dead| limits.judge(&reading(is_vacuumed, live, dead));

    assert_eq!(judge(reading(false, 40_000, 10_000)), Verdict::Go, "dead rows of our own");
    assert_eq!(judge(reading(true, 1_000_000, 0)), Verdict::Slow(share(50)));
    assert_eq!(tables(false, 1_000_000, 100_000), Verdict::Go);
    assert_eq!(tables(false, 100, 9_999), Verdict::Go, "a small table");
    assert_eq!(tables(false, 40_000, 10_000), Verdict::Slow(share(50)));
    assert_eq!(tables(true, 1_000_000, 0), Verdict::Slow(share(50)));
}

#[test]
fn sqlite_is_judged_by_its_log_and_its_lock() {
    assert_eq!(judge(Reading::WalFile { bytes: 512 << 20 }), stop(Source::WalFile));
    assert_eq!(judge(Reading::WriteLock { waited: Duration::from_millis(99) }), Verdict::Go);
    assert_eq!(judge(Reading::WriteLock { waited: Duration::from_secs(2) }), stop(Source::WriteLock));
}

#[test]
fn worst_reading_decides_and_is_named() {
    let mut readings = healthy();
    readings[1] = Reading::Waiters { sessions: 4 };
    readings[3] = Reading::Slots { retained_bytes: 9 << 30 };

    let decision = Throttle::new(Limits::default(), &Source::POSTGRES).decide(Instant::now(), &readings);

    assert_eq!(decision.verdict, stop(Source::SlotRetention));
    assert_eq!(decision.source(), Some(Source::SlotRetention));
}

#[test]
fn unknown_is_a_tenth_until_the_grace_and_nothing_after_it() {
    let mut throttle = Throttle::new(Limits::default(), &Source::POSTGRES);
    let (start, mut readings) = (Instant::now(), healthy());
    readings[4] = unknown(Source::Load);

    let before: Vec<Option<Share>> =
        [0, 9_999].map(|ms| throttle.decide(start + Duration::from_millis(ms), &readings).verdict.share()).into();
    let after = throttle.decide(start + SECOND * 10, &readings);

    assert_eq!(before, [Some(share(10)); 2]);
    assert_eq!(after.verdict, stop(Source::Load));
}

#[test]
fn grace_begins_anew_after_a_reading() {
    let mut throttle = Throttle::new(Limits::default(), &Source::POSTGRES);
    let (start, mut readings) = (Instant::now(), healthy());
    readings[4] = unknown(Source::Load);
    throttle.decide(start, &readings);

    throttle.decide(start + SECOND * 9, &healthy());

    assert!(throttle.decide(start + SECOND * 18, &readings).verdict.share().is_some());
}

#[test]
fn run_ends_when_nothing_but_stops_came_for_ten_minutes() {
    let mut throttle = Throttle::new(Limits::default(), &Source::POSTGRES);
    let (start, mut lagging) = (Instant::now(), healthy());
    lagging[0] = Reading::Replicas(vec![replica(None, None)]);
    let mut ending_at = |seconds: u32, readings: &[Reading]| throttle.decide(start + SECOND * seconds, readings).ending;

    assert_eq!(ending_at(0, &lagging), None);
    assert_eq!(ending_at(599, &lagging), None);
    assert_eq!(ending_at(600, &lagging), Some(Ending::Throttled(Source::ReplicationLag)));
    assert_eq!(ending_at(601, &healthy()), None);
    assert_eq!(ending_at(602, &lagging), None, "begins anew");
}

#[test]
fn source_that_was_switched_off_may_be_unknown() {
    let limits = Limits { load: None, ..Default::default() };
    let mut readings = healthy();
    readings[4] = unknown(Source::Load);

    let decision = Throttle::new(limits, &Source::POSTGRES).decide(Instant::now(), &readings);

    assert_eq!(decision.verdict, Verdict::Go);
}

/// Every way of leaving out or hiding sources, decided by `decide`, minute after minute: the first time at which a batch
/// may begin after the grace.
fn batch_after_grace(mut decide: impl FnMut(Instant, &[Reading]) -> Verdict, readings: &[Reading]) -> Option<u32> {
    let start = Instant::now();
    let times = [0, 5, 10, 11, 60, 3600];
    times.into_iter().find(|seconds| {
        let verdict = decide(start + SECOND * *seconds, readings);
        *seconds >= 10 && verdict.share().is_some()
    })
}

/// What must not be: a combination that hears only those who speak.
fn fail_open(readings: &[Reading]) -> Verdict {
    let limits = Limits::default();
    let spoken = readings.iter().map(|reading| limits.judge(reading));
    spoken.filter(|verdict| !matches!(verdict, Verdict::Unknown { .. })).fold(Verdict::Go, Verdict::worse)
}

fn silenced() -> impl Strategy<Value = Vec<Reading>> {
    // Of each source: 0 as it is, 1 unknown, 2 not there at all; at least one of them is not as it is.
    let any_silence = |silences: &Vec<u8>| silences.iter().any(|silence| *silence != 0);
    proptest::collection::vec(0_u8..3, 6).prop_filter("nobody is silent", any_silence).prop_map(|silences| {
        let heard = healthy().into_iter().zip(silences).filter_map(|(reading, silence)| match silence {
            0 => Some(reading),
            1 => Some(unknown(reading.source())),
            _ => None,
        });
        heard.collect()
    })
}

proptest! {
    #[test]
    fn no_batch_begins_after_the_grace_if_any_source_is_silent(readings in silenced()) {
        let mut throttle = Throttle::new(Limits::default(), &Source::POSTGRES);

        let began = batch_after_grace(|now, readings| throttle.decide(now, readings).verdict, &readings);
        let control = batch_after_grace(|_, readings| fail_open(readings), &readings);

        prop_assert_eq!(began, None);
        prop_assert_eq!(control, Some(10), "the check does not notice a throttle that fails open");
    }

    #[test]
    fn silence_is_never_go(readings in silenced()) {
        let verdict = Throttle::new(Limits::default(), &Source::POSTGRES).decide(Instant::now(), &readings).verdict;

        prop_assert!(!matches!(verdict, Verdict::Go | Verdict::Slow(_)), "{verdict:?}");
    }

    #[test]
    fn more_of_a_measure_never_leaves_more(slow: u64, stop: u64, less: u64, more: u64) {
        let limits = Limits { slots: Some(Band { slow, stop }), ..Default::default() };
        let share = |retained_bytes| limits.judge(&Reading::Slots { retained_bytes }).share().map_or(0, Share::percent);

        prop_assert!(share(less.max(more)) <= share(less.min(more)));
    }

    #[test]
    fn worst_does_not_depend_on_the_order(verdicts in proptest::collection::vec(verdict(), 0..6)) {
        let worst = |verdicts: &[Verdict]| {
            let verdict = verdicts.iter().cloned().fold(Verdict::Go, Verdict::worse);
            (verdict.share(), matches!(verdict, Verdict::Unknown { .. }))
        };
        let reversed: Vec<Verdict> = verdicts.iter().rev().cloned().collect();

        prop_assert_eq!(worst(&verdicts), worst(&reversed));
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Go),
        (1_u8..=100).prop_map(|percent| Verdict::Slow(share(percent))),
        Just(Verdict::Unknown { why: String::new() }),
        (0_u32..5).prop_map(|seconds| Verdict::Stop { reason: Source::Load, retry: SECOND * seconds }),
    ]
}
