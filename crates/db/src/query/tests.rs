use proptest::prelude::*;

use super::*;
use crate::Ident;
use crate::statement::{KeyFunction, Keyed};

fn parse(sql: &str) -> Result<Query, QueryError> {
    Query::parse(Dialect::Postgres, sql)
}

fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

fn schema(dialect: Dialect) -> Schema {
    let (main, idents) = (ident("main"), |names: &str| names.split(' ').map(ident).collect::<Vec<_>>());
    Schema::new(dialect, &[ident("main")])
        .table(&main, &ident("orders"), &idents("id customer state total placed note"))
        .table(&main, &ident("customers"), &idents("id name email city"))
        .table(&main, &ident("Odd"), &idents("select Name"))
        .view(
            &main,
            &ident("open_orders"),
            &idents("number who"),
            "select id, customer from orders where state = 'open';",
        )
}

fn read(sql: &str) -> Reading {
    parse(sql).unwrap().read(&schema(Dialect::Postgres)).unwrap()
}

/// `table: column test, …` for each scan, which is easier to compare.
fn shown(reading: &Reading) -> Vec<String> {
    let key = |keyed: &Keyed| match keyed {
        Keyed::Column(column) => column.to_string(),
        Keyed::Function(function, column) => format!("{}({column})", function.name()),
    };
    reading
        .scans
        .iter()
        .map(|scan| {
            let mut filters: Vec<String> =
                scan.filters.iter().map(|filter| format!("{} {:?}", key(&filter.on), filter.test)).collect();
            filters.sort();
            filters.dedup();
            format!("{}: {}", scan.table.name(), filters.join(", "))
        })
        .collect()
}

#[test]
fn one_statement_is_accepted_whatever_its_literals_hold() {
    for sql in [
        "select ';' ",
        "select 1;",
        "select 1; -- and no more; really",
        "/* a; b */ select $$;$$ ;",
        "select E'\\';' ; ;",
        "select 1 as \"a;b\"",
    ] {
        assert_eq!(parse(sql).map(|query| query.kind()), Ok(Kind::Select), "{sql}");
    }
}

#[test]
fn several_statements_are_refused_with_the_place_of_the_second() {
    assert_eq!(parse("select 1;\n  drop table t").unwrap_err(), QueryError::Several { line: 2, column: 3 });
    assert_eq!(parse(" -- nothing\n ; ").unwrap_err(), QueryError::Empty);
}

#[test]
fn what_is_not_understood_is_named_with_its_place() {
    let QueryError::Syntax { line, column, message } = parse("select 1\nfrom t group 5").unwrap_err() else {
        panic!("another error");
    };

    assert_eq!(line, 2);
    assert_eq!(column, 8);
    assert!(message.contains("found: group"), "{message}");
}

#[test]
fn kinds_are_told_apart_wherever_the_write_hides() {
    let kind = |sql: &str| parse(sql).unwrap().kind();

    assert_eq!(kind("select 1 union select 2"), Kind::Select);
    for sql in [
        "delete from t",
        "select * from t for update",
        "select * from (select * from t for share) as x",
        "select 1 into t2",
        "with gone as (delete from t returning *) select * from gone",
        "select * from t where exists (select 1 from u for update skip locked)",
        "insert into t values (1)",
        "update t set a = 1",
    ] {
        assert_eq!(kind(sql), Kind::Write, "{sql}");
    }
    for sql in ["explain analyze delete from t", "drop table t", "vacuum", "set work_mem = '1GB'"] {
        assert_eq!(kind(sql), Kind::Utility, "{sql}");
    }
}

#[test]
fn long_chains_are_refused_and_shorter_ones_walked() {
    let chain = |count: usize| ["select 1 from orders where ", &vec!["id = 1"; count].join(" or ")].concat();

    assert!(matches!(parse(&chain(5000)), Err(QueryError::TooLarge { .. })));
    assert!(matches!(
        parse(&["select ", &"(".repeat(200), "1", &")".repeat(200)].concat()),
        Err(QueryError::TooLarge { .. })
    ));
    assert_eq!(shown(&read(&chain(190))), ["orders: id AnyOf(190)"]);
}

#[test]
fn fingerprints_forget_values_and_nothing_else() {
    let of = |sql: &str| parse(sql).unwrap().fingerprint().text().to_owned();

    assert_eq!(of("SELECT a FROM t WHERE b IN (1, 2,\n3) -- x"), "select a from t where b in ( ? )");
    assert_eq!(of("select a from t where b = -5"), of("select a from t where b = $1"));
    assert_eq!(of("insert into t values (1, 'a'), (2, 'b')"), of("insert into t values ($1, $2)"));
    assert_ne!(of("select a - 5 from t"), of("select a from t"));
    assert_ne!(of("select \"A\" from t"), of("select a from t"));
    assert_ne!(of("select 1, 2"), of("select 1"));
}

