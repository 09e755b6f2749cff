//! From the working picture to a window's pixels: 32 bits, 0RGB, full range.

use super::image::I420;
use super::rgb;
use super::scale::{Rect, Scaler, fit_rect};

/// Pixels of a window or a part of one: 0x00RRGGBB, row by row.
pub struct Canvas<'a> {
    /// `width * height` pixels.
    pub pixels: &'a mut [u32],
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Canvas<'_> {
    /// Fills a rectangle, cut off at the edges.
    pub fn fill(&mut self, rect: Rect, colour: u32) {
        let right = rect.x.saturating_add(rect.width).min(self.width) as usize;
        let bottom = rect.y.saturating_add(rect.height).min(self.height) as usize;
        let left = (rect.x as usize).min(right);
        let width = (self.width as usize).max(1);
        for row in self.pixels.chunks_exact_mut(width).take(bottom).skip(rect.y as usize) {
            row[left..right].fill(colour);
        }
    }
}

/// Paints pictures into canvases; keeps its buffers between them.
#[derive(Default)]
pub struct Painter {
    scaler: Scaler,
    scaled: I420,
    row: Vec<u32>,
}

impl Painter {
    /// A painter with nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Paints a picture into `target` as large as its aspect allows, black around it; `mirror`
    /// swaps left and right, as one expects of one's own picture. Gives where it landed. A target
    /// that is not inside the canvas, or empty, is left alone.
    pub fn paint(
        &mut self,
        image: &I420,
        canvas: &mut Canvas<'_>,
        target: Rect,
        mirror: bool,
    ) -> Rect {
        let fits = |from: u32, size: u32, limit: u32| {
            from.checked_add(size).is_some_and(|end| end <= limit)
        };
        let inside = fits(target.x, target.width, canvas.width)
            && fits(target.y, target.height, canvas.height);
        // Chroma needs two pixels; what is smaller cannot be seen anyway.
        let even = (target.width & !1, target.height & !1);
        let place = fit_rect((image.width, image.height), even);
        if !inside || place.width == 0 || canvas.pixels.len() < pixels(canvas.width, canvas.height)
        {
            return Rect::default();
        }
        canvas.fill(target, 0);
        self.scaler.stretch(image, place.width, place.height, &mut self.scaled);
        let landed = Rect {
            x: target.x + place.x,
            y: target.y + place.y,
            width: place.width,
            height: place.height,
        };
        let (width, half) = (place.width as usize, self.scaled.chroma_width() as usize);
        self.row.resize(width, 0);
        let rows = canvas.pixels.chunks_exact_mut(canvas.width as usize).skip(landed.y as usize);
        for (n, (row, luma)) in rows.zip(self.scaled.y().chunks_exact(width)).enumerate() {
            let row = &mut row[landed.x as usize..][..width];
            let [u, v] =
                [self.scaled.u(), self.scaled.v()].map(|plane| &plane[n / 2 * half..][..half]);
            if mirror {
                rgb::row_to_0rgb(luma, u, v, &mut self.row);
                row.iter_mut().rev().zip(&self.row).for_each(|(to, pixel)| *to = *pixel);
            } else {
                rgb::row_to_0rgb(luma, u, v, row);
            }
        }
        landed
    }
}

fn pixels(width: u32, height: u32) -> usize {
    width as usize * height as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [63, 102, 240];

    #[test]
    fn colours_arrive_and_the_own_picture_is_mirrored() {
        let mut image = I420::black(32, 18);
        image.fill_rect(0, 0, 16, 18, RED);
        for mirror in [false, true] {
            let mut pixels = vec![0xABCDEF; 64 * 40];
            let mut canvas = Canvas { pixels: &mut pixels, width: 64, height: 40 };
            let target = Rect { x: 0, y: 0, width: 64, height: 36 };
            let landed = Painter::new().paint(&image, &mut canvas, target, mirror);
            assert_eq!(landed, target);
            let (left, right) = (pixels[64 * 18 + 8], pixels[64 * 18 + 56]);
            let (red, black) = if mirror { (right, left) } else { (left, right) };
            assert!(red >> 16 >= 252 && red & 0xFFFF <= 0x0303, "{red:06x}");
            assert!(black <= 0x0003_0303, "{black:06x}");
            assert!(pixels[64 * 36..].iter().all(|&p| p == 0xABCDEF), "outside the target");
        }
    }

    #[test]
    fn a_target_outside_of_the_canvas_is_left_alone() {
        let mut pixels = vec![7; 100];
        for target in [
            Rect { x: 0, y: 0, width: 20, height: 5 },
            Rect { x: u32::MAX, y: 0, width: 2, height: 2 },
            Rect { x: 0, y: 0, width: 1, height: 0 },
        ] {
            let mut canvas = Canvas { pixels: &mut pixels, width: 10, height: 10 };
            Painter::new().paint(&I420::black(8, 8), &mut canvas, target, false);
        }
        assert!(pixels.iter().all(|&p| p == 7));
    }
}
