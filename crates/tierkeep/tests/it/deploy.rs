//! What lies in `deploy/` and `docs/`: each file can be read, and names only commands, keys, metrics and places that exist.

mod chapters;
mod commands;
mod page;
mod watching;
mod yaml;

use std::path::{Path, PathBuf};

use self::commands::{commands_of, misfits};
use self::yaml::Yaml;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Yaml {
    yaml::read(&file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whose lines the unit has, with the keys that each may have.
const UNIT_KEYS: [(&str, &[&str]); 3] = [
    ("Unit", &["Description", "Wants", "After", "StartLimitIntervalSec", "StartLimitBurst"]),
    (
        "Service",
        &[
            "Type",
            "EnvironmentFile",
            "ExecStartPre",
            "ExecStart",
            "Restart",
            "RestartSec",
            "RestartPreventExitStatus",
            "KillSignal",
            "TimeoutStopSec",
            "DynamicUser",
            "User",
            "StateDirectory",
            "StateDirectoryMode",
            "WorkingDirectory",
            "UMask",
            "LimitNOFILE",
            "NoNewPrivileges",
            "CapabilityBoundingSet",
            "AmbientCapabilities",
            "ProtectSystem",
            "ProtectHome",
            "ProtectClock",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectControlGroups",
            "ProtectProc",
            "PrivateTmp",
            "PrivateDevices",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "RemoveIPC",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "SystemCallErrorNumber",
        ],
    ),
    ("Install", &["WantedBy"]),
];

#[test]
fn the_unit_has_keys_of_systemd_and_starts_a_command_that_there_is() {
    let unit = file("deploy/tierkeep.service");
    let (mut section, mut starts) = ("", Vec::new());

    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            section = name;
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let known = UNIT_KEYS.iter().find(|(name, _)| *name == section).unwrap_or_else(|| panic!("{section}")).1;
        assert!(known.contains(&key), "[{section}] {line}");
        if key.starts_with("ExecStart") {
            starts.push(value.strip_prefix("/usr/bin/").unwrap());
        }
    }

    assert_eq!(starts.len(), 2);
    assert_eq!(misfits(&starts.join("\n")), Vec::<String>::new());
}

/// The steps of an image: the word and what follows, with lines that go on joined.
fn steps(dockerfile: &str) -> Vec<(String, String)> {
    let said: Vec<&str> = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = said.join("\n").replace("\\\n", "");
    let steps = joined.lines().filter(|line| !line.is_empty());
    steps
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            (word.to_owned(), rest.to_owned())
        })
        .collect()
}

fn only<'a>(steps: &'a [(String, String)], word: &str) -> &'a str {
    let mut found = steps.iter().filter(|(step, _)| step == word).map(|(_, rest)| rest.as_str());
    let one = found.next().unwrap_or_else(|| panic!("no {word}"));
    assert_eq!(found.next(), None, "{word} twice");
    one
}

#[test]
fn the_image_is_built_locked_runs_as_nobody_and_starts_a_command_that_there_is() {
    let steps = steps(&file("deploy/Dockerfile"));
    let words = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "ENV", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL"];
    let words = words.iter().chain(&["ENTRYPOINT", "CMD"]);

    assert!(steps.iter().all(|(word, _)| words.clone().any(|known| known == word)), "{steps:?}");
    assert!(steps.iter().any(|(word, rest)| word == "RUN" && rest.contains("cargo build --release --locked")));
    assert_ne!(only(&steps, "USER"), "0");
    let list = |word| serde_json::from_str::<Vec<String>>(only(&steps, word)).unwrap();
    let started = [list("ENTRYPOINT"), list("CMD")].concat().join(" ");
    assert_eq!((started.as_str(), misfits(&started)), ("tierkeep serve", Vec::new()));
    let environment = only(&steps, "ENV").strip_prefix("TIERKEEP_LISTEN=").unwrap();
    assert_eq!(commands::listen(environment).port(), 8420);
    let toolchain = file("rust-toolchain.toml");
    let release = steps[0].1.strip_prefix("rust:").and_then(|image| image.split('-').next()).unwrap();
    assert!(toolchain.contains(&format!("\"{release}.")), "{release}");
}

#[test]
fn the_services_start_commands_and_wait_for_services_that_there_are() {
    let compose = yaml("deploy/compose.yml");
    let services = compose.at("services");
    let volumes: Vec<&str> = compose.at("volumes").entries().iter().map(|(name, _)| name.as_str()).collect();

    let of_nodes = compose.at("x-node");
    let serve: Vec<&str> = of_nodes.at("command").list().iter().map(Yaml::text).collect();
    assert_eq!(misfits(&format!("tierkeep {}", serve.join(" "))), Vec::<String>::new());
    let setup = services.at("setup.command").list()[0].text();
    assert_eq!(commands_of(setup).len(), 3);
    assert_eq!(misfits(setup), Vec::<String>::new());
    for (name, service) in services.entries() {
        assert!(service.get("image").is_some() || service.get("<<").is_some(), "{name}");
        let waits = service.get("depends_on").into_iter().flat_map(Yaml::entries);
        let named = service.get("volumes").into_iter().flat_map(Yaml::list).map(Yaml::text);
        for (awaited, _) in waits {
            assert!(services.get(awaited).is_some(), "{name} waits for {awaited}");
        }
        for volume in named.filter(|volume| !volume.starts_with('.')) {
            assert!(volumes.iter().any(|known| volume.starts_with(&format!("{known}:"))), "{name}: {volume}");
        }
    }
    let ports = ["node-1", "node-2"].map(|node| {
        let published = services.at(node).at("ports").list()[0].text();
        published.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("{published} is open to everybody"))
    });
    assert_eq!(ports, ["8421:8420", "8422:8420"]);
    let environment = of_nodes.at("environment");
    let password = "${TIERKEEP_DATABASE_PASSWORD:?a password of letters and digits}";
    commands::environment(
        &environment.at("TIERKEEP_DATABASE_URL").text().replace(password, "secret"),
        environment.at("TIERKEEP_REDIS_URL").text(),
    );
    assert!(environment.entries().iter().all(|(name, _)| commands::VARIABLES.contains(&name.as_str())));
}

#[tokio::test]
async fn the_health_check_of_the_image_tells_a_node_that_answers_from_one_that_does_not() {
    let steps = steps(&file("deploy/Dockerfile"));
    let (_, check) = only(&steps, "HEALTHCHECK").split_once("CMD ").unwrap();
    let check: Vec<String> = serde_json::from_str(check).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut command = crate::fixture::tierkeep(&directory);
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--database", "sqlite://health.db"]);
    let (mut node, started) = crate::serve::start(&mut command);
    let port = started["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let asks = move || {
        let script = check[2].replace("/8420", &format!("/{port}"));
        assert_ne!(script, check[2]);
        std::process::Command::new(&check[0]).args([&check[1], &script]).output().unwrap().status.success()
    };

    assert!(asks());
    crate::serve::signal(&node, "TERM");
    assert!(node.wait().unwrap().success());
    assert!(!asks());
}
