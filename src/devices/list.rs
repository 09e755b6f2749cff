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
            })
        })
        .collect()
}
