//! Colours by role. A theme is a TOML file under `assets/themes`, built into the program.
//!
//! Invariant: every mark has a glyph of its own; a theme can only add to it.

use include_dir::{Dir, include_dir};
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

static THEMES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/themes");

/// The style of everything the interface draws.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the fields are named after what they colour")]
pub struct Theme {
    pub name: String,
    pub text: Style,
    pub dim: Style,
    pub border: Style,
    pub border_focus: Style,
    pub title: Style,
    pub title_focus: Style,
    pub header: Style,
    pub accent: Style,
    pub ok: Style,
    pub warn: Style,
    pub bad: Style,
    pub info: Style,
    pub cursor: Style,
    pub found: Style,
    pub selected: Style,
    pub key: Style,
    pub mode_nav: Style,
    pub mode_console: Style,
    pub mode_select: Style,
    /// Whether guests' colours are left out too.
    pub plain: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Paint {
    fg: Option<String>,
    bg: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    reverse: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    text: Paint,
    dim: Paint,
    border: Paint,
    border_focus: Paint,
    title: Paint,
    title_focus: Paint,
    header: Paint,
    accent: Paint,
    ok: Paint,
    warn: Paint,
    bad: Paint,
    info: Paint,
    cursor: Paint,
    found: Paint,
    selected: Paint,
    key: Paint,
    mode_nav: Paint,
    mode_console: Paint,
    mode_select: Paint,
}

/// The built-in themes by name, the default first.
pub fn themes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut all: Vec<_> =
        THEMES.files().filter_map(|f| Some((f.path().file_stem()?.to_str()?, f.contents_utf8()?))).collect();
    all.sort_by_key(|(n, _)| (*n != "ansi", *n));
    all.into_iter()
}

impl Theme {
    /// The theme of this name; without colours it keeps only bold, dim, underline and reverse.
    ///
    /// # Errors
    /// When there is no such theme.
    pub fn named(name: &str, no_color: bool, truecolor: bool) -> Result<Self, String> {
        let Some((name, text)) = themes().find(|(n, _)| *n == name) else {
            let names: Vec<_> = themes().map(|(n, _)| n).collect();
            return Err(format!("there is no theme `{name}`; there are {}", names.join(", ")));
        };
        let f: File = toml::from_str(text).map_err(|e| format!("the theme `{name}` is broken: {e}"))?;
        let style = |p: &Paint| paint(p, no_color, truecolor);
        let mut cursor = style(&f.cursor);
        let mut modes = [style(&f.mode_nav), style(&f.mode_console), style(&f.mode_select)];
        if no_color {
            cursor = cursor.add_modifier(Modifier::REVERSED);
            modes = modes.map(|m| m.add_modifier(Modifier::REVERSED | Modifier::BOLD));
        }
        let [mode_nav, mode_console, mode_select] = modes;
        let reverse = |s: Style| if no_color { s.add_modifier(Modifier::REVERSED) } else { s };
        Ok(Self {
            name: name.to_owned(),
            text: style(&f.text),
            dim: style(&f.dim),
            border: style(&f.border),
            border_focus: style(&f.border_focus),
            title: style(&f.title),
            title_focus: style(&f.title_focus),
            header: style(&f.header),
            accent: style(&f.accent),
            ok: style(&f.ok),
            warn: style(&f.warn),
            bad: style(&f.bad),
            info: style(&f.info),
            found: reverse(style(&f.found)),
            selected: reverse(style(&f.selected)),
            key: style(&f.key),
            cursor,
            mode_nav,
            mode_console,
            mode_select,
            plain: no_color,
        })
    }
}

fn paint(p: &Paint, no_color: bool, truecolor: bool) -> Style {
    let mut s = Style::default();
    if !no_color {
        let color = |c: &Option<String>| c.as_ref().and_then(|c| c.parse().ok()).map(|c| fit(c, truecolor));
        s.fg = color(&p.fg);
        s.bg = color(&p.bg);
    }
    for (on, m) in [
        (p.bold, Modifier::BOLD),
        (p.dim, Modifier::DIM),
        (p.italic, Modifier::ITALIC),
        (p.underline, Modifier::UNDERLINED),
        (p.reverse, Modifier::REVERSED),
    ] {
        if on {
            s = s.add_modifier(m);
        }
    }
    s
}

/// A colour as the terminal can show it: without 24-bit colours, the nearest of the 6x6x6 cube.
pub fn fit(color: Color, truecolor: bool) -> Color {
    match color {
        Color::Rgb(r, g, b) if !truecolor => {
            let level = |v: u8| (u16::from(v) * 5 + 127) / 255;
            let (spread, mean) =
                (r.max(g).max(b) - r.min(g).min(b), (u16::from(r) + u16::from(g) + u16::from(b)) / 3);
            if spread < 12 && (8..=238).contains(&mean) {
                return Color::Indexed(232 + ((mean - 8) / 10).min(23) as u8);
            }
            Color::Indexed((16 + 36 * level(r) + 6 * level(g) + level(b)) as u8)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_themes_are_whole() {
        let names: Vec<_> = themes().map(|(n, _)| n).collect();
        assert_eq!(names[0], "ansi");
        assert!(names.len() >= 3);
        for (name, text) in themes() {
            Theme::named(name, false, true).unwrap();
            let t: toml::Table = text.parse().unwrap();
            for (role, paint) in &t {
                for side in ["fg", "bg"] {
                    if let Some(c) = paint.get(side) {
                        c.as_str()
                            .unwrap()
                            .parse::<Color>()
                            .unwrap_or_else(|_| panic!("{name}: {role}.{side}"));
                    }
                }
            }
        }
        assert!(Theme::named("nope", false, true).unwrap_err().contains("ansi"));
    }

    #[test]
    fn no_color_means_none() {
        for (name, _) in themes() {
            let t = Theme::named(name, true, true).unwrap();
            for s in [t.text, t.ok, t.bad, t.cursor, t.mode_nav, t.mode_console, t.header, t.found] {
                assert_eq!((s.fg, s.bg), (None, None), "{name}");
            }
        }
    }
}
