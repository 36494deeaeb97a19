use super::postgres::Fares;
use super::sqlite::File;
use super::*;

#[test]
fn a_table_is_measured_anew_from_a_thousand_rows_and_a_tenth_on() {
    assert!(!is_worth_measuring(1000, 0));
    assert!(is_worth_measuring(1001, 5000));
    assert!(!is_worth_measuring(10_000, 100_000));
    assert!(is_worth_measuring(10_001, 100_000));
}

#[test]
fn dead_rows_are_for_autovacuum_unless_it_is_off_or_far_behind() {
    let fares = Fares { alive: 10_000, dead: 5_000, vacuumed_from: 2_050, ..Fares::default() };

    assert!(fares.advice("\"t\"", 0).is_some_and(|text| text.ends_with("vacuum (analyze) \"t\"")));
    assert_eq!(fares.advice("\"t\"", 2_000), None, "this run left 2000, and autovacuum has not come yet");
    assert_eq!(Fares { dead: 4_000, ..fares }.advice("\"t\"", 0), None, "not twice as many as it begins at");
    assert_eq!(Fares { alive: 100_000, ..fares }.advice("\"t\"", 0), None, "a small share");
    let off = Fares { is_autovacuum_off: true, vacuumed_from: 50_000, ..fares };
    assert!(off.advice("\"t\"", 5_000).is_some(), "nobody is going to come");
    assert_eq!(Fares { dead: 900, alive: 0, ..off }.advice("\"t\"", 0), None, "few rows");
}

#[test]
fn free_pages_are_worth_a_word_above_a_quarter_of_a_file() {
    let file = File { pages: 4000, free: 1001, page_bytes: 4096, gives_back: false };

    assert!(file.advice().is_some_and(|text| text.starts_with("4100096 of 16384000 bytes")));
    assert_eq!(File { free: 1000, ..file }.advice(), None);
    assert_eq!(File { pages: 10, free: 9, ..file }.advice(), None, "a small file");
}
