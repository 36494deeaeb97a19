//! The statements of a sweep, made from their files and checked identifiers.

use tierkeep_db::{CatalogColumn, Condition, Dialect, Ident, SqlType, UnknownColumn};

use crate::rule::{Action, Blank, Policy, Rule, Subject, Survivor, Sweep};

/// The text of a statement for a dialect.
macro_rules! statement {
    ($dialect:expr, $name:literal) => {
        match $dialect {
            ::tierkeep_db::Dialect::Postgres => include_str!(concat!("sql/postgres/", $name, ".sql")),
            ::tierkeep_db::Dialect::Sqlite => include_str!(concat!("sql/sqlite/", $name, ".sql")),
        }
    };
}
pub(crate) use statement;

/// What names the places of a row on SQLite; the first that is no column's name.
const ROW_NAMES: [&str; 3] = ["_rowid_", "rowid", "oid"];

/// A subject with the columns that its table has at the moment.
#[derive(Debug, Clone)]
pub(crate) struct Found<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) subject: &'a Subject,
    pub(crate) columns: &'a [CatalogColumn],
    /// Columns that are computed by the database and cannot be written.
    pub(crate) generated: &'a [String],
    /// Whether each row has a digest that the server computes (PostgreSQL 14, and types that have one).
    pub(crate) hashes_records: bool,
}

