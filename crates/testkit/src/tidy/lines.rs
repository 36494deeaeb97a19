//! What must not stand in Rust source, and what must not stand anywhere.

use super::rust_text::{RustText, is_test_file};
use super::{Finding, SourceFile, line_of, words};

/// The one file that reads the wall clock.
const CLOCK: &str = "crates/tierkeep/src/clock.rs";

/// Places where statements are put together from checked parts, and tests that play other people's programs.
const STATEMENT_BUILDERS: [&str; 18] = [
    "crates/tierkeep/benches/node/",
    "crates/tierkeep/tests/load/",
    "crates/db/src/statement.rs",
    "crates/db/src/statement/",
    "crates/db/tests/advice/advising.rs",
    "crates/db/tests/feed/",
    "crates/db/tests/statistics/counted.rs",
    "crates/testkit/",
    "crates/learning/tests/crashes/",
    "crates/learning/tests/stores/",
    "crates/learning/benches/retention.rs",
    "crates/retention/tests/ledger/",
    "crates/tierkeep/tests/it/attach.rs",
    "crates/tierkeep/tests/it/cleanup.rs",
    "crates/tierkeep/tests/it/doctor_at_work.rs",
    "crates/tierkeep/tests/it/erasure.rs",
    "crates/tierkeep/tests/freshness/",
    "crates/tierkeep/tests/processes/",
];

/// Places where days are counted, by the calendar.
const CALENDAR_PLACES: [&str; 2] = ["crates/learning/src/", "crates/tierkeep/src/"];

/// Settings are read here, addresses among them that are not connected to.
const SETTINGS: &str = "crates/tierkeep/src/config/";

/// Addresses are read here, and shown; the tests of it connect to none.
const ADDRESSES: [&str; 2] = ["crates/cache/src/redis/address.rs", "crates/python/src/node/address.rs"];

/// The clock of the cache, advanced by a thread that sleeps in between; and waits of the Python extension, where a lock to wait
/// on would be copied by a fork as it is.
const SLEEPERS: [&str; 3] =
    ["crates/cache/src/clock.rs", "crates/python/src/gate.rs", "crates/python/src/node/lane.rs"];

/// Test binaries of several files whose every test runs on paused time, or on the simulator's.
const PAUSED: [&str; 4] = [
    "crates/cache/tests/properties/",
    "crates/cache/tests/simulation",
    "crates/cache/tests/warmup/",
    "crates/cache/tests/writes/",
];

/// Places that read durations such as `7d` and `P1D`: always 24 hours, unlike a local day.
const DURATION_READERS: [&str; 2] = [SETTINGS, "crates/learning/src/import/xapi/duration.rs"];

/// Hosts of a test's own machine.
const LOOPBACK: [&str; 4] = ["127.0.0.1:", "localhost:", "0.0.0.0:", "[::1]:"];

/// Where the first workspace of this project lay; in two parts, or this file would break its own rule.
const MACHINE_PATH: &str = concat!("/wo", "rk/");

/// Rust that the style guide or the design rules out and clippy cannot see.
pub fn refused(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter_map(|file| RustText::read(file).map(|text| (file, text)))
        .flat_map(|(file, text)| {
            let place = Place { file, text: &text };
            [
                attributes(&place),
                sleeps(&place),
                ports(&place),
                channels(&place),
                clocks(&place),
                seconds_of_a_day(&place),
                statements_from_strings(&place),
            ]
        })
        .flatten()
        .collect()
}

/// Seconds of a day in the SQL of the crates that count days, as [`refused`] finds them in Rust.
pub fn seconds_of_a_day_in_sql(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.path.ends_with(".sql") && counts_days(&file.path))
        .flat_map(|file| words(&file.text, "86400").map(|at| Finding::new(file, line_of(&file.text, at), DAY_MESSAGE)))
        .collect()
}

