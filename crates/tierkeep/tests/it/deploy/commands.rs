//! Commands in files, checked by the command line itself.

use std::net::SocketAddr;

use clap::Parser as _;
use tierkeep::cli::Cli;
use tierkeep::config::{Environment, Flags, load};

/// What the program reads of its environment.
pub(super) const VARIABLES: [&str; 6] = [
    "TIERKEEP_CONFIG",
    "TIERKEEP_DATABASE_URL",
    "TIERKEEP_REDIS_URL",
    "TIERKEEP_LISTEN",
    "TIERKEEP_LOG",
    "TIERKEEP_TOKEN",
];
/// What stands for something in the text.
const EXAMPLES: [(&str, &str); 3] = [("USER", "1"), ("NAME", "grafana"), ("RUN", "7")];

/// The commands of a script, in words: what begins with `tierkeep`, up to what a shell reads as its end.
pub(super) fn commands_of(script: &str) -> Vec<Vec<String>> {
    let ends = |text: &str| text.replace("&&", "\n").replace("||", "\n").replace(['|', ';', '>', '('], "\n");
    let lines: Vec<String> = script.lines().map(|line| line.split(" # ").next().unwrap_or(line).to_owned()).collect();
    ends(&lines.join("\n"))
        .lines()
        .filter_map(|line| {
            let words = line.split_whitespace().skip_while(|word| *word != "tierkeep");
            let words: Vec<String> = words.map(|word| meant(word.trim_matches(['\'', '"', ')']))).collect();
            (!words.is_empty()).then_some(words)
        })
        .collect()
}

fn meant(word: &str) -> String {
    let example = EXAMPLES.iter().find(|(name, _)| *name == word);
    example.map_or_else(|| word.replace("/USER", "/1"), |(_, example)| (*example).to_owned())
}

/// The commands that are none, and why.
pub(super) fn misfits(script: &str) -> Vec<String> {
    let commands = commands_of(script);
    assert!(!commands.is_empty(), "no command in {script}");
    let parsed = commands.iter().map(|words| (words, Cli::try_parse_from(words)));
    parsed.filter_map(|(words, cli)| Some(format!("{}: {}", words.join(" "), cli.err()?))).collect()
}

/// An environment that the configuration takes.
pub(super) fn environment(database: &str, redis: &str) {
    let environment =
        Environment { database: Some(database.to_owned()), redis: Some(redis.to_owned()), ..Environment::default() };
    load(&nothing(), &environment).unwrap();
}

/// An address that the configuration takes.
pub(super) fn listen(address: &str) -> SocketAddr {
    let environment = Environment { listen: Some(address.to_owned()), ..Environment::default() };
    load(&nothing(), &environment).unwrap().config.http.listen
}

/// Reads a configuration file.
pub(super) fn configuration(text: &str) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    load(&flags, &Environment::default()).map(|_| ()).map_err(|error| error.to_string())
}

/// Flags that keep a file of the machine out.
fn nothing() -> Flags {
    Flags { config: Some("/dev/null".into()), ..Flags::default() }
}

#[test]
fn a_command_that_there_is_not_is_found() {
    let script = "test -s x || tierkeep migrate\ntierkeep token create NAME --scope all > y # comment\n(tierkeep migrat)\n\
                  A=1 tierkeep serve --no-schedule; tierkeep cache explain streaks/USER";

    let misfits = misfits(script);

    assert_eq!(commands_of(script).len(), 5);
    let found: Vec<_> = misfits.iter().map(|misfit| misfit.split(": ").next().unwrap()).collect();
    assert_eq!(found, ["tierkeep token create grafana --scope all", "tierkeep migrat", "tierkeep serve --no-schedule"]);
}
