//! `#[measured]`: a function whose calls are counted and timed.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote};
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, ReturnType, Token, Type, TypeParamBound};

use crate::function::Function;
use crate::options::{Options, Problems, text};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;
const KNOWN: [&str; 4] = ["name", "span", "busy", "crate"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What takes the place of the function.
///
/// # Errors
/// All that is wrong with the options and the function.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: Function = syn::parse2(item)?;
    let mut problems = Problems::default();
    let shape = Shape::of(&function);
    if let Some(token) = &function.signature.constness {
        let message = "a `const fn` may be evaluated by the compiler, where there is no clock";
        problems.add(syn::Error::new_spanned(token, message));
    }
    if let Some(abi) = &function.signature.abi {
        let message = "`#[measured]` needs a function of Rust; measure what this one calls";
        problems.add(syn::Error::new_spanned(abi, message));
    }
    let options = problems.keep(MeasuredOptions::parse(options));
    if let Some(span) = options.as_ref().and_then(|options| options.busy)
        && shape == Shape::Value
    {
        let message = "`busy` is about futures: a function that is not async is busy all the time";
        problems.add(syn::Error::new(span, message));
    }
    problems.finish()?;
    let options = options.ok_or_else(|| syn::Error::new(Span::call_site(), "the options cannot be read"))?;
    Ok(tokens(&function, shape, &options))
}

struct MeasuredOptions {
    name: Option<LitStr>,
    /// `None`: no span is opened.
    level: Option<&'static str>,
    /// Where it is asked for.
    busy: Option<Span>,
    krate: Path,
}

impl MeasuredOptions {
    fn parse(tokens: TokenStream) -> syn::Result<Self> {
        // a text before the options is the name
        let split = |input: ParseStream<'_>| {
            let name: Option<LitStr> = if input.peek(LitStr) { Some(input.parse()?) } else { None };
            if name.is_some() && !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
            Ok((name, input.parse::<TokenStream>()?))
        };
        let (before, rest) = split.parse2(tokens)?;
        let mut options = Options::parse(rest, "measured", &KNOWN)?;
        let mut problems = Problems::default();
        let given = problems.keep(options.assigned("name").and_then(|value| {
            value.map(|value| text(value, "`name` is a text, as in `name = \"shop.price\"`")).transpose()
        }));
        let given = given.flatten();
        if let (Some(_), Some(given)) = (&before, &given) {
            problems.add(syn::Error::new(given.span(), "the name is given twice"));
        }
        let name = before.or(given);
        if let Some(name) = &name {
            let bytes = name.value().len();
            if bytes == 0 || bytes > MAX_NAME_BYTES {
                let message = format!("a name has 1 to {MAX_NAME_BYTES} bytes, this one has {bytes}");
                problems.add(syn::Error::new(name.span(), message));
            }
        }
        let level = problems.keep(options.assigned("span").and_then(level));
        let busy = problems.keep(options.assigned("busy").and_then(busy));
        let krate = problems.keep(options.assigned("crate").and_then(krate));
        problems.finish()?;
        let krate = krate.ok_or_else(|| syn::Error::new(Span::call_site(), "the options cannot be read"))?;
        Ok(Self { name, level: level.flatten(), busy: busy.flatten(), krate })
    }
}

fn level(value: Option<Expr>) -> syn::Result<Option<&'static str>> {
    const ADVICE: &str =
        "`span` is a level: \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or \"off\" for no span";
    let Some(value) = value else { return Ok(Some("debug")) };
    let text = text(value, ADVICE)?;
    match LEVELS.into_iter().find(|level| text.value() == *level) {
        None if text.value() != "off" => Err(syn::Error::new(text.span(), ADVICE)),
        level => Ok(level),
    }
}

fn busy(value: Option<Expr>) -> syn::Result<Option<Span>> {
    match value {
        None => Ok(None),
        Some(Expr::Lit(ExprLit { lit: Lit::Bool(busy), .. })) => Ok(busy.value.then_some(busy.span)),
        Some(other) => Err(syn::Error::new_spanned(other, "`busy` is `true` or `false`")),
    }
}

fn krate(value: Option<Expr>) -> syn::Result<Path> {
    match value {
        None => Ok(syn::parse_quote!(::tierkeep_measure)),
        Some(Expr::Path(path)) => Ok(path.path),
        Some(other) => {
            Err(syn::Error::new_spanned(other, "`crate` is the path of tierkeep-measure, as in `crate = ::measure`"))
        }
    }
}

/// What a call gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A value, or nothing ever.
    Value,
    /// A future, since the function is async.
    Async,
    /// A future that the function makes.
    Future,
    /// A boxed and pinned one.
    BoxedFuture,
}

impl Shape {
    fn of(function: &Function) -> Self {
        if function.signature.asyncness.is_some() {
            return Self::Async;
        }
        match &function.signature.output {
            ReturnType::Type(_, ty) => match &**ty {
                Type::ImplTrait(promised) if promised.bounds.iter().any(is_future) => Self::Future,
                Type::Path(path) => match path.path.segments.last() {
                    Some(last) if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" => Self::BoxedFuture,
                    Some(last) if last.ident == "Pin" && holds_boxed_future(&last.arguments) => Self::BoxedFuture,
                    _ => Self::Value,
                },
                _ => Self::Value,
            },
            ReturnType::Default => Self::Value,
        }
    }
}

