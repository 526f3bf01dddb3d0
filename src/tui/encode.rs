//! What a guest reads when a key is pressed: the bytes that an xterm would send.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::keymap::Key;
use crate::console::GuestModes;

/// The bytes of a key; none for keys that have none.
pub fn encode(key: Key, modes: GuestModes) -> Vec<u8> {
    let alt = key.mods.contains(KeyModifiers::ALT);
    let ctrl = key.mods.contains(KeyModifiers::CONTROL);
    // xterm's number for a set of modifiers: one, and one bit each for shift, alt and control.
    let number =
        1 + u8::from(key.mods.contains(KeyModifiers::SHIFT)) + 2 * u8::from(alt) + 4 * u8::from(ctrl);
    let letter = |c: char| match (number, modes.app_cursor) {
        (1, true) => format!("\x1bO{c}").into_bytes(),
        (1, false) => format!("\x1b[{c}").into_bytes(),
        (n, _) => format!("\x1b[1;{n}{c}").into_bytes(),
    };
    let tilde = |n: u8| match number {
        1 => format!("\x1b[{n}~").into_bytes(),
        m => format!("\x1b[{n};{m}~").into_bytes(),
    };
    let plain = |bytes: &[u8]| {
        let mut out = if alt { vec![0x1b] } else { Vec::new() };
        out.extend_from_slice(bytes);
        out
    };
    match key.code {
        KeyCode::Char(c) if ctrl => control(c).map_or_else(Vec::new, |b| plain(&[b])),
        KeyCode::Char(c) => plain(c.encode_utf8(&mut [0; 4]).as_bytes()),
        KeyCode::Enter => plain(b"\r"),
        KeyCode::Tab => plain(b"\t"),
        KeyCode::BackTab => b"\x1b[Z".to_vec(),
        KeyCode::Backspace if ctrl => plain(b"\x08"),
        KeyCode::Backspace => plain(b"\x7f"),
        KeyCode::Esc => plain(b"\x1b"),
        KeyCode::Null => plain(b"\0"),
        KeyCode::Up => letter('A'),
        KeyCode::Down => letter('B'),
        KeyCode::Right => letter('C'),
        KeyCode::Left => letter('D'),
        KeyCode::Home => letter('H'),
        KeyCode::End => letter('F'),
        KeyCode::Insert => tilde(2),
        KeyCode::Delete => tilde(3),
        KeyCode::PageUp => tilde(5),
        KeyCode::PageDown => tilde(6),
        KeyCode::F(n @ 1..=4) => {
            let c = char::from(b'P' + n - 1);
            if number == 1 { format!("\x1bO{c}") } else { format!("\x1b[1;{number}{c}") }.into_bytes()
        }
        KeyCode::F(n @ 5..=20) => {
            tilde([15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34][usize::from(n) - 5])
        }
        _ => Vec::new(),
    }
}

fn control(c: char) -> Option<u8> {
    match c.to_ascii_lowercase() {
        c @ 'a'..='z' => Some(c as u8 - b'a' + 1),
        ' ' | '@' | '2' => Some(0),
        '[' | '3' => Some(0x1b),
        '\\' => Some(0x1c),
        ']' => Some(0x1d),
        '^' => Some(0x1e),
        '_' | '/' | '-' => Some(0x1f),
        '?' | '8' => Some(0x7f),
        _ => None,
    }
}

/// Pasted text as the guest wants it. What could end the brackets early is taken out.
pub fn paste(text: &str, modes: GuestModes) -> Vec<u8> {
    let text = text.replace("\r\n", "\r").replace('\n', "\r");
    if modes.bracketed_paste {
        let inner: String = text.chars().filter(|c| *c != '\x1b').collect();
        format!("\x1b[200~{inner}\x1b[201~").into_bytes()
    } else {
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(key: &str, app_cursor: bool) -> Vec<u8> {
        encode(key.parse().unwrap(), GuestModes { app_cursor, ..Default::default() })
    }

    #[test]
    fn keys_as_xterm_sends_them() {
        let cases: [(&str, &[u8]); 26] = [
            ("a", b"a"),
            ("Z", b"Z"),
            ("é", "é".as_bytes()),
            ("alt-x", b"\x1bx"),
            ("ctrl-c", b"\x03"),
            ("ctrl-space", b"\0"),
            ("ctrl-\\", b"\x1c"),
            ("ctrl-_", b"\x1f"),
            ("ctrl-alt-d", b"\x1b\x04"),
            ("enter", b"\r"),
            ("alt-enter", b"\x1b\r"),
            ("backspace", b"\x7f"),
            ("esc", b"\x1b"),
            ("tab", b"\t"),
            ("backtab", b"\x1b[Z"),
            ("up", b"\x1b[A"),
            ("ctrl-left", b"\x1b[1;5D"),
            ("shift-end", b"\x1b[1;2F"),
            ("alt-up", b"\x1b[1;3A"),
            ("delete", b"\x1b[3~"),
            ("shift-pageup", b"\x1b[5;2~"),
            ("F1", b"\x1bOP"),
            ("shift-F4", b"\x1b[1;2S"),
            ("F5", b"\x1b[15~"),
            ("F12", b"\x1b[24~"),
            ("ctrl-F12", b"\x1b[24;5~"),
        ];
        for (key, expected) in cases {
            assert_eq!(bytes(key, false), expected, "{key}");
        }
        assert_eq!(bytes("up", true), b"\x1bOA");
        assert_eq!(bytes("ctrl-up", true), b"\x1b[1;5A");
    }

    #[test]
    fn every_key_can_be_pressed_without_harm() {
        for code in (0..=30).map(KeyCode::F).chain([KeyCode::CapsLock, KeyCode::Menu, KeyCode::KeypadBegin]) {
            for bits in 0..8 {
                encode(Key { code, mods: KeyModifiers::from_bits_truncate(bits) }, GuestModes::default());
            }
        }
    }

    #[test]
    fn a_paste_cannot_leave_its_brackets() {
        let on = GuestModes { bracketed_paste: true, ..Default::default() };
        assert_eq!(paste("a\x1b[201~b\n", on), b"\x1b[200~a[201~b\r\x1b[201~");
        assert_eq!(paste("a\r\nb\n", GuestModes::default()), b"a\rb\r");
    }
}
