//! The public sample and its figures, and a small file with the same traps.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

use serde_json::json;
use tokio::sync::mpsc;

use super::super::super::source::Source;
use super::super::*;
use super::{PLAYED, TERMINATED};
use crate::calendar::{Calendar, DayStart, Zone, ZoneHistory};

/// Statements, actors, verbs, sittings and days of the public sample, as published with it.
#[test]
fn the_public_sample_gives_its_golden_figures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fun-mooc-statements.json.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("ABSENT: {} is not here, so its golden figures were NOT checked", path.display());
        return;
    };

    let (report, ledger) = gathered(file);
    let settled = ledger.settle();

    assert_eq!((report.statements, settled.learners.len()), (22_000, 1_452));
    assert_eq!((settled.duplicates, settled.conflicts, settled.voided), (0, 0, 0));
    let verbs: Vec<(&str, u64)> = report.verbs.iter().map(|(verb, &count)| (verb.as_str(), count)).collect();
    assert_eq!(
        verbs,
        [
            ("http://adlnet.gov/expapi/verbs/completed", 636),
            ("http://adlnet.gov/expapi/verbs/initialized", 1_348),
            ("http://adlnet.gov/expapi/verbs/interacted", 3_546),
            ("http://adlnet.gov/expapi/verbs/terminated", 338),
            ("http://id.tincanapi.com/verb/downloaded", 54),
            ("https://w3id.org/xapi/video/verbs/paused", 6_480),
            ("https://w3id.org/xapi/video/verbs/played", 6_603),
            ("https://w3id.org/xapi/video/verbs/seeked", 2_995),
        ]
    );
    for (timeout, seconds, sittings) in [
        (120, 198_584, 17_090),
        (300, 824_827, 13_987),
        (600, 2_016_608, 11_232),
        (900, 3_081_424, 9_779),
        (1_800, 5_265_984, 8_027),
        (3_600, 7_284_178, 7_200),
    ] {
        assert_eq!(counted(&settled, timeout), (seconds, sittings), "{timeout} s");
    }
    assert_eq!((learner_days(&settled, "UTC"), learner_days(&settled, "Europe/Paris")), (6_345, 6_350));
}

/// A small file with the traps of the public sample: no order, repeats with other ids, sessions that end before they
/// begin, closing statements without a duration, numbers that change their type.
#[test]
fn a_sample_with_the_same_traps_gives_what_a_slow_count_gives() {
    let (mut lines, mut instants) = (String::new(), Vec::new());
    let mut random = 42u64;
    for number in 0..600u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let learner = (random >> 33) % 7;
        let micros = 1_637_750_000_000_000 + (random >> 20) % 200_000_000_000;
        let at = instant::from_micros(micros as i64).unwrap();
        let verb = [PLAYED, TERMINATED, "http://adlnet.gov/expapi/verbs/initialized"][number as usize % 3];
        let progress = if number % 2 == 0 { json!(1) } else { json!(0.472) };
        for copy in 0..1 + u64::from(number % 10 == 0) {
            let statement = json!({
                "verb": {"id": verb, "display": {"en-US": "?"}},
                "id": format!("{copy:08x}-0000-4000-8000-{number:012x}"),
                "actor": {"objectType": "Agent", "account":
                    {"name": format!("{learner:08}-1111-4111-8111-111111111111"), "homePage": "http://fun-mooc.fr"}},
                "object": {"id": "uuid://1", "definition": {"type": "https://w3id.org/xapi/video/activity-type/video"}},
                "result": {"extensions": {"https://w3id.org/xapi/video/extensions/progress": progress}},
                "context": {"extensions": {"https://w3id.org/xapi/video/extensions/session-id": number % 90}},
                "timestamp": format!("{}+00:00", at.to_string().trim_end_matches('Z')),
            });
            lines.push_str(&format!("{statement}\n"));
        }
        instants.push((learner, micros as i64));
    }

    let (report, ledger) = gathered(Cursor::new(lines.into_bytes()));
    let settled = ledger.settle();

    assert_eq!((report.statements, settled.learners.len(), settled.duplicates), (660, 7, 0));
    instants.sort_unstable();
    for timeout in [120, 600, 3_600] {
        let pauses = instants.windows(2).map(|pair| (pair[0].0 == pair[1].0, pair[1].1 - pair[0].1));
        let short: Vec<i64> = pauses
            .filter(|&(same, pause)| same && pause < i64::from(timeout) * 1_000_000)
            .map(|(_, pause)| pause)
            .collect();
        let seconds = short.iter().sum::<i64>() / 1_000_000;
        assert_eq!(counted(&settled, timeout), (seconds, instants.len() - short.len()), "{timeout} s");
    }
    let mut days: Vec<(u64, i64)> =
        instants.iter().map(|&(learner, at)| (learner, at.div_euclid(86_400_000_000))).collect();
    days.dedup();
    assert_eq!(learner_days(&settled, "UTC"), days.len());
}

fn gathered(reader: impl Read) -> (XapiImported, Ledger) {
    let (sender, _receiver) = mpsc::channel(1000);
    let source = Source::unmetered(reader).unwrap();
    let gathered = gather("sample", source, KeyType::Uuid, &mut Feeder::new(sender)).expect("the sample can be read");
    assert_eq!(gathered.0.verbs.values().sum::<u64>(), gathered.0.statements, "nothing is rejected");
    gathered
}

fn counted(settled: &Settled, timeout: u32) -> (i64, usize) {
    let estimator = Estimator::gap(timeout, 0).unwrap();
    let all: Vec<_> =
        settled.learners.iter().flat_map(|learner| sittings(&learner.points, &learner.intervals, estimator)).collect();
    (all.iter().map(|sitting| sitting.end - sitting.start).sum::<i64>() / 1_000_000, all.len())
}

fn learner_days(settled: &Settled, zone: &str) -> usize {
    let calendar = Calendar::new(ZoneHistory::new(Zone::new(zone).unwrap()), DayStart::default());
    let days = |learner: &Learner| {
        let days = learner.points.iter().map(|point| calendar.day_of(timestamp(point.at)));
        days.collect::<BTreeSet<_>>().len()
    };
    settled.learners.iter().map(days).sum()
}
