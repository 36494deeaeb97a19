//! A fresh data directory: copied from one made earlier where that is possible.
//!
//! `initdb` takes about a second, copying what it made takes a tenth of that. Under a runner with a process
//! per test the difference is paid by every test. The copy is kept in Cargo's target directory, where
//! `cargo clean` finds it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::account::Account;
use crate::programs::PostgresPrograms;
use crate::supervisor::command_as;

/// Part of the kept directory's name; raised when the arguments of `initdb` change.
const FORMAT: u32 = 1;

/// Makes a data directory at `data`, whose parent belongs to `account`.
///
/// # Errors
/// `initdb` fails; the error repeats what it wrote.
pub(super) fn create(programs: &PostgresPrograms, account: Option<Account>, data: &Path) -> Result<()> {
    let Some(kept) = kept_directory(programs, account) else {
        return initdb(programs, account, data);
    };
    if kept.is_dir() {
        if copy(&kept, data).is_ok() {
            return Ok(());
        }
        // Somebody is removing the target directory.
        fs::remove_dir_all(data).or_else(ignore_missing)?;
    }
    initdb(programs, account, data)?;
    // Keeping it is only a matter of speed, for the next process.
    keep(data, &kept).ok();
    Ok(())
}

/// Where the data directory of this version and account is kept; `None` outside a target directory.
fn kept_directory(programs: &PostgresPrograms, account: Option<Account>) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let target = program.ancestors().find(|path| path.join("CACHEDIR.TAG").is_file())?;
    let version = Command::new(&programs.postgres).arg("--version").output().ok()?;
    let version: String = String::from_utf8(version.stdout)
        .ok()?
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let owner = account.map_or("own".to_owned(), |account| account.uid.to_string());
    let name = format!("{}-{owner}-{FORMAT}", version.trim_matches('-'));
    Some(target.join("testkit").join(name))
}

/// Copies a clean data directory so that it appears whole or not at all; the first process wins.
fn keep(data: &Path, kept: &Path) -> Result<()> {
    let parent = kept.parent().context("a kept directory has a parent")?;
    fs::create_dir_all(parent)?;
    let unfinished = tempfile::Builder::new().prefix("unfinished-").tempdir_in(parent)?;
    let finished = unfinished.path().join("data");
    copy(data, &finished)?;
    fs::rename(&finished, kept)?;
    Ok(())
}

/// Copies with owners and modes, which PostgreSQL checks.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).stderr(Stdio::null()).status()?;
    if !status.success() {
        bail!("cp -a failed");
    }
    Ok(())
}

fn initdb(programs: &PostgresPrograms, account: Option<Account>, data: &Path) -> Result<()> {
    let output = command_as(account, &programs.initdb)
        // Not `--no-instructions`, which PostgreSQL 13 does not know; what it says is not shown.
        .args(["--no-sync", "--encoding=UTF8", "--locale=C"])
        .args(["--username=postgres", "--auth=trust", "--pgdata"])
        .arg(data)
        .output()
        .with_context(|| format!("running {}", programs.initdb.display()))?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

/// Makes the data directory of a standby from the server whose socket is in `sockets`.
///
/// # Errors
/// `pg_basebackup` is not installed or fails; the error repeats what it wrote.
pub(super) fn copy_of_running(
    programs: &PostgresPrograms,
    account: Option<Account>,
    sockets: &Path,
    data: &Path,
) -> Result<()> {
    let output = command_as(account, &programs.pg_basebackup)
        .arg("--host")
        .arg(sockets)
        .args(["--port=5432", "--username=postgres", "--checkpoint=fast", "--no-sync"])
        .arg("--pgdata")
        .arg(data)
        .output()
        .with_context(|| format!("running {}", programs.pg_basebackup.display()))?;
    if !output.status.success() {
        bail!("pg_basebackup failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    // What `--write-recovery-conf` writes has options that a server older than the program does not know.
    let host = sockets.display();
    let primary = format!("primary_conninfo = 'host={host} port=5432 user=postgres application_name=standby'\n");
    fs::OpenOptions::new().append(true).open(data.join("postgresql.auto.conf"))?.write_all(primary.as_bytes())?;
    fs::write(data.join("standby.signal"), "")?;
    Ok(())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
