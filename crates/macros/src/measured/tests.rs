//! What `#[measured]` refuses, and with which words, and what it takes for a future.

use super::*;

fn problems(options: &str, item: TokenStream) -> Vec<String> {
    match expand(options.parse().unwrap(), item) {
        Ok(tokens) => {
            syn::parse2::<syn::ItemFn>(tokens).unwrap();
            Vec::new()
        }
        Err(problems) => problems.into_iter().map(|problem| problem.to_string()).collect(),
    }
}

fn function() -> TokenStream {
    quote!(
        fn f() {}
    )
}

#[test]
fn a_name_is_given_once_and_is_not_empty() {
    assert!(problems("", function()).is_empty());
    assert!(problems("\"shop.price\"", function()).is_empty());
    assert!(problems("name = \"shop.price\", span = \"off\", busy = false, crate = ::measure,", function()).is_empty());
    for (options, expected) in [
        ("\"a\", name = \"b\"", "the name is given twice"),
        ("name = \"a\", name = \"b\"", "`name` is given twice"),
        ("name = f", "`name` is a text, as in `name = \"shop.price\"`"),
        ("\"\"", "a name has 1 to 200 bytes, this one has 0"),
        ("spam = \"info\"", "`#[measured]` has no option `spam`; did you mean `span`?"),
        (
            "span = info",
            "`span` is a level: \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or \"off\" for no span",
        ),
        ("busy = 1", "`busy` is `true` or `false`"),
        ("crate = \"measure\"", "`crate` is the path of tierkeep-measure, as in `crate = ::measure`"),
    ] {
        assert_eq!(problems(options, function()), [expected], "{options}");
    }
    assert_eq!(problems("\"a\" \"b\"", function()).len(), 1);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let item = quote!(
        const extern "C" fn f() {}
    );

    assert_eq!(
        problems("busy = true", item),
        [
            "a `const fn` may be evaluated by the compiler, where there is no clock",
            "`#[measured]` needs a function of Rust; measure what this one calls",
            "`busy` is about futures: a function that is not async is busy all the time",
        ]
    );
}

#[test]
fn what_is_no_function_with_a_body_is_refused() {
    assert_eq!(
        problems(
            "",
            quote!(
                struct S;
            )
        ),
        ["this attribute goes on a function"]
    );
    assert_eq!(
        problems(
            "",
            quote!(
                fn f();
            )
        ),
        ["this attribute needs a function with a body"]
    );
}

#[test]
fn futures_are_known_by_how_they_are_written() {
    let shape = |output: &str| {
        let function = format!("fn f() -> {output} {{}}");
        Shape::of(&syn::parse_str(&function).unwrap())
    };

    assert_eq!(shape("impl std::future::Future<Output = u8> + Send + '_"), Shape::Future);
    assert_eq!(shape("Pin<Box<dyn Future<Output = u8> + Send + 'a>>"), Shape::BoxedFuture);
    assert_eq!(
        shape("::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = u8>>>"),
        Shape::BoxedFuture
    );
    assert_eq!(shape("BoxFuture<'_, u8>"), Shape::BoxedFuture);
    for value in ["u8", "Pin<Box<u8>>", "Pin<&mut u8>", "impl Iterator<Item = u8>", "Result<u8, E>", "!"] {
        assert_eq!(shape(value), Shape::Value, "{value}");
    }
}
