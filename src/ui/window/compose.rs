//! Puts the tiles into the window's pixels: where they go, and what is drawn over them.
//!
//! Knows no window: its result is an array of pixels, so it is tested without a display.

use super::wire::{MAX_TILES, Message, Overlay, TileInfo};
use crate::ui::keys::{Place, help};
use crate::video::display::{Canvas, Painter};
use crate::video::font;
use crate::video::image::I420;
use crate::video::scale::Rect;

const BACKGROUND: u32 = 0x0010_1010;
const CARD: u32 = 0x0028_2C34;
const TEXT: u32 = 0x00FF_FFFF;
const DIMMED: u32 = 0x00A0_A0A0;
const LABEL: u32 = 0x0000_0000;
/// Behind the name of whom the keys are for.
const CHOSEN: u32 = 0x0020_5080;
/// Behind what is said, and behind the keys.
const PLATE: u32 = 0x0018_2028;
const SPEAKING: u32 = 0x0040_C040;
const WARNING: u32 = 0x00E0_6030;
/// Pixels between tiles.
const GAP: u32 = 2;

/// Where `count` tiles go in a window: one fills it, two stand side by side, three and four make
/// a 2x2 grid. Cells cover the window; pictures keep their aspect inside them.
pub fn cells(count: usize, width: u32, height: u32) -> Vec<Rect> {
    let (columns, rows) = match count {
        0 => return Vec::new(),
        1 => (1, 1),
        2 => (2, 1),
        _ => (2, 2),
    };
    // Rounded from the window's edges, so that the cells leave no line between them uncovered.
    let cut =
        |side: u32, at: u32, of: u32| (u64::from(side) * u64::from(at) / u64::from(of)) as u32;
    (0..count.min(MAX_TILES) as u32)
        .map(|index| {
            let (column, row) = (index % columns, index / columns);
            let (x, y) = (cut(width, column, columns), cut(height, row, rows));
            let (right, bottom) = (cut(width, column + 1, columns), cut(height, row + 1, rows));
            let gap_x = if column + 1 < columns { GAP } else { 0 };
            let gap_y = if row + 1 < rows { GAP } else { 0 };
            Rect {
                x,
                y,
                width: (right - x).saturating_sub(gap_x),
                height: (bottom - y).saturating_sub(gap_y),
            }
        })
        .collect()
}

#[derive(Default)]
struct Tile {
    image: Option<I420>,
    info: TileInfo,
    changed: bool,
}

/// All that the window shows.
pub struct Composer {
    tiles: [Tile; MAX_TILES],
    layout: Vec<u8>,
    painter: Painter,
    pixels: Vec<u32>,
    size: (u32, u32),
    all_changed: bool,
    /// What lies over everything.
    overlay: Overlay,
}

impl Default for Composer {
    fn default() -> Self {
        Self {
            tiles: Default::default(),
            layout: Vec::new(),
            painter: Painter::new(),
            pixels: Vec::new(),
            size: (0, 0),
            all_changed: true,
            overlay: Overlay::default(),
        }
    }
}

impl Composer {
    /// An empty window.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came through the pipe.
    pub fn apply(&mut self, message: Message) {
        match message {
            Message::Picture { tile, image } => {
                if let Some(tile) = self.tiles.get_mut(usize::from(tile)) {
                    tile.image = Some(image);
                    tile.changed = true;
                }
            }
            Message::Info { tile, info } => {
                if let Some(tile) = self.tiles.get_mut(usize::from(tile)) {
                    tile.changed |= tile.info != info;
                    tile.info = info;
                }
            }
            Message::Overlay(overlay) => {
                self.all_changed |= self.overlay != overlay;
                self.overlay = overlay;
            }
            Message::Layout(layout) => {
                if layout != self.layout {
                    // Who is no longer shown must not come back with an old picture.
                    for (index, tile) in self.tiles.iter_mut().enumerate() {
                        if !layout.iter().any(|&shown| usize::from(shown) == index) {
                            *tile = Tile::default();
                        }
                    }
                    self.layout = layout;
                    self.all_changed = true;
                }
            }
        }
    }

