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

pub use self::kernel::between;
use self::kernel::{Kernel, half_packed, half_pairs};
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
    /// it fits already, and where neither leaves whole pixels or enough of them.
    pub fn of((width, height): (u32, u32), largest: (u32, u32)) -> Option<Self> {
        let (to_width, to_height) = down_to(width, height, largest.0, largest.1);
        if to_width == width {
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

/// How a picture lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Three planes, chroma of half width and height.
    I420,
    /// Three planes, chroma of half width (a JPEG's).
    I422,
    /// Luma, and both chromas interleaved at half height.
    Nv12,
    /// Y U Y V.
    Yuyv,
}

impl Layout {
    /// That of a camera's format; `None` for what is not reduced here.
    pub fn of(format: PixelFormat) -> Option<Self> {
        match format {
            PixelFormat::I420 => Some(Self::I420),
            PixelFormat::Nv12 => Some(Self::Nv12),
            PixelFormat::Yuyv => Some(Self::Yuyv),
            PixelFormat::Mjpeg | PixelFormat::Bgr24 => None,
        }
    }
}

/// Brings pictures of one size down, and their colours to the recording's on the way; keeps its
/// scratch memory between them.
#[derive(Debug)]
pub struct Reducer {
    ratio: Ratio,
    layout: Layout,
    width: usize,
    height: usize,
    stride: usize,
    recolour: Option<Recolour>,
    kernel: Kernel,
    /// Rows out of the driver's memory.
    near: Vec<u8>,
    /// Rows of packed or interleaved samples taken apart.
    lumas: Vec<u8>,
    chromas: Vec<u8>,
    us: Vec<u8>,
    vs: Vec<u8>,
}

impl Reducer {
    /// For pictures of that size, which the ratio divides ([`Ratio::of`]); their rows are `stride`
    /// bytes apart (0: no padding) in the first plane, chroma's in proportion.
    pub fn new(
        ratio: Ratio,
        layout: Layout,
        codes: Codes,
        (width, height): (u32, u32),
        stride: u32,
    ) -> Self {
        let (width, height) = (width as usize, height as usize);
        let row = if layout == Layout::Yuyv { 2 * width } else { width };
        let group = ratio.group();
        let scratch = |rows: usize| vec![0; rows * width / 2];
        let (packed, apart) = match layout {
            Layout::I420 => (0, 0),
            Layout::I422 | Layout::Nv12 => (0, group),
            Layout::Yuyv if ratio == Ratio::Half => (0, 0),
            Layout::Yuyv => (4 * group, group),
        };
        Self {
            ratio,
            layout,
            width,
            height,
            stride: (stride as usize).max(row),
            recolour: Recolour::new(codes),
            kernel: Kernel::default(),
            near: Vec::new(),
            lumas: scratch(packed),
            chromas: scratch(packed),
            us: scratch(apart),
            vs: scratch(apart),
        }
    }

    /// For a camera's pictures that will be scaled into `largest`; `None` where they are left as
    /// they are.
    pub fn of(
        format: PixelFormat,
        codes: Codes,
        size: (u32, u32),
        stride: u32,
        largest: (u32, u32),
    ) -> Option<Self> {
        let (layout, ratio) = (Layout::of(format)?, Ratio::of(size, largest)?);
        Some(Self::new(ratio, layout, codes, size, stride))
    }

    /// The size of what comes of it, pixels.
    pub fn size(&self) -> (u32, u32) {
        self.ratio.size((self.width as u32, self.height as u32))
    }

    /// Whether it is the one that [`Reducer::new`] makes of these (without padding).
    pub fn is_of(&self, ratio: Ratio, layout: Layout, codes: Codes, size: (u32, u32)) -> bool {
        let from = self.recolour.as_ref().map_or(Codes::RECORDED, Recolour::from);
        let own = (self.width as u32, self.height as u32);
        (self.ratio, self.layout, from, own) == (ratio, layout, codes, size)
    }

    /// The picture as I420 with the recording's codes ([`Codes::RECORDED`]), without what stood
    /// between its rows; `None` when it is cut short (`out` is undefined then). What `out` held
    /// is overwritten; one of the same size is not allocated anew.
    pub fn apply(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (width, height) = self.size();
        out.resize(Frame::raw_size(PixelFormat::I420, width, height), 0);
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.bands_avx2(bytes, out) };
        }
        self.bands(bytes, out)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn bands_avx2(&mut self, bytes: &[u8], out: &mut [u8]) -> Option<()> {
        self.bands(bytes, out)
    }

    #[inline(always)]
    fn bands(&mut self, bytes: &[u8], out: &mut [u8]) -> Option<()> {
        let (width, height) = self.size();
        let width = width as usize;
        let (luma, chroma) = out.split_at_mut(width * height as usize);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        // As many rows as one group of chroma's makes: they are in the cache while their colours
        // change.
        let rows = self.ratio.small(self.ratio.group());
        let lumas = luma.chunks_exact_mut(2 * rows * width);
        let chromas = rows * width / 2;
        let chromas = u.chunks_exact_mut(chromas).zip(v.chunks_exact_mut(chromas));
        let mut near = std::mem::take(&mut self.near);
        for (n, (y, (u, v))) in lumas.zip(chromas).enumerate() {
            self.band(n, bytes, &mut near, [&mut *y, &mut *u, &mut *v])?;
            if let Some(recolour) = &mut self.recolour {
                recolour.band(width, y, u, v);
            }
        }
        self.near = near;
        Some(())
    }

    /// The `n`th group of chroma's rows and the two groups of luma's beside it.
    #[inline(always)]
    fn band(
        &mut self,
        n: usize,
        bytes: &[u8],
        near: &mut Vec<u8>,
        [y, u, v]: [&mut [u8]; 3],
    ) -> Option<()> {
        let (width, height, stride) = (self.width, self.height, self.stride);
        let (ratio, group) = (self.ratio, self.ratio.group());
        let full = stride * height;
        if self.layout == Layout::Yuyv {
            let (first, count, row) = (2 * n * group, 2 * group, 2 * width);
            if ratio == Ratio::Half {
                let rows = Rows::there(bytes, first, count, row, stride)?;
                let (above, below) = y.split_at_mut(y.len() / 2);
                half_packed(rows.group(0, 4), [above, below], u, v);
            } else {
                self.packed(Rows::near(bytes, near, first, count, row, stride)?, [y, u, v]);
            }
            return Some(());
        }
        let size = y.len() / 2;
        let rows = Rows::near(bytes, near, 2 * n * group, 2 * group, width, stride)?;
        for (i, y) in y.chunks_exact_mut(size).enumerate() {
            self.kernel.group(ratio, rows.group(i * group, group), y);
        }
        // Where each chroma's plane begins, if it is of `high` rows.
        let planes = |high: usize| [full, full + stride / 2 * high];
        match self.layout {
            Layout::I420 => {
                for (at, out) in planes(height / 2).into_iter().zip([u, v]) {
                    let plane = bytes.get(at..)?;
                    let rows = Rows::near(plane, near, n * group, group, width / 2, stride / 2)?;
                    self.kernel.group(ratio, rows.group(0, group), out);
                }
            }
            Layout::I422 => {
                for (at, apart) in planes(height).into_iter().zip([&mut self.us, &mut self.vs]) {
                    let (first, count) = (2 * n * group, 2 * group);
                    let plane = bytes.get(at..)?;
                    let rows = Rows::near(plane, near, first, count, width / 2, stride / 2)?;
                    for (i, out) in apart.chunks_exact_mut(width / 2).enumerate() {
                        between(rows.line(2 * i), rows.line(2 * i + 1), out);
                    }
                }
                self.chroma(u, v);
            }
            Layout::Nv12 => {
                let plane = bytes.get(full..)?;
                let rows = Rows::near(plane, near, n * group, group, width, stride)?;
                if ratio == Ratio::Half {
                    half_pairs([rows.line(0), rows.line(1)], u, v);
                } else {
                    let us = self.us.chunks_exact_mut(width / 2);
                    let apart = us.zip(self.vs.chunks_exact_mut(width / 2));
                    for (i, (u, v)) in apart.enumerate() {
                        split(rows.line(i), u, v);
                    }
                    self.chroma(u, v);
                }
            }
            Layout::Yuyv => unreachable!("it was handled above"),
        }
        Some(())
    }

    /// Rows of Y U Y V into three planes; each two rows of chroma become one first.
    #[inline(always)]
    fn packed(&mut self, rows: Rows<'_>, [y, u, v]: [&mut [u8]; 3]) {
        let (group, width) = (self.ratio.group(), self.width);
        let size = y.len() / 2;
        let apart = self.lumas.chunks_exact_mut(width).zip(self.chromas.chunks_exact_mut(width));
        for (i, (luma, chroma)) in apart.enumerate() {
            split(rows.line(i), luma, chroma);
        }
        for (lumas, y) in self.lumas.chunks_exact(group * width).zip(y.chunks_exact_mut(size)) {
            let lumas = Rows { bytes: lumas, row: width, stride: width };
            self.kernel.group(self.ratio, lumas.group(0, group), y);
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
    }

    /// The rows of chroma that were taken apart.
    #[inline(always)]
    fn chroma(&mut self, u: &mut [u8], v: &mut [u8]) {
        let (group, half) = (self.ratio.group(), self.width / 2);
        for (bytes, out) in [(&self.us, u), (&self.vs, v)] {
            let rows = Rows { bytes, row: half, stride: half };
            self.kernel.group(self.ratio, rows.group(0, group), out);
        }
    }
}

/// Some rows in memory.
#[derive(Clone, Copy, Debug)]
struct Rows<'a> {
    /// From the first one on.
    bytes: &'a [u8],
    /// Bytes of each, whole groups of the ratio.
    row: usize,
    /// Bytes from one to the next.
    stride: usize,
}

