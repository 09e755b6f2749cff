//! What all threads of a call share: switches and counters, each an atomic, and the clock's map, so
//! that a real-time thread never waits for anybody.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::clock::{ClockLine, ClockMap, PublishedClock};
use crate::platform::clock;
use crate::ui::model::Command;
use crate::units::{MAX_PARTICIPANTS, Micros, SessionMicros};

/// State that every thread may read at any time.
#[derive(Debug)]
pub struct Shared {
    /// The own microphone is muted by the person.
    pub muted: AtomicBool,
    /// When `muted` changed, and to what, in order: the recorder mutes what was captured since then,
    /// however far it is behind.
    mutes: Mutex<Vec<(Micros, bool)>>,
    /// The own camera is off by the person.
    pub camera_off: AtomicBool,
    /// The call ends; threads finish what they have and stop.
    pub stop: AtomicBool,
    /// A second Ctrl-C: stop without finishing.
    pub abort: AtomicBool,
    /// The recorder is behind: live video makes room (PRD invariant 1).
    pub shed_live_video: AtomicBool,
    /// The next live picture must be a keyframe.
    pub keyframe_wanted: AtomicBool,
    clock: PublishedClock,
    /// Per participant id.
    pub peers: [PeerCounters; MAX_PARTICIPANTS],
    /// From a frame's last sample at the microphone to the packet's leaving.
    pub capture_to_send: Histogram,
    /// From the device's handing over a frame's last sample to the packet's leaving: our own share.
    pub handed_to_send: Histogram,
    /// From the device's handing over to the talk thread's running.
    pub wake_up: Histogram,
    /// From the talk thread's having a whole frame to the packet's leaving.
    pub encode_and_send: Histogram,
    /// The shortest of `capture_to_send` since it was last read: what a packet on time took.
    pub input: Least,
    /// Bitrate of the live audio, kbit/s.
    pub audio_kbps: AtomicU32,
    /// Video bytes that wait in the talk thread.
    pub video_backlog: AtomicU64,
    /// Live pictures that were encoded.
    pub live_encoded: AtomicU64,
    /// Live pictures that were left out to make room.
    pub live_shed: AtomicU64,
    /// Time that the live encoder took, microseconds in all.
    pub live_encode_micros: AtomicU64,
}

/// What is counted for one other member.
#[derive(Debug, Default)]
pub struct PeerCounters {
    /// Bytes sent, all headers counted.
    pub sent_bytes: AtomicU64,
    /// Bytes received, all headers counted.
    pub received_bytes: AtomicU64,
    /// When a packet of it was last opened, local clock; 0 for never.
    pub heard: AtomicI64,
    /// Datagrams that the socket had no room for.
    pub send_blocked: AtomicU64,
    /// Shortest time from an audio frame's first sample there to its arrival here since it was last
    /// read, by the session clocks and the packets' own stamps.
    pub transit: Least,
    /// Copies of earlier frames in each audio packet that it gets.
    pub copies: AtomicU32,
    /// Its picture, as decoded here.
    pub video: VideoCounters,
}

/// What is counted for one peer's picture.
#[derive(Debug, Default)]
pub struct VideoCounters {
    /// Pictures decoded and shown.
    pub shown: AtomicU64,
    /// Bytes of VP8.
    pub bytes: AtomicU64,
    /// Pixels.
    pub width: AtomicU32,
    /// Pixels.
    pub height: AtomicU32,
    /// Newest number read from a test picture, plus 1; 0 for none.
    pub counter: AtomicU64,
    /// Capture there to display here.
    pub delay: Histogram,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            muted: AtomicBool::new(false),
            mutes: Mutex::default(),
            camera_off: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            shed_live_video: AtomicBool::new(false),
            keyframe_wanted: AtomicBool::new(false),
            clock: PublishedClock::default(),
            peers: Default::default(),
            capture_to_send: Histogram::default(),
            handed_to_send: Histogram::default(),
            wake_up: Histogram::default(),
            encode_and_send: Histogram::default(),
            input: Least::default(),
            audio_kbps: AtomicU32::new(0),
            video_backlog: AtomicU64::new(0),
            live_encoded: AtomicU64::new(0),
            live_shed: AtomicU64::new(0),
            live_encode_micros: AtomicU64::new(0),
        }
    }
}

impl Shared {
    /// The clock's map; `None` before it is set. The one conversion between local stamps and the
    /// session clock: take a copy where several stamps are converted.
    pub fn clock_map(&self) -> Option<ClockMap> {
        self.clock.read()
    }

    /// The control thread alone calls this.
    pub fn set_clock_map(&self, map: &ClockMap) {
        self.clock.write(map);
    }

