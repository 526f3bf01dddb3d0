//! Pictures as QEMU writes them, and as a terminal shows them: two pixels a cell, one above the other.
//!
//! Invariant: pure; whatever bytes come, reading them ends in a picture or an error, never in more
//! memory than the bytes themselves and [`PIXELS_MAX`] allow.

use std::fmt;

/// The most pixels a picture may have.
pub const PIXELS_MAX: usize = 64 << 20;

/// A colour: red, green, blue.
pub type Rgb = (u8, u8, u8);

/// A picture in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    rgb: Vec<u8>,
}

/// Why bytes are no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPicture(&'static str);

impl fmt::Display for NoPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NoPicture {}

impl Picture {
    /// Reads a binary PPM of eight bits a colour.
    ///
    /// # Errors
    /// When it is something else, or cut off.
    pub fn from_ppm(bytes: &[u8]) -> Result<Self, NoPicture> {
        let mut rest = bytes.strip_prefix(b"P6").ok_or(NoPicture("this is no binary PPM picture"))?;
        let mut numbers = [0_usize; 3];
        for number in &mut numbers {
            *number = take_number(&mut rest)?;
        }
        let [width, height, depth] = numbers;
        // One white space ends the header.
        let pixels = rest.get(1..).ok_or(NoPicture("the picture is cut off"))?;
        let size = width.checked_mul(height).filter(|n| (1..=PIXELS_MAX).contains(n));
        let size = size.ok_or(NoPicture("the picture has no size that makes sense"))?;
        if depth != 255 {
            return Err(NoPicture("the picture has not eight bits a colour"));
        }
        let rgb = pixels.get(..size * 3).ok_or(NoPicture("the picture is cut off"))?;
        Ok(Self { width, height, rgb: rgb.to_vec() })
    }

    fn pixel(&self, x: usize, y: usize) -> Rgb {
        let at = (y * self.width + x) * 3;
        (self.rgb[at], self.rgb[at + 1], self.rgb[at + 2])
    }

    /// The picture made smaller or larger to fit into this many columns and rows of a terminal, its
    /// shape kept: for every cell the colours of its upper and its lower half.
    pub fn half_blocks(&self, columns: usize, rows: usize) -> Vec<Vec<(Rgb, Rgb)>> {
        let (room_x, room_y) = (columns.max(1), rows.max(1) * 2);
        let by_width = self.height * room_x <= self.width * room_y;
        let (wide, high) = match by_width {
            true => (room_x, (self.height * room_x).div_ceil(self.width)),
            false => ((self.width * room_y).div_ceil(self.height).min(room_x), room_y),
        };
        let half = |x, y| match y < high {
            true => self.mean(x, y, wide, high),
            false => (0, 0, 0),
        };
        (0..high.div_ceil(2))
            .map(|row| (0..wide).map(|x| (half(x, row * 2), half(x, row * 2 + 1))).collect())
            .collect()
    }

    /// The mean colour of what one of `wide` by `high` fields covers.
    fn mean(&self, x: usize, y: usize, wide: usize, high: usize) -> Rgb {
        let span = |i: usize, parts: usize, whole: usize| {
            let from = i * whole / parts;
            from..((i + 1) * whole / parts).clamp(from + 1, whole.max(from + 1))
        };
        let mut sum = [0_usize; 3];
        let mut count = 0;
        for line in span(y, high, self.height) {
            for column in span(x, wide, self.width) {
                let (r, g, b) = self.pixel(column.min(self.width - 1), line.min(self.height - 1));
                sum = [sum[0] + usize::from(r), sum[1] + usize::from(g), sum[2] + usize::from(b)];
                count += 1;
            }
        }
        let mean = |i: usize| u8::try_from(sum[i] / count.max(1)).unwrap_or(u8::MAX);
        (mean(0), mean(1), mean(2))
    }
}

/// Takes a number from the header, with the white space and comments before it.
fn take_number(rest: &mut &[u8]) -> Result<usize, NoPicture> {
    loop {
        match rest.first() {
            Some(b'#') => {
                let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                *rest = &rest[end..];
            }
            Some(b) if b.is_ascii_whitespace() => *rest = &rest[1..],
            _ => break,
        }
    }
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, behind) = rest.split_at(digits);
    *rest = behind;
    let number = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok());
    number.ok_or(NoPicture("the picture's header makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Rgb = (255, 0, 0);
    const BLUE: Rgb = (0, 0, 255);
    const BLACK: Rgb = (0, 0, 0);

    fn ppm(width: usize, height: usize, colour: impl Fn(usize, usize) -> Rgb) -> Vec<u8> {
        let mut bytes = format!("P6\n# by a test\n{width} {height}\n255\n").into_bytes();
        for y in 0..height {
            for x in 0..width {
                let (r, g, b) = colour(x, y);
                bytes.extend([r, g, b]);
            }
        }
        bytes
    }

    #[test]
    fn colours_stay_where_they_are() {
        let bytes = ppm(4, 4, |x, _| if x < 2 { RED } else { BLUE });
        let picture = Picture::from_ppm(&bytes).unwrap();
        assert_eq!((picture.width, picture.height), (4, 4));
        assert_eq!(picture.half_blocks(2, 1), [[(RED, RED), (BLUE, BLUE)]]);
        let bytes = ppm(2, 2, |_, y| if y == 0 { RED } else { BLUE });
        assert_eq!(Picture::from_ppm(&bytes).unwrap().half_blocks(2, 9), [[(RED, BLUE), (RED, BLUE)]]);
        let bytes = ppm(2, 2, |x, y| if x == y { (100, 0, 0) } else { (200, 0, 40) });
        assert_eq!(Picture::from_ppm(&bytes).unwrap().half_blocks(1, 9), [[((150, 0, 20), BLACK)]]);
    }

    #[test]
    fn the_shape_is_kept() {
        for (width, height, columns, rows, expected) in [
            (1024, 768, 80, 100, (80, 30)),
            (1024, 768, 500, 24, (64, 24)),
            (3, 900, 80, 24, (1, 24)),
            (900, 3, 80, 24, (80, 1)),
            (1, 1, 80, 24, (48, 24)),
        ] {
            let picture = Picture::from_ppm(&ppm(width, height, |_, _| RED)).unwrap();
            let cells = picture.half_blocks(columns, rows);
            assert_eq!((cells[0].len(), cells.len()), expected, "{width}x{height} in {columns}x{rows}");
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let whole = ppm(2, 2, |_, _| RED);
        for cut in 0..whole.len() {
            assert!(Picture::from_ppm(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for text in [
            "P6 0 4 255 x",
            "P6 4294967296 4294967296 255 x",
            "P6 2 2 65535 x",
            "P6 -1 2 255 x",
            "P5 1 1 255 x",
        ] {
            assert!(Picture::from_ppm(text.as_bytes()).is_err(), "{text}");
        }
    }
}
