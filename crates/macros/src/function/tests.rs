//! Types, as tokens tell them.

use super::*;

fn ty(text: &str) -> Type {
    syn::parse_str(text).unwrap()
}

#[test]
fn references_and_lifetimes_borrow() {
    for text in
        ["&str", "&'a str", "Cow<'_, str>", "Vec<&u8>", "(u8, &u8)", "Box<dyn Trait + 'a>", "&'static Cow<'_, str>"]
    {
        assert!(borrows(&ty(text)), "{text}");
    }
    for text in ["String", "&'static str", "Arc<Db>", "Box<dyn Trait>", "Cow<'static, str>", "[u8; 3]"] {
        assert!(!borrows(&ty(text)), "{text}");
    }
}

#[test]
fn results_are_known_by_their_last_name() {
    let arguments = |text: &str| {
        let (first, second) = arguments_of(&ty(text), "Result")?;
        let text = |ty: Type| ty.to_token_stream().to_string();
        Some((text(first), second.map(text)))
    };

    assert_eq!(arguments("Result<u8, Error>"), Some(("u8".to_owned(), Some("Error".to_owned()))));
    assert_eq!(arguments("std::io::Result<u8>"), Some(("u8".to_owned(), None)));
    assert_eq!(arguments("Option<u8>"), None);
    assert_eq!(arguments("Result"), None);
}