    /// A clock that is the session's but for an offset (session clock less local clock,
    /// microseconds): a host's, or that of a recorder alone.
    pub fn set_clock_offset(&self, offset: i64) {
        let line = ClockLine { at: Micros(0), session: SessionMicros(offset), rate_ppb: 0 };
        self.set_clock_map(&ClockMap::new(line));
    }

    /// The session's time at a local instant.
    pub fn session_at(&self, local: Micros) -> Option<SessionMicros> {
        self.clock_map().map(|map| map.to_session(local))
    }

    /// The session's time now.
    pub fn session_now(&self) -> Option<SessionMicros> {
        self.session_at(clock::now())
    }

    /// The header's informative timestamp (PRD 5.4): milliseconds since the session's start.
    pub fn timestamp_ms(&self, local: Micros) -> u32 {
        self.session_at(local).map_or(0, |t| (t.0 / 1_000) as u32)
    }

    /// Mute and camera, at once: a promise that waits for no other thread. `false` for anything else.
    pub fn switch(&self, command: &Command) -> bool {
        match command {
            Command::Mute => self.mute(true, clock::now()),
            Command::Unmute => self.mute(false, clock::now()),
            Command::CameraOff => self.camera_off.store(true, Relaxed),
            Command::CameraOn => {
                self.camera_off.store(false, Relaxed);
                self.keyframe_wanted.store(true, Relaxed);
            }
            Command::ToggleWindow
            | Command::Marker
            | Command::End
            | Command::Admit { .. }
            | Command::Refuse { .. }
            | Command::Remove { .. }
            | Command::Volume { .. }
            | Command::MutePeer { .. }
            | Command::UnmutePeer { .. } => return false,
        }
        true
    }

    /// Mutes or opens the microphone from `at` on.
    pub(super) fn mute(&self, muted: bool, at: Micros) {
        let mut mutes = self.mutes.lock().unwrap_or_else(PoisonError::into_inner);
        self.muted.store(muted, Relaxed);
        mutes.push((at, muted));
    }

    /// How often `muted` has changed, and what it is.
    pub fn mutes(&self) -> (usize, bool) {
        let mutes = self.mutes.lock().unwrap_or_else(PoisonError::into_inner);
        (mutes.len(), self.muted.load(Relaxed))
    }

    /// The `number`th change of `muted` and its instant, when it came before `until`.
    pub fn next_mute(&self, number: usize, until: Micros) -> Option<(Micros, bool)> {
        let mutes = self.mutes.lock().unwrap_or_else(PoisonError::into_inner);
        mutes.get(number).copied().filter(|(at, _)| *at < until)
    }

    /// Threads are to finish.
    pub fn stopping(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// The least of what was added since it was last taken.
#[derive(Debug)]
pub struct Least(AtomicI64);

impl Default for Least {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }
}

impl Least {
    /// Adds one.
    pub fn add(&self, micros: i64) {
        self.0.fetch_min(micros, Relaxed);
    }

    /// Takes it and begins anew; `None` when nothing was added.
    pub fn take(&self) -> Option<i64> {
        Some(self.0.swap(i64::MAX, Relaxed)).filter(|least| *least != i64::MAX)
    }
}

/// Buckets of a [`Histogram`].
const BUCKETS: usize = 64;

/// Durations counted in buckets that widen by a quarter octave, 8 us to 0.5 s: quantiles to some
/// 19 %, written by one real-time thread without locks.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&self, micros: i64) {
        let octaves = (micros.max(1) as f64 / 8.0).log2();
        let bucket = (octaves * 4.0).ceil().clamp(0.0, (BUCKETS - 1) as f64) as usize;
        self.buckets[bucket].fetch_add(1, Relaxed);
    }

    /// The duration, microseconds, that `share` (0 to 1) of all do not exceed; `None` when nothing
    /// was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = (all as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(8.0 * 2f64.powf(i as f64 / 4.0));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_given_out_once() {
        let least = Least::default();
        assert_eq!(least.take(), None);
        for micros in [5, -3, 9] {
            least.add(micros);
        }
        assert_eq!([least.take(), least.take()], [Some(-3), None]);
    }

    #[test]
    fn quantiles_are_right_to_a_bucket() {
        let h = Histogram::default();
        assert_eq!(h.quantile(0.5), None);
        for micros in 1..=1_000 {
            h.add(micros * 10);
        }
        for (share, truth) in [(0.5, 5_000.0), (0.95, 9_500.0), (1.0, 10_000.0)] {
            let got = h.quantile(share).unwrap();
            assert!(got >= truth && got < truth * 1.2, "{share}: {got}");
        }
    }
}
