//! How many rows go by each rule: one pass over each table.

use std::collections::BTreeMap;

use tierkeep_db::{Comparison, Condition, Operand};

use crate::error::RetentionError;
use crate::rule::{Action, Policy, Rule, Subject};
use crate::statements::{Found, fill, statement};

/// The rows of a subject that go by one rule, or by none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The rule, by its place in the policy.
    pub(crate) rule: Option<usize>,
    /// The rule by which they go on from where the first one puts them.
    pub(crate) onward: Option<usize>,
    pub(crate) rows: u64,
    /// The smallest and the largest key, of rules that few rows go by.
    pub(crate) samples: Vec<String>,
    pub(crate) first_age: Option<String>,
    pub(crate) last_age: Option<String>,
}

/// Codes of rows that go on: first rule × this + second rule.
const ONWARD: i64 = 1000;

/// The statement that counts a subject's rows.
pub(crate) fn counting(policy: &Policy, found: &Found<'_>) -> Result<String, RetentionError> {
    let mut code = String::from("case");
    let mut scarce = Vec::new();
    for (number, rule) in rules_of(policy, found.subject) {
        let onward = onward(policy, number, rule);
        let then = if onward.is_empty() {
            number.to_string()
        } else {
            let mut then = String::from("case");
            for next in onward {
                let next_rule = &policy.rules[next];
                let condition = found.condition(next_rule.arriving.as_ref().unwrap_or(&next_rule.condition))?;
                then.push_str(&format!(" when {condition} then {}", (number as i64 + 1) * ONWARD + next as i64));
            }
            format!("{then} else {number} end")
        };
        code.push_str(&format!(" when {} then {then}", found.of_rule(rule, &rule.condition)?));
        if matches!(rule.action, Action::Quarantine { .. }) {
            scarce.push(number.to_string());
        }
    }
    let code = if code == "case" { "-1".to_owned() } else { format!("{code} else -1 end") };
    let sample = if scarce.is_empty() {
        "cast(null as text)".to_owned()
    } else {
        format!("case when {code} in ({}) then cast(t.{} as text) end", scarce.join(", "), found.key())
    };
    let age = match found.subject.age {
        Some(_) => found.age("t")?,
        None => "cast(null as text)".to_owned(),
    };
    Ok(fill(
        statement!(found.dialect, "count"),
        &[("table", &found.table()), ("code", &code), ("sample", &sample), ("age", &age)],
    ))
}

/// The rules about a subject with their places in the policy.
fn rules_of<'a>(policy: &'a Policy, subject: &Subject) -> impl Iterator<Item = (usize, &'a Rule)> {
    let name = subject.name;
    policy.rules.iter().enumerate().filter(move |(_, rule)| rule.subject == name)
}

/// Later rules that rows meet where this rule puts them.
fn onward(policy: &Policy, number: usize, rule: &Rule) -> Vec<usize> {
    let Action::Archive { into, .. } = &rule.action else { return Vec::new() };
    let later = policy.rules.iter().enumerate().skip(number + 1);
    later.filter(|(_, next)| next.subject == *into).map(|(next, _)| next).collect()
}

impl Counted {
    pub(crate) fn new(code: i64, rows: i64, samples: [Option<String>; 2], ages: [Option<String>; 2]) -> Self {
        let place = |code: i64| usize::try_from(code).ok();
        let (rule, onward) =
            if code >= ONWARD { (place(code / ONWARD - 1), place(code % ONWARD)) } else { (place(code), None) };
        let mut samples: Vec<String> = samples.into_iter().flatten().collect();
        samples.dedup();
        let [first_age, last_age] = ages;
        Self { rule, onward, rows: u64::try_from(rows).unwrap_or(0), samples, first_age, last_age }
    }
}

/// The statement that counts rows of `child` that go with rows of a rule's subject, and by no rule of their own.
pub(crate) fn counting_dependants(
    policy: &Policy,
    rule: &Rule,
    child: &Found<'_>,
    column: &tierkeep_db::Ident,
) -> Result<Option<String>, RetentionError> {
    let parent = policy.subject(rule.subject);
    let (Some(key), Some(reference)) = (logical(parent, &parent.key), logical(child.subject, column)) else {
        return Ok(None);
    };
    let own: Vec<Condition> = rules_of(policy, child.subject).map(|(_, rule)| rule.condition.clone()).collect();
    let goes = Condition::Exists(
        parent.relation.clone(),
        Box::new(
            Condition::Compare(Operand::Column(key), Comparison::Equal, Operand::Outer(reference))
                .and(rule.condition.clone()),
        ),
    );
    let condition = goes.and(Condition::Any(own).unless());
    let (table, condition) = (child.table(), child.condition(&condition)?);
    let places = [("table", table.as_str()), ("condition", &condition)];
    Ok(Some(fill(statement!(child.dialect, "count_belonging"), &places)))
}

/// What a column of a subject is called in conditions.
fn logical(subject: &Subject, column: &tierkeep_db::Ident) -> Option<&'static str> {
    let named = subject.exported.iter().map(|(name, _)| *name);
    let named: BTreeMap<&str, &'static str> = named.map(|name| (name, name)).collect();
    let found = subject.relation.columns().find(|(_, expression)| expression.reads() == Some(column));
    found.and_then(|(name, _)| named.get(name).copied())
}
