//! The three pure parts against models that are slow and obvious.

use std::time::Duration;

use proptest::prelude::*;

use super::credit::Credit;
use super::plan::{Answer, Plan, Wish};
use crate::clock::Tick;
use crate::memory::EntryKey;
use crate::pulse::Pace;

const WINDOW: Duration = Duration::from_secs(64);

fn key(number: u8) -> EntryKey {
    EntryKey { view: 0, bytes: [number].into() }
}

/// One step: so much later, a reader's load (`true`) or a refresh took so long.
fn steps() -> impl Strategy<Value = Vec<(u64, bool, u64)>> {
    prop::collection::vec((0u64..9_000, prop::bool::weighted(0.4), 1u64..5_000), 1..120)
}

/// A moment and a cost.
type Load = (u64, u64);

/// The first span in which refreshes begin for more than the share of what readers' loads took in it and in the window before.
fn excess(refreshes: &[Load], readers: &[Load], percent: u64) -> Option<(u64, u64)> {
    let window = WINDOW.as_millis() as u64;
    let sum = |loads: &[Load], from: u64, to: u64| -> u64 {
        loads.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, cost)| cost).sum()
    };
    let ends = refreshes.iter().map(|(at, _)| *at);
    let spans = ends.clone().flat_map(|from| ends.clone().map(move |to| (from, to)));
    spans.into_iter().find(|(from, to)| {
        let earned = sum(readers, from.saturating_sub(window), *to) * percent;
        sum(refreshes, *from, *to) * 100 > earned
    })
}

proptest! {
    #[test]
    fn a_period_shrinks_by_a_tenth_of_the_base_on_a_change_and_grows_by_one_otherwise(
        changes in prop::collection::vec(any::<bool>(), 0..60),
    ) {
        let base = Duration::from_secs(1000);
        let (mut pace, mut percent) = (Pace::BASE, 100i32);

        for changed in changes {
            pace = pace.after(changed);
            percent = (percent + if changed { -10 } else { 10 }).clamp(10, 100);

            prop_assert_eq!(pace.of(base), base * percent as u32 / 100);
        }
    }

    #[test]
    fn in_no_span_refreshes_take_more_than_their_share(steps in steps(), percent in 0u32..400) {
        let mut credit = Credit::new(percent, WINDOW);
        let (mut now, mut refreshes, mut readers) = (0, Vec::new(), Vec::new());

        for (pause, reader, cost) in steps {
            now += pause;
            let tick = Tick::from_millis(now);
            if reader {
                credit.earn(tick, cost);
                readers.push((now, cost));
            } else if credit.reserve(tick, cost) {
                credit.settle(tick, cost, cost);
                refreshes.push((now, cost));
            }
        }

        prop_assert_eq!(excess(&refreshes, &readers, u64::from(percent)), None);
    }

    #[test]
    fn what_refreshes_took_too_long_is_paid_back_before_the_next(
        steps in steps(),
        actual in prop::collection::vec(0u64..20_000, 120),
    ) {
        let mut credit = Credit::new(100, WINDOW);
        let (mut now, mut earned, mut spent, mut last_over) = (0, 0u64, 0u64, 0u64);

        for ((pause, reader, cost), actual) in steps.into_iter().zip(actual) {
            now += pause;
            let tick = Tick::from_millis(now);
            if reader {
                credit.earn(tick, cost);
                earned += cost;
            } else if credit.reserve(tick, cost) {
                credit.settle(tick, cost, actual);
                spent += actual;
                last_over = actual.saturating_sub(cost);
            }

            prop_assert!(spent <= earned + last_over, "{spent} of {earned}");
        }
    }

    #[test]
    fn keys_that_pay_most_are_tracked_and_their_load_stays_within_the_allowance(
        wishes in prop::collection::vec((0u8..12, 0u64..6, 1u64..40, 20u64..100), 1..80),
        most in 1usize..8,
    ) {
        let mut plan = Plan::new(most);
        let mut model: Vec<(u8, u64, u64)> = Vec::new();

        for (number, worth, load, allowance) in wishes {
            let wish = Wish { key: key(number), worth, load, until: Tick::NEVER };
            let answer = plan.ask(Tick::from_millis(0), wish, allowance);

            model.retain(|(other, ..)| *other != number);
            let fits = |kept: &[(u8, u64, u64)]| {
                kept.len() < most && kept.iter().map(|(.., load)| load).sum::<u64>() + load <= allowance
            };
            // The least worth first; of equals the one that came first. The sort is stable.
            let mut kept = model.clone();
            kept.sort_by_key(|(_, worth, _)| *worth);
            let mut gone = Vec::new();
            while !fits(&kept) && kept.first().is_some_and(|(_, least, _)| *least < worth) {
                gone.push(kept.remove(0).0);
            }
            let expected = if fits(&kept) {
                model.retain(|(other, ..)| !gone.contains(other));
                model.push((number, worth, load));
                prop_assert!(plan.size().1 <= allowance);
                Answer::Tracked(gone.into_iter().map(key).collect())
            } else {
                Answer::PutOff
            };
            prop_assert_eq!(answer, expected);
            prop_assert_eq!(plan.size(), (model.len(), model.iter().map(|(.., load)| load).sum()));
        }
    }
}

#[test]
fn keys_that_nobody_reads_any_more_make_room() {
    let mut plan = Plan::new(10);
    let until = Tick::from_millis(5_000);
    plan.ask(Tick::from_millis(0), Wish { key: key(1), worth: 9, load: 80, until }, 100);

    let early = plan.ask(Tick::from_millis(4_000), Wish { key: key(2), worth: 1, load: 80, until }, 100);
    let late = plan.ask(Tick::from_millis(5_000), Wish { key: key(2), worth: 1, load: 80, until: Tick::NEVER }, 100);

    assert_eq!((early, late), (Answer::PutOff, Answer::Tracked(Vec::new())));
}

#[test]
fn a_window_that_grows_keeps_what_was_earned() {
    let mut credit = Credit::new(100, WINDOW);
    credit.earn(Tick::from_millis(1_000), 10);

    credit.widen(Tick::from_millis(2_000), WINDOW * 10);

    assert!(credit.reserve(Tick::from_millis(300_000), 10));
    assert!(!credit.reserve(Tick::from_millis(300_000), 1));
}

/// The check of the property above finds an excess where there is one.
#[test]
fn without_a_cap_the_check_of_the_cap_fails() {
    let refreshes: Vec<Load> = (0..100).map(|second| (second * 1000, 10)).collect();

    assert_eq!(excess(&refreshes, &[(0, 500)], 100), Some((0, 50_000)));
}
