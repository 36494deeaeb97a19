//! Nested plain values as bytes, without pickle: reading them makes plain values and nothing else.
//!
//! One byte says the kind; lengths and counts are 4 bytes, big-endian. Whoever writes a list of `n` writes `n` values
//! after it; a dict of `n`, `n` keys each followed by its value.

/// How deep values may lie in each other.
pub const DEEPEST: usize = 100;

/// One value, or the beginning of one that holds others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// Python's None.
    None,
    /// True or False.
    Bool(bool),
    /// A whole number as decimal text.
    Whole(&'a [u8]),
    /// A float, with the sign of zero and the bits of a NaN.
    Float(f64),
    /// Text in UTF-8, in which lone surrogates are allowed.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list of so many values, which follow.
    List(u32),
    /// A tuple of so many values, which follow.
    Tuple(u32),
    /// A set of so many values, which follow.
    Set(u32),
    /// A dict of so many entries, which follow, each key before its value.
    Dict(u32),
}

impl Token<'_> {
    /// How many tokens follow that belong to it.
    fn parts(&self) -> u64 {
        match self {
            Self::List(count) | Self::Tuple(count) | Self::Set(count) => u64::from(*count),
            Self::Dict(count) => 2 * u64::from(*count),
            _ => 0,
        }
    }

    /// Appends the token. `false`, and nothing appended, if it is longer than 4 GiB.
    #[must_use]
    pub fn write(&self, bytes: &mut Vec<u8>) -> bool {
        let (kind, count, content) = match self {
            Self::None => (b'N', None, &b""[..]),
            Self::Bool(true) => (b'T', None, &b""[..]),
            Self::Bool(false) => (b'F', None, &b""[..]),
            Self::Float(number) => {
                bytes.push(b'f');
                bytes.extend(number.to_bits().to_be_bytes());
                return true;
            }
            Self::Whole(text) => (b'i', u32::try_from(text.len()).ok(), *text),
            Self::Text(text) => (b's', u32::try_from(text.len()).ok(), *text),
            Self::Bytes(text) => (b'b', u32::try_from(text.len()).ok(), *text),
            Self::List(count) => (b'l', Some(*count), &b""[..]),
            Self::Tuple(count) => (b't', Some(*count), &b""[..]),
            Self::Set(count) => (b'e', Some(*count), &b""[..]),
            Self::Dict(count) => (b'd', Some(*count), &b""[..]),
        };
        if count.is_none() && !content.is_empty() {
            return false;
        }
        bytes.push(kind);
        bytes.extend(count.map(u32::to_be_bytes).iter().flatten());
        bytes.extend(content);
        true
    }
}

/// Reads tokens. Ends with the value; an error if it is broken, nested too deep, or followed by more.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Tokens that are still to come at each depth.
    open: Vec<u64>,
}

/// These bytes are no nested value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no nested value")]
pub struct Broken;