#[test]
fn parameters_are_counted_by_the_highest() {
    assert_eq!(parse("select $2, $1, '$9'").unwrap().parameters(), 2);
    assert_eq!(parse("select 1").unwrap().parameters(), 0);
    assert!(parse("$1, $2").is_err(), "values with nothing before them");
    let lite = Query::parse(Dialect::Sqlite, "select ?, ?5, ?").unwrap();
    assert_eq!(lite.parameters(), 6);
}

#[test]
fn conditions_belong_to_the_table_their_names_mean() {
    let reading = read(
        "select o.total, c.name from orders o join customers c on c.id = o.customer \
         where state = 'open' and placed >= $1 and o.note is null and lower(c.email) = $2 and o.id = o.total",
    );

    assert_eq!(
        shown(&reading),
        ["orders: customer Join, note IsNull, placed Range, state Equal", "customers: id Join, lower(email) Equal"]
    );
    assert!(!reading.scans[0].columns.contains(&ident("email")));
    assert!(reading.scans[0].columns.contains(&ident("total")));
    assert_eq!(reading.scans[1].filters[1].on, Keyed::Function(KeyFunction::Lower, ident("email")));
}

#[test]
fn subqueries_see_outer_names_and_derived_tables_do_not() {
    assert_eq!(
        shown(&read(
            "select 1 from customers c where exists (select 1 from orders where customer = c.id and city = 'x')"
        )),
        ["customers: city Equal, id Join", "orders: customer Join"]
    );
    let query = parse("select 1 from customers c, (select 1 from orders where customer = c.id) as o").unwrap();

    assert_eq!(query.read(&schema(Dialect::Postgres)).unwrap().unresolved, ["c.id"]);
    assert_eq!(
        shown(&read("select 1 from customers c, lateral (select 1 from orders where customer = c.id) as o")),
        ["customers: id Join", "orders: customer Join"]
    );
}

#[test]
fn conditions_reach_through_views_tables_expressions_and_subqueries() {
    assert_eq!(shown(&read("select * from open_orders where who = 7")), ["orders: customer Equal, state Equal"]);
    assert_eq!(
        shown(&read("with recent (n, c) as (select id, customer from orders) select * from recent r where r.c = 3")),
        ["orders: customer Equal"]
    );
    assert_eq!(
        shown(&read(
            "select * from (select customer, count(*) as n from orders group by 1) x where customer = 1 and n > 2"
        )),
        ["orders: customer Equal"]
    );
    // The ten newest are chosen before the customer is.
    assert_eq!(
        shown(&read("select * from (select * from orders order by placed limit 10) x where customer = 1")),
        ["orders: "]
    );
}

#[test]
fn table_expression_hides_the_table_of_its_name() {
    assert_eq!(
        shown(&read("with orders as (select id, city as state from customers) select * from orders where state = 'x'")),
        ["customers: city Equal"]
    );
}

#[test]
fn orders_are_kept_only_if_one_table_can_give_them() {
    let order = |sql: &str| {
        let reading = read(sql);
        let scan = reading.scans[0].clone();
        (scan.order.iter().map(|o| (o.by.column().to_string(), o.is_descending)).collect::<Vec<_>>(), scan.is_limited)
    };

    let by = |name: &str, descending| (name.to_owned(), descending);
    assert_eq!(
        order("select id, placed from orders order by 2 desc, id limit 5"),
        (vec![by("placed", true), by("id", false)], true)
    );
    assert_eq!(order("select o.id from orders o, customers c order by o.placed, c.name"), (vec![], false));
    assert_eq!(order("select state, count(*) from orders group by state order by count(*)"), (vec![], false));
    assert_eq!(order("select max(placed) from orders"), (vec![by("placed", false)], true));
}

#[test]
fn alternatives_on_several_columns_are_kept_apart() {
    let reading =
        read("select 1 from orders where (customer = 1 or state = 'x' and total > 3) and (id = 1 or id in (2, 3))");

    assert_eq!(shown(&reading), ["orders: id AnyOf(3)"]);
    assert_eq!(reading.scans[0].alternatives.len(), 1);
    assert_eq!(reading.scans[0].alternatives[0].len(), 2);
    assert!(read("select 1 from orders where customer = 1 or total + 1 = 5").scans[0].alternatives.is_empty());
}

