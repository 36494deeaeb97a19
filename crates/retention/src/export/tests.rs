use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod damage;
mod listing;
mod order;
mod space;

type Row = Vec<Option<String>>;

fn directory() -> (TempDir, ExportDirectory) {
    let parent = tempfile::tempdir().unwrap();
    let directory = ExportDirectory::open(parent.path().join("exports")).unwrap();
    (parent, directory)
}

fn file_name(number: u32) -> FileName {
    FileName::new("study_sessions", 7, number).unwrap()
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn borrowed(row: &Row) -> Vec<Option<&str>> {
    row.iter().map(Option::as_deref).collect()
}

/// A file of two columns with some rows, the text of each from its number.
fn sealed(directory: &ExportDirectory, number: u32, rows: u32) -> Sealed {
    let mut writer = ExportWriter::create(directory, &file_name(number), &columns(&["id", "notes"])).unwrap();
    for id in 0..rows {
        writer.write(&[Some(&id.to_string()), Some(&format!("note {}", id * number))]).unwrap();
    }
    writer.finish().unwrap()
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Names in a directory, in order.
fn listed(path: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(path).unwrap().map(name).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_is_csv_that_only_its_owner_reads() {
    let (_parent, directory) = directory();
    let mut writer = ExportWriter::create(&directory, &file_name(1), &columns(&["id", "notes"])).unwrap();

    let first = writer.write(&[Some("1"), Some("said \"no\",\r\nthen 🦀")]).unwrap();
    let second = writer.write(&[None, Some("")]).unwrap();
    let sealed = writer.finish().unwrap();

    assert_eq!(unpacked(&sealed.path), "id,notes\n1,\"said \"\"no\"\",\r\nthen 🦀\"\n,\n");
    assert_eq!(sealed.path, directory.path().join("study_sessions-run7-0001.csv.gz"));
    assert_eq!((sealed.rows, sealed.digest.get()), (2, first.wrapping_add(second)));
    assert_eq!(sealed.bytes, fs::metadata(&sealed.path).unwrap().len());
    assert_eq!((mode(directory.path()), mode(&sealed.path)), (0o700, 0o600));
    verify(&sealed).unwrap();
}

#[test]
fn a_file_without_rows_and_rows_of_one_empty_field_are_read_back() {
    let (_parent, directory) = directory();
    let none = ExportWriter::create(&directory, &file_name(1), &columns(&["id"])).unwrap().finish().unwrap();
    let mut writer = ExportWriter::create(&directory, &file_name(2), &columns(&["id"])).unwrap();
    for _ in 0..3 {
        writer.write(&[None]).unwrap();
    }
    let three = writer.finish().unwrap();

    assert_eq!((none.rows, three.rows), (0, 3));
    verify(&none).unwrap();
    verify(&three).unwrap();
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let (_parent, directory) = directory();
    let mut writer = ExportWriter::create(&directory, &file_name(1), &columns(&["id"])).unwrap();
    writer.write(&[Some("1")]).unwrap();
    assert_eq!(listed(directory.path()), ["study_sessions-run7-0001.csv.gz.partial"]);

    drop(writer);

    assert_eq!(listed(directory.path()), [""; 0]);
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let (_parent, directory) = directory();
    let path = directory.path().join(file_name(1).as_str());
    let create = || ExportWriter::create(&directory, &file_name(1), &columns(&["id"]));

    // one that comes while ours is written
    let writer = create().unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(matches!(writer.finish(), Err(ExportError::Exists { path: found }) if found == path));
    // one that was there before
    assert!(matches!(create(), Err(ExportError::Exists { path: found }) if found == path));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(listed(directory.path()).len(), 1);
    // a link that leads nowhere
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    assert!(matches!(create(), Err(ExportError::Exists { .. })));
    // an unfinished one, of a writer that lives
    fs::remove_file(&path).unwrap();
    let first = create().unwrap();
    let error = create().unwrap_err().to_string();
    assert!(error.contains(".csv.gz.partial exists already") && error.contains("name another directory"), "{error}");
    first.finish().unwrap();
}

#[test]
fn directories_are_made_for_their_owner_with_what_is_missing_above() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");

    let directory = ExportDirectory::open(&path).unwrap();

    assert_eq!((mode(&path), mode(&parent.path().join("a"))), (0o700, 0o700));
    assert!(directory.path().is_absolute());
    assert_eq!(listed(&path), [""; 0], "what tried the directory is gone");
    ExportDirectory::open(&path).unwrap();
}

#[test]
fn what_is_no_directory_or_cannot_be_written_is_refused_with_its_path() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let dangling = parent.path().join("link");
    symlink(parent.path().join("absent/too"), &dangling).unwrap();

    for path in [&file, &file.join("below")] {
        let error = ExportDirectory::open(path).unwrap_err();
        assert!(matches!(&error, ExportError::NotDirectory { .. }), "{error:?}");
        assert!(error.to_string().contains("file"), "{error}");
    }
    // /proc can be written by nobody, whoever asks
    for path in [Path::new("/proc"), Path::new("/proc/exports"), &dangling, Path::new("")] {
        let error = ExportDirectory::open(path).unwrap_err();
        assert!(matches!(&error, ExportError::Directory { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&path.display().to_string()) && said.contains("name another one"), "{said}");
    }
}

#[test]
fn columns_that_are_no_header_and_rows_that_do_not_fit_are_refused() {
    let (_parent, directory) = directory();
    for names in [&[][..], &[""], &["id", ""], &["id", "notes", "id"], &["\u{feff}id"]] {
        let error = ExportWriter::create(&directory, &file_name(1), &columns(names)).unwrap_err();
        assert!(matches!(error, ExportError::Columns { .. }), "{names:?}");
    }
    assert_eq!(listed(directory.path()), [""; 0]);
    let mut writer = ExportWriter::create(&directory, &file_name(1), &columns(&["id", "notes"])).unwrap();

    for row in [&[][..], &[Some("1")], &[Some("1"), None, None]] {
        assert!(matches!(writer.write(row), Err(ExportError::Fields { expected: 2, .. })), "{row:?}");
    }

    writer.write(&[Some("1"), None]).unwrap();
    let sealed = writer.finish().unwrap();
    assert_eq!(sealed.rows, 1);
    verify(&sealed).unwrap();
}

#[test]
fn leftovers_of_a_killed_run_are_removed_and_nothing_else() {
    let (_parent, directory) = directory();
    let kept = [
        "notes.partial",
        "run71.manifest.json.partial",
        "study_sessions-run7-0001.csv.gz",
        "study_sessions-run8-0002.csv.gz.partial",
    ];
    for name in kept.iter().chain(&["run7.manifest.json.partial", "study_sessions-run7-0002.csv.gz.partial"]) {
        fs::write(directory.path().join(name), "").unwrap();
    }

    assert_eq!(directory.remove_leftovers(7).unwrap(), 2);

    assert_eq!(listed(directory.path()), kept);
    assert_eq!(directory.remove_leftovers(7).unwrap(), 0);
}

#[test]
fn leftovers_of_all_runs_before_are_removed_and_nothing_else() {
    let (_parent, directory) = directory();
    let kept = [
        "notes.partial",
        "run7.manifest.json.partial",
        "runX.manifest.json.partial",
        "study_sessions-run6-0001.csv.gz",
        "study_sessions-run7-0001.csv.gz.partial",
    ];
    let left = [".tierkeep-17-0.partial", "run6.manifest.json.partial", "study_sessions-run2-0002.csv.gz.partial"];
    for name in kept.iter().chain(&left) {
        fs::write(directory.path().join(name), "").unwrap();
    }

    assert_eq!(directory.remove_leftovers_before(7).unwrap(), 3);

    assert_eq!(listed(directory.path()), kept);
}

fn field() -> impl Strategy<Value = Option<String>> {
    let hard = prop::sample::select(vec![
        "",
        " ",
        "\"",
        "\"\"",
        ",",
        "\n",
        "\r",
        "\r\n",
        "\\N",
        "NULL",
        "-0",
        "1e9",
        "=1+1",
        "#",
        "\u{feff}",
        "🦀",
        "é\u{301}",
        "\0",
    ]);
    let text = prop::collection::vec(prop_oneof![2 => hard.prop_map(str::to_owned), 1 => ".{0,6}"], 0..4);
    prop::option::weighted(0.8, text.prop_map(|parts| parts.concat()))
}

fn table() -> impl Strategy<Value = (Vec<String>, Vec<Row>)> {
    (1usize..5).prop_flat_map(|width| {
        let names = prop::collection::hash_set("[^\u{feff}]{1,5}", width);
        let rows = prop::collection::vec(prop::collection::vec(field(), width), 0..20);
        (names.prop_map(|names| names.into_iter().collect()), rows)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_table_is_read_back_as_it_was((names, rows) in table()) {
        let (_parent, directory) = directory();
        let mut writer = ExportWriter::create(&directory, &file_name(1), &names).unwrap();
        for row in &rows {
            prop_assert_eq!(writer.write(&borrowed(row)).unwrap(), row_digest(&borrowed(row)));
        }

        let sealed = writer.finish().unwrap();

        prop_assert_eq!(verify(&sealed).map_err(|error| error.to_string()), Ok(()));
        let mut reader = csv::Reader::from_reader(GzDecoder::new(fs::File::open(&sealed.path).unwrap()));
        let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let found: Vec<Vec<String>> =
            reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        let text = |row: &Row| row.iter().map(|field| field.clone().unwrap_or_default()).collect::<Vec<_>>();
        prop_assert_eq!(header, names);
        prop_assert_eq!(found, rows.iter().map(text).collect::<Vec<_>>());
    }
}
