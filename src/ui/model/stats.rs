//! The figures of one second ([`Stats`]) and their parts.

use serde::Serialize;

/// The figures of one second.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stats {
    /// Timecode of this instant in the recording, `HH:MM:SS:FF`, 30 fps non-drop, as an editor sees it;
    /// absent before the recording has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timecode: Option<String>,
    /// The file being written; absent before the recording has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingStats>,
    /// The disk that the recording goes to.
    pub disk: DiskStats,
    /// The own microphone.
    pub mic: MicStats,
    /// The sound devices.
    pub sound: SoundStats,
    /// CPU time of this process over the last second, 100 = one core.
    pub cpu_percent: f64,
    /// Resident memory, MiB.
    pub rss_mb: f64,
    /// The sending side of the call; absent for `record`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveStats>,
    /// The others.
    pub peers: Vec<PeerStats>,
}

/// The disk that the recording goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskStats {
    /// Free space; absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// How long the recording can go on in that: at its own rate, in its first seconds at the one
    /// that is aimed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// For how long the disk has not answered, seconds; 0 for one that does.
    pub silent_seconds: f64,
}

/// The sending side of the call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LiveStats {
    /// From an audio frame's last sample at the microphone to its packet's leaving, milliseconds,
    /// median since the start.
    pub capture_to_send_ms_p50: f64,
    /// The same, 99 % are faster.
    pub capture_to_send_ms_p99: f64,
    /// From the device's handing over the frame's last sample to the packet's leaving, milliseconds,
    /// 99 % are faster: what of the above is this program's.
    pub handed_to_send_ms_p99: f64,
    /// From the device's handing over to the sending thread's running, milliseconds, 99 % are faster.
    pub wake_up_ms_p99: f64,
    /// Encoding and sending alone, milliseconds, 99 % are faster.
    pub encode_and_send_ms_p99: f64,
    /// Scaling and encoding one live picture, milliseconds, mean of the last second.
    pub video_encode_ms: f64,
    /// Live pictures encoded in the last second.
    pub video_fps: f64,
    /// Live pictures left out so that the recording keeps up.
    pub video_shed: u64,
    /// Datagrams that did not parse or did not open.
    pub datagrams_dropped: u64,
}

/// Counters of the recording (DESIGN: captured = encoded + cadence_discarded + withheld + queued).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecordingStats {
    /// Length of the file so far.
    pub seconds: f64,
    /// Size of the file so far.
    pub bytes: u64,
    /// Pictures that the camera delivered since the recording's start.
    pub frames_captured: u64,
    /// Captured pictures that are in the file.
    pub frames_encoded: u64,
    /// Pipeline loss; must be 0.
    pub frames_dropped: u64,
    /// Pictures of a camera faster than 30 fps that had no slot.
    pub cadence_discarded: u64,
    /// Slots filled with the picture before.
    pub frames_repeated: u64,
    /// Slots filled with black (camera off, or none yet).
    pub black_frames: u64,
    /// Captured while the camera was switched off by the person.
    pub withheld: u64,
    /// Pictures that left memory while the encoder was far behind: for the scratch file, or
    /// squeezed. None of them is lost.
    pub spilled: u64,
    /// The part of `spilled` that was squeezed (JPEG, quality 95) because the disk was slow.
    pub squeezed: u64,
    /// Memory of the pictures that wait for their slot or for the encoder.
    pub queued_bytes: u64,
    /// The budget of `queued_bytes`: near it, pictures leave memory.
    pub queued_limit_bytes: u64,
    /// Encoded media that waits for the disk.
    pub unwritten_bytes: u64,
    /// Time one picture takes to encode, milliseconds, mean of the last second.
    pub encode_ms: f64,
    /// Time that pictures wait for the encoder, milliseconds.
    pub queue_ms: f64,
}

/// The own microphone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MicStats {
    /// Highest sample of the last second, dBFS, -120 for silence.
    pub peak_db: f64,
    /// Mean power of the last second, dBFS.
    pub rms_db: f64,
    /// Overruns and underruns that the sound system has told of.
    pub xruns: u64,
    /// How much faster than its nominal rate it runs, by this computer's clock, parts per million;
    /// left out until it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppm: Option<f64>,
}

