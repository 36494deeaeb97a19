//! What a run is about to do with a table, and whether it may.

use tierkeep_db::Dialect;

use super::facts::{TableFacts, TableKind, quoted};
use super::finding::{Code, Findings};
use super::statements::grant;
use super::{archive, references};

/// Rows beyond which a pick without an index is refused.
const UNINDEXED_ROWS: u64 = 1_000_000;
/// Bytes that stand for as many rows where the planner knows nothing; rows of sessions are a little larger.
const UNINDEXED_BYTES: u64 = 128 * 1024 * 1024;

/// Rows that are to leave a table: for an archive, or for good.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// The table they leave.
    pub from: &'a TableFacts,
    /// The table they go to. None if they are deleted, or go where a row is one value.
    pub to: Option<&'a TableFacts>,
    /// The columns that tell rows apart.
    pub keys: &'a [&'a str],
    /// Columns of the archive that say when and by whom a row was brought.
    pub own_columns: &'a [OwnColumn<'a>],
    /// What depends on the rows and is looked after by rules, with a foreign key or without.
    pub dependants: &'a [Dependant<'a>],
    /// The columns by which the rows are picked, in their order.
    pub picks_by: &'a [&'a str],
}

/// A column that the archive has for itself.
#[derive(Debug, Clone, Copy)]
pub struct OwnColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type as a statement declares it.
    pub declared: &'a str,
}

/// A column of another table that names the rows.
#[derive(Debug, Clone, Copy)]
pub struct Dependant<'a> {
    /// The other table.
    pub table: &'a TableFacts,
    /// Its column.
    pub column: &'a str,
}

/// What the facts are looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// To show what a run would do; whoever asks need not be able to write.
    Preview,
    /// To do it.
    Run,
}

/// Under which conditions a move is checked.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// What for.
    pub intent: Intent,
    /// Whether somebody insists on what merely costs much.
    pub is_forced: bool,
}

/// Returns what stands in the way of a move, what is worth knowing, and which columns the archive lacks.
///
/// Pure; the order of the findings is that of the facts.
#[must_use]
pub fn check(subject: &Move<'_>, conditions: Conditions) -> Findings {
    let mut findings = Findings::default();
    let tables = std::iter::once(subject.from).chain(subject.to);
    let mut are_tables = true;
    for table in tables {
        are_tables &= is_table(table, &mut findings);
    }
    // What follows says nothing sensible of a view.
    if !are_tables {
        return findings;
    }
    lasting(subject, &mut findings);
    privileges(subject, conditions.intent, &mut findings);
    interference(subject, &mut findings);
    if names(subject, &mut findings) {
        key(subject, &mut findings);
        pick(subject, conditions, &mut findings);
    }
    references::check(subject, &mut findings);
    if let Some(to) = subject.to {
        archive::check(subject, to, &mut findings);
    }
    findings
}

fn is_table(table: &TableFacts, findings: &mut Findings) -> bool {
    let kind = match table.kind {
        TableKind::Ordinary | TableKind::Strict | TableKind::Partitioned => return true,
        TableKind::View => "a view",
        TableKind::MaterializedView => "a materialized view",
        TableKind::Foreign => "a table of another server",
        TableKind::Virtual => "a virtual table",
        TableKind::Other => "something else",
    };
    findings.refuse(
        Code::NotATable,
        format!("{} is {kind}, not a table whose rows can be moved in one transaction", table.full_name()),
        "name the table that holds the rows",
    );
    false
}

