//! Pictures larger than the recording's come down where they are copied anyway: out of the driver's
//! memory.
//!
//! By a half or by three quarters, which is what 2160p and 1440p need: each pixel is the mean of
//! what it covers (a box filter), and the planes are I420's then. That costs little more than
//! reading them; all that follows, conversion and queues too, has a quarter or half as much to do.
//! Other sizes are left to [`super::scale`].

#[cfg(target_arch = "x86_64")]
mod vectors;

use super::frame::{Frame, PixelFormat};
use super::recolour::split;
use super::scale::down_to;

/// How much smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ratio {
    /// One pixel of 2 x 2.
    Half,
    /// Three pixels of four, both ways.
    ThreeQuarters,
}

impl Ratio {
    /// The one to use for a picture of this size that will be scaled into `largest`; `None` where
    /// it fits already, where its layout is not reduced here, and where neither leaves whole
    /// pixels or enough of them.
    pub fn of(
        format: PixelFormat,
        (width, height): (u32, u32),
        largest: (u32, u32),
    ) -> Option<Self> {
        let (to_width, to_height) = down_to(width, height, largest.0, largest.1);
        if matches!(format, PixelFormat::Mjpeg | PixelFormat::Bgr24) || to_width == width {
            return None;
        }
        [(Self::Half, 4), (Self::ThreeQuarters, 8)].into_iter().find_map(|(ratio, whole)| {
            let (w, h) = ratio.size((width, height));
            let enough = w >= to_width && h >= to_height;
            (enough && width % whole == 0 && height % whole == 0).then_some(ratio)
        })
    }

    /// The size that comes of it.
    pub fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        match self {
            Self::Half => (width / 2, height / 2),
            Self::ThreeQuarters => (width / 4 * 3, height / 4 * 3),
        }
    }

    /// The picture as I420, without what stood between its rows (`stride` bytes apart in its first
    /// plane; planes of chroma in proportion); `None` when it is cut short. Its size is one that
    /// [`Ratio::of`] was asked for.
    pub fn apply(
        self,
        format: PixelFormat,
        size: (u32, u32),
        stride: u32,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let small = self.size(size);
        let mut out = vec![0; Frame::raw_size(PixelFormat::I420, small.0, small.1)];
        let (width, height, stride) = (size.0 as usize, size.1 as usize, stride as usize);
        let (luma, chroma) = out.split_at_mut((small.0 * small.1) as usize);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        let rows = |at: usize, count, row: usize, stride: usize| {
            Some(Rows { bytes: bytes.get(at..)?, count, row, stride: stride.max(row) })
        };
        let full = stride.max(width) * height;
        match format {
            PixelFormat::I420 => {
                self.plane(rows(0, height, width, stride)?, luma)?;
                let half = (stride / 2).max(width / 2) * (height / 2);
                self.plane(rows(full, height / 2, width / 2, stride / 2)?, u)?;
                self.plane(rows(full + half, height / 2, width / 2, stride / 2)?, v)?;
            }
            PixelFormat::Nv12 => {
                self.plane(rows(0, height, width, stride)?, luma)?;
                self.pairs(rows(full, height / 2, width, stride)?, u, v)?;
            }
            PixelFormat::Yuyv => {
                self.packed(rows(0, height, 2 * width, stride)?, luma, u, v)?;
            }
            PixelFormat::Mjpeg | PixelFormat::Bgr24 => return None,
        }
        Some(out)
    }

    /// One plane into one without padding; `None` when it is cut short.
    pub fn plane(self, rows: Rows<'_>, out: &mut [u8]) -> Option<()> {
        let (group, small) = (self.group(), self.small(rows.row));
        let mut kernel = Kernel::default();
        for (n, out) in out.chunks_exact_mut(small * self.small(group)).enumerate() {
            let mut lines = [&[][..]; 4];
            for (i, line) in lines[..group].iter_mut().enumerate() {
                *line = rows.line(n * group + i)?;
            }
            kernel.group(self, lines, out);
        }
        Some(())
    }

    /// One plane of U V U V into two.
    fn pairs(self, rows: Rows<'_>, u: &mut [u8], v: &mut [u8]) -> Option<()> {
        let (group, half) = (self.group(), rows.row / 2);
        let mut kernel = Kernel::default();
        let mut apart = [(); 4].map(|()| (vec![0; half], vec![0; half]));
        let size = self.small(half) * self.small(group);
        let outs = u.chunks_exact_mut(size).zip(v.chunks_exact_mut(size));
        for (n, (u, v)) in outs.enumerate() {
            for (i, (to_u, to_v)) in apart[..group].iter_mut().enumerate() {
                split(rows.line(n * group + i)?, to_u, to_v);
            }
            kernel.group(self, apart.each_ref().map(|(u, _)| &u[..]), u);
            kernel.group(self, apart.each_ref().map(|(_, v)| &v[..]), v);
        }
        Some(())
    }

    /// Y U Y V into three planes; each two rows of chroma become one first.
    fn packed(self, rows: Rows<'_>, y: &mut [u8], u: &mut [u8], v: &mut [u8]) -> Option<()> {
        let (group, width) = (self.group(), rows.row / 2);
        let mut kernel = Kernel::default();
        let mut lumas = [(); 8].map(|()| vec![0; width]);
        let mut chromas = [(); 8].map(|()| vec![0; width]);
        let mut means = [(); 4].map(|()| (vec![0; width / 2], vec![0; width / 2]));
        let size = self.small(width) * self.small(group);
        let outs = y.chunks_mut(2 * size);
        let outs = outs.zip(u.chunks_exact_mut(size / 2).zip(v.chunks_exact_mut(size / 2)));
        for (n, (y, (u, v))) in outs.enumerate() {
            for i in 0..2 * group {
                split(rows.line(n * 2 * group + i)?, &mut lumas[i], &mut chromas[i]);
            }
            for (lumas, y) in lumas.chunks(group).zip(y.chunks_exact_mut(size)) {
                let mut lines = [&[][..]; 4];
                for (line, luma) in lines.iter_mut().zip(lumas) {
                    *line = luma;
                }
                kernel.group(self, lines, y);
            }
            for (pair, (u, v)) in chromas.chunks_mut(2).zip(&mut means[..group]) {
                let [above, below] = pair else { unreachable!("chunks of eight by two") };
                for (a, b) in above.iter_mut().zip(below) {
                    *a = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
                }
                split(above, u, v);
            }
            kernel.group(self, means.each_ref().map(|(u, _)| &u[..]), u);
            kernel.group(self, means.each_ref().map(|(_, v)| &v[..]), v);
        }
        Some(())
    }

    /// So many become ...
    fn group(self) -> usize {
        match self {
            Self::Half => 2,
            Self::ThreeQuarters => 4,
        }
    }

    /// ... so many.
    fn small(self, n: usize) -> usize {
        match self {
            Self::Half => n / 2,
            Self::ThreeQuarters => n / 4 * 3,
        }
    }
}

