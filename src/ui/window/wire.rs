//! What goes through the pipe to the preview window, and how it is read there.
//!
//! ```text
//!  0      2     3     4            8
//! +------+-----+-----+------------+----------------+
//! | "hz" | kind| tile| length, BE | body           |
//! +------+-----+-----+------------+----------------+
//! ```
//!
//! | kind | tile | body |
//! |---|---|---|
//! | 1 picture | which | width u16 BE, height u16 BE, then Y, U, V (4:2:0, limited, BT.709) |
//! | 2 info | which | flags (bit 0 muted, 1 camera off, 2 silent, 3 speaking, 4 own, 5 hushed, 6 chosen, 7 not heard here), then the name, UTF-8 |
//! | 3 layout | 0 | the tiles to show, one byte each, first is top left |
//! | 4 overlay | 0 | flags (bit 0 the keys' help, 1 a text is typed, 2 it wants an answer), then lines, UTF-8, a line feed between two |
//!
//! Back come lines of text: `key X` for a character, `key enter`, `escape`, `tab` or `backspace`,
//! `release X` when the space bar was let go, `closed` when a person closed the window, `unopened WHY`
//! when there was none, `lost` when its display went away.
//! Both ends are the same program; the reader still trusts no length.

use std::io::{self, Read, Write};

use crossterm::event::KeyCode;

use crate::video::image::I420;

/// Tiles that a window shows at most: the own picture and three others.
pub const MAX_TILES: usize = 4;
/// Longest side of a picture in the pipe, pixels.
pub const MAX_SIDE: u32 = 1920;
/// Longest name, bytes; longer ones are cut.
pub const MAX_NAME: usize = 64;
/// Longest text over the pictures, bytes; longer ones are cut.
pub const MAX_TEXT: usize = 1_000;

const MAGIC: [u8; 2] = *b"hz";
const HEADER: usize = 8;
const PICTURE: u8 = 1;
const INFO: u8 = 2;
const LAYOUT: u8 = 3;
const OVERLAY: u8 = 4;

/// What is written under and over a tile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileInfo {
    /// Display name.
    pub name: String,
    /// The microphone is muted.
    pub muted: bool,
    /// The camera is off: a card instead of a picture.
    pub camera_off: bool,
    /// Nothing heard from it for more than a second.
    pub silent: bool,
    /// Speaks now: a frame around the tile.
    pub speaking: bool,
    /// The own picture, shown mirrored.
    pub own: bool,
    /// What the microphone hears is recorded, and not sent (push-to-talk).
    pub hushed: bool,
    /// Keys are for this one: a frame around the name.
    pub chosen: bool,
    /// It is not heard here, because a person wants it so.
    pub unheard: bool,
}

impl TileInfo {
    fn flags(&self) -> u8 {
        let bits = [
            self.muted,
            self.camera_off,
            self.silent,
            self.speaking,
            self.own,
            self.hushed,
            self.chosen,
            self.unheard,
        ];
        bits.iter().enumerate().fold(0, |f, (bit, set)| f | u8::from(*set) << bit)
    }
}

/// What lies over the pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The keys and their meanings.
    pub help: bool,
    /// Keys are letters of a text now.
    pub typing: bool,
    /// It waits for an answer.
    pub alert: bool,
    /// Lines at the top.
    pub lines: Vec<String>,
}

/// A key that the call is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// That types this.
    Char(char),
    /// Return, Enter.
    Enter,
    /// Escape.
    Escape,
    /// Tabulator.
    Tab,
    /// The one that takes the last letter back.
    Backspace,
}

/// Those without a letter, as lines name them.
const NAMED: [(Key, &str); 4] = [
    (Key::Enter, "enter"),
    (Key::Escape, "escape"),
    (Key::Tab, "tab"),
    (Key::Backspace, "backspace"),
];

