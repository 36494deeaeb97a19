//! The options of an attribute: `name = value` and `name(list)`, each at most once, none unknown.

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, Token, parenthesized};

use crate::duration::milliseconds;
use crate::nearest::did_you_mean;
use crate::template::{TagTemplate, Template};

/// The longest name of a view, in bytes, as `ViewBuilder::build` takes it.
const MAX_VIEW_BYTES: usize = 100;
/// The longest life that a cache gives a value, as `tierkeep_cache::MAX_TTL`, in milliseconds: 30 days.
const MAX_TTL: u64 = 30 * 24 * 3_600_000;

/// Problems, told all at once.
#[derive(Default)]
pub(crate) struct Problems(Option<syn::Error>);

impl Problems {
    pub(crate) fn add(&mut self, problem: syn::Error) {
        match &mut self.0 {
            Some(problems) => problems.combine(problem),
            None => self.0 = Some(problem),
        }
    }

    /// The value, or `None` and a problem more.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }

    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The options of `#[cached]`.
pub(crate) struct CachedOptions {
    pub(crate) view: LitStr,
    pub(crate) key: Option<Template>,
    /// Milliseconds, as the other durations.
    pub(crate) ttl: u64,
    pub(crate) swr: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    pub(crate) negative: Option<u64>,
    pub(crate) tags: Vec<TagTemplate>,
    pub(crate) tags_from: Option<Expr>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) cache_if: Option<Expr>,
    pub(crate) weigh: Option<Expr>,
    pub(crate) codec: Option<Expr>,
    pub(crate) policy: Option<Expr>,
    pub(crate) krate: Path,
}

const CACHED: [&str; 14] = [
    "view",
    "key",
    "ttl",
    "swr",
    "stale_if_error",
    "negative",
    "tags",
    "tags_from",
    "skip",
    "cache_if",
    "weigh",
    "codec",
    "policy",
    "crate",
];

impl CachedOptions {
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let mut options = Options::parse(tokens, "cached", &CACHED)?;
        let mut problems = Problems::default();
        let view = options.required("view", "name the view, as in `view = \"product\"`").and_then(view_name);
        let ttl = options.required("ttl", "say how long a value lives, as in `ttl = \"15m\"`").and_then(duration);
        let (view, ttl) = (problems.keep(view), problems.keep(ttl));
        let mut optional =
            |name| problems.keep(options.assigned(name).and_then(|value| value.map(duration).transpose()));
        let (swr, stale_if_error, negative) = (optional("swr"), optional("stale_if_error"), optional("negative"));
        let key = problems.keep(options.key());
        let tags = problems.keep(options.tags());
        let skip = problems.keep(options.names("skip"));
        let mut expression = |name| problems.keep(options.assigned(name)).flatten();
        let (tags_from, cache_if) = (expression("tags_from"), expression("cache_if"));
        let (weigh, codec, policy) = (expression("weigh"), expression("codec"), expression("policy"));
        let krate = problems.keep(options.krate());
        problems.finish()?;
        let read = || Some((view?, ttl?, krate?));
        let (view, ttl, krate) = read().ok_or_else(|| syn::Error::new(proc_macro2::Span::call_site(), UNREAD))?;
        Ok(Self {
            view,
            key: key.flatten(),
            ttl,
            swr: swr.flatten(),
            stale_if_error: stale_if_error.flatten(),
            negative: negative.flatten(),
            tags: tags.unwrap_or_default(),
            tags_from,
            skip: skip.unwrap_or_default(),
            cache_if,
            weigh,
            codec,
            policy,
            krate,
        })
    }
}

const UNREAD: &str = "the options cannot be read";

/// The options of `#[invalidates]`.
pub(crate) struct InvalidatesOptions {
    /// A view and a key of it.
    pub(crate) key: Option<(LitStr, Template)>,
    pub(crate) tags: Vec<TagTemplate>,
    pub(crate) on: Option<(On, proc_macro2::Span)>,
    pub(crate) cache: Option<Expr>,
    pub(crate) krate: Path,
}

