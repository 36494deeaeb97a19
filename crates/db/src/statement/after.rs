//! The rows after a key, in a shape that both planners read from an index.
//!
//! "After (x, y)" is `a > x or (a = x and b > y)`, of which planners make a filter that reads everything before the page. So
//! it is written
//!
//! - as a row value, `(a, b) > (x, y)`, as long as columns go the same way and are never null. PostgreSQL only: SQLite uses
//!   no more than the first column of it where one of them is the row number, and reads all ties before the page;
//! - else as one range for each way in which a row can lie after the key: equal in the first columns and beyond it in the
//!   next one. Ranges do not overlap; on PostgreSQL each has an order and a limit of its own, and so reads at most a page of
//!   an index, and SQLite walks them side by side. Nulls are ranges of their own.

use super::selection::{Composer, Nulls, Selection, SelectionError, SortColumn, quoted};
use super::{Dialect, Direction};
use crate::Value;
use crate::asking::{BoundSql, Param};

/// A column of the key with its value, if the page starts at one.
pub(crate) struct KeyColumn<'a> {
    pub(crate) sort: &'a SortColumn,
    pub(crate) value: Option<&'a Value>,
}

/// One page by key.
pub(crate) struct KeysetShape<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) columns: Vec<KeyColumn<'a>>,
    /// Whether rows are read from the end to the beginning.
    pub(crate) is_backward: bool,
    /// Whether the row of the key itself counts.
    pub(crate) is_inclusive: bool,
    /// Most rows.
    pub(crate) limit: u32,
}

/// A column on its way: where it stands, which way it is walked, and its value.
struct Step<'a> {
    expression: String,
    name: String,
    direction: Direction,
    nulls: Nulls,
    value: Option<&'a Value>,
    /// What stands for the value; none for null and where there is no key.
    place: Option<String>,
}

