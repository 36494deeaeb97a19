//! Which run begins, against the rules one by one.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000;

fn runs() -> impl Strategy<Value = Vec<OpenRun>> {
    let run =
        (0..2_000_i64, any::<[bool; 3]>(), 0..6_u32).prop_map(|(run_at, [asked, here, lost], failures)| OpenRun {
            failures,
            is_asked_for: asked || here,
            is_only_here: here,
            is_lost: lost,
            ..OpenRun::waiting(RunId::new(0), instant(run_at))
        });
    (proptest::collection::vec(run, 0..6), proptest::option::of(0..6_usize)).prop_map(|(mut runs, works)| {
        for (id, run) in (1..).zip(&mut runs) {
            run.id = RunId::new(id);
        }
        if let Some(run) = works.and_then(|at| runs.get_mut(at)) {
            run.works = true;
        }
        runs
    })
}

proptest! {
    #[test]
    fn nothing_begins_beside_what_works(open in runs(), is_enabled: bool) {
        let works = open.iter().find(|run| run.works);

        let picked = pick(&open, is_enabled, instant(NOW), Retries::default());

        if let Some(works) = works {
            match picked {
                Pick::Nothing => prop_assert!(!works.is_lost),
                Pick::Take { run, failures } => {
                    prop_assert!(works.is_lost && run == works && !run.is_only_here);
                    prop_assert!(failures == works.failures + 1 && failures <= 3);
                }
                Pick::GiveUp { run, failures } => {
                    prop_assert!(works.is_lost && run == works && (run.is_only_here || failures > 3));
                }
            }
        }
    }

    #[test]
    fn first_that_may_begin_does(open in runs(), is_enabled: bool) {
        prop_assume!(!open.iter().any(|run| run.works));
        let mut first: Option<&OpenRun> = None;
        for run in &open {
            let may = run.run_at <= instant(NOW) && !run.is_only_here && (is_enabled || run.is_asked_for);
            if may && first.is_none_or(|first| run.run_at < first.run_at) {
                first = Some(run);
            }
        }

        let picked = pick(&open, is_enabled, instant(NOW), Retries::default());

        prop_assert_eq!(picked, first.map_or(Pick::Nothing, |run| Pick::Take { run, failures: run.failures }));
    }
}

#[test]
fn zones_are_called_by_their_names() {
    assert_eq!(zone_name(&TimeZone::UTC), "UTC");
    assert_eq!(zone_name(&TimeZone::get("Europe/Berlin").unwrap()), "Europe/Berlin");
    assert_eq!(zone_name(&TimeZone::fixed(jiff::tz::offset(2))), "+02");
}
