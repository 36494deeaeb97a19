//! API tokens: what is kept of them, and what is refused.

use jiff::Timestamp;
use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{NewToken, OpenMode, OpenOptions, Scope, StoreError, Token, TokenHash, migrate, open};

use super::fresh::{Fresh, options};
use super::rows::at;

on_both!(
    token_comes_back_as_it_was_stored,
    name_is_taken_until_its_token_is_revoked,
    token_is_revoked_once_by_its_name_or_its_id,
    use_is_noted_and_never_moved_back,
    damaged_token_admits_to_nothing_and_hides_no_other,
    read_only_store_lists_and_stores_nothing,
    tokens_outlive_a_change_of_the_type_of_ids,
);

const MADE: &str = "2026-01-31T14:00:00.000001Z";

fn new(name: &str, byte: u8) -> NewToken {
    NewToken {
        name: name.parse().unwrap(),
        hash: TokenHash::new([byte; 32]),
        scope: Scope::Write,
        created_at: at(MADE),
        expires_at: Some(at("2026-05-01T14:00:00Z")),
    }
}

fn names(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|token| token.name.as_str()).collect()
}

async fn token_comes_back_as_it_was_stored(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    let expected = Token {
        id: "abababababab".to_owned(),
        name: "ci".to_owned(),
        hash: Some(TokenHash::new([0xab; 32])),
        scope: Some(Scope::Write),
        created_at: at(MADE),
        expires_at: Some(at("2026-05-01T14:00:00Z")),
        last_used_at: None,
        revoked_at: None,
    };

    let created = store.create_token(new("ci", 0xab)).await.unwrap();

    assert_eq!(created, expected);
    assert_eq!(store.tokens().await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(store.unrevoked_tokens().await.unwrap(), std::slice::from_ref(&expected));
    let live = |now: &str| expected.is_live(at(now));
    assert!(live(MADE) && live("2026-05-01T13:59:59Z") && !live("2026-05-01T14:00:00Z"));
    store.close().await;
}

async fn name_is_taken_until_its_token_is_revoked(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    store.create_token(new("ci", 1)).await.unwrap();

    let error = store.create_token(new("ci", 2)).await.unwrap_err();

    assert!(matches!(&error, StoreError::TokenNameTaken(name) if name == "ci"), "{error}");
    store.revoke_token("ci", at(MADE)).await.unwrap().unwrap();
    store.create_token(new("ci", 3)).await.unwrap();
    assert_eq!(names(&store.tokens().await.unwrap()), ["ci", "ci"]);
    assert_eq!(names(&store.unrevoked_tokens().await.unwrap()), ["ci"]);
    store.close().await;
}

async fn token_is_revoked_once_by_its_name_or_its_id(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    for (name, byte) in [("one", 1), ("two", 2), ("three", 3)] {
        store.create_token(new(name, byte)).await.unwrap();
    }
    let revoke = async |which: &str| store.revoke_token(which, at("2026-02-01T00:00:00Z")).await.unwrap();

    let by_name = revoke("one").await.unwrap();
    let by_id = revoke("020202020202").await.unwrap();

    assert_eq!((by_name.name.as_str(), by_id.name.as_str()), ("one", "two"));
    assert_eq!(by_name.revoked_at, Some(at("2026-02-01T00:00:00Z")));
    assert!(!by_name.is_live(at(MADE)), "revoked is revoked, whatever the clock says");
    for gone in ["one", "two", "nobody", "", "0101"] {
        assert_eq!(revoke(gone).await, None, "{gone}");
    }
    assert_eq!(names(&store.unrevoked_tokens().await.unwrap()), ["three"]);
    store.close().await;
}

async fn use_is_noted_and_never_moved_back(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    let id = store.create_token(new("ci", 1)).await.unwrap().id;
    let note = async |instant: &str| {
        store.note_token_uses(vec![(id.clone(), at(instant)), ("unknown".to_owned(), at(instant))]).await.unwrap();
        store.tokens().await.unwrap()[0].last_used_at
    };

    assert_eq!(note("2026-02-02T00:00:00Z").await, Some(at("2026-02-02T00:00:00Z")));
    assert_eq!(note("2026-02-01T00:00:00Z").await, Some(at("2026-02-02T00:00:00Z")));
    assert_eq!(note("2026-02-03T00:00:00Z").await, Some(at("2026-02-03T00:00:00Z")));
    store.close().await;
}

async fn damaged_token_admits_to_nothing_and_hides_no_other(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    for (name, byte) in [("cut", 1), ("later", 2), ("whole", 3)] {
        store.create_token(new(name, byte)).await.unwrap();
    }
    let empty = match dialect {
        Dialect::Sqlite => "x'00'",
        Dialect::Postgres => "'\\x00'",
    };
    let outside = fresh.outside().await;
    outside.run(&format!("update tierkeep_token set hash = {empty} where name = 'cut'")).await;
    outside.run("update tierkeep_token set scopes = 'teach' where name = 'later'").await;

    let tokens = store.unrevoked_tokens().await.unwrap();

    let live: Vec<&str> = tokens.iter().filter(|token| token.is_live(at(MADE))).map(|token| &*token.name).collect();
    assert_eq!((tokens.len(), live), (3, vec!["whole"]));
    assert!(store.revoke_token("cut", at(MADE)).await.unwrap().is_some());
    store.close().await;
}

async fn read_only_store_lists_and_stores_nothing(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    store.create_token(new("ci", 1)).await.unwrap();
    let reader = fresh.reader().await;

    assert_eq!(names(&reader.tokens().await.unwrap()), ["ci"]);
    let refused = [
        reader.create_token(new("other", 2)).await.map(|_| ()),
        reader.revoke_token("ci", at(MADE)).await.map(|_| ()),
        reader.note_token_uses(vec![("010101010101".to_owned(), at(MADE))]).await,
    ];
    for result in refused {
        assert!(matches!(result, Err(StoreError::ReadOnly(_))), "{result:?}");
    }
    assert_eq!(names(&store.unrevoked_tokens().await.unwrap()), ["ci"]);
    reader.close().await;
    store.close().await;
}

async fn tokens_outlive_a_change_of_the_type_of_ids(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let store = fresh.store().await;
    store.create_token(new("ci", 1)).await.unwrap();
    store.close().await;

    let migrated = migrate(&fresh.url, &options(OpenMode::Create { ids: Some(KeyType::Int) })).await.unwrap();

    assert_eq!(migrated.ids, KeyType::Int);
    let store = fresh.store().await;
    assert_eq!(names(&store.unrevoked_tokens().await.unwrap()), ["ci"]);
    assert!(matches!(store.create_token(new("ci", 2)).await, Err(StoreError::TokenNameTaken(_))));
    store.close().await;
}

#[tokio::test]
async fn a_platforms_tables_have_no_tokens() {
    let fresh = Fresh::with_schema(include_str!("schemas/platform.sql")).await;
    let mapping: Mapping = serde_json::from_value(serde_json::json!({ "preset": "platform" })).unwrap();
    let store = open(&fresh.url, &OpenOptions { mapping, ..options(OpenMode::ReadOnly) }).await.unwrap();

    assert_eq!(store.tokens().await.unwrap(), []);
    assert_eq!(store.unrevoked_tokens().await.unwrap(), []);
    let refused = store.revoke_token("ci", Timestamp::UNIX_EPOCH).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    store.close().await;
}