fn is_future(bound: &TypeParamBound) -> bool {
    matches!(bound, TypeParamBound::Trait(bound)
        if bound.path.segments.last().is_some_and(|last| last.ident == "Future"))
}

/// Whether these are the arguments of `Pin<Box<dyn Future<…> + …>>`.
fn holds_boxed_future(arguments: &syn::PathArguments) -> bool {
    fn first(arguments: &syn::PathArguments) -> Option<&Type> {
        let syn::PathArguments::AngleBracketed(arguments) = arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            syn::GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
    }
    let Some(Type::Path(path)) = first(arguments) else { return false };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Box") else { return false };
    matches!(first(&last.arguments), Some(Type::TraitObject(object)) if object.bounds.iter().any(is_future))
}

/// Whether a type says `impl` or is `!`: it can stand behind a function's arrow, but not behind a closure's.
fn is_unnamed(ty: &Type) -> bool {
    fn says_impl(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == "impl",
            proc_macro2::TokenTree::Group(group) => says_impl(group.stream()),
            _ => false,
        })
    }
    matches!(ty, Type::Never(_)) || says_impl(ty.to_token_stream())
}

fn tokens(function: &Function, shape: Shape, options: &MeasuredOptions) -> TokenStream {
    let Function { attributes, visibility, signature, body } = function;
    let krate = &options.krate;
    let [on, span, entered, call, output, future] =
        ["on", "span", "_entered", "_call", "output", "future"].map(|name| Ident::new(name, Span::mixed_site()));
    // The body sees items that are made here, whatever their span.
    let site = Ident::new("__TIERKEEP_MEASURE_SITE", Span::mixed_site());
    let name = options.name.as_ref().map_or_else(
        || {
            let name = format!("::{}", signature.ident);
            quote!(::core::concat!(::core::module_path!(), #name))
        },
        quote::ToTokens::to_token_stream,
    );
    let none = quote!(#krate::call::tracing::Span::none());
    let opened = options.level.map_or_else(
        || none,
        |level| {
            let level = format_ident!("{}", level.to_uppercase());
            quote!(#krate::call::tracing::span!(#krate::call::tracing::Level::#level, #name))
        },
    );
    let busy = if options.busy.is_some() { quote!(Counted) } else { quote!(Ignored) };
    let busy = quote!(#krate::call::Busy::#busy);
    let ty = function.output();
    let promised = if is_unnamed(&ty) { TokenStream::new() } else { quote!(-> #ty) };
    let ending = |output: TokenStream| {
        quote!({
            use #krate::call::{ViaAny as _, ViaResult as _};
            (&#krate::call::Probe(#output)).ending()
        })
    };
    let ended = ending(quote!(&#output));
    let around = match shape {
        // Nothing to look at: what drops the call before its end is a panic.
        Shape::Value if matches!(ty, Type::Never(_)) => quote! {
            let #on = #krate::is_enabled();
            let #span = if #on { ::core::option::Option::Some(#opened) } else { ::core::option::Option::None };
            let #entered = #span.as_ref().map(#krate::call::tracing::Span::enter);
            let #call = #site.begin(#on);
            #body
        },
        Shape::Value => quote! {
            let #on = #krate::is_enabled();
            let #span = if #on { ::core::option::Option::Some(#opened) } else { ::core::option::Option::None };
            let #entered = #span.as_ref().map(#krate::call::tracing::Span::enter);
            let #call = #site.begin(#on);
            let #output = #krate::call::once(move || #promised #body);
            #call.end(#ended);
            #output
        },
        Shape::Async => {
            // Not a closure, which could not give away what it has borrowed mutably. A block cannot say its type; a `return` can.
            let told = (!is_unnamed(&ty)).then(|| quote!(if false { return #krate::call::promised::<#ty>(); }));
            quote! {
                let mut #future = ::core::pin::pin!(async move { #told #body });
                if !#krate::is_enabled() {
                    return #future.await;
                }
                let #span = #krate::call::wanted(#opened);
                let mut #call = #site.begin(true);
                let #output = ::core::future::poll_fn(
                    |context| #call.poll(#span.as_deref(), #busy, #future.as_mut(), context)
                ).await;
                #call.end(#ended);
                #output
            }
        }
        Shape::Future | Shape::BoxedFuture => {
            let ended = ending(quote!(#output));
            let wrapped = quote!(#krate::call::future(&#site, || #opened, #busy, #future, |#output| #ended));
            let wrapped = if shape == Shape::Future { wrapped } else { quote!(::std::boxed::Box::pin(#wrapped)) };
            quote! {
                let #future = #krate::call::once(move || #promised #body);
                #wrapped
            }
        }
    };
    quote! {
        #(#attributes)*
        #visibility #signature {
            static #site: #krate::call::Site = #krate::call::Site::new(#name);
            #around
        }
    }
}

#[cfg(test)]
mod tests;
