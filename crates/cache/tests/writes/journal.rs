//! The journal in files: torn ends, damage, numbers, groups.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tierkeep_cache::journal::{FileJournal, Journal, JournalError, Record, Step};

pub(crate) fn record(number: u64, key: u64, value: u64) -> Record {
    let encoded = |number: u64| number.to_le_bytes().to_vec();
    Record { number, shape: 1, key: encoded(key), value: Some(encoded(value)) }
}

async fn open(directory: &Path) -> Result<FileJournal, JournalError> {
    FileJournal::builder(directory).open().await
}

/// The files of a journal, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|ext| ext == "journal")).collect();
    files.sort();
    files
}

/// A journal with three groups in its one file, and where the last one begins.
async fn three_groups(directory: &Path) -> (PathBuf, Vec<u8>, usize) {
    let journal = open(directory).await.unwrap();
    journal.append(vec![record(1, 1, 1)]).await.unwrap();
    journal.append(vec![record(2, 2, 2), record(3, 1, 3)]).await.unwrap();
    let path = files(directory).pop().unwrap();
    let last = std::fs::read(&path).unwrap().len();
    journal.append(vec![record(4, 2, 4)]).await.unwrap();
    drop(journal);
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes, last)
}

/// What is found in a directory that holds one file with these bytes.
async fn reopened(name: &Path, bytes: &[u8]) -> (Result<Vec<u64>, JournalError>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(name), bytes).unwrap();
    let found = match open(directory.path()).await {
        Ok(journal) => Ok(journal.unsettled().await.unwrap().iter().map(|record| record.number).collect()),
        Err(error) => Err(error),
    };
    (found, directory)
}

#[tokio::test]
async fn s11_an_end_torn_at_any_byte_is_cut_and_nothing_before_it_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (path, bytes, last) = three_groups(directory.path()).await;
    let name = path.file_name().map(Path::new).unwrap();

    for length in last..=bytes.len() {
        let (found, again) = reopened(name, &bytes[..length]).await;
        let whole = length == bytes.len();
        assert_eq!(found.unwrap(), if whole { vec![1, 2, 3, 4] } else { vec![1, 2, 3] }, "cut at {length}");

        let journal = open(again.path()).await.unwrap();
        assert_eq!(journal.recovered().cut, 0, "what was cut is cut for good");
        assert_eq!(journal.recovered().records, if whole { 4 } else { 3 });
    }
}

#[tokio::test]
async fn s11_a_flipped_byte_in_the_last_group_never_gives_another_record() {
    let directory = tempfile::tempdir().unwrap();
    let (path, bytes, last) = three_groups(directory.path()).await;
    let name = path.file_name().map(Path::new).unwrap();

    for at in last..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        assert_eq!(reopened(name, &flipped).await.0.unwrap(), [1, 2, 3], "byte {at}");
    }
}

#[tokio::test]
async fn s11_damage_in_the_middle_is_an_error_that_names_the_place_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, bytes, last) = three_groups(directory.path()).await;
    let name = path.file_name().map(Path::new).unwrap();

    for at in 0..last {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let (found, again) = reopened(name, &flipped).await;
        match found {
            Err(JournalError::Damaged { path, offset }) => {
                assert!(path.ends_with(name) && offset <= at as u64, "byte {at}: {offset}");
            }
            Err(JournalError::Version { .. }) => assert_eq!(at, 4),
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(std::fs::read(again.path().join(name)).unwrap(), flipped);
        assert_eq!(files(again.path()).len(), 1);
    }
}

#[tokio::test]
async fn a_journal_is_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).await.unwrap();

    assert!(matches!(open(directory.path()).await, Err(JournalError::Locked(_))));
    drop(first);
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn numbers_are_never_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..5 {
        let journal = open(directory.path()).await.unwrap();
        for _ in 0..3 {
            let first = journal.reserve(10).await.unwrap();
            assert!(first > last, "{first} after {last}");
            last = first + 9;
        }
        journal.append(vec![record(last, 1, 1)]).await.unwrap();
        journal.settle(vec![last]).await.unwrap();
    }
}

#[tokio::test]
async fn files_whose_records_are_settled_are_deleted_and_the_others_kept() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::builder(directory.path()).file_bytes(1).open().await.unwrap();
    for number in 1..=10 {
        journal.append(vec![record(number, 1, number)]).await.unwrap();
    }
    assert!(files(directory.path()).len() >= 10);

    journal.settle((1..=6).collect()).await.unwrap();
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    let left: Vec<u64> = journal.unsettled().await.unwrap().iter().map(|record| record.number).collect();
    assert_eq!(left, [7, 8, 9, 10]);
    assert!(files(directory.path()).len() <= 7, "{:?}", files(directory.path()));

    journal.settle(left).await.unwrap();
    assert_eq!(files(directory.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_serves_all_who_wait() {
    let directory = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicUsize::new(0));
    let (counted, (gate, opened)) = (Arc::clone(&syncs), std::sync::mpsc::sync_channel::<()>(1));
    let opened = std::sync::Mutex::new(opened);
    let probe = move |step| {
        if step == Step::Synced && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            // The first sync takes until all others wait.
            opened.lock().unwrap().recv().unwrap();
        }
    };
    let journal = Arc::new(FileJournal::builder(directory.path()).probe(probe).open().await.unwrap());
    let append = |number| {
        let journal = Arc::clone(&journal);
        async move { journal.append(vec![record(number, 1, 1)]).await }
    };
    let first = tokio::spawn(append(1));
    while syncs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut others: Vec<_> = (2..=100).map(|number| Box::pin(append(number))).collect();
    for other in &mut others {
        // Polled once: the call is on its way.
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(other.as_mut().poll(context).is_pending())).await
        );
    }

    gate.send(()).unwrap();

    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(syncs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn s11_a_file_its_name_and_each_group_are_durable_before_anybody_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let steps = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&steps);
    let probe = move |step| seen.lock().unwrap().push(step);
    let journal = FileJournal::builder(directory.path()).probe(probe).open().await.unwrap();
    let opened = std::mem::take(&mut *steps.lock().unwrap());

    journal.append(vec![record(1, 1, 1)]).await.unwrap();

    assert_eq!(opened, [Step::Created, Step::HeaderSynced, Step::DirectorySynced]);
    assert_eq!(*steps.lock().unwrap(), [Step::Write, Step::HalfWritten, Step::Written, Step::Synced]);
}
