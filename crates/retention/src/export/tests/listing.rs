//! Manifests.

use serde_json::{Value, json};

use super::*;

fn ages(first: &str, last: &str) -> Ages {
    Ages { first: Some(first.to_owned()), last: Some(last.to_owned()) }
}

/// A manifest of two files, and where it lies.
fn listed_files() -> (TempDir, ExportDirectory, Manifest, PathBuf) {
    let (parent, directory) = directory();
    let mut manifest = Manifest::create(&directory, 7, Some("school")).unwrap();
    for number in 1..=2 {
        let sealed = sealed(&directory, number, 3);
        manifest.add(&directory, &sealed, ages("2019-01-01T00:00:00Z", "2019-02-01T00:00:00Z")).unwrap();
    }
    let path = directory.path().join("run7.manifest.json");
    (parent, directory, manifest, path)
}

#[test]
fn a_manifest_says_what_is_in_each_file() {
    let (_parent, _directory, manifest, path) = listed_files();

    let text: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();

    let file = &manifest.files()[1];
    assert_eq!((&text["format"], &text["run"], &text["installation"]), (&json!(1), &json!(7), &json!("school")));
    let expected = json!({
        "name": "study_sessions-run7-0002.csv.gz",
        "table": "study_sessions",
        "rows": 3,
        "digest": file.digest.to_string(),
        "sha256": file.sha256.to_string(),
        "bytes": file.bytes,
        "columns": ["id", "notes"],
        "first_age": "2019-01-01T00:00:00Z",
        "last_age": "2019-02-01T00:00:00Z",
    });
    assert_eq!(text["files"][1], expected);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_manifest_is_read_back_and_its_files_verified_wherever_they_lie() {
    let (parent, directory, manifest, path) = listed_files();
    assert_eq!(Manifest::read(&path).unwrap(), manifest);
    assert_eq!((manifest.run(), manifest.installation()), (7, Some("school")));

    let moved = parent.path().join("moved");
    fs::rename(directory.path(), &moved).unwrap();

    Manifest::read(moved.join("run7.manifest.json")).unwrap().verify_all().unwrap();
}

#[test]
fn every_file_that_is_missing_or_damaged_is_told() {
    let (_parent, directory, mut manifest, path) = listed_files();
    manifest.add(&directory, &sealed(&directory, 3, 3), Ages::default()).unwrap();
    fs::remove_file(directory.path().join(file_name(1).as_str())).unwrap();
    fs::write(directory.path().join(file_name(3).as_str()), "x").unwrap();

    let faults = Manifest::read(path).unwrap().verify_all().unwrap_err();

    assert!(matches!(&faults[0], ExportError::Read { path, .. } if path.ends_with(file_name(1).as_str())));
    assert!(matches!(&faults[1], ExportError::Damaged { path, .. } if path.ends_with(file_name(3).as_str())));
    assert_eq!(faults.len(), 2);
}

#[test]
fn a_manifest_takes_each_file_of_its_own_run_and_directory_once() {
    let (_parent, directory, mut manifest, path) = listed_files();
    let before = fs::read(&path).unwrap();
    let (_elsewhere, other) = super::directory();
    let foreign = FileName::new("study_sessions", 8, 1).unwrap();
    let foreign = ExportWriter::create(&directory, &foreign, &columns(&["id"])).unwrap().finish().unwrap();

    for (sealed, said) in [
        (foreign, "files of run 7"),
        (sealed(&other, 9, 1), "lies elsewhere"),
        (manifest.sealed(&manifest.files()[0]), "twice"),
    ] {
        let error = manifest.add(&directory, &sealed, Ages::default()).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("run7.manifest.json"), "{error}");
    }
    assert_eq!((manifest.files().len(), fs::read(&path).unwrap()), (2, before));
}

#[test]
fn the_manifest_of_another_installation_is_never_overwritten() {
    let (_parent, directory, _, path) = listed_files();
    let before = fs::read(&path).unwrap();

    assert!(matches!(Manifest::create(&directory, 7, None), Err(ExportError::Exists { .. })));
    // nor one that comes between
    let mut manifest = Manifest::create(&directory, 8, None).unwrap();
    let name = FileName::new("t", 8, 1).unwrap();
    let sealed = ExportWriter::create(&directory, &name, &columns(&["id"])).unwrap().finish().unwrap();
    fs::write(directory.path().join("run8.manifest.json"), "theirs").unwrap();
    assert!(matches!(manifest.add(&directory, &sealed, Ages::default()), Err(ExportError::Exists { .. })));

    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_to_string(directory.path().join("run8.manifest.json")).unwrap(), "theirs");
}

#[test]
fn a_manifest_that_says_what_cannot_be_is_refused() {
    let (_parent, _directory, _, path) = listed_files();
    let whole = fs::read_to_string(&path).unwrap();
    let first = file_name(1).to_string();

    for (from, to) in [
        ("\"format\": 1", "\"format\": 2"),
        ("\"run\": 7", "\"run\": 8"),
        (first.as_str(), "../../secret"),
        (first.as_str(), "study_sessions-run8-0001.csv.gz"),
        (first.as_str(), "study_sessions-run7-0002.csv.gz"),
        ("\"table\": \"study_sessions\"", "\"table\": \"users\""),
        ("\"sha256\": \"", "\"sha256\": \"0"),
        ("\"digest\": \"", "\"digest\": \"x"),
        ("\"rows\": 3", "\"rows\": -3"),
        ("\"files\"", "\"fills\""),
    ] {
        assert!(whole.contains(from), "{from}");
        fs::write(&path, whole.replacen(from, to, 1)).unwrap();

        let error = Manifest::read(&path).unwrap_err();

        assert!(matches!(error, ExportError::Manifest { .. }), "{to}: {error:?}");
        assert!(error.to_string().contains("run7.manifest.json"), "{error}");
    }
    for text in ["", "{}", "[]", &whole[..whole.len() / 2], "\u{0}"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(Manifest::read(&path), Err(ExportError::Manifest { .. })), "{text:?}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(Manifest::read(&path), Err(ExportError::Read { .. })));
}
