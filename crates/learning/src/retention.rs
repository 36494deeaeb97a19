//! The retention rules of sessions, course progress and learners, as data for the engine.
//!
//! The one place that says which rows are invalid, archived or deleted. What makes a session invalid is said a second time,
//! for single rows, by [`crate::session::SessionFacts::fault`]; a test holds the two together.

use jiff::Timestamp;
use tierkeep_db::{CatalogColumn, Comparison, Condition, Dialect, Ident, Operand, Relation, SqlType, TableName};
use tierkeep_retention::{Action, Dependant, Policy, Rule, Subject, Survivor};

use crate::key::KeyType;
use crate::mapping::{Mapping, Source};
use crate::store::StoreError;

/// The phase that puts invalid rows into quarantine.
pub const INVALID: &str = "invalid";
/// The phase that archives sessions.
pub const ARCHIVE: &str = "archive";
/// The phase that deletes what is too old.
pub const DELETE: &str = "delete";
/// The phase that removes what has been in quarantine for long enough.
pub const PURGE: &str = "purge";
/// The phase that looks after the tables.
pub const OPTIMIZE: &str = "optimize";

/// The phases, in their order. Deleting a learner's data takes what of it is in quarantine along, so that what is due there by
/// itself goes before.
pub const PHASES: [&str; 5] = [INVALID, ARCHIVE, DELETE, PURGE, OPTIMIZE];

/// The rule by which sessions go to the archive.
pub const ARCHIVE_RULE: &str = "archive";
/// The rule by which archived sessions are deleted.
pub const ARCHIVED_SESSIONS: &str = "archived_sessions";
/// The rule by which the data of learners go who were not seen any more.
pub const INACTIVE_USERS: &str = "inactive_users";
/// The rule by which rows leave the quarantine.
pub const QUARANTINED_ROWS: &str = "quarantined";
/// The rule by which archived rows go whose id is live again.
pub const SUPERSEDED: &str = "superseded";

/// Every rule by its name.
pub const RULES: [&str; 11] = [
    "negative_duration",
    "end_before_start",
    "bad_rating",
    "bad_focus",
    "duplicate_progress",
    "orphan",
    SUPERSEDED,
    ARCHIVE_RULE,
    ARCHIVED_SESSIONS,
    INACTIVE_USERS,
    QUARANTINED_ROWS,
];

/// The subject of archived sessions.
pub const ARCHIVED: &str = "study_sessions_archive";
/// The subject of quarantined rows.
pub const QUARANTINED: &str = "tierkeep_quarantine";

/// When rows are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// The present.
    pub now: Timestamp,
    /// Sessions that start before are archived.
    pub archive: Timestamp,
    /// Archived sessions that start before, and inactive learners, are deleted.
    pub delete: Timestamp,
    /// Rows that came into quarantine before are removed.
    pub purge: Timestamp,
}

/// What is known of a database when its rules are written.
pub(crate) struct Situation<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) keys: KeyType,
    pub(crate) mapping: &'a Mapping,
    /// Columns of learners, course progress and sessions.
    pub(crate) columns: [&'a [CatalogColumn]; 3],
    /// Columns of the archive; `None` where there is none, which is where Tierkeep's tables are not either.
    pub(crate) archive: Option<&'a [CatalogColumn]>,
    /// Whether rows were restored whose grace is not over.
    pub(crate) has_exempt: bool,
    pub(crate) cutoffs: Cutoffs,
    /// The phases that are to be done.
    pub(crate) phases: &'a [&'static str],
}

/// The rules for a database, of the phases that are to be done.
pub(crate) fn policy(situation: &Situation<'_>) -> Result<Policy, StoreError> {
    let subjects = subjects(situation)?;
    let relation = |name: &str| {
        let subject = subjects.iter().find(|subject| subject.name == name);
        subject.map(|subject| subject.relation.clone())
    };
    let (users, sessions, courses) = (
        relation(Source::Users.name()).expect("learners are a subject"),
        relation(Source::StudySessions.name()).expect("sessions are a subject"),
        relation(Source::CourseProgress.name()).expect("course progress is a subject"),
    );
    let mut rules = Vec::new();
    rules.extend(situation.archive.is_some().then(|| superseded(situation, &sessions)));
    rules.extend(invalid(situation, &users, &courses));
    rules.push(archive(situation));
    rules.extend(delete(situation, &sessions, &courses, &users));
    if situation.archive.is_some() {
        rules.push(Rule {
            phase: PURGE,
            name: QUARANTINED_ROWS,
            subject: QUARANTINED,
            condition: before("quarantined_at", situation.cutoffs.purge),
            arriving: None,
            action: Action::Delete,
            by_age: true,
        });
    }
    Ok(Policy { subjects, rules }.only(situation.phases))
}

