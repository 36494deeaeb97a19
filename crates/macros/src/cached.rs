//! `#[cached]`: a function becomes a call that a cache can answer, with a companion of its name for everything else.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Ident, Path, Type};

use crate::function::{Function, Parameter, arguments_of, borrows, find};
use crate::options::{CachedOptions, Problems};
use crate::template::{TagTemplate, Template};

/// Attributes that may stand between `#[cached]` and the function: they mean the same on what it becomes.
const PASSED_ON: [&str; 13] = [
    "doc",
    "cfg",
    "cfg_attr",
    "must_use",
    "deprecated",
    "inline",
    "cold",
    "track_caller",
    "allow",
    "expect",
    "warn",
    "deny",
    "forbid",
];

/// What takes the place of the function.
///
/// # Errors
/// All that is wrong with the options and the function.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: Function = syn::parse2(item)?;
    let mut problems = Problems::default();
    function.check("cached", &mut problems);
    function.check_not_generic(&mut problems);
    check_attributes(&function, &mut problems);
    let answer = problems.keep(Answer::of(&function));
    let options = problems.keep(CachedOptions::parse(options));
    let keyed = options.as_ref().map(|options| keyed(&function, options, &mut problems));
    problems.finish()?;
    match (options, answer, keyed) {
        (Some(options), Some(answer), Some(keyed)) => Ok(Expansion { function, options, answer, keyed }.tokens()),
        _ => Err(syn::Error::new(Span::call_site(), "the function cannot be read")),
    }
}

/// What the return type says.
struct Answer {
    output: Type,
    value: Type,
    /// `None` where an alias such as `io::Result<T>` hides it, or nothing can fail.
    error: Option<Type>,
    is_result: bool,
    is_option: bool,
}

impl Answer {
    fn of(function: &Function) -> syn::Result<Self> {
        let output = function.output();
        let result = arguments_of(&output, "Result");
        let is_result = result.is_some();
        let (inner, error) = result.unwrap_or_else(|| (output.clone(), None));
        let option = arguments_of(&inner, "Option");
        let is_option = option.is_some();
        let value = option.map_or(inner, |(value, _)| value);
        if matches!(&value, Type::Tuple(tuple) if tuple.elems.is_empty()) {
            let message = "a cached function returns the value to keep, this one returns `()`";
            return Err(syn::Error::new(function.signature.ident.span(), message));
        }
        if borrows(&value) {
            let message =
                "a cached value outlives the call, so it cannot borrow from an argument; return an owned value";
            return Err(syn::Error::new_spanned(&value, message));
        }
        Ok(Self { output, value, error, is_result, is_option })
    }

