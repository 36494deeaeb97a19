//! Patterns of keys, as the server reads them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what stands for itself.

/// A pattern that is read once and compared often.
#[derive(Clone, Debug)]
pub struct Glob {
    parts: Vec<Part>,
    prefix: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Part {
    /// This byte.
    Byte(u8),
    /// Any byte: `?`.
    Any,
    /// Any bytes: `*`.
    Many,
    /// One of these ranges, or none of them.
    Class(Vec<(u8, u8)>, bool),
}

impl Glob {
    /// Reads a pattern. Every text is one: what is not complete, as `[a` and a last `\`, means what the server takes it for.
    pub fn new(pattern: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            parts.push(match first {
                b'*' if matches!(parts.last(), Some(Part::Many)) => continue,
                b'*' => Part::Many,
                b'?' => Part::Any,
                b'[' => class(&mut rest),
                b'\\' => match rest.split_first() {
                    Some((byte, tail)) => {
                        rest = tail;
                        Part::Byte(*byte)
                    }
                    None => Part::Byte(b'\\'),
                },
                byte => Part::Byte(*byte),
            });
        }
        let literal = parts.iter().map_while(|part| if let Part::Byte(byte) = part { Some(*byte) } else { None });
        Self { prefix: literal.collect(), parts }
    }

    /// What every key that the pattern meets begins with.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Whether the pattern meets a key. Takes at most as many steps as both are long, multiplied.
    pub fn matches(&self, key: &[u8]) -> bool {
        let (mut part, mut byte) = (0, 0);
        // Where the last `*` stands, and the first byte that it does not take so far.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Many) => {
                    star = Some((part, byte));
                    part += 1;
                    continue;
                }
                Some(one) if key.get(byte).is_some_and(|byte| one.takes(*byte)) => {
                    part += 1;
                    byte += 1;
                    continue;
                }
                None if byte == key.len() => return true,
                _ => {}
            }
            match &mut star {
                Some((at, taken)) if *taken < key.len() => {
                    *taken += 1;
                    part = *at + 1;
                    byte = *taken;
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::Any => true,
            Self::Many => false,
            Self::Class(ranges, is_inverted) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *is_inverted
            }
        }
    }
}

/// What follows a `[`, up to its `]` or the end.
fn class(rest: &mut &[u8]) -> Part {
    let is_inverted = rest.first() == Some(&b'^');
    if is_inverted {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        match *rest {
            [b'\\', byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                *rest = tail;
            }
            [b']', tail @ ..] => {
                *rest = tail;
                break;
            }
            [] => break,
            [low, b'-', high, tail @ ..] => {
                ranges.push((*low.min(high), *low.max(high)));
                *rest = tail;
            }
            [byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                *rest = tail;
            }
        }
    }
    Part::Class(ranges, is_inverted)
}

/// The pattern that meets just this key.
pub fn escaped(key: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(key.len());
    for byte in key {
        if b"*?[]\\^-".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By definition, without any shortcut.
    fn slowly(parts: &[Part], key: &[u8]) -> bool {
        match parts.split_first() {
            None => key.is_empty(),
            Some((Part::Many, rest)) => (0..=key.len()).any(|taken| slowly(rest, &key[taken..])),
            Some((one, rest)) => key.split_first().is_some_and(|(byte, tail)| one.takes(*byte) && slowly(rest, tail)),
        }
    }

    #[test]
    fn patterns_mean_what_the_server_takes_them_for() {
        for (pattern, key, meets) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("[]", "", false),
            ("\\", "\\", true),
        ] {
            assert_eq!(Glob::new(pattern.as_bytes()).matches(key.as_bytes()), meets, "{pattern} {key}");
        }
        assert_eq!(Glob::new(b":1:user\\::*").prefix(), b":1:user::");
    }

    proptest! {
        #[test]
        fn shortcuts_change_nothing(pattern in "[ab*?\\[\\]^\\\\-]{0,12}", key in "[ab*\\]^-]{0,10}") {
            let glob = Glob::new(pattern.as_bytes());

            prop_assert_eq!(glob.matches(key.as_bytes()), slowly(&glob.parts, key.as_bytes()));
            prop_assert!(!glob.matches(key.as_bytes()) || key.as_bytes().starts_with(glob.prefix()));
        }

        #[test]
        fn an_escaped_key_meets_itself_only(key: Vec<u8>, other: Vec<u8>) {
            let glob = Glob::new(&escaped(&key));

            prop_assert!(glob.matches(&key));
            prop_assert_eq!(glob.matches(&other), key == other);
        }
    }
}