/// Whether the rows will be somewhere else afterwards, whole, and stay there.
fn lasting(subject: &Move<'_>, findings: &mut Findings) {
    let from = subject.from;
    if !from.heirs.is_empty() {
        findings.refuse(
            Code::Inheritance,
            format!(
                "{} inherit from {}: their rows would leave with it, without the columns that only they have",
                from.heirs.join(", "),
                from.full_name()
            ),
            from.heirs
                .iter()
                .map(|heir| format!("alter table {heir} no inherit {}", from.full_name()))
                .collect::<Vec<_>>()
                .join("; "),
        );
    }
    let Some(to) = subject.to else { return };
    if to.full_name() == from.full_name() {
        findings.refuse(
            Code::SameTable,
            format!("{} is both the live table and the archive", to.full_name()),
            "name another table as the archive",
        );
    }
    if to.is_volatile {
        findings.refuse(
            Code::Volatile,
            format!("{} is unlogged or temporary: what is archived there does not outlive a crash", to.full_name()),
            format!("alter table {} set logged, or an archive that is not temporary", to.full_name()),
        );
    }
}

fn privileges(subject: &Move<'_>, intent: Intent, findings: &mut Findings) {
    let of = |table: &'_ TableFacts, needed: &[&'static str]| -> Vec<&'static str> {
        let rights = &table.privileges;
        let has = |right: &str| match right {
            "select" => rights.select,
            "insert" => rights.insert,
            "update" => rights.update,
            _ => rights.delete,
        };
        needed.iter().copied().filter(|right| !has(right)).collect()
    };
    // Rows are locked before they leave, which takes the right to change them.
    let leaving: &[&str] = &["select", "update", "delete"];
    for (table, needed) in
        std::iter::once((subject.from, leaving)).chain(subject.to.map(|to| (to, &["select", "insert"][..])))
    {
        let (reading, writing): (Vec<_>, Vec<_>) = of(table, needed).into_iter().partition(|right| *right == "select");
        let lacks_schema = !table.privileges.schema_usage;
        let is_file = table.privileges.role.is_empty();
        let may_not = |rights: &[&str]| {
            if is_file {
                format!("the file of {} can only be read", table.full_name())
            } else {
                let rights = if rights.is_empty() { "reach".to_owned() } else { rights.join(", ") };
                format!("the role {} may not {rights} {}", quoted(&table.privileges.role), table.full_name())
            }
        };
        if intent == Intent::Preview && !writing.is_empty() {
            findings.notice(Code::MissingPrivilege, may_not(&writing));
        }
        let missing = if intent == Intent::Preview { reading } else { [reading, writing].concat() };
        if is_file && !missing.is_empty() {
            findings.refuse(Code::ReadOnly, may_not(&missing), "run where the file can be written");
        } else if lacks_schema || !missing.is_empty() {
            findings.refuse(Code::MissingPrivilege, may_not(&missing), grant(table, &missing));
        }
    }
}

/// What else happens when rows leave or arrive.
fn interference(subject: &Move<'_>, findings: &mut Findings) {
    for table in std::iter::once(subject.from).chain(subject.to) {
        if table.row_security_applies {
            findings.refuse(
                Code::RowSecurity,
                format!(
                    "row-level security of {} applies to {}: rows it hides would be taken for absent",
                    table.full_name(),
                    quoted(&table.privileges.role)
                ),
                format!("alter role {} bypassrls, or run as a role that has it", quoted(&table.privileges.role)),
            );
        }
        for rule in &table.rules {
            findings.refuse(
                Code::Rule,
                format!("the rule {} on {} rewrites statements", quoted(rule), table.full_name()),
                format!("drop rule {} on {}", quoted(rule), table.full_name()),
            );
        }
    }
    let leaving = subject.from.triggers.iter().filter(|trigger| trigger.events.delete);
    let arriving = subject.to.into_iter().flat_map(|to| &to.triggers).filter(|trigger| trigger.events.insert);
    for (trigger, what) in leaving.map(|one| (one, "leave")).chain(arriving.map(|one| (one, "arrive"))) {
        let calls =
            if trigger.function.is_empty() { String::new() } else { format!(", which calls {}", trigger.function) };
        findings.notice(
            Code::Trigger,
            format!("rows that {what} fire the trigger {} of {}{calls}", quoted(&trigger.name), trigger.table),
        );
    }
}

