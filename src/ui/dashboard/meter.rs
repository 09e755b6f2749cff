//! A level meter in text cells: eighths of a cell fine, with a mark for the held peak. Pure.

use ratatui::text::Span;

use super::palette::Palette;
use super::state::FLOOR_DB;

/// From here on the meter warns: closer to full scale than speech should come, dBFS.
const HOT_DB: f32 = -9.0;
/// From here on the next loud word clips, dBFS.
const HOTTEST_DB: f32 = -3.0;

/// Eighths of a cell, from none to seven.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The meter as spans of the given width in cells.
pub fn meter(db: f32, held: Option<f32>, width: usize, palette: &Palette) -> Vec<Span<'static>> {
    let share = |db: f32| ((db - FLOOR_DB) / -FLOOR_DB).clamp(0.0, 1.0);
    let eighths = (share(db) * width as f32 * 8.0).round() as usize;
    let mark = held
        .filter(|held| *held > FLOOR_DB)
        .map(|held| ((share(held) * width as f32).ceil() as usize).clamp(1, width.max(1)) - 1);
    let mut spans: Vec<Span<'static>> = Vec::new();
    for cell in 0..width {
        let full = eighths.saturating_sub(cell * 8);
        let at = FLOOR_DB * (1.0 - (cell as f32 + 0.5) / width as f32);
        let zone = if at >= HOTTEST_DB {
            palette.bad
        } else if at >= HOT_DB {
            palette.caution
        } else {
            palette.good
        };
        let (text, style) = match full {
            8.. => ('█', zone),
            _ if mark == Some(cell) => ('│', zone),
            0 => ('·', palette.quiet),
            _ => (EIGHTHS[full], zone),
        };
        match spans.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push(text),
            _ => spans.push(Span::styled(text.to_string(), style)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(db: f32, held: Option<f32>) -> String {
        meter(db, held, 12, &Palette::PLAIN).iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn five_decibels_are_a_cell_of_twelve() {
        assert_eq!(text(-120.0, None), "············");
        assert_eq!(text(-55.0, None), "█···········");
        assert_eq!(text(-52.5, None), "█▌··········");
        assert_eq!(text(0.0, None), "████████████");
        assert_eq!(text(12.0, None), "████████████");
    }

    #[test]
    fn the_held_peak_is_a_mark_ahead_of_the_bar() {
        assert_eq!(text(-55.0, Some(-30.0)), "█····│······");
        assert_eq!(text(-55.0, Some(0.0)), "█··········│");
        assert_eq!(text(f32::NAN, Some(f32::NAN)).chars().count(), 12);
        assert!(meter(-3.0, Some(-1.0), 0, &Palette::PLAIN).is_empty());
    }
}
