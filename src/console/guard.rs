//! The second line of defence: stands between the parser and the grid.
//!
//! Invariant: a cell never holds more than [`MAX_COMBINING`] combining characters, and what concerns
//! titles, clipboards, links, palettes and keyboard protocols never reaches the grid: it has no method here.

use alacritty_terminal::Term;
use alacritty_terminal::event::EventListener;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, LineClearMode, Mode, PrivateMode,
    StandardCharset, TabulationClearMode,
};
use unicode_width::UnicodeWidthChar;

/// Combining characters that one cell keeps.
const MAX_COMBINING: usize = 4;

/// Passes on to the grid what a guest may do to it.
pub(super) struct Guard<'a, T: EventListener>(pub(super) &'a mut Term<T>);

impl<T: EventListener> Guard<'_, T> {
    /// Whether the cell that a combining character would join has room for it.
    fn has_room(&self) -> bool {
        let grid = self.0.grid();
        let (line, mut column) = (grid.cursor.point.line, grid.cursor.point.column);
        if !grid.cursor.input_needs_wrap {
            column.0 = column.0.saturating_sub(1);
        }
        if grid[line][column].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column.0 = column.0.saturating_sub(1);
        }
        grid[line][column].zerowidth().is_none_or(|z| z.len() < MAX_COMBINING)
    }
}

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(fn $name(&mut self, $($arg: $ty),*) { Handler::$name(self.0, $($arg),*) })*
    };
}

impl<T: EventListener> Handler for Guard<'_, T> {
    fn input(&mut self, c: char) {
        if c.is_ascii() || c.width() != Some(0) || self.has_room() {
            Handler::input(self.0, c);
        }
    }

    pass_on! {
        set_cursor_style(style: Option<CursorStyle>);
        set_cursor_shape(shape: CursorShape);
        goto(line: i32, col: usize);
        goto_line(line: i32);
        goto_col(col: usize);
        insert_blank(n: usize);
        move_up(n: usize);
        move_down(n: usize);
        identify_terminal(intermediate: Option<char>);
        device_status(n: usize);
        move_forward(n: usize);
        move_backward(n: usize);
        move_down_and_cr(n: usize);
        move_up_and_cr(n: usize);
        put_tab(n: u16);
        backspace();
        carriage_return();
        linefeed();
        bell();
        substitute();
        newline();
        set_horizontal_tabstop();
        scroll_up(n: usize);
        scroll_down(n: usize);
        insert_blank_lines(n: usize);
        delete_lines(n: usize);
        erase_chars(n: usize);
        delete_chars(n: usize);
        move_backward_tabs(n: u16);
        move_forward_tabs(n: u16);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        clear_screen(mode: ClearMode);
        clear_tabs(mode: TabulationClearMode);
        set_tabs(interval: u16);
        reset_state();
        reverse_index();
        terminal_attribute(attr: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        set_private_mode(mode: PrivateMode);
        unset_private_mode(mode: PrivateMode);
        report_private_mode(mode: PrivateMode);
        set_scrolling_region(top: usize, bottom: Option<usize>);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        set_active_charset(index: CharsetIndex);
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        decaln();
        text_area_size_chars();
    }
}
