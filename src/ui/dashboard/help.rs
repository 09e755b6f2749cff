//! The keys, as an overlay.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::ui::keys::{Place, help};
use crate::ui::palette::Palette;

/// Draws it in the middle.
pub fn draw(frame: &mut Frame, area: Rect, palette: &Palette) {
    let lines: Vec<Line> = help(Place::Terminal)
        .map(|(key, what)| {
            Line::from(vec![Span::styled(format!(" {key:9}"), palette.strong), Span::raw(what)])
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
