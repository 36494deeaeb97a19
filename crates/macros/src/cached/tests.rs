//! What `#[cached]` refuses, and with which words.

use quote::quote;

use super::*;

mod generated;

const KEYED: &str = "view = \"v\", key = \"{id}\", ttl = \"1m\"";

fn problems(options: &str, item: TokenStream) -> Vec<String> {
    let options = options.parse().unwrap();
    match expand(options, item) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.to_string()).collect(),
    }
}

fn problem(options: &str, item: TokenStream) -> String {
    let problems = problems(options, item);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn a_parameter_is_in_the_key_or_skipped() {
    let function = quote!(
        async fn f(db: &Db, org: u64, id: u64) -> u64 {
            1
        }
    );

    assert_eq!(
        problem("view = \"v\", key = \"{id}\", ttl = \"1m\", skip(db)", function.clone()),
        "`org` is neither in the key nor in `skip`: calls that differ in it would share a value; add `{org}` to the key, \
         or `skip(org)` if the value does not depend on it"
    );
    assert_eq!(
        problem("view = \"v\", key = \"{id}:{org}\", ttl = \"1m\", skip(db, org)", function.clone()),
        "`org` is in the key and in `skip`; choose one"
    );
    assert!(problems("view = \"v\", key = \"{id}:{org}\", ttl = \"1m\", skip(db)", function).is_empty());
}

#[test]
fn all_forgotten_parameters_are_told_at_once() {
    let found = problems(
        KEYED,
        quote!(
            async fn f(id: u64, left: u64, right: u64) -> u64 {
                1
            }
        ),
    );

    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("`left` is neither") && found[1].starts_with("`right` is neither"), "{found:?}");
}

#[test]
fn names_must_be_parameters() {
    let function = quote!(
        async fn f(region: &str) -> u64 {
            1
        }
    );

    assert_eq!(
        problems("view = \"v\", key = \"{regoin}\", ttl = \"1m\", skip(region)", function.clone()),
        ["there is no parameter `regoin`; did you mean `region`?"]
    );
    assert_eq!(
        problem("view = \"v\", key = \"{region}\", ttl = \"1m\", skip(db)", function.clone()),
        "there is no parameter `db`"
    );
    assert_eq!(
        problem("view = \"v\", key = \"{region}\", ttl = \"1m\", tags(\"r:{reg}\")", function),
        "there is no parameter `reg`; did you mean `region`?"
    );
}

#[test]
fn tags_follow_from_the_key() {
    let function = quote!(
        async fn f(id: u64, org: u64) -> u64 {
            1
        }
    );

    assert_eq!(
        problem("view = \"v\", key = \"{id}\", ttl = \"1m\", skip(org), tags(\"org:{org}\")", function),
        "`org` is skipped, so that it does not follow from the key which tag a value has; add `{org}` to the key, or take \
         the tag from the value with `tags_from`"
    );
}

#[test]
fn a_missing_key_is_proposed() {
    let options = "view = \"v\", ttl = \"1m\", skip(db)";

    assert_eq!(
        problem(
            options,
            quote!(
                async fn f(db: &Db, region: &str, id: u64) -> u64 {
                    1
                }
            )
        ),
        "`key` is missing: name what the value depends on, as in `key = \"{region}:{id}\"`"
    );
    assert!(
        problems(
            options,
            quote!(
                async fn f(db: &Db) -> u64 {
                    1
                }
            )
        )
        .is_empty()
    );
}

#[test]
fn only_async_functions_of_rust_are_cached() {
    for (function, expected) in [
        (
            quote!(
                fn f(id: u64) -> u64 {
                    1
                }
            ),
            "`#[cached]` needs an `async fn`: the cache is asked without blocking a thread",
        ),
        (
            quote!(
                async unsafe fn f(id: u64) -> u64 {
                    1
                }
            ),
            "`#[cached]` cannot keep an `unsafe` promise",
        ),
        (
            quote!(
                async extern "C" fn f(id: u64) -> u64 {
                    1
                }
            ),
            "`#[cached]` needs a function of Rust",
        ),
        (
            quote!(
                async fn f(id: u64) -> impl Sized {
                    1
                }
            ),
            "`#[cached]` needs a return type with a name, not `impl …`",
        ),
        (
            quote!(
                struct S;
            ),
            "this attribute goes on a function",
        ),
        (
            quote!(
                async fn f(id: u64) -> u64;
            ),
            "this attribute needs a function with a body",
        ),
    ] {
        assert_eq!(problem(KEYED, function), expected);
    }
}

