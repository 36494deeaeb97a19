//! Values that carry stamps of tags, as `scripts/values.lua` describes them.

/// A tag's stamp: random, never used again.
pub type Stamp = [u8; 16];

/// Tags with the stamps that they had.
type Tags<'a> = Vec<(&'a [u8], Stamp)>;

/// What a tagged value begins with; in no encoding of text, and not what an envelope begins with.
const MAGIC: &[u8] = b"\xf6TG1";

/// The tags of a stored value with their stamps, and where the payload begins. No tags for any value that is not
/// tagged; `None` for one that is broken.
pub(super) fn split(stored: &[u8]) -> Option<(Tags<'_>, usize)> {
    let Some(mut rest) = stored.strip_prefix(MAGIC) else { return Some((Vec::new(), 0)) };
    let count = take(&mut rest, 2)?;
    let mut tags = Vec::new();
    for _ in 0..u16::from_be_bytes([count[0], count[1]]) {
        let length = take(&mut rest, 2)?;
        let tag = take(&mut rest, usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        tags.push((tag, *take(&mut rest, 16)?.first_chunk()?));
    }
    Some((tags, stored.len() - rest.len()))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tags_and_payload_are_found_and_nothing_else_is_taken_for_them(
            tags in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), any::<Stamp>()), 0..4),
            payload: Vec<u8>, cut in 1..30usize,
        ) {
            let mut stored = MAGIC.to_vec();
            stored.extend((tags.len() as u16).to_be_bytes());
            for (tag, stamp) in &tags {
                stored.extend((tag.len() as u16).to_be_bytes());
                stored.extend(tag);
                stored.extend(stamp);
            }
            let head = stored.len();
            stored.extend(&payload);

            let (found, start) = split(&stored).unwrap();
            let found: Vec<_> = found.into_iter().map(|(tag, stamp)| (tag.to_vec(), stamp)).collect();
            prop_assert_eq!((found, start), (tags, head));
            prop_assert!(split(&stored[..head.saturating_sub(cut).max(4)]).is_none());
            prop_assert_eq!(split(&payload), Some((Vec::new(), 0)));
        }
    }
}
