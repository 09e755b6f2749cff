//! What all threads of a call share: switches and counters, each an atomic, and the clock's map, so
//! that a real-time thread never waits for anybody.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, PoisonError};

use crate::clock::{ClockLine, ClockMap, PublishedClock, SHORTEST_MICROS, Slept};
use crate::platform::clock;
use crate::ui::model::Command;
use crate::units::{MAX_PARTICIPANTS, Micros, SessionMicros};
use crate::video::allot::Picture;

/// State that every thread may read at any time.
#[derive(Debug)]
pub struct Shared {
    /// The own microphone is muted by the person.
    pub muted: AtomicBool,
    /// Push-to-talk: what the microphone hears is recorded, and not sent.
    pub hushed: AtomicBool,
    /// When `muted` changed, and to what, in order: the recorder mutes what was captured since then,
    /// however far it is behind.
    mutes: Mutex<Vec<(Micros, bool)>>,
    /// The own camera is off by the person.
    pub camera_off: AtomicBool,
    /// When `camera_off` changed, and to what, in order, likewise.
    camera_switches: Mutex<Vec<(Micros, bool)>>,
    /// The call ends; threads finish what they have and stop.
    pub stop: AtomicBool,
    /// A second Ctrl-C: stop without finishing.
    pub abort: AtomicBool,
    /// The recorder is behind: live video makes room (PRD invariant 1).
    pub shed_live_video: AtomicBool,
    /// The two live encoders, as in [`crate::video::fanout::Source`].
    pub live: [LiveEncoder; 2],
    clock: PublishedClock,
    /// Sleeps of this computer, in order.
    sleeps: Mutex<Vec<Slept>>,
    /// All time slept that is in `sleeps`, by the system's count.
    asleep: AtomicI64,
    /// The clock was not measured anew since the last of them.
    unsettled: AtomicBool,
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
    /// What its audio takes on the wire while somebody speaks, kbit/s; 0 while that is not known.
    pub audio_kbps: AtomicU32,
    /// What the path would have to carry so that its audio takes more, kbit/s; 0 where it has all.
    pub audio_wants_kbps: AtomicU32,
    /// Last round trip, microseconds.
    pub round_trip: AtomicI64,
    /// The path to it.
    pub path: PathGauge,
    /// Its picture, as decoded here.
    pub video: VideoCounters,
}

impl PeerCounters {
    /// The member has left: what is known of the way to it is not known of whoever has its number
    /// next. What was counted stays.
    pub fn left(&self) {
        self.copies.store(0, Relaxed);
        self.audio_kbps.store(0, Relaxed);
        self.audio_wants_kbps.store(0, Relaxed);
        self.round_trip.store(0, Relaxed);
        self.path.set(None, 0, None);
    }
}

/// What congestion control knows of the path to a peer, for any thread. The control thread writes.
#[derive(Debug, Default)]
pub struct PathGauge {
    bits: AtomicU64,
    queue_micros: AtomicU32,
    picture: AtomicU64,
}

impl PathGauge {
    /// What the path carries of what we send, all headers counted, bits per second; `None` where
    /// nothing has been found against sending more.
    pub fn bits_per_second(&self) -> Option<u64> {
        Some(self.bits.load(Relaxed)).filter(|bits| *bits != 0)
    }

    /// What stood in queues on the way there at the last report, microseconds.
    pub fn queue_micros(&self) -> u32 {
        self.queue_micros.load(Relaxed)
    }

    /// The picture that we send there; `None` for none.
    pub fn picture(&self) -> Option<Picture> {
        unpack(self.picture.load(Relaxed))
    }

    /// Publishes all of it.
    pub fn set(&self, kbps: Option<f64>, queue_micros: u32, picture: Option<Picture>) {
        self.bits.store(kbps.map_or(0, |kbps| (kbps * 1e3).max(1.0) as u64), Relaxed);
        self.queue_micros.store(queue_micros, Relaxed);
        self.picture.store(pack(picture), Relaxed);
    }
}

/// One live encoder: what the control thread wants of it, who wants a keyframe, how much waits.
#[derive(Debug)]
pub struct LiveEncoder {
    picture: AtomicU64,
    /// Bit n: member n wants a keyframe.
    pub wanted: AtomicU32,
    delay: AtomicU64,
}

impl Default for LiveEncoder {
    fn default() -> Self {
        let delay = AtomicU64::new(Self::NOBODY);
        Self { picture: AtomicU64::new(0), wanted: AtomicU32::new(0), delay }
    }
}

impl LiveEncoder {
    /// In `wanted`: not for one member.
    pub const OWN_REASONS: u32 = 1 << 31;
    /// In `wanted`: somebody has missed all that came before, and waits for nothing else.
    pub const CUT_OFF: u32 = 1 << 30;
    const NOBODY: u64 = u64::MAX;

    /// What it is to make; `None` for nothing.
    pub fn picture(&self) -> Option<Picture> {
        unpack(self.picture.load(Relaxed))
    }

    /// The control thread has decided.
    pub fn set_picture(&self, picture: Option<Picture>) {
        self.picture.store(pack(picture), Relaxed);
    }

    /// How long its next picture would wait, microseconds; `None` when nobody gets it.
    pub fn delay(&self) -> Option<u64> {
        Some(self.delay.load(Relaxed)).filter(|delay| *delay != Self::NOBODY)
    }

    /// The talk thread has looked.
    pub fn set_delay(&self, delay: Option<u64>) {
        let delay = delay.map_or(Self::NOBODY, |delay| delay.min(Self::NOBODY - 1));
        self.delay.store(delay, Relaxed);
    }
}

