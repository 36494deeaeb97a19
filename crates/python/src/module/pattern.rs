//! Patterns of keys, as Redis has them: `*`, `?`, `[a-z]`, `[^a]`, and a backslash before what is meant as it is.

/// What every key that matches begins with.
pub(super) fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    &pattern[..end]
}

/// True if the whole of `text` matches. Costs at most the product of the lengths.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // The last star seen, and where its match ends so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, read));
            at += 1;
            continue;
        }
        if let Some(next) = one(pattern, at, text[read]) {
            (at, read) = (next, read + 1);
            continue;
        }
        let Some((begun, ended)) = star else { return false };
        star = Some((begun, ended + 1));
        (at, read) = (begun + 1, ended + 1);
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Where the pattern goes on after the element at `at`, if that element matches `byte`.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => {
            let (inside, next) = class(&pattern[at + 1..], byte);
            inside.then_some(at + 1 + next)
        }
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        other => (other == byte).then_some(at + 1),
    }
}

/// Whether `byte` is in the class, and where what follows it begins.
fn class(class: &[u8], byte: u8) -> (bool, usize) {
    let not = class.first() == Some(&b'^');
    let mut at = usize::from(not);
    let mut inside = false;
    while at < class.len() && class[at] != b']' {
        if class[at] == b'\\' && at + 1 < class.len() {
            at += 1;
            inside |= class[at] == byte;
        } else if class.get(at + 1) == Some(&b'-') && at + 2 < class.len() && class[at + 2] != b']' {
            let (low, high) = (class[at].min(class[at + 2]), class[at].max(class[at + 2]));
            inside |= (low..=high).contains(&byte);
            at += 2;
        } else {
            inside |= class[at] == byte;
        }
        at += 1;
    }
    (inside != not, (at + 1).min(class.len()))
}