/// A plane in memory.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// From its first row on.
    pub bytes: &'a [u8],
    /// Number of rows, whole groups of the ratio.
    pub count: usize,
    /// Bytes of each, whole groups too.
    pub row: usize,
    /// Bytes from one to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    fn line(&self, n: usize) -> Option<&'a [u8]> {
        self.bytes.get(n * self.stride..n * self.stride + self.row)
    }
}

/// Of four rows, the two that each of three new ones lies in, with their weights.
const DOWN: [[(usize, u32); 2]; 3] = [[(0, 3), (1, 1)], [(1, 2), (2, 2)], [(2, 1), (3, 3)]];

/// Brings groups of rows down. Works on words of two or four samples, which the compiler turns into
/// vectors; sample by sample it does not.
#[derive(Default)]
struct Kernel {
    /// Of each row, its groups of four samples come down to three, times 4.
    thirds: [[Vec<u16>; 3]; 4],
    /// Three samples each.
    words: Vec<u32>,
}

impl Kernel {
    #[inline(always)]
    fn group(&mut self, ratio: Ratio, lines: [&[u8]; 4], out: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.group_avx2(ratio, lines, out) };
        }
        self.group_of_any(ratio, lines, out);
    }

    /// Whole vectors, and the few samples that are left at the end.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn group_avx2(&mut self, ratio: Ratio, lines: [&[u8]; 4], out: &mut [u8]) {
        match ratio {
            Ratio::Half => {
                let done = vectors::half(lines[0], lines[1], out);
                half(&lines[0][2 * done..], &lines[1][2 * done..], &mut out[done..]);
            }
            Ratio::ThreeQuarters => {
                let row = lines[0].len() / 4 * 3;
                let (first, others) = out.split_at_mut(row);
                let (second, third) = others.split_at_mut(row);
                let done = vectors::three_quarters(lines, [first, second, third]);
                let left = row - done / 4 * 3;
                if left > 0 {
                    let mut end = [0; 3 * 12];
                    let end = &mut end[..3 * left];
                    self.group_of_any(ratio, lines.map(|line| &line[done..]), end);
                    for (out, end) in out.chunks_exact_mut(row).zip(end.chunks_exact(left)) {
                        out[row - left..].copy_from_slice(end);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn group_of_any(&mut self, ratio: Ratio, lines: [&[u8]; 4], out: &mut [u8]) {
        match ratio {
            Ratio::Half => half(lines[0], lines[1], out),
            Ratio::ThreeQuarters => {
                for (line, thirds) in lines.iter().zip(&mut self.thirds) {
                    across(line, thirds);
                }
                for (out, weights) in out.chunks_exact_mut(lines[0].len() / 4 * 3).zip(DOWN) {
                    self.down(weights, out);
                }
            }
        }
    }

    #[inline(always)]
    fn down(&mut self, [(above, a), (below, b)]: [(usize, u32); 2], out: &mut [u8]) {
        let ([p, q, r], [s, t, w]) = (&self.thirds[above], &self.thirds[below]);
        let sums = p.iter().zip(q).zip(r).zip(s.iter().zip(t).zip(w));
        let mean = |m: u16, n: u16| (u32::from(m) * a + u32::from(n) * b + 8) >> 4;
        self.words.clear();
        self.words.extend(sums.map(|(((p, q), r), ((s, t), w))| {
            mean(*p, *s) | mean(*q, *t) << 8 | mean(*r, *w) << 16
        }));
        for (out, word) in out.as_chunks_mut::<3>().0.iter_mut().zip(&self.words) {
            let [a, b, c, _] = word.to_le_bytes();
            *out = [a, b, c];
        }
    }
}

/// Two rows to one.
#[inline(always)]
fn half(above: &[u8], below: &[u8], out: &mut [u8]) {
    let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (out, (a, b)) in out.iter_mut().zip(pairs) {
        let (a, b) = (u16::from_le_bytes(*a), u16::from_le_bytes(*b));
        *out = (((a & 0xFF) + (a >> 8) + (b & 0xFF) + (b >> 8) + 2) >> 2) as u8;
    }
}

/// Each four samples to three, times 4, by how much of each of the four they cover.
#[inline(always)]
fn across(row: &[u8], [first, second, third]: &mut [Vec<u16>; 3]) {
    for third in [&mut *first, second, third] {
        third.resize(row.len() / 4, 0);
    }
    let thirds = first.iter_mut().zip(second).zip(third);
    for (((first, second), third), four) in thirds.zip(row.as_chunks::<4>().0) {
        let word = u32::from_le_bytes(*four);
        let [a, b, c, d] = [word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFF, word >> 24];
        *first = (3 * a + b) as u16;
        *second = (2 * b + 2 * c) as u16;
        *third = (c + 3 * d) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::scale::LARGEST;
    use proptest::prelude::*;

    #[test]
    fn uhd_is_halved_and_qhd_comes_down_by_a_quarter() {
        let of = |width, height| Ratio::of(PixelFormat::Nv12, (width, height), LARGEST);
        assert_eq!(of(3840, 2160), Some(Ratio::Half));
        assert_eq!(of(4096, 2160), Some(Ratio::Half));
        assert_eq!(of(3264, 2448), Some(Ratio::Half));
        assert_eq!(of(2560, 1440), Some(Ratio::ThreeQuarters));
        assert_eq!(of(1920, 1440), Some(Ratio::ThreeQuarters));
        // Nothing to do, and what would have to be scaled up again.
        assert_eq!(of(1920, 1080), None);
        assert_eq!(of(1920, 1200), None);
        assert_eq!(of(2592, 1944), Some(Ratio::ThreeQuarters));
        assert_eq!(of(2564, 1444), None);
        assert_eq!(Ratio::of(PixelFormat::Mjpeg, (3840, 2160), LARGEST), None);
    }

    /// By the definition: how much of each sample the new one covers, in both directions.
    fn exact(rows: &[Vec<f64>], ratio: f64) -> Vec<Vec<f64>> {
        let line = |samples: &[f64]| -> Vec<f64> {
            (0..(samples.len() as f64 / ratio) as usize)
                .map(|n| {
                    let (from, to) = (n as f64 * ratio, (n + 1) as f64 * ratio);
                    let cover = |i: usize| (to.min(i as f64 + 1.0) - from.max(i as f64)).max(0.0);
                    samples.iter().enumerate().map(|(i, s)| s * cover(i)).sum::<f64>() / ratio
                })
                .collect()
        };
        let across: Vec<Vec<f64>> = rows.iter().map(|row| line(row)).collect();
        let columns: Vec<Vec<f64>> = (0..across[0].len())
            .map(|x| line(&across.iter().map(|row| row[x]).collect::<Vec<_>>()))
            .collect();
        (0..columns[0].len()).map(|y| columns.iter().map(|c| c[y]).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn each_pixel_is_the_mean_of_what_it_covers(
            (w, h, padding) in (1usize..20, 1usize..5, 0usize..3),
            half: bool,
            format in prop::sample::select(vec![PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv]),
            seed: u64,
        ) {
            let (width, height) = (8 * w, 8 * h);
            let (ratio, by) =
                if half { (Ratio::Half, 2.0) } else { (Ratio::ThreeQuarters, 4.0 / 3.0) };
            let wide = if format == PixelFormat::Yuyv { 2 * width } else { width };
            let stride = wide + 4 * padding;
            let planes: Vec<(usize, usize, usize)> = match format {
                PixelFormat::I420 => vec![
                    (height, wide, stride),
                    (height / 2, wide / 2, stride / 2),
                    (height / 2, wide / 2, stride / 2),
                ],
                PixelFormat::Nv12 => vec![(height, wide, stride), (height / 2, wide, stride)],
                _ => vec![(height, wide, stride)],
            };
            let mut state = seed | 1;
            let bytes: Vec<u8> = (0..planes.iter().map(|(rows, _, stride)| rows * stride).sum())
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let size = (width as u32, height as u32);
            let got = ratio.apply(format, size, stride as u32, &bytes).expect("whole");
            let small = ratio.size(size);
            let (small_width, small_height) = (small.0 as usize, small.1 as usize);
            let luma = small_width * small_height;
            prop_assert_eq!(got.len(), luma * 3 / 2);
            let outs = [(0, small_width), (luma, small_width / 2), (luma * 5 / 4, small_width / 2)];
            for (kind, (to, small_row)) in outs.into_iter().enumerate() {
                // Where the samples of that kind are: plane, first byte, distance in a row.
                let (plane, first, step) = match (format, kind) {
                    (PixelFormat::I420, _) => (kind, 0, 1),
                    (PixelFormat::Nv12, 0) => (0, 0, 1),
                    (PixelFormat::Nv12, _) => (1, kind - 1, 2),
                    (_, 0) => (0, 0, 2),
                    _ => (0, 2 * kind - 1, 4),
                };
                let from: usize = planes[..plane].iter().map(|(rows, _, s)| rows * s).sum();
                let (rows, row, stride) = planes[plane];
                let samples = |n: usize| -> Vec<f64> {
                    let row = &bytes[from + n * stride..][..row];
                    row.iter().skip(first).step_by(step).map(|b| f64::from(*b)).collect()
                };
                let mut lines: Vec<Vec<f64>> = (0..rows).map(samples).collect();
                let packed_chroma = format == PixelFormat::Yuyv && kind > 0;
                if packed_chroma {
                    let mean = |(a, b): (&f64, &f64)| (a + b) / 2.0;
                    let pairs = lines.chunks(2);
                    lines = pairs.map(|p| p[0].iter().zip(&p[1]).map(mean).collect()).collect();
                }
                let most = if packed_chroma { 1.0 } else { 0.5 };
                for (y, wanted) in exact(&lines, by).iter().enumerate() {
                    let row = &got[to + y * small_row..][..small_row];
                    prop_assert_eq!(row.len(), wanted.len());
                    for (code, wanted) in row.iter().zip(wanted) {
                        prop_assert!((f64::from(*code) - wanted).abs() <= most + 1e-9);
                    }
                }
            }
            // The padding of the last row may be missing, a byte of its picture may not.
            let whole = bytes.len() - (if format == PixelFormat::I420 { 2 } else { 4 }) * padding;
            prop_assert!(ratio.apply(format, size, stride as u32, &bytes[..whole]).is_some());
            prop_assert!(ratio.apply(format, size, stride as u32, &bytes[..whole - 1]).is_none());
        }
    }
}
