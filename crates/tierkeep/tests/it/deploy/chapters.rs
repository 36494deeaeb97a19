//! The chapters of the guide: each stands in the table of contents, and whatever they name is there.

use std::collections::BTreeSet;
use std::path::Path;

use super::commands::{commands_of, configuration, misfits};
use super::page::{anchors, blocks};
use super::watching::{names, told};
use super::{file, root};

/// The table of contents.
const CONTENTS: &str = "README.md";
/// The chapter that is checked by itself, in [`super::page`].
const PRODUCTION: &str = "production.md";

/// Where the pages on Python are, whose code is run by the tests of the wheel.
const PYTHON: &str = "python";

/// The pages of a folder of `docs`, by their paths from there.
fn pages_in(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("docs").join(folder)).unwrap();
    let names = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()).to_str().unwrap().to_owned());
    names.filter(|name| name.ends_with(".md")).collect()
}

/// The pages beside the table of contents.
fn pages() -> BTreeSet<String> {
    pages_in("").into_iter().filter(|name| name != CONTENTS).collect()
}

/// The chapters that are checked here, each with its text.
fn chapters() -> Vec<(String, String)> {
    let read = |name: String| {
        let text = file(&format!("docs/{name}"));
        (name, text)
    };
    pages().into_iter().filter(|name| name != PRODUCTION).map(read).collect()
}

/// The chapters and the table of contents.
fn all() -> Vec<(String, String)> {
    let mut all = chapters();
    all.push((CONTENTS.to_owned(), file("docs/README.md")));
    all
}

/// What a page points to within the repository.
fn links(page: &str) -> Vec<&str> {
    let outside = page.split("```").step_by(2);
    let targets = outside.flat_map(|text| text.split("](").skip(1).filter_map(|after| after.split(')').next()));
    targets.filter(|target| !target.starts_with("http")).collect()
}

/// Links that lead nowhere, of a page that lies in `docs` or in a folder of it.
fn dead_links(folder: &str, page: &str) -> Vec<String> {
    let is_there = |target: &str| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let place = root().join("docs").join(folder).join(path);
        let headings = || match path {
            "" => anchors(page),
            _ => std::fs::read_to_string(&place).map(|text| anchors(&text)).unwrap_or_default(),
        };
        (path.is_empty() || place.exists()) && (anchor.is_empty() || headings().contains(anchor))
    };
    links(page).into_iter().filter(|target| !is_there(target)).map(str::to_owned).collect()
}

/// Pages that the table of contents does not name, and names in it that are no page.
fn unlisted(contents: &str, pages: &BTreeSet<String>) -> Vec<String> {
    let listed: BTreeSet<String> = links(contents)
        .into_iter()
        .filter(|target| {
            !target.starts_with("..") && Path::new(target).extension().is_some_and(|ending| ending == "md")
        })
        .map(str::to_owned)
        .collect();
    listed.symmetric_difference(pages).cloned().collect()
}

/// What is typed: lines of shell blocks, those of a session without its prompt.
fn typed(page: &str) -> Vec<String> {
    let sessions = blocks(page, "console");
    let asked = sessions.iter().flat_map(|session| session.lines().filter_map(|line| line.strip_prefix("$ ")));
    let scripts = blocks(page, "sh");
    let lines = scripts.iter().flat_map(|script| script.lines());
    let said = |line: &str| line.split(" # ").next().unwrap_or(line).trim().to_owned();
    lines.chain(asked).map(said).collect()
}

