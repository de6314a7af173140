//! Tables of numbers in CSV files (RFC 4180: quoted fields may hold separators, doubled quotes and line breaks).

use super::{malformed, read_file};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use std::path::Path;

/// A table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of the columns; `c0`, `c1`, … without a header.
    pub columns: Vec<String>,
    /// `[rows, columns]`.
    pub values: Tensor,
    /// The names of the classes in each column read by [`Csv::classes`], by number.
    pub classes: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Some of the columns by name, `[rows, names]`.
    pub fn select(&self, names: &[&str]) -> Result<Tensor> {
        let place = |name: &&str| {
            self.columns.iter().position(|c| c == name).ok_or_else(|| {
                Error::new(ErrorKind::Argument, format!("there is no column `{name}`"))
                    .expected(self.columns.join(", "))
            })
        };
        let places = names.iter().map(place).collect::<Result<Vec<_>>>()?;
        let (size, width) = (self.values.dtype().size(), self.columns.len());
        let rows = self.values.shape()[0];
        let mut bytes = Vec::with_capacity(rows * places.len() * size);
        for row in 0..rows {
            for place in &places {
                let at = (row * width + place) * size;
                bytes.extend_from_slice(&self.values.bytes()[at..at + size]);
            }
        }
        let mut out = Tensor::zeros(self.values.dtype(), &[rows, places.len()])?;
        out.bytes_mut().copy_from_slice(&bytes);
        Ok(out)
    }
}

/// How to read a CSV file.
#[derive(Clone, Debug)]
pub struct Csv {
    separator: char,
    header: Option<bool>,
    missing_as_nan: bool,
    dtype: DType,
    classes: Vec<String>,
    only: Option<Vec<String>>,
}

impl Default for Csv {
    fn default() -> Self {
        Csv::new()
    }
}

impl Csv {
    /// Commas; a header is found by itself; missing values are an error; f32.
    pub fn new() -> Csv {
        Csv { separator: ',', header: None, missing_as_nan: false, dtype: DType::F32, classes: vec![], only: None }
    }

    /// Another separator.
    pub fn separator(mut self, separator: char) -> Csv {
        self.separator = separator;
        self
    }

    /// Whether the first line names the columns. Without this it does if it has a field that is no number where the second line
    /// has one.
    pub fn header(mut self, header: bool) -> Csv {
        self.header = Some(header);
        self
    }

    /// Empty fields, `?` and `NA` become NaN.
    pub fn missing_as_nan(mut self, nan: bool) -> Csv {
        self.missing_as_nan = nan;
        self
    }

    /// The element type of the table, f32 or f64.
    pub fn dtype(mut self, dtype: DType) -> Csv {
        self.dtype = dtype;
        self
    }

    /// The texts in this column become class numbers 0, 1, … in the order in which they first occur. May be called for several
    /// columns.
    pub fn classes(mut self, column: &str) -> Csv {
        self.classes.push(column.into());
        self
    }

    /// Only these columns, in the file's order; the others may hold anything.
    pub fn columns(mut self, names: &[&str]) -> Csv {
        self.only = Some(names.iter().map(|n| n.to_string()).collect());
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
        let mut rows = Rows { rest: text.strip_prefix('\u{feff}').unwrap_or(text), separator: self.separator, line: 1 };
        let (mut line, first) = rows.next().ok_or_else(|| malformed("CSV", "it is empty"))??;
        let mut ahead = rows.next().transpose()?;
        let is_header = self.header.unwrap_or_else(|| {
            let below = |i: usize| ahead.as_ref().and_then(|(_, f)| f.get(i)).is_none_or(|f| self.number(f).is_some());
            first.iter().enumerate().any(|(i, f)| self.number(f).is_none() && !missing(f) && below(i))
        });
        let columns = match is_header {
            true => first.clone(),
            false => (0..first.len()).map(|i| format!("c{i}")).collect(),
        };
        let wanted = self.classes.iter().chain(self.only.iter().flatten());
        if let Some(name) = wanted.into_iter().find(|c| !columns.contains(c)) {
            return Err(
                Error::new(ErrorKind::Argument, format!("there is no column `{name}`")).expected(columns.join(", "))
            );
        }
        let classes = columns.iter().map(|c| self.classes.contains(c).then(Vec::new)).collect();
        let kept = columns.iter().map(|c| self.only.as_ref().is_none_or(|only| only.contains(c))).collect();
        let mut table = Reading { csv: self, classes, kept, columns, values: vec![], rows: 0 };
        if !is_header {
            table.add(line, &first)?;
        }
        while let Some((at, fields)) = ahead {
            line = at;
            table.add(line, &fields)?;
            ahead = rows.next().transpose()?;
        }
        table.finish()
    }

    fn number(&self, field: &str) -> Option<f64> {
        match field {
            f if self.missing_as_nan && missing(f) => Some(f64::NAN),
            _ => field.parse().ok(),
        }
    }
}

/// What stands for a value that nobody knows.
fn missing(field: &str) -> bool {
    matches!(field, "" | "?" | "NA")
}

/// A table while it is read.
struct Reading<'a> {
    csv: &'a Csv,
    columns: Vec<String>,
    /// The classes met so far, where a column is one of classes.
    classes: Vec<Option<Vec<String>>>,
    kept: Vec<bool>,
    values: Vec<f64>,
    rows: usize,
}

