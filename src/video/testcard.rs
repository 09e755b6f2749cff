//! The test picture: colour bars, something that moves, a clock for people, a number for programs.
//!
//! ```text
//! +--------------------------------------+  white frame all around: finds the picture's edges
//! |  eight colour bars                   |
//! |  [#]  a white block on grey, moving  |
//! |  12:34:56.789  #123                  |  for people
//! |  code: 3 rows of 18 cells            |  for programs
//! +--------------------------------------+
//! ```
//!
//! The code's 54 cells are black or white: six that never change (both levels, to find the
//! threshold), the low 32 bits of the frame number as Gray code, most significant first, and a
//! CRC-16 (CCITT, start 0xFFFF) over the number's four bytes. Gray code and fixed places keep the
//! change from frame to frame small, which VP8 at a low rate thanks with clean cells. All places
//! are fractions of the white frame, so the code is found after scaling and letterboxing.

use super::font;
use super::image::I420;

/// Cells in one row of the code.
const COLUMNS: u32 = 18;
/// Rows of the code.
const ROWS: u32 = 3;
/// Places of the cells that never change, spread so that each row has a pair, and their value.
const FIXED: [(usize, bool); 6] =
    [(0, true), (1, false), (34, false), (35, true), (52, true), (53, false)];
/// Top and bottom of the code, its left and right, in 1/1000 of the picture.
const CODE_TOP: u32 = 760;
const CODE_BOTTOM: u32 = 950;
const CODE_LEFT: u32 = 50;
const CODE_RIGHT: u32 = 950;
/// Luma of a cell that is set or clear: inside the codes' ends, so that ringing is not cut off.
const CELL_WHITE: u8 = 225;
const CELL_BLACK: u8 = 24;

const WHITE: [u8; 3] = [235, 128, 128];
const GREY: [u8; 3] = [110, 128, 128];
const DARK: [u8; 3] = [40, 128, 128];
/// 75 % bars, BT.709 limited: white, yellow, cyan, green, magenta, red, blue, and 40 % grey.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [168, 44, 136],
    [145, 147, 44],
    [133, 63, 52],
    [63, 193, 204],
    [51, 109, 212],
    [28, 212, 120],
    [104, 128, 128],
];

/// Draws test pictures; what does not change is drawn once.
pub struct TestCard {
    canvas: I420,
    text: String,
}

impl TestCard {
    /// A card of that size, pixels. Below about 160x120 the code cannot be read any more.
    pub fn new(width: u32, height: u32) -> Self {
        let mut canvas = I420::black(width, height);
        let edge = frame_width(width, height);
        canvas.fill_rect(0, 0, width, height, WHITE);
        canvas.fill_rect(
            edge,
            edge,
            width.saturating_sub(2 * edge),
            height.saturating_sub(2 * edge),
            DARK,
        );
        let inner = width.saturating_sub(2 * edge);
        let bars_bottom = even(height * 44 / 100);
        for (index, &colour) in BARS.iter().enumerate() {
            let from = edge + even(inner * index as u32 / 8);
            let to =
                if index == 7 { width - edge } else { edge + even(inner * (index as u32 + 1) / 8) };
            canvas.fill_rect(
                from,
                edge,
                to.saturating_sub(from),
                bars_bottom.saturating_sub(edge),
                colour,
            );
        }
        let mut card = Self { canvas, text: String::new() };
        card.move_block(0);
        card
    }

    /// Draws picture `number` into `out`, which takes the card's size. `seconds_of_day` is what
    /// the clock shows, 0 to 86,400.
    pub fn draw(&mut self, number: u64, seconds_of_day: f64, out: &mut I420) {
        self.move_block(number);
        self.write_text(number, seconds_of_day);
        self.write_code(number);
        out.copy_from(&self.canvas);
    }

    /// The block crosses the picture in two seconds at 30 fps and starts over.
    fn move_block(&mut self, number: u64) {
        let (width, height) = (self.canvas.width, self.canvas.height);
        let edge = frame_width(width, height);
        let (top, size) = (even(height * 44 / 100), even(height * 14 / 100));
        let way = width.saturating_sub(2 * edge + size);
        let x = edge + even(way * (number % 60) as u32 / 59);
        self.canvas.fill_rect(edge, top, width.saturating_sub(2 * edge), size, GREY);
        self.canvas.fill_rect(x, top, size.min(width.saturating_sub(edge)), size, WHITE);
    }

