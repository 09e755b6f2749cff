//! A Y4M file in a camera's part.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::y4m::{Colorspace, Decoder, Error, Limits};

use crate::devices::{DeviceError, words};
use crate::video::frame::{Codes, ColorRange};

const REMEDY: &str =
    "give a Y4M file with 8-bit 4:2:0 pictures (ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m)";
// The largest picture that the rest of the program takes, 3840x2160, and some room.
const LARGEST_FRAME: usize = 16 << 20;

/// An open file, at its first picture.
pub struct Y4mFile {
    path: PathBuf,
    decoder: Option<Decoder<BufReader<File>>>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second as the fraction that the header gives.
    pub rate: (u64, u64),
    /// What its codes mean.
    pub codes: Codes,
}

impl Y4mFile {
    /// Opens and checks it, also that there is a first picture.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let fail = |why: String, remedy: &str| DeviceError::File {
            path: path.to_owned(),
            why,
            remedy: remedy.to_owned(),
        };
        let mut file =
            File::open(path).map_err(|e| fail(words(&e), "give a file that can be read"))?;
        if file.metadata().is_ok_and(|m| !m.is_file()) {
            return Err(fail("this is no file".into(), REMEDY));
        }
        // The decoder reads as far as a line goes; a file of another kind has none.
        let mut magic = [0; 10];
        let whole = file.read_exact(&mut magic).is_ok();
        if !whole || &magic != b"YUV4MPEG2 " || file.seek(SeekFrom::Start(0)).is_err() {
            return Err(fail("this is no Y4M file".into(), REMEDY));
        }
        let mut decoder = decoder(file)
            .map_err(|e| fail(format!("its header cannot be read ({})", text(&e)), REMEDY))?;
        let (width, height) = (decoder.get_width(), decoder.get_height());
        let rate = decoder.get_framerate();
        match decoder.get_colorspace() {
            Colorspace::C420
            | Colorspace::C420jpeg
            | Colorspace::C420paldv
            | Colorspace::C420mpeg2 => {}
            other => return Err(fail(format!("its pictures are {other:?}"), REMEDY)),
        }
        let fits = |n: usize| (16..=3840).contains(&n) && n.is_multiple_of(2);
        if !fits(width) || !fits(height) {
            let why = format!("its pictures of {width}x{height} cannot be used");
            return Err(fail(why, "give one with even sizes from 16 to 3840"));
        }
        let fps = rate.num as f64 / rate.den as f64;
        if !(1.0..=240.0).contains(&fps) {
            return Err(fail(format!("its rate of {fps} frames a second cannot be used"), REMEDY));
        }
        if decoder.read_frame().is_err() {
            return Err(fail("there is no whole picture in it".into(), REMEDY));
        }
        let mut open = Self {
            path: path.to_owned(),
            decoder: None,
            width: width as u32,
            height: height as u32,
            rate: (rate.num as u64, rate.den as u64),
            codes: codes(decoder.get_raw_params()),
        };
        open.rewind().map_err(|e| fail(e, REMEDY))?;
        Ok(open)
    }

    /// Back to the first picture.
    pub fn rewind(&mut self) -> Result<(), String> {
        let file = File::open(&self.path).map_err(|e| e.to_string())?;
        self.decoder = Some(decoder(file).map_err(|e| text(&e))?);
        Ok(())
    }

    /// The next picture as I420; `None` at the end (also of a file that was cut short).
    pub fn next(&mut self) -> Result<Option<Arc<Vec<u8>>>, String> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        match decoder.read_frame() {
            Ok(frame) => {
                let planes = [frame.get_y_plane(), frame.get_u_plane(), frame.get_v_plane()];
                Ok(Some(Arc::new(planes.concat())))
            }
            Err(Error::EOF) => Ok(None),
            Err(Error::IoError(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(text(&e)),
        }
    }
}

/// Such a file names its range at most (ffmpeg's `XCOLORRANGE`), never its matrix: the recording's.
fn codes(header: &[u8]) -> Codes {
    let full = header.split(|&byte| byte == b' ').any(|word| word == b"XCOLORRANGE=FULL");
    let range = if full { ColorRange::Full } else { ColorRange::Limited };
    Codes { range, ..Codes::RECORDED }
}

fn decoder(file: File) -> Result<Decoder<BufReader<File>>, Error> {
    let limits = Limits { bytes: LARGEST_FRAME };
    Decoder::new_with_limits(BufReader::with_capacity(1 << 20, file), limits)
}

// The crate's own words are `Error::BadInput` and the like.
fn text(e: &Error) -> String {
    match e {
        Error::EOF => "it ends too early".into(),
        Error::BadInput => "a value is wrong".into(),
        Error::UnknownColorspace => "its pixel format is unknown".into(),
        Error::ParseError(_) => "a header is wrong".into(),
        Error::IoError(e) => words(e),
        Error::OutOfMemory => "its pictures are too large".into(),
    }
}
