//! Finds where an answer ends, so that the parser is given whole answers only.

use std::io;

use redis::Value;

/// The longest answer, in bytes: Redis allows no longer string, and no batch of ours is so large.
const LONGEST: usize = 1 << 30;
/// Parts of an answer, at most.
const MOST_PARTS: usize = 1 << 24;

/// How far the bytes at hand have been read.
#[derive(Default)]
pub(super) struct Reader {
    /// Bytes that were seen to be complete parts.
    at: usize,
    /// Parts that are still to come, the first one not counted.
    open: usize,
    has_begun: bool,
    /// Bytes needed to complete the part that was begun.
    needed: usize,
}

impl Reader {
    /// The first answer in `bytes` and its length; `None` if it is not complete. Called again with more bytes, it
    /// goes on where it was.
    ///
    /// # Errors
    /// The bytes are no answer of a server.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<Option<(Value, usize)>> {
        if !self.has_begun {
            self.open = 1;
            self.has_begun = true;
        }
        while self.open > 0 {
            let Some((length, parts)) = self.part(&bytes[self.at..])? else { return Ok(None) };
            self.at += length;
            self.open = (self.open - 1).saturating_add(parts);
            if self.open > MOST_PARTS || self.at > LONGEST {
                return Err(nonsense());
            }
        }
        let value = redis::parse_redis_value(&bytes[..self.at]).map_err(io::Error::other)?;
        Ok(Some((value, self.at)))
    }

    /// How many bytes more are needed at least.
    pub(super) fn missing(&self, at_hand: usize) -> usize {
        self.needed.saturating_sub(at_hand)
    }

    /// The length of the part that begins here, and how many parts it says follow.
    fn part(&mut self, bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return if bytes.len() > 64 * 1024 { Err(nonsense()) } else { Ok(None) };
        };
        if end == 0 {
            return Err(nonsense());
        }
        let (kind, count, head) = (bytes[0], &bytes[1..end], end + 2);
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Ok(Some((head, 0))),
            b'$' | b'=' | b'!' => {
                let Some(length) = number(count)? else { return Ok(Some((head, 0))) };
                let whole = head + length + 2;
                self.needed = self.at + whole;
                Ok((bytes.len() >= whole).then_some((whole, 0)))
            }
            b'*' | b'~' | b'>' => Ok(Some((head, number(count)?.unwrap_or(0)))),
            // An attribute is followed by what it describes.
            b'|' => Ok(Some((head, number(count)?.unwrap_or(0) * 2 + 1))),
            b'%' => Ok(Some((head, number(count)?.unwrap_or(0) * 2))),
            _ => Err(nonsense()),
        }
    }
}

/// A length; `None` for that of nothing.
fn number(digits: &[u8]) -> io::Result<Option<usize>> {
    let text = std::str::from_utf8(digits).map_err(|_| nonsense())?;
    if text == "-1" {
        return Ok(None);
    }
    text.parse().ok().filter(|length| *length <= LONGEST).map(Some).ok_or_else(nonsense)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "these are not answers of a redis server")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWERS: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-7\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\na\r\nb\r\n",
        b"*-1\r\n",
        b"*3\r\n*1\r\n:1\r\n$1\r\nx\r\n_\r\n",
        b"%1\r\n+a\r\n*0\r\n",
        b">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\ntk:a\r\n",
        b">2\r\n$10\r\ninvalidate\r\n_\r\n",
    ];

    proptest! {
        #[test]
        fn answers_are_found_wherever_the_bytes_are_cut(
            picked in prop::collection::vec(0..ANSWERS.len(), 1..6), cuts in prop::collection::vec(1..9usize, 1..9),
        ) {
            let sent: Vec<u8> = picked.iter().flat_map(|index| ANSWERS[*index]).copied().collect();
            let (mut sent, mut at_hand, mut found) = (sent.as_slice(), Vec::new(), Vec::new());
            let mut reader = Reader::default();
            for cut in cuts.iter().cycle() {
                while let Some((value, length)) = reader.read(&at_hand).unwrap() {
                    found.push((value, at_hand.drain(..length).collect::<Vec<u8>>()));
                    reader = Reader::default();
                }
                if sent.is_empty() {
                    break;
                }
                let (now, later) = sent.split_at((*cut).min(sent.len()));
                at_hand.extend(now);
                sent = later;
            }

            let expected: Vec<_> = picked
                .iter()
                .map(|index| (redis::parse_redis_value(ANSWERS[*index]).unwrap(), ANSWERS[*index].to_vec()))
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn foreign_bytes_are_an_error_or_incomplete_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Reader::default().read(&bytes);
            let _ = Reader::default().read(&[b"*3\r\n$2\r\n".as_slice(), &bytes].concat());
        }
    }
}
