use proptest::prelude::*;

use super::*;

const NAMES: [&str; 6] = ["identity", "zlib", "gzip", "lz4", "zstd", "lzma"];

fn compressors() -> impl Strategy<Value = Compressor> {
    (0..NAMES.len(), 0..64usize).prop_map(|(index, at_least)| Compressor {
        compression: Compression::from_name(NAMES[index]).unwrap(),
        at_least,
    })
}

/// Some of it can be compressed.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..40), 0..8usize).prop_map(|(noise, times)| noise.repeat(times))
}

fn modes() -> impl Strategy<Value = Mode> {
    (0..MODES.len()).prop_map(|index| MODES[index])
}

fn one() -> Keyring {
    Keyring::new(&["secret"])
}

#[test]
fn whole_numbers_lie_bare() {
    assert_eq!(one().open(b"k", b"-12"), Ok(Opened::Whole("-12".to_owned())));
    assert_eq!(one().open(b"k", b"012"), Err(EnvelopeError::Foreign));
}

#[test]
fn signatures_of_older_secrets_are_accepted_and_are_not_made() {
    let (old, new, rotating) = (Keyring::new(&["old"]), Keyring::new(&["new"]), Keyring::new(&["new", "old"]));
    let seal = |keyring: &Keyring| keyring.seal(b"k", Mode::Pickle, b"payload", Compressor::NONE).unwrap();
    let value = Ok(Opened::Value(Mode::Pickle, b"payload".to_vec()));

    assert_eq!(rotating.open(b"k", &seal(&old)), value);
    assert_eq!(new.open(b"k", &seal(&rotating)), value);
    assert_eq!(old.open(b"k", &seal(&rotating)), Err(EnvelopeError::Forged));
}

#[test]
fn what_is_not_signed_is_read_only_where_nothing_is() {
    let without = Keyring::new::<&str>(&[]);
    let unsigned = without.seal(b"k", Mode::Pickle, b"payload", Compressor::NONE).unwrap();
    let signed = one().seal(b"k", Mode::Pickle, b"payload", Compressor::NONE).unwrap();

    assert_eq!(one().open(b"k", &unsigned), Err(EnvelopeError::Unsigned));
    assert!(without.open(b"k", &unsigned).is_ok());
    assert!(without.open(b"k", &signed).is_ok());
}

#[test]
fn a_secret_is_bound_to_its_purpose() {
    let sealed = one().seal(b"k", Mode::Bytes, b"", Compressor::NONE).unwrap();

    let bare = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    let (header, signature) = sealed.split_at(HEADER);

    assert!(signed(&bare, b"k", header, b"").verify_truncated_left(signature).is_err());
}

#[test]
fn a_small_value_that_claims_to_be_large_costs_no_memory() {
    for (number, name) in (0u8..).zip(NAMES).skip(1) {
        let compressor = Compressor { compression: Compression::from_name(name).unwrap(), at_least: 0 };
        let keyring = Keyring::new::<&str>(&[]);
        let mut sealed = keyring.seal(b"k", Mode::Bytes, &[0; 4096], compressor).unwrap();
        sealed[7..11].copy_from_slice(&(LARGEST as u32).to_be_bytes());
        assert_eq!(sealed[5], number);
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::Damaged));

        // And one that is larger than it says is not read to its end.
        sealed[7..11].copy_from_slice(&16u32.to_be_bytes());
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::Damaged));
        sealed[7..11].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::TooLarge));
    }
}

#[test]
fn what_is_shorter_than_is_worthwhile_is_left_alone_and_all_else_is_compressed() {
    for (number, name) in (0u8..).zip(NAMES).skip(1) {
        let compression = Compression::from_name(name).unwrap();
        let compressor = Compressor { compression, at_least: compression.worthwhile_from() };
        let numbers = [compressor.at_least - 1, 4096].map(|length| {
            let sealed = one().seal(b"k", Mode::Bytes, &vec![7; length], compressor).unwrap();
            assert_eq!(one().open(b"k", &sealed), Ok(Opened::Value(Mode::Bytes, vec![7; length])), "{name}");
            sealed[5]
        });
        assert_eq!(numbers, [0, number], "{name}");
    }
    assert!(Compression::from_name("brotli").unwrap_err().contains("accepted: identity, zlib"));
}

#[test]
fn large_windows_come_back() {
    // Larger than the window of LZMA and than a block of Zstandard, and alike only far apart.
    let noise = (0..5_000_000u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    let payload: Vec<u8> = noise.chain(std::iter::repeat_n(7, 70_000)).collect();
    for name in ["zstd", "lzma"] {
        let compressor = Compressor { compression: Compression::from_name(name).unwrap(), at_least: 0 };
        let sealed = one().seal(b"k", Mode::Bytes, &payload, compressor).unwrap();
        assert!(one().open(b"k", &sealed) == Ok(Opened::Value(Mode::Bytes, payload.clone())), "{name}");
        assert!(sealed.len() < payload.len(), "{name}");
    }
}

#[test]
fn kinds_to_come_are_told_from_damage() {
    let keyring = Keyring::new::<&str>(&[]);
    for place in [4, 5] {
        let mut sealed = keyring.seal(b"k", Mode::Bytes, b"x", Compressor::NONE).unwrap();
        sealed[place] = 200;
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::UnknownKind));
    }
}

#[test]
fn no_secret_is_printed() {
    assert_eq!(format!("{:?}", one()), "Keyring(1 secrets)");
}

proptest! {
    #[test]
    fn values_come_back(key: Vec<u8>, mode in modes(), payload in payloads(), compressor in compressors(), signs: bool) {
        let keyring = if signs { one() } else { Keyring::new::<&str>(&[]) };

        let sealed = keyring.seal(&key, mode, &payload, compressor).unwrap();

        prop_assert!(sealed.len() <= HEADER + SIGNATURE + payload.len());
        prop_assert_eq!(keyring.open(&key, &sealed), Ok(Opened::Value(mode, payload)));
    }

    #[test]
    fn any_flipped_bit_is_refused(
        mode in modes(), payload in payloads(), compressor in compressors(), place: prop::sample::Index, bit in 0..8u8,
    ) {
        let mut sealed = one().seal(b"key", mode, &payload, compressor).unwrap();
        let place = place.index(sealed.len());
        sealed[place] ^= 1 << bit;

        prop_assert!(one().open(b"key", &sealed).is_err());
    }

    #[test]
    fn another_key_another_secret_and_a_part_are_refused(
        key: Vec<u8>, other: Vec<u8>, payload in payloads(), secret: Vec<u8>, cut: prop::sample::Index,
    ) {
        let sealed = one().seal(&key, Mode::Pickle, &payload, Compressor::NONE).unwrap();

        prop_assert_eq!(one().open(&other, &sealed).is_ok(), key == other);
        prop_assert_eq!(Keyring::new(&[&secret]).open(&key, &sealed).is_ok(), secret == b"secret");
        prop_assert!(one().open(&key, &sealed[..cut.index(sealed.len())]).is_err());
        let moved = one().reseal(&key, &other, &sealed, Compressor::NONE);
        prop_assert_eq!(one().open(&other, &moved), Ok(Opened::Value(Mode::Pickle, payload)));
    }

    #[test]
    fn foreign_bytes_are_refused_and_never_a_panic(bytes: Vec<u8>, is_ours: bool) {
        let bytes = if is_ours { [MAGIC, &bytes].concat() } else { bytes };
        let bare = is_whole_number(&bytes);

        prop_assert!(bare || one().open(b"key", &bytes).is_err());
        let _ = Keyring::new::<&str>(&[]).open(b"key", &bytes);
    }
}