impl KeysetShape<'_> {
    /// Selects the page in the order of walking. The last column says whether there are rows on the other side of the key;
    /// it is null without a key.
    pub(crate) fn page(&self, dialect: Dialect) -> Result<BoundSql, SelectionError> {
        let mut composer = Composer::new(dialect, self.selection)?;
        let filter = composer.filter()?;
        let steps = self.steps(&mut composer, self.is_backward)?;
        let columns = composer.columns()?;
        let source = composer.source();
        let Some(ranges) = self.ranges(dialect, &steps, self.is_inclusive) else {
            let order = order_of(&steps, |step| &step.expression);
            let limit = self.limit;
            let sql = format!("select {columns}, null from {source} where {filter} order by {order} limit {limit}");
            return Ok(composer.finish(sql));
        };
        let behind = self.behind(&composer, &filter, &steps)?;
        let (order, limit) = (order_of(&steps, |step| &step.name), self.limit);
        let sql = match dialect {
            Dialect::Postgres => {
                let page = union(&columns, &source, &filter, &ranges, &steps, limit);
                format!("select u.*, exists ({behind}) from ({page}) as u order by {order} limit {limit}")
            }
            Dialect::Sqlite => {
                let columns = format!("{columns}, exists ({behind})");
                merged(&columns, &source, &filter, &ranges, &order, limit)
            }
        };
        Ok(composer.finish(sql))
    }

    /// Selects one row if there are any on the other side of the key, which is for pages without rows.
    pub(crate) fn other_side(&self, dialect: Dialect) -> Result<BoundSql, SelectionError> {
        let mut composer = Composer::new(dialect, self.selection)?;
        let filter = composer.filter()?;
        let steps = self.steps(&mut composer, self.is_backward)?;
        let behind = self.behind(&composer, &filter, &steps)?;
        Ok(composer.finish(behind))
    }

    fn steps(&self, composer: &mut Composer<'_>, is_reversed: bool) -> Result<Vec<Step<'_>>, SelectionError> {
        self.columns
            .iter()
            .map(|column| {
                let sort = column.sort;
                let expression = composer.column(&sort.column)?;
                let value = column.value.filter(|value| !value.is_null());
                let place = value.map(|value| composer.bind(Param::One(value.clone())));
                let (direction, nulls) = match is_reversed {
                    false => (sort.direction, sort.nulls),
                    true => (sort.direction.reversed(), sort.nulls.reversed()),
                };
                let name = quoted(&sort.column);
                Ok(Step { expression, name, direction, nulls, value: column.value, place })
            })
            .collect()
    }

    /// The nearest row at the other side of the key, the key's own row included if the page begins after it.
    fn behind(&self, composer: &Composer<'_>, filter: &str, steps: &[Step<'_>]) -> Result<String, SelectionError> {
        let back: Vec<Step<'_>> = steps
            .iter()
            .map(|step| Step {
                expression: step.expression.clone(),
                name: step.name.clone(),
                direction: step.direction.reversed(),
                nulls: step.nulls.reversed(),
                value: step.value,
                place: step.place.clone(),
            })
            .collect();
        let ranges = self.ranges(composer.dialect, &back, !self.is_inclusive).unwrap_or_default();
        // with an order, so that the planner begins at the key, where the first row is usually found
        Ok(union("1", &composer.source(), filter, &ranges, &back, 1))
    }

    /// One condition for each way to lie after the key, the nearest first; `None` without a key.
    fn ranges(&self, dialect: Dialect, steps: &[Step<'_>], is_inclusive: bool) -> Option<Vec<String>> {
        let mut ranges = Vec::new();
        let mut equal: Vec<String> = Vec::new();
        let mut rest = steps;
        let mut includes_key = false;
        while let Some(first) = rest.first() {
            first.value?;
            let mut range = |condition: String| {
                let all: Vec<&str> = equal.iter().map(String::as_str).chain([condition.as_str()]).collect();
                ranges.push(all.join(" and "));
            };
            let beyond = match first.direction {
                Direction::Ascending => ">",
                Direction::Descending => "<",
            };
            let run = run_length(dialect, rest);
            let is_last = run == rest.len();
            if run > 0 {
                includes_key = is_inclusive && is_last;
                let sign = if includes_key { format!("{beyond}=") } else { beyond.to_owned() };
                range(format!(
                    "{} {sign} {}",
                    row(rest[..run].iter().map(|step| step.expression.as_str())),
                    row(rest[..run].iter().filter_map(|step| step.place.as_deref()))
                ));
            } else {
                let expression = &first.expression;
                match (&first.place, first.nulls) {
                    (Some(place), Nulls::Last) => {
                        range(format!("{expression} {beyond} {place}"));
                        range(format!("{expression} is null"));
                    }
                    (Some(place), Nulls::First | Nulls::Never) => range(format!("{expression} {beyond} {place}")),
                    (None, Nulls::First) => range(format!("{expression} is not null")),
                    (None, Nulls::Last | Nulls::Never) => {}
                }
            }
            let passed = run.max(1);
            equal.extend(rest[..passed].iter().map(|step| match &step.place {
                Some(place) => format!("{} = {place}", step.expression),
                None => format!("{} is null", step.expression),
            }));
            rest = &rest[passed..];
        }
        if is_inclusive && !includes_key {
            ranges.push(equal.join(" and "));
        }
        // what is equal in more columns is nearer
        ranges.reverse();
        Some(ranges)
    }
}

/// How many of the first columns go the same way and are never null.
fn run_length(dialect: Dialect, steps: &[Step<'_>]) -> usize {
    let Some(first) = steps.first() else { return 0 };
    let most = if dialect == Dialect::Postgres { steps.len() } else { 1 };
    let fits =
        |step: &&Step<'_>| step.nulls == Nulls::Never && step.place.is_some() && step.direction == first.direction;
    steps.iter().take(most).take_while(fits).count()
}

/// `a` or `(a, b)`.
fn row<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.collect();
    if let [one] = parts.as_slice() { (*one).to_owned() } else { format!("({})", parts.join(", ")) }
}

fn order_of<'a>(steps: &'a [Step<'a>], name: impl Fn(&'a Step<'a>) -> &'a String) -> String {
    let parts: Vec<String> =
        steps.iter().map(|step| format!("{} {}{}", name(step), step.direction.word(), step.nulls.words())).collect();
    parts.join(", ")
}

