//! `diorama screenshot`: what a machine's display shows.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Global, Outcome, common, out, terminal};
use crate::client::PictureFormat;
use crate::error::{Error, ResultExt};
use crate::picture::{Picture, Rgb};
use crate::tui;

const EXAMPLES: &str = "\
The machine needs a display: virtualisation.graphics = true, or services.xserver.enable.

Examples:
  diorama screenshot client                 write client.png
  diorama screenshot client -o game.png     write it there
  diorama screenshot client -o - | chafa    to a program
  diorama screenshot client --show          draw it here, two pixels a character";

/// Take a picture of a machine's display.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The machine.
    #[arg(value_name = "NODE")]
    node: String,
    /// Where to write the picture, a PNG; `-` is standard output. By default NODE.png.
    #[arg(short, long, value_name = "FILE", conflicts_with = "show")]
    output: Option<PathBuf>,
    /// Draw it in this terminal instead.
    #[arg(long)]
    show: bool,
}

/// How large it is drawn where no terminal says how much room there is: rows and columns.
const ROOM: (u16, u16) = (24, 80);

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    common::check_node(&client.view().await?, &args.node)?;
    if args.show {
        let bytes = client.picture(&args.node, PictureFormat::Ppm).await?;
        let picture = Picture::from_ppm(&bytes).map_err(|e| Error::new(format!("{}: {e}", args.node)))?;
        let (rows, columns) = terminal::size().unwrap_or(ROOM);
        let truecolor = std::env::var("COLORTERM").is_ok_and(|v| matches!(v.as_str(), "truecolor" | "24bit"));
        // The prompt stays below it.
        let rows = usize::from(rows).saturating_sub(2).max(1);
        out::print(&drawn(&picture, usize::from(columns), rows, truecolor));
        return Ok(0);
    }
    let bytes = client.picture(&args.node, PictureFormat::Png).await?;
    let path = args.output.unwrap_or_else(|| PathBuf::from(format!("{}.png", args.node)));
    if path.as_os_str() == "-" {
        return Ok(u8::from(!terminal::write(false, &bytes)));
    }
    std::fs::write(&path, &bytes).doing(path.display())?;
    out::line(&format!("{}: {} kB", path.display(), bytes.len().div_ceil(1000)));
    Ok(0)
}

/// The picture as a terminal's words.
fn drawn(picture: &Picture, columns: usize, rows: usize, truecolor: bool) -> String {
    let mut text = String::new();
    for row in picture.half_blocks(columns, rows) {
        let mut before = None;
        for cell in row {
            if before != Some(cell) {
                let _ =
                    write!(text, "\x1b[38;{};48;{}m", colour(cell.0, truecolor), colour(cell.1, truecolor));
                before = Some(cell);
            }
            text.push('▀');
        }
        text.push_str("\x1b[0m\n");
    }
    text
}

/// A colour in the words of SGR behind 38 or 48.
fn colour((r, g, b): Rgb, truecolor: bool) -> String {
    use ratatui::style::Color;
    match tui::fit(Color::Rgb(r, g, b), truecolor) {
        Color::Indexed(i) => format!("5;{i}"),
        _ => format!("2;{r};{g};{b}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_share_one_escape() {
        let picture = Picture::from_ppm(b"P6 3 2 255 \xff\0\0\xff\0\0\0\0\xff\0\0\0\0\0\0\0\xff\0").unwrap();
        assert_eq!(
            drawn(&picture, 3, 1, true),
            "\x1b[38;2;255;0;0;48;2;0;0;0m▀▀\x1b[38;2;0;0;255;48;2;0;255;0m▀\x1b[0m\n"
        );
        assert!(drawn(&picture, 3, 1, false).starts_with("\x1b[38;5;"));
    }
}
