//! The order of the calls that decide what a power cut leaves, and failures of each of them.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::disk::{Disk, RealDisk};
use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Write(PathBuf),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncDirectory(PathBuf),
}

/// Writes down what was done and does it.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Call>>);

impl Recorder {
    fn note(&self, call: Call) {
        self.0.lock().unwrap().push(call);
    }
}

impl Disk for Recorder {
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<usize> {
        self.note(Call::Write(path.to_owned()));
        RealDisk.write(file, path, bytes)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.note(Call::Sync(path.to_owned()));
        RealDisk.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Call::Rename(from.to_owned(), to.to_owned()));
        RealDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.note(Call::SyncDirectory(path.to_owned()));
        RealDisk.sync_directory(path)
    }
}

/// Holds the calls about one file against: writes, fsync, rename, fsync of the directory, and nothing else.
fn check(calls: &[Call], target: &Path) -> Result<(), String> {
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let (partial, directory) = (PathBuf::from(partial), target.parent().unwrap());
    let mut steps = Vec::new();
    for call in calls {
        let step = match call {
            Call::Write(path) if *path == partial => "write",
            Call::Sync(path) if *path == partial => "fsync",
            Call::Rename(from, to) if *from == partial && to == target => "rename",
            Call::SyncDirectory(path) if path == directory && !steps.is_empty() => "fsync of the directory",
            _ => continue,
        };
        if steps.last() != Some(&step) {
            steps.push(step);
        }
    }
    // calls about later files sync the directory again
    let expected = ["write", "fsync", "rename", "fsync of the directory"];
    if steps == expected { Ok(()) } else { Err(format!("{steps:?}")) }
}

/// Exports a file of some thousand rows and lists it; the calls and both names.
fn exported(make: impl FnOnce(Arc<Recorder>) -> Arc<dyn Disk>) -> (Vec<Call>, [PathBuf; 2], TempDir) {
    let parent = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let directory = ExportDirectory::open_on(make(Arc::clone(&recorder)), &parent.path().join("new/exports")).unwrap();
    let sealed = sealed(&directory, 1, 50_000);
    let mut manifest = Manifest::create(&directory, 7, None).unwrap();
    manifest.add(&directory, &sealed, Ages::default()).unwrap();
    let listed = directory.path().join("run7.manifest.json");
    let calls = std::mem::take(&mut *recorder.0.lock().unwrap());
    (calls, [sealed.path, listed], parent)
}

#[test]
fn files_are_durable_before_they_have_their_name_and_names_before_anybody_counts_on_them() {
    let (calls, targets, parent) = exported(|recorder| recorder);

    for target in &targets {
        assert_eq!(check(&calls, target), Ok(()), "{}", target.display());
    }
    let writes = calls.iter().filter(|call| matches!(call, Call::Write(_))).count();
    assert!(writes > 3, "the file is written in several pieces: {writes}");
    // the file is complete before it is listed
    let place = |wanted: &dyn Fn(&Call) -> bool| calls.iter().position(wanted).unwrap();
    let named = place(&|call| matches!(call, Call::Rename(_, to) if *to == targets[0]));
    let list_begun = place(&|call| matches!(call, Call::Write(path) if path.ends_with("run7.manifest.json.partial")));
    assert_eq!(calls[named + 1], Call::SyncDirectory(targets[0].parent().unwrap().to_owned()));
    assert!(named + 1 < list_begun);
    // directories that were made are durable, too
    let synced = [Call::SyncDirectory(parent.path().to_owned()), Call::SyncDirectory(parent.path().join("new"))];
    assert_eq!(calls[..2], synced);
}

/// A disk that does one thing wrongly.
#[derive(Debug)]
struct Faulty(Arc<Recorder>, Fault);

#[derive(Debug, Clone, Copy)]
enum Fault {
    RenamesBeforeFsync,
    ForgetsFsync,
    ForgetsDirectory,
    SyncsDirectoryBeforeRename,
    WritesAfterFsync,
}

impl Disk for Faulty {
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(file, path, bytes)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        match self.1 {
            Fault::RenamesBeforeFsync | Fault::ForgetsFsync => return Ok(()),
            _ => self.0.sync(file, path)?,
        }
        if matches!(self.1, Fault::WritesAfterFsync) {
            self.0.note(Call::Write(path.to_owned()));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if matches!(self.1, Fault::SyncsDirectoryBeforeRename) {
            self.0.sync_directory(to.parent().unwrap())?;
        }
        self.0.rename(from, to)?;
        if matches!(self.1, Fault::RenamesBeforeFsync) {
            File::open(to)?.sync_all()?;
            self.0.note(Call::Sync(from.to_owned()));
        }
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match self.1 {
            Fault::ForgetsDirectory | Fault::SyncsDirectoryBeforeRename => Ok(()),
            _ => self.0.sync_directory(path),
        }
    }
}

