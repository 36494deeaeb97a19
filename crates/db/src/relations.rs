//! Rows with what belongs to them: k relations of any number of parents in k statements.
//!
//! Parents are rows that were loaded by any means. For each relation, the distinct keys of all parents go to the database as
//! one array (PostgreSQL) or one JSON document (SQLite), so that 100,000 parents are one statement as well; relations of
//! related rows are one statement for each level. A parent without related rows has an empty list or none; parents with the
//! same key have the same related rows; a parent whose key has a null has none.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::statement::{ChildrenShape, Through};
use crate::{Error, Ident, Queries, Relation, Row, Selection, SortColumn, TableName, Value};

/// A relation to be loaded.
///
/// Keys are compared as the kind of value that the parent has: a `citext` column on the child's side is compared as text.
///
/// # Examples
///
/// ```
/// use tierkeep_db::raw::{Params, Raw};
/// use tierkeep_db::relations::{Include, load_related};
/// use tierkeep_db::{Database, Dialect, Error, Ident, QueryCount, Queries, Relation, SortColumn};
/// use tierkeep_db::{SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// # let file = SqlitePath::new(directory.path().join("a.db"));
/// let sqlite = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
/// sqlite
///     .write(|tx| {
///         Ok::<_, Error>(tx.execute_batch(
///             "create table users (id integer primary key);
///              create table sessions (id integer primary key, user_id integer, minutes integer);
///              insert into users values (1), (2);
///              insert into sessions values (10, 1, 45), (11, 1, 30)",
///         )?)
///     })
///     .await?;
/// let db = Database::Sqlite(sqlite);
/// let counted = QueryCount::new(&db);
///
/// let columns = ["id", "user_id", "minutes"].map(|name| Ident::new(name).expect("a name"));
/// let sessions = Relation::plain("sessions".parse()?, &columns);
/// let include = Include::has_many("sessions", sessions, &[("id", "user_id")], vec![SortColumn::ascending("minutes")])?;
///
/// let users = Raw::new(Dialect::Sqlite, "select id from users order by id", Params::none())?;
/// let users = load_related(&counted, counted.query(users.statement()).await?, &[include]).await?;
///
/// assert_eq!(users[0].many("sessions")?[0].row.get::<i64>("minutes")?, 30);
/// assert!(users[1].many("sessions")?.is_empty());
/// counted.at_most(2)?;
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Include {
    name: Arc<str>,
    relation: Relation,
    /// Columns of the parent, and of the child or of the table between that have the same values.
    on: Vec<(String, String)>,
    between: Option<Between>,
    order: Vec<SortColumn>,
    limit: Option<u32>,
    is_one: bool,
    nested: Vec<Include>,
}

#[derive(Debug, Clone)]
struct Between {
    table: TableName,
    on: Vec<(Ident, String)>,
}

/// The table between two others of which each row has several of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTable<'a> {
    /// The table.
    pub table: TableName,
    /// Columns of the parent, and of the table that have the same values.
    pub parent: &'a [(&'a str, &'a str)],
    /// Columns of the table, and of the child that have the same values.
    pub child: &'a [(&'a str, &'a str)],
}

/// A row with what was loaded for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The row.
    pub row: Row,
    related: Vec<(Arc<str>, Related)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Related {
    Many(Vec<Node>),
    One(Option<Box<Node>>),
}

/// Why related rows cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelatedError {
    /// A relation to many rows has no order.
    #[error("relation `{relation}` has no order of its rows, at least one column is needed")]
    NoOrder {
        /// Its name.
        relation: String,
    },
    /// A relation says no columns by which rows belong together.
    #[error("relation `{relation}` says no columns by which rows belong together, at least one pair is needed")]
    NoKey {
        /// Its name.
        relation: String,
    },
    /// Two relations of the same rows have the same name.
    #[error("two relations are called `{relation}`")]
    NameTwice {
        /// The name.
        relation: String,
    },
    /// A relation to one row has found several.
    #[error(
        "relation `{relation}` is to one row and has found several: load it as many, with a limit of 1 and an order"
    )]
    Several {
        /// Its name.
        relation: String,
    },
    /// A relation was asked for that was not loaded, or that is of the other sort.
    #[error("no relation to {wanted} called `{relation}` was loaded, there are: {known}")]
    NotLoaded {
        /// The name.
        relation: String,
        /// `many rows` or `one row`.
        wanted: &'static str,
        /// The names of those that were.
        known: String,
    },
}

