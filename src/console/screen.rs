//! One console's screen and history.
//!
//! Lines are numbered as a person sees them: 0 is the top line of the screen, -1 the newest line of
//! the history, [`Screen::top`] the oldest.
//!
//! Invariant: rows and columns are always within [2, 500] and [2, 1000], whatever is asked for.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::{Dimensions, Scroll};
use alacritty_terminal::index::{Column, Line, Point, Side};
use alacritty_terminal::selection::{Selection, SelectionRange, SelectionType};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Config, Osc52, TermMode};
use alacritty_terminal::vi_mode::ViMotion;
use alacritty_terminal::vte::ansi::{CursorShape, Processor, Timeout};

use super::filter::Filter;
use super::guard::Guard;

/// Rows of a serial console that nobody sized.
pub const DEFAULT_ROWS: u16 = 24;
/// Columns of a serial console that nobody sized.
pub const DEFAULT_COLS: u16 = 80;

const ROWS: RangeInclusive<u16> = 2..=500;
// One column and a wide character would send the emulator's reflow into an endless loop.
const COLS: RangeInclusive<u16> = 2..=1000;
const MAX_REPLIES: usize = 4096;

/// How a guest wants its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestModes {
    /// Arrows, Home and End in application mode.
    pub app_cursor: bool,
    /// Pasted text wrapped in brackets.
    pub bracketed_paste: bool,
    /// The alternate screen is shown: there is no history.
    pub alt_screen: bool,
}

/// A terminal emulator with a bounded history.
pub struct Screen {
    term: Term<Listener>,
    parser: Processor<NoSync>,
    filter: Filter,
    replies: Listener,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("rows", &self.rows())
            .field("cols", &self.cols())
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// Creates an empty screen that keeps `scrollback` lines of history.
    pub fn new(rows: u16, cols: u16, scrollback: usize) -> Self {
        let replies = Listener::default();
        let config = Config {
            scrolling_history: scrollback.min(100_000),
            osc52: Osc52::Disabled,
            kitty_keyboard: false,
            ..Config::default()
        };
        Self {
            term: Term::new(config, &Size::clamped(rows, cols), replies.clone()),
            parser: Processor::new(),
            filter: Filter::default(),
            replies,
            scratch: Vec::new(),
        }
    }

    /// Takes what a guest printed.
    pub fn feed(&mut self, bytes: &[u8]) {
        for slice in bytes.chunks(16 << 10) {
            self.scratch.clear();
            self.filter.run(slice, self.term.columns(), &mut self.scratch);
            self.parser.advance(&mut Guard(&mut self.term), &self.scratch);
        }
    }

    /// Says on the screen that bytes were lost, and starts afresh with the next one.
    pub fn note_gap(&mut self, lost: usize) {
        self.filter.reset();
        self.feed(format!("\r\n\x1b[0;7m … {} KiB skipped … \x1b[m\r\n", lost.div_ceil(1024)).as_bytes());
    }

