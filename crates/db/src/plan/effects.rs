//! What a statement calls that no transaction takes back.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Plan, PlanError};
use crate::{Connection, Error};

/// Volatile functions of the server that change nothing outside of their transaction, or that fail in one that cannot write.
const HARMLESS: [&str; 18] = [
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "random",
    "random_normal",
    "setseed",
    "setval",
    "statement_timestamp",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

/// Refuses to run a statement that calls what ends sessions, resets statistics, reads files or speaks to other servers: a
/// function in C that is volatile and not known to be harmless. `plan` is the one of the statement, not run, with the
/// conditions and columns of its views in it.
pub(super) async fn refuse_beyond_transactions(connection: &Connection, plan: &Plan) -> Result<(), PlanError> {
    let called: Vec<String> = called(plan).into_iter().collect();
    let sql = "select p.proname::text from pg_proc as p join pg_language as l on l.oid = p.prolang \
               where p.proname = any ($1) and p.provolatile = 'v' \
                   and not (p.proname = any ($2) and p.pronamespace = 'pg_catalog'::regnamespace) \
                   and l.lanname in ('c', 'internal') order by 1 limit 1";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&called, Type::TEXT_ARRAY), (&&HARMLESS[..], Type::TEXT_ARRAY)];
    let found = connection.query_typed_opt(sql, &parameters).await.map_err(Error::from)?;
    match found {
        None => Ok(()),
        Some(row) => Err(PlanError::BeyondTransactions { function: row.try_get(0).map_err(Error::from)? }),
    }
}

/// Names that stand before an opening parenthesis anywhere in a plan, and the functions it scans. More than are functions: the
/// catalog knows which are.
fn called(plan: &Plan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, node) in plan.nodes() {
        for (detail, value) in &node.details {
            if detail == "Function Name" {
                names.extend(value.as_str().map(str::to_owned));
            }
            collect(value, &mut names);
        }
    }
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for (at, _) in text.match_indices('(') {
                names.extend(name_before(&text[..at]));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}

/// The name at the end of a text, without its schema; quotes inside of a quoted name are undone.
fn name_before(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_suffix('"') {
        let begin = (0..rest.len()).rev().find(|at| {
            let is_quote = rest.as_bytes()[*at] == b'"';
            let doubled = rest[..*at].bytes().rev().take_while(|byte| *byte == b'"').count();
            is_quote && doubled % 2 == 0 && rest.as_bytes().get(at + 1) != Some(&b'"')
        })?;
        return Some(rest[begin + 1..].replace("\"\"", "\""));
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let name = &text[text
        .rfind(|letter| !is_part(letter))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8))..];
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_calls_are_found_wherever_a_plan_has_them() {
        let plan = r#"[{"Plan": {"Node Type": "Nested Loop", "Output": ["count(*)", "public.dblink_exec('x'::text)"],
            "Join Filter": "(a.b = (lower(c) || pg_notify('a', f(g(1)))))",
            "Plans": [{"Node Type": "Function Scan", "Function Name": "pg_ls_dir"},
                      {"Node Type": "Result", "Output": ["s.\"od\"\"d name\"(1)", "größe(2)", "(1 + 2)"]}]}}]"#;

        let names = called(&Plan::from_json(plan).unwrap());

        for name in ["count", "dblink_exec", "lower", "pg_notify", "f", "g", "pg_ls_dir", "od\"d name", "größe"] {
            assert!(names.contains(name), "{name} in {names:?}");
        }
    }
}
