//! A camera's colours to the recording's: codes of any matrix and range to BT.709 codes of limited
//! range, within 4:2:0 planes.
//!
//! All matrices agree on grey, so luma keeps its own value and gets a share of both colour
//! differences (H.273, equations 38 to 40, solved for one set in terms of the other); from BT.601:
//!
//! ```text
//! Y' = Y  - 0.118188 Cb - 0.212685 Cr
//! Cb'=      1.018640 Cb + 0.114618 Cr
//! Cr'=      0.075050 Cb + 1.025327 Cr
//! ```
//!
//! Written for the compiler's vectors: 16-bit fixed point for luma, which is two thirds of the
//! work. Half the time of the way by RGB, and a third of its memory. Row by row, so that a picture
//! that has to be brought into other memory anyway passes the cache once.

use super::frame::{Codes, ColorRange, Matrix};
use super::image::I420;

/// Fraction bits of luma.
const Q: u32 = 7;
/// Codes from black to white and between the ends of a colour difference (H.273).
const LUMA: f64 = 219.0;
const CHROMA: f64 = 224.0;
const BLACK: f64 = 16.0;

/// One conversion; keeps its scratch memory between pictures.
#[derive(Clone, Debug)]
pub struct Recolour {
    from: Codes,
    /// Factor of luma with 15 fraction bits.
    scale: u32,
    /// Black's new code and half a step to round, less scaled old black; with [`Q`] fraction bits.
    base: f32,
    /// Shares of both differences in luma, with [`Q`] fraction bits.
    luma: [f32; 2],
    /// Their shares in the new differences.
    cb: [f32; 2],
    cr: [f32; 2],
    offsets: Vec<i16>,
}

impl Recolour {
    /// From these codes; `None` where nothing is to be done.
    pub fn new(from: Codes) -> Option<Self> {
        if from == Codes::RECORDED {
            return None;
        }
        let (black, white, ends) = match from.range {
            ColorRange::Limited => (BLACK, LUMA, CHROMA),
            ColorRange::Full => (0.0, 255.0, 255.0),
        };
        let (kr, kb) = from.matrix.weights();
        let (to_kr, to_kb) = Matrix::Bt709.weights();
        let (kg, to_kg) = (1.0 - kr - kb, 1.0 - to_kr - to_kb);
        // R' = Y + red Cr, B' = Y + blue Cb.
        let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
        let (to_red, to_blue) = (2.0 * (1.0 - to_kr), 2.0 * (1.0 - to_kb));
        let share = [blue * (to_kb - to_kg * kb / kg), red * (to_kr - to_kg * kr / kg)];
        let fraction = f64::from(1 << Q);
        let scale = LUMA / white;
        let step = CHROMA / ends;
        Some(Self {
            from,
            scale: (scale * 32_768.0).round() as u32,
            base: ((BLACK - scale * black + 0.5) * fraction) as f32,
            luma: share.map(|s| (s * fraction * LUMA / ends) as f32),
            cb: [(blue - share[0]) / to_blue, -share[1] / to_blue].map(|s| (s * step) as f32),
            cr: [-share[0] / to_red, (red - share[1]) / to_red].map(|s| (s * step) as f32),
            offsets: Vec::new(),
        })
    }

    /// What it converts from.
    pub fn from(&self) -> Codes {
        self.from
    }

    /// Converts in place.
    pub fn in_place(&mut self, image: &mut I420) {
        self.each(image, |_, _| {});
    }

    /// Converts planes of `out`'s size, without padding, into `out`.
    pub fn planar(&mut self, [y, u, v]: [&[u8]; 3], out: &mut I420) {
        let (width, half) = (out.width as usize, out.chroma_width() as usize);
        self.each(out, |row, rows| {
            let chroma = row * half..(row + 1) * half;
            copy(y, 2 * row * width, rows.luma);
            rows.u.copy_from_slice(&u[chroma.clone()]);
            rows.v.copy_from_slice(&v[chroma]);
        });
    }

    /// The same from NV12: luma, and both differences interleaved.
    pub fn nv12(&mut self, y: &[u8], uv: &[u8], out: &mut I420) {
        let (width, half) = (out.width as usize, out.chroma_width() as usize);
        self.each(out, |row, rows| {
            copy(y, 2 * row * width, rows.luma);
            let pairs = uv[2 * row * half..].chunks_exact(2);
            for ((pair, u), v) in pairs.zip(rows.u).zip(rows.v) {
                (*u, *v) = (pair[0], pair[1]);
            }
        });
    }

    /// Two rows of luma and one of chroma at a time: `fill` brings the old codes in, then they are
    /// converted where they lie.
    fn each(&mut self, image: &mut I420, fill: impl Fn(usize, Rows<'_>)) {
        let (width, half) = (image.width as usize, image.chroma_width() as usize);
        if width == 0 {
            return;
        }
        self.offsets.resize(2 * half, 0);
        let (y, u, v) = image.planes_mut();
        let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
        for (row, (luma, (u, v))) in y.chunks_mut(2 * width).zip(chroma).enumerate() {
            fill(row, Rows { luma: &mut *luma, u: &mut *u, v: &mut *v });
            let [by_cb, by_cr] = self.luma;
            for ((pair, &u), &v) in self.offsets.chunks_exact_mut(2).zip(&*u).zip(&*v) {
                let (cb, cr) = (f32::from(u) - 128.0, f32::from(v) - 128.0);
                pair.fill((self.base + by_cb * cb + by_cr * cr) as i16);
            }
            for row in luma.chunks_mut(width) {
                luma_row(row, &self.offsets, self.scale);
            }
            for (u, v) in u.iter_mut().zip(v) {
                let (cb, cr) = (f32::from(*u) - 128.0, f32::from(*v) - 128.0);
                let code = |[b, r]: [f32; 2]| (b * cb + r * cr + 128.5).clamp(16.0, 240.0) as u8;
                (*u, *v) = (code(self.cb), code(self.cr));
            }
        }
    }
}

/// Up to two rows of luma and their row of chroma.
struct Rows<'a> {
    luma: &'a mut [u8],
    u: &'a mut [u8],
    v: &'a mut [u8],
}