    /// Takes the bytes that the terminal would send back to the guest.
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.replies.lock())
    }

    /// Whether the bell rang since this was last asked.
    pub fn take_bell(&mut self) -> bool {
        std::mem::take(&mut *self.replies.bell.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the size; lines are wrapped anew.
    pub fn resize(&mut self, rows: u16, cols: u16) {
        self.term.resize(Size::clamped(rows, cols));
    }

    /// Rows of the screen.
    pub fn rows(&self) -> usize {
        self.term.screen_lines()
    }

    /// Columns of the screen.
    pub fn cols(&self) -> usize {
        self.term.columns()
    }

    /// The oldest line's number: zero or negative.
    pub fn top(&self) -> i32 {
        self.term.topmost_line().0
    }

    /// The cells of a line, absent beyond both ends.
    pub fn row(&self, line: i32) -> Option<&[Cell]> {
        (line >= self.top() && line <= self.term.bottommost_line().0)
            .then(|| &self.term.grid()[Line(line)][Column(0)..Column(self.cols())])
    }

    /// Line and column of the guest's cursor, absent while it is hidden.
    pub fn cursor(&self) -> Option<(i32, usize)> {
        let shown = self.term.mode().contains(TermMode::SHOW_CURSOR)
            && self.term.cursor_style().shape != CursorShape::Hidden;
        shown.then(|| self.position())
    }

    /// Line and column of the guest's cursor, shown or not.
    pub fn position(&self) -> (i32, usize) {
        let p = self.term.grid().cursor.point;
        (p.line.0, p.column.0)
    }

    /// How the guest wants its keys.
    pub fn modes(&self) -> GuestModes {
        let m = self.term.mode();
        GuestModes {
            app_cursor: m.contains(TermMode::APP_CURSOR),
            bracketed_paste: m.contains(TermMode::BRACKETED_PASTE),
            alt_screen: m.contains(TermMode::ALT_SCREEN),
        }
    }

    /// Lines the view is scrolled back by; it stays with its text when more arrives.
    pub fn scrolled(&self) -> usize {
        self.term.grid().display_offset()
    }

    /// Scrolls the view, up when `lines` is positive.
    pub fn scroll(&mut self, lines: i32) {
        self.term.scroll_display(Scroll::Delta(lines));
    }

    /// Scrolls the view to the live screen.
    pub fn scroll_to_bottom(&mut self) {
        self.term.scroll_display(Scroll::Bottom);
    }

    /// Scrolls the view so that a line is on it.
    pub fn show_line(&mut self, line: i32) {
        self.term.scroll_to_point(Point::new(self.clamped(line), Column(0)));
    }

    /// All lines as plain text, oldest first, without trailing blanks and trailing empty lines.
    pub fn lines(&self) -> Vec<String> {
        self.text_of(self.top())
    }

    /// The last `n` lines that are not empty at the end, as plain text.
    pub fn last_lines(&self, n: usize) -> Vec<String> {
        let mut lines = self.text_of(self.top().max(self.top_for_last(n)));
        lines.drain(..lines.len().saturating_sub(n));
        lines
    }

    /// A line's plain text, without trailing blanks.
    pub fn text(&self, line: i32) -> String {
        self.row(line).map(row_text).unwrap_or_default()
    }

    fn top_for_last(&self, n: usize) -> i32 {
        // Empty rows below the cursor are not lines yet.
        let used = (0..self.rows() as i32).rev().find(|l| !self.text(*l).is_empty()).unwrap_or(-1);
        used.saturating_sub(i32::try_from(n).unwrap_or(i32::MAX)).saturating_add(1)
    }

    fn text_of(&self, from: i32) -> Vec<String> {
        let mut lines: Vec<String> = (from..self.rows() as i32).map(|l| self.text(l)).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn clamped(&self, line: i32) -> Line {
        Line(line.clamp(self.top(), self.term.bottommost_line().0))
    }
}

/// The select mode: a second cursor that walks over screen and history.
impl Screen {
    /// Whether the select mode is on.
    pub fn selecting(&self) -> bool {
        self.term.mode().contains(TermMode::VI)
    }

    /// Turns the select mode on or off; its cursor starts at the guest's.
    pub fn set_selecting(&mut self, on: bool) {
        if on != self.selecting() {
            self.term.toggle_vi_mode();
        }
        if !on {
            self.term.selection = None;
            self.scroll_to_bottom();
        }
    }

    /// Line and column of the select mode's cursor.
    pub fn select_cursor(&self) -> (i32, usize) {
        let p = self.term.vi_mode_cursor.point;
        (p.line.0, p.column.0)
    }

    /// Moves the select mode's cursor.
    pub fn select_motion(&mut self, motion: ViMotion) {
        self.term.vi_motion(motion);
    }

    /// Puts the select mode's cursor somewhere.
    pub fn select_goto(&mut self, line: i32, column: usize) {
        let point = Point::new(self.clamped(line), Column(column.min(self.cols() - 1)));
        self.term.vi_goto_point(point);
    }

    /// Starts a selection at the cursor, or ends the one there is.
    pub fn toggle_mark(&mut self, whole_lines: bool) {
        let ty = if whole_lines { SelectionType::Lines } else { SelectionType::Simple };
        if self.term.selection.as_ref().is_some_and(|s| s.ty == ty) {
            self.term.selection = None;
        } else {
            let mut selection = Selection::new(ty, self.term.vi_mode_cursor.point, Side::Left);
            selection.include_all();
            self.term.selection = Some(selection);
        }
    }

    /// Selects from one cell to another, as a drag of the mouse does.
    pub fn select_between(&mut self, from: (i32, usize), to: (i32, usize)) {
        let at = |(line, col): (i32, usize)| Point::new(self.clamped(line), Column(col.min(self.cols() - 1)));
        let (a, b) = (at(from), at(to));
        let (first, last) = if a <= b { (a, b) } else { (b, a) };
        let mut selection = Selection::new(SelectionType::Simple, first, Side::Left);
        selection.update(last, Side::Right);
        self.term.selection = Some(selection);
    }

    /// Forgets the selection.
    pub fn clear_selection(&mut self) {
        self.term.selection = None;
    }

    /// The selected text, absent when nothing is selected.
    pub fn selected_text(&self) -> Option<String> {
        // The emulator's own way from a selection to text looks beyond the history's end.
        let range = self.selection()?.0;
        let mut text = String::new();
        for line in range.start.line.0..=range.end.line.0 {
            let Some(row) = self.row(line) else { continue };
            let from = if line == range.start.line.0 { range.start.column.0.min(row.len()) } else { 0 };
            let to =
                if line == range.end.line.0 { (range.end.column.0 + 1).min(row.len()) } else { row.len() };
            text.push_str(&row_text(&row[from.min(to)..to]));
            let wrapped = row.last().is_some_and(|c| c.flags.contains(Flags::WRAPLINE));
            if line != range.end.line.0 && !wrapped {
                text.push('\n');
            }
        }
        Some(text).filter(|t| !t.is_empty())
    }

    /// The selected range, for drawing.
    pub fn selection(&self) -> Option<Selected> {
        self.term.selection.as_ref().and_then(|s| s.to_range(&self.term)).map(Selected)
    }
}

/// A range of selected cells.
#[derive(Debug, Clone, Copy)]
pub struct Selected(SelectionRange);

impl Selected {
    /// Whether a cell is in it.
    pub fn contains(&self, line: i32, column: usize) -> bool {
        self.0.contains(Point::new(Line(line), Column(column)))
    }
}

/// A row's plain text, without trailing blanks.
pub(super) fn row_text(row: &[Cell]) -> String {
    let mut text = String::with_capacity(row.len());
    for cell in row {
        if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
            continue;
        }
        // A tab is kept as its character in its first cell; the blanks after it are cells too.
        text.push(if cell.c == '\t' { ' ' } else { cell.c });
        text.extend(cell.zerowidth().into_iter().flatten());
    }
    text.truncate(text.trim_end().len());
    text
}

/// Collects what the emulator wants to tell the outside, and keeps only replies and the bell.
#[derive(Debug, Clone, Default)]
struct Listener {
    queue: Arc<Mutex<Vec<u8>>>,
    bell: Arc<Mutex<bool>>,
}

impl Listener {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventListener for Listener {
    fn send_event(&self, event: Event) {
        match event {
            Event::PtyWrite(text) => {
                let mut queue = self.lock();
                if queue.len() + text.len() <= MAX_REPLIES {
                    queue.extend(text.bytes());
                }
            }
            Event::Bell => *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = true,
            _ => {}
        }
    }
}

/// Draws synchronized updates as they come: the view is redrawn a few times a second anyway, and
/// nothing can be held back for ever.
#[derive(Default)]
struct NoSync;

impl Timeout for NoSync {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

struct Size {
    rows: usize,
    cols: usize,
}

impl Size {
    fn clamped(rows: u16, cols: u16) -> Self {
        Self {
            rows: usize::from(rows.clamp(*ROWS.start(), *ROWS.end())),
            cols: usize::from(cols.clamp(*COLS.start(), *COLS.end())),
        }
    }
}

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.rows
    }
    fn screen_lines(&self) -> usize {
        self.rows
    }
    fn columns(&self) -> usize {
        self.cols
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fed(bytes: &[u8]) -> Screen {
        let mut s = Screen::new(4, 20, 100);
        s.feed(bytes);
        s
    }

    #[test]
    fn text_and_history() {
        let mut s = fed(b"");
        assert!(s.lines().is_empty());
        for i in 0..10 {
            s.feed(format!("line {i}\r\n").as_bytes());
        }
        assert_eq!(s.lines().len(), 10);
        assert_eq!(s.last_lines(2), ["line 8", "line 9"]);
        assert_eq!(s.last_lines(99).len(), 10);
        assert_eq!(s.top(), -7);
        assert_eq!(s.text(-7), "line 0");
        assert!(s.row(-8).is_none() && s.row(4).is_none());
    }

    #[test]
    fn programs_that_draw() {
        let cases: [(&[u8], &[&str]); 6] = [
            (b"\x1b(0lqk\x1b(B box", &["\u{250c}\u{2500}\u{2510} box"]),
            (b"a\tb", &["a       b"]),
            ("日本".as_bytes(), &["日本"]),
            (b"one\x1b[2;5Htwo", &["one", "    two"]),
            (b"ab\x1b[3b", &["abbbb"]),
            (b"x\x1b[?2026hy\x1b[?2026lz", &["xyz"]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(fed(bytes).lines(), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_guest_reaches_neither_title_nor_clipboard_but_gets_its_replies() {
        let mut s = fed(b"\x1b]0;t\x07\x1b]52;c;aGk=\x07\x1b[22t\x1b[6n");
        assert_eq!(s.take_replies(), b"\x1b[1;1R");
        assert!(s.take_replies().is_empty());
        for _ in 0..10_000 {
            s.feed(b"\x1b[6n");
        }
        assert!(s.take_replies().len() <= MAX_REPLIES);
    }

    #[test]
    fn a_cell_keeps_few_combining_characters() {
        let mut s = fed(b"e");
        for _ in 0..10_000 {
            s.feed("\u{301}".as_bytes());
        }
        assert!(s.lines()[0].chars().count() <= 5);
    }

    #[test]
    fn the_view_stays_with_its_text() {
        let mut s = fed(b"");
        for i in 0..10 {
            s.feed(format!("line {i}\r\n").as_bytes());
        }
        s.scroll(3);
        assert_eq!(s.text(-3), "line 4");
        s.feed(b"more\r\n");
        assert_eq!(s.scrolled(), 4);
        s.scroll_to_bottom();
        assert_eq!(s.scrolled(), 0);
    }

    #[test]
    fn selection() {
        let mut s = fed(b"hello world\r\nsecond line");
        s.select_between((0, 6), (1, 5));
        assert_eq!(s.selected_text().as_deref(), Some("world\nsecond"));
        assert!(s.selection().unwrap().contains(0, 8));
        s.clear_selection();
        s.set_selecting(true);
        s.select_goto(0, 0);
        s.toggle_mark(false);
        s.select_motion(ViMotion::SemanticRightEnd);
        assert_eq!(s.selected_text().as_deref(), Some("hello"));
        s.toggle_mark(true);
        assert_eq!(s.selected_text().as_deref(), Some("hello world"));
        s.set_selecting(false);
        assert!(s.selected_text().is_none());
    }

    #[test]
    fn a_gap_ends_what_was_unfinished() {
        let mut s = Screen::new(6, 40, 10);
        s.feed(b"a\x1b]0;never ended");
        s.note_gap(2048);
        s.feed(b"b");
        assert_eq!(s.lines(), ["a", " … 2 KiB skipped …", "b"]);
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..24),
            (
                any::<u16>(),
                any::<u16>(),
                prop::sample::select(b"@ABCDEFGHIJKLMPSTXZ`abcdefghlmnrstu".to_vec())
            )
                .prop_map(|(a, b, f)| format!("\x1b[{a};{b}{}", f as char).into_bytes()),
            prop::sample::select(vec![
                &b"\x1b[?1049h"[..],
                b"\x1b[?1049l",
                b"\x1b[?7l",
                b"\x1b[?6h",
                b"\x1b[4h",
                b"\x1bc",
                b"\x1bM",
                b"\x1b#8",
                b"\x1b]52;c;",
                b"\x1bP",
                "日本語🦀\u{301}\u{200d}".as_bytes(),
                b"\t\t\t\n\n\r",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|p| p.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn hostile_bytes_at_odd_sizes(
            steps in proptest::collection::vec((hostile(), 0u16..12, 0u16..12, -20i32..20), 1..8),
        ) {
            let mut s = Screen::new(0, 0, 50);
            for (bytes, rows, cols, scroll) in steps {
                s.feed(&bytes);
                s.scroll(scroll);
                s.select_between((scroll, 3), (0, 999));
                let _ = s.selected_text();
                s.resize(rows, cols);
                prop_assert!(s.rows() >= 2 && s.cols() >= 2);
                s.set_selecting(scroll > 0);
                s.select_motion(ViMotion::SemanticLeft);
                s.find_all("a");
                prop_assert!(s.lines().len() <= 50 + s.rows());
            }
        }
    }
}
