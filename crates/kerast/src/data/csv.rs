//! Tables of numbers in CSV files.

use super::{malformed, read_file};
use crate::{Error, ErrorKind, Result, Tensor};
use std::path::Path;

/// A table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of the columns; `c0`, `c1`, … without a header.
    pub columns: Vec<String>,
    /// f32, `[rows, columns]`.
    pub values: Tensor,
}

/// How to read a CSV file.
#[derive(Clone, Debug)]
pub struct Csv {
    separator: char,
    header: Option<bool>,
    missing_as_nan: bool,
}

impl Default for Csv {
    fn default() -> Self {
        Csv::new()
    }
}

impl Csv {
    /// Commas; a header is found by itself; missing values are an error.
    pub fn new() -> Csv {
        Csv { separator: ',', header: None, missing_as_nan: false }
    }

    /// Another separator.
    pub fn separator(mut self, separator: char) -> Csv {
        self.separator = separator;
        self
    }

    /// Whether the first line names the columns.
    pub fn header(mut self, header: bool) -> Csv {
        self.header = Some(header);
        self
    }

    /// Empty fields and `?` become NaN.
    pub fn missing_as_nan(mut self, nan: bool) -> Csv {
        self.missing_as_nan = nan;
        self
    }

    /// Reads a file, gzipped or not.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let bytes = read_file(path)?;
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { super::gunzip(&bytes, 1 << 31)? } else { bytes };
        let text = String::from_utf8(bytes)
            .map_err(|_| malformed("CSV", "it is no UTF-8 text").fact("file", path.display()))?;
        self.parse(&text).map_err(|e| e.fact("file", path.display()))
    }

    /// Reads text.
    pub fn parse(&self, text: &str) -> Result<Table> {
        let mut rows = text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty())
            .map(|(i, l)| (i + 1, self.fields(l)))
            .peekable();
        let first = rows.peek().map(|(_, f)| f.clone()).ok_or_else(|| malformed("CSV", "it is empty"))?;
        let is_header = self.header.unwrap_or_else(|| first.iter().any(|f| self.number(f).is_none()));
        let columns = match is_header {
            true => {
                rows.next();
                first.clone()
            }
            false => (0..first.len()).map(|i| format!("c{i}")).collect(),
        };
        let mut values: Vec<f32> = vec![];
        let mut count = 0;
        for (line, fields) in rows {
            if fields.len() != columns.len() {
                return Err(Error::new(ErrorKind::File, "a row has another number of columns")
                    .expected(columns.len())
                    .received(fields.len())
                    .fact("row", format!("line {line}")));
            }
            for (field, column) in fields.iter().zip(&columns) {
                let v = self.number(field).ok_or_else(|| {
                    Error::new(ErrorKind::File, "a field is no number")
                        .received(format!("{field:?}"))
                        .fact("row", format!("line {line}, column `{column}`"))
                        .repair("`.missing_as_nan(true)` reads empty fields and `?` as NaN")
                })?;
                values.push(v);
            }
            count += 1;
        }
        Ok(Table { values: Tensor::new(&[count, columns.len()], &values)?, columns })
    }

    fn number(&self, field: &str) -> Option<f32> {
        match field {
            "" | "?" | "NA" if self.missing_as_nan => Some(f32::NAN),
            _ => field.parse().ok(),
        }
    }

    /// The fields of a line; quoted fields may hold separators, doubled quotes stand for one.
    fn fields(&self, line: &str) -> Vec<String> {
        let (mut out, mut field, mut quoted) = (vec![], String::new(), false);
        let mut chars = line.trim_end_matches('\r').chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                c if c == self.separator && !quoted => out.push(std::mem::take(&mut field).trim().to_string()),
                c => field.push(c),
            }
        }
        out.push(field.trim().to_string());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Csv;

    #[test]
    fn headers_are_found_and_fields_read() {
        let t = Csv::new().parse("a,\"b, c\"\n1,2.5\r\n\n3,-4e2\n").expect("valid");
        assert_eq!(t.columns, ["a", "b, c"]);
        assert_eq!(t.values.as_slice::<f32>(), Some(&[1.0, 2.5, 3.0, -400.0][..]));
        assert_eq!(Csv::new().separator(';').parse("1;2\n").expect("valid").columns, ["c0", "c1"]);
    }

    #[test]
    fn mistakes_are_named() {
        let e = Csv::new().parse("a,b\n1,x\n").expect_err("x is no number");
        assert_eq!(e.get("row"), Some("line 2, column `b`"));
        assert!(Csv::new().parse("1,2\n3\n").is_err());
        assert!(Csv::new().missing_as_nan(true).parse("1,?\n").expect("valid").values.to_f64_vec()[1].is_nan());
    }
}
