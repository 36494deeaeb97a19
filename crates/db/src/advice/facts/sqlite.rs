//! Facts from SQLite's schema, from what `analyze` found, and from a sample of rows.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::{ColumnFacts, ExistingIndex, ExistingKey, Facts, TableFacts};
use crate::query::Schema;
use crate::statement::IndexMethod;
use crate::statement::explain::highest_rowid;
use crate::statement::sample::{first_rows, row_from};
use crate::{Error, Ident, TableName};

/// Rows looked at in each table, at equal distances. Enough to tell a column of ten values from one of a thousand.
const SAMPLE: i64 = 1000;
/// Smallest share of a value that is called common.
const COMMON: f64 = 0.02;
/// Distances between the values that stand for a column.
const BOUNDS: usize = 20;
/// Rows to a page where nothing says how many.
const ROWS_PER_PAGE: f64 = 50.0;

/// Reads what is known of some tables, and looks at up to 1,000 rows of each.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub(in crate::advice) fn load(connection: &Connection, schema: &Schema, tables: &[TableName]) -> Result<Facts, Error> {
    let stat = statistics(connection)?;
    let mut facts = Facts::default();
    for name in tables {
        let columns = schema.columns(name);
        if columns.is_empty() {
            continue;
        }
        let highest = connection.query_row(&highest_rowid(name.name()), [], |row| row.get::<_, Option<i64>>(0)).ok();
        let analysed = stat.iter().filter(|((table, _), _)| table == name.name().as_str()).map(|(_, numbers)| numbers);
        let rows = analysed.filter_map(|numbers| numbers.first().copied()).reduce(f64::max);
        let sample = sample(connection, name, columns, highest.map(Option::unwrap_or_default))?;
        // Without numbers of rows, what the sample met is a lower bound.
        let rows = rows.or(highest.flatten().map(|rows| rows as f64)).unwrap_or(sample.len() as f64);
        let mut table = TableFacts {
            rows: Some(rows),
            pages: (rows / ROWS_PER_PAGE).ceil().max(1.0),
            is_readable: true,
            ..TableFacts::default()
        };
        for (number, column) in columns.iter().enumerate() {
            table.columns.insert(column.clone(), column_facts(&sample, number, rows));
        }
        table.indexes = indexes(connection, name)?;
        for index in &table.indexes {
            let key = (name.name().to_string(), index.name.to_string());
            if let (Some(ExistingKey { column: Some(column), .. }), None, Some([all, each, ..])) =
                (index.keys.first(), &index.predicate, stat.get(&key).map(Vec::as_slice))
                && let Some(column) = table.columns.get_mut(column)
            {
                column.distinct = all / each.max(1.0);
            }
        }
        table.foreign_keys = foreign_keys(connection, name)?;
        facts.tables.insert(name.clone(), table);
    }
    Ok(facts)
}

/// The numbers of `sqlite_stat1` by table and index; empty if nobody analysed.
pub(in crate::advice) fn statistics(connection: &Connection) -> Result<HashMap<(String, String), Vec<f64>>, Error> {
    let has_any = "select count(*) from sqlite_schema where name = 'sqlite_stat1'";
    if !connection.query_row(has_any, [], |row| row.get::<_, bool>(0))? {
        return Ok(HashMap::new());
    }
    let mut statement = connection.prepare("select tbl, coalesce(idx, ''), stat from sqlite_stat1")?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, Option<String>>(2)?)))?;
    let mut found = HashMap::new();
    for row in rows {
        let (key, numbers): ((String, String), Option<String>) = row?;
        // Words such as `unordered` may follow.
        let numbers = numbers.unwrap_or_default();
        found.insert(key, numbers.split(' ').map_while(|number| number.parse().ok()).collect());
    }
    Ok(found)
}

/// Values as text; null is none.
type Sampled = Vec<Vec<Option<String>>>;

fn sample(
    connection: &Connection,
    table: &TableName,
    columns: &[Ident],
    highest: Option<i64>,
) -> Result<Sampled, Error> {
    let mut rows = Sampled::new();
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<Option<String>>> {
        (0..columns.len())
            .map(|number| {
                Ok(match row.get_ref(number)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(value) => Some(value.to_string()),
                    ValueRef::Real(value) => Some(value.to_string()),
                    ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Some(format!("{bytes:?}")),
                })
            })
            .collect()
    };
    match highest {
        Some(highest) => {
            let mut statement = connection.prepare(&row_from(table, columns))?;
            let step = (highest / SAMPLE).max(1);
            let mut at = 1;
            while at <= highest && rows.len() < SAMPLE as usize {
                let mut found = statement.query([at])?;
                if let Some(row) = found.next()? {
                    rows.push(read(row)?);
                }
                at = at.saturating_add(step);
            }
        }
        None => {
            let mut statement = connection.prepare(&first_rows(table, columns))?;
            for row in statement.query_map([SAMPLE], read)? {
                rows.push(row?);
            }
        }
    }
    Ok(rows)
}

