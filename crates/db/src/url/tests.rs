use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
    text.parse()
}

#[test]
fn postgres_address_gives_the_driver_its_parts() {
    let url: PostgresUrl = "postgresql://app:s%40cret@db.example:6432/learning?sslmode=disable".parse().unwrap();

    let config = url.config();
    assert_eq!(config.get_user(), Some("app"));
    assert_eq!(config.get_password(), Some("s@cret".as_bytes()));
    assert_eq!(config.get_dbname(), Some("learning"));
    assert_eq!(config.get_ports(), [6432]);
}

#[test]
fn socket_directory_is_a_host() {
    let url: PostgresUrl = "postgres://app@/learning?host=/var/run/postgresql".parse().unwrap();

    assert_eq!(url.config().get_hosts(), [Host::Unix("/var/run/postgresql".into())]);
}

#[test]
fn sqlite_paths_are_relative_after_two_slashes_and_absolute_after_three() {
    assert_eq!("sqlite://data/a.db".parse::<SqlitePath>().unwrap().path(), Path::new("data/a.db"));
    assert_eq!("sqlite:///data/a.db".parse::<SqlitePath>().unwrap().path(), Path::new("/data/a.db"));
}

#[test]
fn what_is_missing_is_named() {
    assert!(matches!(parse("postgres://db.example/learning"), Err(UrlError::MissingUser { .. })));
    assert!(matches!(parse("postgres://app@db.example"), Err(UrlError::MissingDatabase { .. })));
    assert!(matches!(parse("postgres://app@db.example/"), Err(UrlError::MissingDatabase { .. })));
    assert!(matches!(parse("postgres://app@/learning"), Err(UrlError::MissingHost { .. })));
    assert!(matches!(parse("postgres://app@h/d?sslmode=verify-full"), Err(UrlError::SslMode { .. })));
    assert!(matches!(parse("postgres://app@h/d?nonsense=1"), Err(UrlError::Malformed { .. })));
    assert!(matches!(parse("postgres://app:a@b@h/d"), Err(UrlError::UnencodedAt { .. })));
}

#[test]
fn other_schemes_are_refused() {
    for text in ["", "mysql://app@h/d", "host=h user=app", "tierkeep.db", "Postgres://app@h/d"] {
        assert!(matches!(parse(text), Err(UrlError::UnknownScheme { .. })), "{text}");
    }
}

#[test]
fn sqlite_addresses_without_a_file_are_refused() {
    for text in ["sqlite://", "sqlite://dir/", "sqlite://:memory:", "sqlite://a.db?mode=ro", "sqlite://file:a.db"] {
        assert!(matches!(parse(text), Err(UrlError::NotAFile { .. })), "{text}");
    }
}

#[test]
fn password_is_hidden_wherever_it_stands() {
    let shown = |text: &str| match parse(text) {
        Ok(url) => format!("{url} {url:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    for text in [
        "postgres://app:secret@h/d",
        "postgres://app:secret@h",
        "postgres://app:x@secret@h/d",
        "postgres://app:x/secret@h/d",
        "postgres://app:x?secret@h/d",
        "postgres://app@h/d?password=secret",
        "postgres://app@h/d?sslmode=prefer&password=secret&connect_timeout=3",
        "postgres://app@h/d?p%61ssword=secret",
        "mysql://app:secret@h/d",
    ] {
        assert!(!shown(text).contains("secret"), "{text} is shown as {}", shown(text));
    }
}

#[test]
fn address_from_a_configuration_is_checked() {
    assert!(DatabaseUrl::try_from("sqlite://a.db".to_owned()).is_ok());
    assert!(DatabaseUrl::try_from("a.db".to_owned()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_panic(text in "(postgres://|postgresql://|sqlite://|)\\PC{0,40}") {
        let _ = parse(&text);
    }

    #[test]
    fn encoded_password_is_never_shown(password in "[a-zA-Z0-9%]{8,20}") {
        let secret = format!("S3CR3T{}", password.replace('%', "%25"));

        let url: DatabaseUrl = format!("postgres://app:{secret}@h:1/d?sslmode=disable").parse().unwrap();

        prop_assert_eq!(url.to_string(), "postgres://app:***@h:1/d?sslmode=disable");
        let debug = format!("{url:?}");
        prop_assert!(!debug.contains("S3CR3T"));
    }
}
