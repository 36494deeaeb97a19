//! Days of the proleptic Gregorian calendar as SQLite writes them.

/// Days between 0000-03-01, where the count of eras begins, and 1970-01-01.
const EPOCH: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;
/// Years of an era.
const ERA_YEARS: i64 = 400;

/// `2026-11-22`; `None` outside of the years 0 to 9999, whose texts sort as their days do.
pub(super) fn format(days: i32) -> Option<String> {
    let day = i64::from(days) + EPOCH;
    let (era, of_era) = (day.div_euclid(ERA), day.rem_euclid(ERA));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // years begin in March here, so that the leap day is the last
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * ERA_YEARS + i64::from(month <= 2);
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// The opposite; `None` for whatever [`format`] does not write.
pub(super) fn parse(text: &str) -> Option<i32> {
    let mut parts = text.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (shifted.div_euclid(ERA_YEARS), shifted.rem_euclid(ERA_YEARS));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = i32::try_from(era.checked_mul(ERA)?.checked_add(of_era)?.checked_sub(EPOCH)?).ok()?;
    (format(days)? == text).then_some(days)
}
