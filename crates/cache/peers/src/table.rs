//! Results as tables: for a terminal, and for a README.

/// A titled table.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(title: impl Into<String>, header: [&str; N]) -> Self {
        Self { title: title.into(), rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Adds a row, with a cell for each column of the header.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Aligned text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for row in self.padded() {
            text.push_str(format!("  {}", row.join("  ")).trim_end());
            text.push('\n');
        }
        text
    }

    /// A markdown table below its title in bold.
    pub fn markdown(&self) -> String {
        let mut text = format!("**{}**\n\n", self.title);
        for (index, row) in self.padded().iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|{}\n", self.rule()));
            }
        }
        text
    }

    fn rule(&self) -> String {
        (0..self.rows[0].len())
            .map(|column| {
                let dashes = "-".repeat(self.width(column) + 1);
                if self.holds_numbers(column) { format!("{dashes}:|") } else { format!("{dashes}-|") }
            })
            .collect()
    }

    /// All cells filled up to the width of their columns, numbers from the left.
    fn padded(&self) -> Vec<Vec<String>> {
        let pad = |(column, cell): (usize, &String)| {
            let width = self.width(column);
            if self.holds_numbers(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        self.rows.iter().map(|row| row.iter().enumerate().map(pad).collect()).collect()
    }

    fn width(&self, column: usize) -> usize {
        self.cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    fn holds_numbers(&self, column: usize) -> bool {
        self.cells(column).skip(1).all(|cell| cell.parse::<f64>().is_ok())
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &String> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads() -> Table {
        let mut table = Table::new("Loads", ["library", "loads"]);
        table.row(["one".to_owned(), "1".to_owned()]);
        table.row(["another".to_owned(), "200".to_owned()]);
        table
    }

    #[test]
    fn text_is_aligned_with_numbers_to_the_right() {
        assert_eq!(loads().text(), "Loads\n\n  library  loads\n  one          1\n  another    200\n");
    }

    #[test]
    fn markdown_says_which_columns_are_numbers() {
        let expected =
            "**Loads**\n\n| library | loads |\n|---------|------:|\n| one     |     1 |\n| another |   200 |\n";

        assert_eq!(loads().markdown(), expected);
    }
}