fn column_facts(sample: &Sampled, number: usize, rows: f64) -> ColumnFacts {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut nulls, mut width) = (0.0, 0.0);
    for row in sample {
        match &row[number] {
            Some(value) => {
                *counts.entry(value).or_default() += 1.0;
                width += value.len() as f64;
            }
            None => nulls += 1.0,
        }
    }
    let size = (sample.len() as f64).max(1.0);
    let present = (size - nulls).max(1.0);
    let different = counts.len() as f64;
    let once = counts.values().filter(|count| **count == 1.0).count() as f64;
    // Haas and Stokes, as PostgreSQL does it.
    let distinct = present * different / (present - once + once * present / rows.max(present)).max(1.0);
    let common = counts
        .iter()
        .filter(|(_, count)| **count > 1.0 && **count / size >= COMMON)
        .map(|(value, count)| ((*value).to_owned(), count / size))
        .collect();
    ColumnFacts {
        distinct: distinct.clamp(1.0, rows.max(1.0)),
        null_fraction: nulls / size,
        width: width / present,
        correlation: 0.0,
        common,
        bounds: bounds(sample, number),
        needs_pattern: false,
    }
}

/// Values at equal distances among those of the sample, in the order of numbers, or of texts behind them.
fn bounds(sample: &Sampled, number: usize) -> Vec<String> {
    let mut values: Vec<&String> = sample.iter().filter_map(|row| row[number].as_ref()).collect();
    let place = |value: &str| (value.parse::<f64>().unwrap_or(f64::INFINITY), value.to_owned());
    values.sort_by(|a, b| {
        let (a, b) = (place(a), place(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    });
    let last = values.len().saturating_sub(1);
    let mut bounds: Vec<String> = (0..=BOUNDS.min(last))
        .filter_map(|step| values.get(step * last / BOUNDS.min(last).max(1)).map(|value| (*value).clone()))
        .collect();
    bounds.dedup();
    bounds
}

/// Indexes of a table, in the order of their names.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub(in crate::advice) fn indexes(connection: &Connection, table: &TableName) -> Result<Vec<ExistingIndex>, Error> {
    let mut statement = connection.prepare(include_str!("../catalog/sqlite/indexes.sql"))?;
    let mut rows = statement.query([table.name().as_str()])?;
    let mut found: Vec<ExistingIndex> = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(name) = Ident::try_from(row.get::<_, String>("name")?) else { continue };
        let sql: Option<String> = row.get("sql")?;
        if found.last().is_none_or(|index| index.name != name) {
            found.push(ExistingIndex {
                schema: Ident::new("main").expect("four letters are a name"),
                name,
                keys: Vec::new(),
                include: Vec::new(),
                predicate: sql.as_deref().and_then(predicate),
                is_unique: row.get("is_unique")?,
                is_constraint: row.get("is_constraint")?,
                is_valid: true,
                method: Some(IndexMethod::Tree),
                bytes: 0,
                scans: None,
            });
        }
        let Some(index) = found.last_mut() else { continue };
        let is_descending: bool = row.get("is_descending")?;
        let column: Option<String> = row.get("column")?;
        let place = usize::try_from(row.get::<_, i64>("place")?).unwrap_or(0);
        let expression = column.is_none().then(|| sql.as_deref().and_then(|sql| key(sql, place)).unwrap_or_default());
        index.keys.push(ExistingKey {
            column: column.and_then(|column| Ident::try_from(column).ok()),
            expression,
            is_descending,
            nulls_first: is_descending,
            is_default: row.get("is_default")?,
        });
    }
    Ok(found)
}

/// What stands behind `where` in the definition of an index.
fn predicate(sql: &str) -> Option<String> {
    let end = closing(sql)?;
    let rest = sql[end + 1..].trim_start();
    rest.get(..5).filter(|word| word.eq_ignore_ascii_case("where")).map(|_| rest[5..].trim().to_owned())
}

/// The key at a place in the definition of an index.
fn key(sql: &str, place: usize) -> Option<String> {
    let (begin, end) = (sql.find('(')?, closing(sql)?);
    let mut depth = 0;
    let keys = sql[begin + 1..end].split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    keys.map(str::trim).nth(place).map(|key| key.trim_end_matches(" desc").trim_end_matches(" DESC").to_owned())
}

/// Where the bracket around the keys is closed.
fn closing(sql: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in sql.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn foreign_keys(connection: &Connection, table: &TableName) -> Result<Vec<Vec<Ident>>, Error> {
    let mut statement = connection.prepare(r#"select id, "from" from pragma_foreign_key_list(?1) order by id, seq"#)?;
    let mut rows = statement.query([table.name().as_str()])?;
    let mut found: BTreeMap<i64, Vec<Ident>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Ok(column) = Ident::try_from(row.get::<_, String>(1)?) {
            found.entry(row.get(0)?).or_default().push(column);
        }
    }
    Ok(found.into_values().collect())
}
