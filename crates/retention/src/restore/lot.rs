//! What can come back to one table from one place, and the statements for it.

use tierkeep_db::{ColumnExpr, Dialect, Ident};

use super::Scope;
use super::reasons::why;
use crate::error::RetentionError;
use crate::preflight::{ColumnFacts, Generated, Identity, TableFacts};
use crate::rule::{Action, Policy};
use crate::statements::{Found, archive_of, fill, literal, statement};
use crate::survey::Survey;

/// Rows that are kept in one place and belong into one table.
#[derive(Debug)]
pub(super) struct Lot<'a> {
    pub(super) policy: &'a Policy,
    pub(super) survey: &'a Survey,
    pub(super) target: Found<'a>,
    pub(super) facts: &'a TableFacts,
    pub(super) origin: Origin<'a>,
    /// The table that shares its ids with the target: the archive of live rows, or the live rows of an archive.
    pub(super) sibling: Option<Found<'a>>,
}

#[derive(Debug)]
pub(super) enum Origin<'a> {
    Archive { found: Found<'a>, by: &'a Ident, at: &'a Ident },
    Quarantine,
}

/// A column that is written when a row comes back.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) name: String,
    /// Its value, in a statement in which the kept row is called `o`.
    pub(super) value: String,
    /// What holds if the value is not the one that was kept.
    pub(super) unfit: Option<String>,
    /// Whether the table refuses a row without it.
    pub(super) is_needed: bool,
}

/// A kept row by its columns.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    pub(super) written: Vec<Piece>,
    /// Columns that the table does not have any more, and what holds if the row has a value in one.
    pub(super) gone: Vec<(String, String)>,
}

/// All lots, parents before children, and archived rows before the older ones that they had displaced.
pub(super) fn lots<'a>(policy: &'a Policy, survey: &'a Survey) -> Result<Vec<Lot<'a>>, RetentionError> {
    let archives: Vec<_> = policy
        .rules
        .iter()
        .filter_map(|rule| Some((rule.subject, archive_of(&rule.action, policy)?)))
        .map(|(from, (into, by, at))| (from, into.name, by, at))
        .collect();
    let mut lots = Vec::new();
    for subject in &policy.subjects {
        let of_live = archives.iter().find(|(from, ..)| *from == subject.name);
        let live = archives.iter().find(|(_, into, ..)| *into == subject.name).map(|(from, ..)| *from);
        let sibling = of_live.map(|(_, into, ..)| *into).or(live);
        let lot = |origin| -> Result<Lot<'a>, RetentionError> {
            Ok(Lot {
                policy,
                survey,
                target: survey.found(policy, subject.name)?,
                facts: survey.facts(subject.name)?,
                origin,
                sibling: sibling.map(|name| survey.found(policy, name)).transpose()?,
            })
        };
        if let Some((_, into, by, at)) = of_live {
            let found = survey.found(policy, into)?;
            // an archive that has never been written to by a run may lack the column
            if found.columns.iter().any(|column| column.name == by.as_str()) {
                lots.push(lot(Origin::Archive { found, by, at })?);
            }
        }
        lots.push(lot(Origin::Quarantine)?);
    }
    Ok(lots)
}