/// Absolute paths of the machine where this was written, in any file.
pub fn machine_paths(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (at, _) in file.text.match_indices(MACHINE_PATH) {
            let before = file.text[..at].chars().next_back();
            // Inside a longer path it is some other directory of that name.
            if before.is_none_or(|c| !c.is_alphanumeric() && !"_-./}~*".contains(c)) {
                let message = "a path of one machine; accepted: a path from the root of the workspace";
                findings.push(Finding::new(file, line_of(&file.text, at), message));
            }
        }
    }
    findings
}

const DAY_MESSAGE: &str =
    "a local day is not a number of seconds; accepted: LocalDay and civil dates, or a row in DURATION_READERS";

/// A Rust file and its readings.
struct Place<'a> {
    file: &'a SourceFile,
    text: &'a RustText,
}

impl Place<'_> {
    /// Findings where `needles` stand in code, between words.
    fn in_code(&self, needles: &[&str], message: &str) -> Vec<Finding> {
        needles
            .iter()
            .flat_map(|needle| self.text.code.match_indices(needle))
            .map(|(at, _)| self.finding(at, message))
            .collect()
    }

    fn finding(&self, at: usize, message: &str) -> Finding {
        Finding::new(self.file, line_of(&self.text.code, at), message)
    }
}

fn attributes(place: &Place<'_>) -> Vec<Finding> {
    let mut findings = place.in_code(
        &["#[ignore", "#[allow(", "#![allow("],
        "a rule is not switched off in silence; accepted: `#[expect(lint, reason = \"…\")]`, a test that runs",
    );
    findings.sort_by_key(|finding| finding.line);
    findings
}

fn sleeps(place: &Place<'_>) -> Vec<Finding> {
    let message = "a wait for time, not for an event; accepted: an event with a timeout, or paused time";
    let path = place.file.path.as_str();
    let code = &place.text.code;
    let mut findings = if SLEEPERS.contains(&path) { Vec::new() } else { place.in_code(&["thread::sleep"], message) };
    let paused = code.contains("start_paused") || PAUSED.iter().any(|tests| path.starts_with(tests));
    if is_test_file(path) && !paused {
        let is_call = |at: &usize| code[at + "sleep".len()..].starts_with('(');
        let is_of_thread = |at: &usize| code[..*at].ends_with("thread::");
        findings.extend(
            words(code, "sleep").filter(|at| is_call(at) && !is_of_thread(at)).map(|at| place.finding(at, message)),
        );
    }
    findings
}

fn ports(place: &Place<'_>) -> Vec<Finding> {
    if place.file.path.starts_with(SETTINGS) || ADDRESSES.contains(&place.file.path.as_str()) {
        return Vec::new();
    }
    let text = &place.text.with_literals;
    LOOPBACK
        .iter()
        .flat_map(|host| text.match_indices(host).map(|(at, host)| (at, at + host.len())))
        .filter(|(_, port)| {
            let digits = text[*port..].bytes().take_while(u8::is_ascii_digit).count();
            digits >= 4 && !text[*port..].starts_with('0')
        })
        .map(|(at, _)| place.finding(at, "a fixed port may be taken; accepted: port 0, or a Unix socket"))
        .filter(|finding| place.text.is_test(finding.line))
        .collect()
}

fn channels(place: &Place<'_>) -> Vec<Finding> {
    let message = "a queue without a bound; accepted: a channel with a capacity";
    let mut findings =
        place.in_code(&["unbounded_channel", "mpsc::channel()", "mpsc::unbounded(", "channel::unbounded("], message);
    // `std::sync::mpsc::channel::<T>()`; those of tokio take a capacity.
    for (at, start) in place.text.code.match_indices("mpsc::channel::<") {
        let rest = &place.text.code[at + start.len()..];
        if rest.find('(').is_some_and(|open| rest[open + 1..].trim_start().starts_with(')')) {
            findings.push(place.finding(at, message));
        }
    }
    findings
}

