use jiff::tz::TimeZone;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    "2026-03-05T23:59:00Z".parse().unwrap()
}

fn sign() -> (CancellationToken, StopSign) {
    let signal = CancellationToken::new();
    (signal.clone(), StopSign::new(signal))
}

#[tokio::test(start_paused = true)]
async fn pause_without_a_sign_takes_its_time() {
    let (_signal, sign) = sign();
    let begun = Instant::now();

    assert_eq!(sign.rest(now(), HOUR).await, None);

    assert_eq!(begun.elapsed(), HOUR);
}

#[tokio::test(start_paused = true)]
async fn signal_ends_a_pause_at_once() {
    let (signal, sign) = sign();
    let begun = Instant::now();

    let (ending, ()) = tokio::join!(sign.rest(now(), HOUR), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        signal.cancel();
    });

    assert_eq!((ending, begun.elapsed()), (Some(Ending::Signal), Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn pause_that_does_not_ask_the_sign_lasts_to_its_end() {
    // The control of the test above: a plain wait under the same signal.
    let (signal, _sign) = sign();
    let begun = Instant::now();

    tokio::join!(tokio::time::sleep(HOUR), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        signal.cancel();
    });

    assert_eq!(begun.elapsed(), HOUR);
}

#[tokio::test(start_paused = true)]
async fn pause_ends_with_the_time_budget() {
    let (_signal, sign) = sign();
    let sign = sign.within(Duration::from_secs(90));
    let begun = Instant::now();

    assert_eq!(sign.asked(now()), None);
    assert_eq!(sign.remaining(), Some(Duration::from_secs(90)));
    assert_eq!(sign.rest(now(), HOUR).await, Some(Ending::Budget));

    assert_eq!(begun.elapsed(), Duration::from_secs(90));
    assert_eq!(sign.remaining(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn pause_ends_when_the_window_closes() {
    let (_signal, sign) = sign();
    let sign = sign.windows(Windows::parse(&["20:00-24:00"], TimeZone::UTC).unwrap());
    let begun = Instant::now();

    assert_eq!(sign.rest(now(), HOUR).await, Some(Ending::Window));

    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn closed_window_is_told_before_the_first_batch() {
    let (_signal, sign) = sign();
    let sign = sign.windows(Windows::parse(&["01:00-02:00"], TimeZone::UTC).unwrap());

    assert_eq!(sign.asked(now()), Some(Ending::Window));
    assert_eq!(sign.rest(now(), HOUR).await, Some(Ending::Window));
}

#[tokio::test(start_paused = true)]
async fn file_that_appears_ends_a_pause_within_its_interval() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stop");
    let (_signal, sign) = sign();
    let sign = sign.stop_file(&file);
    let begun = Instant::now();
    assert_eq!(sign.asked(now()), None);

    let (ending, ()) = tokio::join!(sign.rest(now(), HOUR), async {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        std::fs::write(&file, "").unwrap();
    });

    assert_eq!(ending, Some(Ending::StopFile));
    assert!(begun.elapsed() <= Duration::from_millis(1100) + FILE_INTERVAL, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn file_that_cannot_be_looked_for_counts_as_there() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let (_signal, sign) = sign();

    // A file has nothing below it: not "there is no such file" but an error.
    assert_eq!(sign.stop_file(plain.join("stop")).asked(now()), Some(Ending::StopFile));
}

#[tokio::test]
async fn what_people_order_comes_before_what_time_brings() {
    let (signal, sign) = sign();
    let sign = sign.within(Duration::ZERO);
    assert_eq!(sign.asked(now()), Some(Ending::Budget));

    signal.cancel();

    assert_eq!(sign.asked(now()), Some(Ending::Signal));
}

#[test]
fn endings_have_the_words_of_reports() {
    let words = [
        Ending::Done,
        Ending::Budget,
        Ending::Signal,
        Ending::StopFile,
        Ending::Switch("maintenance".to_owned()),
        Ending::Window,
        Ending::Throttled(Source::ReplicationLag),
        Ending::Refused("too much".to_owned()),
    ]
    .map(|ending| (ending.word(), ending.cause(), ending.can_be_continued()));

    assert_eq!(
        words,
        [
            ("done", "done", false),
            ("budget", "budget", true),
            ("signal", "signal", true),
            ("signal", "stop_file", true),
            ("signal", "switch", true),
            ("budget", "window", true),
            ("budget", "replication_lag", true),
            ("refused", "refused", false),
        ]
    );
}

/// Batches of 200 ms with pauses of 600 ms, the sign asked before every `every`th, until it ends the run: how many began
/// after the signal, which comes in the middle of the third batch, and how long after it the run ended.
async fn batches_after_signal(every: u32) -> (u32, Duration) {
    let (signal, sign) = sign();
    let signalled = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1700)).await;
        signal.cancel();
        Instant::now()
    });
    let mut begun_after = 0;
    for batch in 0_u32.. {
        if batch.is_multiple_of(every) && sign.asked(now()).is_some() {
            break;
        }
        begun_after += u32::from(signalled.is_finished());
        tokio::time::sleep(Duration::from_millis(200)).await;
        sign.rest(now(), Duration::from_millis(600)).await;
    }
    (begun_after, signalled.await.unwrap().elapsed())
}

#[tokio::test(start_paused = true)]
async fn no_batch_begins_after_a_signal_and_the_run_ends_with_the_one_under_way() {
    let asked_each_time = batches_after_signal(1).await;
    let asked_rarely = batches_after_signal(10).await;

    assert_eq!(asked_each_time, (0, Duration::from_millis(100)));
    assert_eq!(asked_rarely, (7, Duration::from_millis(1500)), "the control");
}
