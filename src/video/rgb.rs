//! R'G'B' to and from the recording's codes (BT.709, limited range), and packed 4:2:2 to planes.
//!
//! Integers with 16 fraction bits, rounded; every colour comes within one code of the definition
//! (H.273, equations 38 to 44). Chroma of 4:2:0 is the mean of its two or four pixels. Written for
//! the compiler's vectors, row by row.

use super::frame::Matrix;
use super::image::I420;

/// Fraction bits of all factors.
const BITS: u32 = 16;
const HALF: i32 = 1 << (BITS - 1);

const KR: f64 = Matrix::Bt709.weights().0;
const KB: f64 = Matrix::Bt709.weights().1;
const KG: f64 = 1.0 - KR - KB;
/// Codes from black to white and between the ends of a colour difference, of 255.
const LUMA: f64 = 219.0 / 255.0;
const CHROMA: f64 = 224.0 / 255.0;

const fn fixed(factor: f64) -> i32 {
    let scaled = factor * (1 << BITS) as f64;
    if scaled < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 }
}

/// Luma's shares of R', G' and B'.
const TO_Y: [i32; 3] = [fixed(KR * LUMA), fixed(KG * LUMA), fixed(KB * LUMA)];
/// The blue difference's shares; that of blue itself makes the sum nothing for any grey.
const TO_CB: [i32; 3] = {
    let share = CHROMA / (2.0 * (1.0 - KB));
    let (red, green) = (fixed(-KR * share), fixed(-KG * share));
    [red, green, -red - green]
};
const TO_CR: [i32; 3] = {
    let share = CHROMA / (2.0 * (1.0 - KR));
    let (green, blue) = (fixed(-KG * share), fixed(-KB * share));
    [-green - blue, green, blue]
};

/// The way back: luma's factor, and what the differences add.
const FROM_Y: i32 = fixed(1.0 / LUMA);
const RED_OF_CR: i32 = fixed(2.0 * (1.0 - KR) / CHROMA);
const BLUE_OF_CB: i32 = fixed(2.0 * (1.0 - KB) / CHROMA);
const GREEN_OF_CB: i32 = fixed(2.0 * (1.0 - KB) * KB / KG / CHROMA);
const GREEN_OF_CR: i32 = fixed(2.0 * (1.0 - KR) * KR / KG / CHROMA);

/// Pixels of `BYTES` bytes, blue first, then green and red (and something else), row by row without
/// padding, to a picture of `out`'s size.
pub fn from_bgr<const BYTES: usize>(pixels: &[u8], out: &mut I420) {
    let (width, half) = (out.width as usize, out.chroma_width() as usize);
    if width == 0 {
        return;
    }
    let (y, u, v) = out.planes_mut();
    let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    let rows = pixels.chunks(2 * width * BYTES).zip(y.chunks_mut(2 * width));
    for ((pixels, luma), (u, v)) in rows.zip(chroma) {
        let (pixels, _) = pixels.as_chunks::<BYTES>();
        for (code, pixel) in luma.iter_mut().zip(pixels) {
            let [b, g, r] = wide(pixel);
            *code = (((TO_Y[0] * r + TO_Y[1] * g + TO_Y[2] * b + HALF) >> BITS) + 16) as u8;
        }
        let (above, below) = pixels.split_at(width);
        let below = if below.is_empty() { above } else { below };
        for (n, (u, v)) in u.iter_mut().zip(v).enumerate() {
            // A last single column counts twice.
            let (left, right) = (2 * n, (2 * n + 1).min(width - 1));
            let four = [above[left], above[right], below[left], below[right]].map(|p| wide(&p));
            let [b, g, r] = [0, 1, 2].map(|c| four.iter().map(|pixel| pixel[c]).sum::<i32>());
            let difference = |by: [i32; 3]| {
                (((by[0] * r + by[1] * g + by[2] * b + 4 * HALF) >> (BITS + 2)) + 128) as u8
            };
            (*u, *v) = (difference(TO_CB), difference(TO_CR));
        }
    }
}

fn wide<const BYTES: usize>(pixel: &[u8; BYTES]) -> [i32; 3] {
    [0, 1, 2].map(|c| i32::from(pixel[c]))
}

/// One row of a picture, its chroma at half width, to pixels of 0x00RRGGBB.
pub fn row_to_0rgb(luma: &[u8], u: &[u8], v: &[u8], out: &mut [u32]) {
    let chroma = u.iter().zip(v).map(|(u, v)| {
        let (u, v) = (i32::from(*u) - 128, i32::from(*v) - 128);
        [RED_OF_CR * v, -GREEN_OF_CB * u - GREEN_OF_CR * v, BLUE_OF_CB * u]
    });
    for ((luma, out), add) in luma.chunks(2).zip(out.chunks_mut(2)).zip(chroma) {
        for (luma, out) in luma.iter().zip(out) {
            let grey = FROM_Y * (i32::from(*luma) - 16) + HALF;
            let [r, g, b] = add.map(|add| ((grey + add) >> BITS).clamp(0, 255) as u32);
            *out = r << 16 | g << 8 | b;
        }
    }
}