    /// Draws what has changed at this size; `None` when nothing has.
    pub fn draw(&mut self, width: u32, height: u32) -> Option<&[u32]> {
        if self.size != (width, height) {
            self.size = (width, height);
            self.pixels.clear();
            self.pixels.resize(width as usize * height as usize, BACKGROUND);
            self.all_changed = true;
        }
        let all = std::mem::take(&mut self.all_changed);
        let mut drawn = all;
        let mut canvas = Canvas { pixels: &mut self.pixels, width, height };
        if all {
            canvas.fill(Rect { x: 0, y: 0, width, height }, BACKGROUND);
            if self.layout.is_empty() {
                let rect = Rect { x: 0, y: 0, width, height };
                centred(&mut canvas, rect, text_scale(&[rect]), "waiting for pictures", DIMMED);
            }
        }
        let rects = cells(self.layout.len(), width, height);
        let scale = text_scale(&rects);
        for (rect, &index) in rects.into_iter().zip(&self.layout) {
            let Some(tile) = self.tiles.get_mut(usize::from(index)) else { continue };
            if !all && !tile.changed {
                continue;
            }
            tile.changed = false;
            drawn = true;
            draw_tile(&mut self.painter, &mut canvas, rect, scale, tile);
        }
        if drawn {
            let window = Rect { x: 0, y: 0, width, height };
            if self.overlay.help {
                draw_help(&mut canvas, window);
            }
            draw_lines(&mut canvas, window, &self.overlay);
        }
        drawn.then_some(&self.pixels[..])
    }

    /// Another window has none of it.
    pub fn anew(&mut self) {
        self.all_changed = true;
    }

    /// All pixels as they were drawn last.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }
}

fn draw_tile(painter: &mut Painter, canvas: &mut Canvas<'_>, rect: Rect, scale: u32, tile: &Tile) {
    let info = &tile.info;
    match &tile.image {
        Some(image) if !info.camera_off => {
            painter.paint(image, canvas, rect, info.own);
        }
        _ => {
            canvas.fill(rect, CARD);
            let text = if info.camera_off { "camera off" } else { "no picture yet" };
            centred(canvas, rect, scale, text, TEXT);
        }
    }
    if info.silent {
        let band = Rect { height: rect.height.min(font::HEIGHT * scale + 4 * scale), ..rect };
        canvas.fill(band, WARNING);
        let text = "nothing heard";
        let width = font::text_width(text) * scale;
        let x = rect.x + rect.width.saturating_sub(width) / 2;
        write(canvas, rect, x, rect.y + 2 * scale, scale, text, TEXT);
    }
    let mut name = info.name.clone();
    if info.own {
        name.push_str(" (you)");
    }
    if info.muted {
        name.push_str(" - muted");
    } else if info.hushed {
        name.push_str(" - not sent, recorded");
    }
    if info.unheard {
        name.push_str(" - not heard here");
    }
    let dimmed = info.muted || info.hushed || info.unheard;
    let plate = if info.chosen { CHOSEN } else { LABEL };
    label(canvas, rect, scale, name.trim(), plate, if dimmed { DIMMED } else { TEXT });
    if info.speaking {
        frame(canvas, rect, scale);
    }
}

/// The name in the lower left corner on a dark plate.
fn label(canvas: &mut Canvas<'_>, rect: Rect, scale: u32, text: &str, ground: u32, colour: u32) {
    if text.is_empty() {
        return;
    }
    let (pad, high) = (2 * scale, font::HEIGHT * scale);
    let plate = Rect {
        x: rect.x,
        y: (rect.y + rect.height).saturating_sub(high + 2 * pad).max(rect.y),
        width: (font::text_width(text) * scale + 2 * pad).min(rect.width),
        height: (high + 2 * pad).min(rect.height),
    };
    canvas.fill(plate, ground);
    write(canvas, rect, plate.x + pad, plate.y + pad, scale, text, colour);
}

