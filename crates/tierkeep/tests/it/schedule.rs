//! The words of `schedule` and `work`, what they refuse, and who is told of failures.

use serde_json::{Value, json};
use tierkeep_db::Dialect;

use crate::attach::{self, GUIDE};
use crate::fixture::run;
use crate::node::on_both;
use crate::served::{Site, TASKS};

on_both!(
    tasks_are_listed_run_and_switched,
    a_task_that_does_not_exist_is_wrong_usage,
    what_the_configuration_forbids_is_refused,
    somebody_is_told_when_a_task_has_failed_for_the_last_time_and_not_before,
    a_node_tells_somebody_of_a_task_that_failed,
);

fn task<'a>(tasks: &'a Value, name: &str) -> &'a Value {
    tasks.as_array().unwrap().iter().find(|task| task["name"] == name).unwrap_or_else(|| panic!("{tasks}"))
}

async fn tasks_are_listed_run_and_switched(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    let (code, table, stderr) = site.run(&["schedule", "list"]);
    assert_eq!(code, 0, "{stderr}");
    for word in TASKS.iter().chain(&["every 300s", "every 3600s", "0 2 * * *", "0 3 * * *", "UTC"]) {
        assert!(table.contains(word), "{word}: {table}");
    }
    let tasks = site.told(&["schedule", "list"]);
    let names: Vec<&Value> = tasks.as_array().unwrap().iter().map(|task| &task["name"]).collect();
    assert_eq!(names, TASKS);
    for task in tasks.as_array().unwrap() {
        assert!(task["enabled"] == true && task["next_at"].is_string() && task["last"].is_null(), "{task}");
    }
    assert_eq!(site.run(&["schedule", "history"]).1.trim(), "there are no runs");
    assert_eq!(site.told(&["schedule", "history"]), json!([]));

    let name = "update-analytics";
    let (code, stdout, _) = site.run(&["schedule", "disable", name]);
    assert_eq!((code, stdout.trim()), (0, "update-analytics is off"));
    let off = site.told(&["schedule", "disable", name]);
    assert_eq!((&off["name"], &off["enabled"], &off["next_at"]), (&json!(name), &json!(false), &Value::Null));
    let (code, stdout, stderr) = site.run(&["schedule", "run", name]);
    assert!(code == 0 && stdout.contains("asked for") && stdout.contains("done"), "{stdout} {stderr}");
    let runs = site.told(&["schedule", "run", name]);
    assert_eq!(
        (&runs[0]["state"], &runs[0]["asked_for"], &runs[0]["attempts"]),
        (&json!("done"), &json!(true), &json!(1))
    );
    assert_eq!(runs[0]["output"]["learners"], 0, "the day was written by the run before: {runs}");
    let (code, stdout, _) = site.run(&["schedule", "enable", name]);
    assert!(code == 0 && stdout.starts_with("update-analytics is on, and due at 20"), "{stdout}");
    assert_eq!(site.told(&["schedule", "enable", name])["enabled"], true);

    let listed = site.told(&["schedule", "list"]);
    assert_eq!(task(&listed, name)["last"]["run_id"], runs[0]["run_id"]);
    assert!(task(&listed, name)["succeeded_at"].is_string() && task(&listed, name)["failures"] == 0, "{listed}");
    assert_eq!(site.told(&["schedule", "history", name]).as_array().unwrap().len(), 2);
    assert_eq!(site.told(&["schedule", "history", "--limit", "1"]), runs, "the newest");
    assert_eq!(site.told(&["schedule", "history", "archive-old-data"]), json!([]));
    let (code, table, _) = site.run(&["schedule", "history"]);
    assert!(code == 0 && table.contains(name) && table.contains("seconds"), "{table}");
}

