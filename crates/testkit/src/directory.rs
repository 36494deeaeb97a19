//! The directory of a server: its files, its socket, and which account owns them.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::account::Account;

/// Parent of directories on disk, whatever `TMPDIR` says: a socket's path may have about 100 bytes,
/// and another account must be able to reach it.
const DISK: &str = "/tmp";

/// Parent of directories in memory, where Linux has one. Copying a database took 20 ms there and
/// 150 ms on a disk, with every `fsync` turned off.
const MEMORY: &str = "/dev/shm";

/// KiB that must be free in memory. Containers often have 64 MiB, less than one server with a few databases.
const MEMORY_FREE_KIB: u64 = 4 << 20;

/// Where the files of a server are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// On a file system that a crash of the machine leaves intact.
    Disk,
    /// In memory if there is plenty, otherwise on disk.
    PreferMemory,
}

impl Storage {
    fn parent(self) -> &'static str {
        match self {
            Self::PreferMemory if free_kib(MEMORY).is_some_and(|free| free >= MEMORY_FREE_KIB) => MEMORY,
            Self::Disk | Self::PreferMemory => DISK,
        }
    }
}

/// A fresh directory that a supervisor will own, together with the account of its server.
///
/// Removed when dropped, until [`into_path`](Self::into_path) passes that duty on.
#[derive(Debug)]
pub(crate) struct ServerDirectory {
    directory: tempfile::TempDir,
    account: Option<Account>,
}

impl ServerDirectory {
    /// Makes a directory for a server that runs under the caller's account, root included.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn create(prefix: &str, storage: Storage) -> Result<Self> {
        let parent = storage.parent();
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .with_context(|| format!("making a server's directory in {parent}"))?;
        Ok(Self { directory, account: None })
    }

    /// Makes a directory for a server that refuses to run as root: root gives it to another account.
    ///
    /// # Errors
    /// The directory cannot be made or given away.
    pub(crate) fn create_unprivileged(prefix: &str, storage: Storage) -> Result<Self> {
        let mut created = Self::create(prefix, storage)?;
        created.account = Account::to_drop_to(created.path())?;
        if let Some(Account { uid, gid }) = created.account {
            chown(created.path(), Some(uid), Some(gid)).context("giving away a server's directory")?;
        }
        Ok(created)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The account to run the server as, if it is not the caller's.
    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    /// The path of the directory, which the caller now has to remove.
    pub(crate) fn into_path(self) -> PathBuf {
        self.directory.keep()
    }
}

/// KiB available in the file system of a directory; `None` if it does not exist.
fn free_kib(directory: &str) -> Option<u64> {
    let output = Command::new("df").args(["-P", "-k", directory]).output().ok()?;
    available(std::str::from_utf8(&output.stdout).ok()?)
}

/// The fourth column of the second line of `df -P`.
fn available(table: &str) -> Option<u64> {
    table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_space_is_read_from_the_table() {
        let table = "Filesystem 1024-blocks Used Available Capacity Mounted on\ntmpfs 65536 12 65524 1% /dev/shm\n";

        assert_eq!(available(table), Some(65_524));
        assert_eq!(available(""), None);
    }
}