/// Whether the columns that the rules name are there.
fn names(subject: &Move<'_>, findings: &mut Findings) -> bool {
    let from = subject.from;
    let mut all_known = true;
    let dependants = subject.dependants.iter().map(|dependant| (dependant.table, dependant.column));
    let own = subject.keys.iter().chain(subject.picks_by).map(|name| (from, *name));
    let mut told = Vec::new();
    for (table, name) in own.chain(dependants) {
        if table.column(name).is_none() && !told.contains(&(table.full_name(), name)) {
            told.push((table.full_name(), name));
            all_known = false;
            findings.refuse(
                Code::UnknownColumn,
                format!("{} has no column {}", table.full_name(), quoted(name)),
                "correct the rule, or the mapping",
            );
        }
    }
    all_known
}

/// Whether a key is that of one row only, where rows leave and where they arrive.
fn key(subject: &Move<'_>, findings: &mut Findings) {
    let keys = subject.keys;
    let is_among = |table: &TableFacts, column: &str| keys.iter().any(|key| table.is_same(key, column));
    for table in std::iter::once(subject.from).chain(subject.to) {
        let is_live = std::ptr::eq(table, subject.from);
        let is_told_apart = table.keys().any(|columns| {
            if is_live {
                // Nulls are equal to nothing, so they are no key.
                columns.iter().all(|column| {
                    // No key of a partitioned table can do without the column of its partitions. The same id in two
                    // of them would be refused by the archive.
                    let is_of_parts = table.partitioning.as_ref().and_then(|parts| parts.range_column.as_deref());
                    let is_part_of_key = is_among(table, column) || is_of_parts == Some(*column);
                    is_part_of_key && table.column(column).is_some_and(|c| !c.nullable)
                }) && columns.iter().any(|column| is_among(table, column))
            } else {
                // A partitioned archive has the column of its partitions in every key.
                let has = |key: &&str| columns.iter().any(|column| table.is_same(key, column));
                keys.iter().all(has)
            }
        });
        if !is_told_apart || keys.is_empty() {
            let columns = keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ");
            findings.refuse(
                Code::NoKey,
                format!("nothing makes ({columns}) unique and not null in {}", table.full_name()),
                unique_key(table, &columns),
            );
        }
    }
}

fn unique_key(table: &TableFacts, columns: &str) -> String {
    match table.dialect {
        Dialect::Postgres if table.primary_key.is_empty() => {
            format!("alter table {} add primary key ({columns})", table.full_name())
        }
        Dialect::Postgres => {
            format!("create unique index on {} ({columns}), whose columns are not null", table.full_name())
        }
        Dialect::Sqlite => {
            format!("a unique index of {} on ({columns}), whose columns are not null", table.full_name())
        }
    }
}

/// Whether the rows are found without reading the table.
fn pick(subject: &Move<'_>, conditions: Conditions, findings: &mut Findings) {
    let (from, Some(first)) = (subject.from, subject.picks_by.first()) else { return };
    if from.is_ordered_by(first) {
        return;
    }
    let columns: Vec<String> = subject.picks_by.iter().map(|&column| column.to_owned()).collect();
    let rows = from.estimated_rows.map_or_else(|| "an unknown number of".to_owned(), |rows| format!("about {rows}"));
    let what = format!(
        "no index of {} leads with {}: each batch reads the table, {rows} rows",
        from.full_name(),
        quoted(first)
    );
    let is_large = match (from.estimated_rows, from.total_bytes) {
        (Some(rows), _) => rows > UNINDEXED_ROWS,
        (None, Some(bytes)) => bytes > UNINDEXED_BYTES,
        (None, None) => false,
    };
    if is_large && !conditions.is_forced {
        let remedy = super::statements::create_index(from, &columns);
        findings.refuse(Code::UnindexedPick, what, format!("{remedy}; or insist, if the cost is known"));
    } else {
        findings.notice(Code::UnindexedPick, what);
    }
}