impl Lot<'_> {
    pub(super) fn name(&self) -> &'static str {
        self.target.subject.name
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.target.dialect
    }

    /// Whether its rows only change their place, and nobody needs to know.
    pub(super) fn is_move(&self) -> bool {
        matches!(self.origin, Origin::Archive { .. })
    }

    /// Whether a row may be the parent of another in the same table.
    pub(super) fn points_to_itself(&self) -> bool {
        self.facts.points_to.iter().any(|parent| parent.parent == self.facts.full_name())
    }

    /// The table that rows are kept in, and the column that tells them apart there.
    pub(super) fn kept_in(&self) -> (String, String) {
        match &self.origin {
            Origin::Archive { found, .. } => (found.table(), found.key()),
            Origin::Quarantine => ("tierkeep_quarantine".to_owned(), "id".to_owned()),
        }
    }

    fn kept_key_type(&self) -> &str {
        match &self.origin {
            Origin::Archive { found, .. } => found.key_type(),
            Origin::Quarantine => "bigint",
        }
    }

    /// What holds of a row `alias` of where rows are kept that is to come back. `given` stands for the run or owner.
    pub(super) fn is_of(&self, scope: &Scope, alias: &str, given: &str) -> Result<String, RetentionError> {
        Ok(match (&self.origin, scope) {
            (Origin::Quarantine, _) => is_of_quarantine(scope, alias, given),
            (Origin::Archive { found, by, .. }, _) => archived_of(found, by, scope, alias, given)?,
        })
    }

    /// What stands for the run or owner in statements on PostgreSQL.
    pub(super) fn given(&self, scope: &Scope) -> String {
        match (&self.origin, scope) {
            (_, Scope::Run(_)) => "cast($2 as bigint)".to_owned(),
            (Origin::Quarantine, Scope::Owner(_)) => "cast($2 as text)".to_owned(),
            (Origin::Archive { found, .. }, Scope::Owner(_)) => {
                format!("cast(cast($2 as text) as {})", owner_type(found))
            }
        }
    }

    /// A page of rows that are to come back: the first one, or those behind a row. Rows of a run are looked for among the ages
    /// that its batches had, if `is_spanned`.
    pub(super) fn page(&self, scope: &Scope, is_begun: bool, is_spanned: bool) -> Result<String, RetentionError> {
        let given = match self.dialect() {
            Dialect::Postgres => self.given(scope),
            Dialect::Sqlite => "?2".to_owned(),
        };
        let scope_text = self.is_of(scope, "t", &given)?;
        let Origin::Archive { found, .. } = &self.origin else {
            let after = match (is_begun, self.dialect()) {
                (false, _) => "true",
                (true, Dialect::Postgres) => "t.id < cast(cast($3 as text) as bigint)",
                (true, Dialect::Sqlite) => "t.id < cast(?3 as integer)",
            };
            let places = [("after", after), ("scope", &scope_text), ("source", &literal(self.name()))];
            return Ok(fill(statement!(self.dialect(), "quarantined_page"), &places));
        };
        let age = found.age("t")?;
        let end = |of: &str, column: &str| {
            format!(
                "(select {of}(cast({column} as {})) from tierkeep_run_batch where run_id = {given})",
                found.age_type()
            )
        };
        let span = if is_spanned {
            format!("{age} between {} and {}", end("min", "first_age"), end("max", "last_age"))
        } else {
            "true".to_owned()
        };
        let (table, key, after) = (found.table(), found.key(), found.behind(3, is_begun)?);
        Ok(fill(
            statement!(self.dialect(), "archived_page"),
            &[
                ("table", &table),
                ("key", &key),
                ("age", &age),
                ("after", &after),
                ("scope", &scope_text),
                ("span", &span),
            ],
        ))
    }

    /// How many archived rows are to come back.
    pub(super) fn count(&self, scope: &Scope) -> Result<String, RetentionError> {
        let given = match self.dialect() {
            Dialect::Postgres => self.given(scope).replace("$2", "$1"),
            Dialect::Sqlite => "?1".to_owned(),
        };
        let ((table, _), scope) = (self.kept_in(), self.is_of(scope, "t", &given)?);
        Ok(fill(statement!(self.dialect(), "count"), &[("table", &table), ("scope", &scope)]))
    }

    /// The columns of kept rows, read by `read` from the name of a column and its number in `names`.
    pub(super) fn pieces(&self, names: &[String], read: impl Fn(usize, &ColumnFacts) -> Piece) -> Pieces {
        let place = |name: &str| names.iter().position(|known| self.facts.is_same(known, name));
        let written = self.facts.columns.iter().filter(|column| column.generated == Generated::No);
        let written = written.filter_map(|column| Some(read(place(&column.name)?, column))).collect();
        Pieces { written, gone: Vec::new() }
    }

    /// Those of some names that the table does not have.
    pub(super) fn gone<'n>(&self, names: &'n [String]) -> impl Iterator<Item = (usize, &'n String)> {
        let is_own = |name: &str| match &self.origin {
            Origin::Archive { by, at, .. } => name == by.as_str() || name == at.as_str(),
            Origin::Quarantine => false,
        };
        names.iter().enumerate().filter(move |(_, name)| self.facts.column(name).is_none() && !is_own(name))
    }

    /// The rows that columns of others name, with what shares their ids: for each such column the table, the column, its key,
    /// the type of both, and the names of its family.
    pub(super) fn turned(&self) -> Result<Vec<Turned>, RetentionError> {
        let mut turned = Vec::new();
        for dependant in &self.target.subject.dependants {
            let child = self.survey.found(self.policy, dependant.subject)?;
            let column = self.survey.facts(dependant.subject)?.column(dependant.column.as_str());
            turned.push(Turned {
                table: child.table(),
                key: child.key(),
                key_type: child.key_type().to_owned(),
                reference: dependant.column.quoted(),
                name: dependant.column.as_str().to_owned(),
                reference_type: column.map_or_else(|| "text".to_owned(), |column| column.type_name.clone()),
                family: self.family(dependant.subject),
            });
        }
        Ok(turned)
    }

    fn family(&self, name: &'static str) -> Vec<&'static str> {
        let mut family = vec![name];
        for rule in &self.policy.rules {
            match &rule.action {
                Action::Archive { into, .. } if rule.subject == name => family.push(into),
                Action::Archive { into, .. } if *into == name => family.push(rule.subject),
                _ => {}
            }
        }
        family.sort_unstable();
        family.dedup();
        family
    }

    /// Why a row stays, on PostgreSQL, with everything else that the statement needs.
    pub(super) fn move_postgres(
        &self,
        text: &str,
        pieces: &Pieces,
        scope: &Scope,
        checks: &[(String, String)],
        is_dry: bool,
    ) -> Result<String, RetentionError> {
        let given = self.given(scope);
        let (origin, place) = self.kept_in();
        let key = pieces.value_of(self.target.subject.key.as_str()).unwrap_or("null");
        let quoted: Vec<String> = pieces.written.iter().map(|piece| quoted(&piece.name)).collect();
        let aliases: Vec<String> = (0..pieces.written.len()).map(|number| format!("c{number}")).collect();
        let values: Vec<String> =
            pieces.written.iter().zip(&aliases).map(|(piece, alias)| format!("{} as {alias}", piece.value)).collect();
        let digest = |columns: &[String]| {
            let row = columns.join(", ");
            if self.target.hashes_records {
                format!("hash_record_extended(row({row}), 0)")
            } else {
                format!("hashtextextended(cast(row({row}) as text), 0)")
            }
        };
        let run = match &self.origin {
            Origin::Archive { .. } => "0",
            Origin::Quarantine => "o.run_id",
        };
        Ok(fill(
            text,
            &[
                ("place", &place),
                ("why", &why(self, pieces, scope, &given, checks, is_dry)?),
                ("origin", &origin),
                ("type", self.kept_key_type()),
                ("scope", &self.is_of(scope, "o", &given)?),
                ("run", run),
                ("key_value", key),
                ("values", &values.join(", ")),
                ("table", &self.target.table()),
                ("columns", &quoted.join(", ")),
                ("aliases", &aliases.join(", ")),
                ("source", &literal(self.name())),
                ("digest_gone", &digest(&aliases)),
                ("digest_came", &digest(&quoted)),
            ],
        ))
    }
}

