//! A small picture in text cells: two pixels a cell by half blocks, or by the weight of letters
//! where there are no colours. Pure.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use crate::ui::palette::{Colours, Palette};

/// Pixels of 0x00RRGGBB, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `width` times `height` of them.
    pub pixels: Vec<u32>,
}

/// From dark to bright on dark ground.
const WEIGHTS: &[u8] = b" .:-=+*#%@";
/// The lowest levels of the 256-colour cube (xterm's).
const CUBE: [i32; 6] = [0, 95, 135, 175, 215, 255];

impl Picture {
    /// The mean colour of a part of the picture.
    fn mean(&self, x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> [u32; 3] {
        let mut sum = [0; 3];
        let mut count = 0;
        for row in y.start..y.end.max(y.start + 1) {
            for column in x.start..x.end.max(x.start + 1) {
                let Some(pixel) = self.pixels.get(row * self.width + column) else { continue };
                let rgb = [pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255];
                sum.iter_mut().zip(rgb).for_each(|(sum, value)| *sum += value);
                count += 1;
            }
        }
        sum.map(|value| value / count.max(1))
    }

    /// The picture in that many cells, each two pixels high.
    pub fn lines(&self, width: usize, height: usize, palette: &Palette) -> Vec<Line<'static>> {
        if self.width == 0 || self.height == 0 {
            return Vec::new();
        }
        let at = |column: usize, row: usize, rows: usize| {
            let x = column * self.width / width..(column + 1) * self.width / width;
            self.mean(x, row * self.height / rows..(row + 1) * self.height / rows)
        };
        let letters = palette.ascii || palette.colours <= Colours::Sixteen;
        (0..height)
            .map(|row| {
                let cell = |column| match letters {
                    true => Span::raw(weight(at(column, row, height)).to_string()),
                    false => {
                        let (upper, lower) =
                            (at(column, 2 * row, 2 * height), at(column, 2 * row + 1, 2 * height));
                        let colour = |rgb| colour(rgb, palette.colours);
                        Span::styled("▀", Style::new().fg(colour(upper)).bg(colour(lower)))
                    }
                };
                Line::from((0..width).map(cell).collect::<Vec<_>>())
            })
            .collect()
    }
}

fn colour([r, g, b]: [u32; 3], colours: Colours) -> Color {
    if colours == Colours::True {
        return Color::Rgb(r as u8, g as u8, b as u8);
    }
    let nearest = |value: u32| {
        let away = |level: &i32| (level - value as i32).abs();
        (0..6).min_by_key(|n| away(&CUBE[*n])).unwrap_or(0) as u8
    };
    Color::Indexed(16 + 36 * nearest(r) + 6 * nearest(g) + nearest(b))
}

fn weight([r, g, b]: [u32; 3]) -> char {
    // BT.709's weights, in thousandths.
    let luma = (213 * r + 715 * g + 72 * b) / 1_000;
    char::from(WEIGHTS[(luma as usize * WEIGHTS.len() / 256).min(WEIGHTS.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        // White over black at the left, red over blue at the right.
        Picture { width: 2, height: 2, pixels: vec![0xFF_FFFF, 0xFF_0000, 0, 0x00_00FF] }
    }

    #[test]
    fn a_cell_has_two_pixels() {
        let lines = picture().lines(2, 1, &Palette::COLOURED);
        let styles: Vec<_> = lines[0].spans.iter().map(|s| (s.style.fg, s.style.bg)).collect();
        let rgb = |r, g, b| Some(Color::Rgb(r, g, b));
        assert_eq!(styles, [(rgb(255, 255, 255), rgb(0, 0, 0)), (rgb(255, 0, 0), rgb(0, 0, 255))]);
        let cube = Palette { colours: Colours::Cube, ..Palette::COLOURED };
        assert_eq!(picture().lines(2, 1, &cube)[0].spans[1].style.fg, Some(Color::Indexed(196)));
    }

    #[test]
    fn without_colours_letters_weigh_the_light() {
        let lines = picture().lines(2, 2, &Palette::PLAIN);
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["@:", "  "]);
    }

    #[test]
    fn any_size_can_be_made_of_any_picture() {
        for (width, height) in [(0, 0), (1, 1), (7, 3), (200, 60)] {
            assert_eq!(picture().lines(width, height, &Palette::COLOURED).len(), height);
        }
        assert!(Picture::default().lines(4, 4, &Palette::COLOURED).is_empty());
    }
}
