//! The hours in which scheduled runs may work.
//!
//! A window is a part of the week by the wall clock of a time zone. An instant is in it if the wall clock shows a time
//! that is in it, and nothing else is looked at. What follows for the nights on which clocks change: of a window that
//! begins in the hour that is left out, what is after that hour remains; an hour that comes twice is open twice.
//!
//! # Examples
//!
//! ```
//! use jiff::{Timestamp, tz::TimeZone};
//! use tierkeep_retention::Windows;
//!
//! let zone = TimeZone::get("Europe/Berlin")?;
//! let windows = Windows::parse(&["22:00-06:00", "Sat,Sun 00:00-24:00"], zone)?;
//! let thursday_noon: Timestamp = "2026-03-05T11:00:00Z".parse()?;
//!
//! assert!(!windows.is_open(thursday_noon));
//! assert_eq!(windows.next_opening(thursday_noon), Some("2026-03-05T21:00:00Z".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// Minutes of a week on the wall clock.
const WEEK: u16 = 7 * DAY;
const DAY: u16 = 24 * 60;
/// What a window looks like, for errors.
const ACCEPTED: &str = "`22:00-06:00`, `Sat,Sun 00:00-24:00` or `Mon-Fri 01:30-05:00`";

/// The hours in which scheduled runs may work; without a window, always.
///
/// Half-open: of `22:00-06:00` the first instant at which the clock shows 22:00 is in, the one at which it shows 06:00 is
/// out. A window over midnight belongs to the day on which it begins. Windows may overlap.
#[derive(Debug, Clone)]
pub struct Windows {
    zone: TimeZone,
    /// Minutes of the week, counted from Monday 00:00, at which it changes between open and closed, in order.
    changes: Vec<u16>,
    /// Whether Monday 00:00 is open.
    is_open_first: bool,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("window {entry}, character {character}: {found:?} is not {wanted}; accepted is e.g. {ACCEPTED}")]
pub struct WindowError {
    /// Which of the windows, counted from 1.
    pub entry: usize,
    /// Where in it, in characters counted from 1.
    pub character: usize,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub wanted: &'static str,
}

impl Windows {
    /// Reads windows of the form `[DAYS ]HH:MM-HH:MM`, by the wall clock of `zone`.
    ///
    /// DAYS are English names of three letters in any case, or spans of them, with commas in between: `Sat,Sun`,
    /// `Fri-Mon`. Without them a window is that of every day. An end before the beginning is on the next day; 24:00 is
    /// accepted as an end.
    ///
    /// # Errors
    /// [`WindowError`], also if a window ends when it begins, since that can mean nothing as well as a whole day.
    pub fn parse<S: AsRef<str>>(windows: &[S], zone: TimeZone) -> Result<Self, WindowError> {
        if windows.is_empty() {
            return Ok(Self::always(zone));
        }
        let mut open = vec![false; usize::from(WEEK)];
        for (index, window) in windows.iter().enumerate() {
            let window = Window::parse(window.as_ref()).map_err(|wrong| wrong.in_entry(index + 1))?;
            window.mark(&mut open);
        }
        let is_open = |minute: u16| open[usize::from(minute)];
        let changes = (0..WEEK).filter(|&minute| is_open(minute) != is_open((minute + WEEK - 1) % WEEK)).collect();
        Ok(Self { zone, changes, is_open_first: is_open(0) })
    }

    /// No restriction.
    #[must_use]
    pub fn always(zone: TimeZone) -> Self {
        Self { zone, changes: Vec::new(), is_open_first: true }
    }

    /// Whether a run may work at this instant.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.is_open_at(self.zone.to_datetime(now))
    }

    /// The first instant after `now` at which a run may not work. `None` if that never comes; `now` itself if no run
    /// may work now.
    #[must_use]
    pub fn closes_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.first(now, false)
    }

    /// The first instant from `now` on at which a run may work; `None` only at the end of the calendar (year 9999).
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        self.first(now, true)
    }

    /// The first instant from `now` on in this state. Between two changes of the zone's offset the wall clock runs
    /// evenly; so the next boundary is as far away as the clock says, unless the offset changes before.
    fn first(&self, now: Timestamp, wanted: bool) -> Option<Timestamp> {
        if self.changes.is_empty() {
            return (self.is_open_first == wanted).then_some(now);
        }
        let mut at = now;
        let mut transitions = self.zone.following(now);
        let mut transition = transitions.next().map(|found| found.timestamp());
        while self.is_open(at) != wanted {
            let boundary = at.checked_add(self.until_next_change(self.zone.to_datetime(at)));
            at = match transition {
                Some(change) if boundary.as_ref().map_or(true, |boundary| change <= *boundary) => {
                    transition = transitions.next().map(|found| found.timestamp());
                    change
                }
                _ => boundary.ok()?,
            };
        }
        Some(at)
    }

    fn is_open_at(&self, wall: DateTime) -> bool {
        let changed = self.changes.partition_point(|&change| change <= minute_of_week(wall));
        // A change at minute 0 is already in `is_open_first`.
        let counted = changed - usize::from(self.changes.first() == Some(&0));
        self.is_open_first == counted.is_multiple_of(2)
    }

    /// How far the next change of the week is by an evenly running wall clock; more than nothing.
    fn until_next_change(&self, wall: DateTime) -> SignedDuration {
        let minute = minute_of_week(wall);
        let next = self.changes.iter().copied().find(|&change| change > minute);
        let next = next.unwrap_or_else(|| self.changes.first().copied().unwrap_or(0) + WEEK);
        let into_minute = SignedDuration::new(i64::from(wall.second()), wall.subsec_nanosecond());
        SignedDuration::from_mins(i64::from(next - minute)) - into_minute
    }
}

