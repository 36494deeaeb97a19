//! How rows flow: chunks, progress, failures on either side, and a database at the end.

use std::fs;
use std::io::Write;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::calendar::{DayStart, Zone};
use crate::mapping::Mapping;
use crate::store::{OpenMode, OpenOptions, open};

fn many_sessions(count: usize) -> String {
    let rows: Vec<String> = (0..count).map(|id| session_with(&[("id", &id.to_string())])).collect();
    format!("{SESSION_HEADER}\n{}\n", rows.join("\n"))
}

#[test]
fn many_rows_arrive_in_order_and_progress_only_rises() {
    let count = 3 * table::CHUNK_ROWS + 1;
    let text = many_sessions(count);
    let size = text.len() as u64;
    let recorder = Recorder::default();
    let mut seen = Vec::new();

    let imported = runtime()
        .block_on(import_csv_into(
            &recorder,
            KeyType::Int,
            Table::StudySessions,
            "file.csv",
            Cursor::new(text),
            &mut |progress| seen.push(progress),
            &mut Rejects::new(),
        ))
        .unwrap();

    assert_eq!(imported.rows, count as u64);
    let ids: Vec<String> = recorder.sessions.lock().unwrap().iter().map(|row| row.id.to_string()).collect();
    assert!(ids.iter().enumerate().all(|(at, id)| *id == at.to_string()));
    assert!(seen.is_sorted_by_key(|progress| (progress.rows_stored, progress.bytes_read)));
    assert_eq!(seen.last(), Some(&Progress { bytes_read: size, rows_stored: count as u64, rejected: 0 }));
}

#[test]
fn long_notes_travel_in_small_chunks() {
    let long = session_with(&[("notes", &"x".repeat(1 << 20))]);
    let text = format!("{SESSION_HEADER}\n{}", format!("{long}\n").repeat(30));

    let outcome = import(Table::StudySessions, text);

    assert_eq!((outcome.sessions().len(), *outcome.recorder.batches.lock().unwrap()), (30, 4));
}

#[test]
fn a_compressed_file_is_read_like_a_plain_one() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(format!("{SESSION_HEADER}\n{SESSION}\n").as_bytes()).unwrap();

    assert_eq!(import(Table::StudySessions, encoder.finish().unwrap()).result.unwrap().rows, 1);
}

#[test]
fn every_reject_of_a_bad_file_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rejects.csv");
    let mut rejects = Rejects::to_file(io::BufWriter::new(fs::File::create(&path).unwrap())).unwrap();
    let text = format!("{SESSION_HEADER}\n{}", "a,\"b\"\n".repeat(1000));

    let recorder = Recorder::default();
    let source = Cursor::new(text);
    let table = Table::StudySessions;
    runtime()
        .block_on(import_csv_into(&recorder, KeyType::Int, table, "s.csv", source, &mut |_| (), &mut rejects))
        .unwrap();
    assert_eq!(rejects.count(), 1000);
    rejects.finish().unwrap();

    let written = fs::read_to_string(path).unwrap();
    assert_eq!(written.lines().count(), 1001);
    assert_eq!(
        written.lines().last(),
        Some("s.csv,1001,,\"the record has 2 fields; accepted: 17, as many as the header\",\"a,\"\"b\"\"\"")
    );
}

#[test]
fn a_store_that_refuses_ends_the_import() {
    let recorder = Recorder { refuse_from: Some(1), ..Recorder::default() };
    let rows = io::repeat(b'\n').take(1 << 30);
    let source = Cursor::new(many_sessions(5 * table::CHUNK_ROWS)).chain(rows);

    let outcome = import_with(recorder, Table::StudySessions, KeyType::Int, source);

    assert!(matches!(outcome.result, Err(ImportError::Store { .. })));
    assert_eq!(outcome.sessions().len(), table::CHUNK_ROWS);
}

#[test]
fn a_file_that_breaks_off_is_an_error_after_what_was_read() {
    struct Breaking;
    impl Read for Breaking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let source = Cursor::new(many_sessions(2 * table::CHUNK_ROWS)).chain(Breaking);

    let outcome = import_with(Recorder::default(), Table::StudySessions, KeyType::Int, source);

    let error = outcome.result.unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the disk is gone");
    assert_eq!(outcome.recorder.sessions.lock().unwrap().len(), table::CHUNK_ROWS);
}

