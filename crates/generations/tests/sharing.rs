//! Tables seen by more than one process, and files that are not tables.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tierkeep_generations::{Error, Generations, Namespace, Slot, SlotCount};

const SLOTS: SlotCount = match SlotCount::new(10) {
    Ok(slots) => slots,
    Err(_) => panic!("10 is in range"),
};

/// Set for a child of these tests: the file it bumps.
const FILE: &str = "GENERATIONS_TEST_FILE";

/// How often the child bumps.
const BUMPS: u64 = 100_000;

fn slot(table: &Generations, name: &str) -> Slot {
    table.slot(Namespace::new("tests"), name.as_bytes())
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("table");
    (folder, path)
}

/// Runs the "test" below in a process of its own.
fn start_child(path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["--exact", "child_bumps_when_asked", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::null())
        .spawn()
        .expect("a second process")
}

#[test]
fn child_bumps_when_asked() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let table = Generations::open(Path::new(&path), SLOTS).unwrap();

    for _ in 0..BUMPS {
        table.bump(slot(&table, "shared"));
    }
}

#[test]
fn no_bump_of_two_processes_is_lost() {
    let (_folder, path) = folder();
    let table = Generations::open(&path, SLOTS).unwrap();
    let children = [start_child(&path), start_child(&path)];

    for mut child in children {
        assert!(child.wait().unwrap().success());
    }

    assert_eq!(table.read(slot(&table, "shared")), 2 * BUMPS);
}

#[test]
fn many_that_make_it_at_once_get_the_same_table() {
    let (_folder, path) = folder();

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let table = Generations::open(&path, SLOTS).unwrap();
                table.bump(slot(&table, "a"));
            });
        }
    });

    let table = Generations::open(&path, SLOTS).unwrap();
    assert_eq!(table.read(slot(&table, "a")), 8);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside the table");
}

#[test]
fn only_its_owner_may_open_the_file() {
    let (_folder, path) = folder();

    let _table = Generations::open(&path, SLOTS).unwrap();

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn epoch_is_shared_and_is_no_slot() {
    let (_folder, path) = folder();
    let (one, other) = (Generations::open(&path, SLOTS).unwrap(), Generations::open(&path, SLOTS).unwrap());

    assert_eq!(one.advance_epoch(), 1);

    assert_eq!(other.epoch(), 1);
    let sum: u64 = (0..SLOTS.get()).map(|at| other.read(slot(&other, &at.to_string()))).sum();
    assert_eq!(sum, 0);
}

#[test]
fn private_table_is_nobody_elses() {
    let (one, other) = (Generations::private(SLOTS), Generations::private(SLOTS));

    one.bump(slot(&one, "a"));

    assert_eq!((one.read(slot(&one, "a")), other.read(slot(&other, "a"))), (1, 0));
    assert!(!one.is_shared());
}

#[test]
fn same_name_in_another_namespace_is_another_counter() {
    let table = Generations::private(SlotCount::DEFAULT);
    let (keys, tags) = (Namespace::new("keys"), Namespace::new("keys").inner("tags"));

    assert_ne!(table.slot(keys, b"a"), table.slot(tags, b"a"));
    assert_ne!(table.slot(keys, b"a"), table.slot(Namespace::new("other"), b"a"));
}

/// What each damage must be refused with.
fn refusal(damage: impl FnOnce(&Path)) -> &'static str {
    let (_folder, path) = folder();
    drop(Generations::open(&path, SLOTS).expect("a new table"));
    damage(&path);
    match Generations::open(&path, SLOTS) {
        Err(Error::Foreign { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn damaged_or_foreign_file_is_refused_and_kept() {
    use std::os::unix::fs::FileExt;
    let write = |path: &Path, at: u64| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0xee; 8], at).unwrap();
    };

    assert_eq!(refusal(|path| write(path, 0)), "its first bytes are not those of a table");
    assert_eq!(refusal(|path| write(path, 8)), "it has another version");
    assert_eq!(refusal(|path| write(path, 16)), "it has another number of counters");
    assert_eq!(refusal(|path| fs::write(path, b"short").unwrap()), "its size is another");
    assert_eq!(
        refusal(|path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap()),
        "other users may open it"
    );
    assert_eq!(
        refusal(|path| {
            let moved = path.with_extension("moved");
            fs::rename(path, &moved).unwrap();
            symlink(&moved, path).unwrap();
        }),
        "it is a symbolic link"
    );
}

#[test]
fn a_folder_that_is_not_there_is_the_systems_error() {
    let (_folder, path) = folder();

    assert!(matches!(Generations::open(&path.join("no/table"), SLOTS), Err(Error::Io { .. })));
}

#[test]
fn a_table_of_another_size_is_refused() {
    let (_folder, path) = folder();
    drop(Generations::open(&path, SLOTS).unwrap());

    let error = Generations::open(&path, SlotCount::new(11).unwrap()).unwrap_err();

    assert!(matches!(error, Error::Foreign { reason: "its size is another", .. }), "{error:?}");
}
