use bytes::BytesMut;
use proptest::prelude::*;
use tokio_postgres::types::{IsNull, Type};

use super::decimal::Decimal;
use super::{Kind, Value, ValueError, civil};

fn written(value: &Value, ty: &Type) -> Result<Value, ValueError> {
    let mut out = BytesMut::new();
    match value.encode_postgres(ty, &mut out)? {
        IsNull::Yes => Value::decode_postgres(ty, None),
        IsNull::No => Value::decode_postgres(ty, Some(&out)),
    }
}

#[test]
fn decimals_keep_digits_and_scale() {
    for (given, expected) in [
        ("0", "0"),
        ("-0.00", "0.00"),
        ("12.50", "12.50"),
        (".5", "0.5"),
        ("10000", "10000"),
        ("0.0001", "0.0001"),
        ("123456789.000000001", "123456789.000000001"),
        ("1e5", "100000"),
        ("1.5e-7", "0.00000015"),
        ("nan", "NaN"),
        ("-Infinity", "-Infinity"),
        ("00012", "12"),
        ("99990000.0", "99990000.0"),
    ] {
        assert_eq!(
            written(&Value::Numeric(given.to_owned()), &Type::NUMERIC).unwrap(),
            Value::Numeric(expected.to_owned())
        );
    }
}

#[test]
fn what_is_no_decimal_is_refused() {
    for given in ["", "-", ".", "1.2.3", "1e", "12a", "1e20000000", "--1", " 1"] {
        assert_eq!(Decimal::parse(given), None, "{given:?}");
    }
}

#[test]
fn days_are_those_of_the_calendar() {
    for (days, text) in [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (20_779, "2026-11-22")] {
        assert_eq!(civil::format(days).unwrap(), text);
        assert_eq!(civil::parse(text), Some(days));
    }
    for text in ["2025-02-29", "2025-13-01", "2025-1-01", "10000-01-01", "x"] {
        assert_eq!(civil::parse(text), None, "{text}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused_by_name() {
    assert!(matches!(written(&Value::Integer(40_000), &Type::INT2), Err(ValueError::OutOfRange { .. })));
    assert!(matches!(written(&Value::Integer(i64::MAX), &Type::FLOAT8), Err(ValueError::OutOfRange { .. })));
    assert!(matches!(written(&Value::Float(1e300), &Type::FLOAT4), Err(ValueError::OutOfRange { .. })));
    assert!(matches!(written(&Value::Instant(i64::MIN + 1), &Type::TIMESTAMPTZ), Err(ValueError::OutOfRange { .. })));
    assert_eq!(written(&Value::from("a\0b"), &Type::TEXT), Err(ValueError::NulInText { at: 1 }));
    let mismatch = written(&Value::from("1"), &Type::INT4).unwrap_err();
    assert_eq!(mismatch.to_string(), "a value of kind text does not fit int4, accepted is integer");
}

#[test]
fn a_storage_class_becomes_only_what_it_can_mean() {
    assert_eq!(Value::Integer(1).into_kind(Kind::Bool).unwrap(), Value::Bool(true));
    assert!(Value::Integer(2).into_kind(Kind::Bool).is_err());
    assert!(Value::from("x").into_kind(Kind::Uuid).is_err());
    assert_eq!(Value::Null.into_kind(Kind::Date).unwrap(), Value::Null);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_decimal_survives(whole in "[1-9][0-9]{0,30}", fraction in "[0-9]{0,20}", is_negative: bool) {
        let mut text = if is_negative { format!("-{whole}") } else { whole };
        if !fraction.is_empty() {
            text.push('.');
            text.push_str(&fraction);
        }
        let value = Value::Numeric(text);
        prop_assert_eq!(&written(&value, &Type::NUMERIC).unwrap(), &value);
    }

    #[test]
    fn any_day_of_ten_thousand_years_survives(days in -719_528..=2_932_896_i32) {
        prop_assert_eq!(civil::parse(&civil::format(days).unwrap()), Some(days));
    }
}