/// What stands between single backticks.
fn spans(page: &str) -> Vec<String> {
    let outside = page.split("```").step_by(2);
    outside.flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// Commands of cargo in a page, in words.
fn cargo_lines(page: &str) -> Vec<Vec<String>> {
    let lines = [typed(page), spans(page)].concat();
    let words = lines.iter().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.filter(|words| words.len() > 1 && words[0] == "cargo").collect()
}

/// The directory of a package of ours.
fn directory(package: &str) -> String {
    format!("crates/{}", package.strip_prefix("tierkeep-").unwrap_or(package))
}

/// Why a command of cargo finds no program, if it does not.
fn cargo_misfit(words: &[String]) -> Option<String> {
    let after = |flag: &str| words.iter().position(|word| word == flag).and_then(|place| words.get(place + 1));
    let misfit = |why: String| Some(format!("{}: {why}", words.join(" ")));
    let Some(package) = after("-p") else { return misfit("no package".to_owned()) };
    let manifest = format!("{}/Cargo.toml", directory(package));
    let Ok(manifest) = std::fs::read_to_string(root().join(&manifest)) else { return misfit(format!("no {manifest}")) };
    let manifest: toml::Table = manifest.parse().unwrap();
    let given: BTreeSet<&str> = after("--features").into_iter().flat_map(|features| features.split(',')).collect();
    let known = manifest.get("features").and_then(toml::Value::as_table);
    if let Some(unknown) = given.iter().find(|feature| !known.is_some_and(|known| known.contains_key(**feature))) {
        return misfit(format!("no feature {unknown}"));
    }
    for (flag, kind, folder) in
        [("--example", "example", "examples"), ("--bench", "bench", "benches"), ("--test", "test", "tests")]
    {
        let Some(name) = after(flag) else { continue };
        let place = root().join(directory(package)).join(folder);
        if !place.join(format!("{name}.rs")).exists() && !place.join(name).join("main.rs").exists() {
            return misfit(format!("no {kind} {name}"));
        }
        let targets = manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
        let target = targets.into_iter().find(|target| target.get("name").and_then(toml::Value::as_str) == Some(name));
        let required = target.and_then(|target| target.get("required-features")).and_then(toml::Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(toml::Value::as_str);
        if let Some(missing) = required.find(|feature| !given.contains(feature)) {
            return misfit(format!("it needs the feature {missing}"));
        }
    }
    None
}

/// Addresses of the API that a page names.
fn addresses(page: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "/_-{}$".contains(letter);
    let of = |text: &str| -> Vec<String> {
        let found = text.match_indices("/v1/").map(|(place, _)| &text[place..]);
        found.map(|rest| rest.split(|letter: char| !is_part(letter)).next().unwrap_or(rest).to_owned()).collect()
    };
    [typed(page), spans(page)].concat().iter().flat_map(|text| of(text)).collect()
}

/// Whether an address is of this form, such as `/v1/users/{id}`.
fn is_of(address: &str, form: &str) -> bool {
    let (parts, wanted): (Vec<&str>, Vec<&str>) = (address.split('/').collect(), form.split('/').collect());
    let fits = |(part, wanted): (&&str, &&str)| part == wanted || wanted.starts_with('{');
    parts.len() == wanted.len() && parts.iter().zip(&wanted).all(fits)
}

/// Commands of Tierkeep that are none, in blocks and within sentences.
fn command_misfits(page: &str) -> Vec<String> {
    let lines = typed(page).into_iter().filter(|line| !line.starts_with("cargo "));
    let inline = spans(page).into_iter().filter(|span| span.starts_with("tierkeep ") && !span.contains(['\n', '…']));
    let all = lines.chain(inline).collect::<Vec<_>>().join("\n");
    if commands_of(&all).is_empty() { Vec::new() } else { misfits(&all) }
}

/// The part of a page below a heading of the second order, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, after) = page.split_once(&format!("\n## {heading}\n"))?;
    after.split("\n## ").next()
}

#[test]
fn every_page_is_in_the_table_of_contents_and_the_other_way_round() {
    let all = pages().union(&pages_in(PYTHON)).cloned().collect();
    assert_eq!(unlisted(&file("docs/README.md"), &all), Vec::<String>::new());

    let made_up = BTreeSet::from(["a.md".to_owned(), "b.md".to_owned()]);
    let found =
        unlisted("[a](a.md) [c](c.md) [code](../x.rs) [other](../README.md) [web](https://a.example/d.md)", &made_up);
    assert_eq!(found, ["b.md", "c.md"]);
}

#[test]
fn every_link_of_a_chapter_leads_somewhere() {
    for (name, text) in all() {
        assert!(!links(&text).is_empty(), "{name}");
        assert_eq!(dead_links("", &text), Vec::<String>::new(), "{name}");
    }
    for name in pages_in(PYTHON) {
        assert_eq!(dead_links(PYTHON, &file(&format!("docs/{name}"))), Vec::<String>::new(), "{name}");
    }

    let made_up = "# A b\n[here](#a-b) [there](production.md#what-to-watch) [code](../crates/db/src/lib.rs)\n\
                   [1](#a-c) [2](production.md#nothing) [3](../crates/db/src/nothing.rs)\n```\n[4](nothing)\n```\n";
    assert_eq!(dead_links("", made_up), ["#a-c", "production.md#nothing", "../crates/db/src/nothing.rs"]);
}

#[test]
fn every_program_that_a_chapter_names_is_there() {
    for (name, text) in all() {
        let misfits: Vec<String> = cargo_lines(&text).iter().filter_map(|words| cargo_misfit(words)).collect();
        assert_eq!(misfits, Vec::<String>::new(), "{name}");
    }

    let made_up = "```sh\ncargo run -p tierkeep-db --example pages   # comment\ncargo run -p tierkeep-db --example explain\n\
                   cargo run -p tierkeep-db --features advise --example explain\n```\n`cargo bench -p tierkeep --bench node -- hot`\n\
                   `cargo test -p tierkeep-measure --test proofs` `cargo run --example pages` `cargo run -p tierkeep-d`\n";
    let found: Vec<String> = cargo_lines(made_up).iter().filter_map(|words| cargo_misfit(words)).collect();
    let why: Vec<&str> = found.iter().filter_map(|misfit| misfit.rsplit(": ").next()).collect();
    let expected =
        ["it needs the feature advice", "no feature advise", "no test proofs", "no package", "no crates/d/Cargo.toml"];
    assert_eq!(why, expected);
}

#[test]
fn every_command_of_a_chapter_is_one() {
    let mut count = 0;
    for (name, text) in all() {
        assert_eq!(command_misfits(&text), Vec::<String>::new(), "{name}");
        count += typed(&text).iter().filter(|line| line.starts_with("tierkeep ")).count();
    }
    assert!(count > 20, "{count} lines with commands");

    let made_up = "`tierkeep doctr`\n```sh\ncargo bench -p tierkeep --bench node\ntierkeep bench http --rat 5\n```\n\
                   ```console\n$ tierkeep doctor tables --all\ntierkeep is not typed here\n```\n`tierkeep cache …`\n";
    let found = command_misfits(made_up);
    let found: Vec<&str> = found.iter().map(|misfit| misfit.split(": ").next().unwrap()).collect();
    assert_eq!(found, ["tierkeep bench http --rat 5", "tierkeep doctor tables --all", "tierkeep doctr"]);
}

#[test]
fn every_configuration_of_a_chapter_is_read() {
    for (name, text) in all() {
        for snippet in blocks(&text, "toml") {
            configuration(&snippet).unwrap_or_else(|error| panic!("{name}: {error} in\n{snippet}"));
        }
    }
}

#[test]
fn every_address_of_a_chapter_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let (code, document, stderr) = crate::fixture::run(&directory, &["openapi"]);
    assert_eq!(code, 0, "{stderr}");
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let forms: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();

    for (name, text) in all() {
        for address in addresses(&text) {
            assert!(forms.iter().any(|form| is_of(&address, form)), "{name}: {address}");
        }
    }

    let made_up =
        "`GET /v1/users/{id}/streaks`\n```sh\ncurl -s \"$node/v1/users/$ada/stats/daily?date=2026-01-31\"\n```\n/v1/no";
    let found = addresses(made_up);
    assert_eq!(found.iter().collect::<Vec<_>>(), ["/v1/users/$ada/stats/daily", "/v1/users/{id}/streaks"]);
    assert!(is_of("/v1/users/$ada/streaks", "/v1/users/{id}/streaks"));
    assert!(!is_of("/v1/users/7/streak", "/v1/users/{id}/streaks") && !is_of("/v1/users", "/v1/users/{id}"));
}