impl Include {
    /// The rows whose columns have the values of columns of the parent: pairs of a parent's and a child's column.
    ///
    /// # Errors
    ///
    /// [`RelatedError::NoOrder`] and [`RelatedError::NoKey`];
    /// [`SelectionError::UnknownColumn`](crate::SelectionError::UnknownColumn).
    pub fn has_many(
        name: &str,
        relation: Relation,
        on: &[(&str, &str)],
        order: Vec<SortColumn>,
    ) -> Result<Self, Error> {
        if order.is_empty() {
            return Err(RelatedError::NoOrder { relation: name.to_owned() }.into());
        }
        Self { order, ..Self::new(name, relation, on) }.checked()
    }

    /// The one row whose columns have the values of columns of the parent, if there is one; several are an error.
    ///
    /// # Errors
    ///
    /// As [`has_many`](Self::has_many).
    pub fn has_one(name: &str, relation: Relation, on: &[(&str, &str)]) -> Result<Self, Error> {
        Self { is_one: true, ..Self::new(name, relation, on) }.checked()
    }

    /// The row that the parent refers to, if it does and the row is there: pairs of the parent's referring column and the
    /// column that it refers to.
    ///
    /// # Errors
    ///
    /// As [`has_many`](Self::has_many).
    pub fn belongs_to(name: &str, relation: Relation, on: &[(&str, &str)]) -> Result<Self, Error> {
        Self::has_one(name, relation, on)
    }

    /// The rows that a table between connects with the parent, as often as it does.
    ///
    /// # Errors
    ///
    /// As [`has_many`](Self::has_many), and [`Error::Statement`] for a name that is none.
    pub fn many_to_many(
        name: &str,
        relation: Relation,
        join: &JoinTable<'_>,
        order: Vec<SortColumn>,
    ) -> Result<Self, Error> {
        if order.is_empty() {
            return Err(RelatedError::NoOrder { relation: name.to_owned() }.into());
        }
        let on = join.child.iter().map(|(between, child)| Ok((Ident::new(between)?, (*child).to_owned())));
        let between = Between { table: join.table.clone(), on: on.collect::<Result<Vec<_>, Error>>()? };
        for (_, column) in join.parent {
            Ident::new(column)?;
        }
        if between.on.is_empty() {
            return Err(RelatedError::NoKey { relation: name.to_owned() }.into());
        }
        Self { order, between: Some(between), ..Self::new(name, relation, join.parent) }.checked()
    }

    fn new(name: &str, relation: Relation, on: &[(&str, &str)]) -> Self {
        Self {
            name: name.into(),
            relation,
            on: on.iter().map(|(parent, child)| ((*parent).to_owned(), (*child).to_owned())).collect(),
            between: None,
            order: Vec::new(),
            limit: None,
            is_one: false,
            nested: Vec::new(),
        }
    }

    fn checked(self) -> Result<Self, Error> {
        if self.on.is_empty() {
            return Err(RelatedError::NoKey { relation: self.name.to_string() }.into());
        }
        let selection = Selection::of(self.relation.clone());
        self.order.iter().try_for_each(|sort| selection.check_column(&sort.column))?;
        match &self.between {
            None => self.on.iter().try_for_each(|(_, child)| selection.check_column(child))?,
            Some(between) => between.on.iter().try_for_each(|(_, child)| selection.check_column(child))?,
        }
        Ok(self)
    }

    /// At most so many rows for each parent, the first in the order. With an index over the key and the order PostgreSQL
    /// reads no others; SQLite numbers all of them.
    #[must_use]
    pub fn limit(mut self, rows: u32) -> Self {
        self.limit = Some(rows);
        self
    }

    /// What is to be loaded for the related rows in turn.
    #[must_use]
    pub fn nested(mut self, include: Self) -> Self {
        self.nested.push(include);
        self
    }
}

/// Loads relations of rows that are there already: one statement for each relation, and one for each nested one.
///
/// # Errors
///
/// [`Error::Related`]; [`Error::Value`] if the parents lack a column of a key; what the database says.
pub async fn load_related<Q: Queries>(db: &Q, rows: Vec<Row>, includes: &[Include]) -> Result<Vec<Node>, Error> {
    for (place, include) in includes.iter().enumerate() {
        if includes[..place].iter().any(|before| before.name == include.name) {
            return Err(RelatedError::NameTwice { relation: include.name.to_string() }.into());
        }
    }
    let mut nodes: Vec<Node> =
        rows.into_iter().map(|row| Node { row, related: Vec::with_capacity(includes.len()) }).collect();
    for include in includes {
        let (keys, places) = distinct_keys(&nodes, include)?;
        let groups = load_groups(db, include, &keys).await?;
        for (node, place) in nodes.iter_mut().zip(places) {
            let group = place.map_or(&[] as &[Node], |place| groups[place].as_slice());
            let related = match (include.is_one, group) {
                (false, group) => Related::Many(group.to_vec()),
                (true, []) => Related::One(None),
                (true, [one]) => Related::One(Some(Box::new(one.clone()))),
                (true, _) => return Err(RelatedError::Several { relation: include.name.to_string() }.into()),
            };
            node.related.push((Arc::clone(&include.name), related));
        }
    }
    Ok(nodes)
}

