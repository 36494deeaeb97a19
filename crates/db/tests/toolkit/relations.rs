//! Related rows: what belongs to whom, and by how many statements.

use tierkeep_db::relations::{Include, JoinTable, Node, RelatedError, load_related};
use tierkeep_db::{Database, Error, Filter, Ident, Queries, QueryCount, Row, SortColumn, Value};

use crate::fixture::{Bases, relation, rows, run};

/// Schools with users of two-part keys, their sessions, the courses of these, and badges by a table between.
const TABLES: &str = "
    create table users (school integer not null, name varchar(20) not null, mentor varchar(20), primary key (school, name));
    create table sessions (id integer not null primary key, school integer, name varchar(20), course integer, minutes integer);
    create index sessions_owner on sessions (school, name, minutes);
    create table courses (id integer not null primary key, title text);
    create table badges (id integer not null primary key, title text);
    create table holders (school integer, name varchar(20), badge integer);
    insert into users values (1, 'ann', 'bob'), (1, 'bob', null), (2, 'ann', 'nobody'), (2, 'cy \"\\', 'ann');
    insert into courses values (7, 'Rust'), (8, 'SQL');
    insert into sessions values (1, 1, 'ann', 7, 30), (2, 1, 'ann', 8, 10), (3, 2, 'ann', 7, 20), (4, 1, 'ann', 9, 20),
        (5, null, 'ann', 7, 1), (6, 2, 'cy \"\\', null, 5);
    insert into badges values (1, 'early'), (2, 'late');
    insert into holders values (1, 'ann', 2), (1, 'ann', 1), (2, 'ann', 2), (2, 'ann', 2);";

async fn bases() -> Bases {
    let bases = Bases::new().await;
    bases.run(TABLES).await;
    bases
}

fn sessions() -> Include {
    let relation = relation("sessions", &["id", "school", "name", "course", "minutes"]);
    let on = [("school", "school"), ("name", "name")];
    Include::has_many("sessions", relation, &on, vec![SortColumn::ascending("minutes")]).unwrap()
}

fn course() -> Include {
    Include::belongs_to("course", relation("courses", &["id", "title"]), &[("course", "id")]).unwrap()
}

fn badges() -> Include {
    let join = JoinTable {
        table: "holders".parse().unwrap(),
        parent: &[("school", "school"), ("name", "name")],
        child: &[("badge", "id")],
    };
    let order = vec![SortColumn::ascending("title")];
    Include::many_to_many("badges", relation("badges", &["id", "title"]), &join, order).unwrap()
}

fn mentor() -> Include {
    let on = [("school", "school"), ("mentor", "name")];
    Include::belongs_to("mentor", relation("users", &["school", "name", "mentor"]), &on).unwrap()
}

fn ids(nodes: &[Node]) -> Vec<i64> {
    nodes.iter().map(|node| node.row.get("id").unwrap()).collect()
}

async fn users(db: &Database) -> Vec<Row> {
    rows(db, "select school, name, mentor from users order by school, name").await
}

#[tokio::test]
async fn every_parent_has_its_rows_in_order_by_one_statement_for_each_relation() {
    let bases = bases().await;

    for db in &bases.all {
        let counted = QueryCount::new(db);
        let mut parents = users(db).await;
        parents.push(parents[0].clone());
        let nodes = load_related(&counted, parents, &[sessions().nested(course()), badges(), mentor()]).await.unwrap();

        let owned: Vec<Vec<i64>> = nodes.iter().map(|node| ids(node.many("sessions").unwrap())).collect();
        assert_eq!(owned, [vec![2, 4, 1], vec![], vec![3], vec![6], vec![2, 4, 1]]);
        let held: Vec<Vec<i64>> = nodes.iter().map(|node| ids(node.many("badges").unwrap())).collect();
        assert_eq!(held, [vec![1, 2], vec![], vec![2, 2], vec![], vec![1, 2]]);
        let mentors: Vec<Option<String>> = nodes
            .iter()
            .map(|node| node.one("mentor").unwrap().map(|mentor| mentor.row.get("name").unwrap()))
            .collect();
        assert_eq!(mentors, [Some("bob".to_owned()), None, None, Some("ann".to_owned()), Some("bob".to_owned())]);
        let titles: Vec<Option<String>> = nodes[0]
            .many("sessions")
            .unwrap()
            .iter()
            .map(|session| session.one("course").unwrap().map(|course| course.row.get("title").unwrap()))
            .collect();
        assert_eq!(titles, [Some("SQL".to_owned()), None, Some("Rust".to_owned())]);
        assert_eq!(counted.count(), 4, "sessions, courses, badges, mentors");
        counted.at_most(4).unwrap();
    }
}

#[tokio::test]
async fn a_statement_for_each_parent_is_found_by_the_count() {
    let bases = bases().await;

    for db in &bases.all {
        let counted = QueryCount::new(db);
        for parent in users(db).await {
            load_related(&counted, vec![parent], &[badges()]).await.unwrap();
        }
        let refused = counted.at_most(2).unwrap_err();
        assert_eq!((refused.sent, refused.times), (4, 4));
        assert!(refused.statement.contains("holders"), "{}", refused.statement);
    }
}