impl Key {
    /// From what a window system says was typed; `None` for what means nothing here.
    pub fn typed(code: u32) -> Option<Self> {
        Some(match char::from_u32(code)? {
            '\r' | '\n' => Self::Enter,
            '\u{1b}' => Self::Escape,
            '\t' => Self::Tab,
            '\u{8}' | '\u{7f}' => Self::Backspace,
            // macOS has its function keys in the private use area.
            c if c.is_control() || ('\u{e000}'..='\u{f8ff}').contains(&c) => return None,
            c => Self::Char(c),
        })
    }
}

impl From<Key> for KeyCode {
    fn from(key: Key) -> Self {
        match key {
            Key::Char(c) => Self::Char(c),
            Key::Enter => Self::Enter,
            Key::Escape => Self::Esc,
            Key::Tab => Self::Tab,
            Key::Backspace => Self::Backspace,
        }
    }
}

/// A line that the window sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A key was pressed.
    Key(Key),
    /// The space bar was let go.
    Released,
    /// A person closed the window.
    Closed,
    /// It could not be opened: why, for a person.
    Unopened(String),
    /// Its display went away.
    Lost,
}

impl Reply {
    /// Without its line end.
    pub fn line(&self) -> String {
        match self {
            Self::Key(Key::Char(c)) => format!("key {c}"),
            Self::Key(key) => {
                let name =
                    NAMED.iter().find(|(named, _)| named == key).map_or("", |(_, name)| name);
                format!("key {name}")
            }
            Self::Released => "release  ".to_owned(),
            Self::Closed => "closed".to_owned(),
            Self::Unopened(why) => format!("unopened {}", why.replace('\n', " ")),
            Self::Lost => "lost".to_owned(),
        }
    }

    /// `None` for a line that is none of them: a library of the window's may print.
    pub fn read(line: &str) -> Option<Self> {
        match line {
            "closed" => return Some(Self::Closed),
            "lost" => return Some(Self::Lost),
            _ => {}
        }
        if let Some(why) = line.strip_prefix("unopened ") {
            return Some(Self::Unopened(why.to_owned()));
        }
        if line.starts_with("release ") {
            return Some(Self::Released);
        }
        let rest = line.strip_prefix("key ")?;
        if let Some((key, _)) = NAMED.iter().find(|(_, name)| *name == rest) {
            return Some(Self::Key(*key));
        }
        let mut characters = rest.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) => Some(Self::Key(Key::Char(c))),
            _ => None,
        }
    }
}

/// One message to the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A new picture for a tile.
    Picture {
        /// Which tile, below [`MAX_TILES`].
        tile: u8,
        /// The picture.
        image: I420,
    },
    /// A tile's name and state.
    Info {
        /// Which tile, below [`MAX_TILES`].
        tile: u8,
        /// Name and state.
        info: TileInfo,
    },
    /// Which tiles are shown, in order.
    Layout(Vec<u8>),
    /// What lies over the pictures.
    Overlay(Overlay),
}