fn minute_of_week(wall: DateTime) -> u16 {
    let day = u16::from(wall.weekday().to_monday_zero_offset().unsigned_abs());
    day * DAY + u16::from(wall.hour().unsigned_abs()) * 60 + u16::from(wall.minute().unsigned_abs())
}

/// One window: days by their number from Monday, and minutes of the day.
struct Window {
    days: [bool; 7],
    begin: u16,
    /// Above `begin`; up to a day above it.
    end: u16,
}

/// What is wrong with the text of one window, without the window's number.
struct Wrong {
    character: usize,
    found: String,
    wanted: &'static str,
}

impl Wrong {
    fn in_entry(self, entry: usize) -> WindowError {
        WindowError { entry, character: self.character, found: self.found, wanted: self.wanted }
    }
}

/// A piece of a window's text and where it begins, in characters from 0.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    from: usize,
}

impl<'a> Piece<'a> {
    fn trimmed(self) -> Self {
        let text = self.text.trim_start();
        let skipped = self.text.chars().count() - text.chars().count();
        Self { text: text.trim_end(), from: self.from + skipped }
    }

    fn split(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        Some((Self { text: left, ..self }, Self { text: right, from: self.from + left.chars().count() + 1 }))
    }

    fn wrong(self, wanted: &'static str) -> Wrong {
        Wrong { character: self.from + 1, found: self.text.to_owned(), wanted }
    }
}

impl Window {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let whole = Piece { text, from: 0 }.trimmed();
        // A text that begins with a digit names no days.
        let is_time = whole.text.starts_with(|c: char| c.is_ascii_digit());
        let (days, times) = match whole.split(' ') {
            Some((days, times)) if !is_time => (read_days(days)?, times.trimmed()),
            _ => ([true; 7], whole),
        };
        let (begin, end) = times.split('-').ok_or_else(|| times.wrong("a span of two times"))?;
        let (begin, end) = (begin.trimmed(), end.trimmed());
        let begins = read_time(begin).filter(|&minute| minute < DAY).ok_or_else(|| begin.wrong(BEGIN))?;
        let ends = read_time(end).ok_or_else(|| end.wrong(END))?;
        if begins == ends {
            return Err(end.wrong("another time than the beginning (a whole day is 00:00-24:00)"));
        }
        Ok(Self { days, begin: begins, end: if ends < begins { ends + DAY } else { ends } })
    }

    fn mark(&self, open: &mut [bool]) {
        for (day, _) in (0..).zip(self.days).filter(|(_, is_named)| *is_named) {
            for minute in self.begin..self.end {
                open[usize::from((day * DAY + minute) % WEEK)] = true;
            }
        }
    }
}

const BEGIN: &str = "a time from 00:00 to 23:59";
const END: &str = "a time from 00:00 to 24:00";

fn read_days(list: Piece<'_>) -> Result<[bool; 7], Wrong> {
    let mut days = [false; 7];
    let mut rest = Some(list);
    while let Some(piece) = rest {
        let (item, after) = piece.split(',').map_or((piece, None), |(item, after)| (item, Some(after)));
        let (first, last) = item.split('-').unwrap_or((item, item));
        let (mut day, last) = (read_day(first)?, read_day(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
        rest = after;
    }
    Ok(days)
}

/// A day's number from Monday.
fn read_day(name: Piece<'_>) -> Result<usize, Wrong> {
    const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    NAMES
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name.text))
        .ok_or_else(|| name.wrong("a day: Mon, Tue, Wed, Thu, Fri, Sat or Sun"))
}

/// Minutes since midnight, up to 24:00.
fn read_time(time: Piece<'_>) -> Option<u16> {
    let (hour, minute) = time.text.split_once(':')?;
    let number = |text: &str| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let time = hour * 60 + minute;
    (minute < 60 && time <= DAY).then_some(time)
}

#[cfg(test)]
mod tests;
