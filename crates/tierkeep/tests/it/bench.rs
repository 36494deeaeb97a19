//! `bench`: figures of a small database, kept and compared; nodes that are asked, and those that are not.

use std::path::Path;

use serde_json::Value;

use crate::fixture::{ADA, Fixture, NOW, run, tierkeep};
use crate::serve::{signal, start};

fn bench(fixture: &Fixture, arguments: &[&str]) -> (i32, String, String) {
    let url = fixture.url();
    let common = ["--database", &url, "--now", NOW, "bench"];
    run(&fixture.directory, &common.iter().chain(arguments).copied().collect::<Vec<_>>())
}

/// Arguments of a configuration at whose address nobody listens.
fn alone(fixture: &Fixture) -> [String; 2] {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = fixture.directory.path().join("alone.toml");
    std::fs::write(&file, format!("[http]\nlisten = \"{free}\"\n")).unwrap();
    ["--config".to_owned(), file.display().to_string()]
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn every_statistic_is_measured_from_the_database_and_through_the_tiers() {
    let fixture = Fixture::new().await;

    let (code, stdout, stderr) = bench(&fixture, &["stats", "--runs", "20", "--json"]);

    assert_eq!(code, 0, "{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let benchmarks = document["benchmarks"].as_array().unwrap();
    let names: Vec<&str> = benchmarks.iter().map(|benchmark| benchmark["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 16);
    for kind in ["daily", "weekly", "monthly", "analytics", "streaks", "heatmap", "courses", "global"] {
        for way in ["from the database", "through the tiers"] {
            assert!(names.contains(&&*format!("{kind} {way}")), "{kind} {way}");
        }
    }
    for benchmark in benchmarks {
        assert_eq!((&benchmark["runs"], &benchmark["failed"]), (&20.into(), &0.into()), "{benchmark}");
        assert!(benchmark["median"].as_f64().unwrap() > 0.0 && benchmark["comparison"].is_null());
    }
    assert_eq!(document["load"]["loop"], "closed");
    assert_eq!(document["taken_at"], NOW);
}

#[tokio::test]
async fn figures_are_kept_compared_and_drawn() {
    let fixture = Fixture::new().await;
    let place = |name: &str| fixture.directory.path().join(name);
    let common = ["stats", "streaks", "--runs", "200"];
    let with = |more: &[&str]| bench(&fixture, &common.iter().chain(more).copied().collect::<Vec<_>>());

    let (code, stdout, stderr) = with(&["--save", "before.json", "--plot", "plot.svg"]);

    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("streaks from the database") && stdout.contains("latency, logarithmic"), "{stdout}");
    assert!(stderr.contains("kept in before.json") && stderr.contains("drawn into plot.svg"), "{stderr}");
    assert_eq!(read(&place("plot.svg")).matches("<polyline").count(), 2);

    let (code, stdout, stderr) = with(&["--compare", "before.json", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["compared_with"], NOW);
    for benchmark in document["benchmarks"].as_array().unwrap() {
        let comparison = &benchmark["comparison"];
        assert!(["no difference", "faster", "slower"].contains(&comparison["verdict"].as_str().unwrap()));
        assert!(comparison["low"].as_f64().unwrap() <= comparison["high"].as_f64().unwrap());
    }

    // figures that were a hundred times as good
    let mut before: Value = serde_json::from_str(&read(&place("before.json"))).unwrap();
    for series in before["benchmarks"].as_array_mut().unwrap() {
        for time in series["times_ns"].as_array_mut().unwrap() {
            *time = (time.as_f64().unwrap() / 100.0).into();
        }
    }
    before["machine"]["parallelism"] = 1000.into();
    std::fs::write(place("better.json"), before.to_string()).unwrap();
    let (code, stdout, stderr) = with(&["--compare", "better.json", "--markdown"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("| benchmark |") && stdout.matches("slower: ").count() == 2, "{stdout}");
    assert!(stderr.contains("another machine or build (parallelism differ)"), "{stderr}");
    let (code, stdout, stderr) = with(&["--compare", "better.json", "--fail-if-slower"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stdout.contains("slower: "), "the figures are told all the same: {stdout}");
    assert!(stderr.contains("slower than before: streaks from the database, streaks through the tiers"), "{stderr}");

    // and that were a hundred times as bad
    for series in before["benchmarks"].as_array_mut().unwrap() {
        for time in series["times_ns"].as_array_mut().unwrap() {
            *time = (time.as_f64().unwrap() * 10_000.0).into();
        }
    }
    std::fs::write(place("worse.json"), before.to_string()).unwrap();
    let (code, stdout, stderr) = with(&["--compare", "worse.json", "--fail-if-slower"]);
    assert_eq!((code, stdout.matches("faster: ").count()), (0, 2), "{stdout} {stderr}");
    before["later"] = 1.into();
    std::fs::write(place("later.json"), before.to_string()).unwrap();
    let (code, _, stderr) = with(&["--compare", "later.json"]);
    assert_eq!(code, 2, "{stderr}");
}

#[tokio::test]
async fn a_node_is_started_where_none_runs() {
    let fixture = Fixture::new().await;
    let alone = alone(&fixture);
    let arguments = ["http", "--runs", "30", "--concurrency", "3", "--json", &alone[0], &alone[1]];

    let (code, stdout, stderr) = bench(&fixture, &arguments);

    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("asking one of its own at 127.0.0.1:"), "{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let benchmarks = document["benchmarks"].as_array().unwrap();
    assert_eq!(benchmarks.len(), 8);
    assert!(benchmarks.iter().all(|benchmark| benchmark["runs"] == 30 && benchmark["failed"] == 0), "{stdout}");
    assert_eq!(
        (&document["load"]["concurrency"], &benchmarks[0]["name"]),
        (&3.into(), &"/v1/users/{id}/stats/daily".into())
    );
}

#[tokio::test]
async fn a_running_node_is_asked_at_a_rate() {
    let fixture = Fixture::new().await;
    let url = fixture.url();
    let (child, started) =
        start(tierkeep(&fixture.directory).args(["serve", "--json", "--listen", "127.0.0.1:0", "--database", &url]));
    let server = started["address"].as_str().unwrap();
    let daily = format!("/v1/users/{ADA}/stats/daily");
    let arguments = ["http", "/livez", &daily, "--server", server, "--rate", "200", "--runs", "60", "--json"];

    let (code, stdout, stderr) = bench(&fixture, &arguments);
    let absent = bench(&fixture, &["http", "/v1/absent", "--server", server, "--runs", "3"]);
    signal(&child, "TERM");
    child.wait_with_output().unwrap();

    assert_eq!(code, 0, "{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&document["load"]["loop"], &document["load"]["rate"]), (&"open".into(), &200.0.into()));
    let answered = |benchmark: &Value| benchmark["runs"] == 60 && benchmark["unanswered"] == 0;
    assert!(document["benchmarks"].as_array().unwrap().iter().all(answered), "{stdout}");
    assert_eq!(absent.0, 1);
    assert!(absent.2.contains("/v1/absent: 3 calls failed, the first: status 404"), "{}", absent.2);
}

#[tokio::test]
async fn machines_of_others_are_not_asked() {
    let fixture = Fixture::new().await;

    // an address for documentation, where nobody listens
    let (code, stdout, stderr) = bench(&fixture, &["http", "/livez", "--server", "http://192.0.2.1:8420"]);

    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    assert!(stderr.contains("192.0.2.1:8420 is not this machine"), "{stderr}");
}

#[tokio::test]
async fn what_cannot_be_measured_is_said_before_anything_is() {
    let fixture = Fixture::new().await;
    std::fs::write(fixture.directory.path().join("bad.json"), "{}").unwrap();
    let wrong: &[(&[&str], i32, &str)] = &[
        (&["stats", "daily", "daily"], 2, "named twice"),
        (&["stats", "hourly"], 2, "is not a statistic"),
        (&["stats", "--runs", "0"], 2, "1..=1000000"),
        (&["stats", "--rate", "0"], 2, "accepted: calls a second"),
        (&["stats", "--rate", "5", "--concurrency", "2"], 2, "cannot be used with"),
        (&["stats", "--rate", "1000", "--seconds", "3600"], 2, "accepted: at most 1000000"),
        (&["stats", "--fail-if-slower"], 2, "--compare"),
        (&["stats", "--compare", "absent.json"], 1, "absent.json cannot be read"),
        (&["stats", "--compare", "bad.json"], 2, "bad.json is no baseline"),
        (&["http", "livez"], 2, "is no path"),
        (&["http", "/a b"], 2, "is no path"),
        (&["http", "/a", "/a"], 2, "named twice"),
        (&["http", "--server", "127.0.0.1"], 2, "is no http://host:port"),
        (&["http", "--server", "http://127.0.0.1:1"], 1, "127.0.0.1:1 does not answer"),
    ];

    for (arguments, expected, said) in wrong {
        let (code, stdout, stderr) = bench(&fixture, arguments);
        assert_eq!((code, stdout.as_str()), (*expected, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn an_empty_database_is_said_to_be_empty() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);

    let (code, stdout, stderr) = run(&directory, &["bench", "stats"]);

    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("there are no learners"), "{stderr}");
}
