//! Files that are not what was exported, each told from the others.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use super::*;

fn fault(sealed: &Sealed) -> Damage {
    match verify(sealed) {
        Err(error @ ExportError::Damaged { .. }) => {
            let said = error.to_string();
            assert!(said.starts_with(&sealed.path.display().to_string()), "{said}");
            let ExportError::Damaged { damage, .. } = error else { unreachable!() };
            assert!(said.ends_with(&damage.to_string()), "{said}");
            damage
        }
        other => panic!("{other:?}"),
    }
}

/// Puts other text under the name and lets length and checksum say that it belongs there, as a faulty writer would.
fn rewritten(sealed: &Sealed, text: &[u8]) -> Sealed {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text).unwrap();
    vouched(sealed, &packed.finish().unwrap())
}

fn vouched(sealed: &Sealed, bytes: &[u8]) -> Sealed {
    fs::write(&sealed.path, bytes).unwrap();
    let sha256 = Sha256Sum::new(Sha256::digest(bytes).into());
    Sealed { bytes: bytes.len() as u64, sha256, ..sealed.clone() }
}

#[test]
fn a_file_that_is_shorter_longer_or_empty_is_found_by_its_length() {
    let (_parent, directory) = directory();
    let sealed = sealed(&directory, 1, 100);
    let whole = fs::read(&sealed.path).unwrap();

    for bytes in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &[], &[&whole[..], b"\n"].concat()] {
        fs::write(&sealed.path, bytes).unwrap();

        let expected = sealed.bytes;
        assert_eq!(fault(&sealed), Damage::Length { found: bytes.len() as u64, expected });
    }
    fs::remove_file(&sealed.path).unwrap();
    let error = verify(&sealed).unwrap_err();
    assert!(matches!(error, ExportError::Read { .. }), "{error:?}");
}

#[test]
fn one_flipped_bit_is_found_wherever_it_is() {
    let (_parent, directory) = directory();
    let sealed = sealed(&directory, 1, 10);
    let whole = fs::read(&sealed.path).unwrap();

    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&sealed.path, &bytes).unwrap();

        assert!(matches!(fault(&sealed), Damage::Bytes { .. }), "byte {place}");
    }
    fs::write(&sealed.path, &whole).unwrap();
    verify(&sealed).unwrap();
}

#[test]
fn another_files_content_under_the_name_is_found() {
    let (_parent, directory) = directory();
    let (one, two) = (sealed(&directory, 1, 3), sealed(&directory, 2, 3));
    let bytes = fs::read(&two.path).unwrap();

    fs::copy(&two.path, &one.path).unwrap();
    assert!(matches!(fault(&one), Damage::Length { .. } | Damage::Bytes { .. }));
    // and by its rows alone
    assert_eq!(fault(&vouched(&one, &bytes)), Damage::Digest { found: two.digest, expected: one.digest });
}

#[test]
fn what_a_faulty_writer_would_leave_is_found_by_its_content() {
    let (_parent, directory) = directory();
    let sealed = sealed(&directory, 1, 2);
    let text = "id,notes\n0,note 0\n1,note 1\n";
    assert_eq!(unpacked(&sealed.path), text);
    verify(&rewritten(&sealed, text.as_bytes())).unwrap();
    let columns = |found: &[&str]| Damage::Columns { found: columns(found), expected: sealed.columns.clone() };
    let record = |record, reason: &str| Damage::Record { record, reason: reason.to_owned() };

    for (text, expected) in [
        ("id,note\n0,note 0\n1,note 1\n", columns(&["id", "note"])),
        ("notes,id\n0,note 0\n1,note 1\n", columns(&["notes", "id"])),
        ("id\n0\n1\n", columns(&["id"])),
        ("", columns(&[])),
        ("id,notes\n0,note 0\n", Damage::Rows { found: 1, expected: 2 }),
        ("id,notes\n0,note 0\n1,note 1\n1,note 1\n", Damage::Rows { found: 3, expected: 2 }),
        ("id,notes\n0,note 0\n1\n", record(3, "has 1 fields, not 2")),
        ("id,notes\n0,note 0\n1,note 1,\n", record(3, "has 3 fields, not 2")),
    ] {
        assert_eq!(fault(&rewritten(&sealed, text.as_bytes())), expected, "{text}");
    }
    for text in ["id,notes\n0,note 0\n0,note 0\n", "id,notes\n0,note 0\n1, note 1\n", "id,notes\nnote 0,0\n1,note 1\n"]
    {
        assert!(matches!(fault(&rewritten(&sealed, text.as_bytes())), Damage::Digest { .. }), "{text}");
    }
    let bytes = b"id,notes\n0,note 0\n1,\xff\n";
    assert_eq!(fault(&rewritten(&sealed, bytes)), record(3, "is not UTF-8 in the column \"notes\""));
    // rows in another order are the same rows
    verify(&rewritten(&sealed, b"id,notes\n1,note 1\n0,note 0\n")).unwrap();
}

#[test]
fn what_cannot_be_unpacked_is_found() {
    let (_parent, directory) = directory();
    let sealed = sealed(&directory, 1, 100);
    let whole = fs::read(&sealed.path).unwrap();

    for bytes in [&b""[..], b"id,notes\n", &whole[..whole.len() - 4], &whole[..40], &[&whole[..], b"more"].concat()] {
        assert!(matches!(fault(&vouched(&sealed, bytes)), Damage::Packing(_)), "{} bytes", bytes.len());
    }
}
