//! Finds the login prompt in what a serial console prints.
//!
//! Invariant: bounded memory, whatever the guest prints.

/// Bytes of a line that are looked at.
const LINE_MAX: usize = 256;

/// Reads a console's bytes and says when a login prompt stands at the start of a line.
#[derive(Debug, Clone, Default)]
pub struct Detector {
    line: Vec<u8>,
    escape: Escape,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Started,
    Csi,
    Osc,
}

impl Detector {
    /// Takes in bytes; true when a prompt was completed in them.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut seen = false;
        for &b in bytes {
            seen |= self.byte(b);
        }
        seen
    }

    fn byte(&mut self, b: u8) -> bool {
        match (self.escape, b) {
            (Escape::None, 0x1b) => self.escape = Escape::Started,
            (Escape::Started, b'[') => self.escape = Escape::Csi,
            (Escape::Started, b']') => self.escape = Escape::Osc,
            (Escape::Started, _) | (Escape::Csi, 0x40..=0x7e) | (Escape::Osc, 0x07) => {
                self.escape = Escape::None;
            }
            (Escape::Osc, 0x1b) => self.escape = Escape::Started,
            // A line's end also ends a sequence that never would: a prompt behind one still counts.
            (_, b'\n' | b'\r') => {
                self.escape = Escape::None;
                self.line.clear();
            }
            (Escape::None, _) if self.line.len() < LINE_MAX => {
                self.line.push(b);
                return b == b':' && is_prompt(&self.line);
            }
            _ => {}
        }
        false
    }
}

/// `login:` or `HOST login:`, nothing before it.
fn is_prompt(line: &[u8]) -> bool {
    let Some(before) = line.strip_suffix(b"login:") else { return false };
    match before {
        [] => true,
        [host @ .., b' '] => {
            !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._()".contains(b))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_and_what_only_looks_like_one() {
        for (text, want) in [
            ("\r\nweb login: ", true),
            ("login: ", true),
            ("\n\x1b[0m\x1b]0;title\x07web login:", true),
            ("\x1b]never ended\nweb login:", true),
            ("web login: root (automatic login)\r\n", true),
            ("Last login: Mon", true),
            ("sshd: failed login: root", false),
            ("no user login:", false),
            ("web logi", false),
        ] {
            assert_eq!(Detector::default().feed(text.as_bytes()), want, "{text:?}");
            let mut one_by_one = Detector::default();
            let any = text.bytes().map(|b| one_by_one.feed(&[b])).fold(false, |a, b| a | b);
            assert_eq!(any, want, "byte by byte: {text:?}");
        }
    }

    #[test]
    fn a_flood_without_line_ends_costs_nothing() {
        let mut d = Detector::default();
        for _ in 0..1000 {
            d.feed(&[b'a'; 1000]);
        }
        assert!(d.line.len() <= LINE_MAX);
        assert!(d.feed(b"\nx login:"));
    }
}