fn copy(from: &[u8], at: usize, to: &mut [u8]) {
    to.copy_from_slice(&from[at..at + to.len()]);
}

fn luma_row(row: &mut [u8], offsets: &[i16], scale: u32) {
    for (code, &offset) in row.iter_mut().zip(offsets) {
        // 8 bits, scaled by up to 1, with Q fraction bits.
        let scaled = (((u32::from(*code) << 8) * scale) >> 16) as i16;
        *code = (scaled.saturating_add(offset) >> Q).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way by R'G'B', in floating point.
    fn exact(codes: Codes, y: u8, u: u8, v: u8) -> [f64; 3] {
        let (kr, kb) = codes.matrix.weights();
        let [y, u, v] = [y, u, v].map(f64::from);
        let (y, cb, cr) = match codes.range {
            ColorRange::Full => (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
            ColorRange::Limited => ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        };
        let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
    }

    fn all() -> impl Iterator<Item = Codes> {
        let matrices = [Matrix::Bt601, Matrix::Bt709, Matrix::Smpte240m, Matrix::Bt2020];
        let ranges = [ColorRange::Limited, ColorRange::Full];
        matrices.into_iter().flat_map(move |matrix| ranges.map(|range| Codes { matrix, range }))
    }

    #[test]
    fn the_recordings_own_codes_need_nothing_and_all_others_something() {
        for codes in all() {
            assert_eq!(Recolour::new(codes).is_none(), codes == Codes::RECORDED, "{codes:?}");
        }
    }

    #[test]
    fn bt601_has_the_coefficients_of_the_standards() {
        let Some(r) = Recolour::new(Codes::UVC) else { panic!("it is not the recording's") };
        let near = |got: f32, wanted: f32| assert!((got - wanted).abs() < 2e-6, "{got} {wanted}");
        let (step, q) = (219.0 / 224.0, (1 << Q) as f32);
        near(r.luma[0] / q, -0.118_188 * step);
        near(r.luma[1] / q, -0.212_685 * step);
        [(r.cb, [1.018_64, 0.114_618]), (r.cr, [0.075_05, 1.025_327])]
            .iter()
            .for_each(|(got, wanted)| (0..2).for_each(|i| near(got[i], wanted[i])));
    }

    #[test]
    fn every_colour_is_rounded_as_the_definition_has_it() {
        for codes in all() {
            let Some(mut recolour) = Recolour::new(codes) else { continue };
            for u in (0..=255u8).step_by(5) {
                for v in (0..=255u8).step_by(5) {
                    // Odd sizes, and each luma code once.
                    let mut image = I420::black(15, 17);
                    let (y, us, vs) = image.planes_mut();
                    y.iter_mut().zip(0..).for_each(|(code, n)| *code = n);
                    us.fill(u);
                    vs.fill(v);
                    recolour.in_place(&mut image);
                    // Half a code of rounding, and what fixed point adds to it.
                    let near = |got: u8, wanted: f64, least: f64, most: f64| {
                        (f64::from(got) - wanted.clamp(least, most)).abs() <= 0.53
                    };
                    for (n, &got) in image.y().iter().enumerate() {
                        let wanted = exact(codes, n as u8, u, v);
                        let told = || format!("{codes:?} {n} {u} {v}: {got}, {wanted:?}");
                        assert!(near(got, wanted[0], 0.0, 255.0), "{}", told());
                        assert!(near(image.u()[0], wanted[1], 16.0, 240.0), "{}", told());
                        assert!(near(image.v()[0], wanted[2], 16.0, 240.0), "{}", told());
                    }
                }
            }
        }
    }

    #[test]
    fn from_other_memory_it_is_the_same_as_in_place_for_odd_sizes_too() {
        for (width, height) in [(1, 1), (7, 5), (16, 4), (33, 9)] {
            let mut source = I420::black(width, height);
            source.data.iter_mut().zip(0u32..).for_each(|(code, n)| *code = (n * 37) as u8);
            let pairs = source.u().iter().zip(source.v());
            let interleaved: Vec<u8> = pairs.flat_map(|(u, v)| [*u, *v]).collect();
            for codes in all() {
                let Some(mut recolour) = Recolour::new(codes) else { continue };
                let mut wanted = source.clone();
                recolour.in_place(&mut wanted);
                let mut out = I420::black(width, height);
                recolour.planar([source.y(), source.u(), source.v()], &mut out);
                assert_eq!(out, wanted, "{width}x{height} {codes:?}");
                out.fill_black();
                recolour.nv12(source.y(), &interleaved, &mut out);
                assert_eq!(out, wanted, "{width}x{height} {codes:?}");
            }
        }
    }
}
