//! Names that are like one that does not exist.

/// The names, the one most like `given` first.
pub(super) fn by_likeness<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| distance(given, name));
    names.join(", ")
}

/// Letters to change, add or leave out to get from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (place, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *candidate);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_alike_comes_first() {
        let names = ["precompute-active-cache", "cleanup-expired-cache", "archive-old-data"];

        assert!(by_likeness("archive_old_data", names).starts_with("archive-old-data, "));
        assert!(by_likeness("cleanup", names).starts_with("cleanup-expired-cache, "));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
