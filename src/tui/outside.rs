//! The few things done to the world around the terminal: clipboard, editor, browser.
//!
//! Invariant: programs are named by the user's environment only, and get our text as a file or an
//! argument, never through a shell of ours.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use base64::Engine as _;

/// The escape sequence that puts text on the clipboard of whoever watches. It is only ever written.
pub(super) fn clipboard_sequence(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", base64::engine::general_purpose::STANDARD.encode(text))
}

/// Shows a text in the user's editor and waits for it.
pub(super) fn edit(name: &str, text: &str) -> anyhow::Result<()> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|e| !e.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    let safe: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let path = std::env::temp_dir().join(format!("diorama-{safe}-{}.txt", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("writing {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    drop(file);
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(&path).status();
    let removed = std::fs::remove_file(&path);
    let status = status.with_context(|| format!("starting {program} ($VISUAL or $EDITOR names another)"))?;
    removed.with_context(|| format!("removing {}", path.display()))?;
    anyhow::ensure!(status.success(), "{program}: {status}");
    Ok(())
}

fn set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|v| !v.is_empty())
}

/// Whether there is a browser to be opened.
pub fn has_browser() -> bool {
    ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(set)
}

/// Opens an address in the user's browser; says what to do when there is none.
///
/// # Errors
/// When the browser cannot be started.
pub fn browse(url: &str) -> Result<String, String> {
    let program = match std::env::var("BROWSER") {
        Ok(b) if !b.trim().is_empty() => b,
        _ if set("DISPLAY") || set("WAYLAND_DISPLAY") => "xdg-open".to_owned(),
        _ => return Ok(format!("open {url} in a browser (no $BROWSER and no display here)")),
    };
    let mut words = program.split_whitespace();
    let name = words.next().unwrap_or("xdg-open");
    let child = Command::new(name)
        .args(words)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(mut child) => {
            // Collected when it ends, so that it does not stay as a zombie.
            std::thread::spawn(move || child.wait());
            Ok(format!("{url} → {name}"))
        }
        Err(e) => Err(format!("{name}: {e}; the address is {url}")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clipboard_sequence_is_a_write() {
        assert_eq!(super::clipboard_sequence("hi"), "\x1b]52;c;aGk=\x07");
    }
}
