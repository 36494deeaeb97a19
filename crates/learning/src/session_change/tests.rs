use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-31T14:00:00Z")
}

fn new(content: SessionChange) -> NewSession {
    NewSession { user_id: UserId::new(Key::Int(1)), content }
}

fn row(content: SessionChange) -> SessionRow {
    new(content).row(SessionId::new(Key::Int(9)), now()).unwrap()
}

fn started(start: &str) -> SessionChange {
    SessionChange { start_time: Some(at(start)), ..SessionChange::default() }
}

fn ended(start: &str, end: &str) -> SessionChange {
    SessionChange { end_time: Some(Some(at(end))), ..started(start) }
}

fn fields(faults: Vec<FieldFault>) -> Vec<String> {
    faults.into_iter().map(|fault| fault.field).collect()
}

#[test]
fn a_session_without_an_end_is_open_and_has_no_minutes() {
    let open = row(started("2026-01-31T13:00:00Z"));
    assert_eq!((open.is_active, open.duration_minutes, open.end_time), (true, 0, None));

    let said = SessionChange { is_active: Some(false), duration_minutes: Some(25), ..started("2026-01-31T13:00:00Z") };
    assert_eq!((row(said.clone()).is_active, row(said).duration_minutes), (false, 25));
}

#[test]
fn minutes_are_the_whole_ones_elapsed() {
    for (end, minutes) in [("13:00:00", 0), ("13:00:59.999999", 0), ("13:01:00", 1), ("14:29:59", 89)] {
        let ended = row(ended("2026-01-31T13:00:00Z", &format!("2026-01-31T{end}Z")));
        assert_eq!((ended.duration_minutes, ended.is_active), (minutes, false), "{end}");
    }
}

#[test]
fn minutes_that_contradict_the_end_are_refused_and_both_named() {
    let mut said = ended("2026-01-31T13:00:00Z", "2026-01-31T13:30:00Z");
    said.duration_minutes = Some(30);
    assert_eq!(row(said.clone()).duration_minutes, 30);

    said.duration_minutes = Some(31);
    said.is_active = Some(true);
    let faults = new(said).row(SessionId::new(Key::Int(1)), now()).unwrap_err();

    assert_eq!(fields(faults), ["is_active", "duration_minutes", "end_time"]);
}

#[test]
fn an_end_before_the_start_is_refused() {
    let faults = new(ended("2026-01-31T13:00:00Z", "2026-01-31T12:59:59.999999Z"))
        .row(SessionId::new(Key::Int(1)), now())
        .unwrap_err();

    assert_eq!(fields(faults), ["end_time"]);
    assert_eq!(
        fields(new(SessionChange::default()).row(SessionId::new(Key::Int(1)), now()).unwrap_err()),
        ["start_time"]
    );
}

#[test]
fn minutes_follow_only_a_start_or_an_end_that_was_said() {
    let mut imported = row(ended("2026-01-31T13:00:00Z", "2026-01-31T13:30:00Z"));
    imported.duration_minutes = 20;
    imported.effectiveness_rating = Some(9);
    let later = at("2026-01-31T15:00:00Z");

    let noted = SessionChange { notes: Some("n".into()), ..SessionChange::default() }.applied(&imported, later);
    let moved = SessionChange { start_time: Some(at("2026-01-31T12:00:00Z")), ..SessionChange::default() };
    let moved = moved.applied(&imported, later).unwrap();

    let noted = noted.unwrap();
    assert_eq!((noted.duration_minutes, noted.effectiveness_rating, noted.updated_at), (20, Some(9), later));
    assert_eq!(moved.duration_minutes, 90);
    let contradicted = SessionChange { duration_minutes: Some(25), ..SessionChange::default() };
    assert_eq!(fields(contradicted.applied(&imported, later).unwrap_err()), ["duration_minutes", "end_time"]);
}

#[test]
fn a_session_whose_end_is_taken_back_is_open_again() {
    let before = row(ended("2026-01-31T13:00:00Z", "2026-01-31T13:30:00Z"));

    let again = SessionChange { end_time: Some(None), ..SessionChange::default() }.applied(&before, now()).unwrap();

    assert_eq!((again.end_time, again.is_active, again.duration_minutes), (None, true, 0));
}

#[test]
fn a_change_that_changes_nothing_leaves_the_row_as_it_is() {
    let before = row(ended("2026-01-31T13:00:00Z", "2026-01-31T13:30:00Z"));
    let said =
        SessionChange { notes: Some(String::new()), end_time: Some(before.end_time), ..SessionChange::default() };

    assert_eq!(said.applied(&before, at("2026-02-01T00:00:00Z")).unwrap(), before);
}

#[test]
fn completing_again_is_the_same_only_if_it_says_the_same() {
    let open = row(started("2026-01-31T13:00:00Z"));
    let completion = Completion { effectiveness_rating: Rating::new(4).ok(), ..Completion::default() };

    let done = completion.change(now()).applied(&open, now()).unwrap();

    assert_eq!((done.duration_minutes, done.is_active, done.effectiveness_rating), (60, false, Some(4)));
    assert!(!completion.is_of(&open) && completion.is_of(&done) && Completion::default().is_of(&done));
    assert!(!Completion { end_time: Some(at("2026-01-31T13:59:00Z")), ..completion }.is_of(&done));
}

#[test]
fn flags_begin_just_beyond_their_thresholds() {
    let open = |start: &str| flags(&row(started(start)), false, now());
    assert_eq!(open("2026-01-30T22:00:00Z"), []);
    assert_eq!(open("2026-01-30T21:59:59Z"), [Flag::OpenTooLong]);
    assert_eq!(open("2026-01-31T15:00:00Z"), []);
    assert_eq!(open("2026-01-31T15:00:00.000001Z"), [Flag::Future]);
    let long = |end: &str| flags(&row(ended("2026-01-30T12:00:00Z", end)), true, now());
    assert_eq!(long("2026-01-31T04:00:59Z"), [Flag::Overlap]);
    assert_eq!(long("2026-01-31T04:01:00Z"), [Flag::Overlap, Flag::OverLong]);
}

#[test]
fn an_open_session_takes_the_time_until_now() {
    let open = row(started("2026-01-31T13:00:00Z"));
    assert_eq!(occupied(&open, now()), at("2026-01-31T13:00:00Z")..now());
    let of_minutes = SessionRow { is_active: false, duration_minutes: 5, ..open };
    assert_eq!(occupied(&of_minutes, now()).end, at("2026-01-31T13:05:00Z"));
}

proptest! {
    /// Whatever is said, a row that is made counts in the statistics.
    #[test]
    fn a_row_that_is_made_is_valid(
        start in 0_i64..2_000_000_000, end in prop::option::of(0_i64..2_000_000_000),
        minutes in prop::option::of(0..10_000), is_active in prop::option::of(any::<bool>()),
    ) {
        let instant = |seconds| Timestamp::from_second(seconds).unwrap();
        let content = SessionChange {
            start_time: Some(instant(start)), end_time: end.map(|end| Some(instant(end))),
            duration_minutes: minutes, is_active, ..SessionChange::default()
        };
        if let Ok(row) = new(content.clone()).row(SessionId::new(Key::Int(1)), now()) {
            prop_assert!(row.duration_minutes >= 0 && row.end_time.is_none_or(|end| end >= row.start_time));
            prop_assert!(row.end_time.is_none() || !row.is_active);
            // saying it again of the row that follows changes nothing
            prop_assert_eq!(content.applied(&row, instant(1)).unwrap(), row);
        }
    }
}
