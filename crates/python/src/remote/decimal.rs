//! Whole numbers of any length, as text.

use std::cmp::Ordering;

/// The most digits a number may have: what Python converts from text.
const MOST_DIGITS: usize = 4300;

/// Whether this is a whole number as text in the one form that a number has: no plus sign, no leading zeros, no `-0`.
pub fn is_canonical(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_number = !digits.is_empty() && digits.len() <= MOST_DIGITS && digits.iter().all(u8::is_ascii_digit);
    is_number && (text == b"0" || digits[0] != b'0')
}

/// The sum of two canonical numbers; `None` if one is not, or the sum is too long to be one.
pub(super) fn sum(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    if !is_canonical(one) || !is_canonical(other) {
        return None;
    }
    let parts = |text: &[u8]| {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        (digits.len() < text.len(), digits.iter().rev().map(|digit| digit - b'0').collect::<Vec<u8>>())
    };
    let ((one_negative, one), (other_negative, other)) = (parts(one), parts(other));
    let (is_negative, mut digits) = if one_negative == other_negative {
        (one_negative, added(&one, &other))
    } else if compared(&one, &other) == Ordering::Less {
        (other_negative, subtracted(&other, &one))
    } else {
        (one_negative, subtracted(&one, &other))
    };
    while digits.len() > 1 && digits.last() == Some(&0) {
        digits.pop();
    }
    let sign = (is_negative && digits != [0]).then_some(b'-');
    let text: Vec<u8> = sign.into_iter().chain(digits.into_iter().rev().map(|digit| digit + b'0')).collect();
    is_canonical(&text).then_some(text)
}

/// Digits begin with the lowest here.
fn added(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = (0..one.len().max(other.len()))
        .map(|place| {
            let digit = one.get(place).unwrap_or(&0) + other.get(place).unwrap_or(&0) + carry;
            carry = digit / 10;
            digit % 10
        })
        .collect();
    digits.push(carry);
    digits
}

/// `one` is not the lesser.
fn subtracted(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut borrowed = 0;
    one.iter()
        .enumerate()
        .map(|(place, digit)| {
            let digit = 10 + digit - other.get(place).unwrap_or(&0) - borrowed;
            borrowed = 1 - digit / 10;
            digit % 10
        })
        .collect()
}

fn compared(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.iter().rev().cmp(other.iter().rev()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_one_form_of_a_number_is_a_number() {
        for text in ["0", "7", "-7", "10", "123456789012345678901234567890"] {
            assert!(is_canonical(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "1e3", "--1", "\u{661}"] {
            assert!(!is_canonical(text.as_bytes()), "{text}");
        }
        let longest = "9".repeat(MOST_DIGITS);
        assert!(is_canonical(longest.as_bytes()));
        assert_eq!(sum(longest.as_bytes(), b"1"), None);
    }

    proptest! {
        #[test]
        fn sums_are_those_of_machine_numbers(one: i64, other: i64, small in -3..4i64, factor in 1..1_000_000_000i128) {
            for (one, other) in [
                (i128::from(one) * factor, i128::from(other) * factor),
                (i128::from(one), i128::from(-one) + i128::from(small)),
                (i128::from(small), i128::from(other)),
            ] {
                let found = sum(one.to_string().as_bytes(), other.to_string().as_bytes());
                prop_assert_eq!(found, Some((one + other).to_string().into_bytes()));
            }
        }
    }
}
