//! Tables for people, as aligned text and as Markdown.

use std::fmt::{self, Write as _};

/// A table whose first column is text and whose others are numbers.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A table of GitHub's Markdown; bars in cells are escaped.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        text += &line(&mut self.head.iter().map(|&cell| cell.to_owned()));
        text += &line(&mut (0..self.head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()));
        for row in &self.rows {
            text += &line(&mut row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
        }
        text
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let head: Vec<String> = self.head.iter().map(|&cell| cell.to_owned()).collect();
        for (index, row) in std::iter::once(&head).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(line, "{cell:<width$}")?,
                    _ => write!(line, "  {cell:>width$}")?,
                }
            }
            if index > 0 {
                f.write_char('\n')?;
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["name", "runs"]);
        table.row(["a".to_owned(), "1000".to_owned()]);
        table.row(["a|b µ".to_owned(), "7".to_owned()]);
        table
    }

    #[test]
    fn text_is_aligned_by_characters() {
        assert_eq!(table().to_string(), "name   runs\na      1000\na|b µ     7");
    }

    #[test]
    fn markdown_escapes_bars() {
        assert_eq!(table().markdown(), "| name | runs |\n| --- | ---: |\n| a | 1000 |\n| a\\|b µ | 7 |\n");
    }
}
