//! The terminal that bars are drawn on.
//!
//! Owns where the cursor rests between two looks: at the start of the last line. A bar fills its
//! line, and what the terminal echoes for Ctrl-C would begin a new one there. Must never draw where
//! lines cannot be taken back.

use std::io::Result;

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};

/// How often it is drawn in a second, at most.
const LOOKS: u8 = 15;

/// Standard error as a place for bars; nothing is drawn if it is not a terminal.
pub(super) fn target() -> ProgressDrawTarget {
    if !super::can_draw() {
        return ProgressDrawTarget::hidden();
    }
    // indicatif asks for the colours of stdout, which may be a file.
    console::set_colors_enabled(console::colors_enabled_stderr());
    ProgressDrawTarget::term_like_with_hz(Box::new(Screen(Term::buffered_stderr())), LOOKS)
}

#[derive(Debug)]
struct Screen(Term);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        TermLike::width(&self.0)
    }

    fn height(&self) -> u16 {
        TermLike::height(&self.0)
    }

    fn move_cursor_up(&self, n: usize) -> Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, line: &str) -> Result<()> {
        self.0.write_line(line)
    }

    fn write_str(&self, text: &str) -> Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> Result<()> {
        self.0.write_str("\r")?;
        self.0.flush()
    }
}