    fn write_text(&mut self, number: u64, seconds_of_day: f64) {
        let millis = (seconds_of_day.clamp(0.0, 86_400.0) * 1000.0) as u64 % 86_400_000;
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
        let text = format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03} #{number}");
        let (width, height) = (self.canvas.width, self.canvas.height);
        // Sized for 20 characters, so that the glyphs do not jump as the number grows.
        let scale = (width * 9 / 10 / (20 * font::ADVANCE)).min(height * 12 / 100 / font::HEIGHT);
        let scale = if scale > 1 { even(scale) } else { scale.max(1) };
        let (left, top) = (even(width / 20), even(height * 61 / 100));
        let changed = text
            .chars()
            .zip(self.text.chars())
            .position(|(new, old)| new != old)
            .unwrap_or_else(|| text.chars().count().min(self.text.chars().count()));
        let edge = frame_width(width, height);
        for (index, character) in text.chars().enumerate().skip(changed) {
            let x = left + index as u32 * font::ADVANCE * scale;
            let room = width.saturating_sub(edge).saturating_sub(x);
            self.canvas.fill_rect(
                x,
                top,
                (font::ADVANCE * scale).min(room),
                font::HEIGHT * scale,
                DARK,
            );
            let canvas = &mut self.canvas;
            font::each_dot(character.encode_utf8(&mut [0; 4]), |column, row| {
                if (column + 1) * scale <= room {
                    let (x, y) = (x + column * scale, top + row * scale);
                    canvas.fill_rect(x, y, scale, scale, WHITE);
                }
            });
        }
        // A shorter number than before leaves digits behind.
        let (new, old) = (text.chars().count() as u32, self.text.chars().count() as u32);
        if old > new {
            let x = left + new * font::ADVANCE * scale;
            let room = width.saturating_sub(edge).saturating_sub(x);
            let stale = ((old - new) * font::ADVANCE * scale).min(room);
            self.canvas.fill_rect(x, top, stale, font::HEIGHT * scale, DARK);
        }
        self.text = text;
    }

    fn write_code(&mut self, number: u64) {
        let (width, height) = (self.canvas.width, self.canvas.height);
        for (index, set) in cells(number as u32).into_iter().enumerate() {
            let [left, top, right, bottom] = cell(index as u32);
            let (x, y) = (even_share(width, left), even_share(height, top));
            let (to_x, to_y) = (even_share(width, right), even_share(height, bottom));
            let colour = if set { CELL_WHITE } else { CELL_BLACK };
            self.canvas.fill_rect(x, y, to_x - x, to_y - y, [colour, 128, 128]);
        }
    }
}

/// Reads the number back, from a picture of any size with any black bars around the card.
/// `None` when there is no card in it or its code is damaged.
pub fn read_number(image: &I420) -> Option<u64> {
    let (left, right, top, bottom) = find_frame(image)?;
    let (width, height) = (right - left, bottom - top);
    // Four pixels of luma a cell are the least that can be told apart.
    if width < 120.0 || height < 80.0 {
        return None;
    }
    let mut levels = [0.0; (COLUMNS * ROWS) as usize];
    for (index, level) in levels.iter_mut().enumerate() {
        let [x0, y0, x1, y1] = cell(index as u32);
        *level = mean(
            image,
            left + width * f64::from(x0) / SHARE,
            top + height * f64::from(y0) / SHARE,
            left + width * f64::from(x1) / SHARE,
            top + height * f64::from(y1) / SHARE,
        );
    }
    let average = |value| {
        FIXED.iter().filter(|(_, v)| *v == value).map(|(at, _)| levels[*at]).sum::<f64>() / 3.0
    };
    let (white, black) = (average(true), average(false));
    // The card has 200 codes of contrast; less than half of it is some other picture.
    if white - black < 100.0 {
        return None;
    }
    let mut bits = Vec::with_capacity(levels.len());
    for level in levels {
        let share = (level - black) / (white - black);
        // A cell in between is one that the encoder has not caught up with.
        if (0.35..0.65).contains(&share) {
            return None;
        }
        bits.push(share > 0.5);
    }
    if FIXED.iter().any(|&(at, value)| bits[at] != value) {
        return None;
    }
    let mut word = 0u64;
    for (at, bit) in bits.into_iter().enumerate() {
        if FIXED.iter().all(|(fixed, _)| *fixed != at) {
            word = word << 1 | u64::from(bit);
        }
    }
    let number = from_gray((word >> 16) as u32);
    (crc16(number) == word as u16).then_some(u64::from(number))
}

