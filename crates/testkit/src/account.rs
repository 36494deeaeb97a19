//! The unprivileged account under which a server runs when the tests run as root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Accounts tried in this order; PostgreSQL refuses to run as root.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// User and group of an unprivileged account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account a server must change to, or `None` where the tests do not run as root.
    ///
    /// `own_directory` is a directory this process has just made: its owner is our effective user,
    /// which `std` offers no other safe way to ask for.
    ///
    /// # Errors
    /// The directory cannot be read, or root finds neither `postgres` nor `nobody` in `/etc/passwd`.
    pub(crate) fn to_drop_to(own_directory: &Path) -> Result<Option<Self>> {
        if fs::metadata(own_directory)?.uid() != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        CANDIDATES
            .iter()
            .find_map(|name| find(&passwd, name))
            .map(Some)
            .context("running as root, and /etc/passwd has neither postgres nor nobody to run a server as")
    }
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_is_found_by_its_whole_name() {
        let passwd = "postgres-old:x:7:8::/:/bin/sh\npostgres:x:101:104:admin,,,:/var/lib:/bin/bash\n";

        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
    }

    #[test]
    fn malformed_line_is_no_account() {
        assert_eq!(find("postgres:x:many:104::/:/bin/sh", "postgres"), None);
    }
}
