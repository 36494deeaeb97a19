//! What is found in texts, and which are refused.

use super::*;

fn reads(text: &str) -> Reads {
    Reads::of(text).unwrap_or_else(|reason| panic!("{text}: {reason}"))
}

fn refused(text: &str) -> Uncachable {
    Reads::of(text).err().unwrap_or_else(|| panic!("{text} is taken"))
}

#[test]
fn every_name_that_may_be_a_table_is_found_wherever_it_stands() {
    for text in [
        "select * from hidden",
        // The parser takes `only` for the table.
        "select * from only Hidden where a > 1",
        "select (select max(a) from hidden) from t",
        "select * from t where exists (select from t2 natural join \"hidden\")",
        "with c as (select * from hidden) select * from c",
        "with recursive c as (select 1 union all select 2 from hidden, c) select * from c",
        "select * from t, lateral (select * from (hidden join u using (a))) as x",
        "select 1 union (select 2 except (select 3 from hidden))",
        "select * from t order by (select a from hidden limit 1)",
        "select array(select a from hidden)",
        "select a in (select b from hidden) from t group by 1 having count(*) > (select 1 from hidden)",
        "values ((select a from hidden))",
        "select sum(a) filter (where b in (select b from hidden)) over (partition by c) from t",
        "select case when true then (select 1 from hidden) end",
        "select t.*, hidden from hidden",
        "select * from t join /* hid */ hidden -- den\n on true",
    ] {
        assert!(reads(text).relations.contains("\"hidden\""), "{text}");
    }
    assert!(reads("select * from S.\"Odd\"\"t\"").relations.contains("\"s\".\"Odd\"\"t\""));
}

#[test]
fn functions_are_found_wherever_they_are_called() {
    for text in [
        "select s.hidden(1)",
        "select * from hidden(1) as h",
        "select * from t, lateral hidden(t.a) with ordinality",
        "select * from t where a = any (array[hidden()])",
        "select * from t order by HIDDEN(a) limit 5",
        "select coalesce(a, hidden(b)) over () from t",
        "with c as (select \"hidden\"(1)) select * from c",
        "select count(*) filter (where hidden(a) > 1) from t",
        "select * from t join u on hidden(t.a, u.b)",
        "select * from rows from (hidden(1), generate_series(1, 2))",
    ] {
        match Reads::of(text) {
            Ok(reads) => assert!(reads.functions.contains("hidden"), "{text}: {reads:?}"),
            Err(reason) => assert!(matches!(reason, Uncachable::Unparsable(_)), "{text}: {reason}"),
        }
    }
}

#[test]
fn what_is_no_plain_query_is_refused() {
    for text in [
        "insert into t values (1)",
        "with gone as (delete from t returning *) select * from gone",
        "select * into copied from t",
        "select 1; select 2",
        "begin",
        "explain select 1",
        "call p()",
        "",
    ] {
        assert!(matches!(refused(text), Uncachable::NoQuery(_) | Uncachable::Unparsable(_)), "{text}");
    }
    for text in ["select * from t for update", "select * from (select * from t for share) as x"] {
        assert_eq!(refused(text), Uncachable::Locks);
    }
    for text in ["select 1 from", "select 'a", "select * from u&\"d\\0061t\"", "select u&'d'"] {
        assert!(matches!(refused(text), Uncachable::Unparsable(_)), "{text}");
    }
}

#[test]
fn what_stands_for_the_present_the_session_or_chance_is_refused() {
    for text in [
        "select current_date",
        "select CURRENT_TIMESTAMP",
        "select localtime from t",
        "select current_user",
        "select user",
        "select * from t tablesample system (10)",
        "select xmin from t",
        "select t.ctid from t",
        "select a::regclass from t",
        "select a::timetz from t",
        "select cast(a as time with time zone) from t",
        "select 'now'::timestamptz",
        "select date ' Today '",
        "select e'\\x6eow'::timestamp",
        "select $$tomorrow$$::date",
    ] {
        assert!(matches!(refused(text), Uncachable::Changeable(_)), "{text}");
    }
    assert_eq!(refused("select a operator(s.+) b from t"), Uncachable::Operators);
    reads("select t.user, \"current_date\", 'nowhere' from t");
}