#[test]
fn the_checker_finds_every_wrong_order() {
    use Fault::*;
    for (fault, steps) in [
        (RenamesBeforeFsync, r#"["write", "rename", "fsync", "fsync of the directory"]"#),
        (ForgetsFsync, r#"["write", "rename", "fsync of the directory"]"#),
        (ForgetsDirectory, r#"["write", "fsync", "rename"]"#),
        (SyncsDirectoryBeforeRename, r#"["write", "fsync", "fsync of the directory", "rename"]"#),
        (WritesAfterFsync, r#"["write", "fsync", "write", "rename", "fsync of the directory"]"#),
    ] {
        let (calls, targets, _parent) = exported(|recorder| Arc::new(Faulty(recorder, fault)));

        // up to the next file, since that one's fsync of the directory would make this one's name durable, only later
        let next = calls
            .iter()
            .position(|call| matches!(call, Call::Write(path) if path.ends_with("run7.manifest.json.partial")));
        assert_eq!(check(&calls[..next.unwrap()], &targets[0]), Err(steps.to_owned()), "{fault:?}");
        assert_eq!(check(&calls[next.unwrap()..], &targets[1]), Err(steps.to_owned()), "{fault:?}");
    }
}

/// A disk on which one of the calls fails, once.
#[derive(Debug)]
struct Failing {
    call: &'static str,
    has_failed: Mutex<bool>,
    later: Mutex<Vec<&'static str>>,
}

impl Failing {
    fn new(call: &'static str) -> Arc<Self> {
        Arc::new(Self { call, has_failed: Mutex::new(false), later: Mutex::default() })
    }

    fn pass(&self, call: &'static str) -> io::Result<()> {
        let mut has_failed = self.has_failed.lock().unwrap();
        if *has_failed {
            self.later.lock().unwrap().push(call);
        } else if self.call == call {
            *has_failed = true;
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }
}

impl Disk for Failing {
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<usize> {
        self.pass("write")?;
        RealDisk.write(file, path, bytes)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.pass("fsync")?;
        RealDisk.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass("rename to")?;
        RealDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.pass("fsync the directory of")?;
        RealDisk.sync_directory(path)
    }
}

#[test]
fn after_any_failure_the_file_is_thrown_away_and_nothing_is_tried_again() {
    for call in ["write", "fsync", "rename to", "fsync the directory of"] {
        let parent = tempfile::tempdir().unwrap();
        let disk = Failing::new(call);
        let directory = ExportDirectory::open_on(Arc::clone(&disk) as Arc<dyn Disk>, parent.path()).unwrap();
        let mut writer = ExportWriter::create(&directory, &file_name(1), &columns(&["id"])).unwrap();
        writer.write(&[Some("1")]).unwrap();

        let error = writer.finish().unwrap_err();

        let ExportError::Write { path, doing, source } = &error else { panic!("{error:?}") };
        assert_eq!((path.file_name().unwrap(), *doing), (file_name(1).as_str().as_ref(), call));
        assert!(call == "write" || source.to_string() == "input/output error", "{source}");
        assert_eq!(listed(directory.path()), [""; 0], "{call}");
        assert!(!disk.later.lock().unwrap().iter().any(|later| *later != "write"), "{call}: {disk:?}");
        // written anew it is complete
        verify(&sealed(&directory, 1, 3)).unwrap();
    }
}

#[test]
fn a_writer_that_failed_takes_no_more_rows() {
    let parent = tempfile::tempdir().unwrap();
    let directory = ExportDirectory::open_on(Failing::new("write"), parent.path()).unwrap();
    let mut writer = ExportWriter::create(&directory, &file_name(1), &columns(&["id", "notes"])).unwrap();
    let mut noise = 1u64;
    let failed = loop {
        // text that cannot be compressed, so that it reaches the disk soon
        let text: String = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (noise >> 33) as u8 % 26)
        })
        .take(5000)
        .collect();
        if let Err(error) = writer.write(&[Some("1"), Some(&text)]) {
            break error;
        }
    };

    assert!(matches!(failed, ExportError::Write { .. }), "{failed:?}");
    assert_eq!(listed(directory.path()), [""; 0], "its room is free at once");
    // the disk would take them now, but what is missing in between would not be noticed
    assert!(matches!(writer.write(&[None, None]), Err(ExportError::Abandoned(_))));
    assert!(matches!(writer.finish(), Err(ExportError::Abandoned(_))));
    assert_eq!(listed(directory.path()), [""; 0]);
}

#[test]
fn a_list_that_cannot_be_rewritten_is_the_former_or_the_new_one() {
    for call in ["write", "fsync", "rename to", "fsync the directory of"] {
        let parent = tempfile::tempdir().unwrap();
        let real = ExportDirectory::open(parent.path()).unwrap();
        let (one, two) = (sealed(&real, 1, 3), sealed(&real, 2, 3));
        let mut manifest = Manifest::create(&real, 7, None).unwrap();
        manifest.add(&real, &one, Ages::default()).unwrap();
        let before = manifest.clone();
        let failing = ExportDirectory::open_on(Failing::new(call), parent.path()).unwrap();

        manifest.add(&failing, &two, Ages::default()).unwrap_err();

        assert_eq!(manifest, before);
        let stored = Manifest::read(parent.path().join("run7.manifest.json")).unwrap();
        let files = if call == "fsync the directory of" { 2 } else { 1 };
        assert_eq!(stored.files().len(), files, "{call}");
        stored.verify_all().unwrap();
        assert_eq!(listed(parent.path()).len(), 3);
        manifest.add(&failing, &two, Ages::default()).unwrap();
        assert_eq!(Manifest::read(parent.path().join("run7.manifest.json")).unwrap(), manifest);
    }
}
