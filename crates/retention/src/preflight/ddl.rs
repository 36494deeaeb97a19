//! Reading what SQLite keeps only as the text of a statement: checks, conditions of indexes, and when triggers fire.
//!
//! The texts were accepted by SQLite, so they are well-formed; what is not understood yields nothing.

use super::facts::{CheckConstraint, TriggerEvents, TriggerTime};

/// The CHECK constraints of a `create table`.
pub(super) fn checks(sql: &str) -> Vec<CheckConstraint> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if !(is_word(pair[0], "check") && pair[1] == "(") {
            continue;
        }
        let is_named = at >= 2 && is_word(tokens[at - 2], "constraint");
        let body = &tokens[at + 1..];
        found.push(CheckConstraint {
            name: is_named.then(|| unquoted(tokens[at - 1])),
            text: format!("check {}", squeezed(&body[..closing(body)])),
            is_validated: true,
        });
    }
    found
}

/// The condition of a `create index`.
pub(super) fn predicate(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            word if depth == 0 && is_word(word, "where") => return Some(squeezed(&tokens[at + 1..])),
            _ => {}
        }
    }
    None
}

/// When a `create trigger` fires; without a word it is before.
pub(super) fn trigger(sql: &str) -> (TriggerTime, TriggerEvents) {
    let tokens = tokens(sql);
    let start = tokens.iter().position(|token| is_word(token, "trigger")).map_or(0, |at| at + 1);
    let mut rest = tokens.get(start..).unwrap_or_default();
    if rest.first().is_some_and(|word| is_word(word, "if")) {
        rest = rest.get(3..).unwrap_or_default();
    }
    // The name, with its schema: it may be one of the words that follow.
    rest = rest.get(if rest.get(1) == Some(&".") { 3 } else { 1 }..).unwrap_or_default();
    let mut time = TriggerTime::Before;
    let mut events = TriggerEvents::default();
    for word in rest {
        match word.to_ascii_lowercase().as_str() {
            "after" => time = TriggerTime::After,
            "instead" => time = TriggerTime::InsteadOf,
            "insert" => events.insert = true,
            "delete" => events.delete = true,
            "update" => events.update = true,
            "on" => break,
            // The columns of `update of` follow.
            "of" if events.update => break,
            _ => {}
        }
    }
    (time, events)
}

/// Words, names in quotes, texts and single signs, without white space and comments.
fn tokens(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_comment = rest.starts_with("--") || rest.starts_with("/*");
        let length = match first {
            '-' if is_comment => rest.find('\n').unwrap_or(rest.len()),
            '/' if is_comment => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' | '\'' | '`' => quoted_length(rest, first),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if !is_comment {
            found.push(token);
        }
        rest = after.trim_start();
    }
    found
}

/// Length of what is in quotes; a quote in it is doubled.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn is_word(token: &str, word: &str) -> bool {
    token.eq_ignore_ascii_case(word)
}

/// How many tokens belong to the brackets that open with the first one.
fn closing(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" if depth == 1 => return at + 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    tokens.len()
}

/// The tokens with one space between them, so that two spellings of one expression are equal.
fn squeezed(tokens: &[&str]) -> String {
    let spelled = |token: &&str| {
        if token.starts_with(['"', '\'', '`', '[']) { (*token).to_owned() } else { token.to_ascii_lowercase() }
    };
    tokens.iter().map(spelled).collect::<Vec<_>>().join(" ")
}

fn unquoted(token: &str) -> String {
    let inner = |open: char, close: char| token.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    match token.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let doubled = format!("{quote}{quote}");
            inner(quote, quote).unwrap_or(token).replace(&doubled, &quote.to_string())
        }
        Some('[') => inner('[', ']').unwrap_or(token).to_owned(),
        _ => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_with_their_names_and_nowhere_else() {
        let sql = "CREATE TABLE t (a int CHECK(a>0), \"check\" text default 'check (1)', -- check (2)\n\
                   b, constraint \"odd \"\" one\" check (b in (1, 2) /* ) */ and A < b))";

        let found = checks(sql);

        let texts: Vec<(Option<&str>, &str)> =
            found.iter().map(|check| (check.name.as_deref(), check.text.as_str())).collect();
        assert_eq!(texts, [(None, "check ( a > 0 )"), (Some("odd \" one"), "check ( b in ( 1 , 2 ) and a < b )")]);
    }

    #[test]
    fn condition_of_an_index_is_what_follows_where() {
        assert_eq!(predicate("create index i on t (a) where a is  not null"), Some("a is not null".to_owned()));
        assert_eq!(predicate("create index \"where\" on t (a, (b = 'where'))"), None);
    }

    #[test]
    fn triggers_say_when_they_fire() {
        let on = |sql| {
            let (time, events) = trigger(sql);
            (time, events.insert, events.update, events.delete)
        };

        assert_eq!(on("create trigger a delete on t begin select 1; end"), (TriggerTime::Before, false, false, true));
        assert_eq!(
            on("create temp trigger if not exists main.after after insert on t begin delete from u; end"),
            (TriggerTime::After, true, false, false)
        );
        assert_eq!(
            on("create trigger \"delete\" instead of update of a, b on v begin select 1; end"),
            (TriggerTime::InsteadOf, false, true, false)
        );
    }

    #[test]
    fn texts_that_end_in_the_middle_yield_no_panic() {
        for sql in ["", "check (", "check", "create trigger", "create trigger if", "'", "\"a", "/*", "a [", "é ü '''"]
        {
            checks(sql);
            predicate(sql);
            trigger(sql);
        }
    }
}
