//! The examples that must not compile do not for the reason they give: each message in the documentation is the one told.

use quote::ToTokens as _;
use syn::{Attribute, ImplItem, Item, Meta};

use crate::{cached, invalidates, measured};

/// Messages that the compiler tells and not the attribute; see `CacheKey` and `ByteSize`.
const OF_THE_COMPILER: [&str; 2] =
    ["the cache cannot tell how many bytes `Text` takes", "`f64` cannot be part of a key or a tag"];

struct Example {
    code: String,
    /// The comment, its lines joined.
    message: String,
    must_fail: bool,
}

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    let mut open: Option<Example> = None;
    for line in include_str!("lib.rs").lines().filter_map(|line| line.strip_prefix("///")) {
        let text = line.trim();
        match (text.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => examples.extend(open.take()),
            (Some(kind), None) => {
                let must_fail = kind == "compile_fail";
                open = Some(Example { code: String::new(), message: String::new(), must_fail });
            }
            (None, Some(example)) => match text.strip_prefix("// ") {
                Some(comment) if example.message.is_empty() => example.message.push_str(comment),
                Some(comment) => example.message.extend([" ", comment]),
                None => example.code.extend([text.strip_prefix("# ").unwrap_or(text), "\n"]),
            },
            (None, None) => {}
        }
    }
    examples
}

/// What the attributes of an example tell.
fn told(example: &Example) -> Vec<String> {
    let file: syn::File = syn::parse_str(&example.code).expect("examples are Rust, and so is what must not compile");
    let mut told = Vec::new();
    for item in file.items {
        match item {
            Item::Fn(mut function) => {
                let attribute = first(&mut function.attrs);
                told.extend(attribute.map(|attribute| problems(&attribute, function.to_token_stream())));
            }
            Item::Impl(block) => {
                for item in block.items {
                    let ImplItem::Fn(mut function) = item else { continue };
                    let attribute = first(&mut function.attrs);
                    told.extend(attribute.map(|attribute| problems(&attribute, function.to_token_stream())));
                }
            }
            _ => {}
        }
    }
    told.into_iter().flatten().collect()
}

fn first(attributes: &mut Vec<Attribute>) -> Option<Attribute> {
    let ours = |attribute: &Attribute| {
        ["cached", "invalidates", "measured"].iter().any(|name| attribute.path().is_ident(name))
    };
    attributes.first().is_some_and(ours).then(|| attributes.remove(0))
}

fn problems(attribute: &Attribute, item: proc_macro2::TokenStream) -> Vec<String> {
    let options = match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => proc_macro2::TokenStream::new(),
    };
    let expand = match attribute.path() {
        path if path.is_ident("cached") => cached::expand,
        path if path.is_ident("measured") => measured::expand,
        _ => invalidates::expand,
    };
    let problems = expand(options, item).err();
    problems.into_iter().flatten().map(|problem| problem.to_string()).collect()
}

#[test]
fn examples_fail_with_the_message_in_their_comment() {
    let examples: Vec<Example> = examples().into_iter().filter(|example| example.must_fail).collect();

    assert!(examples.len() >= 20, "{} examples were found", examples.len());
    for example in examples {
        let expected =
            if OF_THE_COMPILER.contains(&&*example.message) { vec![] } else { vec![example.message.clone()] };
        assert_eq!(told(&example), expected, "{}", example.code);
    }
}

#[test]
fn examples_that_compile_are_told_nothing() {
    for example in examples().into_iter().filter(|example| !example.must_fail && !example.code.contains("tokio::main"))
    {
        assert_eq!(told(&example), [""; 0], "{}", example.code);
    }
}
