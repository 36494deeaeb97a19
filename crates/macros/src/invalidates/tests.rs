//! What `#[invalidates]` refuses, and with which words.

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

#[test]
fn keys_and_tags_name_parameters() {
    let function = quote!(
        async fn f(cache: &Cache, id: u64) {}
    );

    assert!(problems("tags(\"product:{id}\", \"all\")", function.clone()).is_empty());
    assert!(problems("view = \"v\", key = \"{id}\"", function.clone()).is_empty());
    assert_eq!(
        problems("view = \"v\", key = \"{idd}\", tags(\"product:{product}\")", function),
        ["there is no parameter `idd`; did you mean `id`?", "there is no parameter `product`"]
    );
}

#[test]
fn there_is_a_cache() {
    let options = "tags(\"product:{id}\")";

    assert_eq!(
        problems(
            options,
            quote!(
                async fn f(id: u64) {}
            )
        ),
        ["there is no parameter `cache`: add `cache: &Cache`, or say where the cache is, as in `cache = self.cache`"]
    );
    assert!(
        problems(
            "tags(\"product:{id}\"), cache = self.cache",
            quote!(
                async fn f(&self, id: u64) {}
            )
        )
        .is_empty()
    );
}

#[test]
fn there_is_something_to_invalidate() {
    let function = quote!(
        async fn f(cache: &Cache, id: u64) {}
    );

    for (options, expected) in [
        ("", "there is nothing to invalidate: give `tags(\"product:{id}\")`, or a `view` and a `key`"),
        ("tags()", "there is nothing to invalidate: give `tags(\"product:{id}\")`, or a `view` and a `key`"),
        ("view = \"v\"", "`view` without `key`: say which value, as in `key = \"{id}\"`"),
        ("key = \"{id}\"", "`key` without `view`: say of which view, as in `view = \"product\"`"),
    ] {
        assert_eq!(problems(options, function.clone()), [expected], "{options}");
    }
}

#[test]
fn on_ok_needs_a_result() {
    let options = "tags(\"all\"), on = \"ok\"";

    assert_eq!(
        problems(
            options,
            quote!(
                async fn f(cache: &Cache) -> u64 {
                    1
                }
            )
        ),
        ["`on = \"ok\"` needs a function that returns a `Result`"]
    );
    assert!(
        problems(
            options,
            quote!(
                async fn f(cache: &Cache) -> io::Result<u64> {
                    Ok(1)
                }
            )
        )
        .is_empty()
    );
    assert_eq!(
        problems(
            "tags(\"all\"), on = \"err\"",
            quote!(
                async fn f(cache: &Cache) -> Result<u8, E> {
                    Ok(1)
                }
            )
        ),
        ["`on` is \"ok\" (only if the function returned `Ok`) or \"always\""]
    );
}

#[test]
fn functions_are_async_and_may_be_generic() {
    assert_eq!(
        problems(
            "tags(\"all\")",
            quote!(
                fn f(cache: &Cache) {}
            )
        ),
        ["`#[invalidates]` needs an `async fn`: the cache is asked without blocking a thread"]
    );
    assert!(
        problems(
            "tags(\"t:{id}\")",
            quote!(
                async fn f<T: CacheKey>(&mut self, cache: &Cache, id: T) {}
            )
        )
        .is_empty()
    );
}
