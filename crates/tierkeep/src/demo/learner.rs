//! One sample learner: a person with a zone, habits and courses, and two years of sessions.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tierkeep_learning::calendar::Zone;
use tierkeep_learning::key::{ContentId, CourseProgressId, Key, SessionId, UserId};
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use uuid::Uuid;

use super::random::Random;
use super::words::{COURSES, Course, DEVICES, ENVIRONMENTS, FAMILY_NAMES, GIVEN_NAMES, NOTES, ZONES};

/// Days of history.
const DAYS: i32 = 730;

/// Rows of one learner.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) user: UserRow,
    pub(super) progress: Vec<ProgressRow>,
    pub(super) sessions: Vec<SessionRow>,
}

/// What is constant about a learner.
struct Person {
    number: u64,
    id: UserId,
    zone: TimeZone,
    language: usize,
    courses: Vec<(Course, CourseProgressId)>,
    /// The hour at which most sessions start.
    hour: i32,
    /// Percent of weekdays with a session, and of weekend days.
    diligence: (u32, u32),
    environment: &'static str,
    device: &'static str,
    /// Percent of sessions at the usual place, on the usual device.
    habit: u32,
    /// Usual minutes of a session.
    minutes: i32,
    /// Mean rating in tenths at the beginning, and at the end.
    ratings: (i32, i32),
    goal: Option<Key>,
    plan: Option<Key>,
}

/// Ids that are easy to recognise and to type: `00000000-0000-4000-8000-000000000001` is the first learner.
pub(super) fn user_id(number: u64) -> UserId {
    UserId::new(Key::Uuid(Uuid::from_u64_pair(0x4000, 0x8000_0000_0000_0000 | number)))
}

/// The learner of a number, with everything up to `now`.
pub(super) fn sample(seed: u64, number: u64, now: Timestamp) -> Sample {
    let mut random = Random::stream(seed, number);
    let zone_name = zone_of(number, &mut random);
    let zone = zone_name.and_then(|name| Zone::new(name).ok()).map_or(TimeZone::UTC, |zone| zone.time_zone().clone());
    let today = now.to_zoned(zone.clone()).date();
    let first_day = today.saturating_sub(DAYS.days());
    let created_at = instant(&zone, first_day, Time::midnight());
    let user = user(&mut random, number, zone_name, created_at, now);
    let progress = progress(&mut random, user.id, created_at, now);
    let person = person(&mut random, number, user.id, zone, &progress);
    let sessions = sessions(&mut random, &person, &user, first_day, now);
    Sample { user, progress, sessions }
}

/// Every eighth learner has no zone of its own, and the first one has a famous one.
fn zone_of(number: u64, random: &mut Random) -> Option<&'static str> {
    match number {
        1 => Some("Europe/Paris"),
        _ if number.is_multiple_of(8) => None,
        _ => Some(random.pick(ZONES)),
    }
}

fn user(random: &mut Random, number: u64, zone: Option<&str>, created_at: Timestamp, now: Timestamp) -> UserRow {
    let username = format!("{}.{}", random.pick(GIVEN_NAMES), random.pick(FAMILY_NAMES));
    // some have left, and some of these never signed in
    let is_active = number <= 8 || !number.is_multiple_of(19);
    let last_login = if is_active {
        Some(minutes_before(now, random.between(0, 3000)))
    } else {
        random.chance(50).then(|| minutes_before(now, random.between(300_000, 600_000)))
    };
    UserRow {
        id: user_id(number),
        email: format!("{username}.{number}@example.org"),
        username: if number == 1 { "ada.lovelace".to_owned() } else { username },
        is_active,
        last_login,
        created_at,
        time_zone: zone.map(str::to_owned),
    }
}

