use proptest::prelude::*;

use super::*;

type Key = (i64, Option<String>, u128);

fn key() -> impl Strategy<Value = Key> {
    (any::<i64>(), proptest::option::of("\\PC{0,12}"), any::<u128>())
}

#[test]
fn page_sizes_outside_of_the_range_are_refused() {
    assert!(PageSize::new(0).is_err());
    assert!(PageSize::new(1001).is_err());
    assert_eq!(PageSize::new(1000).unwrap().limit(), 1001);
    assert_eq!(PageSize::default().get(), 100);
}

#[test]
fn last_page_has_no_cursor() {
    let size = PageSize::new(3).unwrap();

    let page = Page::new(vec![1, 2, 3], size, "numbers", |n| *n);

    assert_eq!(page, Page { items: vec![1, 2, 3], next: None });
}

#[test]
fn page_before_the_last_ends_with_the_key_of_its_last_row() {
    let size = PageSize::new(2).unwrap();

    let page = Page::new(vec![1, 2, 3], size, "numbers", |n| *n);

    assert_eq!(page.items, [1, 2]);
    assert_eq!(Cursor::decode::<i32>("numbers", &page.next.unwrap()), Ok(2));
}

#[test]
fn cursor_of_another_order_is_foreign() {
    let cursor = Cursor::encode("by start", &7_i64);

    assert_eq!(Cursor::decode::<i64>("by end", &cursor), Err(CursorError::Foreign));
}

#[test]
fn cursor_of_another_version_is_refused() {
    let mut bytes = URL_SAFE_NO_PAD.decode(Cursor::encode("by start", &7_i64)).unwrap();
    bytes[0] = VERSION + 1;
    let body = bytes.len() - CHECKSUM_BYTES;
    let checksum = xxh3_64(&bytes[..body]).to_le_bytes();
    bytes[body..].copy_from_slice(&checksum);

    let result = Cursor::decode::<i64>("by start", &URL_SAFE_NO_PAD.encode(bytes));

    assert_eq!(result, Err(CursorError::Version));
}

#[test]
fn cursor_with_more_values_than_asked_for_is_damaged() {
    let cursor = Cursor::encode("by start", &(7_i64, 8_i64));

    assert_eq!(Cursor::decode::<i64>("by start", &cursor), Err(CursorError::Damaged));
}

proptest! {
    #[test]
    fn cursor_returns_what_it_was_made_of(spec in "\\PC{0,20}", key in key()) {
        let cursor = Cursor::encode(&spec, &key);

        prop_assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(Cursor::decode::<Key>(&spec, &cursor), Ok(key));
    }

    #[test]
    fn changed_cursor_is_refused(key in key(), at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_-]") {
        let cursor = Cursor::encode("spec", &key);
        let at = at.index(cursor.len());
        let mut changed = cursor.clone();
        changed.replace_range(at..=at, &with);
        prop_assume!(changed != cursor);

        prop_assert!(Cursor::decode::<Key>("spec", &changed).is_err());
    }

    #[test]
    fn cut_cursor_is_refused(key in key(), at in any::<prop::sample::Index>()) {
        let cursor = Cursor::encode("spec", &key);

        prop_assert!(Cursor::decode::<Key>("spec", &cursor[..at.index(cursor.len())]).is_err());
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,60}") {
        prop_assert!(Cursor::decode::<Key>("spec", &text).is_err());
    }
}
