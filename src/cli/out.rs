//! Output to the person: a closed pipe ends the program quietly, as `head` expects.

use std::io::Write;

/// Writes to standard output; ends the process when nobody reads any more.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a line to standard output.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Writes to standard error; there is nobody to tell when that fails.
pub fn err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a value as indented JSON, for programs.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn json<T: serde::Serialize>(value: &T) -> crate::error::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A table with aligned columns; the last column is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    use unicode_width::UnicodeWidthStr;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width: Vec<usize> = (0..columns)
        .map(|c| rows.iter().filter_map(|r| r.get(c)).map(|s| s.width()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&width) {
            let pad = width.saturating_sub(cell.width());
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_by_width_on_screen() {
        let rows =
            [["NODE", "STATE"], ["größe", "up"], ["b", "stopped"]].map(|r| r.map(String::from).to_vec());
        assert_eq!(table(&rows), "NODE   STATE\ngröße  up\nb      stopped\n");
    }
}