impl Reading<'_> {
    fn add(&mut self, line: usize, fields: &[String]) -> Result<()> {
        if fields.len() != self.columns.len() {
            return Err(Error::new(ErrorKind::File, "a row has another number of columns")
                .expected(self.columns.len())
                .received(fields.len())
                .fact("row", format!("line {line}")));
        }
        let columns = fields.iter().zip(&self.columns).zip(&mut self.classes).zip(&self.kept);
        for (((field, column), classes), _) in columns.filter(|(_, kept)| **kept) {
            let value = match classes {
                Some(known) => known.iter().position(|k| k == field).unwrap_or_else(|| {
                    known.push(field.clone());
                    known.len() - 1
                }) as f64,
                None => self.csv.number(field).ok_or_else(|| {
                    let missing = missing(field);
                    Error::new(ErrorKind::File, if missing { "a value is missing" } else { "a field is no number" })
                        .received(format!("{field:?}"))
                        .fact("row", format!("line {line}, column `{column}`"))
                        .repair(match missing {
                            true => "`.missing_as_nan(true)` reads empty fields, `?` and `NA` as NaN".to_string(),
                            false => format!(
                                "`.classes({column:?})` reads its texts as class numbers, `.columns(&[…])` leaves columns out"
                            ),
                        })
                })?,
            };
            self.values.push(value);
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self) -> Result<Table> {
        let kept = self.columns.into_iter().zip(self.classes).zip(self.kept).filter(|(_, kept)| *kept);
        let (columns, classes): (Vec<String>, Vec<_>) = kept.map(|(column, _)| column).unzip();
        let values = Tensor::new(&[self.rows, columns.len()], &self.values)?.cast(self.csv.dtype);
        let classes = columns.iter().zip(classes).filter_map(|(n, c)| Some((n.clone(), c?))).collect();
        Ok(Table { values, columns, classes })
    }
}

/// The rows of a text, with the line each begins at; blank lines are skipped.
struct Rows<'a> {
    rest: &'a str,
    separator: char,
    line: usize,
}

impl Iterator for Rows<'_> {
    type Item = Result<(usize, Vec<String>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let start = self.line;
            let (mut fields, mut field, mut quoted, mut blank) = (vec![], String::new(), false, true);
            let mut end = self.rest.len();
            let mut chars = self.rest.char_indices().peekable();
            while let Some((i, c)) = chars.next() {
                self.line += usize::from(c == '\n');
                blank &= c.is_whitespace() && c != self.separator;
                match c {
                    '"' if quoted && chars.peek().is_some_and(|n| n.1 == '"') => {
                        chars.next();
                        field.push('"');
                    }
                    '"' => quoted = !quoted,
                    '\n' if !quoted => {
                        end = i + 1;
                        break;
                    }
                    c if c == self.separator && !quoted => {
                        fields.push(std::mem::take(&mut field).trim().to_string());
                    }
                    c => field.push(c),
                }
            }
            self.rest = &self.rest[end..];
            if quoted {
                self.rest = "";
                return Some(Err(malformed("CSV", "a quote is never closed").fact("row", format!("line {start}"))));
            }
            if !blank {
                fields.push(field.trim().to_string());
                return Some(Ok((start, fields)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Csv;
    use crate::DType;

    #[test]
    fn headers_are_found_and_fields_read() {
        let t = Csv::new().parse("a,\"b, \"\"c\"\"\"\n1,2.5\r\n\n3,-4e2\n").expect("valid");
        assert_eq!(t.columns, ["a", "b, \"c\""]);
        assert_eq!(t.values.as_slice::<f32>(), Some(&[1.0, 2.5, 3.0, -400.0][..]));
        assert_eq!(t.select(&["b, \"c\"", "a"]).expect("both").as_slice::<f32>(), Some(&[2.5, 1.0, -400.0, 3.0][..]));
        assert!(t.select(&["z"]).is_err());
        let t = Csv::new().separator(';').dtype(DType::F64).parse("1;2\n").expect("valid");
        assert_eq!((t.columns, t.values.dtype()), (vec!["c0".to_string(), "c1".to_string()], DType::F64));
    }

    #[test]
    fn texts_become_classes() {
        let t = Csv::new().classes("c2").parse("1,2,R\n3,4,M\n5,6,R\n").expect("valid");
        assert_eq!(t.values.to_f64_vec(), [1.0, 2.0, 0.0, 3.0, 4.0, 1.0, 5.0, 6.0, 0.0]);
        assert_eq!(t.classes, [("c2".to_string(), vec!["R".to_string(), "M".to_string()])]);
        let t = Csv::new().columns(&["t"]).parse("day,t\nmonday,3\n").expect("valid");
        assert_eq!((t.columns.len(), t.values.to_f64_vec()), (1, vec![3.0]));
        assert!(Csv::new().classes("kind").parse("1,2\n").is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let e = Csv::new().parse("a,b\n\"1\n\",2\n1,x\n").expect_err("x is no number");
        assert_eq!(e.get("row"), Some("line 4, column `b`"));
        assert!(Csv::new().parse("1,2\n3\n").is_err());
        assert!(Csv::new().parse("1,\"2\n").expect_err("open quote").to_string().contains("never closed"));
        assert!(Csv::new().parse("1,?\n").expect_err("missing").get("repair").is_some());
        assert!(Csv::new().parse("\n\n").is_err());
        assert!(Csv::new().missing_as_nan(true).parse("1,?\n").expect("valid").values.to_f64_vec()[1].is_nan());
    }
}
