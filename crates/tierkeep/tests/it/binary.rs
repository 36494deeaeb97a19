//! The binary: how it ends, and what it writes where.

use std::process::Stdio;

use serde_json::Value;

use crate::fixture::{ADA, Fixture, NOBODY, NOW, get, hide_clock, run, tierkeep};

#[test]
fn wrong_usage_ends_with_2_and_writes_nothing_to_stdout() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.toml"), "[databse]\nurl = \"sqlite://x.db\"\n").unwrap();
    let wrong: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["stats"],
        &["stats", "daily"],
        &["stats", "daily", "ada"],
        &["stats", "daily", ADA, "--date", "31.01.2026"],
        &["stats", "analytics", ADA, "--days", "1"],
        &["stats", "analytics", ADA, "--lang", "fr"],
        &["stats", "heatmap", ADA, "--year", "9999"],
        &["stats", "global", "--now", "yesterday"],
        &["stats", "global", "--database", "mysql://localhost/x"],
        &["stats", "global", "--redis", "localhost"],
        &["import"],
        &["import", "--users", "u.csv", "--ids", "text"],
        &["import", "--xapi", "x.json", "--timeout", "10"],
        &["import", "--users", "u.csv", "--read-only"],
        &["migrate", "--read-only"],
        &["verify", "--sample", "some"],
        &["erase", "ada"],
        &["erase", ADA, "--read-only"],
        &["export"],
        &["serve", "--listen", "everywhere"],
        &["serve", "--demo", "--read-only"],
        &["config", "check", "--config", "absent.toml"],
        &["config", "check", "--config", "bad.toml"],
        &["completions", "tcsh"],
    ];

    for arguments in wrong {
        let (code, stdout, stderr) = run(&directory, arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(!stderr.is_empty() && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn only_some_commands_make_a_database() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["stats", "global"][..],
        &["stats", "daily", ADA],
        &["rederive"],
        &["verify"],
        &["erase", ADA],
        &["export", ADA],
    ] {
        let (code, stdout, stderr) = run(&directory, arguments);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains("database sqlite://tierkeep.db"), "{stderr}");
        assert!(!directory.path().join("tierkeep.db").exists());
    }

    let (code, stdout, stderr) = run(&directory, &["migrate", "--ids", "int", "--json"]);

    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["ids"], "int");
    assert!(report["applied"].as_u64().unwrap() > 0);
    let (_, stdout, _) = run(&directory, &["migrate"]);
    assert!(stdout.starts_with("nothing to do"), "{stdout}");
}

#[test]
fn guards_refuse_with_3() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("attached.toml"), "[mapping]\npreset = \"platform\"\n").unwrap();
    std::fs::write(directory.path().join("days.toml"), "[days]\ntime_zone = \"Asia/Tokyo\"\n").unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);
    let refused: &[&[&str]] = &[
        &["serve", "--listen", "0.0.0.0:0"],
        &["serve", "--listen", "[::]:0"],
        &["serve", "--config", "attached.toml"],
        &["stats", "global", "--config", "attached.toml"],
        &["migrate", "--config", "attached.toml"],
        &["stats", "global", "--config", "days.toml"],
    ];

    for arguments in refused {
        let (code, stdout, stderr) = run(&directory, arguments);
        assert_eq!((code, stdout.as_str()), (3, ""), "{arguments:?}: {stderr}");
    }
    assert_eq!(run(&directory, &["rederive", "--config", "days.toml"]).0, 0);
    assert_eq!(run(&directory, &["stats", "global", "--config", "days.toml"]).0, 0);
}

