//! What `#[cached]` makes of a function.

use proc_macro2::TokenStream;
use quote::quote;

use super::{KEYED, expand};

fn generated(options: &str, item: TokenStream) -> String {
    let tokens = expand(options.parse().unwrap(), item).unwrap();
    syn::parse2::<syn::File>(tokens.clone()).unwrap();
    tokens.to_string()
}

#[test]
fn what_borrows_nothing_is_loaded_apart() {
    let place = |function| {
        let text = generated(KEYED, function);
        (text.contains("call :: Apart"), text.contains("call :: Here"))
    };

    assert_eq!(
        place(quote!(
            async fn f(id: u64) -> u64 {
                1
            }
        )),
        (true, false)
    );
    assert_eq!(
        place(quote!(
            async fn f(id: &'static str) -> u64 {
                1
            }
        )),
        (true, false)
    );
    assert_eq!(
        place(quote!(
            async fn f(id: &str) -> u64 {
                1
            }
        )),
        (false, true)
    );
    assert_eq!(
        place(quote!(
            async fn f(id: Id<'_>) -> u64 {
                1
            }
        )),
        (false, true)
    );
}

#[test]
fn the_error_is_that_of_the_result() {
    let error = |function, expected: &str| {
        let text = generated(KEYED, function);
        assert!(text.contains(expected), "{text}");
    };

    error(
        quote!(
            async fn f(id: u64) -> Result<u8, AppError> {
                1
            }
        ),
        "Arc < u8 > , AppError ,",
    );
    error(
        quote!(
            async fn f(id: u64) -> io::Result<u8> {
                1
            }
        ),
        "Arc < u8 > , < io :: Result < u8 > as",
    );
    error(
        quote!(
            async fn f(id: u64) -> Option<u8> {
                1
            }
        ),
        "Option < :: std :: sync :: Arc < u8 >> , :: core :: convert :: Infallible",
    );
}

#[test]
fn companions_of_functions_are_theirs_and_those_of_methods_beside_them() {
    let free = generated(
        KEYED,
        quote!(
            pub async fn f(id: u64) -> u64 {
                1
            }
        ),
    );
    let method = generated(
        "view = \"v\", key = \"{id}\", ttl = \"1m\", skip(self)",
        quote!(
            pub async fn f(&self, id: u64) -> u64 {
                1
            }
        ),
    );

    for name in [
        "pub enum f { }",
        "pub fn key (id : u64)",
        "pub async fn invalidate (",
        "pub async fn prime (",
        "pub fn view (",
    ] {
        assert!(free.contains(name), "{name}: {free}");
    }
    for name in ["pub fn f_key (id : u64)", "pub async fn f_invalidate (", "pub async fn f_prime (", "pub fn f_view ("]
    {
        assert!(method.contains(name), "{name}: {method}");
    }
    assert!(!method.contains("enum"));
}
