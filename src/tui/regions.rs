//! Where everything is on the screen: used for drawing and for finding what the mouse points at.
//!
//! ```text
//! Wide (≥ 84 columns)                    Narrow
//! ┌header───────────────────────────┐   ┌header────────────┐
//! │nodes   │ consoles               │   │nodes  │ context  │
//! │links   │                        │   │consoles          │
//! │forwards├ reach ┬ topology       │   │log               │
//! │        │ log                    │   └status────────────┘
//! └status───────────────────────────┘   Single (tiny): the focused panel alone
//! ```
//!
//! Invariant: every region lies within the screen, whatever its size; a region may be empty.

use ratatui::layout::Rect;

use super::state::{Panel, State};

/// Columns below which panels are stacked.
const NARROW: u16 = 84;
/// Columns and rows of the smallest tile that is worth its place.
const MIN_TILE: (u16, u16) = (24, 4);

/// The screen's regions; an absent panel is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Regions {
    /// The top line.
    pub header: Rect,
    /// The panels that are shown.
    pub panels: Vec<(Panel, Rect)>,
    /// The tiles that are shown, by index.
    pub tiles: Vec<(usize, Rect)>,
    /// The newest line of the log.
    pub log_line: Rect,
    /// The bottom line.
    pub status: Rect,
}

impl Regions {
    /// Where a panel is.
    pub fn panel(&self, panel: Panel) -> Option<Rect> {
        self.panels.iter().find(|(p, _)| *p == panel).map(|(_, r)| *r)
    }
}

/// Computes the regions for the present state.
pub fn regions(state: &State) -> Regions {
    let area = state.area();
    let mut r = Regions::default();
    if area.is_empty() {
        return r;
    }
    let (header, rest) = top(area, u16::from(area.height >= 3));
    r.header = header;
    let (rest, status) = bottom(rest, u16::from(area.height >= 2));
    r.status = status;
    let zoomed = state.zoom || (state.mode == super::state::Mode::Console && area.height < 14);
    if zoomed {
        r.panels.push((Panel::Consoles, rest));
        r.tiles = vec![(state.tile, rest)];
        return r;
    }
    if area.width < 50 || area.height < 14 {
        r.panels.push((state.panel, rest));
    } else if area.width < NARROW {
        narrow(state, rest, &mut r);
    } else {
        wide(state, rest, &mut r);
    }
    if let Some(consoles) = r.panel(Panel::Consoles) {
        r.tiles = tile(consoles, state.tiles.len(), state.tile, state.share);
    }
    r
}

fn wide(state: &State, area: Rect, r: &mut Regions) {
    let nodes = count(state.view.nodes.len());
    let side = side_width(state).clamp(24, (area.width / 4).clamp(24, 40));
    let (side, main) = left(area, side);

    let forwards = (count(state.view.forwards.len()) + 2).clamp(3, 3 + side.height / 5);
    let (side, forwards) = bottom(side, forwards);
    let nodes_height = (nodes + 2).clamp(5, 5 + side.height / 2);
    let (nodes_area, links) = top(side, nodes_height);
    r.panels.extend([(Panel::Nodes, nodes_area), (Panel::Links, links), (Panel::Forwards, forwards)]);

    let log = if state.log_open || area.height >= 46 { (area.height / 5).clamp(4, 12) } else { 0 };
    let main = if log == 0 {
        let (main, line) = bottom(main, 1);
        r.log_line = line;
        main
    } else {
        let (main, log) = bottom(main, log);
        r.panels.push((Panel::Log, log));
        main
    };
    let listed = match state.context {
        Panel::Tests => count(state.view.tests.subtests.len()),
        Panel::Production => count(state.production.len()),
        _ => 0,
    };
    let context = (nodes + 4).max(listed + 2).clamp(7, (main.height / 3).max(7));
    let (consoles, context) = bottom_rest(main, context);
    r.panels.push((Panel::Consoles, consoles));
    // Narrower column heads are a small price for the picture beside them.
    let spare = context.width.saturating_sub(picture_width(state));
    let reach = matrix_width(state).min(spare.max(34)).clamp(34, 34 + context.width / 2);
    if context.width >= reach + 40 {
        let (a, b) = left(context, reach);
        // Tests and hosts take the picture's place while one looks at them.
        let beside = match state.context {
            other @ (Panel::Tests | Panel::Production) => other,
            _ => Panel::Topology,
        };
        r.panels.extend([(Panel::Reach, a), (beside, b)]);
    } else {
        let shown = match state.context {
            other @ (Panel::Topology | Panel::Tests | Panel::Production) => other,
            _ => Panel::Reach,
        };
        r.panels.push((shown, context));
    }
}