/// A column that may have been turned from rows of the lot to others.
#[derive(Debug, Clone)]
pub(super) struct Turned {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) key_type: String,
    pub(super) reference: String,
    pub(super) name: String,
    pub(super) reference_type: String,
    family: Vec<&'static str>,
}

impl Turned {
    /// Names of the subjects that share its ids, as literals.
    pub(super) fn family(&self) -> String {
        self.family.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
    }
}

impl Pieces {
    pub(super) fn value_of(&self, name: &str) -> Option<&str> {
        self.written.iter().find(|piece| piece.name == name).map(|piece| piece.value.as_str())
    }
}

/// Whether the table refuses a row that does not say this column.
pub(super) fn is_needed(column: &ColumnFacts) -> bool {
    !column.nullable && !column.has_default && column.identity == Identity::No && column.generated == Generated::No
}

pub(super) fn is_of_quarantine(scope: &Scope, alias: &str, given: &str) -> String {
    match scope {
        Scope::Run(_) => format!("{alias}.run_id = {given}"),
        Scope::Owner(_) => format!("{alias}.owner = {given}"),
    }
}

pub(super) fn archived_of(
    found: &Found<'_>,
    by: &Ident,
    scope: &Scope,
    alias: &str,
    given: &str,
) -> Result<String, RetentionError> {
    Ok(match (scope, found.subject.owner) {
        (Scope::Run(_), _) => format!("{alias}.{} = {given}", by.quoted()),
        (Scope::Owner(_), Some(owner)) => {
            format!("{} = {given}", found.subject.relation.column(found.dialect, alias, owner)?)
        }
        (Scope::Owner(_), None) => "false".to_owned(),
    })
}

/// The type that owners of rows are compared as.
pub(super) fn owner_type(found: &Found<'_>) -> String {
    let owner = found.subject.owner.and_then(|name| found.subject.relation.columns().find(|(known, _)| *known == name));
    match owner {
        Some((_, ColumnExpr::Cast(_, to))) => found.dialect.type_name(*to).to_owned(),
        Some((_, ColumnExpr::Column(column))) => found
            .columns
            .iter()
            .find(|known| known.name == column.as_str())
            .map_or_else(|| "text".to_owned(), |known| known.type_name.clone()),
        _ => "text".to_owned(),
    }
}

/// A name of the catalog in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
