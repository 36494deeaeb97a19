//! The instants at which an expression is due in a zone, whose clock leaves times out and shows others twice.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::Expression;

/// Changes of a zone that are looked at to find the one that made a gap or a repetition: more than one only where a zone
/// changed its name shortly before.
const CHANGES_MAX: usize = 8;

impl Expression {
    /// The first instant after `after` at which it is due; `None` = not before the end of the calendar.
    ///
    /// Costs a look at each change of the zone until then, and at each month.
    pub(super) fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.has_distances { self.next_shown(after, zone) } else { self.next_reached(after, zone) }
    }

    /// The first instant at which the clock shows one of the times. Between two changes of the zone its clock runs evenly.
    fn next_shown(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = after.checked_add(1.nanosecond()).ok()?;
        loop {
            let offset = zone.to_offset(from);
            let change = zone.following(from).next().map(|change| change.timestamp());
            let shown = self.at_or_after(offset.to_datetime(from))?;
            match offset.to_timestamp(shown) {
                Ok(instant) if change.is_none_or(|change| instant < change) => return Some(instant),
                _ => from = change?,
            }
        }
    }

    /// The first instant at which the clock reaches one of the times: shows it or a later one, and did not before.
    fn next_reached(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = not_reached(after, zone)?;
        loop {
            let time = self.at_or_after(from)?;
            let instant = reached(time, zone)?;
            if instant > after {
                return Some(instant);
            }
            from = time.checked_add(1.second()).ok()?;
        }
    }
}

/// The first instant at which a clock shows this time or a later one.
fn reached(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok(),
        AmbiguousOffset::Gap { before, after } => change_at(time, before, after, zone),
    }
}

/// A time that a clock has not reached at `at`, and no time that it has not reached is before it.
fn not_reached(at: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let shown = zone.to_datetime(at);
    match zone.to_ambiguous_timestamp(shown).offset() {
        // Shown for the second time: everything up to where it was put back has been reached.
        AmbiguousOffset::Fold { before, after } if zone.to_offset(at) == after => {
            Some(before.to_datetime(change_at(shown, before, after, zone)?))
        }
        _ => shown.checked_add(1.nanosecond()).ok(),
    }
}

/// When a zone went from one offset to another and so left out or repeated this time.
fn change_at(time: DateTime, before: Offset, after: Offset, zone: &TimeZone) -> Option<Timestamp> {
    // By the larger offset a time is earlier.
    let earlier = before.max(after).to_timestamp(time).ok()?;
    let mut changes = zone.following(earlier).take(CHANGES_MAX);
    changes.find(|change| change.offset() == after).map(|change| change.timestamp())
}