fn narrow(state: &State, area: Rect, r: &mut Regions) {
    let nodes = count(state.view.nodes.len());
    let (area, line) = bottom(area, 1);
    r.log_line = line;
    let area = if state.log_open {
        let (area, log) = bottom(area, (area.height / 4).max(4));
        r.panels.push((Panel::Log, log));
        area
    } else {
        area
    };
    let height = (nodes + 4).clamp(6, (area.height / 3).max(7));
    let (upper, consoles) = top(area, height);
    let (a, b) = left(upper, (area.width * 2 / 5).clamp(20, 32));
    r.panels.extend([(Panel::Nodes, a), (state.context, b), (Panel::Consoles, consoles)]);
}

/// Columns that a pair of nodes takes in Links.
fn side_width(state: &State) -> u16 {
    let longest = state.view.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0);
    count(2 * longest.min(16) + 11)
}

/// Columns the reachability matrix wants.
fn matrix_width(state: &State) -> u16 {
    let longest = state.view.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0);
    let column = longest.clamp(3, if state.view.nodes.len() > 5 { 6 } else { 12 }) + 1;
    count(longest.clamp(8, 14) + 6 + column * state.view.nodes.len())
}

/// Columns the picture of the topology wants.
fn picture_width(state: &State) -> u16 {
    let longest = state.view.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0);
    count((longest.clamp(3, 14) + 6) * state.view.nodes.len() + 4)
}

/// Places tiles: all in a grid while each is big enough to read, else the focused one large and
/// the others stacked beside it, as many as fit.
pub fn tile(area: Rect, n: usize, focused: usize, share: Option<u16>) -> Vec<(usize, Rect)> {
    if n == 0 || area.is_empty() {
        return Vec::new();
    }
    if n == 1 {
        return vec![(0, area)];
    }
    let (cols, w, h) = best_grid(area, n);
    if w >= 60 && h >= 10 && share.is_none() {
        return grid(area, n, cols);
    }
    beside(area, n, focused, share)
}

/// The number of columns that shows most of `n` consoles, and the size of a tile then. Width counts
/// for more than height: a line that is cut says less than a line that has scrolled away.
fn best_grid(area: Rect, n: usize) -> (usize, u16, u16) {
    let score = |w: u16, h: u16| {
        let readable = w >= MIN_TILE.0 && h >= MIN_TILE.1;
        (readable, u32::from(w.min(82)).pow(2) * u32::from(h.min(26)))
    };
    (1..=n.max(1))
        .map(|cols| (cols, area.width / count(cols), area.height / count(n.max(1).div_ceil(cols))))
        .max_by_key(|(cols, w, h)| (score(*w, *h), std::cmp::Reverse(*cols)))
        .unwrap_or((1, area.width, area.height))
}

fn grid(area: Rect, n: usize, cols: usize) -> Vec<(usize, Rect)> {
    let rows = n.div_ceil(cols);
    let mut out = Vec::new();
    for (row, band) in split(area.y, area.height, rows).into_iter().enumerate() {
        let here = cols.min(n - row * cols);
        for (col, (x, w)) in split(area.x, area.width, here).into_iter().enumerate() {
            out.push((row * cols + col, Rect::new(x, band.0, w, band.1)));
        }
    }
    out
}