impl<'a> Reader<'a> {
    /// Reads one value.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, open: vec![1] }
    }

    fn token(&mut self) -> Option<Token<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match kind {
            b'N' => Token::None,
            b'T' => Token::Bool(true),
            b'F' => Token::Bool(false),
            b'f' => Token::Float(f64::from_bits(u64::from_be_bytes(*self.take(8)?.first_chunk()?))),
            b'i' => Token::Whole(self.content().filter(|text| crate::remote::is_whole_number(text))?),
            b's' => Token::Text(self.content()?),
            b'b' => Token::Bytes(self.content()?),
            b'l' => Token::List(self.count(1)?),
            b't' => Token::Tuple(self.count(1)?),
            b'e' => Token::Set(self.count(1)?),
            b'd' => Token::Dict(self.count(2)?),
            _ => return None,
        })
    }

    fn content(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(*self.take(4)?.first_chunk()?);
        self.take(usize::try_from(length).ok()?)
    }

    /// A count that the bytes at hand can hold: who reads it may make room for as many.
    fn count(&mut self, bytes_each: usize) -> Option<u32> {
        let count = u32::from_be_bytes(*self.take(4)?.first_chunk()?);
        (usize::try_from(count).ok()?.checked_mul(bytes_each)? <= self.rest.len()).then_some(count)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Token<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        let Some(left) = self.open.last_mut() else {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = &[];
            return Some(Err(Broken));
        };
        *left -= 1;
        match self.token() {
            Some(token) if self.open.len() <= DEEPEST || token.parts() == 0 => {
                if token.parts() > 0 {
                    self.open.push(token.parts());
                }
                Some(Ok(token))
            }
            _ => {
                self.open.clear();
                self.rest = &[];
                Some(Err(Broken))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Owned {
        Leaf(Token<'static>),
        Text(Vec<u8>),
        List(Vec<Owned>),
        Dict(Vec<(Owned, Owned)>),
    }

    fn trees() -> impl Strategy<Value = Owned> {
        let leaf = prop_oneof![
            Just(Owned::Leaf(Token::None)),
            any::<bool>().prop_map(|flag| Owned::Leaf(Token::Bool(flag))),
            (-1e9..1e9f64).prop_map(|number| Owned::Leaf(Token::Float(number))),
            Just(Owned::Leaf(Token::Whole(b"-12345678901234567890"))),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Owned::Text),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Owned::List),
                prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Owned::Dict),
            ]
        })
    }

    fn tokens(tree: &Owned) -> Vec<Token<'_>> {
        match tree {
            Owned::Leaf(token) => vec![*token],
            Owned::Text(text) => vec![Token::Text(text)],
            Owned::List(values) => {
                let head = Token::List(values.len() as u32);
                std::iter::once(head).chain(values.iter().flat_map(tokens)).collect()
            }
            Owned::Dict(entries) => {
                let head = Token::Dict(entries.len() as u32);
                let parts = entries.iter().flat_map(|(key, value)| [tokens(key), tokens(value)].concat());
                std::iter::once(head).chain(parts).collect()
            }
        }
    }

    fn written(tokens: &[Token<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(tokens.iter().all(|token| token.write(&mut bytes)));
        bytes
    }

    #[test]
    fn signs_of_zero_and_bits_of_nan_come_back() {
        for number in [-0.0, f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001), f64::INFINITY] {
            let bytes = written(&[Token::Float(number)]);
            let Some(Ok(Token::Float(read))) = Reader::new(&bytes).next() else { panic!("no float") };
            assert_eq!(read.to_bits(), number.to_bits());
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = |depth: usize| written(&[vec![Token::List(1); depth], vec![Token::None]].concat());
        assert!(Reader::new(&deep(DEEPEST)).all(|token| token.is_ok()));
        assert!(!Reader::new(&deep(DEEPEST + 1)).all(|token| token.is_ok()));
    }

    #[test]
    fn counts_are_not_believed() {
        assert_eq!(Reader::new(b"l\xff\xff\xff\xff").next(), Some(Err(Broken)));
        assert_eq!(Reader::new(b"s\xff\xff\xff\xff").next(), Some(Err(Broken)));
    }

    proptest! {
        #[test]
        fn trees_come_back_and_broken_ones_do_not(tree in trees(), cut in 1..40usize, noise: u8) {
            let bytes = written(&tokens(&tree));

            let read: Result<Vec<_>, _> = Reader::new(&bytes).collect();
            let short = &bytes[..bytes.len() - cut.min(bytes.len())];
            let long = [bytes.as_slice(), &[noise]].concat();

            prop_assert_eq!(read, Ok(tokens(&tree)));
            prop_assert!(Reader::new(short).any(|token| token.is_err()));
            prop_assert!(Reader::new(&long).any(|token| token.is_err()));
        }

        #[test]
        fn foreign_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(Reader::new(&bytes).count() <= bytes.len() + 1);
        }
    }
}
