//! Words as a POSIX shell reads them.

/// A word that the shell takes for itself: as it is when that is safe, otherwise in single quotes.
pub fn quote(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_reads_words_back() {
        for word in ["", "a", "a b", "it's", "$(x)", "`x`", "a\nb", "~", "*", "-n", "\\", "\"", "é"] {
            let output = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("printf '<%s>' {}", quote(word)))
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("<{word}>"));
        }
    }
}
