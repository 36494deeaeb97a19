//! The rows in the files of exports, and whether the files are whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tierkeep_retention::export::Manifest;

use crate::places::{Content, Kind, content_of};

/// The rows of all files that a manifest lists, by their ids: one may have been exported by several runs.
pub(crate) type Exported = BTreeMap<(Kind, i64), Vec<Content>>;

/// The rows, and what is wrong with the files.
pub(crate) fn exported(directory: &Path) -> (Exported, Vec<String>) {
    let (mut rows, mut findings) = (Exported::new(), Vec::new());
    let Ok(entries) = std::fs::read_dir(directory) else { return (rows, findings) };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.contains(".partial") {
            findings.push(format!("{name} was left"));
        }
        if !name.ends_with(".manifest.json") {
            continue;
        }
        let manifest = match Manifest::read(&path) {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(format!("{name}: {error}"));
                continue;
            }
        };
        if let Err(errors) = manifest.verify_all() {
            findings.extend(errors.into_iter().map(|error| format!("{name}: {error}")));
        }
        for file in manifest.files() {
            let kind = if file.name.table() == "course_progress" { Kind::Progress } else { Kind::Session };
            let mut found = 0;
            for content in read(&directory.join(file.name.as_str())) {
                let id = content["id"].as_ref().unwrap().parse().unwrap();
                rows.entry((kind, id)).or_default().push(content);
                found += 1;
            }
            if found != file.rows {
                findings.push(format!(
                    "{name} lists {} rows of {} and there are {found}",
                    file.rows,
                    file.name.as_str()
                ));
            }
        }
    }
    (rows, findings)
}

fn read(path: &Path) -> Vec<Content> {
    let mut csv = csv::Reader::from_reader(MultiGzDecoder::new(File::open(path).unwrap()));
    let header = csv.headers().unwrap().clone();
    let mut rows = Vec::new();
    for record in csv.records() {
        let record = record.unwrap();
        let columns = header.iter().zip(&record).map(|(name, field)| (name, filled(field)));
        rows.push(content_of(columns));
    }
    rows
}

/// Whether a file has a row. In a file nothing and an empty text are the same.
pub(crate) fn has(exported: &Exported, of: (Kind, i64), content: &Content) -> bool {
    let blank = content.iter().map(|(name, value)| (name.clone(), value.as_deref().and_then(filled)));
    let blank: Content = blank.collect();
    exported.get(&of).is_some_and(|rows| rows.contains(&blank))
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