fn beside(area: Rect, n: usize, focused: usize, share: Option<u16>) -> Vec<(usize, Rect)> {
    let part = |len: u16, auto: u16| {
        let percent = share.map(|s| s.clamp(20, 85));
        percent.map_or(auto, |p| (u32::from(len) * u32::from(p) / 100) as u16)
    };
    let (big, small) = if area.width >= 70 {
        // No more than a guest's own width while others want room.
        left(area, part(area.width, (area.width * 3 / 5).min(84)))
    } else if area.height >= 14 {
        top(area, part(area.height, (area.height * 3 / 5).min(28)))
    } else {
        (area, Rect::default())
    };
    let mut fit = n - 1;
    let mut cols = 1;
    while fit > 0 {
        let (best, w, h) = best_grid(small, fit);
        cols = best;
        if w >= MIN_TILE.0 && h >= MIN_TILE.1 {
            break;
        }
        fit -= 1;
    }
    if fit == 0 {
        return vec![(focused, area)];
    }
    let mut out = vec![(focused, big)];
    // The others in their order, those before the focused one left out first.
    let others: Vec<usize> = (0..n).filter(|i| *i != focused).collect();
    let skip = focused.saturating_sub(fit).min(others.len() - fit);
    for ((_, place), i) in grid(small, fit, cols).into_iter().zip(&others[skip..]) {
        out.push((*i, place));
    }
    out
}

/// Parts of a length as even as possible: start and size of each.
fn split(start: u16, len: u16, parts: usize) -> Vec<(u16, u16)> {
    let parts = count(parts).max(1);
    let at = |i: u16| (u32::from(len) * u32::from(i) / u32::from(parts)) as u16;
    (0..parts).map(|i| (start + at(i), at(i + 1) - at(i))).collect()
}

fn count(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX / 4).min(u16::MAX / 4)
}

fn top(a: Rect, h: u16) -> (Rect, Rect) {
    let h = h.min(a.height);
    (Rect { height: h, ..a }, Rect { y: a.y + h, height: a.height - h, ..a })
}

/// All but the last lines, and the last lines.
fn bottom(a: Rect, h: u16) -> (Rect, Rect) {
    let h = h.min(a.height);
    top(a, a.height - h)
}

fn bottom_rest(a: Rect, h: u16) -> (Rect, Rect) {
    bottom(a, h.min(a.height / 2))
}

fn left(a: Rect, w: u16) -> (Rect, Rect) {
    let w = w.min(a.width);
    (Rect { width: w, ..a }, Rect { x: a.x + w, width: a.width - w, ..a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_their_area_without_overlap() {
        for (w, h) in [(80, 20), (200, 60), (60, 12), (300, 20), (30, 80), (1, 1), (0, 5)] {
            for n in 0..14 {
                for (focused, share) in (0..n).flat_map(|f| [(f, None), (f, Some(85))]) {
                    let area = Rect::new(3, 2, w, h);
                    let tiles = tile(area, n, focused, share);
                    let sum: u32 = tiles.iter().map(|(_, r)| r.area()).sum();
                    assert_eq!(sum, area.area(), "{w}x{h} {n} {focused}: {tiles:?}");
                    for (i, a) in &tiles {
                        assert_eq!(a.intersection(area), *a);
                        for (j, b) in &tiles {
                            assert!(i == j || a.intersection(*b).is_empty());
                        }
                    }
                    assert!(
                        area.is_empty() || tiles.iter().any(|(i, _)| *i == focused),
                        "{w}x{h} {n} {focused}"
                    );
                }
            }
        }
    }

    #[test]
    fn nine_consoles_on_a_large_screen_make_a_grid() {
        let all = tile(Rect::new(0, 0, 240, 60), 9, 0, None);
        assert!(all.iter().all(|(_, r)| r.width == 80 && r.height == 20));
        let beside = tile(Rect::new(0, 0, 90, 24), 9, 7, None);
        assert_eq!((beside[0].0, beside.len()), (7, 7));
    }
}