/// The values of the columns of a key.
type Key = Vec<Value>;

/// The keys of all parents without repetition, and for each parent the place of its key, if it has one without nulls.
fn distinct_keys(nodes: &[Node], include: &Include) -> Result<(Vec<Key>, Vec<Option<usize>>), Error> {
    let mut seen: HashMap<Vec<Vec<u8>>, usize> = HashMap::new();
    let mut keys = Vec::new();
    let mut places = Vec::with_capacity(nodes.len());
    for node in nodes {
        let parts = include.on.iter().map(|(parent, _)| node.row.value(parent));
        let key: Vec<&Value> = parts.collect::<Result<_, _>>()?;
        if key.iter().any(|part| part.is_null()) {
            places.push(None);
            continue;
        }
        let place = *seen.entry(key.iter().map(|part| part.identity()).collect()).or_insert(keys.len());
        if place == keys.len() {
            keys.push(key.into_iter().cloned().collect());
        }
        places.push(Some(place));
    }
    Ok((keys, places))
}

/// The rows that belong to one key.
type Group = Vec<Node>;

/// The related rows of each key, with what is nested in them.
fn load_groups<'a, Q: Queries>(
    db: &'a Q,
    include: &'a Include,
    keys: &'a [Key],
) -> Pin<Box<dyn Future<Output = Result<Vec<Group>, Error>> + Send + 'a>> {
    // boxed, as relations are nested
    Box::pin(async move {
        let mut groups: Vec<Group> = keys.iter().map(|_| Vec::new()).collect();
        if keys.is_empty() {
            return Ok(groups);
        }
        let columns: Vec<String> = include.on.iter().map(|(_, child)| child.clone()).collect();
        let shape = ChildrenShape {
            relation: &include.relation,
            columns: &columns,
            through: include.between.as_ref().map(|between| Through { table: &between.table, on: &between.on }),
            order: &include.order,
            limit: include.limit,
        };
        let rows = db.query(&shape.children(db.dialect(), keys)??).await?;
        let Some(first) = rows.first() else { return Ok(groups) };
        let names: Arc<[String]> = first.columns()[..first.columns().len() - 1].into();
        let mut owners = Vec::with_capacity(rows.len());
        let mut children = Vec::with_capacity(rows.len());
        for row in rows {
            let (row, owner) = row.split_last(&names);
            let owner = match owner {
                Some(Value::Integer(place)) => usize::try_from(place).ok().filter(|place| *place < groups.len()),
                _ => None,
            };
            owners.push(owner.expect("the statement returns places of keys that it was given"));
            children.push(row);
        }
        let children = load_related(db, children, &include.nested).await?;
        for (owner, child) in owners.into_iter().zip(children) {
            groups[owner].push(child);
        }
        Ok(groups)
    })
}

impl Node {
    /// The rows of a relation to many.
    ///
    /// # Errors
    ///
    /// [`RelatedError::NotLoaded`]
    pub fn many(&self, relation: &str) -> Result<&[Self], RelatedError> {
        match self.find(relation) {
            Some(Related::Many(nodes)) => Ok(nodes),
            _ => Err(self.not_loaded(relation, "many rows")),
        }
    }

    /// The row of a relation to one, if there is one.
    ///
    /// # Errors
    ///
    /// [`RelatedError::NotLoaded`]
    pub fn one(&self, relation: &str) -> Result<Option<&Self>, RelatedError> {
        match self.find(relation) {
            Some(Related::One(node)) => Ok(node.as_deref()),
            _ => Err(self.not_loaded(relation, "one row")),
        }
    }

    fn find(&self, relation: &str) -> Option<&Related> {
        self.related.iter().find(|(name, _)| **name == *relation).map(|(_, related)| related)
    }

    fn not_loaded(&self, relation: &str, wanted: &'static str) -> RelatedError {
        let known = self.related.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
        RelatedError::NotLoaded { relation: relation.to_owned(), wanted, known }
    }
}