/// The sound devices and the threads that serve them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SoundStats {
    /// The microphone.
    pub microphone: SoundDeviceStats,
    /// The speaker; absent for `record`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<SoundDeviceStats>,
    /// Threads that asked for more than normal priority and what they got: `hz-talk: SCHED_FIFO 10`,
    /// `speaker: refused: WHY; try WHAT`.
    pub priorities: Vec<String>,
}

/// One sound device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SoundDeviceStats {
    /// Its name.
    pub name: String,
    /// `direct` (read or written without a shell between), `system` (in the device's periods) or
    /// `none` (no real device).
    pub way: &'static str,
    /// The device's period, frames at its own rate.
    pub period_frames: u32,
    /// Its own rate, hertz.
    pub sample_rate: u32,
    /// Between the device and the program, milliseconds.
    pub delay_ms: f64,
    /// Overruns or underruns since the start.
    pub xruns: u64,
}

/// Where the time between a mouth and an ear goes, milliseconds. The sum is
/// [`PeerStats::audio_latency_ms`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LatencyParts {
    /// There: from a frame's last sample at the microphone to its packet's leaving.
    pub input_ms: f64,
    /// The frame itself: its first sample waits for its last one.
    pub frame_ms: f64,
    /// On the way.
    pub network_ms: f64,
    /// Half width of the interval that holds the truth about the way.
    pub uncertainty_ms: f64,
    /// In the playout buffer here.
    pub playout_ms: f64,
    /// Look-ahead of the codec and of the resampler.
    pub codec_ms: f64,
    /// From the playout to the speaker's membrane.
    pub output_ms: f64,
}

impl LatencyParts {
    /// Mouth to ear.
    pub fn sum(&self) -> f64 {
        self.input_ms
            + self.frame_ms
            + self.network_ms
            + self.playout_ms
            + self.codec_ms
            + self.output_ms
    }
}

/// One peer's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PeerStats {
    /// Participant id.
    pub id: u8,
    /// Round trip, milliseconds.
    pub rtt_ms: f64,
    /// Audio packets lost on the way here, percent of the last second.
    pub loss_percent: f64,
    /// Spread of the packets' delay, milliseconds.
    pub jitter_ms: f64,
    /// Depth of the playout buffer, milliseconds.
    pub playout_ms: f64,
    /// Mouth to ear as estimated, milliseconds.
    pub audio_latency_ms: f64,
    /// The same in its parts.
    pub latency: LatencyParts,
    /// Copies of earlier frames in each packet sent to this peer.
    pub copies: u8,
    /// Share of what is heard that the decoder made up, percent.
    pub concealed_percent: f64,
    /// How loud it is heard here, as a factor; 0 when it is muted here.
    pub volume: f64,
    /// Sent to this peer, kbit/s, all headers counted.
    pub sent_kbps: f64,
    /// Received from this peer, kbit/s, all headers counted.
    pub received_kbps: f64,
    /// What stands in queues on the way to this peer, milliseconds: audio goes through them.
    pub queue_ms: f64,
    /// What the path to this peer carries of what is sent, kbit/s; not there while nothing has been
    /// found against sending more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_kbps: Option<f64>,
    /// How its own recording does, as it tells itself once a second.
    pub health: PeerHealth,
    /// The picture that is sent to this peer; not there for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_video: Option<SentVideo>,
    /// The picture seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<PeerVideo>,
}

/// A peer's recording, as the peer tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PeerHealth {
    /// It runs and has no trouble.
    pub recording: bool,
    /// Pictures that its pipeline lost; must be 0.
    pub dropped: u32,
    /// Free space for it, MiB, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_left_mb: Option<u32>,
    /// That is little.
    pub little_space: bool,
    /// Its microphone was at full scale just now.
    pub clipping: bool,
}

/// The picture that a peer is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SentVideo {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Target of its encoder, kbit/s.
    pub kbps: u32,
}

/// A peer's picture as it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PeerVideo {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames shown per second.
    pub fps: f64,
    /// Video payload, kbit/s.
    pub kbps: f64,
    /// Capture there to handing over for display here, milliseconds; 95 % are faster.
    pub delay_ms: f64,
    /// Pictures shown since the start.
    pub shown: u64,
    /// Number read from the newest test picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
}