#[test]
fn generic_functions_are_refused_and_lifetimes_are_not() {
    let expected = "a cached function has one type of values and keys: generic functions are not supported; \
                    write one function for each type";
    for function in [
        quote!(
            async fn f<T: CacheKey>(id: T) -> u64 {
                1
            }
        ),
        quote!(
            async fn f<const N: usize>(id: [u8; N]) -> u64 {
                1
            }
        ),
        quote!(
            async fn f(id: impl CacheKey) -> u64 {
                1
            }
        ),
    ] {
        assert_eq!(problem(KEYED, function), expected);
    }
    assert!(
        problems(
            KEYED,
            quote!(
                async fn f<'a>(id: &'a str) -> u64 {
                    1
                }
            )
        )
        .is_empty()
    );
}

#[test]
fn receivers_are_references_and_skipped() {
    let skipped = "view = \"v\", key = \"{id}\", ttl = \"1m\", skip(self)";

    assert!(
        problems(
            skipped,
            quote!(
                async fn f(&self, id: u64) -> u64 {
                    1
                }
            )
        )
        .is_empty()
    );
    assert_eq!(
        problem(
            KEYED,
            quote!(
                async fn f(&self, id: u64) -> u64 {
                    1
                }
            )
        ),
        "`self` is neither in the key nor in `skip`: a value of one object would be served for another; write \
         `skip(self)` if the result does not depend on it"
    );
    for function in [
        quote!(
            async fn f(self, id: u64) -> u64 {
                1
            }
        ),
        quote!(
            async fn f(&mut self, id: u64) -> u64 {
                1
            }
        ),
        quote!(
            async fn f(self: Arc<Self>, id: u64) -> u64 {
                1
            }
        ),
    ] {
        let expected = "a cached method takes `&self`: it may run after its caller is gone, or not at all";
        assert_eq!(problem(skipped, function), expected);
    }
    assert_eq!(
        problem(
            skipped,
            quote!(
                async fn f(id: u64) -> u64 {
                    1
                }
            )
        ),
        "there is no `self` to skip"
    );
}

#[test]
fn parameters_have_plain_names() {
    assert_eq!(
        problem(
            KEYED,
            quote!(
                async fn f(id: u64, (a, b): (u8, u8)) -> u64 {
                    1
                }
            )
        ),
        "a parameter of a cached function has a plain name, so that the key or `skip` can name it"
    );
    assert!(
        problems(
            KEYED,
            quote!(
                async fn f(mut id: u64) -> u64 {
                    1
                }
            )
        )
        .is_empty()
    );
}

#[test]
fn values_are_owned_and_there_is_one() {
    let borrowed = "a cached value outlives the call, so it cannot borrow from an argument; return an owned value";
    for function in [
        quote!(
            async fn f(id: &str) -> &str {
                id
            }
        ),
        quote!(
            async fn f(id: &str) -> Result<Cow<'_, str>, Error> {
                id
            }
        ),
        quote!(
            async fn f(id: &str) -> Option<&str> {
                id
            }
        ),
    ] {
        assert_eq!(problem(KEYED, function), borrowed);
    }
    let nothing = "a cached function returns the value to keep, this one returns `()`";
    assert_eq!(
        problem(
            KEYED,
            quote!(
                async fn f(id: u64) {}
            )
        ),
        nothing
    );
    assert_eq!(
        problem(
            KEYED,
            quote!(
                async fn f(id: u64) -> Result<(), Error> {
                    Ok(())
                }
            )
        ),
        nothing
    );
    assert!(
        problems(
            KEYED,
            quote!(
                async fn f(id: u64) -> Option<&'static str> {
                    None
                }
            )
        )
        .is_empty()
    );
}

#[test]
fn attributes_that_look_into_the_function_stand_above() {
    assert_eq!(
        problem(
            KEYED,
            quote!(
                #[tracing::instrument]
                async fn f(id: u64) -> u64 {
                    1
                }
            )
        ),
        "`#[tracing::instrument]` would see what `#[cached]` makes of the function; put it above `#[cached]`, where it \
         sees the function itself"
    );
    let harmless = quote!(
        #[doc = "Text."]
        #[cfg(all())]
        #[must_use]
        #[clippy::msrv = "1.95"]
        async fn f(id: u64) -> u64 {
            1
        }
    );
    assert!(problems(KEYED, harmless).is_empty());
}

#[test]
fn problems_of_options_and_function_are_told_together() {
    let found = problems(
        "view = \"v\", key = \"{id}\"",
        quote!(
            fn f(id: u64) -> u64 {
                1
            }
        ),
    );

    assert_eq!(
        found,
        [
            "`#[cached]` needs an `async fn`: the cache is asked without blocking a thread",
            "`ttl` is missing: say how long a value lives, as in `ttl = \"15m\"`",
        ]
    );
}
