//! The page about running it in production: each of its commands is one, and each of its snippets of configuration is read.

use std::collections::BTreeSet;

use super::commands::{commands_of, configuration, misfits};
use super::{file, root};

/// The blocks of a page in some language.
pub(super) fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once(&format!("```{language}\n")) {
        let (block, after) = after.split_once("\n```").expect("a block has an end");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

/// What can be pointed to: headings, as GitHub names them.
pub(super) fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| Some(line.trim_start_matches('#')).filter(|text| *text != line));
    let anchor = |heading: &str| {
        let letters = heading.trim().to_lowercase().replace(' ', "-");
        letters.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_command_of_the_page_is_one() {
    let page = file("docs/production.md");
    let scripts = blocks(&page, "sh");
    // and those within sentences
    let inline = page.split('`').filter(|text| text.starts_with("tierkeep ") && !text.contains(['\n', '…']));
    let all = [scripts, inline.map(str::to_owned).collect()].concat().join("\n");

    assert!(commands_of(&all).len() > 25);
    assert_eq!(misfits(&all), Vec::<String>::new());
}

#[test]
fn every_configuration_of_the_page_is_read() {
    let snippets = blocks(&file("docs/production.md"), "toml");

    assert!(snippets.len() > 2);
    for snippet in snippets {
        configuration(&snippet).unwrap_or_else(|error| panic!("{error} in\n{snippet}"));
    }
    assert!(configuration("[retention]\nexport = 1\n").is_err());
}

#[test]
fn every_place_that_the_page_points_to_is_there() {
    let page = file("docs/production.md");
    let headings = anchors(&page);

    for target in page.split("](").skip(1).map(|after| after.split(')').next().unwrap()) {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        assert!(path.is_empty() || root().join("docs").join(path).exists(), "{target}");
        if !anchor.is_empty() {
            let there = if path.is_empty() { headings.clone() } else { anchors(&file(&format!("docs/{path}"))) };
            assert!(there.contains(anchor), "{target}");
        }
    }
}
