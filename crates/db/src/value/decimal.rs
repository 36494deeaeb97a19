//! Decimal numbers between their text and PostgreSQL's binary form: groups of four digits, a weight and a scale.

use bytes::{BufMut, BytesMut};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;
/// Digits after the point that PostgreSQL keeps at most.
const MAX_SCALE: i64 = 16_383;
/// Digits before the point that PostgreSQL keeps at most.
const MAX_WHOLE: i64 = 131_072;

/// A number as PostgreSQL sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Place of the first group: 0 are the four digits before the point.
    weight: i16,
    sign: u16,
    /// Digits after the point that are shown.
    scale: u16,
    /// Groups of four digits, without zeros at either end.
    groups: Vec<u16>,
}

impl Decimal {
    /// Reads `-12.50`, `.5`, `1e-7`, `NaN`, `Infinity`; `None` for anything else, and for what PostgreSQL cannot hold.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let special = |sign| Some(Self { weight: 0, sign, scale: 0, groups: Vec::new() });
        match text.to_ascii_lowercase().as_str() {
            "nan" => return special(NAN),
            "infinity" | "+infinity" | "inf" | "+inf" => return special(INFINITY),
            "-infinity" | "-inf" => return special(MINUS_INFINITY),
            _ => {}
        }
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
        let scale = (i64::try_from(fraction.len()).ok()? - i64::from(exponent)).max(0);
        if scale > MAX_SCALE || point > MAX_WHOLE {
            return None;
        }
        Some(Self::from_digits(&digits, point, is_negative, u16::try_from(scale).ok()?))
    }

    /// A number of these digits, of which `point` stand before the point; it may lie outside of them.
    fn from_digits(digits: &[u8], point: i64, is_negative: bool, scale: u16) -> Self {
        let digit_at = |place: i64| {
            usize::try_from(place).ok().and_then(|place| digits.get(place)).map_or(0, |digit| u16::from(digit - b'0'))
        };
        // the groups are aligned at the point
        let first_group = (-point).div_euclid(4);
        let last_group = (i64::try_from(digits.len()).unwrap_or(i64::MAX) - point + 3).div_euclid(4);
        let mut groups: Vec<u16> = (first_group..last_group)
            .map(|group| (0..4).fold(0, |sum, place| sum * 10 + digit_at(point + group * 4 + place)))
            .collect();
        let zeros = groups.iter().take_while(|group| **group == 0).count();
        groups.drain(..zeros);
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let weight = -1 - first_group - i64::try_from(zeros).unwrap_or(i64::MAX);
        let weight = if groups.is_empty() { 0 } else { i16::try_from(weight).unwrap_or(i16::MAX) };
        let sign = if is_negative && !groups.is_empty() { NEGATIVE } else { 0 };
        Self { weight, sign, scale, groups }
    }

    /// Writes the binary form.
    pub(super) fn write(&self, out: &mut BytesMut) {
        // a number of at most 147,455 digits has fewer groups than that
        out.put_u16(u16::try_from(self.groups.len()).unwrap_or(u16::MAX));
        out.put_i16(self.weight);
        out.put_u16(self.sign);
        out.put_u16(self.scale);
        for group in &self.groups {
            out.put_u16(*group);
        }
    }

    /// The same number whatever its scale: `1.50` and `1.5` are one key.
    pub(super) fn without_scale(mut self) -> Self {
        self.scale = 0;
        self
    }

    /// Reads the binary form.
    pub(super) fn read(raw: &[u8]) -> Option<Self> {
        let (head, rest) = raw.split_first_chunk::<8>()?;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let groups: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        let is_whole = groups.len() == usize::from(word(0));
        is_whole.then(|| Self { weight: word(2).cast_signed(), sign: word(4), scale: word(6), groups })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sign {
            NAN => return f.write_str("NaN"),
            INFINITY => return f.write_str("Infinity"),
            MINUS_INFINITY => return f.write_str("-Infinity"),
            NEGATIVE => f.write_str("-")?,
            _ => {}
        }
        let group = |place: i32| {
            usize::try_from(i32::from(self.weight) - place)
                .ok()
                .and_then(|at| self.groups.get(at))
                .copied()
                .unwrap_or(0)
        };
        if self.weight < 0 {
            f.write_str("0")?;
        } else {
            write!(f, "{}", group(i32::from(self.weight)))?;
            for place in (0..i32::from(self.weight)).rev() {
                write!(f, "{:04}", group(place))?;
            }
        }
        if self.scale > 0 {
            let mut digits = String::new();
            let mut place = -1;
            while digits.len() < usize::from(self.scale) {
                digits.push_str(&format!("{:04}", group(place)));
                place -= 1;
            }
            write!(f, ".{}", &digits[..usize::from(self.scale)])?;
        }
        Ok(())
    }
}