fn subjects(situation: &Situation<'_>) -> Result<Vec<Subject>, StoreError> {
    let Situation { dialect, keys, mapping, columns: [users, courses, sessions], archive, .. } = *situation;
    let relation = |source: Source, table: TableName, found: &[CatalogColumn]| -> Result<Relation, StoreError> {
        Ok(Relation::new(table, mapping.columns(source, dialect, keys, found)?))
    };
    let subject = |name, source, table, found: &[CatalogColumn], owner| -> Result<Subject, StoreError> {
        Ok(Subject {
            name,
            relation: relation(source, table, found)?,
            key: mapping.column(source, "id")?,
            owner: Some(owner),
            age: None,
            exported: mapping.held(source, found),
            is_absent: false,
            is_guarded: true,
            dependants: Vec::new(),
        })
    };
    let of = |source: Source, found, owner| subject(source.name(), source, mapping.table(source), found, owner);
    let by_start = Some(("start_time", SqlType::Timestamptz));
    let mut learners = of(Source::Users, users, "id")?;
    let mut progress = of(Source::CourseProgress, courses, "user_id")?;
    let mut live = of(Source::StudySessions, sessions, "user_id")?;
    live.age = by_start;
    let owned = |subject, source| -> Result<Dependant, StoreError> {
        Ok(Dependant { subject, column: mapping.column(source, "user_id")? })
    };
    learners.dependants = vec![
        owned(Source::StudySessions.name(), Source::StudySessions)?,
        owned(Source::CourseProgress.name(), Source::CourseProgress)?,
    ];
    let refers = mapping.has(Source::StudySessions, "course_progress_id", sessions);
    let reference = mapping.column(Source::StudySessions, "course_progress_id");
    if let (true, Ok(column)) = (refers, &reference) {
        progress.dependants.push(Dependant { subject: Source::StudySessions.name(), column: column.clone() });
    }
    let mut subjects = vec![learners, progress, live];
    let mut archived =
        subject(ARCHIVED, Source::StudySessions, mapping.archive(), archive.unwrap_or(sessions), "user_id")?;
    archived.age = by_start;
    archived.is_absent = archive.is_none();
    if archive.is_some() {
        subjects[0].dependants.insert(1, owned(ARCHIVED, Source::StudySessions)?);
        if let (true, Ok(column)) = (refers, reference) {
            subjects[1].dependants.push(Dependant { subject: ARCHIVED, column });
        }
        subjects.push(quarantine());
    }
    subjects.push(archived);
    Ok(subjects)
}

fn quarantine() -> Subject {
    let columns = ["id", "run_id", "kind", "source", "row_key", "owner", "quarantined_at", "content"];
    let columns: Vec<Ident> = columns.map(ident).into();
    Subject {
        name: QUARANTINED,
        relation: Relation::plain(own_table(QUARANTINED), &columns),
        key: ident("id"),
        owner: Some("owner"),
        age: Some(("quarantined_at", SqlType::Timestamptz)),
        exported: vec![("quarantined_at", SqlType::Timestamptz)],
        is_absent: false,
        is_guarded: false,
        dependants: Vec::new(),
    }
}

/// The kinds of invalid rows, in the order in which a row is looked at.
fn invalid(situation: &Situation<'_>, users: &Relation, courses: &Relation) -> Vec<Rule> {
    use Comparison::{Greater, Less};
    let sessions = Source::StudySessions.name();
    let outside = |column, least, most| {
        Condition::Any(vec![
            Condition::Compare(Operand::Column(column), Less, Operand::Integer(least)),
            Condition::Compare(Operand::Column(column), Greater, Operand::Integer(most)),
        ])
    };
    let kinds = [
        ("negative_duration", Condition::Compare(Operand::Column("duration_minutes"), Less, Operand::Integer(0))),
        ("end_before_start", Condition::Compare(Operand::Column("end_time"), Less, Operand::Column("start_time"))),
        ("bad_rating", outside("effectiveness_rating", 1, 5)),
        ("bad_focus", outside("focus_score", 0, 1)),
    ];
    let quarantined = |name, subject, condition, survivor| Rule {
        phase: INVALID,
        name,
        subject,
        condition: situation.unless_hiding(subject, situation.unless_exempt(subject, condition)),
        arriving: None,
        action: Action::Quarantine { survivor },
        by_age: false,
    };
    let mut rules: Vec<Rule> =
        kinds.into_iter().map(|(name, condition)| quarantined(name, sessions, condition, None)).collect();
    rules.push(quarantined(
        "duplicate_progress",
        Source::CourseProgress.name(),
        Condition::Exists(courses.clone(), Box::new(newer_about_the_same())),
        Some(Survivor { same: vec!["user_id", "content_id"], newest: "updated_at" }),
    ));
    rules.push(quarantined("orphan", sessions, nobodys(situation, users), None));
    rules
}