/// Puts values into the places of a statement, in one pass: a value that looks like a place stays what it is. The comment
/// at the head of the file does not travel with each call.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut rest = text;
    while let Some(line) = rest.strip_prefix("--") {
        rest = line.split_once('\n').map_or("", |(_, after)| after);
    }
    let mut filled = String::with_capacity(rest.len() * 2);
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        filled.push_str(before);
        let place =
            values.iter().find(|(name, _)| from[1..].strip_prefix(name).is_some_and(|end| end.starts_with('}')));
        match place {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &from[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// A text of this program as a literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Found<'_> {
    pub(crate) fn table(&self) -> String {
        self.subject.relation.table().quoted()
    }

    pub(crate) fn key(&self) -> String {
        self.subject.key.quoted()
    }

    /// What a row's place is called, on SQLite.
    pub(crate) fn row_name(&self) -> &'static str {
        let is_free = |name: &&&str| !self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        ROW_NAMES.iter().find(is_free).copied().unwrap_or(ROW_NAMES[0])
    }

    /// The type of the key as the database calls it.
    pub(crate) fn key_type(&self) -> &str {
        let column = self.columns.iter().find(|column| column.name == self.subject.key.as_str());
        column.map_or("text", |column| &column.type_name)
    }

    /// How old a row is; for a subject that says nothing of it, its key.
    pub(crate) fn age(&self, alias: &str) -> Result<String, UnknownColumn> {
        match self.subject.age {
            Some((name, _)) => self.subject.relation.column(self.dialect, alias, name),
            None => Ok(format!("{alias}.{}", self.key())),
        }
    }

    pub(crate) fn age_type(&self) -> String {
        match self.subject.age {
            Some((_, sql_type)) => self.dialect.type_name(sql_type).to_owned(),
            None => self.key_type().to_owned(),
        }
    }

    fn owner(&self) -> Result<String, UnknownColumn> {
        let owner = self.subject.owner.map(|name| self.subject.relation.column(self.dialect, "t", name));
        Ok(owner.transpose()?.map_or_else(|| "cast(null as text)".to_owned(), |owner| format!("cast({owner} as text)")))
    }

    pub(crate) fn condition(&self, condition: &Condition) -> Result<String, UnknownColumn> {
        condition.render(self.dialect, &self.subject.relation)
    }

    /// The columns that can be written, quoted.
    pub(crate) fn written(&self) -> Vec<String> {
        let written = self.columns.iter().filter(|column| !self.generated.contains(&column.name));
        written.filter_map(|column| Ident::new(&column.name).ok()).map(|name| name.quoted()).collect()
    }

    /// All columns, quoted.
    pub(crate) fn named(&self) -> Vec<String> {
        self.columns.iter().filter_map(|column| Ident::new(&column.name).ok()).map(|name| name.quoted()).collect()
    }

    /// What `{after}` stands for: rows behind a place in the order of age and key, or all of them.
    pub(crate) fn behind(&self, first: usize, is_begun: bool) -> Result<String, UnknownColumn> {
        if is_begun { self.beside(">", first) } else { Ok("true".to_owned()) }
    }

    /// What `{until}` stands for: rows up to a place in that order.
    pub(crate) fn up_to(&self, first: usize) -> Result<String, UnknownColumn> {
        self.beside("<=", first)
    }

    fn beside(&self, sign: &str, first: usize) -> Result<String, UnknownColumn> {
        let (age, key, second) = (self.age("t")?, self.key(), first + 1);
        Ok(match self.dialect {
            Dialect::Postgres => format!(
                "({age}, t.{key}) {sign} (cast(cast(${first} as text) as {}), cast(cast(${second} as text) as {}))",
                self.age_type(),
                self.key_type()
            ),
            // bound with the types they were read with
            Dialect::Sqlite => format!("({age}, t.{key}) {sign} (?{first}, ?{second})"),
        })
    }

    /// The name of the rule by which a row goes, as an expression.
    fn kind(&self, sweep: &Sweep<'_>) -> Result<String, UnknownColumn> {
        let (last, others) = sweep.rules.split_last().expect("a sweep has a rule");
        if others.is_empty() {
            return Ok(literal(last.name));
        }
        let mut cases = String::from("case");
        for rule in others {
            cases.push_str(&format!(" when {} then {}", self.condition(&rule.condition)?, literal(rule.name)));
        }
        Ok(format!("{cases} else {} end", literal(last.name)))
    }

    /// A sum of digests of rows, on PostgreSQL.
    pub(crate) fn digest(&self) -> String {
        self.digest_of(&self.written())
    }

    fn digest_of(&self, columns: &[String]) -> String {
        let row = columns.join(", ");
        if self.hashes_records {
            format!("hash_record_extended(row({row}), 0)")
        } else {
            format!("hashtextextended(cast(row({row}) as text), 0)")
        }
    }

    /// Moves rows to the archive.
    pub(crate) fn archive(
        &self,
        sweep: &Sweep<'_>,
        into: &Subject,
        by: &Ident,
        at: &Ident,
        is_begun: bool,
    ) -> Result<String, UnknownColumn> {
        // what the live table computes, the archive keeps
        let named = self.named();
        let returned: Vec<String> = named.iter().map(|column| format!("t.{column}")).collect();
        let digest = self.digest_of(&named);
        Ok(fill(
            statement!(self.dialect, "archive"),
            &[
                ("table", &self.table()),
                ("into", &into.relation.table().quoted()),
                ("into_key", &into.key.quoted()),
                ("key", &self.key()),
                ("rowid", self.row_name()),
                ("age", &self.age("t")?),
                ("after", &self.behind(3, is_begun)?),
                ("condition", &self.condition(&sweep.condition())?),
                ("returned", &returned.join(", ")),
                ("columns", &named.join(", ")),
                ("by", &by.quoted()),
                ("at", &at.quoted()),
                ("digest_gone", &digest),
                ("digest_came", &digest),
            ],
        ))
    }

    /// Moves rows into quarantine; on PostgreSQL one statement, on SQLite three.
    pub(crate) fn quarantine(&self, sweep: &Sweep<'_>) -> Result<String, UnknownColumn> {
        self.filled_quarantine(statement!(self.dialect, "quarantine"), sweep, &[])
    }

    fn filled_quarantine(&self, text: &str, sweep: &Sweep<'_>, more: &[(&str, &str)]) -> Result<String, UnknownColumn> {
        let names: Vec<String> = self.columns.iter().map(|column| literal(&column.name)).collect();
        let quoted = self.columns.iter().filter_map(|column| Ident::new(&column.name).ok()).map(|name| name.quoted());
        let quoted: Vec<String> = quoted.collect();
        let values: Vec<String> = quoted.iter().map(|column| format!("cast(t.{column} as text)")).collect();
        let columns: Vec<String> = quoted.iter().map(|column| format!("t.{column}")).collect();
        let (table, key, kind, owner) = (self.table(), self.key(), self.kind(sweep)?, self.owner()?);
        let (condition, source) = (self.condition(&sweep.condition())?, literal(self.subject.name));
        let (names, values, columns) = (names.join(", "), values.join(", "), columns.join(", "));
        let mut places: Vec<(&str, &str)> = vec![
            ("table", &table),
            ("key", &key),
            ("rowid", self.row_name()),
            ("condition", &condition),
            ("kind", &kind),
            ("owner", &owner),
            ("source", &source),
            ("names", &names),
            ("values", &values),
            ("columns", &columns),
        ];
        places.extend(more);
        Ok(fill(text, &places))
    }

    /// The key of the row that stays in the place of row `t`, as an expression.
    pub(crate) fn survivor(&self, survivor: &Survivor) -> Result<String, UnknownColumn> {
        let column = |alias: &str, name: &str| self.subject.relation.column(self.dialect, alias, name);
        let same = survivor.same.iter().map(|name| Ok(format!("{} = {}", column("o", name)?, column("t", name)?)));
        let same = same.collect::<Result<Vec<_>, UnknownColumn>>()?.join(" and ");
        let (table, key, newest) = (self.table(), self.key(), column("o", survivor.newest)?);
        let places = [("key", key.as_str()), ("table", &table), ("same", &same), ("newest", &newest)];
        Ok(fill(statement!(self.dialect, "survivor"), &places))
    }

    /// Moves duplicates into quarantine and turns what refers to them, on PostgreSQL.
    pub(crate) fn repoint_postgres(
        &self,
        sweep: &Sweep<'_>,
        survivor: &Survivor,
        policy: &Policy,
    ) -> Result<String, UnknownColumn> {
        let (mut referring, mut is_free) = (Vec::new(), Vec::new());
        let (mut turned, mut all) = (Vec::new(), Vec::new());
        for (number, dependant) in self.subject.dependants.iter().enumerate() {
            let child = policy.subject(dependant.subject);
            let (table, key, column) = (child.relation.table().quoted(), child.key.quoted(), dependant.column.quoted());
            referring.push(format!(
                "all_{number} as materialized (\n    select d.{column} as reference, count(*) as rows\n    from {table} as d \
                 join found on d.{column} = found.key\n    group by d.{column}\n),\n\
                 held_{number} as materialized (\n    select d.{key} as key, d.{column} as reference\n    from {table} as d \
                 join found on d.{column} = found.key\n    for update of d skip locked\n)"
            ));
            is_free.push(format!(
                "coalesce((select a.rows from all_{number} as a where a.reference = found.key), 0) \
                 = (select count(*) from held_{number} as h where h.reference = found.key)"
            ));
            turned.push(format!(
                "turned_{number} as (\n    update {table} as d set {column} = pick.survivor\n    \
                 from pick join held_{number} as h on h.reference = pick.key\n    \
                 where d.{key} = h.key and d.{column} = pick.key\n    returning {} as source, cast(d.{key} as text) as row_key, \
                 cast(pick.key as text) as former, cast(pick.survivor as text) as survivor\n)",
                literal(child.name)
            ));
            all.push(format!("table turned_{number}"));
        }
        let survivor = self.survivor(survivor)?;
        self.filled_quarantine(
            statement!(Dialect::Postgres, "repoint"),
            sweep,
            &[
                ("survivor", &survivor),
                ("referring", &referring.join(",\n")),
                ("is_free", &is_free.join("\n    and ")),
                ("turned", &turned.join(",\n")),
                ("all_turned", &all.join(" union all ")),
            ],
        )
    }

    /// Turns what refers to one duplicate in one dependant, on SQLite: takes note, turns, and last says who stays and who goes.
    pub(crate) fn repoint_sqlite(
        &self,
        survivor: &Survivor,
        child: &Subject,
        column: &Ident,
    ) -> Result<String, UnknownColumn> {
        let places = [
            ("source", literal(child.name)),
            ("key", child.key.quoted()),
            ("table", child.relation.table().quoted()),
            ("reference", column.quoted()),
            ("survivor", self.survivor(survivor)?),
            ("duplicate", self.key()),
            ("duplicates", self.table()),
            ("rowid", self.row_name().to_owned()),
        ];
        let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(fill(statement!(Dialect::Sqlite, "repoint"), &places))
    }

    /// Which rows a rule is about: of those that are to be overwritten, the ones that are not yet.
    pub(crate) fn of_rule(&self, rule: &Rule, condition: &Condition) -> Result<String, UnknownColumn> {
        let condition = self.condition(condition)?;
        Ok(match &rule.action {
            Action::Anonymise(columns) => format!("({condition}) and {}", self.differs(columns)),
            _ => condition,
        })
    }

    /// That a row does not hold yet what it is to be overwritten with.
    fn differs(&self, columns: &[(Ident, Blank)]) -> String {
        let unlike = match self.dialect {
            Dialect::Postgres => "is distinct from",
            Dialect::Sqlite => "is not",
        };
        let differs: Vec<String> =
            columns.iter().map(|(column, to)| format!("t.{} {unlike} {}", column.quoted(), to.sql())).collect();
        format!("({})", differs.join(" or "))
    }

    /// Overwrites columns.
    pub(crate) fn anonymise(&self, sweep: &Sweep<'_>, columns: &[(Ident, Blank)]) -> Result<String, UnknownColumn> {
        let assignments: Vec<String> =
            columns.iter().map(|(column, to)| format!("{} = {}", column.quoted(), to.sql())).collect();
        Ok(fill(
            statement!(self.dialect, "anonymise"),
            &[
                ("table", &self.table()),
                ("key", &self.key()),
                ("rowid", self.row_name()),
                ("condition", &self.condition(&sweep.condition())?),
                ("assignments", &assignments.join(", ")),
                ("differs", &self.differs(columns)),
            ],
        ))
    }

    /// Rows that are to be deleted, locked for that.
    pub(crate) fn pick(&self, condition: &str, is_begun: bool, is_bounded: bool) -> Result<String, UnknownColumn> {
        // places are bound in their order, without those that the text has not
        let first = if is_begun { 4 } else { 2 };
        let until = if is_bounded { self.up_to(first)? } else { "true".to_owned() };
        self.listed(statement!(self.dialect, "pick"), condition, is_begun, &until)
    }

    /// Rows that are to be exported.
    pub(crate) fn export(&self, condition: &str, is_begun: bool) -> Result<String, UnknownColumn> {
        self.listed(statement!(self.dialect, "export"), condition, is_begun, "true")
    }

    fn listed(&self, text: &str, condition: &str, is_begun: bool, until: &str) -> Result<String, UnknownColumn> {
        let fields: Vec<String> = self.exported()?.into_iter().map(|(_, field)| field).collect();
        Ok(fill(
            text,
            &[
                ("table", &self.table()),
                ("key", &self.key()),
                ("age", &self.age("t")?),
                ("after", &self.behind(2, is_begun)?),
                ("until", until),
                ("condition", condition),
                ("fields", &fields.join(", ")),
            ],
        ))
    }

    /// The keys of the rows that a rule is about.
    pub(crate) fn candidates(&self, condition: &Condition) -> Result<String, UnknownColumn> {
        let (table, key, condition) = (self.table(), self.key(), self.condition(condition)?);
        let places = [("table", table.as_str()), ("key", &key), ("condition", &condition)];
        Ok(fill(statement!(self.dialect, "candidates"), &places))
    }

    /// Which of some rows a condition still holds of.
    pub(crate) fn still(&self, condition: &Condition) -> Result<String, UnknownColumn> {
        let (table, key, condition) = (self.table(), self.key(), self.condition(condition)?);
        let places = [("table", table.as_str()), ("key", &key), ("type", self.key_type()), ("condition", &condition)];
        Ok(fill(statement!(self.dialect, "still"), &places))
    }

    /// Rows that belong to rows of `parent` by a column, as they are exported.
    pub(crate) fn belonging(&self, column: &Ident, parent: &Found<'_>) -> Result<String, UnknownColumn> {
        let fields: Vec<String> = self.exported()?.into_iter().map(|(_, field)| field).collect();
        let (table, reference, fields) = (self.table(), column.quoted(), fields.join(", "));
        let places =
            [("table", table.as_str()), ("reference", &reference), ("type", parent.key_type()), ("fields", &fields)];
        Ok(fill(statement!(self.dialect, "belonging"), &places))
    }

    /// The columns of an export with the expressions that write them, as `import` reads them.
    pub(crate) fn exported(&self) -> Result<Vec<(String, String)>, UnknownColumn> {
        let mut exported = Vec::new();
        let mut known = Vec::new();
        for (name, sql_type) in &self.subject.exported {
            let expression = self.subject.relation.columns().find(|(column, _)| column == name);
            known.extend(expression.and_then(|(_, expression)| expression.reads()).cloned());
            let value = self.subject.relation.column(self.dialect, "t", name)?;
            exported.push(((*name).to_owned(), self.written_out(&value, *sql_type)));
        }
        for column in self.columns {
            let Ok(name) = Ident::new(&column.name) else { continue };
            if !known.contains(&name) {
                exported.push((column.name.clone(), format!("cast(t.{} as text)", name.quoted())));
            }
        }
        Ok(exported)
    }

    fn written_out(&self, value: &str, sql_type: SqlType) -> String {
        match (self.dialect, sql_type) {
            (Dialect::Postgres, SqlType::Timestamptz) => format!(
                "case when isfinite({value}) then to_char({value} at time zone 'UTC', \
                 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') else cast({value} as text) end"
            ),
            (Dialect::Sqlite, SqlType::Timestamptz) => {
                let part = format!("(({value} % 1000000 + 1000000) % 1000000)");
                format!(
                    "strftime('%Y-%m-%dT%H:%M:%S', ({value} - {part}) / 1000000, 'unixepoch') || printf('.%06dZ', {part})"
                )
            }
            (Dialect::Sqlite, SqlType::Boolean) => {
                format!("case when {value} is null then null when {value} then 'true' else 'false' end")
            }
            _ => format!("cast({value} as text)"),
        }
    }
}

/// The action's own part of a sweep that moves rows to an archive.
pub(crate) fn archive_of<'a>(action: &'a Action, policy: &'a Policy) -> Option<(&'a Subject, &'a Ident, &'a Ident)> {
    match action {
        Action::Archive { into, by, at } => Some((policy.subject(into), by, at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_a_place_stays_a_name() {
        let filled = fill("-- about\nselect {a} from {b} where {other} = '{}'", &[("a", "\"{b}\""), ("b", "t")]);

        assert_eq!(filled, "select \"{b}\" from t where {other} = '{}'");
    }
}
