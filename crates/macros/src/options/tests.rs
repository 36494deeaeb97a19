//! What is no option, and with which words that is told.

use super::*;

fn cached(text: &str) -> Vec<String> {
    problems(CachedOptions::parse(text.parse().unwrap()).map(drop))
}

fn problems(result: syn::Result<()>) -> Vec<String> {
    result.err().into_iter().flatten().map(|problem| problem.to_string()).collect()
}

/// With what every function needs.
fn cached_with(text: &str) -> Vec<String> {
    cached(&format!("view = \"v\", ttl = \"1m\", {text}"))
}

#[test]
fn every_option_is_known() {
    let found = cached_with(
        "key = \"{a}\", swr = \"1m\", stale_if_error = \"1h\", negative = \"20s\", tags(\"a:{a}\", \"b\"), \
         tags_from = |p: &P| p.tags(), skip(self, db), cache_if = |r| r.is_ok(), weigh = P::weight, \
         codec = Postcard::shape(1), policy = |p| p.jitter(0), crate = ::cache,",
    );

    assert_eq!(found, [""; 0]);
}

#[test]
fn unknown_options_are_told_with_the_nearest_known() {
    assert_eq!(cached_with("tll = \"1m\""), ["`#[cached]` has no option `tll`; did you mean `ttl`?"]);
    assert_eq!(cached_with("tag(\"a\")"), ["`#[cached]` has no option `tag`; did you mean `tags`?"]);
    assert_eq!(cached_with("expires_after = \"1m\""), ["`#[cached]` has no option `expires_after`"]);
    let invalidates = InvalidatesOptions::parse("tag(\"a\")".parse().unwrap()).map(drop);
    assert_eq!(problems(invalidates), ["`#[invalidates]` has no option `tag`; did you mean `tags`?"]);
}

#[test]
fn what_is_missing_is_told() {
    let view = "`view` is missing: name the view, as in `view = \"product\"`";
    let ttl = "`ttl` is missing: say how long a value lives, as in `ttl = \"15m\"`";

    assert_eq!(cached(""), [view, ttl]);
    assert_eq!(cached("ttl = \"1m\""), [view]);
    assert_eq!(cached("view = \"v\""), [ttl]);
}

#[test]
fn options_are_given_once_and_in_their_form() {
    for (text, expected) in [
        ("swr = \"1m\", swr = \"2m\"", "`swr` is given twice"),
        ("skip = db", "`skip` takes a list: `skip(…)`"),
        ("tags = \"a\"", "`tags` takes a list: `tags(…)`"),
        ("swr(\"1m\")", "`swr` takes a value: `swr = …`"),
        ("swr", "an option is written `swr = …` or `swr(…)`"),
        ("key = id", "`key` is a text, as in `key = \"{region}:{id}\"`"),
        ("tags(product)", "a tag is a text, as in `tags(\"product:{id}\")`"),
        ("crate = \"cache\"", "`crate` is the path of tierkeep-cache, as in `crate = ::cache`"),
    ] {
        assert_eq!(cached_with(text), [expected], "{text}");
    }
}

#[test]
fn views_have_names() {
    assert_eq!(cached("view = 1, ttl = \"1m\""), ["`view` is a text, as in `view = \"product\"`"]);
    assert_eq!(cached("view = \"\", ttl = \"1m\""), ["a view's name has 1 to 100 bytes, this one has 0"]);
    let long = "v".repeat(101);
    assert_eq!(
        cached(&format!("view = \"{long}\", ttl = \"1m\"")),
        ["a view's name has 1 to 100 bytes, this one has 101"]
    );
}

#[test]
fn durations_are_texts_above_zero_and_below_a_month() {
    for (ttl, expected) in [
        ("15", "a duration is a text, as in \"15m\", \"1h30m\" or \"250ms\""),
        (
            "\"15\"",
            "`15` is not a duration: write numbers with units, such as \"15m\", \"1h30m\", \"20s\" or \"250ms\"",
        ),
        ("\"0s\"", "a duration of zero keeps nothing: leave the option out, or call without the cache"),
        ("\"31d\"", "`31d` is too long: a value lives 30 days at most"),
    ] {
        assert_eq!(cached(&format!("view = \"v\", ttl = {ttl}")), [expected]);
    }
    assert_eq!(cached("view = \"v\", ttl = \"30d\""), [""; 0]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let found = cached("view = \"\", ttl = \"1x\", swr = \"1y\", tags(\"{a}\", \"{b}\")");

    assert_eq!(found.len(), 5, "{found:?}");
}