fn clocks(place: &Place<'_>) -> Vec<Finding> {
    if place.file.path == CLOCK {
        return Vec::new();
    }
    place.in_code(
        &["SystemTime::now", "Timestamp::now", "Zoned::now"],
        "the wall clock is read in one place; accepted: `now` as an argument, from tierkeep::clock",
    )
}

fn seconds_of_a_day(place: &Place<'_>) -> Vec<Finding> {
    if !counts_days(&place.file.path) {
        return Vec::new();
    }
    ["86400", "86_400", "86_400_000", "86400000", "86_400_000_000", "86400000000"]
        .iter()
        .flat_map(|number| words(&place.text.with_literals, number))
        .map(|at| place.finding(at, DAY_MESSAGE))
        .filter(|finding| !place.text.is_test(finding.line))
        .collect()
}

fn counts_days(path: &str) -> bool {
    CALENDAR_PLACES.iter().any(|start| path.starts_with(start))
        && !DURATION_READERS.iter().any(|start| path.starts_with(start))
}

fn statements_from_strings(place: &Place<'_>) -> Vec<Finding> {
    if STATEMENT_BUILDERS.iter().any(|start| place.file.path.starts_with(start)) {
        return Vec::new();
    }
    let text = &place.text.with_literals;
    text.match_indices("format!(")
        // Only a call in code: the reading without literals has it at the same place.
        .filter(|(at, call)| place.text.code[*at..].starts_with(call))
        .filter(|(at, call)| starts_a_statement(&text[at + call.len()..]))
        .map(|(at, _)| {
            place.finding(at, "SQL put together from strings; accepted: db::statement, an .sql file, bound values")
        })
        .collect()
}