/// Width, height, pictures a second, kbit/s: 16 bits each; 0 for none.
fn pack(picture: Option<Picture>) -> u64 {
    let Some(Picture { width, height, fps, kbps }) = picture else { return 0 };
    [width, height, fps, kbps].iter().fold(0, |all, &n| all << 16 | u64::from(n.min(0xFFFF)))
}

fn unpack(bits: u64) -> Option<Picture> {
    let [width, height, fps, kbps] = [48, 32, 16, 0].map(|at| (bits >> at) as u32 & 0xFFFF);
    (bits != 0).then_some(Picture { width, height, fps, kbps })
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
            hushed: AtomicBool::new(false),
            mutes: Mutex::default(),
            camera_off: AtomicBool::new(false),
            camera_switches: Mutex::default(),
            stop: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            shed_live_video: AtomicBool::new(false),
            live: Default::default(),
            clock: PublishedClock::default(),
            sleeps: Mutex::default(),
            asleep: AtomicI64::new(0),
            unsettled: AtomicBool::new(false),
            peers: Default::default(),
            capture_to_send: Histogram::default(),
            handed_to_send: Histogram::default(),
            wake_up: Histogram::default(),
            encode_and_send: Histogram::default(),
            input: Least::default(),
            audio_kbps: AtomicU32::new(0),
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

    /// All time that this computer has slept so far, by the system's count: what comes on top is news.
    pub fn watch_sleep(&self, asleep: i64) {
        self.asleep.store(asleep, Release);
    }

    /// A sleep and the clock after it, as far as it is known; `settled` when it is known. `asleep`: the
    /// system's count, this one included.
    pub fn add_sleep(&self, slept: Slept, map: &ClockMap, settled: bool, asleep: i64) {
        self.unsettled.store(!settled, Relaxed);
        self.set_clock_map(map);
        self.sleeps.lock().unwrap_or_else(PoisonError::into_inner).push(slept);
        self.asleep.store(asleep, Release);
    }

    /// The recording ends: what the system said of the last sleep has to do.
    pub fn settle_for_what_is_known(&self) {
        self.unsettled.store(false, Release);
    }

    /// The clock was measured after the last sleep.
    pub fn settle(&self, map: &ClockMap) {
        self.set_clock_map(map);
        self.unsettled.store(false, Release);
    }

    /// Stamps of after the last sleep may be converted.
    pub fn settled(&self) -> bool {
        !self.unsettled.load(Acquire)
    }

    /// Every sleep that the system has counted is known here; until then nobody can tell which stamps
    /// are of before it.
    pub fn knows_sleep(&self, asleep: i64) -> bool {
        asleep - self.asleep.load(Acquire) < SHORTEST_MICROS
    }

    /// The `number`th sleep.
    pub fn sleep(&self, number: usize) -> Option<Slept> {
        self.sleeps.lock().unwrap_or_else(PoisonError::into_inner).get(number).copied()
    }

    /// How many there were.
    pub fn sleeps(&self) -> usize {
        self.sleeps.lock().unwrap_or_else(PoisonError::into_inner).len()
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
            Command::Hush => self.hushed.store(true, Relaxed),
            Command::Talk => self.hushed.store(false, Relaxed),
            Command::CameraOff => self.switch_camera(true, clock::now()),
            Command::CameraOn => {
                self.switch_camera(false, clock::now());
                self.want_keyframes();
            }
            Command::ToggleWindow
            | Command::Recover
            | Command::LeaveUnfinished
            | Command::Marker { .. }
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

    /// Switches the camera off or on from `at` on.
    pub(super) fn switch_camera(&self, off: bool, at: Micros) {
        let mut switches = self.camera_switches.lock().unwrap_or_else(PoisonError::into_inner);
        self.camera_off.store(off, Relaxed);
        switches.push((at, off));
    }

    /// How often `camera_off` has changed, and what it is.
    pub fn camera_switches(&self) -> (usize, bool) {
        let switches = self.camera_switches.lock().unwrap_or_else(PoisonError::into_inner);
        (switches.len(), self.camera_off.load(Relaxed))
    }

    /// The `number`th change of `camera_off` and its instant, when it came at `until` or before.
    pub fn next_camera_switch(&self, number: usize, until: Micros) -> Option<(Micros, bool)> {
        let switches = self.camera_switches.lock().unwrap_or_else(PoisonError::into_inner);
        switches.get(number).copied().filter(|(at, _)| *at <= until)
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

    /// All live encoders are to begin anew: somebody has come, or the camera is on again.
    pub fn want_keyframes(&self) {
        for live in &self.live {
            live.wanted.fetch_or(LiveEncoder::OWN_REASONS, Relaxed);
        }
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
    fn what_congestion_control_publishes_is_read_as_it_was_written() {
        let gauge = PathGauge::default();
        assert_eq!((gauge.bits_per_second(), gauge.picture()), (None, None));
        let picture = Some(Picture { width: 854, height: 480, fps: 24, kbps: 371 });
        gauge.set(Some(0.0), 7, picture);
        assert_eq!((gauge.bits_per_second(), gauge.queue_micros()), (Some(1), 7));
        assert_eq!(gauge.picture(), picture);
        let live = LiveEncoder::default();
        assert_eq!((live.delay(), live.picture()), (None, None));
        live.set_delay(Some(u64::MAX));
        assert_eq!(live.delay(), Some(u64::MAX - 1), "held, and not for nobody");
    }

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
