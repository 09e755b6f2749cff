//! What a call or a recording is started with, already validated.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::protocol::Admit;

use crate::audio::codec::FrameLength;
use crate::audio::copies::AutoBitrate;
use crate::devices::SoundPath;
use crate::devices::spec::{CameraSpec, MicSpec, SpeakerSpec};
use crate::recording::sound::SoundFormat;

/// Who we are in the call.
#[derive(Clone, Debug)]
pub enum Role {
    /// Begins the session and waits for guests.
    Host(HostConfig),
    /// Joins a session.
    Guest(GuestConfig),
    /// Records without a network.
    Alone,
}

/// `hyperzoom host`.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where to listen; `None` is the default port 7000 on all addresses.
    pub listen: Option<SocketAddr>,
    /// Who may join.
    pub admit: Admit,
    /// The invite's key, 16 bytes; `None` makes a new one.
    pub key: Option<[u8; 16]>,
    /// `--public ADDR[:PORT]`: what the invite shows.
    pub public: Option<String>,
    /// Record at once instead of from the first guest on.
    pub record_now: bool,
    /// Ask the router to let guests in.
    pub port_mapping: bool,
}

/// `hyperzoom join`.
#[derive(Clone, Debug)]
pub struct GuestConfig {
    /// Host name or address as typed, with its port.
    pub address: String,
    /// UDP port.
    pub port: u16,
    /// The invite's key.
    pub key: Option<[u8; 16]>,
    /// Where to listen; `None` is any free port on all addresses.
    pub listen: Option<SocketAddr>,
    /// Ask the router to let the others in.
    pub port_mapping: bool,
}

/// Size of a device's period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// The smallest that works.
    Auto,
    /// Frames at 48 kHz.
    Frames(u32),
}

/// Frames and bitrate of the live audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveAudio {
    /// `--frame`.
    pub frame: FrameLength,
    /// `--audio-bitrate`, kbit/s; `None` is auto: what the paths have room for.
    pub kbps: Option<u32>,
}

impl LiveAudio {
    /// The bitrate to begin with, kbit/s.
    pub fn start_kbps(&self) -> u32 {
        self.kbps.unwrap_or_else(|| AutoBitrate::new(self.frame).kbps())
    }
}

/// Most that a picture is moved, microseconds: the end waits a quarter of a second for pictures.
pub const MOST_AV_OFFSET: i64 = 200_000;

/// Everything that `host`, `join` and `record` need.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// Host, guest or alone.
    pub role: Role,
    /// Display name.
    pub name: String,
    /// Session name, for the folder.
    pub session: Option<String>,
    /// Folder that gets the session's folder.
    pub output: PathBuf,
    /// Microphone.
    pub mic: MicSpec,
    /// Camera.
    pub camera: CameraSpec,
    /// Speaker.
    pub speaker: SpeakerSpec,
    /// Device period.
    pub period: Period,
    /// How sound gets to the devices and from them.
    pub sound: SoundPath,
    /// Live audio.
    pub audio: LiveAudio,
    /// Live VP8 bitrate, kbit/s.
    pub video_kbps: u32,
    /// Files as inputs start over at their end.
    pub loop_files: bool,
    /// Ends by itself, counted from the recording's start.
    pub duration: Option<Duration>,
    /// Encoder for the recording; `None` is the best one.
    pub encoder: Option<String>,
    /// Start muted.
    pub mute: bool,
    /// Start with the camera off.
    pub camera_off: bool,
    /// The file keeps what is said while muted.
    pub record_while_muted: bool,
    /// How the recording's sound is coded.
    pub audio_format: SoundFormat,
    /// The card's own samples are kept beside the recording.
    pub raw_audio: bool,
    /// How much later the picture is to stand against the sound, microseconds; `None` is what the
    /// camera was given last time.
    pub av_offset: Option<i64>,
    /// The sync tone is written into the recording.
    pub tone: bool,
    /// What is received of the others' sound is kept, too.
    pub safety_tracks: bool,
    /// Show the preview window from the start.
    pub window: bool,
    /// Look for recordings that earlier runs could not end; not where that was asked before.
    pub find_unfinished: bool,
}