/// The rows of all ranges in one order, for SQLite: it walks the ranges side by side and stops at the limit. The order is by
/// the names of the columns, as it must be of a compound statement there.
fn merged(columns: &str, source: &str, filter: &str, ranges: &[String], order: &str, limit: u32) -> String {
    let part = |range: &str| format!("select {columns} from {source} where {range} and {filter}");
    let parts: Vec<String> = ranges.iter().map(|range| part(range)).collect();
    if parts.is_empty() {
        return part("false");
    }
    format!("{} order by {order} limit {limit}", parts.join(" union all "))
}

/// The rows of all ranges, at most `limit` of each.
fn union(columns: &str, source: &str, filter: &str, ranges: &[String], steps: &[Step<'_>], limit: u32) -> String {
    if ranges.is_empty() {
        return format!("select {columns} from {source} where false");
    }
    let order = order_of(steps, |step| &step.expression);
    let parts: Vec<String> = ranges
        .iter()
        .map(|range| {
            format!("select {columns} from {source} where {range} and {filter} order by {order} limit {limit}")
        })
        .collect();
    if let [one] = parts.as_slice() {
        return one.clone();
    }
    let parts: Vec<String> = parts.iter().map(|part| format!("select * from ({part}) as r")).collect();
    parts.join(" union all ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Comparison, Filter, Ident, Relation};

    fn shown(dialect: Dialect, columns: &[(SortColumn, Value)], is_inclusive: bool) -> String {
        let names = ["a", "b", "id"].map(|name| Ident::new(name).unwrap());
        let selection = Selection::of(Relation::plain("t".parse().unwrap(), &names))
            .filter(Filter::compare("b", Comparison::Less, 9_i64))
            .unwrap();
        let columns = columns.iter().map(|(sort, value)| KeyColumn { sort, value: Some(value) }).collect();
        let shape = KeysetShape { selection: &selection, columns, is_backward: false, is_inclusive, limit: 3 };
        let steps = shape.steps(&mut Composer::new(dialect, &selection).unwrap(), false).unwrap();
        shape.ranges(dialect, &steps, is_inclusive).unwrap().join(" | ")
    }

    fn never(column: SortColumn) -> SortColumn {
        column.nulls(Nulls::Never)
    }

    #[test]
    fn columns_that_go_the_same_way_are_one_row_value() {
        let key = [(never(SortColumn::descending("a")), 1.into()), (never(SortColumn::descending("id")), 2.into())];

        assert_eq!(shown(Dialect::Postgres, &key, false), "(t.\"a\", t.\"id\") < ($1, $2)");
        assert_eq!(shown(Dialect::Postgres, &key, true), "(t.\"a\", t.\"id\") <= ($1, $2)");
        assert_eq!(shown(Dialect::Sqlite, &key, true), "t.\"a\" = ?1 and t.\"id\" <= ?2 | t.\"a\" < ?1");
    }

    #[test]
    fn other_directions_and_nulls_are_ranges_of_their_own() {
        let mixed = [(never(SortColumn::ascending("a")), 1.into()), (never(SortColumn::descending("id")), 2.into())];
        assert_eq!(shown(Dialect::Postgres, &mixed, false), "t.\"a\" = $1 and t.\"id\" < $2 | t.\"a\" > $1");

        let id = || (never(SortColumn::ascending("id")), Value::from(2));
        let last = [(SortColumn::ascending("a"), 1.into()), id()];
        assert_eq!(
            shown(Dialect::Postgres, &last, false),
            "t.\"a\" = $1 and t.\"id\" > $2 | t.\"a\" is null | t.\"a\" > $1"
        );
        let null = [(SortColumn::ascending("a"), Value::Null), id()];
        assert_eq!(shown(Dialect::Postgres, &null, false), "t.\"a\" is null and t.\"id\" > $1");
        let first = [(SortColumn::descending("a").nulls(Nulls::First), Value::Null), id()];
        assert_eq!(shown(Dialect::Postgres, &first, false), "t.\"a\" is null and t.\"id\" > $1 | t.\"a\" is not null");
    }
}
