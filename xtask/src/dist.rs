//! The archive that is shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{output, root, run, say};

/// The newest glibc the binary may ask for: Debian 12, Ubuntu 22.04 and RHEL 9 have it or a later one.
const GLIBC: (u32, u32) = (2, 36);

/// Files that are shipped as they are.
const FILES: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Builds the binary with the `dist` profile and packs it.
pub(crate) fn make() -> Result<PathBuf> {
    let root = root();
    run(Command::new("cargo").current_dir(&root).args([
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "tierkeep",
    ]))?;
    let binary = root.join("target/dist/tierkeep");
    let glibc = newest_glibc(&binary)?;
    ensure!(
        glibc <= GLIBC,
        "the binary asks for glibc {}.{}, accepted is up to {}.{}",
        glibc.0,
        glibc.1,
        GLIBC.0,
        GLIBC.1
    );
    say(&format!("the binary needs glibc {}.{} or later", glibc.0, glibc.1));

    let version = String::from_utf8(output(Command::new(&binary).arg("--version"))?)?;
    let version = version.split_whitespace().nth(1).context("`--version` prints a name and a version")?.to_owned();
    let name = format!("tierkeep-{version}-{}-linux-gnu", std::env::consts::ARCH);
    let packed = root.join("target/dist/packed");
    let folder = packed.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("completions"))?;
    fs::copy(&binary, folder.join("tierkeep"))?;
    for file in FILES {
        fs::copy(root.join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    fs::copy(root.join("crates/tierkeep/tierkeep.sample.toml"), folder.join("tierkeep.sample.toml"))?;
    for (shell, file) in [("bash", "tierkeep.bash"), ("zsh", "_tierkeep"), ("fish", "tierkeep.fish")] {
        let text = output(Command::new(&binary).args(["completions", shell]))?;
        fs::write(folder.join("completions").join(file), text)?;
    }
    fs::create_dir_all(folder.join("man"))?;
    output(Command::new(&binary).arg("man").arg(folder.join("man")))?;

    let archive = root.join("target/dist").join(format!("{name}.tar.gz"));
    run(Command::new("tar")
        .current_dir(&packed)
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf"])
        .arg(&archive)
        .arg(&name))?;
    Ok(archive)
}

/// The newest version of a glibc symbol that a binary asks for, read from its text of version names.
fn newest_glibc(binary: &Path) -> Result<(u32, u32)> {
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let mut newest = (0, 0);
    let mark = b"GLIBC_";
    for at in 0..bytes.len().saturating_sub(mark.len()) {
        if bytes[at..].starts_with(mark) {
            let rest: String =
                bytes[at + mark.len()..].iter().take(10).map_while(|byte| version_character(*byte)).collect();
            let mut parts = rest.split('.').map(str::parse::<u32>);
            if let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) {
                newest = newest.max((major, minor));
            }
        }
    }
    ensure!(newest > (0, 0), "{} names no version of glibc", binary.display());
    Ok(newest)
}

fn version_character(byte: u8) -> Option<char> {
    (byte.is_ascii_digit() || byte == b'.').then_some(char::from(byte))
}
