//! Test bars in any camera's format and codes, for tests: 24 even fields, eight in each of three
//! rows: 100 % bars, 75 % bars, greys and skin.

use std::sync::Arc;

use super::frame::{Codes, ColorRange, Frame, PixelFormat};
use crate::units::Micros;

/// Red, green and blue of the fields, full range.
pub const FIELDS: [[[u8; 3]; 8]; 3] = [
    [
        [255, 255, 255],
        [255, 255, 0],
        [0, 255, 255],
        [0, 255, 0],
        [255, 0, 255],
        [255, 0, 0],
        [0, 0, 255],
        [0, 0, 0],
    ],
    [
        [191, 191, 191],
        [191, 191, 0],
        [0, 191, 191],
        [0, 191, 0],
        [191, 0, 191],
        [191, 0, 0],
        [0, 0, 191],
        [10, 10, 10],
    ],
    [
        [32, 32, 32],
        [96, 96, 96],
        [160, 160, 160],
        [224, 224, 224],
        [224, 172, 150],
        [141, 85, 54],
        [90, 120, 160],
        [60, 110, 70],
    ],
];

/// Y'CbCr codes by the definition (H.273, equations 38 to 40 and their ranges).
pub fn codes_of(rgb: [u8; 3], codes: Codes) -> [u8; 3] {
    let [r, g, b] = rgb.map(f64::from);
    let (kr, kb) = codes.matrix.weights();
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    let values = match codes.range {
        ColorRange::Full => [y, 128.0 + cb, 128.0 + cr],
        ColorRange::Limited => {
            [16.0 + y * 219.0 / 255.0, 128.0 + cb * 224.0 / 255.0, 128.0 + cr * 224.0 / 255.0]
        }
    };
    values.map(|code| code.round().clamp(0.0, 255.0) as u8)
}

/// Column or row of the field that a pixel lies in.
fn part(at: u32, size: u32, parts: u32) -> usize {
    (at * parts / size) as usize
}

/// Of each field its colour and the places of pixels well inside of it, a quarter of it from every
/// edge: what is flat there. Each fourth row, which is enough.
pub fn inside(width: u32, height: u32) -> Vec<([u8; 3], Vec<usize>)> {
    let flat = |field: usize, size: u32, parts: usize| {
        let quarter = size as usize / parts / 4;
        let from = field * size as usize / parts + quarter;
        from..from + 2 * quarter
    };
    let mut fields = Vec::new();
    for (row, colours) in FIELDS.iter().enumerate() {
        for (column, rgb) in colours.iter().enumerate() {
            let rows = flat(row, height, FIELDS.len()).step_by(4);
            let places = rows.flat_map(|y| {
                flat(column, width, colours.len()).map(move |x| y * width as usize + x)
            });
            fields.push((*rgb, places.collect()));
        }
    }
    fields
}

/// The bars as a camera sends them; `codes` count for what is no JPEG and no RGB. JPEG is 4:2:2, as
/// most webcams send it.
pub fn frame(format: PixelFormat, codes: Codes, width: u32, height: u32) -> Frame {
    let rgb = |x: u32, y: u32| FIELDS[part(y, height, 3)][part(x, width, 8)];
    let table = FIELDS.map(|row| row.map(|rgb| codes_of(rgb, codes)));
    let code = |x: u32, y: u32, plane: usize| table[part(y, height, 3)][part(x, width, 8)][plane];
    let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let halves = || (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (2 * x, 2 * y)));
    let luma = || pixels().map(|(x, y)| code(x, y, 0));
    let data: Vec<u8> = match format {
        PixelFormat::I420 => luma()
            .chain(halves().map(|(x, y)| code(x, y, 1)))
            .chain(halves().map(|(x, y)| code(x, y, 2)))
            .collect(),
        PixelFormat::Nv12 => {
            luma().chain(halves().flat_map(|(x, y)| [code(x, y, 1), code(x, y, 2)])).collect()
        }
        PixelFormat::Yuyv => pixels()
            .flat_map(|(x, y)| [code(x, y, 0), code(x & !1, y, 1 + (x & 1) as usize)])
            .collect(),
        PixelFormat::Bgr24 => pixels()
            .flat_map(|(x, y)| {
                let [r, g, b] = rgb(x, y);
                [b, g, r]
            })
            .collect(),
        PixelFormat::Mjpeg => {
            let bgr = frame(PixelFormat::Bgr24, codes, width, height);
            let image = turbojpeg::Image {
                pixels: &bgr.data[..],
                width: width as usize,
                pitch: width as usize * 3,
                height: height as usize,
                format: turbojpeg::PixelFormat::BGR,
            };
            let jpeg = turbojpeg::compress(image, 95, turbojpeg::Subsamp::Sub2x1);
            jpeg.expect("a picture in memory").to_vec()
        }
    };
    let captured = Micros(0);
    Frame { format, codes, width, height, captured, number: 0, data: Arc::new(data) }
}