fn progress(random: &mut Random, user: UserId, created_at: Timestamp, now: Timestamp) -> Vec<ProgressRow> {
    let count = random.between(2, 4);
    let mut rows = Vec::new();
    for _ in 0..count {
        let course = random.pick(COURSES);
        if rows.iter().any(|row: &ProgressRow| row.subject_name == course.name) {
            continue;
        }
        let est_finish_hour = random.chance(80).then(|| random.between(20, 120));
        let row = ProgressRow {
            id: CourseProgressId::new(key(random)),
            user_id: user,
            content_id: ContentId::new(key(random)),
            subject_name: course.name.to_owned(),
            proficiency_level: random.between(5, 100),
            learning_hour_week: random.between(0, 12),
            learning_hour_total: random.between(4, 140),
            est_finish_hour,
            difficulty: random.between(1, 10),
            created_at,
            updated_at: minutes_before(now, random.between(0, 40_000)),
        };
        // here and there an older row of the same content was left behind
        if random.chance(4) {
            rows.push(ProgressRow {
                id: CourseProgressId::new(key(random)),
                proficiency_level: row.proficiency_level / 2,
                updated_at: row.created_at,
                ..row.clone()
            });
        }
        rows.push(row);
    }
    rows
}

fn person(random: &mut Random, number: u64, id: UserId, zone: TimeZone, progress: &[ProgressRow]) -> Person {
    let known = |row: &ProgressRow| {
        COURSES.iter().copied().find(|course| course.name == row.subject_name).map(|course| (course, row.id))
    };
    let beginning = random.between(22, 42);
    let usual = random.between(15, 70);
    let weekdays = random.between(20, 70).unsigned_abs();
    let mut person = Person {
        number,
        id,
        zone,
        language: random.below(u32::try_from(NOTES.len()).unwrap_or(1)) as usize,
        courses: progress.iter().filter_map(known).collect(),
        hour: random.between(6, 21),
        diligence: (weekdays, random.between(5, 50).unsigned_abs()),
        environment: random.pick(ENVIRONMENTS),
        device: random.pick(DEVICES),
        habit: random.between(50, 85).unsigned_abs(),
        minutes: usual,
        ratings: (beginning, beginning + random.between(-10, 12)),
        goal: random.chance(60).then(|| key(random)),
        plan: random.chance(40).then(|| key(random)),
    };
    if number == 1 {
        // the learner of the first example studies nearly every day, at home, in the evening, and gets better
        person.diligence = (96, 88);
        person.hour = 20;
        person.environment = "home";
        person.language = 0;
        person.minutes = 45;
        person.ratings = (28, 44);
    }
    person
}

fn sessions(random: &mut Random, person: &Person, user: &UserRow, first_day: Date, now: Timestamp) -> Vec<SessionRow> {
    let mut rows = Vec::new();
    // who has left studied in the first year only
    let days = if user.is_active { DAYS } else { DAYS / 2 };
    // holidays: a week or two in which nothing happens
    let holidays: Vec<i32> = (0..4).map(|_| random.between(0, DAYS)).collect();
    for day in 0..=days {
        let date = first_day.saturating_add(day.days());
        let is_weekend = date.weekday().to_monday_zero_offset() >= 5;
        let percent = if is_weekend { person.diligence.1 } else { person.diligence.0 };
        let on_holiday = person.number != 1 && holidays.iter().any(|start| (*start..*start + 10).contains(&day));
        if !random.chance(percent) || on_holiday {
            continue;
        }
        for _ in 0..1 + u32::from(random.chance(30)) + u32::from(random.chance(8)) {
            let row = session(random, person, date, day, rows.len());
            if row.start_time < now {
                rows.push(finished(row, now, random));
            }
        }
    }
    if user.is_active {
        latest(random, person, now, &mut rows);
    }
    spoil(person, &mut rows);
    rows
}

