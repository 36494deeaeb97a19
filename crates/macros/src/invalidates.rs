//! `#[invalidates]`: a function that changes something has the cache forget it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::Ident;

use crate::cached::{key_of, tag_of};
use crate::function::{Function, Parameter, arguments_of, find};
use crate::options::{InvalidatesOptions, On, Problems};

/// What takes the place of the function.
///
/// # Errors
/// All that is wrong with the options and the function.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: Function = syn::parse2(item)?;
    let mut problems = Problems::default();
    function.check("invalidates", &mut problems);
    let parameters: Vec<Parameter> = function.parameters().flatten().collect();
    let options = problems.keep(InvalidatesOptions::parse(options));
    let mut keyed = Vec::new();
    if let Some(options) = &options {
        for name in options.key.iter().flat_map(|(_, key)| key.parameters()) {
            keyed.extend(problems.keep(find(&parameters, &name)).cloned());
        }
        for name in options.tags.iter().flat_map(|tag| &tag.parameters) {
            problems.keep(find(&parameters, name));
        }
        if options.cache.is_none() && !parameters.iter().any(|parameter| parameter.name == "cache") {
            let message = "there is no parameter `cache`: add `cache: &Cache`, or say where the cache is, as in `cache = self.cache`";
            problems.add(syn::Error::new(function.signature.ident.span(), message));
        }
        if let Some((On::Success, span)) = options.on
            && arguments_of(&function.output(), "Result").is_none()
        {
            let message = "`on = \"ok\"` needs a function that returns a `Result`";
            problems.add(syn::Error::new(span, message));
        }
    }
    problems.finish()?;
    let options = options.ok_or_else(|| syn::Error::new(Span::call_site(), "the options cannot be read"))?;
    Ok(tokens(&function, &options, &keyed))
}

fn tokens(function: &Function, options: &InvalidatesOptions, keyed: &[Parameter]) -> TokenStream {
    let Function { attributes, visibility, signature, body } = function;
    let InvalidatesOptions { key, tags, on, cache, krate } = options;
    let key = key.as_ref().map(|(view, _)| {
        let key = key_of(krate, keyed.iter());
        quote!(.key(#view, #key))
    });
    let tags = tags.iter().map(tag_of);
    // A parameter of the function: found by its own name, not by that of a variable made here.
    let cache = cache.as_ref().map_or_else(
        || Ident::new("cache", signature.ident.span()).into_token_stream(),
        quote::ToTokens::to_token_stream,
    );
    let output = function.output();
    let [forget, handle, answer] = ["forget", "handle", "answer"].map(|name| Ident::new(name, Span::mixed_site()));
    let name = format!("::{}", signature.ident);
    let told = quote! {
        #forget.from_and_log(&#handle, ::core::concat!(::core::module_path!(), #name)).await;
    };
    let told = match on {
        Some((On::Success, _)) => quote!(if #answer.is_ok() { #told }),
        _ => told,
    };
    quote! {
        #(#attributes)*
        #visibility #signature {
            let #forget = #krate::call::Forget::new()#key #(.tag(#tags))*;
            let #handle = #krate::Cache::clone(&#cache);
            let #answer = (async move || -> #output #body)().await;
            #told
            #answer
        }
    }
}

#[cfg(test)]
mod tests;
