//! Where each row is, and what it holds: all tables in one snapshot, column by column.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::connection::Connection;

/// A row's columns; absent values are absent.
pub(crate) type Content = BTreeMap<String, Option<String>>;

/// What a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Session,
    Progress,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Live,
    Archive,
    Quarantine(String),
}

/// All rows of the database by their ids; an id may be in the live table and in the archive.
pub(crate) type Places = BTreeMap<(Kind, i64), Vec<(Place, Content)>>;

/// Columns that say how a row came to the archive: not of the row itself.
const ARRIVAL: [&str; 2] = ["archived_at", "archived_by"];
const INSTANTS: [&str; 4] = ["start_time", "end_time", "created_at", "updated_at"];

/// The rows, in an order.
pub(crate) async fn places(connection: &Connection) -> Places {
    let mut places = Places::new();
    let tables = [
        ("study_sessions", Kind::Session, Place::Live),
        ("study_sessions_archive", Kind::Session, Place::Archive),
        ("course_progress", Kind::Progress, Place::Live),
    ];
    let begin = match connection {
        Connection::Sqlite(_) => "begin",
        Connection::Postgres(_) => "begin isolation level repeatable read",
    };
    connection.run(begin).await;
    for (table, kind, place) in tables {
        for row in rows(connection, table).await {
            add(&mut places, kind, place.clone(), &row);
        }
    }
    for row in rows(connection, "tierkeep_quarantine").await {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        let kind = if text("source") == "course_progress" { Kind::Progress } else { Kind::Session };
        let content = match &row["content"] {
            Value::String(text) => serde_json::from_str(text).unwrap(),
            content => content.clone(),
        };
        add(&mut places, kind, Place::Quarantine(text("kind")), &content);
    }
    connection.run("commit").await;
    for found in places.values_mut() {
        found.sort();
    }
    places
}

fn add(places: &mut Places, kind: Kind, place: Place, row: &Value) {
    let row = row.as_object().unwrap();
    let content = row.iter().map(|(column, value)| (column.as_str(), text_of(value)));
    let content = content_of(content);
    let id = content["id"].as_ref().unwrap().parse().unwrap();
    places.entry((kind, id)).or_default().push((place, content));
}

/// What a row holds, however it is written.
pub(crate) fn content_of<'a>(columns: impl Iterator<Item = (&'a str, Option<String>)>) -> Content {
    let own = columns.filter(|(column, _)| !ARRIVAL.contains(column));
    own.map(|(column, value)| (column.to_owned(), value.map(|value| plain(column, value)))).collect()
}

/// A value in the one form that tables, quarantine and files have in common.
fn plain(column: &str, value: String) -> String {
    if INSTANTS.contains(&column) {
        let instant = value.parse::<i64>().or_else(|_| value.parse::<Timestamp>().map(Timestamp::as_microsecond));
        return instant.unwrap_or_else(|error| panic!("{column}: {value}: {error}")).to_string();
    }
    match (column, value.as_str()) {
        ("is_active", "1" | "t") => "true".to_owned(),
        ("is_active", "0" | "f") => "false".to_owned(),
        ("focus_score", number) => number.parse::<f64>().unwrap().to_string(),
        _ => value,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        // as numbers with a fraction are kept on SQLite
        Value::Object(only) => only["real"].as_str().map(str::to_owned),
        other => Some(other.to_string()),
    }
}

/// All rows of a table as objects.
async fn rows(connection: &Connection, table: &str) -> Vec<Value> {
    match connection {
        Connection::Postgres(client) => {
            let text = format!("select cast(to_jsonb(t) as text) from {table} t");
            let rows = client.query(&text, &[]).await.unwrap();
            rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
        }
        Connection::Sqlite(connection) => {
            let connection = connection.lock().unwrap();
            let mut statement = connection.prepare(&format!("select * from {table}")).unwrap();
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let row = |row: &rusqlite::Row<'_>| {
                let value = |place| match row.get_ref(place).unwrap() {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    ValueRef::Real(number) => Value::String(number.to_string()),
                    ValueRef::Text(text) => Value::String(std::str::from_utf8(text).unwrap().to_owned()),
                    ValueRef::Blob(_) => panic!("no column of {table} is a blob"),
                };
                let columns = names.iter().enumerate().map(|(place, name)| (name.clone(), value(place)));
                Ok(Value::Object(columns.collect()))
            };
            statement.query_map([], row).unwrap().map(Result::unwrap).collect()
        }
    }
}
