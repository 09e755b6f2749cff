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
//! Written for the compiler's vectors: 16-bit fixed point, whose products' upper halves every
//! processor has an instruction for. Row by row, so that a picture that has to be brought into
//! other memory anyway passes the cache once.

use super::frame::{Codes, ColorRange, Matrix};
use super::image::I420;

/// Fraction bits of luma, and of the differences, whose factors may be above 1.
const LUMA_BITS: u32 = 7;
const CHROMA_BITS: u32 = 6;
/// The products of a sum are cut off, which takes half a step of each on average.
const CUT_OFF: i16 = 1;
/// Codes from black to white and between the ends of a colour difference (H.273).
const LUMA: f64 = 219.0;
const CHROMA: f64 = 224.0;
const BLACK: f64 = 16.0;

/// One conversion; keeps its scratch memory between pictures.
#[derive(Clone, Debug)]
pub struct Recolour {
    from: Codes,
    /// Factor of luma with 15 fraction bits.
    scale: u16,
    /// Black's new code and half a step to round, less scaled old black.
    base: i16,
    /// Shares of both differences in luma, for [`mixed`].
    luma: [i16; 2],
    /// Their shares in the new differences.
    cb: [i16; 2],
    cr: [i16; 2],
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
        let scale = LUMA / white;
        let step = CHROMA / ends;
        // A difference comes with 8 fraction bits, and 16 bits of the product are cut off.
        let factor = |share: f64, bits: u32| (share * f64::from(1 << (bits + 8))).round() as i16;
        let of_chroma = |share: f64| factor(share * step, CHROMA_BITS);
        let black = (BLACK - scale * black + 0.5) * f64::from(1 << LUMA_BITS);
        Some(Self {
            from,
            scale: (scale * 32_768.0).round() as u16,
            base: black.round() as i16 + CUT_OFF,
            luma: share.map(|s| factor(s * LUMA / ends, LUMA_BITS)),
            cb: [(blue - share[0]) / to_blue, -share[1] / to_blue].map(of_chroma),
            cr: [-share[0] / to_red, (red - share[1]) / to_red].map(of_chroma),
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
            split(&uv[2 * row * half..], rows.u, rows.v);
        });
    }

    /// Converts some rows of a picture of that width in place: an even number of luma's and half as
    /// many of each chroma's.
    pub fn band(&mut self, width: usize, y: &mut [u8], u: &mut [u8], v: &mut [u8]) {
        self.rows_of(width, y, u, v, |_, _| {});
    }

    /// Two rows of luma and one of chroma at a time: `fill` brings the old codes in, then they are
    /// converted where they lie.
    fn each(&mut self, image: &mut I420, fill: impl Fn(usize, Rows<'_>)) {
        let width = image.width as usize;
        let (y, u, v) = image.planes_mut();
        self.rows_of(width, y, u, v, fill);
    }

    fn rows_of(
        &mut self,
        width: usize,
        y: &mut [u8],
        u: &mut [u8],
        v: &mut [u8],
        fill: impl Fn(usize, Rows<'_>),
    ) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.rows_avx2(width, y, u, v, fill) };
        }
        self.rows(width, y, u, v, fill);
    }

    /// With vectors of twice the width, and instructions that the oldest processors lack: a quarter
    /// of the time.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn rows_avx2(
        &mut self,
        width: usize,
        y: &mut [u8],
        u: &mut [u8],
        v: &mut [u8],
        fill: impl Fn(usize, Rows<'_>),
    ) {
        self.rows(width, y, u, v, fill);
    }

    #[inline(always)]
    fn rows(
        &mut self,
        width: usize,
        y: &mut [u8],
        u: &mut [u8],
        v: &mut [u8],
        fill: impl Fn(usize, Rows<'_>),
    ) {
        let half = width.div_ceil(2);
        if width == 0 {
            return;
        }
        self.offsets.resize(2 * half, 0);
        let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
        for (row, (luma, (u, v))) in y.chunks_mut(2 * width).zip(chroma).enumerate() {
            fill(row, Rows { luma: &mut *luma, u: &mut *u, v: &mut *v });
            let (base, by) = (self.base, self.luma);
            let pairs = self.offsets.as_chunks_mut::<2>().0;
            for ((pair, &u), &v) in pairs.iter_mut().zip(&*u).zip(&*v) {
                *pair = [base + mixed(u, v, by); 2];
            }
            for row in luma.chunks_mut(width) {
                luma_row(row, &self.offsets, self.scale);
            }
            chroma_row(u, v, self.cb, self.cr);
        }
    }
}

/// Both differences, each times its factor, cut off.
#[inline(always)]
fn mixed(u: u8, v: u8, [by_u, by_v]: [i16; 2]) -> i16 {
    // From offset binary to a number of 8 fraction bits.
    let wide = |code: u8| (i16::from(code) - 128) << 8;
    let upper = |a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16;
    upper(wide(u), by_u) + upper(wide(v), by_v)
}

#[inline(always)]
fn chroma_row(u: &mut [u8], v: &mut [u8], cb: [i16; 2], cr: [i16; 2]) {
    // The middle, half a step to round.
    const BASE: i16 = (128 << CHROMA_BITS) + (1 << (CHROMA_BITS - 1)) + CUT_OFF;
    for (u, v) in u.iter_mut().zip(v) {
        let code = |by| ((BASE + mixed(*u, *v, by)) >> CHROMA_BITS).clamp(16, 240) as u8;
        (*u, *v) = (code(cb), code(cr));
    }
}

/// Up to two rows of luma and their row of chroma.
struct Rows<'a> {
    luma: &'a mut [u8],
    u: &'a mut [u8],
    v: &'a mut [u8],
}

/// Takes interleaved pairs apart.
#[inline(always)]
pub fn split(pairs: &[u8], u: &mut [u8], v: &mut [u8]) {
    // As one number each: a load, a mask and a shift for eight of them.
    for ((pair, u), v) in pairs.as_chunks::<2>().0.iter().zip(u).zip(v) {
        let [low, high] = [u16::from_le_bytes(*pair) & 0xFF, u16::from_le_bytes(*pair) >> 8];
        (*u, *v) = (low as u8, high as u8);
    }
}

fn copy(from: &[u8], at: usize, to: &mut [u8]) {
    to.copy_from_slice(&from[at..at + to.len()]);
}

#[inline(always)]
fn luma_row(row: &mut [u8], offsets: &[i16], scale: u16) {
    for (code, &offset) in row.iter_mut().zip(offsets) {
        // 8 bits, scaled by up to 1, with their fraction.
        let scaled = ((u32::from(u16::from(*code) << 8) * u32::from(scale)) >> 16) as i16;
        *code = (scaled.saturating_add(offset) >> LUMA_BITS).clamp(0, 255) as u8;
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
        let near = |got: i16, wanted: f64, bits: u32| {
            let got = f64::from(got) / f64::from(1 << (bits + 8));
            assert!((got - wanted).abs() < 4e-5, "{got} {wanted}");
        };
        near(r.luma[0], -0.118_188 * 219.0 / 224.0, LUMA_BITS);
        near(r.luma[1], -0.212_685 * 219.0 / 224.0, LUMA_BITS);
        for (got, wanted) in [(r.cb, [1.018_64, 0.114_618]), (r.cr, [0.075_05, 1.025_327])] {
            (0..2).for_each(|i| near(got[i], wanted[i], CHROMA_BITS));
        }
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
                        (f64::from(got) - wanted.clamp(least, most)).abs() <= 0.55
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
