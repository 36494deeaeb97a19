//! Reading a sealed file back.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::digest::digest;
use super::{Damage, ExportError, RowDigest, Sealed, Sha256Sum};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Reads a file again from the disk and compares it with what was sealed: first its bytes, then, unpacked, its columns
/// and rows, so that a fault of the writer shows as well as one of the disk.
///
/// Reads the file twice, in memory bounded by its longest record.
///
/// # Errors
/// [`ExportError::Read`] if it cannot be read, [`ExportError::Damaged`] if it is another.
pub fn verify(sealed: &Sealed) -> Result<(), ExportError> {
    let path = sealed.path.as_path();
    let unreadable = |source| ExportError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    verify_bytes(&mut file, sealed)?;
    file.rewind().map_err(unreadable)?;
    verify_rows(file, sealed)
}

fn verify_bytes(file: &mut File, sealed: &Sealed) -> Result<(), ExportError> {
    let mut sum = Sha256::new();
    let mut found = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                sum.update(&buffer[..count]);
                found += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ExportError::Read { path: sealed.path.clone(), source }),
        }
    }
    if found != sealed.bytes {
        return damaged(&sealed.path, Damage::Length { found, expected: sealed.bytes });
    }
    let (found, expected) = (Sha256Sum::new(sum.finalize().into()), sealed.sha256);
    if found != expected {
        return damaged(&sealed.path, Damage::Bytes { found, expected });
    }
    Ok(())
}

fn verify_rows(file: File, sealed: &Sealed) -> Result<(), ExportError> {
    let unpacked = MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, file));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(unpacked);
    let mut record = csv::ByteRecord::new();
    let mut records = 0;
    let mut digest_found = RowDigest::default();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => records += 1,
            Err(error) => return damaged(&sealed.path, Damage::Packing(error.to_string())),
        }
        if records == 1 {
            verify_columns(&record, sealed)?;
            continue;
        }
        let (found, expected) = (record.len(), sealed.columns.len());
        if found != expected {
            let reason = format!("has {found} fields, not {expected}");
            return damaged(&sealed.path, Damage::Record { record: records, reason });
        }
        if let Some(place) = record.iter().position(|field| std::str::from_utf8(field).is_err()) {
            let reason = format!("is not UTF-8 in the column {:?}", sealed.columns[place]);
            return damaged(&sealed.path, Damage::Record { record: records, reason });
        }
        digest_found.add(digest(record.iter()));
    }
    if records == 0 {
        return damaged(&sealed.path, Damage::Columns { found: Vec::new(), expected: sealed.columns.clone() });
    }
    let (found, expected) = (records - 1, sealed.rows);
    if found != expected {
        return damaged(&sealed.path, Damage::Rows { found, expected });
    }
    let (found, expected) = (digest_found, sealed.digest);
    if found != expected {
        return damaged(&sealed.path, Damage::Digest { found, expected });
    }
    Ok(())
}

fn verify_columns(header: &csv::ByteRecord, sealed: &Sealed) -> Result<(), ExportError> {
    if header.iter().eq(sealed.columns.iter().map(String::as_bytes)) {
        return Ok(());
    }
    let found = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    damaged(&sealed.path, Damage::Columns { found, expected: sealed.columns.clone() })
}

fn damaged(path: &Path, damage: Damage) -> Result<(), ExportError> {
    Err(ExportError::Damaged { path: path.to_owned(), damage })
}
