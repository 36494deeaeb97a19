//! Durations as people write them: `15m`, `1h30m`, `250ms`.

/// Units from large to small, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Milliseconds of a text such as `1h30m`: numbers with units, from large to small, each unit at most once.
///
/// # Errors
/// What is wrong with it, for the one who wrote it.
pub(crate) fn milliseconds(text: &str) -> Result<u64, String> {
    let refused = || {
        format!(
            "`{text}` is not a duration: write numbers with units, such as \"15m\", \"1h30m\", \"20s\" or \"250ms\""
        )
    };
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() || unit.is_empty() {
            return Err(refused());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!("`{unit}` is not a unit of time: known are d, h, m, s and ms"));
        }
        let Some((_, factor)) = units.find(|(name, _)| *name == unit) else {
            return Err(format!("the units in `{text}` go from large to small, each of them once: d, h, m, s, ms"));
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(|| format!("`{text}` is too long"))?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, expected) in [
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1m250ms", 60_250),
            ("2d1h1m1s1ms", 176_461_001),
            ("0s", 0),
        ] {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_what_is() {
        for text in ["", "15", "m", "15 m", "-1s", "1.5h", "15m ", "é"] {
            let expected = format!(
                "`{text}` is not a duration: write numbers with units, such as \"15m\", \"1h30m\", \"20s\" or \"250ms\""
            );
            assert_eq!(milliseconds(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn unknown_units_are_named() {
        assert_eq!(milliseconds("2w"), Err("`w` is not a unit of time: known are d, h, m, s and ms".to_owned()));
        assert_eq!(milliseconds("15min"), Err("`min` is not a unit of time: known are d, h, m, s and ms".to_owned()));
    }

    #[test]
    fn units_that_ascend_or_repeat_are_refused() {
        for text in ["30m1h", "1h1h"] {
            let expected = format!("the units in `{text}` go from large to small, each of them once: d, h, m, s, ms");
            assert_eq!(milliseconds(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_too_long() {
        let text = "99999999999999999999d";

        assert_eq!(milliseconds(text), Err(format!("`{text}` is too long")));
    }
}
