//! Tests of the whole way from a text to a configuration.

use super::*;

fn read(text: &str) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::new();
    file::read(&mut loaded, Path::new("t.toml"), text)?;
    Ok(loaded)
}

fn refusal(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

fn values(loaded: &Loaded) -> Vec<(&'static str, Value)> {
    loaded.shown().map(|shown| (shown.key, shown.value)).collect()
}

/// What is unset unless it is said.
const WITHOUT_DEFAULT: [&str; 8] = [
    "telemetry.otlp_endpoint",
    "redis.url",
    "retention.delete_after_days",
    "retention.stop_file",
    "retention.before_delete",
    "notify.on_failure",
    "http.rate",
    "http.burst",
];

#[test]
fn the_sample_holds_every_default() {
    let sample = read(SAMPLE).unwrap();

    assert_eq!(values(&sample), values(&Loaded::new()));
    for shown in sample.shown() {
        let without_default = WITHOUT_DEFAULT.contains(&shown.key);
        assert_eq!(shown.origin == Origin::Default, without_default, "{} is missing in the sample", shown.key);
    }
    for key in WITHOUT_DEFAULT {
        let name = key.rsplit('.').next().unwrap();
        assert!(SAMPLE.contains(&format!("\n#{name} = ")), "{key}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_one_with_file_and_line() {
    assert_eq!(
        refusal("[database]\n\nsiez = 3"),
        "t.toml:3: unknown key `database.siez`; the nearest known one is `database.size`"
    );
    assert_eq!(
        refusal("[databse]\nurl = \"sqlite://a.db\""),
        "t.toml:2: unknown key `databse.url`; the nearest known one is `database.url`"
    );
    assert_eq!(refusal("[htpt]"), "t.toml:1: unknown section `htpt`; the nearest known one is `http`");
    assert_eq!(
        refusal("[cache.ttl]\ndayly = \"5m\""),
        "t.toml:2: unknown key `cache.ttl.dayly`; the nearest known one is `cache.ttl.daily`"
    );
    assert_eq!(refusal("logs = \"info\""), "t.toml:1: unknown key `logs`; the nearest known one is `log`");
    assert_eq!(
        refusal("[database.url]\nx = 1"),
        "t.toml:1: `database.url` is of type table; accepted: sqlite://relative.db, sqlite:///absolute.db, or \
         postgres://user[:password]@host[:port]/database"
    );
}

#[test]
fn every_key_says_what_it_accepts() {
    let bad = [
        ("log = \"no,such=[\"", "log.filter", "off, error"),
        ("log = 1", "log.filter", "off, error"),
        ("[log]\nfilter = 1", "log.filter", "off, error"),
        ("[log]\nformat = \"yaml\"", "log.format", "\"text\" or \"json\""),
        ("[log]\nslow = 250", "log.slow", "0 to 1h"),
        ("[telemetry]\notlp_endpoint = \"localhost:4318\"", "telemetry.otlp_endpoint", "http://"),
        ("[telemetry]\nservice_name = \" \"", "telemetry.service_name", "1 to 255"),
        ("[telemetry]\nsample = 1.5", "telemetry.sample", "0 to 1"),
        ("[database]\nurl = \"mysql://x\"", "database.url", "sqlite://"),
        ("[database]\nsize = 0", "database.size", "1 to 10000"),
        ("[database]\nsize = \"20\"", "database.size", "1 to 10000"),
        ("[database]\noverflow = -1", "database.overflow", "0 to 10000"),
        ("[database]\ntimeout = \"0s\"", "database.timeout", "1ms to 1h"),
        ("[database]\ntimeout = 30", "database.timeout", "1ms to 1h"),
        ("[database]\nrecycle = \"31d\"", "database.recycle", "1s to 30d"),
        ("[database]\npre_ping = \"yes\"", "database.pre_ping", "true or false"),
        ("[database]\nconnect_timeout = \"2h\"", "database.connect_timeout", "1ms to 1h"),
        ("[database]\napplication_name = \"\"", "database.application_name", "1 to 63"),
        ("[redis]\nurl = \"localhost\"", "redis.url", "redis://"),
        ("[redis]\nprefix = \"a{b\"", "redis.prefix", "1 to 64"),
        ("[redis]\nconnect_timeout = \"0s\"", "redis.connect_timeout", "1ms to 1m"),
        ("[redis]\ncommand_timeout = 5", "redis.command_timeout", "1ms to 1m"),
        ("[redis]\nmax_connections = 1", "redis.max_connections", "2 to 10000"),
        ("[cache]\nl1 = \"1KiB\"", "cache.l1", "64KiB to 1024GiB"),
        ("[cache.ttl]\ndaily = \"0s\"", "cache.ttl.daily", "1s to 30d"),
        ("[cache.ttl]\nweekly = 900", "cache.ttl.weekly", "1s to 30d"),
        ("[cache.ttl]\nmonthly = \"31d\"", "cache.ttl.monthly", "1s to 30d"),
        ("[cache.ttl]\nanalytics = true", "cache.ttl.analytics", "1s to 30d"),
        ("[cache.ttl]\nstreaks = \"never\"", "cache.ttl.streaks", "1s to 30d"),
        ("[cache]\nttl.heatmap = \"0\"", "cache.ttl.heatmap", "1s to 30d"),
        ("[cache.ttl]\ncourses = \"\"", "cache.ttl.courses", "1s to 30d"),
        ("[cache.ttl]\nglobal = \"1ms\"", "cache.ttl.global", "1s to 30d"),
        ("[freshness]\nbound = \"10ms\"", "freshness.bound", "100ms to 1m"),
        ("[freshness]\nmax_stale = \"31d\"", "freshness.max_stale", "0 to 30d"),
        ("[freshness]\noutbox_max = \"1KiB\"", "freshness.outbox_max", "1MiB to 1024GiB"),
        ("[verify]\nsample_per_minute = -1", "verify.sample_per_minute", "0 to 60000"),
        ("[retention]\nenabled = 1", "retention.enabled", "true or false"),
        ("[retention]\narchive_after_days = 0", "retention.archive_after_days", "1 to 36500"),
        ("[retention]\ndelete_after_days = 36501", "retention.delete_after_days", "1 to 36500"),
        ("[retention]\nquarantine_days = \"90d\"", "retention.quarantine_days", "1 to 36500"),
        ("[retention]\nbatch_size = 50001", "retention.batch_size", "1 to 50000"),
        ("[retention]\nlock_timeout = \"0s\"", "retention.lock_timeout", "1ms to 1h"),
        ("[retention]\nmax_fraction = 20", "retention.max_fraction", "0 to 1"),
        ("[retention]\nmax_fraction = nan", "retention.max_fraction", "0 to 1"),
        ("[retention]\nshare = 0", "retention.share", "1 to 100"),
        ("[retention]\nthrottle_off = [\"lode\"]", "retention.throttle_off", "load, autovacuum"),
        ("[retention]\nthrottle_off = \"load\"", "retention.throttle_off", "load, autovacuum"),
        ("[retention]\nwindows = [\"late\"]", "retention.windows", "22:00-06:00"),
        ("[retention]\nwindows = [1]", "retention.windows", "22:00-06:00"),
        ("[retention]\nstop_file = \"\"", "retention.stop_file", "path"),
        ("[retention]\nexport_dir = 1", "retention.export_dir", "path"),
        ("[retention]\nbefore_delete = \" \"", "retention.before_delete", "command"),
        ("[retention]\nkeep_summaries = \"yes\"", "retention.keep_summaries", "true or false"),
        ("[retention]\nrestore_grace = \"1y\"", "retention.restore_grace", "0 to 3650d"),
        ("[retention]\nerase_grace = \"a week\"", "retention.erase_grace", "0 to 3650d"),
        ("[schedule]\nprecompute-active-cache = \"61 2 * * *\"", "schedule.precompute-active-cache", "0-59"),
        ("[schedule]\ncleanup-expired-cache = \"every 0s\"", "schedule.cleanup-expired-cache", "1s to 366d"),
        ("[schedule]\narchive-old-data = \"0 25 * * *\"", "schedule.archive-old-data", "0-23"),
        ("[schedule]\nupdate-analytics = 300", "schedule.update-analytics", "every 5m"),
        ("[schedule]\nretries = 11", "schedule.retries", "0 to 10"),
        ("[schedule]\nretry_pause = \"0s\"", "schedule.retry_pause", "1s to 1d"),
        ("[schedule]\ntime_limit = \"31d\"", "schedule.time_limit", "1s to 30d"),
        ("[schedule]\nhistory = \"1m\"", "schedule.history", "1h to 3650d"),
        (
            "[schedule.missed]\nprecompute-active-cache = \"twice\"",
            "schedule.missed.precompute-active-cache",
            "within 2d",
        ),
        (
            "[schedule.missed]\ncleanup-expired-cache = \"all 0 within 1d\"",
            "schedule.missed.cleanup-expired-cache",
            "within 2d",
        ),
        ("[schedule.missed]\narchive-old-data = \"all\"", "schedule.missed.archive-old-data", "within 2d"),
        ("[schedule.missed]\nupdate-analytics = \"none\"", "schedule.missed.update-analytics", "within 2d"),
        ("[schedule.jitter]\nprecompute-active-cache = \"2h\"", "schedule.jitter.precompute-active-cache", "0 to 1h"),
        ("[schedule.jitter]\ncleanup-expired-cache = \"-1s\"", "schedule.jitter.cleanup-expired-cache", "0 to 1h"),
        ("[schedule.jitter]\narchive-old-data = \"1\"", "schedule.jitter.archive-old-data", "0 to 1h"),
        ("[schedule.jitter]\nupdate-analytics = \"soon\"", "schedule.jitter.update-analytics", "0 to 1h"),
        ("[precompute]\ndays_active = 0", "precompute.days_active", "1 to 36500"),
        ("[precompute]\nstatistics = [\"dayly\"]", "precompute.statistics", "daily, weekly"),
        ("[notify]\non_failure = \" \"", "notify.on_failure", "command"),
        ("[warmup]\ndelay = \"2h\"", "warmup.delay", "0 to 1h"),
        ("[warmup]\nconcurrency = -1", "warmup.concurrency", "0 to 1000"),
        ("[warmup]\nrate = 0", "warmup.rate", "1 to 1000000"),
        ("[warmup]\nlearned = \"yes\"", "warmup.learned", "true or false"),
        ("[warmup]\ndeadline = \"2h\"", "warmup.deadline", "0 to 1h"),
        ("[warmup]\nkeys = 0", "warmup.keys", "1 to 1000000"),
        ("[days]\ntime_zone = \"Europe/Pari\"", "days.time_zone", "IANA"),
        ("[days]\nday_start = 24", "days.day_start", "0 to 23"),
        ("[days]\nlanguage = \"fr\"", "days.language", "\"en\" or \"zh\""),
        ("[http]\nlisten = \"8420\"", "http.listen", "127.0.0.1:8420"),
        ("[http]\nbody_limit = \"1MB\"", "http.body_limit", "1KiB to 64MiB"),
        ("[http]\nbody_limit = \"1B\"", "http.body_limit", "1KiB to 64MiB"),
        ("[http]\nrequest_timeout = \"soon\"", "http.request_timeout", "1ms to 1h"),
        ("[http]\nheader_timeout = \"0s\"", "http.header_timeout", "1ms to 1h"),
        ("[http]\nidle_timeout = 75", "http.idle_timeout", "1ms to 1h"),
        ("[http]\nheader_limit = \"2MiB\"", "http.header_limit", "1KiB to 1MiB"),
        ("[http]\nmax_connections = 0", "http.max_connections", "1 to 1000000"),
        ("[http]\nshutdown_delay = \"6m\"", "http.shutdown_delay", "0 to 5m"),
        ("[http]\nrate = -1", "http.rate", "0 to 1000000"),
        ("[http]\nburst = 0", "http.burst", "1 to 1000000"),
        ("[http]\ntrusted_proxies = [\"10.0.0.0/33\"]", "http.trusted_proxies", "10.0.0.0/8"),
        ("[http]\ntrusted_proxies = \"10.0.0.0/8\"", "http.trusted_proxies", "10.0.0.0/8"),
    ];

    for (text, key, accepted) in bad {
        let message = refusal(text);
        let line = text.lines().count();
        assert!(message.starts_with(&format!("t.toml:{line}: `{key}` is ")), "{message}");
        assert!(message.split("accepted: ").nth(1).is_some_and(|rest| rest.contains(accepted)), "{message}");
    }
    for setting in settings() {
        assert!(bad.iter().any(|(_, key, _)| *key == setting.key), "no bad value of {} is tested", setting.key);
    }
}

#[test]
fn no_message_shows_a_password() {
    for text in [
        "[database]\nurl = \"postgres://app:secret@host\"",
        "[database]\nurl = \"mysql://app:secret@host/db\"",
        "[redis]\nurl = \"http://:secret@host\"",
        "[telemetry]\notlp_endpoint = \"https://app:secret@host\"",
    ] {
        assert!(!refusal(text).contains("secret"), "{}", refusal(text));
    }
}

#[test]
fn broken_toml_is_placed() {
    assert!(refusal("[days]\ntime_zone = ").starts_with("t.toml:2: "));
    assert!(refusal("[days]\nday_start = 1\nday_start = 2").starts_with("t.toml:3: "));
}

#[test]
fn the_mapping_names_the_nearest_key_too() {
    let message = refusal("[days]\n\n[mapping]\npresett = \"platform\"");

    assert!(message.starts_with("t.toml:4: `mapping`: unknown key `presett`"), "{message}");
    assert!(message.ends_with("the nearest known one is `preset`"), "{message}");
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, "[database]\nurl = \"sqlite://file.db\"\n[http]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let environment = Environment {
        config: Some(path.clone()),
        database: Some("sqlite://environment.db".to_owned()),
        listen: Some("127.0.0.1:2".to_owned()),
        log: Some("debug".to_owned()),
        ..Environment::default()
    };
    let flags = Flags { database: Some("sqlite://flag.db".to_owned()), ..Flags::default() };

    let loaded = load(&flags, &environment).unwrap();

    assert_eq!(loaded.file, Some(path));
    assert_eq!(loaded.config.database.url.to_string(), "sqlite://flag.db");
    assert_eq!(loaded.config.http.listen.port(), 2);
    let origins: BTreeMap<_, _> = loaded.shown().map(|shown| (shown.key, shown.origin)).collect();
    assert_eq!(origins["database.url"], Origin::Flag("--database"));
    assert_eq!(origins["http.listen"], Origin::Environment("TIERKEEP_LISTEN"));
    assert_eq!(origins["log.filter"], Origin::Environment("TIERKEEP_LOG"));
    assert_eq!(origins["days.language"], Origin::Default);
}

#[test]
fn a_named_file_must_exist() {
    let flags = Flags { config: Some("no/such/file.toml".into()), ..Flags::default() };

    let error = load(&flags, &Environment::default()).unwrap_err();

    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
}

#[test]
fn a_bad_value_of_the_environment_names_its_variable() {
    let environment = Environment { listen: Some("here".to_owned()), ..Environment::default() };

    let message = load(&Flags::default(), &environment).unwrap_err().to_string();

    assert!(message.starts_with("TIERKEEP_LISTEN: `http.listen` is \"here\""), "{message}");
}

#[test]
fn nothing_of_a_platform_is_removed_unless_that_was_said() {
    let of = |text: &str| {
        let config = read(text).unwrap().config;
        config.retention.is_enabled(&config.mapping)
    };

    assert!(of(""));
    assert!(!of("[retention]\nenabled = false"));
    assert!(!of("[mapping]\npreset = \"platform\""));
    assert!(of("[mapping]\npreset = \"platform\"\n[retention]\nenabled = true"));
}

#[test]
fn every_source_of_the_throttle_can_be_switched_off() {
    use tierkeep_retention::{Limits, Source};
    for source in Source::POSTGRES.into_iter().chain(Source::SQLITE) {
        let text = format!("[retention]\nthrottle_off = [\"{}\"]", source.word());

        let limits = read(&text).unwrap().config.retention.work.limits();

        assert_ne!(limits, Limits::default(), "{}", source.word());
    }
    assert_eq!(read("").unwrap().config.retention.work.limits(), Limits::default());
}

#[test]
fn a_share_may_be_written_as_a_whole_number() {
    for (text, share) in [("0", 0.0), ("1", 1.0), ("0.35", 0.35), ("1e-3", 0.001)] {
        let read = read(&format!("[retention]\nmax_fraction = {text}")).unwrap();
        assert!((read.config.retention.work.max_fraction - share).abs() < f64::EPSILON, "{text}");
    }
}

#[test]
fn a_collector_is_refused_where_nothing_can_be_sent_to_it() {
    let given = read("[telemetry]\notlp_endpoint = \"http://app:secret@collector.example\"");

    if cfg!(feature = "otel") {
        let shown = values(&given.unwrap());
        let endpoint = shown.iter().find(|(key, _)| *key == "telemetry.otlp_endpoint").map(|(_, value)| value.clone());
        assert_eq!(endpoint, Some(Value::from("http://app:***@collector.example:4318")));
    } else {
        assert_eq!(
            given.expect_err("it lacks the feature").to_string(),
            "t.toml:2: `telemetry.otlp_endpoint` is not usable: this binary lacks the feature `otel`; accepted: nothing by \
             this binary; by one built with `cargo build --features otel`, http://host:4318"
        );
    }
}
