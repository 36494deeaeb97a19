//! The rules of this workspace that a text can break: each is a function from sources to findings.
//!
//! What the compiler, rustfmt or clippy can say is left to them. A rule says what is accepted, so
//! that its finding can be acted on without reading the rule.

pub mod architecture;
pub mod dialects;
pub mod lines;
pub mod modules;
pub mod statements;

mod rust_text;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Directories that hold no sources, for a tree without git.
const SKIPPED: [&str; 3] = [".git", "target", "dist"];

/// A text file of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path from the workspace's root, with `/` between its parts.
    pub path: String,
    /// The whole content.
    pub text: String,
}

impl SourceFile {
    /// A file with this content, for a rule to look at.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The last part of the path without its extension.
    fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split_once('.').map_or(name, |(stem, _)| stem)
    }
}

/// A place that breaks a rule; displayed as `path:line: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path from the workspace's root.
    pub path: String,
    /// Line, counted from one.
    pub line: usize,
    /// What is wrong, and what is accepted.
    pub message: String,
}

impl Finding {
    fn new(file: &SourceFile, line: usize, message: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Reads all text files below `root`: those git tracks or would add, or all where git cannot tell.
///
/// Files that are not UTF-8 are left out.
///
/// # Errors
/// A file or directory cannot be read.
pub fn sources(root: &Path) -> Result<Vec<SourceFile>> {
    let mut paths = match listed_by_git(root) {
        Some(paths) => paths,
        None => {
            let mut paths = Vec::new();
            walk(root, "", &mut paths)?;
            paths
        }
    };
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let full = root.join(&path);
        // Git lists a file that was just removed; links are listed, too, and lead elsewhere.
        if !full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("reading {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile { path, text });
        }
    }
    Ok(files)
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let listed = String::from_utf8(output.stdout).ok()?;
    Some(listed.split_terminator('\0').map(str::to_owned).collect())
}

fn walk(root: &Path, below: &str, paths: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(root.join(below)).with_context(|| format!("reading {below}/"))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            walk(root, &path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Number, counted from one, of the line that holds a byte of the text.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Offsets at which a word stands in a text, whatever its case; `word` is in lower case.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (0..bytes.len().saturating_sub(word.len() - 1)).filter(move |&start| {
        let end = start + word.len();
        bytes[start..end].eq_ignore_ascii_case(word.as_bytes())
            && (start == 0 || !is_part(bytes[start - 1]))
            && bytes.get(end).is_none_or(|byte| !is_part(*byte))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn finding_reads_as_a_place_and_a_message() {
        let finding = Finding::new(&SourceFile::new("a/b.rs", ""), 7, "no");

        assert_eq!(finding.to_string(), "a/b.rs:7: no");
    }

    #[test]
    fn tree_without_git_is_walked_without_its_target() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("target")).unwrap();
        fs::create_dir_all(root.path().join("src/deep")).unwrap();
        for path in ["target/a.rs", "src/deep/b.rs", "c.rs"] {
            fs::write(root.path().join(path), "").unwrap();
        }
        let mut paths = Vec::new();

        walk(root.path(), "", &mut paths).unwrap();

        paths.sort();
        assert_eq!(paths, ["c.rs", "src/deep/b.rs"]);
    }

    #[test]
    fn word_is_found_whole_and_in_any_case() {
        let found: Vec<usize> = words("Offset offsets _offset offset", "offset").collect();

        assert_eq!(found, [0, 23]);
    }
}
