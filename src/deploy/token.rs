//! Names that nobody can foresee: of an attempt, and of a question about secrets.
//!
//! Invariant: from the kernel's random numbers, in hexadecimal digits alone.

/// A name that no other has.
pub(super) fn token() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 12];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
