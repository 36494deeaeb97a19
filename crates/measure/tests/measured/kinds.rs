//! Functions of all kinds: each does what it would without the attribute, and is counted.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use tierkeep_measure::measured;

use crate::endings::counted;

#[measured]
fn plain(left: u32, (right, _): (u32, u32)) -> u32 {
    left + right
}

#[measured("kinds::generic")]
fn generic<T: Display + ?Sized, const N: usize>(value: &T, _: [u8; N]) -> impl Display + use<T, N> {
    format!("{value}{N}")
}

struct Shelf<T> {
    items: Vec<T>,
}

impl<T: Clone> Shelf<T> {
    #[measured("kinds::by_reference")]
    fn first(&self) -> Option<&T> {
        if self.items.len() > 100 {
            return None;
        }
        let first = self.items.first()?;
        Some(first)
    }

    /// What is given away was borrowed mutably by the body.
    #[measured("kinds::by_mutable_reference")]
    fn first_mut<'a>(&'a mut self, fallback: &'a mut T) -> &'a mut T {
        match self.items.first_mut() {
            Some(first) => first,
            None => fallback,
        }
    }

    #[measured("kinds::by_value")]
    fn into_items(self) -> impl Iterator<Item = T> {
        self.items.into_iter()
    }

    #[measured("kinds::async_by_reference")]
    async fn first_later(&self) -> Option<&T> {
        tokio::task::yield_now().await;
        self.items.first()
    }

    #[measured("kinds::async_by_mutable_reference")]
    async fn push_later(&mut self, item: &T) -> Result<&mut T, String> {
        self.items.push(item.clone());
        self.items.last_mut().ok_or_else(|| "empty".into())
    }
}

trait Named {
    fn name(&self) -> impl Future<Output = Result<String, ()>> + Send;
    fn boxed<'a>(&'a self, prefix: &'a str) -> Pin<Box<dyn Future<Output = Result<String, ()>> + Send + 'a>>;
}

impl Named for u8 {
    #[measured("kinds::trait_method")]
    async fn name(&self) -> Result<String, ()> {
        Ok(self.to_string())
    }

    #[measured("kinds::boxed")]
    fn boxed<'a>(&'a self, prefix: &'a str) -> Pin<Box<dyn Future<Output = Result<String, ()>> + Send + 'a>> {
        Box::pin(async move { if prefix.is_empty() { Err(()) } else { Ok(format!("{prefix}{self}")) } })
    }
}

#[measured("kinds::future")]
fn doubled_later(number: u32) -> impl Future<Output = Result<u32, String>> + Send {
    let doubled = number * 2;
    async move { if doubled > 10 { Err(format!("{doubled} is too much")) } else { Ok(doubled) } }
}

#[measured("kinds::never")]
fn gives_up() -> ! {
    panic!("always")
}

#[measured("kinds::async_impl")]
async fn shown_later(value: impl Display) -> impl Display {
    format!("<{value}>")
}

#[measured("kinds::mutable_parameter")]
fn counted_down(mut number: u32) -> u32 {
    while number > 3 {
        number -= 1;
    }
    number
}

#[measured("kinds::moves")]
async fn joined(parts: Vec<String>, separator: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let Some(_) = parts.first() else { return Err("nothing to join".into()) };
    let joined = tokio::spawn(async move { parts });
    Ok(joined.await?.join(separator))
}

#[test]
fn without_a_name_it_is_the_path_of_the_module_and_the_function() {
    assert_eq!(plain(1, (2, 3)), 3);

    assert_eq!(counted("measured::kinds::plain").calls(), 1);
}

#[test]
fn all_types_of_a_generic_function_share_a_histogram() {
    let shown = (generic("a", [0; 2]).to_string(), generic(&7, [0; 1]).to_string());

    assert_eq!(shown, ("a2".to_owned(), "71".to_owned()));
    assert_eq!(counted("kinds::generic").values, 2);
}

#[tokio::test]
async fn methods_give_away_what_they_borrow() {
    let mut shelf = Shelf { items: vec![1, 2] };
    let mut fallback = 9;

    *shelf.first_mut(&mut fallback) = 5;
    *Shelf { items: Vec::new() }.first_mut(&mut fallback) = 8;
    *shelf.push_later(&3).await.unwrap() += 1;

    assert_eq!((shelf.first(), shelf.first_later().await, fallback), (Some(&5), Some(&5), 8));
    assert_eq!(shelf.into_items().collect::<Vec<_>>(), [5, 2, 4]);
    let names =
        ["by_reference", "by_mutable_reference", "by_value", "async_by_reference", "async_by_mutable_reference"];
    let calls = names.map(|name| counted(&format!("kinds::{name}")).values);
    assert_eq!(calls, [1, 2, 1, 1, 1]);
}

#[tokio::test]
async fn functions_that_return_futures_are_measured_as_async_ones() {
    let answers = (doubled_later(3).await, doubled_later(30).await);
    let boxed = (7.boxed("n").await, 7.boxed("").await, 7.name().await);
    drop(doubled_later(1));

    assert_eq!(answers, (Ok(6), Err("60 is too much".to_owned())));
    assert_eq!(boxed, (Ok("n7".to_owned()), Err(()), Ok("7".to_owned())));
    for name in ["kinds::future", "kinds::boxed"] {
        assert_eq!((counted(name).values, counted(name).errors, counted(name).cancelled), (1, 1, 0), "{name}");
    }
    assert_eq!(counted("kinds::trait_method").values, 1);
}

#[test]
fn a_function_that_never_returns_panics_or_is_not_counted() {
    assert!(std::panic::catch_unwind(|| gives_up()).is_err());

    assert_eq!(counted("kinds::never").panics, 1);
}

#[tokio::test]
async fn futures_stay_send_and_take_what_they_are_given() {
    let joined_text = tokio::spawn(joined(vec!["a".to_owned(), "b".to_owned()], "-")).await.unwrap().unwrap();

    assert_eq!((joined_text.as_str(), counted_down(9)), ("a-b", 3));
    assert_eq!(shown_later(5).await.to_string(), "<5>");
    assert!(joined(Vec::new(), "").await.is_err());
    assert_eq!((counted("kinds::moves").values, counted("kinds::moves").errors), (1, 1));
}

const SITE: u32 = 1;

#[measured("kinds::hygiene")]
fn sum(on: u32, span: u32, call: u32, output: u32, future: u32) -> u32 {
    SITE + on + span + call + output + future
}

#[measured("kinds::async_hygiene")]
async fn sum_later(on: u32, span: u32, call: u32, output: u32, future: u32, context: u32) -> u32 {
    SITE + on + span + call + output + future + context
}

#[tokio::test]
async fn what_is_generated_hides_no_name_of_the_function() {
    assert_eq!(sum(10, 20, 30, 40, 50), 151);
    assert_eq!(sum_later(10, 20, 30, 40, 50, 60).await, 211);
}

#[measured("kinds::shared")]
fn one() {}

#[measured("kinds::shared")]
fn other() {}

#[test]
fn functions_of_one_name_share_a_histogram() {
    one();
    other();

    assert_eq!(counted("kinds::shared").calls(), 2);
}
