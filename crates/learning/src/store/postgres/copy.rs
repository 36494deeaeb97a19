//! Rows in PostgreSQL's binary COPY format (PostgreSQL documentation, COPY, "Binary Format"), encoded without a detour.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use jiff::Timestamp;
use postgres_types::{ToSql, Type};
use tokio_postgres::Transaction;

use super::super::StoreError;
use super::wire::{PgHundredths, PgInstant};
use crate::key::Key;
use crate::rows::{ProgressRow, SessionRow, UserRow};

/// Bytes sent at once. Larger pieces were no faster in `benches/import.rs`.
const PIECE: usize = 256 * 1024;
/// Signature, flags, length of the header's extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A row that knows its columns.
pub(super) trait CopyRow: Sync {
    fn encode(&self, row: &mut RowEncoder<'_>);
}

/// Appends the columns of one row, in order.
pub(super) struct RowEncoder<'a>(&'a mut BytesMut);

/// Copies rows with a `copy … from stdin (format binary)` statement; returns how many.
pub(super) async fn copy<R: CopyRow>(tx: &Transaction<'_>, statement: &str, rows: &[R]) -> Result<u64, StoreError> {
    let sink = tx.copy_in::<_, Bytes>(statement).await?;
    let mut sink = std::pin::pin!(sink);
    let mut buffer = BytesMut::with_capacity(PIECE + PIECE / 4);
    buffer.put_slice(HEADER);
    for row in rows {
        let head = buffer.len();
        buffer.put_i16(0);
        row.encode(&mut RowEncoder(&mut buffer));
        debug_assert!(i16::from_be_bytes([buffer[head], buffer[head + 1]]) > 0, "a row has columns");
        if buffer.len() >= PIECE {
            sink.send(buffer.split().freeze()).await?;
        }
    }
    buffer.put_i16(-1);
    sink.send(buffer.freeze()).await?;
    Ok(sink.finish().await?)
}

impl RowEncoder<'_> {
    fn columns(&mut self, count: i16) -> &mut Self {
        let head = self.0.len() - 2;
        self.0[head..].copy_from_slice(&count.to_be_bytes());
        self
    }

    fn null(&mut self) -> &mut Self {
        self.0.put_i32(-1);
        self
    }

    fn key(&mut self, key: Key) -> &mut Self {
        match key {
            Key::Int(number) => {
                self.0.put_i32(8);
                self.0.put_i64(number);
            }
            Key::Uuid(uuid) => {
                self.0.put_i32(16);
                self.0.put_slice(uuid.as_bytes());
            }
        }
        self
    }

    fn optional_key(&mut self, key: Option<Key>) -> &mut Self {
        match key {
            Some(key) => self.key(key),
            None => self.null(),
        }
    }

    /// Text is at most 1 MiB (import), so its length fits.
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
        self.0.put_slice(text.as_bytes());
        self
    }

    fn integer(&mut self, number: i32) -> &mut Self {
        self.0.put_i32(4);
        self.0.put_i32(number);
        self
    }

    fn smallint(&mut self, number: i16) -> &mut Self {
        self.0.put_i32(2);
        self.0.put_i16(number);
        self
    }

    fn boolean(&mut self, value: bool) -> &mut Self {
        self.0.put_i32(1);
        self.0.put_u8(value.into());
        self
    }

    fn instant(&mut self, instant: Timestamp) -> &mut Self {
        self.0.put_i32(8);
        self.0.put_i64(PgInstant(instant).since_2000());
        self
    }

    fn optional_instant(&mut self, instant: Option<Timestamp>) -> &mut Self {
        match instant {
            Some(instant) => self.instant(instant),
            None => self.null(),
        }
    }

    fn hundredths(&mut self, hundredths: i16) -> &mut Self {
        let head = self.0.len();
        self.0.put_i32(0);
        PgHundredths(hundredths)
            .to_sql(&Type::NUMERIC, self.0)
            .expect("hundredths have at most two digits of base 10,000");
        let length = i32::try_from(self.0.len() - head - 4).expect("a numeric of two digits is short");
        self.0[head..head + 4].copy_from_slice(&length.to_be_bytes());
        self
    }
}

impl CopyRow for UserRow {
    fn encode(&self, row: &mut RowEncoder<'_>) {
        row.columns(7)
            .key(self.id.key())
            .text(&self.email)
            .text(&self.username)
            .boolean(self.is_active)
            .optional_instant(self.last_login)
            .instant(self.created_at);
        match &self.time_zone {
            Some(zone) => row.text(zone),
            None => row.null(),
        };
    }
}

impl CopyRow for ProgressRow {
    fn encode(&self, row: &mut RowEncoder<'_>) {
        row.columns(11)
            .key(self.id.key())
            .key(self.user_id.key())
            .key(self.content_id.key())
            .text(&self.subject_name)
            .integer(self.proficiency_level)
            .integer(self.learning_hour_week)
            .integer(self.learning_hour_total);
        match self.est_finish_hour {
            Some(hours) => row.integer(hours),
            None => row.null(),
        }
        .integer(self.difficulty)
        .instant(self.created_at)
        .instant(self.updated_at);
    }
}

impl CopyRow for SessionRow {
    fn encode(&self, row: &mut RowEncoder<'_>) {
        row.columns(20)
            .key(self.id.key())
            .key(self.user_id.key())
            .optional_key(self.course_progress_id.map(crate::key::CourseProgressId::key))
            .instant(self.start_time)
            .optional_instant(self.end_time)
            .integer(self.duration_minutes);
        match self.effectiveness_rating {
            Some(rating) => row.smallint(rating),
            None => row.null(),
        };
        match self.focus_hundredths {
            Some(focus) => row.hundredths(focus),
            None => row.null(),
        };
        row.smallint(self.break_count)
            .boolean(self.is_active)
            .text(&self.learning_environment)
            .text(&self.device_type)
            .text(&self.subject_category)
            .text(&self.content_covered)
            .text(&self.notes)
            .instant(self.created_at)
            .instant(self.updated_at)
            .optional_key(self.goal_id)
            .optional_key(self.learning_plan_id);
        match self.estimator {
            Some(estimator) => row.text(&estimator.to_string()),
            None => row.null(),
        };
    }
}