/// Packed 4:2:2 (luma, blue, luma, red; an even width) to a picture of `out`'s size: of each two
/// rows of chroma the mean. No code is changed.
pub fn from_yuyv(pixels: &[u8], out: &mut I420) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { from_yuyv_avx2(pixels, out) };
    }
    yuyv_rows(pixels, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn from_yuyv_avx2(pixels: &[u8], out: &mut I420) {
    yuyv_rows(pixels, out);
}

#[inline(always)]
fn yuyv_rows(pixels: &[u8], out: &mut I420) {
    let (width, half) = (out.width as usize, out.chroma_width() as usize);
    if width == 0 {
        return;
    }
    let (y, u, v) = out.planes_mut();
    let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    let rows = pixels.chunks(4 * width).zip(y.chunks_mut(2 * width));
    for ((pixels, luma), (u, v)) in rows.zip(chroma) {
        // As one number each: a load, a mask and a shift for many of them.
        for (pair, code) in pixels.as_chunks::<2>().0.iter().zip(luma) {
            *code = (u16::from_le_bytes(*pair) & 0xFF) as u8;
        }
        let (above, below) = pixels.split_at(2 * width);
        let below = if below.is_empty() { above } else { below };
        let quads = above.as_chunks::<4>().0.iter().zip(below.as_chunks::<4>().0);
        for ((above, below), (u, v)) in quads.zip(u.iter_mut().zip(v)) {
            let [above, below] = [above, below].map(|quad| u32::from_le_bytes(*quad));
            let mean =
                |shift: u32| (((above >> shift & 0xFF) + (below >> shift & 0xFF) + 1) >> 1) as u8;
            (*u, *v) = (mean(8), mean(24));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in floating point.
    fn exact([r, g, b]: [u8; 3]) -> [f64; 3] {
        let [r, g, b] = [r, g, b].map(|c| f64::from(c) / 255.0);
        let y = KR * r + KG * g + KB * b;
        [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
    }

    fn steps() -> impl Iterator<Item = [u8; 3]> {
        let codes = || (0..=255u8).step_by(15);
        codes().flat_map(move |r| codes().flat_map(move |g| codes().map(move |b| [r, g, b])))
    }

    #[test]
    fn every_colour_is_what_the_definition_has_and_comes_back() {
        for rgb in steps() {
            let bgr: Vec<u8> = std::iter::repeat_n([rgb[2], rgb[1], rgb[0]], 9).flatten().collect();
            let mut image = I420::black(3, 3);
            from_bgr::<3>(&bgr, &mut image);
            let wanted = exact(rgb);
            let got = [image.y()[8], image.u()[3], image.v()[3]];
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((f64::from(*got) - wanted).abs() <= 0.51, "{rgb:?}: {got} {wanted}");
            }
            let mut row = [0; 3];
            row_to_0rgb(&image.y()[6..], &image.u()[2..], &image.v()[2..], &mut row);
            // A code is up to 2.1 codes of blue: half of one is lost each way.
            for (shift, wanted) in [(16, rgb[0]), (8, rgb[1]), (0, rgb[2])] {
                let got = (row[2] >> shift & 0xFF) as u8;
                assert!(got.abs_diff(wanted) <= 2, "{rgb:?}: {:06x}", row[2]);
            }
        }
    }

    #[test]
    fn any_codes_give_a_pixel_and_no_overflow() {
        for [y, u, v] in steps() {
            let mut pixel = [u32::MAX];
            row_to_0rgb(&[y], &[u], &[v], &mut pixel);
            assert!(pixel[0] <= 0x00FF_FFFF);
        }
    }

    #[test]
    fn a_fourth_byte_and_odd_sizes_change_nothing() {
        for (width, height) in [(1u32, 1u32), (2, 2), (5, 3), (4, 7)] {
            let count = width * height;
            let pixel = |n: u32| [n * 37, n * 91 + 5, n * 17 + 99].map(|c| c as u8);
            let three: Vec<u8> = (0..count).flat_map(pixel).collect();
            let four: Vec<u8> = (0..count)
                .flat_map(|n| {
                    let [b, g, r] = pixel(n);
                    [b, g, r, 0xAA]
                })
                .collect();
            let (mut a, mut b) = (I420::black(width, height), I420::black(width, height));
            from_bgr::<3>(&three, &mut a);
            from_bgr::<4>(&four, &mut b);
            assert_eq!(a, b);
            // The mean of four colours is the colour of their mean.
            let near = |x: u32, y: u32| pixel(y.min(height - 1) * width + x.min(width - 1));
            let four = [near(0, 0), near(1, 0), near(0, 1), near(1, 1)];
            let [_, u, v] = four
                .map(|[b, g, r]| exact([r, g, b]))
                .iter()
                .fold([0.0; 3], |a, b| [0, 1, 2].map(|c| a[c] + b[c] / 4.0));
            assert!((f64::from(a.u()[0]) - u).abs() <= 0.51, "{} {u}", a.u()[0]);
            assert!((f64::from(a.v()[0]) - v).abs() <= 0.51, "{} {v}", a.v()[0]);
        }
    }

    #[test]
    fn packed_codes_are_taken_apart_unchanged() {
        for (width, height) in [(2u32, 1u32), (6, 3), (34, 4)] {
            let row = width as usize * 2;
            let packed: Vec<u8> =
                (0..row * height as usize).map(|n| (n * 89 % 251) as u8).collect();
            let mut image = I420::black(width, height);
            from_yuyv(&packed, &mut image);
            assert!(image.y().iter().eq(packed.iter().step_by(2)));
            for (at, code) in [(1, image.u()), (3, image.v())] {
                for (n, &got) in code.iter().enumerate() {
                    let half = width as usize / 2;
                    let (x, y) = (n % half, n / half);
                    let of =
                        |y: usize| u16::from(packed[y.min(height as usize - 1) * row + 4 * x + at]);
                    assert_eq!(u16::from(got), (of(2 * y) + of(2 * y + 1)).div_ceil(2));
                }
            }
        }
    }
}