#[tokio::test]
async fn a_limit_holds_for_each_parent() {
    let bases = bases().await;

    for db in &bases.all {
        let includes = [sessions().limit(2), badges().limit(1)];
        let nodes = load_related(db, users(db).await, &includes).await.unwrap();

        let owned: Vec<Vec<i64>> = nodes.iter().map(|node| ids(node.many("sessions").unwrap())).collect();
        assert_eq!(owned, [vec![2, 4], vec![], vec![3], vec![6]]);
        let held: Vec<Vec<i64>> = nodes.iter().map(|node| ids(node.many("badges").unwrap())).collect();
        assert_eq!(held, [vec![1], vec![], vec![2], vec![]]);
    }
}

#[tokio::test]
async fn more_parents_than_a_statement_has_parameters_are_one_statement() {
    let bases = Bases::new().await;
    bases.run("create table c (id integer not null primary key, p integer); create index c_p on c (p)").await;
    run(bases.postgres(), "insert into c select i, i / 2 from generate_series(0, 79999) as i").await;
    let series = "with recursive s (i) as (select 0 union all select i + 1 from s where i < 79999)";
    run(bases.sqlite(), &[series, " insert into c select i, i / 2 from s"].concat()).await;
    let parents: Vec<Row> = (0..50_000_i64).map(|id| Row::new(["id"], [Value::Integer(id)])).collect();
    let children = || {
        let order = vec![SortColumn::descending("id")];
        Include::has_many("children", relation("c", &["id", "p"]), &[("id", "p")], order).unwrap()
    };

    for db in &bases.all {
        let counted = QueryCount::new(db);
        let nodes = load_related(&counted, parents.clone(), &[children()]).await.unwrap();
        counted.at_most(1).unwrap();
        for (id, node) in (0_i64..).zip(&nodes) {
            let expected = if id < 40_000 { vec![2 * id + 1, 2 * id] } else { vec![] };
            assert_eq!(ids(node.many("children").unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn nothing_is_asked_for_nobody() {
    let bases = bases().await;

    for db in &bases.all {
        let counted = QueryCount::new(db);
        assert!(load_related(&counted, Vec::new(), &[sessions(), mentor()]).await.unwrap().is_empty());
        let alone = Row::new(["school", "name", "mentor"], [Value::Integer(1), "bob".into(), Value::Null]);
        let nodes = load_related(&counted, vec![alone], &[mentor()]).await.unwrap();
        assert_eq!(nodes[0].one("mentor").unwrap(), None);
        counted.at_most(0).unwrap();
    }
}

#[tokio::test]
async fn relations_that_cannot_be_are_refused() {
    let bases = bases().await;
    let courses = || relation("courses", &["id", "title"]);
    let related = |error: Error| match error {
        Error::Related(error) => error,
        other => panic!("{other:?}"),
    };

    let unordered = Include::has_many("c", courses(), &[("course", "id")], Vec::new()).unwrap_err();
    assert!(matches!(related(unordered), RelatedError::NoOrder { .. }));
    let keyless = Include::has_one("c", courses(), &[]).unwrap_err();
    assert!(matches!(related(keyless), RelatedError::NoKey { .. }));
    let unknown = Include::has_one("c", courses(), &[("course", "idd")]).unwrap_err();
    assert_eq!(unknown.to_string(), "\"courses\" has no column `idd`, did you mean `id`?");
    for db in &bases.all {
        let twice = load_related(db, users(db).await, &[mentor(), mentor()]).await.unwrap_err();
        assert!(matches!(related(twice), RelatedError::NameTwice { .. }));
        let on = [("school", "school"), ("name", "name")];
        let one = Include::has_one("session", relation("sessions", &["id", "school", "name"]), &on).unwrap();
        let several = load_related(db, users(db).await, &[one]).await.unwrap_err();
        assert!(matches!(related(several), RelatedError::Several { .. }));
        let nodes = load_related(db, users(db).await, &[mentor()]).await.unwrap();
        let wanted = nodes[0].many("mentor").unwrap_err();
        assert_eq!(wanted.to_string(), "no relation to many rows called `mentor` was loaded, there are: mentor");
        let lacking = load_related(db, rows(db, "select school from users").await, &[mentor()]).await.unwrap_err();
        assert!(matches!(lacking, Error::Value(_)), "{lacking}");
    }
}

#[tokio::test]
async fn lists_in_filters_and_keys_agree_on_what_a_text_is() {
    let bases = bases().await;
    let odd = "cy \"\\";

    for db in &bases.all {
        let selection = tierkeep_db::Selection::of(relation("users", &["school", "name", "mentor"]))
            .filter(Filter::within("name", [odd]))
            .unwrap();
        let order = vec![SortColumn::ascending("name")];
        let listing = tierkeep_db::offset::Listing::new(selection, order).unwrap();
        let first = tierkeep_db::offset::PageNumber::new(1).unwrap();
        let page = listing.load(db, first, tierkeep_db::PageSize::default()).await.unwrap();
        let nodes = load_related(db, page.items, &[sessions()]).await.unwrap();
        assert_eq!(ids(nodes[0].many("sessions").unwrap()), [6]);
        assert_eq!(db.dialect(), Queries::dialect(&QueryCount::new(db)));
        assert!(Ident::new(odd).is_ok());
    }
}