/// When a function that has ended invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// Whatever it returned.
    Always,
    /// When it returned `Ok`.
    Success,
}

const INVALIDATES: [&str; 6] = ["view", "key", "tags", "on", "cache", "crate"];

impl InvalidatesOptions {
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let mut options = Options::parse(tokens, "invalidates", &INVALIDATES)?;
        let mut problems = Problems::default();
        let view = problems.keep(options.assigned("view").and_then(|value| value.map(view_name).transpose())).flatten();
        let key = problems.keep(options.key()).flatten();
        let tags = problems.keep(options.tags()).unwrap_or_default();
        let on = problems.keep(options.assigned("on").and_then(|value| value.map(on).transpose())).flatten();
        let cache = problems.keep(options.assigned("cache")).flatten();
        let krate = problems.keep(options.krate());
        problems.finish()?;
        let key = match (view, key) {
            (Some(view), Some(key)) => Some((view, key)),
            (Some(view), None) => {
                let message = "`view` without `key`: say which value, as in `key = \"{id}\"`";
                return Err(syn::Error::new(view.span(), message));
            }
            (None, Some(_)) => {
                return Err(options.error("`key` without `view`: say of which view, as in `view = \"product\"`"));
            }
            (None, None) if tags.is_empty() => {
                return Err(options
                    .error("there is nothing to invalidate: give `tags(\"product:{id}\")`, or a `view` and a `key`"));
            }
            (None, None) => None,
        };
        let krate = krate.ok_or_else(|| options.error(UNREAD))?;
        Ok(Self { key, tags, on, cache, krate })
    }
}

/// Options as they were written.
pub(crate) struct Options {
    written: Vec<Written>,
}

struct Written {
    name: Ident,
    value: Value,
}