    fn error(&self, krate: &Path) -> TokenStream {
        match (&self.error, self.is_result) {
            (Some(error), _) => error.to_token_stream(),
            (None, true) => {
                let output = &self.output;
                quote!(<#output as #krate::call::Fallible>::Error)
            }
            (None, false) => quote!(::core::convert::Infallible),
        }
    }
}

fn check_attributes(function: &Function, problems: &mut Problems) {
    for attribute in &function.attributes {
        let path = attribute.path();
        let passed_on = path.get_ident().is_none_or(|name| PASSED_ON.iter().any(|known| name == known));
        let is_tool =
            path.segments.first().is_some_and(|tool| ["rustfmt", "clippy"].iter().any(|known| tool.ident == known));
        if !passed_on || (path.segments.len() > 1 && !is_tool) {
            let name = path.to_token_stream().to_string().replace(' ', "");
            let message = format!(
                "`#[{name}]` would see what `#[cached]` makes of the function; put it above `#[cached]`, where it sees the function itself"
            );
            problems.add(syn::Error::new_spanned(attribute, message));
        }
    }
}

/// The parameters in the key, in the key's order. Each parameter is in the key or skipped, and what the tags name is in the key.
fn keyed(function: &Function, options: &CachedOptions, problems: &mut Problems) -> Vec<Parameter> {
    let is_self = |name: &Ident| name == "self";
    let parameters: Vec<Parameter> = function.parameters().flatten().collect();
    let skipped = |name: &Ident| options.skip.iter().any(|skipped| skipped == name);
    function.check_receiver(options.skip.iter().any(is_self), problems);
    for pattern in function.parameters().filter_map(Result::err) {
        let message = "a parameter of a cached function has a plain name, so that the key or `skip` can name it";
        problems.add(syn::Error::new_spanned(pattern, message));
    }
    for name in &options.skip {
        if is_self(name) && function.signature.receiver().is_none() {
            problems.add(syn::Error::new(name.span(), "there is no `self` to skip"));
        } else if !is_self(name) {
            problems.keep(find(&parameters, name));
        }
    }
    let mut in_key: Vec<Parameter> = Vec::new();
    for name in options.key.iter().flat_map(Template::parameters) {
        match find(&parameters, &name) {
            Ok(_) if skipped(&name) => {
                problems.add(syn::Error::new(name.span(), format!("`{name}` is in the key and in `skip`; choose one")));
            }
            Ok(parameter) => in_key.push(parameter.clone()),
            Err(problem) => problems.add(problem),
        }
    }
    let wanted: Vec<&Parameter> = parameters.iter().filter(|parameter| !skipped(&parameter.name)).collect();
    if options.key.is_none() && !wanted.is_empty() {
        let names: Vec<String> = wanted.iter().map(|parameter| format!("{{{}}}", parameter.name)).collect();
        let message =
            format!("`key` is missing: name what the value depends on, as in `key = \"{}\"`", names.join(":"));
        problems.add(syn::Error::new(Span::call_site(), message));
        return in_key;
    }
    for Parameter { name, .. } in wanted {
        if !in_key.iter().any(|parameter| parameter.name == *name) {
            let message = format!(
                "`{name}` is neither in the key nor in `skip`: calls that differ in it would share a value; add `{{{name}}}` \
                 to the key, or `skip({name})` if the value does not depend on it"
            );
            problems.add(syn::Error::new(name.span(), message));
        }
    }
    for name in options.tags.iter().flat_map(|tag| &tag.parameters) {
        match find(&parameters, name) {
            Ok(_) if skipped(name) => {
                let message = format!(
                    "`{name}` is skipped, so that it does not follow from the key which tag a value has; add `{{{name}}}` \
                     to the key, or take the tag from the value with `tags_from`"
                );
                problems.add(syn::Error::new(name.span(), message));
            }
            Ok(_) => {}
            Err(problem) => problems.add(problem),
        }
    }
    in_key
}

/// The key of these parameters, without tags.
pub(crate) fn key_of<'a>(krate: &Path, parameters: impl ExactSizeIterator<Item = &'a Parameter>) -> TokenStream {
    let count = parameters.len();
    let writer = Ident::new("writer", Span::mixed_site());
    let parts: Vec<TokenStream> = parameters
        .map(|Parameter { name, ty }| match count {
            1 => quote_spanned!(ty.span()=> #krate::call::CallKey::one(&#name)),
            _ => quote_spanned!(ty.span()=> #krate::CacheKey::write(&#name, #writer);),
        })
        .collect();
    match count {
        1 => quote!(#(#parts)*),
        _ => quote!(#krate::call::CallKey::of(|#writer| { let _ = &#writer; #(#parts)* })),
    }
}

/// The arguments of `tag`: the kind and the value.
pub(crate) fn tag_of(TagTemplate { kind, parameters }: &TagTemplate) -> TokenStream {
    match &parameters[..] {
        [] => quote!(#kind, ()),
        [one] => quote!(#kind, &#one),
        several => quote!(#kind, (#(&#several),*)),
    }
}

/// An attribute that switches lints off in what is generated; put together here, since this crate itself has none.
fn quiet() -> TokenStream {
    let allow = format_ident!("allow");
    quote!(#[#allow(dead_code, non_camel_case_types, clippy::all, clippy::pedantic)])
}

struct Expansion {
    function: Function,
    options: CachedOptions,
    answer: Answer,
    keyed: Vec<Parameter>,
}

impl Expansion {
    fn tokens(&self) -> TokenStream {
        let Function { attributes, visibility, signature, body } = &self.function;
        let Answer { output, value, .. } = &self.answer;
        let krate = &self.options.krate;
        let (name, generics, inputs) = (&signature.ident, &signature.generics, &signature.inputs);
        let where_clause = &generics.where_clause;
        let error = self.answer.error(krate);
        let reading = if self.answer.is_option {
            quote!(::core::option::Option<::std::sync::Arc<#value>>)
        } else {
            quote!(::std::sync::Arc<#value>)
        };
        let place = if self.function.borrows() { quote!(Here) } else { quote!(Apart) };
        let key = self.key();
        let site = self.companion("__site");
        let site = if self.is_method() { quote!(Self::#site) } else { quote!(#name::#site) };
        let companion = self.companions(&error);
        let made = Ident::new("key", Span::mixed_site());
        quote! {
            #(#attributes)*
            #visibility fn #name #generics (#inputs) -> #krate::call::Call<
                impl #krate::call::Load<Output = #output>,
                #reading,
                #error,
                #krate::call::#place,
            > #where_clause {
                let #made = #key;
                #krate::call::Call::new(async move || -> #output #body, #made, #site())
            }
            #companion
        }
    }

    fn is_method(&self) -> bool {
        self.function.signature.receiver().is_some()
    }

    /// The key with its tags, where the parameters are in scope.
    fn key(&self) -> TokenStream {
        let key = key_of(&self.options.krate, self.keyed.iter());
        let tags = self.options.tags.iter().map(tag_of);
        quote!(#key #(.tag(#tags))*)
    }

    /// The name of an associated function: of the companion, or beside the method.
    fn companion(&self, name: &str) -> Ident {
        let function = &self.function.signature.ident;
        match (self.is_method(), name.strip_prefix("__")) {
            (false, _) => Ident::new(name, function.span()),
            (true, None) => format_ident!("{function}_{name}"),
            (true, Some(name)) => format_ident!("__{function}_{name}"),
        }
    }

    fn companions(&self, error: &TokenStream) -> TokenStream {
        let Function { attributes, visibility, signature, .. } = &self.function;
        let Answer { output, value, .. } = &self.answer;
        let (krate, view) = (&self.options.krate, &self.options.view);
        let name = &signature.ident;
        let (generics, where_clause) = (&signature.generics, &signature.generics.where_clause);
        let configured: Vec<_> = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect();
        let [key_fn, view_fn, invalidate_fn, prime_fn, site_fn] =
            ["key", "view", "invalidate", "prime", "__site"].map(|name| self.companion(name));
        // In the order of the function: these are its arguments without those skipped.
        let in_key = |parameter: &Parameter| self.keyed.iter().any(|keyed| keyed.name == parameter.name);
        let parameters = self.function.parameters().flatten().filter(in_key);
        let parameters: Vec<TokenStream> = parameters.map(|Parameter { name, ty }| quote!(#name: #ty)).collect();
        let [cache, primed] = ["cache", "value"].map(|name| Ident::new(name, Span::mixed_site()));
        let key = self.key();
        let site = self.site();
        const TAKEN: &str = "\n\n# Errors\nSomething else has a view of this name.";
        let key_docs = format!("The key of a value of `{name}`, with its tags.");
        let view_docs = format!("The view of `{name}` in this cache.{TAKEN}");
        let invalidate_docs = format!("Forgets a value of `{name}`, in all tiers and on all nodes.");
        let prime_docs = format!("Has the cache hold this value, as if `{name}` had returned it.{TAKEN}");
        let quiet = quiet();
        let functions = quote! {
            #[doc = #key_docs]
            #(#configured)*
            #quiet
            #visibility fn #key_fn #generics (#(#parameters),*) -> #krate::call::CallKey #where_clause {
                #key
            }

            #[doc = #view_docs]
            #(#configured)*
            #quiet
            #visibility fn #view_fn(
                #cache: &#krate::Cache,
            ) -> ::core::result::Result<#krate::View<#krate::call::CallKey, #value>, #krate::BuildError> {
                #cache.open(&Self::#site_fn())
            }

            #[doc = #invalidate_docs]
            #(#configured)*
            #quiet
            #visibility async fn #invalidate_fn #generics (
                #cache: &#krate::Cache, #(#parameters),*
            ) -> #krate::Receipt #where_clause {
                #krate::call::Forget::new().key(#view, #key).from(#cache).await
            }

            #[doc = #prime_docs]
            #(#configured)*
            #quiet
            #visibility async fn #prime_fn #generics (
                #cache: &#krate::Cache, #(#parameters,)* #primed: #value
            ) -> ::core::result::Result<#krate::Written<#value>, #krate::BuildError> #where_clause {
                #krate::call::prime(#cache, Self::#site_fn(), #key, #primed).await
            }

            #[doc(hidden)]
            #(#configured)*
            #quiet
            fn #site_fn() -> #krate::call::Site<#output, #value, #error> {
                #site
            }
        };
        if self.is_method() {
            return functions;
        }
        let docs = format!("Keys, invalidation and the view of the cached function [`{name}`](fn@{name}).");
        quote! {
            #[doc = #docs]
            #(#configured)*
            #quiet
            #visibility enum #name {}

            #(#configured)*
            #quiet
            impl #name {
                #functions
            }
        }
    }

    fn site(&self) -> TokenStream {
        // The expressions of the options do not see the variables made here, nor do these see them.
        let own = Span::mixed_site();
        let CachedOptions { view, cache_if, tags_from, weigh, codec, .. } = &self.options;
        let (krate, value) = (&self.options.krate, &self.answer.value);
        let origin = format!("::{}", self.function.signature.ident);
        let policy = self.policy();
        let codec = codec.as_ref().map(|codec| quote!(.codec(#codec)));
        let weigh = weigh.as_ref().map_or_else(
            || quote_spanned!(value.span()=> <#value as #krate::ByteSize>::byte_size),
            |weigh| quote!(#weigh),
        );
        let accepts = cache_if.as_ref().map_or_else(|| quote!(|_| true), |accepts| quote!(#accepts));
        let value = match (self.answer.is_result, self.answer.is_option) {
            (true, true) => quote_spanned!(own=> answer),
            (true, false) => quote_spanned!(own=> answer.map(::core::option::Option::Some)),
            (false, true) => quote_spanned!(own=> ::core::result::Result::Ok(answer)),
            (false, false) => quote_spanned!(own=> ::core::result::Result::Ok(::core::option::Option::Some(answer))),
        };
        let tags = tags_from.as_ref().map_or_else(
            || quote!(|_, _| {}),
            |tags| {
                let there = own.located_at(tags.span());
                quote_spanned!(there=> |value, tell| #krate::call::each_tag(value, #tags, tell))
            },
        );
        quote_spanned! {own=>
            #krate::call::Site {
                view: #view,
                origin: ::core::concat!(
                    ::core::module_path!(), #origin, ", ", ::core::file!(), ":", ::core::line!(), ":", ::core::column!()
                ),
                set_up: |view| view.policy(#policy)#codec,
                weigh: #weigh,
                accepts: #accepts,
                value: |answer| #value,
                tags: #tags,
            }
        }
    }

    fn policy(&self) -> TokenStream {
        let CachedOptions { ttl, swr, stale_if_error, negative, policy, krate, .. } = &self.options;
        let millis = |millis: &u64| quote!(::core::time::Duration::from_millis(#millis));
        let ttl = millis(ttl);
        let swr = swr.as_ref().map(millis).map(|window| quote!(.stale_while_revalidate(#window)));
        let if_error = stale_if_error.as_ref().map(millis).map(|window| quote!(.stale_if_error(#window)));
        let negative = negative.as_ref().map(millis).map(|ttl| quote!(.negative(#ttl)));
        let made = quote!(#krate::Policy::ttl(#ttl)#swr #if_error #negative);
        policy.as_ref().map_or_else(|| made.clone(), |refine| quote!(#krate::call::refine(#made, #refine)))
    }
}

#[cfg(test)]
mod tests;
