//! What microphone and speaker share: the system's devices, formats, rates, and the supervision of
//! an open stream.

pub mod choice;
pub mod convert;
pub mod counters;
#[cfg(target_os = "linux")]
pub mod direct;
pub mod host;
pub mod live;
pub mod rate;
// The plan of the own playback; pure, so that it is tested everywhere.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub mod reserve;
pub mod watch;

/// How sound gets to a device and from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoundPath {
    /// Without a shell between where the device allows it, else as the system does it.
    #[default]
    Auto,
    /// Without a shell between (Linux), or not at all.
    Direct,
    /// In the device's periods, two of which wait in the speaker's buffer.
    System,
}

/// What an open microphone or speaker turned out to be.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SoundInfo {
    /// The system's name, or `test sound`, `off`, the file's name.
    pub name: String,
    /// What the flag takes to get it again.
    pub id: String,
    /// The device's own rate, hertz; what is delivered is always 48 kHz.
    pub sample_rate: u32,
    /// The device's channels.
    pub channels: u16,
    /// The device's sample format, as `i16` or `f32`.
    pub format: String,
    /// Frames per period at the device's rate, as granted.
    pub period_frames: u32,
    /// Frames that the device's buffer holds; 0 when the system does not tell.
    pub buffer_frames: u32,
    /// Delay between the device and us when it was opened, microseconds.
    pub delay_micros: i64,
    /// It is no real device.
    pub synthetic: bool,
    /// The program's own threads read and write it, without a shell between.
    pub direct: bool,
}

impl SoundInfo {
    /// For what plays a device's part.
    pub(crate) fn synthetic(name: String, id: String) -> Self {
        Self {
            name,
            id,
            sample_rate: crate::units::SAMPLE_RATE,
            channels: 1,
            format: "f32".into(),
            period_frames: super::pace::BLOCK as u32,
            buffer_frames: super::pace::BLOCK as u32,
            delay_micros: 0,
            synthetic: true,
            direct: false,
        }
    }
}

/// `Lab mic, 240 frames at 48 kHz` or `Lab mic, direct at 48 kHz`, for one line of the dashboard.
impl std::fmt::Display for SoundInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if self.synthetic {
            return Ok(());
        }
        let khz = f64::from(self.sample_rate) / 1e3;
        match self.direct {
            true => write!(f, ", direct at {khz} kHz"),
            false => write!(f, ", {} frames at {khz} kHz", self.period_frames),
        }
    }
}