/// Edges of the card inside its black bars, by the white frame: left, right, top, bottom.
fn find_frame(image: &I420) -> Option<(f64, f64, f64, f64)> {
    let (w, h) = (image.width as usize, image.height as usize);
    if w < 16 || h < 16 {
        return None;
    }
    let luma = image.y();
    // Several lines near the middle must agree, so that a bright spot is no frame.
    let edge = |lines: [usize; 3], length: usize, pixel: &dyn Fn(usize, usize) -> u8| {
        let mut found: Vec<usize> = lines
            .into_iter()
            .filter_map(|line| (0..length).find(|&at| pixel(line, at) > EDGE_LUMA))
            .collect();
        found.sort_unstable();
        let middle = *found.get(1)?;
        (found.len() == 3 && found[2] - found[0] <= 2 + length / 200).then_some(middle)
    };
    let rows = [h * 45 / 100, h / 2, h * 55 / 100];
    let columns = [w * 45 / 100, w / 2, w * 55 / 100];
    let left = edge(rows, w, &|y, x| luma[y * w + x])?;
    let right = edge(rows, w, &|y, x| luma[y * w + (w - 1 - x)])?;
    let top = edge(columns, h, &|x, y| luma[y * w + x])?;
    let bottom = edge(columns, h, &|x, y| luma[(h - 1 - y) * w + x])?;
    (left + right < w && top + bottom < h)
        .then(|| (left as f64, (w - right) as f64, top as f64, (h - bottom) as f64))
}

/// Half way from black to white.
const EDGE_LUMA: u8 = 125;
/// Places are in thousandths.
const SHARE: f64 = 1000.0;

/// Mean luma of the middle half of a rectangle, where blur from its neighbours does not reach.
fn mean(image: &I420, x0: f64, y0: f64, x1: f64, y1: f64) -> f64 {
    let (dx, dy) = ((x1 - x0) / 4.0, (y1 - y0) / 4.0);
    let (w, h) = (image.width as usize, image.height as usize);
    let from_x = ((x0 + dx).round() as usize).min(w - 1);
    let from_y = ((y0 + dy).round() as usize).min(h - 1);
    let to_x = ((x1 - dx).round() as usize).clamp(from_x + 1, w);
    let to_y = ((y1 - dy).round() as usize).clamp(from_y + 1, h);
    let rows = image.y().chunks_exact(w).take(to_y).skip(from_y);
    let sum: u64 = rows.flat_map(|row| &row[from_x..to_x]).map(|&code| u64::from(code)).sum();
    sum as f64 / ((to_x - from_x) * (to_y - from_y)) as f64
}

/// Left, top, right and bottom of a cell in thousandths of the picture.
fn cell(index: u32) -> [u32; 4] {
    let (column, row) = (index % COLUMNS, index / COLUMNS);
    let x = |column| CODE_LEFT + (CODE_RIGHT - CODE_LEFT) * column / COLUMNS;
    let y = |row| CODE_TOP + (CODE_BOTTOM - CODE_TOP) * row / ROWS;
    [x(column), y(row), x(column + 1), y(row + 1)]
}

/// The cells of a number, in reading order.
fn cells(number: u32) -> Vec<bool> {
    let word = u64::from(number ^ (number >> 1)) << 16 | u64::from(crc16(number));
    let mut bits = (0..48).rev().map(|bit| word >> bit & 1 != 0);
    (0..(COLUMNS * ROWS) as usize)
        .map(|at| {
            let fixed = FIXED.iter().find(|(fixed, _)| *fixed == at);
            fixed.map_or_else(|| bits.next().expect("54 cells less 6 are 48"), |f| f.1)
        })
        .collect()
}

fn from_gray(gray: u32) -> u32 {
    (0..32).fold(0, |number, shift| number ^ gray >> shift)
}

/// CRC-16/CCITT, start 0xFFFF, over the number's bytes, most significant first.
fn crc16(number: u32) -> u16 {
    number.to_be_bytes().iter().fold(0xFFFF, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc: u16, _| {
            crc << 1 ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 }
        })
    })
}

fn even_share(side: u32, thousandths: u32) -> u32 {
    even(side * thousandths / 1000)
}

fn even(n: u32) -> u32 {
    n & !1
}

/// Width of the white frame, pixels.
fn frame_width(width: u32, height: u32) -> u32 {
    even(width.min(height) / 60).max(2)
}

#[cfg(test)]
mod tests;