fn session(random: &mut Random, person: &Person, date: Date, day: i32, nth: usize) -> SessionRow {
    let hour = if random.chance(75) { person.hour + random.between(-1, 1) } else { random.between(7, 22) };
    let second = random.between(0, 3599);
    let start_time = instant(&person.zone, date, time(hour, second));
    let minutes = (person.minutes + random.between(-20, 40)).max(3);
    let mean = person.ratings.0 + (person.ratings.1 - person.ratings.0) * day / DAYS;
    let rating = (mean + random.between(-12, 12) + 5) / 10;
    let focus = 45 + mean + random.between(-25, 20);
    let course = (!person.courses.is_empty() && random.chance(85)).then(|| random.pick(&person.courses));
    let topic = course.map(|(course, _)| random.pick(course.topics));
    let environment = if random.chance(person.habit) { person.environment } else { random.pick(ENVIRONMENTS) };
    let device = if random.chance(person.habit) { person.device } else { random.pick(DEVICES) };
    SessionRow {
        id: session_id(random, person.number, nth),
        user_id: person.id,
        course_progress_id: course.map(|(_, id)| id),
        start_time,
        end_time: Some(minutes_after(start_time, minutes)),
        duration_minutes: minutes,
        effectiveness_rating: random.chance(88).then(|| small(rating.clamp(1, 5))),
        focus_hundredths: random.chance(85).then(|| small(focus.clamp(0, 100))),
        break_count: small(minutes / 30 + i32::from(random.chance(25))),
        is_active: false,
        learning_environment: environment.to_owned(),
        device_type: device.to_owned(),
        subject_category: course.map(|(course, _)| course.category).unwrap_or_default().to_owned(),
        content_covered: topic.unwrap_or_default().to_owned(),
        notes: if random.chance(30) { (random.pick(NOTES[person.language])).to_owned() } else { String::new() },
        created_at: start_time,
        updated_at: minutes_after(start_time, minutes),
        goal_id: person.goal.filter(|_| random.chance(50)),
        learning_plan_id: person.plan.filter(|_| random.chance(50)),
        estimator: None,
    }
}

/// A session that has not ended by now is open; one in a hundred was left open long ago.
fn finished(mut row: SessionRow, now: Timestamp, random: &mut Random) -> SessionRow {
    let running = row.end_time.is_some_and(|end| end > now);
    if running || random.chance(1) {
        row.end_time = None;
        row.is_active = running || random.chance(50);
        row.effectiveness_rating = None;
        if running {
            let elapsed = now.as_second() - row.start_time.as_second();
            row.duration_minutes = i32::try_from(elapsed / 60).unwrap_or(0);
        }
        row.updated_at = row.created_at;
    }
    row
}

/// Everyone who is still here has studied within the last hours; every tenth does so at this moment.
fn latest(random: &mut Random, person: &Person, now: Timestamp, rows: &mut Vec<SessionRow>) {
    let ago = if person.number == 1 { 55 } else { random.between(10, 2000) };
    let begun = minutes_before(now, ago);
    let local = begun.to_zoned(person.zone.clone());
    let mut row = session(random, person, local.date(), DAYS, rows.len());
    row.start_time = begun;
    row.created_at = begun;
    let minutes = if person.number.is_multiple_of(10) { ago + 30 } else { row.duration_minutes.min(ago - 5) };
    row.duration_minutes = minutes;
    row.end_time = Some(minutes_after(begun, minutes));
    row.updated_at = minutes_after(begun, minutes);
    rows.push(finished(row, now, random));
}

/// Four learners have a row that no statistic counts: what clean-up is for.
fn spoil(person: &Person, rows: &mut [SessionRow]) {
    let Some(row) = rows.get_mut(17) else { return };
    match person.number {
        20 => row.duration_minutes = -30,
        40 => row.end_time = Some(minutes_before(row.start_time, 45)),
        60 => row.effectiveness_rating = Some(9),
        80 => row.focus_hundredths = Some(120),
        _ => {}
    }
}

/// A version-8 UUID made of random bits.
fn key(random: &mut Random) -> Key {
    uuid8(random.next(), random.next())
}

/// Ids in the order of writing, as time-ordered ids are: rows are appended to the index instead of spread over it.
fn session_id(random: &mut Random, learner: u64, nth: usize) -> SessionId {
    SessionId::new(uuid8(learner << 48 | (nth as u64) << 16, random.next()))
}

fn uuid8(high: u64, low: u64) -> Key {
    Key::Uuid(Uuid::from_u64_pair(high & !0xF000 | 0x8000, low >> 2 | 0x8000_0000_0000_0000))
}

fn instant(zone: &TimeZone, date: Date, time: Time) -> Timestamp {
    zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn time(hour: i32, second: i32) -> Time {
    let part = |number: i32| i8::try_from(number).unwrap_or(0);
    Time::new(part(hour.clamp(0, 23)), part(second / 60), part(second % 60), 0).unwrap_or(Time::midnight())
}

fn minutes_after(instant: Timestamp, minutes: i32) -> Timestamp {
    instant.saturating_add(minutes.minutes()).unwrap_or(instant)
}

fn minutes_before(instant: Timestamp, minutes: i32) -> Timestamp {
    minutes_after(instant, -minutes)
}

/// Every number here is made small by its formula.
fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}
