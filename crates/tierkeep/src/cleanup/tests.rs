//! From words to an order.

use tierkeep_retention::{Ending, Unobserved};

use super::*;

fn now() -> Timestamp {
    "2026-01-31T14:00:00Z".parse().unwrap()
}

fn order(request: &Request, config: &Retention) -> Order {
    let clock = Clock::Fixed(now());
    let stop = CancellationToken::new();
    request.order(config, Surroundings { clock, stop, observer: Arc::new(Unobserved), installation: None })
}

fn days(days: i64) -> Days {
    Days::new(days).unwrap()
}

#[test]
fn what_is_left_out_is_as_the_configuration_says() {
    let mut config = Retention::default();
    let cutoffs = |request: &Request, config: &Retention| request.cleanup(now(), config).unwrap().cutoffs;
    let standard = cutoffs(&Request::default(), &config);
    assert_eq!(
        (standard.archive, standard.delete),
        (days(365).before(now()).unwrap(), days(1095).before(now()).unwrap())
    );

    config.ages = Ages { archive_after: days(10), delete_after: Some(days(20)), quarantine: days(3) };
    let configured = cutoffs(&Request::default(), &config);
    assert_eq!(
        (configured.archive, configured.delete),
        (days(10).before(now()).unwrap(), days(20).before(now()).unwrap())
    );
    assert_eq!(configured.purge, days(3).before(now()).unwrap());

    let asked = Request { archive_after: Some(days(5)), delete_after: Some(days(5)), ..Request::default() };
    let asked = cutoffs(&asked, &config);
    assert_eq!((asked.archive, asked.delete), (days(5).before(now()).unwrap(), days(5).before(now()).unwrap()));
}

#[test]
fn nothing_is_deleted_before_it_is_archived() {
    let config = Retention::default();
    let early = Request { delete_after: Some(days(364)), ..Request::default() };
    let expected = RequestError::DeleteBeforeArchive { archive: days(365), delete: days(364) };

    assert_eq!(early.ages(&config), Err(expected));
    assert!(Request { phases: vec![Phase::Delete], ..early.clone() }.ages(&config).is_err());
    assert!(Request { phases: vec![Phase::Invalid], ..early }.ages(&config).is_ok());
    let first = "-009999-01-02T02:00:00Z".parse().unwrap();
    assert_eq!(Request::default().cleanup(first, &config).unwrap_err(), RequestError::TooEarly(first, days(365)));
}

#[test]
fn a_size_that_was_asked_for_is_kept_to() {
    let config = Retention::default();
    let rows = NonZeroU32::new(500).unwrap();

    let fixed = order(&Request { batch: Some(rows), ..Request::default() }, &config);
    let adaptive = order(&Request::default(), &config);

    assert_eq!(fixed.batch, BatchSize::Fixed(rows));
    assert_eq!(adaptive.batch, BatchSize::Adaptive { start: NonZeroU32::new(1000).unwrap(), max: Pace::MAX_ROWS });
}

#[test]
fn a_stop_file_ends_a_run_that_was_asked_for_and_closed_windows_do_not() {
    let mut config = Retention::default();
    // a Saturday, so closed
    config.hours.windows = vec!["Mon 01:00-02:00".to_owned()];
    assert_eq!(order(&Request::default(), &config).stop.asked(now()), None);

    let file = tempfile::NamedTempFile::new().unwrap();
    config.hours.stop_file = Some(file.path().to_owned());
    assert_eq!(order(&Request::default(), &config).stop.asked(now()), Some(Ending::StopFile));
    drop(file);
    assert_eq!(order(&Request::default(), &config).stop.asked(now()), None);

    let budget = Request { budget: Some(Duration::ZERO), ..Request::default() };
    assert_eq!(order(&budget, &config).stop.asked(now()), Some(Ending::Budget));
}

#[test]
fn the_order_has_what_the_configuration_says_of_it() {
    let mut config = Retention::default();
    config.work.lock_timeout = Duration::from_millis(7);
    config.work.max_fraction = 0.5;
    config.deletion.before_delete = Some("true".to_owned());

    let made = order(&Request { is_forced: true, wait: Duration::from_secs(3), ..Request::default() }, &config);

    assert_eq!(
        (made.lock_timeout, made.wait, made.is_forced),
        (Duration::from_millis(7), Duration::from_secs(3), true)
    );
    assert_eq!((made.before_delete.as_deref(), made.max_fraction.to_string().as_str()), (Some("true"), "0.5"));
    assert_eq!(made.export, Some(PathBuf::from("tierkeep-export")));
    assert_eq!(order(&Request { export: Export::Nowhere, ..Request::default() }, &config).export, None);
    let named = Request { export: Export::Directory("elsewhere".into()), ..Request::default() };
    assert_eq!(order(&named, &config).export, Some(PathBuf::from("elsewhere")));
}