impl<'a> Rows<'a> {
    /// `count` rows of a plane from its `first` on, brought into the cache by one copy: reading one
    /// after the other is twice as fast as reading several beside each other. `None` when the plane
    /// is cut short.
    #[inline(always)]
    fn near(
        plane: &[u8],
        near: &'a mut Vec<u8>,
        first: usize,
        count: usize,
        row: usize,
        stride: usize,
    ) -> Option<Self> {
        let there = Rows::there(plane, first, count, row, stride)?;
        near.clear();
        near.extend_from_slice(there.bytes);
        Some(Self { bytes: near, row, stride })
    }

    /// The same where they are, for a kernel that has more to do than to wait for them.
    #[inline(always)]
    fn there(
        plane: &'a [u8],
        first: usize,
        count: usize,
        row: usize,
        stride: usize,
    ) -> Option<Self> {
        let from = first * stride;
        let bytes = plane.get(from..from + (count - 1) * stride + row)?;
        Some(Self { bytes, row, stride })
    }

    #[inline(always)]
    fn line(&self, n: usize) -> &'a [u8] {
        &self.bytes[n * self.stride..][..self.row]
    }

    /// The `count` rows from the `n`th on.
    #[inline(always)]
    fn group(&self, n: usize, count: usize) -> [&'a [u8]; 4] {
        let mut lines = [&[][..]; 4];
        for (i, line) in lines[..count].iter_mut().enumerate() {
            *line = self.line(n + i);
        }
        lines
    }
}

#[cfg(test)]
mod tests;
