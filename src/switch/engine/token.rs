//! What an epoll event is about, in the 64 bits that come back with it.
//!
//! Invariant: a serial number tells a registration from an earlier one at the same place, so that an
//! event which comes late is recognised.

use crate::switch::core::Slot;

/// What an epoll event is about: a tag, a slot or index, a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Wake,
    Data(Slot, u32),
    Ctl(Slot, u32),
    Door(usize),
    Pending(u32),
}

impl Token {
    /// As epoll takes it.
    pub(super) fn pack(self) -> u64 {
        let join = |tag: u64, slot: usize, serial: u32| tag << 56 | (slot as u64) << 32 | u64::from(serial);
        match self {
            Self::Wake => 0,
            Self::Data(slot, serial) => join(1, slot.0, serial),
            Self::Ctl(slot, serial) => join(2, slot.0, serial),
            Self::Door(index) => join(3, index, 0),
            Self::Pending(serial) => join(4, 0, serial),
        }
    }

    /// What [`Token::pack`] made.
    pub(super) fn unpack(data: u64) -> Self {
        let slot = (data >> 32 & 0xff_ffff) as usize;
        let serial = data as u32;
        match data >> 56 {
            1 => Self::Data(Slot(slot), serial),
            2 => Self::Ctl(Slot(slot), serial),
            3 => Self::Door(slot),
            4 => Self::Pending(serial),
            _ => Self::Wake,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out() {
        for slot in [0, 1, 511] {
            for serial in [0, 7, u32::MAX] {
                let place = Slot(slot);
                let tokens = [Token::Wake, Token::Data(place, serial), Token::Ctl(place, serial)];
                for token in tokens.into_iter().chain([Token::Door(slot), Token::Pending(serial)]) {
                    assert_eq!(Token::unpack(token.pack()), token);
                }
            }
        }
    }
}