#[test]
fn a_dropped_import_ends_its_reading_thread() {
    struct Endless(mpsc::SyncSender<()>);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'\n');
            Ok(buffer.len())
        }
    }
    impl Drop for Endless {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, dropped) = mpsc::sync_channel(1);
    let recorder = Arc::new(Recorder { stall_from: Some(0), ..Recorder::default() });
    let source = Cursor::new(many_sessions(table::CHUNK_ROWS)).chain(Endless(sender));
    let runtime = runtime();

    runtime.block_on(async {
        let (mut rejects, mut progress) = (Rejects::new(), |_| ());
        let table = Table::StudySessions;
        let importing =
            import_csv_into(&*recorder, KeyType::Int, table, "file.csv", source, &mut progress, &mut rejects);
        let _ = tokio::time::timeout(Duration::from_millis(200), importing).await;
    });

    dropped.recv_timeout(Duration::from_secs(60)).expect("the thread has ended and dropped its reader");
}

#[test]
fn files_imported_twice_leave_a_database_as_after_the_first_time() {
    let file = tierkeep_testkit::SqliteFile::new().unwrap();
    let options = OpenOptions {
        mode: OpenMode::Create { ids: Some(KeyType::Int) },
        pool: tierkeep_db::PoolConfig::default(),
        default_zone: Zone::utc(),
        day_start: DayStart::default(),
        mapping: Mapping::default(),
    };
    let users = "id,is_active,created_at\n42,t,2025-06-27T08:00:00Z\n";
    let statement = r#"{"actor": {"account": {"homePage": "https://lms.example.org", "name": "42"}},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/terminated"}, "object": {"id": "https://lms.example.org/1"},
        "timestamp": "2025-06-27T10:00:00Z", "result": {"duration": "PT25M"}}"#
        .replace('\n', "");

    runtime().block_on(async {
        let store = open(&file.url().parse().unwrap(), &options).await.unwrap();
        let learner = "42".parse().unwrap();
        let (mut rejects, mut progress) = (Rejects::new(), |_| ());
        for first in [true, false] {
            let mut totals = Written::default();
            for (table, text) in
                [(Table::Users, users.to_owned()), (Table::StudySessions, format!("{SESSION_HEADER}\n{SESSION}\n"))]
            {
                let source = Cursor::new(text);
                let imported =
                    import_csv(&*store, table, "file.csv", source, &mut progress, &mut rejects).await.unwrap();
                totals.inserted += imported.written.inserted;
                totals.updated += imported.written.updated;
            }
            let source = Cursor::new(statement.clone());
            let estimator = Estimator::default();
            let report =
                import_xapi(&*store, "statements", source, estimator, &mut progress, &mut rejects).await.unwrap();

            let (new, known) = if first { (2, 0) } else { (0, 2) };
            assert_eq!(totals, Written { inserted: new, updated: known });
            assert_eq!((report.written.inserted, report.written.updated), if first { (1, 0) } else { (0, 1) });
            assert_eq!(store.sessions(learner, None, 10).await.unwrap().unwrap().len(), 2);
        }
        assert_eq!(rejects.count(), 0);
        store.close().await;
    });
}

#[test]
fn rows_about_an_erased_learner_are_rejected_with_their_lines_and_without_their_text() {
    let recorder = Recorder { erased: Some("13".to_owned()), ..Recorder::default() };
    let rows: String = (1..=6)
        .map(|n| session_with(&[("id", &n.to_string()), ("user_id", if n % 3 == 0 { "13" } else { "42" })]) + "\n")
        .collect();
    let text = format!("{SESSION_HEADER}\n{rows}");

    let outcome = import_with(recorder, Table::StudySessions, KeyType::Int, Cursor::new(text));

    let ids: Vec<String> = outcome.sessions().iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, ["1", "2", "4", "5"]);
    let reason = "learner 13 was erased; accepted: rows about others";
    assert_eq!(outcome.rejected(), [(4, None, reason), (7, None, reason)]);
    assert!(outcome.rejects.first().iter().all(|reject| reject.record.is_empty()));
}
