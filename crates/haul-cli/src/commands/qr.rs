//! A ticket to photograph.
//!
//! Owns the drawing. Must never write it anywhere but to the terminal that asked for it.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// A QR code of `text`, two rows a line; `None` if it is too long for one. `coloured` is for
/// terminals: black on white, whatever their colours are.
pub(super) fn draw(text: &str, coloured: bool) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let mut render = code.render::<Dense1x2>();
    if !coloured {
        // Most terminals are dark: what is drawn is what is light.
        render.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    let image = render.quiet_zone(true).build();
    let line = |line: &str| {
        if coloured { format!("\u{1b}[38;5;16;48;5;231m{line}\u{1b}[0m") } else { line.to_owned() }
    };
    Some(image.lines().map(line).collect())
}

/// A ticket as it is drawn: of capital letters and digits a code holds half as many again.
pub(super) fn spelled(ticket: &str) -> String {
    // `haul receive` takes both; others that read tickets may not.
    if ticket.starts_with("haul") { ticket.to_ascii_uppercase() } else { ticket.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_fit_and_capitals_are_denser() {
        let ticket = format!("haul{}", "a2".repeat(100));
        let width = |text: &str| draw(text, false).unwrap()[0].chars().count();
        assert!(width(&spelled(&ticket)) <= 60, "{}", width(&spelled(&ticket)));
        assert!(width(&spelled(&ticket)) < width(&ticket));
        assert_eq!(spelled("blobaa"), "blobaa");
        assert!(draw(&"x".repeat(4000), true).is_none());
    }
}
