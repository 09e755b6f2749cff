//! The program's working picture: planar 4:2:0, limited range, BT.709.

/// Longest side of any picture, pixels: twice 4K, so that a damaged header cannot ask for
/// gigabytes.
pub const MAX_SIDE: u32 = 8192;

/// Luma code of black in limited range (BT.709, table 4).
pub const BLACK_Y: u8 = 16;
/// Luma code of white in limited range.
pub const WHITE_Y: u8 = 235;
/// Chroma code of no colour.
pub const NEUTRAL: u8 = 128;

/// A planar 4:2:0 picture, limited range, BT.709: Y, then U, then V at half width and height
/// (rounded up), no padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct I420 {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The three planes, one behind the other.
    pub data: Vec<u8>,
}

impl Default for I420 {
    /// An empty picture, to be resized by whoever fills it.
    fn default() -> Self {
        Self { width: 0, height: 0, data: Vec::new() }
    }
}

impl I420 {
    /// A black picture.
    pub fn black(width: u32, height: u32) -> Self {
        let mut image = Self::default();
        image.resize(width, height);
        image.fill_black();
        image
    }

    /// Bytes of all planes of such a picture.
    pub fn size(width: u32, height: u32) -> usize {
        let (w, h) = (width as usize, height as usize);
        w * h + 2 * w.div_ceil(2) * h.div_ceil(2)
    }

    /// Takes another size. Keeps bytes and memory when the size stays; contents are arbitrary
    /// otherwise.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        self.data.resize(Self::size(width, height), 0);
    }

    /// Makes all of it black.
    pub fn fill_black(&mut self) {
        let (y, u, v) = self.planes_mut();
        y.fill(BLACK_Y);
        u.fill(NEUTRAL);
        v.fill(NEUTRAL);
    }

    /// Becomes a copy of another picture, without a new allocation where the size is the same.
    pub fn copy_from(&mut self, other: &I420) {
        self.width = other.width;
        self.height = other.height;
        self.data.clone_from(&other.data);
    }

    /// Width of the chroma planes.
    pub fn chroma_width(&self) -> u32 {
        self.width.div_ceil(2)
    }

    /// Height of the chroma planes.
    pub fn chroma_height(&self) -> u32 {
        self.height.div_ceil(2)
    }

    fn luma_len(&self) -> usize {
        self.width as usize * self.height as usize
    }

    fn chroma_len(&self) -> usize {
        self.chroma_width() as usize * self.chroma_height() as usize
    }

    /// Luma, `width` bytes a row.
    pub fn y(&self) -> &[u8] {
        &self.data[..self.luma_len()]
    }

    /// Blue difference, `chroma_width()` bytes a row.
    pub fn u(&self) -> &[u8] {
        &self.data[self.luma_len()..][..self.chroma_len()]
    }

    /// Red difference, `chroma_width()` bytes a row.
    pub fn v(&self) -> &[u8] {
        &self.data[self.luma_len() + self.chroma_len()..][..self.chroma_len()]
    }

    /// All three planes, to write to.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let (luma, chroma) = (self.luma_len(), self.chroma_len());
        let (y, rest) = self.data.split_at_mut(luma);
        let (u, rest) = rest.split_at_mut(chroma);
        (y, u, &mut rest[..chroma])
    }

    /// Fills a rectangle, cut off at the edges; chroma is set where a sample lies inside it.
    pub fn fill_rect(&mut self, x: u32, y: u32, width: u32, height: u32, colour: [u8; 3]) {
        let (right, bottom) =
            (x.saturating_add(width).min(self.width), y.saturating_add(height).min(self.height));
        let (w, cw) = (self.width as usize, self.chroma_width() as usize);
        let (left, top) = (x.min(right) as usize, y.min(bottom) as usize);
        let (right, bottom) = (right as usize, bottom as usize);
        let (luma, u, v) = self.planes_mut();
        for row in luma.chunks_exact_mut(w.max(1)).take(bottom).skip(top) {
            row[left..right].fill(colour[0]);
        }
        if left == right || top == bottom {
            return;
        }
        let (left, right, top, bottom) = (left / 2, right.div_ceil(2), top / 2, bottom.div_ceil(2));
        for (plane, code) in [(u, colour[1]), (v, colour[2])] {
            for row in plane.chunks_exact_mut(cw.max(1)).take(bottom).skip(top) {
                row[left..right].fill(code);
            }
        }
    }
}

/// Peak signal-to-noise ratio of two luma planes in decibels; infinite for equal ones.
/// `None` when the sizes differ.
pub fn luma_psnr(a: &I420, b: &I420) -> Option<f64> {
    if (a.width, a.height) != (b.width, b.height) || a.width == 0 || a.height == 0 {
        return None;
    }
    let sum: u64 = a.y().iter().zip(b.y()).map(|(&p, &q)| u64::from(p.abs_diff(q)).pow(2)).sum();
    let mean = sum as f64 / a.y().len() as f64;
    Some(10.0 * (255.0 * 255.0 / mean).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_odd_pictures_round_chroma_up() {
        let image = I420::black(5, 3);
        assert_eq!((image.y().len(), image.u().len(), image.v().len()), (15, 6, 6));
        assert_eq!(image.data.len(), 27);
        assert!(image.y().iter().all(|&c| c == 16) && image.u().iter().all(|&c| c == 128));
    }

    #[test]
    fn the_same_size_keeps_its_memory() {
        let mut image = I420::black(64, 48);
        let before = image.data.as_ptr();
        image.resize(64, 48);
        image.copy_from(&I420::black(64, 48));
        assert_eq!(image.data.as_ptr(), before);
    }

    #[test]
    fn rectangles_are_cut_at_the_edges() {
        let mut image = I420::black(6, 4);
        image.fill_rect(4, 2, 100, 100, [200, 1, 2]);
        image.fill_rect(100, 100, 5, 5, [9, 9, 9]);
        image.fill_rect(0, 0, 0, 9, [9, 9, 9]);
        assert_eq!(image.y().iter().filter(|&&c| c == 200).count(), 4);
        assert_eq!(image.u(), [128, 128, 128, 128, 128, 1]);
        assert_eq!(image.v()[5], 2);
    }
}
