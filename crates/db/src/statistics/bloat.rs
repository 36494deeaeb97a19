//! How much of a table's room no live row needs, by estimate.

use std::fmt;

use super::Bytes;

/// Tables below this are not examined: a few half-empty pages are a large share of them and no loss.
pub const BLOAT_FLOOR: Bytes = Bytes(1 << 20);

/// Bytes of a page before its rows.
const PAGE_HEADER: u64 = 24;
/// Bytes before a row's values: the header with its list of nulls, aligned.
const ROW_HEADER: f64 = 24.0;
/// Bytes of the pointer to a row.
const ROW_POINTER: f64 = 4.0;
/// Rows begin at multiples of this.
const ALIGNMENT: f64 = 8.0;

/// Room that no live row needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bloat {
    /// How much.
    pub bytes: Bytes,
    /// Which part of the table, 0 to 1.
    pub share: f64,
}

/// What an estimate is made of.
pub(super) struct Shape {
    pub(super) bytes: u64,
    pub(super) block: u64,
    pub(super) rows: f64,
    /// Mean bytes of the values of a row.
    pub(super) row_width: f64,
    pub(super) fill_percent: u64,
}

/// Compares the table with one of full pages. Padding between columns is not known and counts as bloat: some percent.
pub(super) fn estimate(shape: &Shape) -> Bloat {
    let row = ((ROW_HEADER + shape.row_width) / ALIGNMENT).ceil() * ALIGNMENT + ROW_POINTER;
    let page = (shape.block - PAGE_HEADER.min(shape.block)) as f64 * shape.fill_percent as f64 / 100.0;
    let pages = (shape.rows / (page / row).floor().max(1.0)).ceil();
    let needed = (pages * shape.block as f64) as u64;
    let bytes = shape.bytes.saturating_sub(needed);
    let share = if shape.bytes == 0 { 0.0 } else { bytes as f64 / shape.bytes as f64 };
    Bloat { bytes: Bytes(bytes), share }
}

impl fmt::Display for Bloat {
    /// `~12.0 MiB (40 %)`: it is an estimate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{} ({:.0} %)", self.bytes, self.share * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(pages: u64, rows: f64) -> Shape {
        Shape { bytes: pages * 8192, block: 8192, rows, row_width: 28.0, fill_percent: 100 }
    }

    #[test]
    fn full_pages_have_no_bloat_and_half_of_the_rows_leave_half() {
        // 24 + 28 bytes, aligned, and a pointer are 60: 136 rows in the 8168 bytes of a page.
        let full = estimate(&shape(1000, 136.0 * 1000.0));
        let half = estimate(&shape(1000, 136.0 * 500.0));

        assert_eq!(full.bytes, Bytes(0));
        assert_eq!(half.share, 0.5);
        assert_eq!(half.to_string(), "~3.9 MiB (50 %)");
    }

    #[test]
    fn room_that_was_asked_for_is_no_bloat() {
        let loose = Shape { fill_percent: 50, ..shape(1000, 68.0 * 1000.0) };

        assert_eq!(estimate(&loose).bytes, Bytes(0));
    }

    #[test]
    fn row_longer_than_a_page_and_an_empty_table_are_no_errors() {
        let long = Shape { row_width: 20_000.0, ..shape(10, 3.0) };

        assert_eq!(estimate(&long).bytes, Bytes(7 * 8192));
        assert_eq!(estimate(&shape(10, 0.0)).share, 1.0);
        assert_eq!(estimate(&shape(0, 0.0)).share, 0.0);
    }
}
