//! The stream of `COPY … (format binary)`.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::types::{IsNull, Type};

use crate::{Value, ValueError};

/// What a stream begins with: a signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Bytes that are sent at a time. Larger pieces were not faster.
const PIECE: usize = 128 * 1024;
/// Length of a null.
const NULL: i32 = -1;

/// Rows on their way into a stream.
pub(super) struct CopyStream<'a> {
    types: &'a [Type],
    buffer: BytesMut,
}

impl<'a> CopyStream<'a> {
    pub(super) fn new(types: &'a [Type]) -> Self {
        let mut buffer = BytesMut::with_capacity(PIECE + PIECE / 4);
        buffer.put_slice(HEADER);
        Self { types, buffer }
    }

    /// Adds a row, and returns a piece to send when there is enough of it.
    pub(super) fn push(&mut self, row: &[Value]) -> Result<Option<Bytes>, ValueError> {
        // a table has at most 1,600 columns
        self.buffer.put_i16(i16::try_from(row.len()).unwrap_or(i16::MAX));
        for (value, ty) in row.iter().zip(self.types) {
            let at = self.buffer.len();
            self.buffer.put_i32(NULL);
            if let IsNull::No = value.encode_postgres(ty, &mut self.buffer)? {
                let length = self.buffer.len() - at - size_of::<i32>();
                let length = i32::try_from(length).map_err(|_| ValueError::OutOfRange {
                    given: format!("a value of {length} bytes"),
                    wanted: "a column, 1 GB".to_owned(),
                })?;
                self.buffer[at..at + size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok((self.buffer.len() >= PIECE).then(|| self.buffer.split().freeze()))
    }

    /// The last piece.
    pub(super) fn finish(mut self) -> Bytes {
        self.buffer.put_i16(-1);
        self.buffer.freeze()
    }
}
