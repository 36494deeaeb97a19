//! Whether an archive can keep every row of the live table.

use super::checks::Move;
use super::facts::{ColumnFacts, Generated, Identity, TableFacts, quoted};
use super::finding::{Code, Finding, Findings};
use super::keeping::{Keeping, keeping};
use super::statements::{add_column, add_declared, alter_column};

pub(super) fn check(subject: &Move<'_>, archive: &TableFacts, findings: &mut Findings) {
    own_columns(subject, archive, findings);
    for column in &subject.from.columns {
        if subject.own_columns.iter().any(|own| archive.is_same(own.name, &column.name)) {
            continue;
        }
        match archive.column(&column.name) {
            None => findings.add(missing(archive, &column.name, add_column(archive, column))),
            Some(kept) => pair(subject.from, column, archive, kept, findings),
        }
    }
    extra_columns(subject, archive, findings);
    checks(subject.from, archive, findings);
    unique(subject, archive, findings);
    references(subject.from, archive, findings);
}

/// The columns in which the archive says when and by whom a row was brought.
fn own_columns(subject: &Move<'_>, archive: &TableFacts, findings: &mut Findings) {
    let live = subject.from;
    for own in subject.own_columns {
        if live.column(own.name).is_some() {
            findings.refuse(
                Code::OwnNameTaken,
                format!(
                    "{} has a column {}, which is the name of the archive's own",
                    live.full_name(),
                    quoted(own.name)
                ),
                format!("rename the column of {}", live.full_name()),
            );
        } else if archive.column(own.name).is_none() {
            findings.add(missing(archive, own.name, add_declared(archive, own.name, own.declared)));
        }
    }
}

fn missing(archive: &TableFacts, column: &str, statement: String) -> Finding {
    Finding::Missing { table: archive.full_name(), column: column.to_owned(), statement }
}

/// A column of both tables.
fn pair(live: &TableFacts, column: &ColumnFacts, archive: &TableFacts, kept: &ColumnFacts, findings: &mut Findings) {
    let place = || format!("{} column {}", archive.full_name(), quoted(&kept.name));
    // The same domain refuses the same values, and had its say already.
    let is_same_domain = kept.type_name == column.type_name;
    let refuses_some = kept.is_constrained_domain && !is_same_domain;
    if keeping(&column.column_type, &kept.column_type) == Keeping::Loses || refuses_some {
        findings.refuse(
            Code::TypeLoses,
            format!(
                "{} is {}, which cannot keep every value of {}, where it is {}",
                place(),
                shown_type(kept),
                live.full_name(),
                shown_type(column)
            ),
            alter_column(archive, &kept.name, &format!("type {}", column.base_type_name)),
        );
    }
    if column.nullable && !kept.nullable {
        findings.refuse(
            Code::ValueDemanded,
            format!("{} takes no null, rows of {} may have it", place(), live.full_name()),
            alter_column(archive, &kept.name, "drop not null"),
        );
    }
    if kept.generated != Generated::No {
        findings.refuse(
            Code::ValueMade,
            format!("{} is computed, so it cannot be given the value of {}", place(), live.full_name()),
            alter_column(archive, &kept.name, "drop expression"),
        );
    }
    if kept.identity == Identity::Always {
        findings.refuse(
            Code::ValueMade,
            format!("{} is always generated as identity, so it refuses the value of {}", place(), live.full_name()),
            alter_column(archive, &kept.name, "drop identity"),
        );
    }
}

/// Columns that only the archive has.
fn extra_columns(subject: &Move<'_>, archive: &TableFacts, findings: &mut Findings) {
    for column in &archive.columns {
        let is_ours = subject.own_columns.iter().any(|own| archive.is_same(own.name, &column.name));
        let fills_itself = column.has_default || column.generated != Generated::No || column.identity != Identity::No;
        let is_optional = column.nullable && !column.is_constrained_domain;
        if is_ours || fills_itself || is_optional || subject.from.column(&column.name).is_some() {
            continue;
        }
        findings.refuse(
            Code::ValueDemanded,
            format!(
                "{} column {} demands a value that rows of {} do not have",
                archive.full_name(),
                quoted(&column.name),
                subject.from.full_name()
            ),
            alter_column(archive, &column.name, "drop not null"),
        );
    }
}

/// A check is harmless if the live rows passed the same one.
fn checks(live: &TableFacts, archive: &TableFacts, findings: &mut Findings) {
    for check in &archive.checks {
        if live.checks.iter().any(|passed| passed.is_validated && passed.text == check.text) {
            continue;
        }
        let name = check.name.as_deref().map(quoted).unwrap_or_default();
        findings.refuse(
            Code::ArchiveCheck,
            format!(
                "{} has a constraint {name} ({}) that {} has not, so it may refuse rows",
                archive.full_name(),
                check.text,
                live.full_name()
            ),
            drop_constraint(archive, check.name.as_deref()),
        );
    }
}

/// Rows that differ in the key may be equal in anything else, if not at the same time then one after the other.
fn unique(subject: &Move<'_>, archive: &TableFacts, findings: &mut Findings) {
    let tells_apart =
        |columns: &[&str]| subject.keys.iter().all(|key| columns.iter().any(|column| archive.is_same(column, key)));
    let primary: Vec<&str> = archive.primary_key.iter().map(String::as_str).collect();
    let mut others: Vec<String> = archive
        .indexes
        .iter()
        .filter(|index| index.is_unique)
        .filter(|index| !tells_apart(&index.columns.iter().flatten().map(String::as_str).collect::<Vec<_>>()))
        .map(|index| index.name.clone())
        .collect();
    // A key that is the row number has no index.
    if others.is_empty() && !primary.is_empty() && !tells_apart(&primary) {
        others.push(archive.primary_key.join(", "));
    }
    for name in others {
        findings.refuse(
            Code::ArchiveUnique,
            format!(
                "{} refuses rows that are equal in {}, which rows of {} may be",
                archive.full_name(),
                quoted(&name),
                subject.from.full_name()
            ),
            format!("drop it, or make it not unique; only ({}) need be unique there", subject.keys.join(", ")),
        );
    }
}

/// A foreign key of the archive is harmless if the live table has the same one.
fn references(live: &TableFacts, archive: &TableFacts, findings: &mut Findings) {
    for key in &archive.points_to {
        let same = live.points_to.iter().any(|other| {
            other.is_validated
                && other.parent == key.parent
                && other.columns == key.columns
                && other.parent_columns == key.parent_columns
        });
        if !same {
            findings.refuse(
                Code::ArchiveReference,
                format!(
                    "{} has a foreign key {} to {} that {} has not, so it may refuse rows",
                    archive.full_name(),
                    key.name.as_deref().map_or_else(|| key.columns.join(", "), quoted),
                    key.parent,
                    live.full_name()
                ),
                drop_constraint(archive, key.name.as_deref()),
            );
        }
    }
}

fn drop_constraint(archive: &TableFacts, name: Option<&str>) -> String {
    match (archive.dialect, name) {
        (tierkeep_db::Dialect::Postgres, Some(name)) => {
            format!("alter table {} drop constraint {}", archive.full_name(), quoted(name))
        }
        _ => format!("make {} anew without it, and copy its rows there", archive.full_name()),
    }
}

fn shown_type(column: &ColumnFacts) -> &str {
    if column.type_name.is_empty() { "a column of no type" } else { &column.type_name }
}
