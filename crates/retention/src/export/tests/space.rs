//! A disk that is full.

use std::fs::File;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::disk::{Disk, RealDisk};
use super::*;

/// Rows whose text does not shrink: (rows written, error).
fn fill(directory: &ExportDirectory, rows: u64) -> (u64, Result<Sealed, ExportError>) {
    let mut writer = ExportWriter::create(directory, &file_name(1), &columns(&["id", "notes"])).unwrap();
    for id in 0..rows {
        let noise = row_digest(&[Some(&id.to_string())]).wrapping_mul(id | 1);
        if let Err(error) = writer.write(&[Some(&id.to_string()), Some(&format!("{noise:x}"))]) {
            return (writer.rows(), Err(error));
        }
    }
    (writer.rows(), writer.finish())
}

fn assert_full(directory: &ExportDirectory, result: Result<Sealed, ExportError>) {
    let error = result.unwrap_err();
    let ExportError::Full { path, source } = &error else { panic!("{error:?}") };
    assert_eq!(path, &directory.path().join(file_name(1).as_str()));
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    let said = error.to_string();
    assert!(said.contains(file_name(1).as_str()) && said.contains("make room"), "{said}");
    assert_eq!(listed(directory.path()), [""; 0], "what was written is removed");
}

/// Has room for so many bytes.
#[derive(Debug)]
struct Small(AtomicUsize);

impl Disk for Small {
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<usize> {
        let room = self.0.load(Ordering::Relaxed).min(bytes.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.fetch_sub(room, Ordering::Relaxed);
        RealDisk.write(file, path, &bytes[..room])
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        RealDisk.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_directory(path)
    }
}

#[test]
fn a_full_disk_is_told_with_file_and_remedy_wherever_it_ends() {
    let needed = {
        let (_parent, directory) = directory();
        usize::try_from(fill(&directory, 9000).1.unwrap().bytes).unwrap()
    };
    for room in [0, 1, 10, needed / 2, needed - 9, needed - 1] {
        let parent = tempfile::tempdir().unwrap();
        let directory = ExportDirectory::open_on(Arc::new(Small(room.into())), parent.path()).unwrap();

        assert_full(&directory, fill(&directory, 9000).1);
    }
    let parent = tempfile::tempdir().unwrap();
    let directory = ExportDirectory::open_on(Arc::new(Small(needed.into())), parent.path()).unwrap();
    verify(&fill(&directory, 9000).1.unwrap()).unwrap();
}

#[test]
fn a_list_without_room_is_told_too() {
    let parent = tempfile::tempdir().unwrap();
    let sealed = sealed(&ExportDirectory::open(parent.path()).unwrap(), 1, 3);
    let directory = ExportDirectory::open_on(Arc::new(Small(100.into())), parent.path()).unwrap();

    let added = Manifest::create(&directory, 7, None).unwrap().add(&directory, &sealed, Ages::default());

    assert!(matches!(added, Err(ExportError::Full { path, .. }) if path.ends_with("run7.manifest.json")));
    assert_eq!(listed(parent.path()), [file_name(1).as_str()]);
}

/// A file system of 64 KiB, while it lives.
struct Mounted(TempDir);

impl Mounted {
    /// `None` where file systems may not be mounted.
    fn new() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tierkeep-test"]).arg(place.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(place))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_file_system_that_is_really_full_is_told_as_the_simulated_one() {
    // without the right to mount, the simulated disk above stands alone
    let Some(mounted) = Mounted::new() else { return };
    let directory = ExportDirectory::open(mounted.0.path()).unwrap();

    let (rows, result) = fill(&directory, 1_000_000);

    assert!(rows > 1000 && rows < 1_000_000, "{rows}");
    assert_full(&directory, result);
    // the room is free again
    verify(&fill(&directory, 100).1.unwrap()).unwrap();
}
