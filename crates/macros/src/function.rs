//! The function under an attribute: its signature is read, its body is passed on as it is.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Ident, Pat, PathArguments, ReceiverKind, ReturnType, Safety,
    Signature, Type, Visibility,
};

use crate::nearest::did_you_mean;
use crate::options::Problems;

pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// In braces. Not looked into, so that an editor can complete what is half written.
    pub(crate) body: Group,
}

/// A parameter with a plain name.
#[derive(Clone)]
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = Attribute::parse_outer(input)?;
        let visibility = input.parse()?;
        let start = input.span();
        let signature = input.parse::<Signature>().map_err(|problem| {
            if input.is_empty() { problem } else { syn::Error::new(start, "this attribute goes on a function") }
        })?;
        match input.parse::<TokenTree>()? {
            TokenTree::Group(body) => Ok(Self { attributes, visibility, signature, body }),
            other => Err(syn::Error::new(other.span(), "this attribute needs a function with a body")),
        }
    }
}

impl Function {
    /// What both attributes ask of a function.
    pub(crate) fn check(&self, attribute: &str, problems: &mut Problems) {
        let signature = &self.signature;
        if signature.asyncness.is_none() {
            let message = format!("`#[{attribute}]` needs an `async fn`: the cache is asked without blocking a thread");
            problems.add(syn::Error::new(signature.fn_token.span, message));
        }
        if let Safety::Unsafe(token) = &signature.safety {
            problems.add(syn::Error::new(token.span, format!("`#[{attribute}]` cannot keep an `unsafe` promise")));
        }
        if let Some(abi) = &signature.abi {
            problems.add(syn::Error::new_spanned(abi, format!("`#[{attribute}]` needs a function of Rust")));
        }
        if let ReturnType::Type(_, ty) = &signature.output
            && mentions(&ty.to_token_stream(), "impl")
        {
            let message = format!("`#[{attribute}]` needs a return type with a name, not `impl …`");
            problems.add(syn::Error::new_spanned(ty, message));
        }
    }

    /// Parameters with a plain name; the others are problems if they must have one.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Result<Parameter, &Pat>> {
        self.signature.inputs.iter().filter_map(|input| match input {
            FnArg::Receiver(_) => None,
            FnArg::Typed(typed) => Some(match &*typed.pat {
                Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                    Ok(Parameter { name: pat.ident.clone(), ty: (*typed.ty).clone() })
                }
                other => Err(other),
            }),
        })
    }

    /// The return type; `()` where none is written.
    pub(crate) fn output(&self) -> Type {
        match &self.signature.output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        }
    }

    /// Type parameters, constant ones, and `impl Trait` among the parameters.
    pub(crate) fn check_not_generic(&self, problems: &mut Problems) {
        const MESSAGE: &str = "a cached function has one type of values and keys: generic functions are not supported; \
                               write one function for each type";
        for parameter in &self.signature.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                problems.add(syn::Error::new_spanned(parameter, MESSAGE));
            }
        }
        for parameter in self.parameters().flatten() {
            if mentions(&parameter.ty.to_token_stream(), "impl") {
                problems.add(syn::Error::new_spanned(&parameter.ty, MESSAGE));
            }
        }
    }

    /// `&self` will do if it is skipped; another receiver never does.
    pub(crate) fn check_receiver(&self, skipped: bool, problems: &mut Problems) {
        let Some(receiver) = self.signature.receiver() else { return };
        if !matches!(&receiver.kind, ReceiverKind::Reference(_, _, None)) {
            let message = "a cached method takes `&self`: it may run after its caller is gone, or not at all";
            problems.add(syn::Error::new_spanned(receiver, message));
        } else if !skipped {
            let message = "`self` is neither in the key nor in `skip`: a value of one object would be served for another; \
                           write `skip(self)` if the result does not depend on it";
            problems.add(syn::Error::new_spanned(receiver, message));
        }
    }

    /// Whether an argument borrows. An `async fn` must write lifetimes down, so that tokens are enough to know;
    /// what `Self` is they do not tell.
    pub(crate) fn borrows(&self) -> bool {
        let borrows = |ty: &Type| borrows(ty) || mentions(&ty.to_token_stream(), "Self");
        self.signature.receiver().is_some() || self.parameters().flatten().any(|parameter| borrows(&parameter.ty))
    }
}

/// The parameter that a template or a list names.
///
/// # Errors
/// There is none of that name.
pub(crate) fn find<'a>(parameters: &'a [Parameter], name: &Ident) -> syn::Result<&'a Parameter> {
    parameters.iter().find(|parameter| parameter.name == *name).ok_or_else(|| {
        let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.to_string()).collect();
        let near = did_you_mean(&name.to_string(), names.iter().map(String::as_str));
        syn::Error::new(name.span(), format!("there is no parameter `{name}`{near}"))
    })
}

/// Whether a type holds a reference or a lifetime other than `'static`.
pub(crate) fn borrows(ty: &Type) -> bool {
    fn borrow(tokens: TokenStream) -> bool {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let is = match &token {
                TokenTree::Group(group) => borrow(group.stream()),
                // `'a` is two tokens; after `&` it decides, and is looked at in its turn.
                TokenTree::Punct(punct) if punct.as_char() == '\'' => !next_is(&mut tokens, "static"),
                TokenTree::Punct(punct) if punct.as_char() == '&' => {
                    !matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'')
                }
                _ => false,
            };
            if is {
                return true;
            }
        }
        false
    }
    borrow(ty.to_token_stream())
}

fn next_is(tokens: &mut std::iter::Peekable<impl Iterator<Item = TokenTree>>, word: &str) -> bool {
    matches!(tokens.peek(), Some(TokenTree::Ident(next)) if next == word)
}

fn mentions(tokens: &TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => mentions(&group.stream(), word),
        _ => false,
    })
}

/// The first type argument of a type with this last name, such as `T` of `io::Result<T>`, and the second, if any.
pub(crate) fn arguments_of(ty: &Type, name: &str) -> Option<(Type, Option<Type>)> {
    let Type::Path(path) = ungrouped(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let mut types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    Some((types.next()?, types.next()))
}

/// A type without the invisible group that a `macro_rules` puts around it.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

#[cfg(test)]
mod tests;