/// Of several rows about one course of a learner, one that counts before this one.
fn newer_about_the_same() -> Condition {
    let same = |column| Condition::Compare(Operand::Column(column), Comparison::Equal, Operand::Outer(column));
    let later = |column| Condition::Compare(Operand::Column(column), Comparison::Greater, Operand::Outer(column));
    let has_one =
        Condition::Null(Operand::Outer("updated_at")).and(Condition::Null(Operand::Column("updated_at")).unless());
    let tie = Condition::Same(Operand::Column("updated_at"), Operand::Outer("updated_at")).and(later("id"));
    Condition::All(vec![same("user_id"), same("content_id"), Condition::Any(vec![later("updated_at"), has_one, tie])])
}

/// A session of nobody: not of a learner whose row went a while ago, either. That is a departure, and has a grace.
fn nobodys(situation: &Situation<'_>, users: &Relation) -> Condition {
    let mut conditions = vec![exists(users, "id").unless()];
    if situation.archive.is_some() {
        let known = |table: &str, column: &'static str| {
            let relation = Relation::plain(own_table(table), &[ident(column)]);
            exists(&relation, column).unless()
        };
        conditions.push(known("tierkeep_departed", "user_id"));
        conditions.push(known("tierkeep_learner", "user_id"));
        // a departure that no fold has taken note of yet
        let outbox = Relation::plain(own_table("tierkeep_outbox"), &["key", "source", "note", "settled"].map(ident));
        let left = Condition::All(vec![
            Condition::Compare(Operand::Column("key"), Comparison::Equal, Operand::Outer("user_id")),
            Condition::Compare(Operand::Column("source"), Comparison::Equal, Operand::Text("users")),
            Condition::Null(Operand::Column("note")),
            Condition::True(Operand::Column("settled")).unless(),
        ]);
        conditions.push(Condition::Exists(outbox, Box::new(left)).unless());
    }
    Condition::All(conditions)
}

/// A row of `relation` whose `column` is the learner of the row outside.
fn exists(relation: &Relation, column: &'static str) -> Condition {
    let same = Condition::Compare(Operand::Column(column), Comparison::Equal, Operand::Outer("user_id"));
    Condition::Exists(relation.clone(), Box::new(same))
}

/// Archived rows whose id is live again. They count for nothing while they are hidden, so they go before the live row can: in
/// the first phase that removes live rows.
fn superseded(situation: &Situation<'_>, sessions: &Relation) -> Rule {
    Rule {
        phase: if situation.phases.contains(&INVALID) { INVALID } else { ARCHIVE },
        name: SUPERSEDED,
        subject: ARCHIVED,
        condition: situation.unless_exempt(ARCHIVED, has_live_row(sessions)),
        arriving: None,
        action: Action::Quarantine { survivor: None },
        by_age: false,
    }
}

fn archive(situation: &Situation<'_>) -> Rule {
    let old = before("start_time", situation.cutoffs.archive);
    let old = old.and(Condition::True(Operand::Column("is_active")).unless());
    Rule {
        phase: ARCHIVE,
        name: ARCHIVE_RULE,
        subject: Source::StudySessions.name(),
        // a row cannot go where an older one of its id was restored
        condition: situation
            .unless_hiding(Source::StudySessions.name(), situation.unless_exempt(Source::StudySessions.name(), old)),
        arriving: None,
        action: Action::Archive { into: ARCHIVED, by: ident("archived_by"), at: ident("archived_at") },
        by_age: true,
    }
}

fn has_live_row(sessions: &Relation) -> Condition {
    let same = Condition::Compare(Operand::Column("id"), Comparison::Equal, Operand::Outer("id"));
    Condition::Exists(sessions.clone(), Box::new(same))
}