#[tokio::test]
async fn the_command_line_answers_what_the_api_answers() {
    let fixture = Fixture::new().await;
    let url = fixture.url();
    let table: &[(&[&str], String)] = &[
        (&["daily", ADA, "--date", "2026-01-30"], format!("/v1/users/{ADA}/stats/daily?date=2026-01-30")),
        (&["daily", ADA], format!("/v1/users/{ADA}/stats/daily")),
        (&["weekly", ADA, "--week-start", "2026-01-29"], format!("/v1/users/{ADA}/stats/weekly?week_start=2026-01-29")),
        (&["monthly", ADA, "--month", "2026-01"], format!("/v1/users/{ADA}/stats/monthly?month=2026-01")),
        (
            &["analytics", ADA, "--to", "2026-01-31", "--days", "14", "--lang", "zh"],
            format!("/v1/users/{ADA}/analytics?to=2026-01-31&days=14&lang=zh"),
        ),
        (&["streaks", ADA], format!("/v1/users/{ADA}/streaks")),
        (&["heatmap", ADA, "--year", "2026"], format!("/v1/users/{ADA}/heatmap?year=2026")),
        (&["courses", ADA], format!("/v1/users/{ADA}/courses/summary")),
        (&["global"], "/v1/stats/global".to_owned()),
    ];
    for (arguments, address) in table {
        let common = ["--json", "--now", NOW, "--database", &url, "stats"];
        let arguments: Vec<&str> = common.iter().chain(*arguments).copied().collect();
        let (code, stdout, stderr) = run(&fixture.directory, &arguments);
        let answer = get(fixture.app(), address).await;

        assert_eq!(code, 0, "{stderr}");
        // the fields stand in the same order too
        let shown = |text: &str| {
            let mut json: Value = serde_json::from_str(text).unwrap();
            hide_clock(&mut json);
            json.to_string()
        };
        assert_eq!(shown(&stdout), shown(&String::from_utf8(answer.body).unwrap()), "{address}");
    }
}

#[tokio::test]
async fn learners_that_are_unknown_fail_and_future_dates_are_wrong_usage() {
    let fixture = Fixture::new().await;
    let url = fixture.url();
    let ask = |arguments: &[&str]| {
        let common = ["--database", &url, "--now", NOW, "stats"];
        run(&fixture.directory, &common.iter().chain(arguments).copied().collect::<Vec<_>>())
    };

    for user in [NOBODY, "42", "-1"] {
        let (code, stdout, stderr) = ask(&["streaks", user]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(&format!("learner {user} is unknown")), "{stderr}");
    }
    let (code, _, stderr) = ask(&["daily", ADA, "--date", "2026-02-02"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("accepted: up to 2026-02-01"), "{stderr}");
    let (code, stdout, _) = ask(&["daily", ADA, "--read-only"]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("{\n  \"user_id\""), "people get it indented: {stdout}");
}

#[test]
fn json_is_the_only_thing_on_stdout() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);
    for arguments in [
        &["--json", "config", "check"][..],
        &["config", "show", "--json"],
        &["--json", "migrate"],
        &["rederive", "--json"],
        &["stats", "global", "--json"],
        &["openapi", "--json"],
        &["openapi"],
    ] {
        let (code, stdout, stderr) = run(&directory, arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        assert!(serde_json::from_str::<Value>(&stdout).is_ok(), "{arguments:?}: {stdout}");
    }
}

#[test]
fn the_effective_configuration_is_shown_with_origins_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tierkeep.toml"), "[days]\nlanguage = \"zh\"\n").unwrap();

    let output = tierkeep(&directory)
        .args(["config", "show", "--json", "--redis", "redis://:hidden@cache"])
        .env("TIERKEEP_DATABASE_URL", "postgres://app:hidden@host/db")
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("hidden"), "{text}");
    let shown: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let values = &shown["values"];
    assert_eq!(values["days.language"]["origin"], "tierkeep.toml:2");
    assert_eq!(values["database.url"]["origin"], "TIERKEEP_DATABASE_URL");
    assert_eq!(values["redis.url"]["value"], "redis://:***@cache");
    assert_eq!(values["http.listen"]["origin"], "default");
    assert_eq!(shown["file"], "tierkeep.toml");
    assert!(text.contains("configuration tierkeep.toml, database postgres://app:***@host/db"), "{text}");
}

#[test]
fn every_shell_has_completions() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, stdout, _) = run(&directory, &["completions", shell]);
        assert!(code == 0 && stdout.contains("tierkeep") && stdout.contains("heatmap"), "{shell}");
    }
    assert_eq!(run(&directory, &["man", "pages"]).0, 0);
    assert!(directory.path().join("pages/tierkeep-serve.1").exists());
}

#[test]
fn help_and_version_succeed_on_stdout() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["help", "import"]] {
        let (code, stdout, stderr) = run(&directory, arguments);
        assert!(code == 0 && !stdout.is_empty() && stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = tierkeep(&directory)
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
