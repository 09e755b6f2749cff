//! Which device a flag means: `test`, `off`, `file:PATH`, or a real one by id or part of its name.

use std::path::PathBuf;
use std::str::FromStr;

/// The value of `--mic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MicSpec {
    /// The system's default input.
    Default,
    /// A synthetic sound whose position can be found again.
    Test,
    /// Silence.
    Off,
    /// A WAV file, played in real time.
    File(PathBuf),
    /// A device whose id is this or whose name has it as a unique part; a channel counted from 1.
    Device {
        /// Id or unique part of a name.
        id: String,
        /// `ID:CHANNEL`, from 1.
        channel: Option<u16>,
    },
}

/// The value of `--speaker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeakerSpec {
    /// The system's default output.
    Default,
    /// What would be heard is rendered and thrown away.
    Off,
    /// What would be heard, as WAV, 48 kHz, sample for sample.
    File(PathBuf),
    /// A device whose id is this or whose name has it as a unique part.
    Device(String),
}

/// The value of `--camera`.
#[derive(Clone, Debug, PartialEq)]
pub enum CameraSpec {
    /// The first camera of the system.
    Default,
    /// A test picture with a frame counter and a clock.
    Test {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
        /// Frames per second.
        fps: f64,
    },
    /// No picture.
    Off,
    /// A Y4M file, played in real time.
    File(PathBuf),
    /// A device whose id is this or whose name has it as a unique part.
    Device(String),
}

/// Why a device flag's value means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// `--camera test:…` is not `WIDTHxHEIGHT[@FPS]`.
    #[error(
        "'{0}' is not test:WIDTHxHEIGHT[@FPS] with even sizes from 16 to 3840; try test:640x360"
    )]
    TestSize(String),
    /// `file:` without a path, or an empty value.
    #[error("'{0}' names no device or file; try a device's id, test, off or file:PATH")]
    Empty(String),
}

impl FromStr for MicSpec {
    type Err = SpecError;

    fn from_str(s: &str) -> Result<Self, SpecError> {
        Ok(match s {
            "default" => Self::Default,
            "test" => Self::Test,
            "off" => Self::Off,
            _ => {
                if let Some(path) = file_path(s)? {
                    Self::File(path)
                } else {
                    let (id, channel) = match s.rsplit_once(':') {
                        Some((id, n)) if !id.is_empty() => match n.parse::<u16>() {
                            Ok(n) if n >= 1 => (id, Some(n)),
                            _ => (s, None),
                        },
                        _ => (s, None),
                    };
                    Self::Device { id: id.to_owned(), channel }
                }
            }
        })
    }
}

impl FromStr for SpeakerSpec {
    type Err = SpecError;

    fn from_str(s: &str) -> Result<Self, SpecError> {
        Ok(match s {
            "default" => Self::Default,
            "off" => Self::Off,
            _ => match file_path(s)? {
                Some(path) => Self::File(path),
                None => Self::Device(s.to_owned()),
            },
        })
    }
}

impl CameraSpec {
    /// `test` without a size.
    pub const TEST: Self = Self::Test { width: 1920, height: 1080, fps: 30.0 };
}

impl FromStr for CameraSpec {
    type Err = SpecError;

    fn from_str(s: &str) -> Result<Self, SpecError> {
        if s == "test" {
            return Ok(Self::TEST);
        }
        if let Some(size) = s.strip_prefix("test:") {
            let wrong = || SpecError::TestSize(s.to_owned());
            let (size, fps) = match size.split_once('@') {
                Some((size, fps)) => (size, fps.parse::<f64>().map_err(|_| wrong())?),
                None => (size, 30.0),
            };
            let (width, height) = size.split_once('x').ok_or_else(wrong)?;
            let width: u32 = width.parse().map_err(|_| wrong())?;
            let height: u32 = height.parse().map_err(|_| wrong())?;
            let fits = |n: u32| (16..=3840).contains(&n) && n.is_multiple_of(2);
            if !fits(width) || !fits(height) || !(1.0..=240.0).contains(&fps) {
                return Err(wrong());
            }
            return Ok(Self::Test { width, height, fps });
        }
        Ok(match s {
            "default" => Self::Default,
            "off" => Self::Off,
            _ => match file_path(s)? {
                Some(path) => Self::File(path),
                None => Self::Device(s.to_owned()),
            },
        })
    }
}

fn file_path(s: &str) -> Result<Option<PathBuf>, SpecError> {
    match s.strip_prefix("file:") {
        Some("") => Err(SpecError::Empty(s.to_owned())),
        Some(path) => Ok(Some(PathBuf::from(path))),
        None if s.is_empty() => Err(SpecError::Empty(s.to_owned())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_only_a_number_behind_the_last_colon() {
        let device = |id: &str, channel| MicSpec::Device { id: id.into(), channel };
        assert_eq!("alsa:hw:1,0:2".parse(), Ok(device("alsa:hw:1,0", Some(2))));
        assert_eq!("Scarlett".parse(), Ok(device("Scarlett", None)));
        assert_eq!("alsa:front".parse(), Ok(device("alsa:front", None)));
    }

    #[test]
    fn a_test_camera_takes_size_and_rate() {
        let test = |width, height, fps| Ok(CameraSpec::Test { width, height, fps });
        assert_eq!("test".parse(), test(1920, 1080, 30.0));
        assert_eq!("test:640x360".parse(), test(640, 360, 30.0));
        assert_eq!("test:640x360@29.97".parse(), test(640, 360, 29.97));
        for wrong in ["test:", "test:640", "test:641x360", "test:640x360@0", "test:99999x2"] {
            assert!(wrong.parse::<CameraSpec>().is_err(), "{wrong}");
        }
    }
}
