//! Pictures larger than the recording's come down where they are copied anyway: out of the driver's
//! memory.
//!
//! By a half or by three quarters, which is what 2160p and 1440p need: each pixel is the mean of
//! what it covers (a box filter), and the planes are I420's then. That costs little more than
//! reading them; all that follows, conversion and queues too, has a quarter or half as much to do.
//! Other sizes are left to [`super::scale`].

mod kernel;
#[cfg(target_arch = "x86_64")]
mod vectors;

use self::kernel::Kernel;
use super::frame::{Codes, Frame, PixelFormat};
use super::recolour::{Recolour, split};
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

    /// One plane into one without padding; `None` when it is cut short.
    pub fn plane(self, rows: Rows<'_>, out: &mut [u8]) -> Option<()> {
        let (group, small) = (self.group(), self.small(rows.row));
        let mut kernel = Kernel::default();
        for (n, out) in out.chunks_exact_mut(small * self.small(group)).enumerate() {
            kernel.group(self, rows.group(n * group, group)?, out);
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

/// Brings the pictures of one camera down, and their colours to the recording's on the way; keeps
/// its scratch memory between them.
#[derive(Debug)]
pub struct Reducer {
    ratio: Ratio,
    format: PixelFormat,
    width: usize,
    height: usize,
    stride: usize,
    recolour: Option<Recolour>,
    kernel: Kernel,
    /// Rows of packed or interleaved samples taken apart.
    lumas: Vec<u8>,
    chromas: Vec<u8>,
    us: Vec<u8>,
    vs: Vec<u8>,
}

impl Reducer {
    /// For pictures of a size and layout that [`Ratio::of`] was asked for, whose rows are `stride`
    /// bytes apart (0: no padding) in their first plane, chroma's in proportion.
    pub fn new(
        ratio: Ratio,
        format: PixelFormat,
        codes: Codes,
        (width, height): (u32, u32),
        stride: u32,
    ) -> Self {
        let (width, height) = (width as usize, height as usize);
        let row = if format == PixelFormat::Yuyv { 2 * width } else { width };
        let group = ratio.group();
        let scratch = |rows| vec![0; rows * width];
        let (lumas, chromas, apart) = match format {
            PixelFormat::Yuyv => (scratch(2 * group), scratch(2 * group), scratch(group)),
            PixelFormat::Nv12 => (Vec::new(), Vec::new(), scratch(group)),
            _ => (Vec::new(), Vec::new(), Vec::new()),
        };
        Self {
            ratio,
            format,
            width,
            height,
            stride: (stride as usize).max(row),
            recolour: Recolour::new(codes),
            kernel: Kernel::default(),
            lumas,
            chromas,
            us: apart[..apart.len() / 2].to_vec(),
            vs: apart[..apart.len() / 2].to_vec(),
        }
    }

    /// The size of what comes of it, pixels.
    pub fn size(&self) -> (u32, u32) {
        self.ratio.size((self.width as u32, self.height as u32))
    }

    /// The picture as I420 with the recording's codes ([`Codes::RECORDED`]), without what stood
    /// between its rows; `None` when it is cut short (`out` is undefined then). What `out` held
    /// is overwritten; one of the same size is not allocated anew.
    pub fn apply(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (width, height) = self.size();
        out.resize(Frame::raw_size(PixelFormat::I420, width, height), 0);
        let width = width as usize;
        let (luma, chroma) = out.split_at_mut(width * height as usize);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        // As many rows as one group of chroma's makes: they are in the cache while their colours
        // change.
        let rows = self.ratio.small(self.ratio.group());
        let lumas = luma.chunks_exact_mut(2 * rows * width);
        let chromas = rows * width / 2;
        let chromas = u.chunks_exact_mut(chromas).zip(v.chunks_exact_mut(chromas));
        for (n, (y, (u, v))) in lumas.zip(chromas).enumerate() {
            self.band(n, bytes, [&mut *y, &mut *u, &mut *v])?;
            if let Some(recolour) = &mut self.recolour {
                recolour.band(width, y, u, v);
            }
        }
        Some(())
    }

    /// The `n`th group of chroma's rows and the two groups of luma's beside it.
    fn band(&mut self, n: usize, bytes: &[u8], [y, u, v]: [&mut [u8]; 3]) -> Option<()> {
        let (width, stride) = (self.width, self.stride);
        let plane = |at: usize, row: usize, stride: usize| {
            Some(Rows { bytes: bytes.get(at..)?, row, stride })
        };
        let full = stride * self.height;
        match self.format {
            PixelFormat::I420 => {
                self.lumas(n, plane(0, width, stride)?, y)?;
                let half = stride / 2 * (self.height / 2);
                let group = self.ratio.group();
                for (at, out) in [(full, u), (full + half, v)] {
                    let lines = plane(at, width / 2, stride / 2)?.group(n * group, group)?;
                    self.kernel.group(self.ratio, lines, out);
                }
            }
            PixelFormat::Nv12 => {
                self.lumas(n, plane(0, width, stride)?, y)?;
                self.pairs(n, plane(full, width, stride)?, u, v)?;
            }
            PixelFormat::Yuyv => self.packed(n, plane(0, 2 * width, stride)?, [y, u, v])?,
            PixelFormat::Mjpeg | PixelFormat::Bgr24 => return None,
        }
        Some(())
    }

    /// Two groups of luma's rows.
    fn lumas(&mut self, n: usize, rows: Rows<'_>, out: &mut [u8]) -> Option<()> {
        let group = self.ratio.group();
        let size = out.len() / 2;
        for (i, out) in out.chunks_exact_mut(size).enumerate() {
            self.kernel.group(self.ratio, rows.group((2 * n + i) * group, group)?, out);
        }
        Some(())
    }

    /// A group of rows of U V U V into two planes.
    fn pairs(&mut self, n: usize, rows: Rows<'_>, u: &mut [u8], v: &mut [u8]) -> Option<()> {
        let (group, half) = (self.ratio.group(), self.width / 2);
        let lines = rows.group(n * group, group)?;
        let apart = self.us.chunks_exact_mut(half).zip(self.vs.chunks_exact_mut(half));
        for (line, (u, v)) in lines.iter().zip(apart) {
            split(line, u, v);
        }
        self.chroma(u, v);
        Some(())
    }

    /// Rows of Y U Y V into three planes; each two rows of chroma become one first.
    fn packed(&mut self, n: usize, rows: Rows<'_>, [y, u, v]: [&mut [u8]; 3]) -> Option<()> {
        let (group, width) = (self.ratio.group(), self.width);
        let apart = self.lumas.chunks_exact_mut(width).zip(self.chromas.chunks_exact_mut(width));
        for (i, (luma, chroma)) in apart.enumerate() {
            split(rows.line(2 * group * n + i)?, luma, chroma);
        }
        let size = y.len() / 2;
        for (lumas, y) in self.lumas.chunks_exact(group * width).zip(y.chunks_exact_mut(size)) {
            let lumas = Rows { bytes: lumas, row: width, stride: width };
            self.kernel.group(self.ratio, lumas.group(0, group)?, y);
        }
        let apart = self.us.chunks_exact_mut(width / 2).zip(self.vs.chunks_exact_mut(width / 2));
        for (pair, (u, v)) in self.chromas.chunks_exact_mut(2 * width).zip(apart) {
            let (above, below) = pair.split_at_mut(width);
            for (a, b) in above.iter_mut().zip(below) {
                *a = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
            }
            split(above, u, v);
        }
        self.chroma(u, v);
        Some(())
    }

    /// The rows of chroma that were taken apart.
    fn chroma(&mut self, u: &mut [u8], v: &mut [u8]) {
        let (group, half) = (self.ratio.group(), self.width / 2);
        for (bytes, out) in [(&self.us, u), (&self.vs, v)] {
            let rows = Rows { bytes, row: half, stride: half };
            let lines = rows.group(0, group).expect("whole groups were taken apart");
            self.kernel.group(self.ratio, lines, out);
        }
    }
}

/// A plane in memory.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// From its first row on.
    pub bytes: &'a [u8],
    /// Bytes of each, whole groups too.
    pub row: usize,
    /// Bytes from one to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    fn line(&self, n: usize) -> Option<&'a [u8]> {
        self.bytes.get(n * self.stride..n * self.stride + self.row)
    }

    /// The `count` rows from the `n`th on.
    fn group(&self, n: usize, count: usize) -> Option<[&'a [u8]; 4]> {
        let mut lines = [&[][..]; 4];
        for (i, line) in lines[..count].iter_mut().enumerate() {
            *line = self.line(n + i)?;
        }
        Some(lines)
    }
}

#[cfg(test)]
mod tests;