/// The pipe is broken or carries something else.
#[derive(Debug, thiserror::Error, strum::EnumCount)]
pub enum WireError {
    /// Reading or writing failed.
    #[error("the pipe to the preview window broke ({0}); press w to start it again")]
    Io(#[from] io::Error),
    /// What came is no message.
    #[error("the preview window was sent something else than pictures ({0}); start it from a call")]
    Format(&'static str),
}

fn header(out: &mut impl Write, kind: u8, tile: u8, length: usize) -> io::Result<()> {
    let length = u32::try_from(length).map_err(io::Error::other)?;
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&MAGIC);
    bytes[2] = kind;
    bytes[3] = tile;
    bytes[4..].copy_from_slice(&length.to_be_bytes());
    out.write_all(&bytes)
}

/// Writes a picture; one that is empty, torn or too large for the pipe is refused.
pub fn write_picture(out: &mut impl Write, tile: u8, image: &I420) -> Result<(), WireError> {
    let (width, height) = (image.width, image.height);
    if !(1..=MAX_SIDE).contains(&width)
        || !(1..=MAX_SIDE).contains(&height)
        || image.data.len() != I420::size(width, height)
    {
        return Err(WireError::Format("a picture of an impossible size"));
    }
    header(out, PICTURE, tile, 4 + image.data.len())?;
    out.write_all(&[width.to_be_bytes(), height.to_be_bytes()].map(|b| [b[2], b[3]]).concat())?;
    out.write_all(&image.data)?;
    Ok(())
}

/// Writes a tile's name and state.
pub fn write_info(out: &mut impl Write, tile: u8, info: &TileInfo) -> Result<(), WireError> {
    let name = cut(&info.name, MAX_NAME);
    header(out, INFO, tile, 1 + name.len())?;
    out.write_all(&[info.flags()])?;
    out.write_all(name)?;
    Ok(())
}

/// So many bytes at most, whole characters.
fn cut(text: &str, most: usize) -> &[u8] {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}

/// Writes what lies over the pictures.
pub fn write_overlay(out: &mut impl Write, overlay: &Overlay) -> Result<(), WireError> {
    let text = overlay.lines.join("\n");
    let text = cut(&text, MAX_TEXT);
    let bits = [overlay.help, overlay.typing, overlay.alert];
    let flags = bits.iter().enumerate().fold(0, |f, (bit, set)| f | u8::from(*set) << bit);
    header(out, OVERLAY, 0, 1 + text.len())?;
    out.write_all(&[flags])?;
    out.write_all(text)?;
    Ok(())
}

/// Writes which tiles are shown.
pub fn write_layout(out: &mut impl Write, tiles: &[u8]) -> Result<(), WireError> {
    let tiles = &tiles[..tiles.len().min(MAX_TILES)];
    header(out, LAYOUT, 0, tiles.len())?;
    out.write_all(tiles)?;
    Ok(())
}

/// Reads the next message; `None` at the end of the stream between two messages.
pub fn read(input: &mut impl Read) -> Result<Option<Message>, WireError> {
    let mut first = [0];
    loop {
        match input.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut rest = [0; HEADER - 1];
    input.read_exact(&mut rest)?;
    let [magic, kind, tile, length @ ..] = rest;
    let length = u32::from_be_bytes(length) as usize;
    if [first[0], magic] != MAGIC {
        return Err(WireError::Format("no message begins like this"));
    }
    if usize::from(tile) >= MAX_TILES {
        return Err(WireError::Format("a tile that does not exist"));
    }
    match kind {
        PICTURE => {
            let mut size = [0; 4];
            if length < size.len() {
                return Err(WireError::Format("a picture without a size"));
            }
            input.read_exact(&mut size)?;
            let width = u32::from(u16::from_be_bytes([size[0], size[1]]));
            let height = u32::from(u16::from_be_bytes([size[2], size[3]]));
            if !(1..=MAX_SIDE).contains(&width)
                || !(1..=MAX_SIDE).contains(&height)
                || length != 4 + I420::size(width, height)
            {
                return Err(WireError::Format("a picture of an impossible size"));
            }
            let mut image = I420::default();
            image.resize(width, height);
            input.read_exact(&mut image.data)?;
            Ok(Some(Message::Picture { tile, image }))
        }
        INFO => {
            if !(1..=1 + MAX_NAME).contains(&length) {
                return Err(WireError::Format("a name of an impossible length"));
            }
            let mut body = vec![0; length];
            input.read_exact(&mut body)?;
            let flags = body[0];
            let name = std::str::from_utf8(&body[1..])
                .map_err(|_| WireError::Format("a name that is not UTF-8"))?
                .to_owned();
            let bit = |n: u8| flags >> n & 1 != 0;
            let info = TileInfo {
                name,
                muted: bit(0),
                camera_off: bit(1),
                silent: bit(2),
                speaking: bit(3),
                own: bit(4),
                hushed: bit(5),
                chosen: bit(6),
                unheard: bit(7),
            };
            Ok(Some(Message::Info { tile, info }))
        }
        LAYOUT => {
            if length > MAX_TILES {
                return Err(WireError::Format("too many tiles"));
            }
            let mut tiles = vec![0; length];
            input.read_exact(&mut tiles)?;
            if tiles.iter().any(|&tile| usize::from(tile) >= MAX_TILES) {
                return Err(WireError::Format("a tile that does not exist"));
            }
            Ok(Some(Message::Layout(tiles)))
        }
        OVERLAY => {
            if !(1..=1 + MAX_TEXT).contains(&length) {
                return Err(WireError::Format("a text of an impossible length"));
            }
            let mut body = vec![0; length];
            input.read_exact(&mut body)?;
            let flags = body[0];
            if flags >> 3 != 0 {
                return Err(WireError::Format("unknown flags"));
            }
            let text = std::str::from_utf8(&body[1..])
                .map_err(|_| WireError::Format("a text that is not UTF-8"))?;
            let bit = |n: u8| flags >> n & 1 != 0;
            let lines = match text {
                "" => Vec::new(),
                text => text.split('\n').map(str::to_owned).collect(),
            };
            let overlay = Overlay { help: bit(0), typing: bit(1), alert: bit(2), lines };
            Ok(Some(Message::Overlay(overlay)))
        }
        _ => Err(WireError::Format("an unknown kind of message")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_of_the_picture() {
        let mut out = Vec::new();
        let mut image = I420::default();
        image.resize(2, 2);
        image.data = vec![1, 2, 3, 4, 5, 6];
        write_picture(&mut out, 3, &image).expect("memory");
        assert_eq!(out, *b"hz\x01\x03\0\0\0\x0a\0\x02\0\x02\x01\x02\x03\x04\x05\x06");
        out.clear();
        let info = TileInfo { name: "Ann".into(), muted: true, own: true, ..TileInfo::default() };
        write_info(&mut out, 0, &info).expect("memory");
        assert_eq!(out, *b"hz\x02\0\0\0\0\x04\x11Ann");
        out.clear();
        write_layout(&mut out, &[0, 2]).expect("memory");
        assert_eq!(out, *b"hz\x03\0\0\0\0\x02\0\x02");
        out.clear();
        let lines = vec!["Ben?".to_owned(), "a r".to_owned()];
        let overlay = Overlay { alert: true, lines, ..Overlay::default() };
        write_overlay(&mut out, &overlay).expect("memory");
        assert_eq!(out, *b"hz\x04\0\0\0\0\x09\x04Ben?\na r");
    }

    #[test]
    fn a_stream_that_ends_inside_a_message_is_an_error() {
        let mut out = Vec::new();
        write_info(&mut out, 1, &TileInfo::default()).expect("memory");
        assert!(matches!(read(&mut &out[..]), Ok(Some(_))));
        assert!(matches!(read(&mut &out[..0]), Ok(None)));
        for end in 1..out.len() {
            assert!(matches!(read(&mut &out[..end]), Err(WireError::Io(_))), "{end}");
        }
    }

    #[test]
    fn a_hostile_length_allocates_nothing() {
        for bytes in [
            *b"hz\x01\0\xff\xff\xff\xff\xff\xff\xff\xff",
            *b"hz\x02\0\xff\xff\xff\xff____",
            *b"hz\x03\0\xff\xff\xff\xff____",
            *b"hz\x04\0\xff\xff\xff\xff____",
            *b"hz\x04\0\0\0\0\x04\x08___",
            *b"hz\x01\x04\0\0\0\x0a\0\x02\0\x02",
            *b"xx\x01\0\0\0\0\x0a\0\x02\0\x02",
        ] {
            assert!(matches!(read(&mut &bytes[..]), Err(WireError::Format(_))), "{bytes:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut out = Vec::new();
        let info = TileInfo { name: "é".repeat(40) + "x", ..TileInfo::default() };
        write_info(&mut out, 0, &info).expect("memory");
        let Ok(Some(Message::Info { info, .. })) = read(&mut &out[..]) else {
            panic!("it can be read")
        };
        assert_eq!(info.name, "é".repeat(32));
    }

    #[test]
    fn keys_have_lines_and_window_systems_name_them_in_their_own_ways() {
        for (code, key, line) in [
            (u32::from('m'), Key::Char('m'), "key m"),
            (u32::from(' '), Key::Char(' '), "key  "),
            (0x0d, Key::Enter, "key enter"),
            (0x0a, Key::Enter, "key enter"),
            (0x1b, Key::Escape, "key escape"),
            (0x09, Key::Tab, "key tab"),
            (0x08, Key::Backspace, "key backspace"),
            (0x7f, Key::Backspace, "key backspace"),
        ] {
            assert_eq!((Key::typed(code), Reply::Key(key).line()), (Some(key), line.to_owned()));
        }
        // Ctrl-C, an arrow of macOS, half a pair of UTF-16.
        assert_eq!([0x03, 0xf700, 0xd800].map(Key::typed), [None; 3]);
        assert_eq!(Reply::read("release  "), Some(Reply::Released));
        assert_eq!(Reply::read("closed"), Some(Reply::Closed));
        for line in ["", "key ", "key mm", "key delete", "Failed to create decoration: Missing"] {
            assert_eq!(Reply::read(line), None, "{line}");
        }
    }

    fn message() -> impl Strategy<Value = Message> {
        let picture = (0u8..4, 1u32..20, 1u32..20, any::<u8>()).prop_map(|(tile, w, h, code)| {
            let mut image = I420::black(w, h);
            image.data.fill(code);
            Message::Picture { tile, image }
        });
        let info = (0u8..4, "\\PC{0,16}", any::<[bool; 8]>()).prop_map(|(tile, name, b)| {
            let info = TileInfo {
                name,
                muted: b[0],
                camera_off: b[1],
                silent: b[2],
                speaking: b[3],
                own: b[4],
                hushed: b[5],
                chosen: b[6],
                unheard: b[7],
            };
            Message::Info { tile, info }
        });
        let layout = prop::collection::vec(0u8..4, 0..=4).prop_map(Message::Layout);
        let lines = prop::collection::vec("\\PC{1,30}", 0..=4);
        let overlay = (any::<[bool; 3]>(), lines).prop_map(|([help, typing, alert], lines)| {
            Message::Overlay(Overlay { help, typing, alert, lines })
        });
        prop_oneof![picture, info, layout, overlay]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(messages in prop::collection::vec(message(), 0..6)) {
            let mut out = Vec::new();
            for message in &messages {
                match message {
                    Message::Picture { tile, image } => write_picture(&mut out, *tile, image),
                    Message::Info { tile, info } => write_info(&mut out, *tile, info),
                    Message::Layout(tiles) => write_layout(&mut out, tiles),
                    Message::Overlay(overlay) => write_overlay(&mut out, overlay),
                }
                .expect("memory");
            }
            let mut input = &out[..];
            for message in messages {
                prop_assert_eq!(read(&mut input).expect("whole"), Some(message));
            }
            prop_assert!(matches!(read(&mut input), Ok(None)));
        }

        #[test]
        fn replies_come_back_as_they_were(c: char, why in "\\PC{0,40}") {
            for reply in NAMED.map(|(key, _)| Reply::Key(key)).into_iter().chain([
                Reply::Key(Key::Char(c)), Reply::Released, Reply::Closed, Reply::Unopened(why), Reply::Lost,
            ]) {
                prop_assert_eq!(Reply::read(&reply.line()), Some(reply));
            }
        }

        #[test]
        fn any_line_is_a_reply_or_none(line in "\\PC{0,20}") {
            let again = |reply: Reply| Reply::read(&reply.line());
            let reply = Reply::read(&line);
            prop_assert_eq!(reply.clone().and_then(again), reply);
        }

        #[test]
        fn any_bytes_give_a_message_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..80), kind in 0u8..6) {
            let _ = read(&mut &bytes[..]);
            if bytes.len() > 3 {
                bytes[..3].copy_from_slice(&[b'h', b'z', kind]);
                let _ = read(&mut &bytes[..]);
            }
        }
    }
}
