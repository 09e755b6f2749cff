//! A level meter in text cells: eighths of a cell fine, with a mark for the held peak. Pure.

use ratatui::text::Span;

use super::palette::Palette;
use crate::units::Micros;

/// The meter's lower end, dBFS.
pub const FLOOR_DB: f32 = -60.0;
/// How long the meter holds a peak, microseconds; long enough to read it off.
const HOLD: i64 = 1_500_000;
/// How fast a held peak then falls, decibels per second (IEC 60268-18 asks for 20 dB in 1.7 s).
const FALL: f32 = 11.8;

/// From here on the meter warns: closer to full scale than speech should come, dBFS.
const HOT_DB: f32 = -9.0;
/// From here on the next loud word clips, dBFS.
const HOTTEST_DB: f32 = -3.0;

/// Eighths of a cell, from none to seven.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A peak that stays long enough to be read.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Level that the meter holds, dBFS; [`FLOOR_DB`] for none.
    pub db: f32,
    at: Micros,
    updated: Micros,
}

impl Default for Held {
    fn default() -> Self {
        Self { db: FLOOR_DB, at: Micros(0), updated: Micros(0) }
    }
}

impl Held {
    /// Takes the newest level.
    pub fn absorb(&mut self, level: f32, now: Micros) {
        let level = level.clamp(FLOOR_DB, 0.0);
        if level >= self.db {
            self.db = level;
            self.at = now;
        } else if now.since(self.at) > HOLD {
            let seconds = now.since(self.updated).clamp(0, 1_000_000) as f32 / 1e6;
            self.db = (self.db - FALL * seconds).max(level);
        }
        self.updated = now;
    }

    /// As a number to show: silence below the meter's end.
    pub fn shown(&self) -> f64 {
        if self.db <= FLOOR_DB { -120.0 } else { f64::from(self.db) }
    }
}

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
    fn a_peak_is_held_and_then_falls_to_the_level() {
        let mut held = Held::default();
        let mut at = |millis: i64, db| {
            held.absorb(db, Micros(millis * 1000));
            held.db
        };
        assert_eq!(at(0, -6.0), -6.0);
        assert_eq!(at(1_000, -40.0), -6.0);
        assert_eq!(at(1_500, -40.0), -6.0);
        let falling = at(2_000, -40.0);
        assert!((-12.0..-11.0).contains(&falling), "{falling}");
        assert_eq!(at(2_100, -3.0), -3.0);
        for n in 0..100 {
            at(4_000 + n * 100, -40.0);
        }
        assert_eq!(held.db, -40.0);
        assert_eq!(Held::default().shown(), -120.0);
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