#[tokio::test]
async fn every_metric_and_alert_of_a_chapter_is_told() {
    let (told, alerts) = (told().await, file("deploy/prometheus/alerts.yml"));
    let rules = file("deploy/prometheus/rules.yml");
    // a histogram is told by its parts
    let is_series = |name: &str| told.contains_key(name) || told.contains_key(&format!("{name}_count"));
    let is_told = |name: &str| is_series(name) || rules.contains(&format!("record: {name}\n"));

    let mut count = 0;
    for (page, text) in all() {
        for word in spans(&text).iter().flat_map(|span| names(span)).filter(|word| !word.contains("::")) {
            assert!(is_told(word), "{page}: {word}");
            count += 1;
        }
        for alert in spans(&text).iter().filter(|span| span.starts_with("Tierkeep")) {
            assert!(alerts.contains(&format!("alert: {alert}\n")), "{page}: {alert}");
            count += 1;
        }
    }
    assert!(count > 10, "{count} names");
    assert!(!is_told("tierkeep_feed_lag") && is_told("tierkeep_feed_lag_seconds"));
}

#[test]
fn every_chapter_can_be_tried_and_has_a_figure() {
    for (name, text) in chapters() {
        let (tried, measured) = (section(&text, "Try it"), section(&text, "Measured"));
        let runs =
            |part: &str| typed(part).iter().any(|line| line.starts_with("cargo run ") || line.starts_with("tierkeep "));
        let by =
            |part: &str| cargo_lines(part).iter().any(|words| ["bench", "test", "run"].contains(&words[1].as_str()));
        assert!(tried.is_some_and(runs), "{name}: nothing to try");
        assert!(
            measured.is_some_and(|part| by(part) && part.contains(|letter: char| letter.is_ascii_digit())),
            "{name}"
        );
        assert!((30..=200).contains(&text.lines().count()), "{name}: {} lines", text.lines().count());
    }

    assert_eq!(section("# A\n\n## Try it\nx\n\n## Measured\ny\n", "Try it"), Some("x\n"));
    assert_eq!(section("# A\n\n## Try it\nx\n", "Measured"), None);
}