/// Whether an argument is a string literal that starts as a statement does.
fn starts_a_statement(argument: &str) -> bool {
    let argument = argument.trim_start().trim_start_matches('r').trim_start_matches('#');
    let Some(literal) = argument.strip_prefix('"') else { return false };
    let literal = literal.trim_start_matches(['\\', '\n', ' ']);
    let literal: String = literal.chars().take_while(|c| *c != '"').collect::<String>().to_ascii_lowercase();
    let mut words = literal.split_whitespace();
    match (words.next(), words.next()) {
        (Some("select"), Some(_)) => true,
        (Some("insert"), Some(second)) => matches!(second, "into" | "or"),
        (Some("delete"), Some(second)) => second == "from",
        (Some("update"), Some(_)) => words.any(|word| word == "set"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        refused(&[SourceFile::new(path, text)]).iter().map(|finding| finding.line).collect()
    }

    /// Asserts that a text is refused in its last line, and nowhere else.
    fn assert_refused(path: &str, text: &str) {
        assert_eq!(lines(path, text), [text.lines().count()], "{path}: {text}");
    }

    fn assert_accepted(path: &str, text: &str) {
        assert_eq!(lines(path, text), [] as [usize; 0], "{path}: {text}");
    }

    const PRODUCT: &str = "crates/learning/src/streak.rs";
    const TEST: &str = "crates/learning/tests/streak.rs";

    #[test]
    fn silenced_lints_and_tests_are_found() {
        assert_refused(PRODUCT, "\n#[allow(dead_code)]");
        assert_refused(PRODUCT, "#![allow(dead_code)]");
        assert_refused(TEST, "#[test]\n#[ignore = \"slow\"]");
        assert_accepted(PRODUCT, "// #[allow(dead_code)]\n#[expect(dead_code, reason = \"…\")]");
    }

    #[test]
    fn sleeping_test_is_found() {
        assert_refused(PRODUCT, "std::thread::sleep(pause)");
        assert_refused(TEST, "thread::sleep(pause)");
        assert_refused(TEST, "tokio::time::sleep(pause).await");
        assert_refused(TEST, "use tokio::time::sleep;\nsleep(pause).await");
        assert_accepted(PRODUCT, "tokio::time::sleep(pause).await");
        assert_accepted(TEST, "#[tokio::test(start_paused = true)]\ntokio::time::sleep(pause).await");
    }

    #[test]
    fn fixed_port_of_a_test_is_found() {
        for host in LOOPBACK {
            assert_refused(TEST, &format!("connect(\"{host}{}\")", 5432));
            assert_accepted(TEST, &format!("bind(\"{host}{}\")", 0));
            assert_accepted(PRODUCT, &format!("\"{host}{}\"", 5432));
            assert_accepted("crates/tierkeep/src/config/tests.rs", &format!("parse(\"{host}{}\")", 5432));
        }
    }

    #[test]
    fn queue_without_a_bound_is_found() {
        assert_refused(PRODUCT, "let (a, b) = mpsc::unbounded_channel();");
        assert_refused(PRODUCT, "let (a, b) = std::sync::mpsc::channel();");
        assert_refused(PRODUCT, "let (a, b) = mpsc::channel::<Vec<u8>>();");
        assert_accepted(PRODUCT, "let (a, b) = mpsc::channel(16);\nlet (c, d) = mpsc::channel::<u8>(16);");
    }

    #[test]
    fn wall_clock_outside_its_module_is_found() {
        assert_refused(PRODUCT, "let now = Timestamp::now();");
        assert_refused(TEST, "let now = std::time::SystemTime::now();");
        assert_accepted(CLOCK, "Timestamp::now()");
        assert_accepted(PRODUCT, "let start = Instant::now();");
    }

    #[test]
    fn seconds_of_a_day_are_found() {
        assert_refused(PRODUCT, "let day = seconds / 86_400;");
        assert_refused("crates/tierkeep/src/job.rs", "let day = seconds / 86400;");
        assert_accepted("crates/tierkeep/src/config/setting.rs", "(\"d\", 86_400)");
        assert_accepted("crates/db/src/pool.rs", "const RECYCLE_SECONDS: u64 = 86_400;");
        assert_accepted(PRODUCT, "// not 86_400\n#[cfg(test)]\nmod tests {\n    const DAY: i64 = 86_400;\n}\n");
    }

    #[test]
    fn seconds_of_a_day_in_sql_are_found() {
        let planted = [
            SourceFile::new("crates/learning/src/sql/sqlite/a.sql", "select at\n/ 86400"),
            SourceFile::new("crates/db/src/sql/sqlite/a.sql", "select at / 86400"),
        ];

        let findings = seconds_of_a_day_in_sql(&planted);

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }

    #[test]
    fn statement_made_from_a_string_is_found() {
        assert_refused(PRODUCT, "\nformat!(\"select * from {table}\")");
        assert_refused(PRODUCT, "format!(\"DELETE FROM t WHERE id = {id}\")");
        assert_refused(PRODUCT, "format!(r#\"insert into t values ({id})\"#)");
        assert_refused(PRODUCT, "format!(\"update t set a = {a}\")");
        assert_eq!(lines(PRODUCT, "format!(\n    \"\\\n    select 1, {a}\")"), [1]);
    }

    #[test]
    fn message_that_starts_with_the_same_word_is_accepted() {
        assert_accepted(PRODUCT, "format!(\"update of {table} failed\")");
        assert_accepted(PRODUCT, "format!(\"delete {count} rows?\")");
        assert_accepted("crates/db/src/statement.rs", "format!(\"select {columns}\")");
    }

    #[test]
    fn path_of_one_machine_is_found() {
        let planted = [
            SourceFile::new("README.md", format!("see\n{MACHINE_PATH}main")),
            SourceFile::new("ci.yml", format!("path: \"${{HOME}}{MACHINE_PATH}x\"")),
        ];

        let findings = machine_paths(&planted);

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].to_string().split(' ').next(), Some("README.md:2:"));
    }
}
