//! The archive in a bare environment: no variables, no configuration, an empty folder.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{output, root, run, say};

/// Longest wait for one answer of the started binary.
const PATIENCE: Duration = Duration::from_secs(30);

/// Unpacks the archive, starts the binary with the demo on a free port, and asks it for a statistic.
pub(crate) fn check(archive: &Path) -> Result<()> {
    let folder = root().join("target/dist/bare");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    run(Command::new("tar").current_dir(&folder).args(["--strip-components=1", "-xzf"]).arg(archive))?;
    let binary = folder.join("tierkeep");
    for file in [
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "completions/tierkeep.bash",
        "completions/_tierkeep",
        "completions/tierkeep.fish",
        "man/tierkeep.1",
        "tierkeep.sample.toml",
    ] {
        let size = std::fs::metadata(folder.join(file)).with_context(|| format!("the archive lacks {file}"))?.len();
        ensure!(size > 0, "{file} is empty");
    }
    output(bare(&binary, &folder).args(["--config", "tierkeep.sample.toml", "config", "check"]))?;

    let mut server = bare(&binary, &folder)
        .args(["serve", "--demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the server")?;
    let asked = ask(&mut server);
    server.kill().context("cannot end the server")?;
    server.wait()?;
    let answered = asked?;
    say(&format!("started in a bare environment and answered: {answered}"));
    Ok(())
}

fn bare(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(folder).env_clear();
    command
}

/// Follows the first `curl` line that the demo prints.
fn ask(server: &mut Child) -> Result<String> {
    let out = server.stdout.take().context("the output is piped")?;
    let mut address = None;
    for line in BufReader::new(out).lines() {
        let line = line?;
        if let (true, Some((_, found))) = (line.contains("curl"), line.split_once("http://")) {
            address = Some(found.trim_matches(|c: char| c == '"' || c == '\'' || c.is_whitespace()).to_owned());
            break;
        }
    }
    let address = address.context("the demo printed no curl line")?;
    let (host, path) = address.split_once('/').context("the curl line has a path")?;
    let mut stream = TcpStream::connect(host).with_context(|| format!("cannot connect to {host}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "GET /{path} answered: {answer}");
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    ensure!(body.contains("\"user_id\""), "GET /{path} is no statistic: {body}");
    Ok(format!("GET /{path}: {} bytes of JSON", body.len()))
}
