//! What points at the rows that leave.

use super::checks::Move;
use super::facts::{OnDelete, PointedAt, quoted};
use super::finding::{Code, Findings};
use super::statements::create_index;

pub(super) fn check(subject: &Move<'_>, findings: &mut Findings) {
    for key in &subject.from.pointed_at_by {
        if !is_declared(subject, key) {
            undeclared(subject, key, findings);
        }
    }
    for dependant in subject.dependants {
        let columns = [dependant.column.to_owned()];
        if dependant.table.column(dependant.column).is_some() && !dependant.table.finds_by(&columns) {
            findings.refuse(
                Code::UnindexedReference,
                format!(
                    "no index of {} leads with {}: each row that leaves {} would read that table",
                    dependant.table.full_name(),
                    quoted(dependant.column),
                    subject.from.full_name()
                ),
                create_index(dependant.table, &columns),
            );
        }
    }
}

fn is_declared(subject: &Move<'_>, key: &PointedAt) -> bool {
    subject.dependants.iter().any(|dependant| {
        let is_column = |column: &String| dependant.table.is_same(column, dependant.column);
        dependant.table.full_name() == key.child && key.child_columns.iter().any(is_column)
    })
}

fn undeclared(subject: &Move<'_>, key: &PointedAt, findings: &mut Findings) {
    let harm = match key.on_delete {
        OnDelete::NoAction | OnDelete::Restrict => "its rows would stop the run",
        OnDelete::Cascade => "its rows would be deleted, and be nowhere",
        OnDelete::SetNull | OnDelete::SetDefault => "its rows would lose what they refer to",
    };
    let columns = key.child_columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let (name, remedy) = match &key.name {
        Some(name) => (
            format!("the foreign key {}", quoted(name)),
            format!("a rule for {}, or alter table {} drop constraint {}", key.child, key.child, quoted(name)),
        ),
        None => {
            ("a foreign key".to_owned(), format!("a rule for {}, or that table without the foreign key", key.child))
        }
    };
    findings.refuse(
        Code::UndeclaredReference,
        format!(
            "{} ({columns}) points at {} by {name}, on delete {}, and no rule knows it: {harm}",
            key.child,
            subject.from.full_name(),
            key.on_delete
        ),
        remedy,
    );
}