async fn a_task_that_does_not_exist_is_wrong_usage(dialect: Dialect) {
    let site = Site::new(dialect, "").await;
    let wrong: [&[&str]; 4] = [&["run"], &["enable"], &["disable"], &["history"]];
    for words in wrong {
        let (code, stdout, stderr) = site.run(&[&["schedule"], words, &["update-analytic"]].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{words:?}: {stderr}");
        let accepted = stderr.split("accepted: ").nth(1).unwrap_or_default();
        assert!(accepted.starts_with("update-analytics"), "the most alike comes first: {stderr}");
        assert!(TASKS.iter().all(|task| accepted.contains(task)), "{stderr}");
    }
    let wrong: [&[&str]; 6] = [
        &["schedule"],
        &["schedule", "run"],
        &["schedule", "history", "--limit", "0"],
        &["schedule", "list", "--read-only"],
        &["work", "--read-only"],
        &["work", "--twice"],
    ];
    for words in wrong {
        assert_eq!(site.run(words).0, 2, "{words:?}");
    }
}

#[test]
fn a_wrong_schedule_in_the_configuration_is_wrong_usage() {
    let directory = tempfile::tempdir().unwrap();
    let wrong: [(&str, &[&str]); 11] = [
        ("[schedule]\narchive-old-data = \"61 2 * * *\"", &["tierkeep.toml", "minute field (column 1)", "61"]),
        ("[schedule]\narchive-old-data = \"0 2 * * *  mon sun\"", &["column"]),
        ("[schedule]\narchive-old-data = \"0 2 * *\"", &["weekday field (column"]),
        ("[schedule]\narchive-old-data = \"0 0 30 2 *\"", &["day field (column 5)", "never run"]),
        ("[schedule]\narchive-old-data = \"every 0s\"", &["period (column 7)", "1s to 366d"]),
        ("[schedule]\narchive-old-data = 300", &["every 5m"]),
        ("[schedule]\narchive-data = \"0 2 * * *\"", &["unknown key", "archive-old-data"]),
        ("[schedule]\nretries = 11", &["0 to 10"]),
        ("[schedule.missed]\narchive-old-data = \"twice\"", &["once"]),
        ("[notify]\non_failure = \" \"", &["a command for sh"]),
        ("[days]\ntime_zone = \"Mars/Olympus\"", &["Mars/Olympus"]),
    ];
    for (config, words) in wrong {
        std::fs::write(directory.path().join("tierkeep.toml"), config).unwrap();
        for command in [&["config", "check"][..], &["schedule", "list"], &["serve"]] {
            let (code, stdout, stderr) = run(&directory, command);
            assert_eq!((code, stdout.as_str()), (2, ""), "{config}: {stderr}");
            assert!(words.iter().all(|word| stderr.contains(word)), "{config}: {stderr}");
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made");
}

async fn what_the_configuration_forbids_is_refused(dialect: Dialect) {
    const NAME: &str = "archive-old-data";
    let site = Site::new(dialect, "[retention]\nwindows = [\"03:00-04:00\"]\n").await;

    let (code, _, stderr) = site.run(&["schedule", "run", NAME]);
    assert!(code == 3 && stderr.contains("open next at 2026-02-01T03:00:00Z"), "{code} {stderr}");
    // on since it was made, and forbidden later
    site.configure("[retention]\nenabled = false\n");
    for words in [&["run", NAME][..], &["enable", NAME, "--yes"]] {
        let (code, _, stderr) = site.run(&[&["schedule"], words].concat());
        assert!(code == 3 && stderr.contains("retention.enabled is false"), "{words:?}: {code} {stderr}");
    }
    site.make_due(&[NAME]).await;
    assert_eq!(site.told(&["work", "--once"]), json!([]), "the configuration has switched it off");
    assert_eq!(task(&site.told(&["schedule", "list"]), NAME)["enabled"], false);
    assert_eq!(site.installation.number("select count(*) from tierkeep_quarantine").await, 0, "nothing was moved");

    site.configure("");
    let (code, _, stderr) = site.run(&["schedule", "enable", NAME]);
    assert!(code == 3 && stderr.contains("what the task would do") && stderr.contains("--yes"), "{code} {stderr}");
    assert_eq!(site.run(&["schedule", "run", NAME]).0, 0);
    assert_eq!(site.installation.number("select count(*) from tierkeep_quarantine").await, 1);
}

#[tokio::test]
async fn a_platforms_data_is_archived_only_after_somebody_has_agreed() {
    const NAME: &str = "archive-old-data";
    let site = attach::Site::new(&GUIDE).await;
    let ask = |words: &[&str]| site.run(&[words, &["--now", "2027-01-01T12:00:00Z"]].concat());
    let is_on = || {
        let tasks: Value = serde_json::from_str(&ask(&["schedule", "list", "--json"]).1).unwrap();
        task(&tasks, NAME)["enabled"].as_bool().unwrap()
    };
    let archived = async || -> i64 {
        let query = "select count(*) from study_sessions_archive";
        site.psql.query_one(query, &[]).await.unwrap().get(0)
    };
    let make_due = "update tierkeep_schedule set next_at = now() - interval '1 second' where name = 'archive-old-data'";
    assert_eq!(ask(&["attach"]).0, 0);
    assert_eq!(ask(&["work", "--once"]).0, 0);
    assert!(!is_on());

    let (code, stdout, stderr) = ask(&["schedule", "enable", NAME]);
    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    for words in ["what the task would do", "archive", "nothing was written", "accepted: --yes"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert!(!is_on());
    site.psql.batch_execute(make_due).await.unwrap();
    assert_eq!(ask(&["work", "--once"]).0, 0);
    assert_eq!(archived().await, 0, "a task that is off is not due");

    let (code, stdout, stderr) = ask(&["schedule", "enable", NAME, "--yes"]);
    assert!(code == 0 && stdout.contains("is on, and due at"), "{stdout} {stderr}");
    assert!(stderr.contains("what the task would do") && is_on(), "{stderr}");
    site.psql.batch_execute(make_due).await.unwrap();
    let (code, stdout, stderr) = ask(&["work", "--once"]);
    assert!(code == 0 && stdout.contains(NAME), "{stdout} {stderr}");
    assert_eq!(archived().await, 1);

    assert_eq!(ask(&["schedule", "disable", NAME]).0, 0);
    assert!(!is_on());
    let config = site.directory.path().join("tierkeep.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "\n[retention]\nenabled = false\n").unwrap();
    let (code, _, stderr) = ask(&["schedule", "enable", NAME, "--yes"]);
    assert!(code == 3 && stderr.contains("retention.enabled is false"), "{code} {stderr}");
    assert!(!is_on());
}

/// What was told under the number of a run.
fn notice(site: &Site, run: i64) -> Option<String> {
    std::fs::read_to_string(site.directory.path().join(format!("told.{run}"))).ok()
}

const TELLING: &str = "[notify]\non_failure = \"env | grep ^TIERKEEP_ > told && mv told told.$TIERKEEP_RUN\"\n";
const BREAK: &str = "alter table tierkeep_learning_analytics rename to elsewhere";
const MEND: &str = "alter table elsewhere rename to tierkeep_learning_analytics";

async fn somebody_is_told_when_a_task_has_failed_for_the_last_time_and_not_before(dialect: Dialect) {
    let name = "update-analytics";
    let site = Site::new(dialect, &format!("{TELLING}[schedule]\nretries = 1\nretry_pause = \"1h\"\n")).await;
    assert_eq!(site.run(&["work", "--once"]).0, 0);
    site.installation.run(BREAK).await;
    site.make_due(&[name]).await;

    let (code, first, _) = site.ask(&["work", "--once"]);
    assert_eq!((code, &first[0]["state"], &first[0]["attempts"]), (1, &json!("waiting"), &json!(1)), "{first}");
    let run: i64 = first[0]["run_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(notice(&site, run), None, "it is tried again");
    site.installation.run("update tierkeep_schedule_run set run_at = started_at where state = 'waiting'").await;
    let (code, last, _) = site.ask(&["work", "--once"]);

    assert_eq!((code, &last[0]["state"], &last[0]["attempts"]), (1, &json!("failed"), &json!(2)), "{last}");
    let told = notice(&site, run).expect("the process does not end before somebody is told");
    for line in [format!("TIERKEEP_TASK={name}"), "TIERKEEP_STATE=failed".to_owned(), format!("TIERKEEP_RUN={run}")] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    let error = last[0]["error"].as_str().unwrap();
    assert!(
        error.contains("tierkeep_learning_analytics") && told.contains(&format!("TIERKEEP_ERROR={error}")),
        "{told}"
    );
    assert_eq!(task(&site.told(&["schedule", "list"]), name)["failures"], 1);
    // one that somebody asked for here fails at once
    assert_eq!(site.run(&["schedule", "run", name]).0, 1);
    assert!(notice(&site, run + 1).is_some());
    site.installation.run(MEND).await;
    assert_eq!(site.run(&["schedule", "run", name]).0, 0);
    assert_eq!(notice(&site, run + 2), None);
}

async fn a_node_tells_somebody_of_a_task_that_failed(dialect: Dialect) {
    let config = format!("{TELLING}[schedule]\nretries = 0\nupdate-analytics = \"every 1s\"\n");
    let site = Site::new(dialect, &config).await;
    site.installation.run(BREAK).await;
    let node = site.serve(&[]);

    site.until_runs("task = 'update-analytics' and state = 'failed'", 1).await;
    node.end();

    let first = "select min(id) from tierkeep_schedule_run where state = 'failed'";
    let told = notice(&site, site.installation.number(first).await).expect("told before the node ended");
    assert!(told.contains("TIERKEEP_TASK=update-analytics"), "{told}");
}
