//! What this machine has, for `hyperzoom devices` and for the choice before a call.
//!
//! Opens devices for a moment to ask for their formats; a busy one is listed without them.

use serde::Serialize;

use super::matching::Named;
use super::sound::{host, live};
use super::{What, video};

/// Everything that the device flags can name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceList {
    /// For `--mic`.
    pub microphones: Vec<SoundDevice>,
    /// For `--speaker`.
    pub speakers: Vec<SoundDevice>,
    /// For `--camera`.
    pub cameras: Vec<CameraDevice>,
}

/// A microphone or speaker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SoundDevice {
    /// What the flag takes.
    pub id: String,
    /// What the system calls it.
    pub name: String,
    /// The system's default.
    pub default: bool,
    /// Most channels that it offers; 0 when it could not be asked.
    pub channels: u16,
    /// Sample rates, hertz: lowest and highest; 0 when it could not be asked.
    pub rates: (u32, u32),
    /// Sample formats, as `i16`.
    pub formats: Vec<String>,
    /// The smallest period that it says it takes, frames at its own rate; left out where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_period: Option<u32>,
}

impl SoundDevice {
    /// What it offers, in a line.
    pub fn offers(&self) -> String {
        if self.channels == 0 {
            return "in use, so it could not be asked".to_owned();
        }
        let channels = match self.channels {
            1 => "1 channel".to_owned(),
            n => format!("{n} channels"),
        };
        let rates = match self.rates {
            (lowest, highest) if lowest == highest => format!("{lowest} Hz"),
            (lowest, highest) => format!("{lowest} to {highest} Hz"),
        };
        let period = match self.smallest_period {
            Some(frames) => format!(", periods from {frames} frames"),
            None => String::new(),
        };
        format!("{channels}, {rates}, {}{period}", self.formats.join(" "))
    }
}

/// A camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CameraDevice {
    /// What the flag takes.
    pub id: String,
    /// What the system calls it.
    pub name: String,
    /// What it offers.
    pub formats: Vec<CameraFormat>,
}

/// One size in one pixel format.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CameraFormat {
    /// `MJPG`, `YUYV`, …, as the system writes it.
    pub pixels: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second, fastest first.
    pub fps: Vec<f64>,
}

impl CameraDevice {
    /// What it offers: each pixel format with its sizes and their fastest rates.
    pub fn offers(&self) -> String {
        let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
        for format in &self.formats {
            let rate = format.fps.first().map_or(String::new(), |fps| format!("@{fps:.0}"));
            let size = format!("{}x{}{rate}", format.width, format.height);
            match kinds.iter_mut().find(|(pixels, _)| *pixels == format.pixels) {
                Some((_, sizes)) if sizes.contains(&size) => {}
                Some((_, sizes)) => sizes.push(size),
                None => kinds.push((&format.pixels, vec![size])),
            }
        }
        let line = |(pixels, sizes): (&str, Vec<String>)| format!("{pixels} {}", sizes.join(" "));
        kinds.into_iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

impl Named for CameraDevice {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// Looks at everything that is connected now.
pub fn list() -> DeviceList {
    DeviceList {
        microphones: sound(What::Microphone),
        speakers: sound(What::Speaker),
        cameras: video::cameras(),
    }
}

/// The smallest buffer of a configuration; 0 is no answer.
fn smallest(range: &cpal::SupportedStreamConfigRange) -> Option<u32> {
    match range.buffer_size() {
        cpal::SupportedBufferSize::Range { min, .. } if *min > 0 => Some(*min),
        _ => None,
    }
}

fn sound(what: What) -> Vec<SoundDevice> {
    host::entries(what)
        .into_iter()
        .filter_map(|entry| {
            let found = match what {
                What::Microphone => live::input_configurations(&entry.device),
                _ => live::output_configurations(&entry.device),
            };
            let ranges = match found {
                Ok(ranges) => ranges,
                Err(e) if e.kind() == cpal::ErrorKind::DeviceBusy => Vec::new(),
                // ALSA lists what its configuration names, also for the other direction or for
                // servers that do not run.
                Err(_) => return None,
            };
            let mut formats: Vec<String> = Vec::new();
            for range in &ranges {
                let format = range.sample_format().to_string();
                if !formats.contains(&format) {
                    formats.push(format);
                }
            }
            Some(SoundDevice {
                id: entry.id,
                name: entry.name,
                default: entry.default,
                channels: ranges.iter().map(|r| r.channels()).max().unwrap_or(0),
                rates: (
                    ranges.iter().map(|r| r.min_sample_rate()).min().unwrap_or(0),
                    ranges.iter().map(|r| r.max_sample_rate()).max().unwrap_or(0),
                ),
                formats,
                smallest_period: ranges.iter().filter_map(smallest).min(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_offer_is_a_line() {
        let mut device = SoundDevice {
            id: "alsa:hw:1".into(),
            name: "Scarlett".into(),
            default: true,
            channels: 2,
            rates: (44_100, 192_000),
            formats: vec!["i16".into(), "i32".into()],
            smallest_period: Some(16),
        };
        assert_eq!(
            device.offers(),
            "2 channels, 44100 to 192000 Hz, i16 i32, periods from 16 frames"
        );
        (device.channels, device.rates, device.smallest_period) = (1, (48_000, 48_000), None);
        assert_eq!(device.offers(), "1 channel, 48000 Hz, i16 i32");
        device.channels = 0;
        assert_eq!(device.offers(), "in use, so it could not be asked");
        let format = |pixels: &str, width, height, fps: &[f64]| CameraFormat {
            pixels: pixels.into(),
            width,
            height,
            fps: fps.to_vec(),
        };
        let camera = CameraDevice {
            id: "/dev/video0".into(),
            name: "BRIO".into(),
            formats: vec![
                format("MJPG", 1920, 1080, &[60.0, 30.0]),
                format("YUYV", 640, 480, &[30.0]),
                format("MJPG", 1280, 720, &[29.97]),
                format("MJPG", 1280, 720, &[29.97]),
                format("GREY", 64, 64, &[]),
            ],
        };
        assert_eq!(camera.offers(), "MJPG 1920x1080@60 1280x720@30; YUYV 640x480@30; GREY 64x64");
    }
}
