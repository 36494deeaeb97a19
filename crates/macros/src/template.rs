//! Templates of keys and tags: text with the names of parameters in braces. They say what is encoded, and in which
//! order; nothing is ever formatted.

use proc_macro2::Span;
use syn::{Ident, LitStr};

/// Parts of a tag's value: as many as a tuple that is a `CacheKey` has.
const MAX_TAG_PARAMETERS: usize = 6;

/// A template such as `{region}:{id}`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Parameter(String),
}

impl Template {
    /// Reads a template; `{{` and `}}` are braces.
    ///
    /// # Errors
    /// What is in braces is not a name, or braces do not match.
    pub(crate) fn parse(literal: &LitStr) -> syn::Result<Self> {
        match parts(&literal.value()) {
            Ok(parts) => Ok(Self { parts, span: literal.span() }),
            Err(message) => Err(syn::Error::new(literal.span(), message)),
        }
    }

    /// The parameters it names, in its order, at the template's place in the source.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Ident> {
        self.parts.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(named(name, self.span)),
            Part::Text(_) => None,
        })
    }
}

/// A tag's template, `kind`, `kind:{a}` or `kind:{a}:{b}`: what `Tag::of(kind, (a, b))` makes by hand.
#[derive(Clone)]
pub(crate) struct TagTemplate {
    /// The kind, without the colon behind it.
    pub(crate) kind: LitStr,
    /// The parameters in order.
    pub(crate) parameters: Vec<Ident>,
}

impl TagTemplate {
    /// Reads a tag's template.
    ///
    /// # Errors
    /// As [`Template::parse`], or it has another form: two templates that look different must not be one tag.
    pub(crate) fn parse(literal: &LitStr) -> syn::Result<Self> {
        let refused = |message: &str| Err(syn::Error::new(literal.span(), message));
        let parts = parts(&literal.value()).map_err(|message| syn::Error::new(literal.span(), message))?;
        let (kind, rest) = match &parts[..] {
            [Part::Text(kind)] => (kind.as_str(), &[][..]),
            [Part::Text(kind), rest @ ..] if kind.len() > 1 && kind.ends_with(':') => (&kind[..kind.len() - 1], rest),
            [] | [Part::Parameter(_), ..] => return refused("a tag begins with its kind, as in \"product:{id}\""),
            _ => return refused("a colon stands between a tag's kind and its parameters, as in \"product:{id}\""),
        };
        let mut parameters = Vec::new();
        for (index, part) in rest.iter().enumerate() {
            match part {
                Part::Parameter(name) if index % 2 == 0 => parameters.push(named(name, literal.span())),
                Part::Text(text) if index % 2 == 1 && text == ":" && index + 1 < rest.len() => {}
                _ => {
                    return refused(
                        "the parameters of a tag are separated by colons only, as in \"day:{user}:{date}\"",
                    );
                }
            }
        }
        if parameters.len() > MAX_TAG_PARAMETERS {
            return refused("a tag has at most six parameters");
        }
        Ok(Self { kind: LitStr::new(kind, literal.span()), parameters })
    }
}

fn named(name: &str, span: Span) -> Ident {
    match name.strip_prefix("r#") {
        Some(raw) => Ident::new_raw(raw, span),
        None => Ident::new(name, span),
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err("`}` without `{` before it; a brace is written `}}`".to_owned());
        }
        let Some((name, after)) = rest.split_once('}') else {
            return Err("`{` without `}` after it; a brace is written `{{`".to_owned());
        };
        check_name(name)?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Parameter(name.to_owned()));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("`{}` names no parameter: write `{id}`".to_owned());
    }
    if let Some((parameter, _)) = name.split_once(':') {
        return Err(format!("`{{{name}}}`: parameters are encoded, not formatted; write `{{{parameter}}}`"));
    }
    if let Some((parameter, _)) = name.split_once('.') {
        return Err(format!(
            "`{{{name}}}`: a template names whole parameters; write `{{{parameter}}}`, or pass the part"
        ));
    }
    if syn::parse_str::<Ident>(name).is_err() {
        return Err(format!("`{{{name}}}` is not the name of a parameter"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> LitStr {
        LitStr::new(text, Span::call_site())
    }

    fn key(text: &str) -> Result<Vec<String>, String> {
        let template = Template::parse(&literal(text)).map_err(|error| error.to_string())?;
        Ok(template.parameters().map(|name| name.to_string()).collect())
    }

    fn tag(text: &str) -> Result<(String, Vec<String>), String> {
        let tag = TagTemplate::parse(&literal(text)).map_err(|error| error.to_string())?;
        Ok((tag.kind.value(), tag.parameters.iter().map(Ident::to_string).collect()))
    }

    #[test]
    fn keys_name_their_parameters_in_order() {
        assert_eq!(key("{region}:{id}"), Ok(vec!["region".to_owned(), "id".to_owned()]));
        assert_eq!(key("all of {{them}}, {r#type}"), Ok(vec!["r#type".to_owned()]));
        assert_eq!(key("all"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, expected) in [
            ("{}", "`{}` names no parameter: write `{id}`"),
            ("{id:?}", "`{id:?}`: parameters are encoded, not formatted; write `{id}`"),
            ("{user.id}", "`{user.id}`: a template names whole parameters; write `{user}`, or pass the part"),
            ("{0}", "`{0}` is not the name of a parameter"),
            ("{id", "`{` without `}` after it; a brace is written `{{`"),
            ("id}", "`}` without `{` before it; a brace is written `}}`"),
        ] {
            assert_eq!(key(text), Err(expected.to_owned()), "{text}");
            assert_eq!(tag(&format!("kind:{text}")), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn tags_have_a_kind_and_parameters() {
        assert_eq!(tag("prices"), Ok(("prices".to_owned(), vec![])));
        assert_eq!(tag("shop:product:{id}"), Ok(("shop:product".to_owned(), vec!["id".to_owned()])));
        assert_eq!(tag("day:{user}:{date}"), Ok(("day".to_owned(), vec!["user".to_owned(), "date".to_owned()])));
    }

    #[test]
    fn tags_of_another_form_are_refused() {
        let kind = "a tag begins with its kind, as in \"product:{id}\"";
        let colon = "a colon stands between a tag's kind and its parameters, as in \"product:{id}\"";
        let between = "the parameters of a tag are separated by colons only, as in \"day:{user}:{date}\"";
        for (text, expected) in [
            ("", kind),
            ("{id}", kind),
            ("product{id}", colon),
            (":{id}", colon),
            ("day:{user}{date}", between),
            ("day:{user}-{date}", between),
            ("day:{user}:", between),
            ("t:{a}:{b}:{c}:{d}:{e}:{f}:{g}", "a tag has at most six parameters"),
        ] {
            assert_eq!(tag(text), Err(expected.to_owned()), "{text}");
        }
    }
}
