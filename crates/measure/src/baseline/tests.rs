//! What is written is read again, and what is something else is refused.

use super::*;
use crate::measurement::Raw;

fn measurement(runs: u32) -> Measurement {
    let times: Vec<f64> = (0..runs).map(f64::from).collect();
    Measurement::of("count".to_owned(), Raw { iterations: 1, elapsed: 1.0, times, failed: 0, unanswered: 0 })
}

fn refused(text: &str) -> BaselineError {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baseline.json");
    std::fs::write(&path, text).unwrap();
    Baseline::load(&path).unwrap_err()
}

#[test]
fn a_saved_baseline_is_loaded_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baseline.json");
    let baseline = Baseline::new("2026-01-31T09:00:00Z", Machine::read(), &[measurement(7)]);

    baseline.save(&path).unwrap();

    let loaded = Baseline::load(&path).unwrap();
    assert_eq!(loaded, baseline);
    assert_eq!(loaded.series("count").unwrap().times().len(), 7);
    assert_eq!(loaded.names().collect::<Vec<_>>(), ["count"]);
    assert_eq!(loaded.series("other"), None);
}

#[test]
fn long_series_are_thinned_evenly_and_in_order() {
    let series = measurement(25_000).series();

    let times: Vec<f64> = series.times().iter().map(|time| time.get()).collect();
    assert_eq!(times.len(), MAX_KEPT);
    assert_eq!((times[0], times[9_999]), (0.0, 24_997.0));
    assert!(times.windows(2).all(|pair| [2.0, 3.0].contains(&(pair[1] - pair[0]))));
}

#[test]
fn what_is_no_baseline_is_refused_and_says_why() {
    let machine = serde_json::to_string(&Machine::read()).unwrap();
    let with = |times: &str| {
        format!(
            r#"{{"format":1,"taken_at":"","machine":{machine},"benchmarks":[{{"name":"a","times_ns":[{times}]}}]}}"#
        )
    };

    assert!(matches!(refused(""), BaselineError::NoBaseline { .. }));
    assert!(matches!(refused("[]"), BaselineError::NoBaseline { .. }));
    assert!(matches!(refused(r#"{"format":2}"#), BaselineError::Format { format: 2, .. }));
    assert!(matches!(refused(&with("1, -1")), BaselineError::NoBaseline { .. }));
    // a key that is misspelt, or of a later version, would else be figures that nobody sees
    for (known, unknown) in [
        (r#""format""#, r#""other":1,"format""#),
        (r#""name":"a""#, r#""name":"a","times":[1]"#),
        (r#""system""#, r#""load":1,"system""#),
    ] {
        let error = refused(&with("1").replacen(known, unknown, 1));
        assert!(
            matches!(&error, BaselineError::NoBaseline { source, .. } if source.to_string().contains("unknown field"))
        );
    }
    assert!(matches!(refused(&with(&vec!["1"; MAX_KEPT + 1].join(","))), BaselineError::NoBaseline { .. }));
    assert!(matches!(
        Baseline::load(Path::new("absent/baseline.json")).unwrap_err(),
        BaselineError::File { doing: "read", .. }
    ));
}
