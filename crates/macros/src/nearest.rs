//! The word that was probably meant.

/// The known word that differs from this one in the fewest letters, if they are few.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = known.into_iter().map(|known| (distance(word, known), known)).min()?;
    (distance <= word.len().max(candidate.len()) / 3 + 1 && distance < candidate.len()).then_some(candidate)
}

/// ` (did you mean …?)`, or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

/// Letters to insert, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (left, right, expected) in [("", "abc", 3), ("ttl", "ttl", 0), ("tll", "ttl", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["view", "key", "ttl", "tags_from", "cache_if"];

        assert_eq!(nearest("tll", known), Some("ttl"));
        assert_eq!(nearest("tag_from", known), Some("tags_from"));
        assert_eq!(nearest("expires_after", known), None);
    }
}