fn delete(situation: &Situation<'_>, sessions: &Relation, courses: &Relation, users: &Relation) -> Vec<Rule> {
    let cutoff = situation.cutoffs.delete;
    let archived = sessions.of_table(situation.mapping.archive());
    let mut rules = vec![Rule {
        phase: DELETE,
        name: ARCHIVED_SESSIONS,
        subject: ARCHIVED,
        // one that is live again counts as live: it is for the rule of superseded rows
        condition: situation.unless_exempt(ARCHIVED, before("start_time", cutoff).and(has_live_row(sessions).unless())),
        arriving: Some(situation.unless_exempt(ARCHIVED, before("start_time", cutoff))),
        action: Action::Delete,
        by_age: true,
    }];
    let reads = |name| users.columns().any(|(column, stands)| column == name && stands.reads().is_some());
    // without a column that says so nobody is inactive
    if reads("is_active") && (reads("last_login") || reads("created_at")) {
        rules.push(Rule {
            phase: DELETE,
            name: INACTIVE_USERS,
            subject: Source::Users.name(),
            condition: inactive(situation, [sessions, &archived], courses),
            arriving: None,
            action: Action::DeleteDependants { still: still_inactive(situation, [sessions, &archived], courses) },
            by_age: false,
        });
    }
    rules
}

/// A learner who was not seen since the cutoff, and of whom something is left.
fn inactive(situation: &Situation<'_>, sessions: [&Relation; 2], courses: &Relation) -> Condition {
    let bases = Relation::plain(own_table("tierkeep_base"), &[ident("user_id")]);
    let mut any = vec![sessions[0], courses];
    if situation.archive.is_some() {
        any.extend([sessions[1], &bases]);
    }
    let left = any.into_iter().map(|relation| of_learner(relation, Condition::All(Vec::new()))).collect();
    still_inactive(situation, sessions, courses).and(Condition::Any(left))
}

/// A row of `relation` about the learner outside, of which more holds.
fn of_learner(relation: &Relation, more: Condition) -> Condition {
    let same = Condition::Compare(Operand::Column("user_id"), Comparison::Equal, Operand::Outer("id"));
    Condition::Exists(relation.clone(), Box::new(same.and(more)))
}

/// A learner who was not seen since the cutoff.
fn still_inactive(situation: &Situation<'_>, sessions: [&Relation; 2], courses: &Relation) -> Condition {
    let cutoff = Operand::Instant(situation.cutoffs.delete.as_microsecond());
    let recent = || Condition::Compare(Operand::Column("start_time"), Comparison::AtLeast, cutoff.clone());
    let seen = Operand::FirstOf(vec![Operand::Column("last_login"), Operand::Column("created_at")]);
    let mut conditions = vec![
        Condition::Same(Operand::Column("is_active"), Operand::False),
        Condition::Compare(seen, Comparison::Less, cutoff.clone()),
        of_learner(sessions[0], recent()).unless(),
    ];
    if situation.archive.is_some() {
        conditions.push(of_learner(sessions[1], recent()).unless());
    }
    if situation.has_exempt {
        for (source, relation) in [
            (Source::StudySessions.name(), sessions[0]),
            (Source::CourseProgress.name(), courses),
            (ARCHIVED, sessions[1]),
        ] {
            conditions.push(of_learner(relation, situation.exempt(source)).unless());
        }
    }
    Condition::All(conditions)
}

fn before(column: &'static str, cutoff: Timestamp) -> Condition {
    Condition::Compare(Operand::Column(column), Comparison::Less, Operand::Instant(cutoff.as_microsecond()))
}

impl Situation<'_> {
    /// That a row of a subject was restored and is still left alone.
    fn exempt(&self, source: &'static str) -> Condition {
        let table = Relation::plain(own_table("tierkeep_exempt"), &["source", "row_key", "until"].map(ident));
        let own = Condition::All(vec![
            Condition::Compare(Operand::Column("source"), Comparison::Equal, Operand::Text(source)),
            Condition::Compare(Operand::Column("row_key"), Comparison::Equal, Operand::OuterText("id")),
            Condition::Compare(
                Operand::Column("until"),
                Comparison::Greater,
                Operand::Instant(self.cutoffs.now.as_microsecond()),
            ),
        ]);
        Condition::Exists(table, Box::new(own))
    }

    /// A live session whose id was restored to the archive stays: without it the other one would begin to count.
    fn unless_hiding(&self, source: &'static str, condition: Condition) -> Condition {
        if source == Source::StudySessions.name() { self.unless_exempt(ARCHIVED, condition) } else { condition }
    }

    fn unless_exempt(&self, source: &'static str, condition: Condition) -> Condition {
        if self.has_exempt { condition.and(self.exempt(source).unless()) } else { condition }
    }
}

fn own_table(name: &str) -> TableName {
    TableName::new(None, ident(name))
}

fn ident(name: &str) -> Ident {
    Ident::new(name).expect("a name of ours is short and has no NUL")
}
