//! Two runs never work at once.

use std::time::Duration;

use anyhow::Result;
use tierkeep_db::{Database, SqliteConfig, SqliteDatabase, SqlitePath};
use tierkeep_retention::{Hold, RetentionError};
use tokio_util::sync::CancellationToken;

use crate::fixture::{PATIENCE, Platform, batch, is_overtaken, on_both, take};

on_both!(
    one_of_many_takers_gets_the_lease,
    second_taker_is_told_who_works,
    wait_ends_when_the_holder_releases,
    wait_ends_when_it_is_cancelled,
    killed_holder_is_replaced_at_once,
    dropped_hold_is_replaced_at_once_and_its_batches_are_refused,
    paused_holder_is_replaced_when_its_time_is_over_and_commits_nothing,
    batch_renews_the_lease_and_so_does_a_renewal,
    switch_stops_the_next_batch_and_refuses_runs,
    release_of_a_lease_that_passed_on_says_so,
    missing_row_is_named,
);

async fn one_of_many_takers_gets_the_lease(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    for _ in 0..5 {
        let takers = [&one, &other, &one, &other, &one, &other].map(|db| {
            let db = db.clone();
            tokio::spawn(async move { take(&db).await })
        });

        let mut holds = Vec::new();
        for taker in takers {
            match taker.await? {
                Ok(hold) => holds.push(hold),
                Err(RetentionError::Busy { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }

        assert_eq!(holds.len(), 1);
        holds.remove(0).release().await?;
    }
    Ok(())
}

async fn second_taker_is_told_who_works(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let hold = take(&db).await?;

    let error = take(&platform.database().await).await.unwrap_err();

    let text = error.to_string();
    let RetentionError::Busy { holder, since, until, .. } = error else { panic!("{error}") };
    assert!(holder.starts_with(&format!("process {}", std::process::id())), "{holder}");
    let (since, until) = (since.unwrap(), until.unwrap());
    assert_eq!((until - since).get_seconds(), 30);
    assert!(text.contains(&holder) && text.contains(&since.to_string()) && text.contains("end that process"), "{text}");
    if let Platform::Sqlite { file } = &platform {
        let mark = file.path().with_file_name("test.db-retention");
        assert_eq!(std::fs::metadata(&mark)?.len(), 0);
        hold.release().await?;
        assert!(mark.exists());
    }
    Ok(())
}

async fn wait_ends_when_the_holder_releases(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let hold = take(&one).await?;
    let waiting = tokio::spawn(async move { Hold::take(&other, PATIENCE, &CancellationToken::new()).await });
    batch(&one, Some(&hold.keeper()), 1).await?;

    hold.release().await?;

    waiting.await??.release().await?;
    Ok(())
}

async fn wait_ends_when_it_is_cancelled(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let hold = take(&db).await?;
    let stop = CancellationToken::new();
    let other = platform.database().await;
    let waiting = {
        let stop = stop.clone();
        tokio::spawn(async move { Hold::take(&other, Duration::from_secs(3600), &stop).await })
    };

    stop.cancel();

    let ended = tokio::time::timeout(PATIENCE, waiting).await??;
    assert!(matches!(ended, Err(RetentionError::Busy { .. })), "{ended:?}");
    hold.release().await?;
    Ok(())
}

async fn killed_holder_is_replaced_at_once(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let hold = take(&one).await?;
    assert!(matches!(take(&other).await, Err(RetentionError::Busy { .. })));

    let killed = platform.kill(hold).await;

    let successor = take(&other).await?;
    if let Some(killed) = killed {
        assert!(matches!(batch(&one, Some(&killed.keeper()), 1).await, Err(RetentionError::Fenced)));
        assert!(killed.renew().await.is_err());
    }
    batch(&other, Some(&successor.keeper()), 2).await?;
    assert_eq!(platform.work().await, [2]);
    Ok(())
}

async fn dropped_hold_is_replaced_at_once_and_its_batches_are_refused(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let hold = take(&one).await?;
    let keeper = hold.keeper();

    drop(hold);

    assert!(matches!(batch(&one, Some(&keeper), 1).await, Err(RetentionError::Fenced)));
    // The session is closed in the background.
    let successor = Hold::take(&other, Duration::from_secs(10), &CancellationToken::new()).await?;
    assert!(platform.work().await.is_empty());
    successor.release().await?;
    Ok(())
}

async fn paused_holder_is_replaced_when_its_time_is_over_and_commits_nothing(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let paused = take(&one).await?;
    batch(&one, Some(&paused.keeper()), 1).await?;
    platform.expire().await;
    let successor = take(&other).await?;
    batch(&other, Some(&successor.keeper()), 2).await?;

    let woken = batch(&one, Some(&paused.keeper()), 1).await;

    assert!(matches!(woken, Err(RetentionError::Fenced)), "{woken:?}");
    assert!(matches!(paused.renew().await, Err(RetentionError::Fenced)));
    assert_eq!(platform.work().await, [1, 2]);
    assert!(!is_overtaken(&platform.work().await));

    // The control: without asking for leave the same batch commits, and the checker sees it.
    batch(&one, None, 1).await?;
    assert!(is_overtaken(&platform.work().await));
    // The successor still is the only one who works.
    batch(&other, Some(&successor.keeper()), 2).await?;
    Ok(())
}

async fn batch_renews_the_lease_and_so_does_a_renewal(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let hold = take(&one).await?;

    platform.expire().await;
    batch(&one, Some(&hold.keeper()), 1).await?;
    assert!(matches!(take(&other).await, Err(RetentionError::Busy { .. })));

    platform.expire().await;
    hold.renew().await?;
    assert!(matches!(take(&other).await, Err(RetentionError::Busy { .. })));

    // The control: with neither it passes on.
    platform.expire().await;
    take(&other).await?.release().await?;
    Ok(())
}

async fn switch_stops_the_next_batch_and_refuses_runs(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let hold = take(&db).await?;
    batch(&db, Some(&hold.keeper()), 1).await?;

    platform.execute("update tierkeep_retention set stop = 'exams until Friday'").await;

    let stopped = batch(&db, Some(&hold.keeper()), 1).await;
    assert!(matches!(&stopped, Err(RetentionError::Stopped(reason)) if reason == "exams until Friday"), "{stopped:?}");
    assert!(matches!(hold.renew().await, Err(RetentionError::Stopped(_))));
    assert_eq!(platform.work().await, [1]);
    hold.release().await?;

    let refused = take(&db).await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, RetentionError::Refused(_)));
    assert!(text.contains("exams until Friday"), "{text}");
    let (_, reset) = text.split_once("to allow runs again: ").unwrap();
    assert_eq!(platform.execute(reset).await, 1);
    take(&db).await?.release().await?;
    Ok(())
}

async fn release_of_a_lease_that_passed_on_says_so(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let paused = take(&one).await?;
    platform.expire().await;
    let successor = take(&other).await?;

    assert!(matches!(paused.release().await, Err(RetentionError::Fenced)));

    batch(&other, Some(&successor.keeper()), 2).await?;
    assert!(matches!(take(&one).await, Err(RetentionError::Busy { .. })));
    Ok(())
}

async fn missing_row_is_named(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    platform.execute("delete from tierkeep_retention").await;

    let error = take(&db).await.unwrap_err();

    let (_, remedy) =
        error.to_string().split_once("to give it one: ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    platform.execute(&remedy).await;
    take(&db).await?.release().await?;
    Ok(())
}

/// Whether somebody waits for the row of the lease.
async fn is_waited_for(platform: &Platform) -> bool {
    let waiting = "select exists (select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%Takes the lease%'
                   and datname = current_database())";
    platform.value(waiting).await.as_deref() == Some("true")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taker_waits_for_the_batch_in_flight_of_a_holder_that_died() -> Result<()> {
    let platform = Platform::postgres().await?;
    let (one, other) = (platform.database().await, platform.database().await);
    let Database::Postgres(pool) = &one else { panic!("not a pool") };
    let hold = take(&one).await?;
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    hold.keeper().keep_postgres(&tx).await?;
    tx.execute("insert into work (fence) values (1)", &[]).await?;
    let _hold = platform.kill(hold).await;
    // However little it is ready to wait, it does not get the lease while the batch is in flight.
    assert!(matches!(take(&other).await, Err(RetentionError::Busy { .. })));

    let waiting = tokio::spawn(async move {
        let successor = Hold::take(&other, PATIENCE, &CancellationToken::new()).await?;
        batch(&other, Some(&successor.keeper()), 2).await?;
        Ok::<_, RetentionError>(successor)
    });
    tokio::time::timeout(PATIENCE, async { while !is_waited_for(&platform).await {} }).await?;
    tx.commit().await?;

    let successor = waiting.await??;
    assert_eq!(platform.work().await, [1, 2]);
    successor.release().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taker_does_not_wait_for_a_batch_that_did_not_ask_for_leave() -> Result<()> {
    let platform = Platform::postgres().await?;
    let (one, other) = (platform.database().await, platform.database().await);
    let Database::Postgres(pool) = &one else { panic!("not a pool") };
    let hold = take(&one).await?;
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    tx.execute("insert into work (fence) values (1)", &[]).await?;
    let _hold = platform.kill(hold).await;

    let successor = take(&other).await?;

    batch(&other, Some(&successor.keeper()), 2).await?;
    tx.commit().await?;
    // Ids are given in the order of inserts; what matters is that both were under way at once.
    assert_eq!(platform.work().await, [1, 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_ends_a_batch_whose_client_stands_still() -> Result<()> {
    let platform = Platform::postgres().await?;
    let db = platform.database().await;
    let Database::Postgres(pool) = &db else { panic!("not a pool") };
    let hold = take(&db).await?;
    let mut connection = pool.get().await?;
    let setting = "show idle_in_transaction_session_timeout";

    let tx = connection.transaction().await?;
    hold.keeper().keep_postgres(&tx).await?;
    assert_eq!(tx.query_one(setting, &[]).await?.get::<_, &str>(0), "30s");
    tx.commit().await?;
    assert_eq!(connection.query_one(setting, &[]).await?.get::<_, &str>(0), "0");

    // A shorter limit of the session stays.
    let tx = connection.transaction().await?;
    tx.batch_execute("set local idle_in_transaction_session_timeout = '2s'").await?;
    hold.keeper().keep_postgres(&tx).await?;
    assert_eq!(tx.query_one(setting, &[]).await?.get::<_, &str>(0), "2s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taker_waits_for_the_transaction_in_flight_on_sqlite() -> Result<()> {
    let platform = Platform::sqlite().await?;
    let Platform::Sqlite { file } = &platform else { panic!("not a file") };
    let (one, path) = (platform.database().await, SqlitePath::new(file.path()));
    // Its attempts end while the batch is in flight.
    let impatient = SqliteConfig { busy_timeout: Duration::from_millis(10), ..SqliteConfig::default() };
    let other = Database::Sqlite(SqliteDatabase::open(&path, impatient).await?);
    let Database::Sqlite(file) = one.clone() else { panic!("not a file") };
    let hold = take(&one).await?;
    let keeper = hold.keeper();
    let (in_flight, began) = tokio::sync::oneshot::channel();
    let (go_on, told) = std::sync::mpsc::sync_channel::<()>(1);
    let batch_in_flight = tokio::spawn(async move {
        let commit = file.write(move |tx| {
            keeper.keep_sqlite(tx)?;
            tx.execute("insert into work (fence) values (1)", [])?;
            in_flight.send(()).unwrap();
            told.recv().unwrap();
            Ok::<_, RetentionError>(())
        });
        commit.await
    });
    began.await?;
    drop(hold);
    assert!(matches!(take(&other).await, Err(RetentionError::Busy { .. })));

    let waiting = tokio::spawn(async move { Hold::take(&other, PATIENCE, &CancellationToken::new()).await });
    go_on.send(())?;

    batch_in_flight.await??;
    waiting.await??.release().await?;
    assert_eq!(platform.work().await, [1]);
    Ok(())
}

#[tokio::test]
async fn successor_of_a_paused_holder_shows_signs_of_life_when_that_knows() -> Result<()> {
    let platform = Platform::sqlite().await?;
    let (one, other, third) = (platform.database().await, platform.database().await, platform.database().await);
    let proof = "select session from tierkeep_retention";
    let paused = take(&one).await?;
    platform.expire().await;
    let successor = take(&other).await?;
    // The file's lock is with the one that stands still, so it proves nothing.
    batch(&other, Some(&successor.keeper()), 2).await?;
    assert_eq!(platform.value(proof).await, None);

    assert!(matches!(batch(&one, Some(&paused.keeper()), 1).await, Err(RetentionError::Fenced)));
    batch(&other, Some(&successor.keeper()), 2).await?;

    assert_eq!(platform.value(proof).await.as_deref(), Some("1"));
    drop(successor);
    take(&third).await?.release().await?;
    Ok(())
}

#[tokio::test]
async fn successor_of_a_paused_holder_is_not_taken_for_gone() -> Result<()> {
    let platform = Platform::sqlite().await?;
    let (one, other) = (platform.database().await, platform.database().await);
    let paused = take(&one).await?;
    platform.expire().await;
    let successor = take(&other).await?;

    // Now nobody has the file's lock, and the one who has the lease lives.
    drop(paused);

    assert!(matches!(take(&one).await, Err(RetentionError::Busy { .. })));
    successor.release().await?;
    Ok(())
}

#[tokio::test]
async fn renewal_that_is_not_answered_fails() -> Result<()> {
    let platform = Platform::postgres().await?;
    let db = platform.database().await;
    let Database::Postgres(pool) = &db else { panic!("not a pool") };
    let hold = take(&db).await?;
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    tx.execute("select 1 from tierkeep_retention for update", &[]).await?;

    // The only thing left to happen is that time passes.
    tokio::time::pause();
    let silent = hold.renew().await;

    assert!(matches!(silent, Err(RetentionError::Silent { .. })), "{silent:?}");
    Ok(())
}

#[tokio::test]
async fn file_that_cannot_be_made_is_named() -> Result<()> {
    let platform = Platform::sqlite().await?;
    let Platform::Sqlite { file } = &platform else { panic!("not a file") };
    let mark = file.path().with_file_name("test.db-retention");
    std::fs::create_dir(&mark)?;

    let error = take(&platform.database().await).await.unwrap_err();

    assert!(matches!(error, RetentionError::LockFile { .. }), "{error}");
    assert!(error.to_string().contains("test.db-retention"), "{error}");
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn names_of_one_file_compete() -> Result<()> {
    let platform = Platform::sqlite().await?;
    let Platform::Sqlite { file } = &platform else { panic!("not a file") };
    let link = file.path().with_file_name("link.db");
    std::os::unix::fs::symlink(file.path(), &link)?;
    let hold = take(&platform.database().await).await?;
    let other = crate::fixture::open(&format!("sqlite://{}", link.display())).await;

    assert!(matches!(take(&other).await, Err(RetentionError::Busy { .. })));
    assert!(!link.with_file_name("link.db-retention").exists());

    drop(hold);
    take(&other).await?.release().await?;
    Ok(())
}
