//! The keys, as an overlay.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::ui::palette::Palette;

/// Key and meaning, the more important ones first.
const KEYS: &[(&str, &str)] = &[
    ("m", "mute or unmute: silence live and in the file"),
    ("p, space", "push to talk: space sends; recorded is everything"),
    ("c", "camera off or on: black in the file"),
    ("w", "open or close the preview window"),
    ("b, n", "mark this instant; n with a note for the edit"),
    ("Tab, 1-3", "choose a participant; for that one:"),
    ("+ -", "  louder or softer, here alone, in steps of 3 dB"),
    ("x", "  do not hear it, or hear it again"),
    ("d", "  everything about it: delay, path, graphs"),
    ("i", "copy the line that guests join with"),
    ("a, r", "let in who knocks, or refuse (as Enter does)"),
    ("r, Esc", "recover what an earlier run left, or leave it"),
    ("arrows", "scroll the log; End goes back to the newest line"),
    ("q, Esc", "end the call; asks once. Ctrl-C ends at once"),
    ("?", "close this help"),
];

/// Draws it in the middle.
pub fn draw(frame: &mut Frame, area: Rect, palette: &Palette) {
    let lines: Vec<Line> = KEYS
        .iter()
        .map(|(key, what)| {
            Line::from(vec![Span::styled(format!(" {key:9}"), palette.strong), Span::raw(*what)])
        })
        .collect();
    let (width, height) = (68.min(area.width), (lines.len() as u16 + 2).min(area.height));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let block = Block::bordered().title(" Keys: all you say and show is recorded here ");
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