enum Value {
    Assigned(Box<Expr>),
    List(TokenStream),
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            return Ok(Self { name, value: Value::List(content.parse()?) });
        }
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            return Ok(Self { name, value: Value::Assigned(Box::new(input.parse()?)) });
        }
        let message = format!("an option is written `{name} = …` or `{name}(…)`");
        Err(syn::Error::new(name.span(), message))
    }
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream, attribute: &str, known: &[&str]) -> syn::Result<Self> {
        let written: Vec<Written> =
            Punctuated::<Written, Token![,]>::parse_terminated.parse2(tokens)?.into_iter().collect();
        let mut problems = Problems::default();
        for (index, option) in written.iter().enumerate() {
            let name = option.name.to_string();
            if !known.contains(&&*name) {
                let near = did_you_mean(&name, known.iter().copied());
                let message = format!("`#[{attribute}]` has no option `{name}`{near}");
                problems.add(syn::Error::new(option.name.span(), message));
            }
            if written[..index].iter().any(|earlier| earlier.name == option.name) {
                problems.add(syn::Error::new(option.name.span(), format!("`{name}` is given twice")));
            }
        }
        problems.finish()?;
        Ok(Self { written })
    }

    fn error(&self, message: &str) -> syn::Error {
        let span = |option: &Written| option.name.span();
        syn::Error::new(self.written.first().map_or_else(proc_macro2::Span::call_site, span), message)
    }

    fn take(&mut self, name: &str) -> Option<Written> {
        let at = self.written.iter().position(|option| option.name == name)?;
        Some(self.written.remove(at))
    }

    fn required(&mut self, name: &str, advice: &str) -> syn::Result<Expr> {
        let missing = || syn::Error::new(proc_macro2::Span::call_site(), format!("`{name}` is missing: {advice}"));
        self.assigned(name)?.ok_or_else(missing)
    }

    pub(crate) fn assigned(&mut self, name: &str) -> syn::Result<Option<Expr>> {
        match self.take(name) {
            None => Ok(None),
            Some(Written { value: Value::Assigned(value), .. }) => Ok(Some(*value)),
            Some(Written { name, .. }) => {
                Err(syn::Error::new(name.span(), format!("`{name}` takes a value: `{name} = …`")))
            }
        }
    }

    fn list(&mut self, name: &str) -> syn::Result<TokenStream> {
        match self.take(name) {
            None => Ok(TokenStream::new()),
            Some(Written { value: Value::List(list), .. }) => Ok(list),
            Some(Written { name, .. }) => {
                Err(syn::Error::new(name.span(), format!("`{name}` takes a list: `{name}(…)`")))
            }
        }
    }

    fn key(&mut self) -> syn::Result<Option<Template>> {
        let Some(value) = self.assigned("key")? else { return Ok(None) };
        Template::parse(&text(value, "`key` is a text, as in `key = \"{region}:{id}\"`")?).map(Some)
    }

    fn tags(&mut self) -> syn::Result<Vec<TagTemplate>> {
        let mut problems = Problems::default();
        let parse = Punctuated::<Expr, Token![,]>::parse_terminated;
        let mut tags = Vec::new();
        for tag in parse.parse2(self.list("tags")?)? {
            let tag =
                text(tag, "a tag is a text, as in `tags(\"product:{id}\")`").and_then(|tag| TagTemplate::parse(&tag));
            tags.extend(problems.keep(tag));
        }
        problems.finish().map(|()| tags)
    }

    fn names(&mut self, name: &str) -> syn::Result<Vec<Ident>> {
        let list = self.list(name)?;
        let parse =
            |input: ParseStream<'_>| Punctuated::<Ident, Token![,]>::parse_terminated_with(input, Ident::parse_any);
        Ok(parse.parse2(list)?.into_iter().collect())
    }

    fn krate(&mut self) -> syn::Result<Path> {
        match self.assigned("crate")? {
            None => Ok(syn::parse_quote!(::tierkeep_cache)),
            Some(Expr::Path(path)) => Ok(path.path),
            Some(other) => {
                Err(syn::Error::new_spanned(other, "`crate` is the path of tierkeep-cache, as in `crate = ::cache`"))
            }
        }
    }
}

pub(crate) fn text(value: Expr, message: &str) -> syn::Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
        other => Err(syn::Error::new_spanned(other, message)),
    }
}

fn view_name(value: Expr) -> syn::Result<LitStr> {
    let name = text(value, "`view` is a text, as in `view = \"product\"`")?;
    let bytes = name.value().len();
    if bytes == 0 || bytes > MAX_VIEW_BYTES {
        let message = format!("a view's name has 1 to {MAX_VIEW_BYTES} bytes, this one has {bytes}");
        return Err(syn::Error::new(name.span(), message));
    }
    Ok(name)
}

fn duration(value: Expr) -> syn::Result<u64> {
    let text = text(value, "a duration is a text, as in \"15m\", \"1h30m\" or \"250ms\"")?;
    let refused = |message: String| syn::Error::new(text.span(), message);
    match milliseconds(&text.value()).map_err(refused)? {
        0 => {
            Err(refused("a duration of zero keeps nothing: leave the option out, or call without the cache".to_owned()))
        }
        long if long > MAX_TTL => {
            Err(refused(format!("`{}` is too long: a value lives 30 days at most", text.value())))
        }
        milliseconds => Ok(milliseconds),
    }
}

fn on(value: Expr) -> syn::Result<(On, proc_macro2::Span)> {
    const ADVICE: &str = "`on` is \"ok\" (only if the function returned `Ok`) or \"always\"";
    let text = text(value, ADVICE)?;
    match &*text.value() {
        "ok" => Ok((On::Success, text.span())),
        "always" => Ok((On::Always, text.span())),
        _ => Err(syn::Error::new(text.span(), ADVICE)),
    }
}

#[cfg(test)]
mod tests;
