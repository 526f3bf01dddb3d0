//! The words a VDE plug and `vde_switch` exchange on `DIR/ctl`.
//!
//! The plug binds a datagram socket, sends one request that names it, and gets the address of the
//! datagram socket the switch made for it. From then on each datagram is a frame, and closing the
//! control connection pulls the plug. Versions 1 and 3 of the request exist; the numbers are in the
//! host's byte order.
//!
//! Invariant: parsing only; any bytes are answered with a value or an error.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest request, as in `vde_switch`.
pub const LONGEST_REQUEST: usize = 256;
const MAGIC: u32 = 0xfeed_face;
/// `sizeof(struct sockaddr_un)` on Linux: the family, then the path.
const ADDRESS: usize = 2 + PATH;
/// `sizeof(sun_path)` on Linux.
const PATH: usize = 108;
const AF_UNIX: u16 = 1;

/// What a plug asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The plug's own datagram socket.
    pub socket: PathBuf,
    /// What the plug says of itself.
    pub description: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// It does not begin as one does.
    #[error("no VDE plug: the request does not begin with the VDE magic number")]
    Magic,
    /// It ends early.
    #[error("a VDE request of only {0} bytes")]
    Short(usize),
    /// A version nobody wrote, or that `vde_switch` refuses too.
    #[error("VDE protocol version {0} is not spoken here, only 1 and 3 are")]
    Version(u32),
    /// Neither a port nor a management port.
    #[error("VDE request of unknown type {0}")]
    Kind(u32),
    /// No path to answer to.
    #[error("the VDE plug names no datagram socket in the file system")]
    Socket,
}

impl Request {
    /// Reads a request, whose end is the end of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRequest> {
        let short = || BadRequest::Short(bytes.len());
        if word(bytes, 0).ok_or_else(short)? != MAGIC {
            return Err(BadRequest::Magic);
        }
        // Version 1 has its type where version 3 has its version, and then six bytes of hardware address.
        let second = word(bytes, 4).ok_or_else(short)?;
        let (kind, address) = match second {
            3 => (word(bytes, 8).ok_or_else(short)?, 12),
            0 | 1 => (second, 14),
            other => return Err(BadRequest::Version(other)),
        };
        // The bytes above the lowest ask for a port by number, which names nothing here.
        if kind & 0xff > 1 {
            return Err(BadRequest::Kind(kind));
        }
        let family = bytes.get(address..address + 2).ok_or_else(short)?;
        let path = bytes.get(address + 2..address + ADDRESS).ok_or_else(short)?;
        let path = until_nul(path);
        if u16::from_ne_bytes([family[0], family[1]]) != AF_UNIX || path.is_empty() {
            return Err(BadRequest::Socket);
        }
        let description = until_nul(&bytes[address + ADDRESS..]);
        let description = String::from_utf8_lossy(&description[..description.len().min(128)]);
        let description = description.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Ok(Self { socket: PathBuf::from(std::ffi::OsStr::from_bytes(path)), description })
    }

    /// A short name for the port: `vde:PID` when the description says who it is.
    pub fn name(&self) -> String {
        // Both spellings are in use.
        let pid = |word: &'_ str| word.strip_prefix("PID=").or(word.strip_prefix("pid=")).map(str::to_owned);
        let pid = self.description.split_whitespace().find_map(pid);
        match pid {
            Some(pid) if pid.parse::<u32>().is_ok() => format!("vde:{pid}"),
            _ if self.description.trim().is_empty() => "vde".to_owned(),
            _ => format!("vde:{}", self.description.trim().chars().take(40).collect::<String>()),
        }
    }
}

/// The answer to a request: the address of the switch's socket for this plug. `None` when the path
/// is too long for an address.
pub fn reply(socket: &Path) -> Option<Vec<u8>> {
    let path = socket.as_os_str().as_bytes();
    if path.len() >= PATH {
        return None;
    }
    let mut address = Vec::with_capacity(ADDRESS);
    address.extend(AF_UNIX.to_ne_bytes());
    address.extend(path);
    address.resize(ADDRESS, 0);
    Some(address)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(words: &[u32], pad: usize, path: &str, description: &str) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(vec![0; pad]);
        bytes.extend(reply(Path::new(path)).expect("a short path"));
        bytes.extend(description.as_bytes());
        bytes
    }

    #[test]
    fn both_versions_are_read() {
        for (words, pad) in
            [(&[MAGIC, 3, 0][..], 0), (&[MAGIC, 3, 5 << 8], 0), (&[MAGIC, 0], 6), (&[MAGIC, 1], 6)]
        {
            let bytes = request(words, pad, "/run/x/.00012-00000", "vde_plug: user=root PID=12");
            let parsed = Request::parse(&bytes).expect("a good request");
            assert_eq!(parsed.socket, Path::new("/run/x/.00012-00000"));
            assert_eq!(parsed.name(), "vde:12");
        }
    }

    #[test]
    fn bad_requests_are_told_apart() {
        let check = |bytes: &[u8], expected| assert_eq!(Request::parse(bytes), Err(expected));
        check(b"", BadRequest::Short(0));
        check(b"GET / HTTP/1.0\r\n", BadRequest::Magic);
        check(&request(&[MAGIC, 2, 0], 0, "/x", ""), BadRequest::Version(2));
        check(&request(&[MAGIC, 3, 7], 0, "/x", ""), BadRequest::Kind(7));
        check(&request(&[MAGIC, 3, 0], 0, "", ""), BadRequest::Socket);
        check(&request(&[MAGIC, 3, 0], 0, "/x", "")[..60], BadRequest::Short(60));
    }

    #[test]
    fn names_hold_nothing_that_a_terminal_obeys() {
        let bytes = request(&[MAGIC, 3, 0], 0, "/x", "evil\x1b[2J\nname");
        assert_eq!(Request::parse(&bytes).map(|request| request.name()), Ok("vde:evil?[2J?name".to_owned()));
        let bytes = request(&[MAGIC, 3, 0], 0, "/x", "");
        assert_eq!(Request::parse(&bytes).map(|request| request.name()), Ok("vde".to_owned()));
    }

    proptest! {
        /// Arbitrary bytes, bare or after a good beginning, are answered without a panic, and what is
        /// accepted names a socket.
        #[test]
        fn arbitrary_requests(bytes in proptest::collection::vec(any::<u8>(), 0..LONGEST_REQUEST), start in 0usize..4) {
            let beginnings: [&[u32]; 4] = [&[], &[MAGIC], &[MAGIC, 3, 0], &[MAGIC, 0]];
            let mut request: Vec<u8> = beginnings[start].iter().flat_map(|word| word.to_ne_bytes()).collect();
            request.extend(bytes);
            if let Ok(request) = Request::parse(&request) {
                prop_assert!(!request.socket.as_os_str().is_empty());
                prop_assert!(request.name().len() <= 4 * 40 + 4);
                prop_assert!(!request.name().chars().any(char::is_control));
            }
        }
    }
}