/// The overlay's lines at the top, broken where the window ends.
fn draw_lines(canvas: &mut Canvas<'_>, window: Rect, overlay: &Overlay) {
    let scale = text_scale(&[window]);
    let room = (window.width / (font::ADVANCE * scale)).max(1) as usize;
    let lines: Vec<String> = overlay.lines.iter().flat_map(|line| broken(line, room)).collect();
    if lines.is_empty() {
        return;
    }
    let step = (font::HEIGHT + 3) * scale;
    let high = (lines.len() as u32 * step + scale).min(window.height);
    let ground = if overlay.alert { WARNING } else { PLATE };
    canvas.fill(Rect { height: high, ..window }, ground);
    for (n, line) in (0..).zip(&lines) {
        let wide = font::text_width(line) * scale;
        let x = window.x + window.width.saturating_sub(wide) / 2;
        write(canvas, window, x, window.y + 2 * scale + n * step, scale, line, TEXT);
    }
}

/// A line as lines of so many characters at most, broken between words where there are any.
fn broken(line: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        let last = lines.last_mut().expect("there is always one");
        if last.chars().count() + 1 + rest.len() <= room || last.is_empty() && rest.len() <= room {
            if !last.is_empty() {
                last.push(' ');
            }
            last.extend(rest);
            continue;
        }
        // An invite is one long word.
        while !rest.is_empty() {
            let piece = rest.drain(..rest.len().min(room));
            lines.push(piece.collect());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The keys in the window's middle, as large as there is room for.
fn draw_help(canvas: &mut Canvas<'_>, window: Rect) {
    let lines: Vec<String> =
        help(Place::Window).map(|(key, what)| format!("{key:9}{what}")).collect();
    let longest = lines.iter().map(|line| font::text_width(line)).max().unwrap_or(0) + 4;
    let high = lines.len() as u32 * (font::HEIGHT + 3) + 4;
    let scale = (window.width / longest).min(window.height / high).max(1);
    let (width, height) = ((longest * scale).min(window.width), (high * scale).min(window.height));
    let plate = Rect {
        x: window.x + (window.width - width) / 2,
        y: window.y + (window.height - height) / 2,
        width,
        height,
    };
    canvas.fill(plate, PLATE);
    for (n, line) in (0..).zip(&lines) {
        let y = plate.y + (2 + n * (font::HEIGHT + 3)) * scale;
        write(canvas, plate, plate.x + 2 * scale, y, scale, line, TEXT);
    }
}

fn centred(canvas: &mut Canvas<'_>, rect: Rect, scale: u32, text: &str, colour: u32) {
    let (wide, high) = (font::text_width(text) * scale, font::HEIGHT * scale);
    let x = rect.x + rect.width.saturating_sub(wide) / 2;
    let y = rect.y + rect.height.saturating_sub(high) / 2;
    write(canvas, rect, x, y, scale, text, colour);
}

fn frame(canvas: &mut Canvas<'_>, rect: Rect, scale: u32) {
    let thick = scale.max(2).min(rect.width).min(rect.height);
    let Rect { x, y, width, height } = rect;
    for side in [
        Rect { x, y, width, height: thick },
        Rect { x, y: y + height - thick, width, height: thick },
        Rect { x, y, width: thick, height },
        Rect { x: x + width - thick, y, width: thick, height },
    ] {
        canvas.fill(side, SPEAKING);
    }
}

/// Pixels of the screen a pixel of the font, the same in all cells: 14 pixel letters in a grid of 480
/// lines, 21 alone.
fn text_scale(cells: &[Rect]) -> u32 {
    let lowest = cells.iter().map(|cell| cell.height).min().unwrap_or(0);
    // The upper row lacks the gap.
    ((lowest + GAP + 60) / 150).max(1)
}

/// Writes text, cut off at the tile's edges.
fn write(canvas: &mut Canvas<'_>, rect: Rect, x: u32, y: u32, scale: u32, text: &str, colour: u32) {
    let (right, bottom) = (rect.x + rect.width, rect.y + rect.height);
    font::each_dot(text, |column, row| {
        let (left, top) = (x + column * scale, y + row * scale);
        if left + scale <= right && top + scale <= bottom {
            canvas.fill(Rect { x: left, y: top, width: scale, height: scale }, colour);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn solid(width: u32, height: u32, luma: u8) -> I420 {
        let mut image = I420::black(width, height);
        image.fill_rect(0, 0, width, height, [luma, 128, 128]);
        image
    }

    fn info(name: &str) -> TileInfo {
        TileInfo { name: name.into(), ..TileInfo::default() }
    }

    #[test]
    fn letters_are_14_pixels_in_a_grid_of_480_lines_and_21_alone() {
        let scale = |count, height| text_scale(&cells(count, 854, height));
        assert_eq!((scale(4, 480), scale(3, 480), scale(1, 480)), (2, 2, 3));
        assert_eq!((scale(1, 40), scale(4, 2), scale(0, 480)), (1, 1, 1));
    }

    #[test]
    fn one_fills_two_share_and_four_make_a_grid() {
        let rect = |x, y, width, height| Rect { x, y, width, height };
        assert_eq!(cells(1, 854, 480), [rect(0, 0, 854, 480)]);
        assert_eq!(cells(2, 854, 480), [rect(0, 0, 425, 480), rect(427, 0, 427, 480)]);
        assert_eq!(cells(3, 854, 480)[2], rect(0, 240, 425, 240));
        assert_eq!(cells(4, 854, 480)[3], rect(427, 240, 427, 240));
        assert!(cells(0, 854, 480).is_empty());
    }

    #[test]
    fn pictures_land_in_their_cells_and_only_changes_are_drawn() {
        let mut composer = Composer::new();
        assert!(composer.draw(400, 200).is_some() && composer.draw(400, 200).is_none());
        composer.apply(Message::Layout(vec![0, 1, 2, 3]));
        for tile in 0..4 {
            let image = solid(160, 90, 60 + 40 * tile);
            composer.apply(Message::Picture { tile, image });
        }
        let pixels = composer.draw(400, 200).expect("new pictures");
        let at = |x: usize, y: usize| pixels[y * 400 + x] & 0xFF;
        let lumas = [at(100, 50), at(300, 50), at(100, 150), at(300, 150)];
        assert!(lumas.windows(2).all(|two| two[0] + 20 < two[1]), "{lumas:?}");
        assert!(composer.draw(400, 200).is_none());
        composer.apply(Message::Picture { tile: 2, image: solid(160, 90, 16) });
        let pixels = composer.draw(400, 200).expect("one new picture");
        assert!(pixels[150 * 400 + 100] & 0xFF <= 2);
    }

    #[test]
    fn a_camera_that_is_off_hides_the_last_picture() {
        let mut composer = Composer::new();
        composer.apply(Message::Layout(vec![0]));
        composer.apply(Message::Picture { tile: 0, image: solid(160, 90, 235) });
        composer
            .apply(Message::Info { tile: 0, info: TileInfo { camera_off: true, ..info("Ann") } });
        let pixels = composer.draw(320, 180).expect("it is new");
        assert_eq!(pixels[40 * 320 + 160], CARD);
        assert!(pixels.contains(&TEXT), "it says so");
    }

    #[test]
    fn who_left_does_not_come_back_with_an_old_picture() {
        let mut composer = Composer::new();
        composer.apply(Message::Layout(vec![0, 1]));
        composer.apply(Message::Picture { tile: 1, image: solid(160, 90, 235) });
        composer.apply(Message::Layout(vec![0]));
        composer.apply(Message::Layout(vec![0, 1]));
        let pixels = composer.draw(320, 180).expect("it is new");
        assert_eq!(pixels[40 * 320 + 240], CARD);
    }

    fn saying(lines: &[&str]) -> Message {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Message::Overlay(Overlay { alert: true, lines, ..Overlay::default() })
    }

    #[test]
    fn what_is_said_lies_over_all_pictures_until_it_is_taken_back() {
        let mut composer = Composer::new();
        composer.apply(Message::Layout(vec![0]));
        composer.apply(Message::Picture { tile: 0, image: solid(64, 48, 120) });
        let warned = |composer: &mut Composer| {
            let pixels = composer.draw(320, 240).expect("something changed");
            pixels.iter().filter(|&&p| p == WARNING).count()
        };
        assert_eq!(warned(&mut composer), 0);
        composer.apply(saying(&["again?"]));
        let one = warned(&mut composer);
        assert!(one > 1_000);
        composer.apply(saying(&["again?"]));
        assert!(composer.draw(320, 240).is_none(), "the same is not drawn again");
        composer.apply(Message::Picture { tile: 0, image: solid(64, 48, 130) });
        assert_eq!(warned(&mut composer), one);
        composer.apply(saying(&["Ben wants to come in: read the code out", "a r"]));
        assert!(warned(&mut composer) > one + 2_000, "lines are below each other");
        composer.apply(saying(&[]));
        assert_eq!(warned(&mut composer), 0);
    }

    #[test]
    fn the_keys_are_shown_whole_in_a_window_of_the_usual_size() {
        let mut composer = Composer::new();
        composer.apply(Message::Layout(vec![0]));
        composer.apply(Message::Picture { tile: 0, image: solid(64, 48, 120) });
        let lettered = |composer: &mut Composer, height: u32| {
            let pixels = composer.draw(854, height).expect("something changed");
            let row = |row: &[u32]| row.contains(&PLATE) && row.contains(&TEXT);
            pixels.chunks(854).filter(|pixels| row(pixels)).count()
        };
        let none = lettered(&mut composer, 480);
        composer.apply(Message::Overlay(Overlay { help: true, ..Overlay::default() }));
        // Seven rows of the font a line, twice as high.
        let lines = help(Place::Window).count();
        assert_eq!((none, lettered(&mut composer, 480)), (0, lines * 14));
        assert_eq!(lettered(&mut composer, 240), lines * 7);
    }

    #[test]
    fn lines_are_broken_between_words_and_long_words_anywhere() {
        let text = |line, room| broken(line, room).join("|");
        assert_eq!(text("a lets in, r refuses", 10), "a lets in,|r refuses");
        assert_eq!(text("203.0.113.5:7000#ABC now", 10), "203.0.113.|5:7000#ABC|now");
        assert_eq!((text("", 10), text("word", 1)), (String::new(), "w|o|r|d".to_owned()));
    }

    #[test]
    fn whom_the_keys_are_for_and_who_is_not_heard_is_seen() {
        let mut composer = Composer::new();
        composer.apply(Message::Layout(vec![0]));
        let mut drawn = |info: TileInfo| {
            composer.apply(Message::Info { tile: 0, info });
            composer.draw(320, 180).expect("it is new").to_vec()
        };
        let plain = drawn(info("Ann"));
        let chosen = drawn(TileInfo { chosen: true, ..info("Ann") });
        assert!(chosen.contains(&CHOSEN) && !plain.contains(&CHOSEN));
        let unheard = drawn(TileInfo { unheard: true, ..info("Ann") });
        assert!(unheard.contains(&DIMMED) && !plain.contains(&DIMMED));
    }

    #[test]
    fn silence_and_speech_are_seen() {
        let mut composer = Composer::new();
        composer.apply(Message::Layout(vec![0]));
        for (state, colour) in [
            (TileInfo { silent: true, ..info("Ann") }, WARNING),
            (TileInfo { speaking: true, ..info("Ann") }, SPEAKING),
        ] {
            composer.apply(Message::Info { tile: 0, info: state });
            assert!(composer.draw(320, 180).expect("it is new").contains(&colour));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_window_can_be_drawn(width in 0u32..200, height in 0u32..200, count in 0usize..5, name in "\\PC{0,20}", said in "\\PC{0,90}", bits: [bool; 9]) {
            let mut composer = Composer::new();
            composer.apply(Message::Layout((0..count as u8).collect()));
            composer.apply(Message::Picture { tile: 0, image: solid(33, 17, 99) });
            let info = TileInfo { name, muted: bits[0], camera_off: bits[1], silent: bits[2], speaking: bits[3], own: bits[4], hushed: bits[5], chosen: bits[6], unheard: bits[7] };
            composer.apply(Message::Info { tile: 0, info });
            let overlay = Overlay { help: bits[8], lines: vec![said], ..Overlay::default() };
            composer.apply(Message::Overlay(overlay));
            let pixels = composer.draw(width, height).map_or(0, <[u32]>::len);
            prop_assert_eq!(pixels, (width * height) as usize);
        }
    }
}