#[test]
fn outer_joins_filter_the_side_that_may_be_missing() {
    assert_eq!(
        shown(&read(
            "select 1 from customers c left join orders o on o.customer = c.id and c.city = 'x' and o.state = 'y'"
        )),
        ["customers: ", "orders: customer Join, state Equal"]
    );
    assert_eq!(
        shown(&read("select 1 from orders join customers using (id)")),
        ["orders: id Join", "customers: id Join"]
    );
}

#[test]
fn writes_say_what_they_write_and_how_they_find_it() {
    let update = read("update orders set state = 'x', total = total + 1 where customer = 5");
    let insert = read("insert into orders (id) select id from customers where city = 'x'");

    assert_eq!(
        update.written,
        Some(Written::Update("main.orders".parse().unwrap(), [ident("state"), ident("total")].into()))
    );
    assert_eq!(shown(&update), ["orders: customer Equal"]);
    assert_eq!(insert.written, Some(Written::Insert("main.orders".parse().unwrap())));
    assert_eq!(shown(&insert), ["customers: city Equal"]);
}

#[test]
fn names_are_never_guessed() {
    let names = schema(Dialect::Postgres);

    assert_eq!(
        parse("select 1 from nowhere").unwrap().read(&names).unwrap_err(),
        ReadingError::UnknownRelation { name: "nowhere".to_owned() }
    );
    assert_eq!(read("select 1 from orders where totl = 1").unresolved, ["totl"]);
    assert!(parse("select 1 from odd").unwrap().read(&names).is_err(), "unquoted names are lower case on PostgreSQL");
    assert_eq!(shown(&read("select 1 from \"Odd\" where \"select\" = 1")), ["Odd: select Equal"]);
    let sqlite = Query::parse(Dialect::Sqlite, "select 1 from ODD where NAME = ?").unwrap();
    assert_eq!(shown(&sqlite.read(&schema(Dialect::Sqlite)).unwrap()), ["Odd: Name Equal"]);
}

#[test]
fn recursion_and_set_operations_are_walked() {
    assert_eq!(
        shown(&read(
            "with recursive t as (select id, customer from orders where state = 'x' \
             union all select o.id, o.customer from orders o join t on t.id = o.customer) select * from t where id = 1"
        )),
        ["orders: state Equal", "orders: customer Join"]
    );
}

/// Pieces of which statements are put together, sense or nonsense.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        Just("select"),
        Just("from"),
        Just("where"),
        Just("orders"),
        Just("customers as c"),
        Just("id"),
        Just("c.id"),
        Just("="),
        Just(">"),
        Just("and"),
        Just("or"),
        Just("not"),
        Just("("),
        Just(")"),
        Just(","),
        Just("*"),
        Just("1"),
        Just("'a;b'"),
        Just("$1"),
        Just("in (1, 2)"),
        Just("order by"),
        Just("limit 3"),
        Just("join"),
        Just("using (id)"),
        Just("with x as ("),
        Just("exists"),
        Just("group by"),
        Just("union all"),
        Just("left join"),
        Just("lateral"),
        Just("is null"),
        Just("between 1 and 2"),
        Just("max(total)"),
        Just("--"),
        Just("/*"),
        Just("\""),
        Just(";"),
        Just("delete from"),
        Just("update"),
        Just("set"),
        Just("insert into"),
        Just("values"),
        Just("::int"),
        Just("$$"),
    ];
    proptest::collection::vec(words, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![pieces(), any::<String>()]) {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            if let Ok(query) = Query::parse(dialect, &text) {
                prop_assert!(text.contains(query.sql()));
                if let Ok(reading) = query.read(&schema(dialect)) {
                    for scan in &reading.scans {
                        let used = scan.filters.iter().map(|filter| filter.on.column());
                        prop_assert!(used.into_iter().all(|column| scan.columns.contains(column)));
                    }
                }
                // What is left of it is read in the same way.
                let again = Query::parse(dialect, query.sql()).unwrap();
                prop_assert_eq!(again.fingerprint(), query.fingerprint());
                prop_assert_eq!(again.kind(), query.kind());
            }
        }
    }

    #[test]
    fn values_do_not_change_what_a_statement_is(a in any::<i32>(), b in "[^'\\\\\0]{0,9}", more in 1..9_usize) {
        let list = vec![a.to_string(); more].join(", ");
        let sql = ["select id from orders where total = ", &a.to_string(), " and state = '", &b, "' and id in (", &list, ")"];
        let other = "select id from orders where total = 5 and state = $1 and id in ($2)";

        let (one, other) = (parse(&sql.concat()).unwrap(), parse(other).unwrap());
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
    }
}
