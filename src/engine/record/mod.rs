//! The recorder's threads: audio encode, video encode, and the writer (PRD 5.2).
//!
//! They depend on the devices and the disk, never on the network. Nothing here drops: queues grow
//! (told, and live video makes room) until the encoder or the disk has caught up.

mod audio;
mod ballast;
mod file;
mod frames;
pub mod journal;
mod mux;
mod output;
pub mod part;
mod raw;
mod scratch;
mod spill;
mod tones;
mod video;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;

use self::audio::Sound;
pub use self::audio::SoundOptions;
pub use self::file::DiskFile;
pub use self::output::Output;
use self::part::Parts as Files;
pub use self::part::Written;
pub use self::spill::Queued;
use self::spill::Spiller;
pub use self::video::CameraTap;
use super::capture::Captured;
use super::error::EngineError;
use super::events::Events;
use super::folder::SessionFolder;
use super::shared::Shared;
use super::threads::spawn;
use crate::platform::priority::Role;
use crate::recording::budget::Budget;
use crate::recording::grid::GridCounts;
use crate::recording::h264::{self, VideoEncoder, VideoParameters};
use crate::recording::metadata::{Event as Note, Kind, Tone};
use crate::recording::mp4::{FRAMES_PER_DAY, Timecode};
use crate::ui::model::RecordingStats;
use crate::ui::notice::Notice;
use crate::units::{MediaTime, Micros, RECORDING_FPS, SessionMicros};
use crate::video::scale::{LARGEST, down_to};

/// Name of the recording in the session's folder (PRD 7); see [`part::file_name`] for further ones.
pub const FILE_NAME: &str = "local_recording.mp4";

/// Most notes that are kept: a member that switches its microphone on and off all day is no reason
/// to grow without end.
const MOST_NOTES: usize = 20_000;

/// Where on the session's grid the file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Slot 0 of all participants.
    pub t0: SessionMicros,
    /// The file's first slot.
    pub first_slot: u64,
    /// UTC of session zero, microseconds since 1970.
    pub epoch_utc_micros: i64,
    /// The host's local time less UTC, seconds.
    pub utc_offset_seconds: i32,
}

impl Start {
    /// The instant of slot `index` of the grid.
    pub fn slot(&self, index: u64) -> SessionMicros {
        self.t0 + MediaTime::frames(index as i64).to_micros()
    }

    /// The instant of the file's first sample and picture.
    pub fn file(&self) -> SessionMicros {
        self.slot(self.first_slot)
    }

    /// The first slot at or after `at`.
    pub fn slot_from(t0: SessionMicros, at: SessionMicros) -> u64 {
        let frames = (i128::from(at.since(t0).max(0)) * 30 + 999_999) / 1_000_000;
        frames as u64
    }

    /// UTC of the file's start, microseconds since 1970.
    pub fn utc_micros(&self) -> i64 {
        self.epoch_utc_micros + self.file().0
    }

    /// Frames since the host's local midnight at the file's start (DESIGN section 2).
    pub fn timecode(&self) -> u32 {
        let at_t0 =
            self.epoch_utc_micros + self.t0.0 + i64::from(self.utc_offset_seconds) * 1_000_000;
        let day = 24 * 3600 * 30;
        let frames = at_t0.rem_euclid(86_400_000_000) * 30 / 1_000_000 + self.first_slot as i64;
        frames.rem_euclid(day) as u32
    }

    /// The timecode of an instant, as an editor sees it in the file and in `sync_timecodes.txt`.
    pub fn timecode_at(&self, at: SessionMicros) -> Timecode {
        let day = i64::from(FRAMES_PER_DAY);
        let after = MediaTime::from_micros(at.since(self.file()), RECORDING_FPS).ticks;
        let frame = (i64::from(self.timecode()) + after).rem_euclid(day);
        Timecode { start_frame: u32::try_from(frame).expect("less than a day's frames") }
    }
}

/// What the recorder's threads share with everybody.
#[derive(Default)]
pub struct RecordShared {
    /// Set once: record from here on.
    pub start: OnceLock<Start>,
    /// The files.
    pub parts: Files,
    /// The end was asked for: no part follows the one that is written.
    pub over: AtomicBool,
    /// Set once, local clock: what is captured from here on belongs to the recording although its
    /// start is not told yet (a guest's clock is still being measured), and is kept until then.
    pub keep_from: OnceLock<Micros>,
    /// Set once, before the end: the last sync tone begins here.
    pub end_tone: OnceLock<SessionMicros>,
    /// Pictures.
    pub grid: Mutex<GridCounts>,
    /// Audio samples in the file.
    pub samples: AtomicU64,
    /// Audio samples that the microphone delivered since the start.
    pub samples_captured: AtomicU64,
    /// Samples of silence that stand for a missing microphone.
    pub samples_filled: AtomicU64,
    /// Bytes in the file.
    pub bytes: AtomicU64,
    /// Slots handed to the writer.
    pub slots_written: AtomicU64,
    /// Conversion and encoding, microseconds in all, and pictures.
    pub encode_micros: AtomicU64,
    /// Pictures of `encode_micros`.
    pub encode_count: AtomicU64,
    /// Both at the last second, for the mean of one.
    encode_before: Mutex<(u64, u64)>,
    /// How far the encoder is behind, microseconds.
    pub behind_micros: AtomicU64,
    /// Memory of the pictures that wait for their slot or for the encoder.
    pub queue: Arc<Mutex<Budget>>,
    /// The pictures themselves.
    line: spill::WaitingLine,
    /// Pictures that left memory for the scratch file or were squeezed.
    pub spilled: AtomicU64,
    /// The part of `spilled` that was squeezed.
    pub squeezed: AtomicU64,
    /// Captured pictures that the encoder refused, or that did not come back from the scratch file.
    pub encode_failed: AtomicU64,
    /// Bytes of encoded media that wait for the disk.
    pub unwritten: AtomicU64,
    /// The session's folder, once the recording has begun.
    pub folder: OnceLock<PathBuf>,
    /// The file is not complete: disk full or failing.
    pub trouble: Mutex<Option<String>>,
    /// Audio samples in the file that were muted.
    pub samples_muted: AtomicU64,
    /// Name of the H.264 encoder.
    pub encoder: OnceLock<String>,
    /// No recording can begin any more.
    closed: Mutex<bool>,
    notes: Mutex<Vec<Note>>,
    tones: Mutex<Vec<Tone>>,
    markers: AtomicU64,
    /// The microphone's sample clock.
    pub microphone_rate: DeviceRate,
    /// Frames a second of the local clock that the camera was measured at, as bits; 0 for unknown.
    camera_fps: AtomicU64,
    /// How much later the pictures count as captured (`--av-offset`), microseconds.
    pub av_offset: AtomicI64,
}

impl RecordShared {
    /// The figures of DESIGN section 10's `stats`; the encoder's time is the mean since the last
    /// call, so one caller calls it once a second.
    pub fn stats(&self) -> Option<RecordingStats> {
        let now = (self.encode_micros.load(Relaxed), self.encode_count.load(Relaxed));
        let before = {
            let mut before = self.encode_before.lock().unwrap_or_else(|e| e.into_inner());
            std::mem::replace(&mut *before, now)
        };
        let encode_ms = mean_ms(now.0 - before.0, now.1 - before.1);
        Some(RecordingStats { encode_ms, ..self.counters()? })
    }

    /// The same, with the encoder's time as the mean of the whole recording.
    pub fn counters(&self) -> Option<RecordingStats> {
        self.start.get()?;
        let grid = *self.grid.lock().unwrap_or_else(|e| e.into_inner());
        let budget = *self.queue.lock().unwrap_or_else(|e| e.into_inner());
        let samples = self.samples.load(Relaxed);
        let refused = self.encode_failed.load(Relaxed);
        // A picture that found its slot already written is no matter of cadence: it was lost here.
        let cadence_discarded = grid.cadence_discarded - grid.late;
        let encoded = grid.encoded.saturating_sub(refused);
        Some(RecordingStats {
            seconds: samples as f64 / 48_000.0,
            bytes: self.bytes.load(Relaxed),
            frames_captured: grid.captured,
            frames_encoded: encoded,
            frames_dropped: grid
                .captured
                .saturating_sub(encoded + cadence_discarded + grid.withheld + grid.queued),
            cadence_discarded,
            frames_repeated: grid.repeated,
            black_frames: grid.black,
            withheld: grid.withheld,
            spilled: self.spilled.load(Relaxed),
            squeezed: self.squeezed.load(Relaxed),
            queued_bytes: budget.used(),
            queued_limit_bytes: budget.limit(),
            unwritten_bytes: self.unwritten.load(Relaxed),
            encode_ms: mean_ms(self.encode_micros.load(Relaxed), self.encode_count.load(Relaxed)),
            queue_ms: self.behind_micros.load(Relaxed) as f64 / 1_000.0,
        })
    }

    /// Notes what is wrong with the file; the first such thing stays, and is told.
    pub fn fail(&self, events: &Events, what: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(|e| e.into_inner());
        if trouble.is_some() {
            return;
        }
        *trouble = Some(what.clone());
        drop(trouble);
        events.notice(&Notice::RecordingIncomplete { why: what });
    }

    /// Something that an editor wants to know of, at an instant of the session.
    pub fn note(&self, at: SessionMicros, what: impl Into<String>) {
        self.note_kind(Kind::Device, at, what);
    }

    /// The same, with its kind for programs that read the metadata.
    pub fn note_kind(&self, kind: Kind, at: SessionMicros, what: impl Into<String>) {
        let note = Note { session_us: at.0, kind, what: what.into() };
        let mut notes = self.notes.lock().unwrap_or_else(|e| e.into_inner());
        if notes.len() < MOST_NOTES {
            // A marker may be for an instant that is over.
            let place = notes.partition_point(|before| before.session_us <= note.session_us);
            notes.insert(place, note);
        }
    }

    /// The timecode of an instant; `None` before the recording has begun.
    pub fn timecode_at(&self, at: SessionMicros) -> Option<String> {
        self.start.get().map(|start| start.timecode_at(at).to_string())
    }

    /// The person marks an instant; gives the marker's number.
    pub fn mark(&self, at: SessionMicros, note: Option<&str>) -> u64 {
        let number = self.markers.fetch_add(1, Relaxed) + 1;
        let note = note.map_or(String::new(), |note| format!(": {note}"));
        self.note_kind(Kind::Marker, at, format!("marker {number}{note}"));
        number
    }

    /// A sync tone was mixed into a part: its first sample is `sample` of the file, the session's
    /// `at`.
    pub fn tone(&self, part: usize, at: SessionMicros, sample: u64) {
        let file = (part > 0).then(|| part::file_name(part));
        let tone = Tone { session_us: at.0, sample, file };
        self.tones.lock().unwrap_or_else(|e| e.into_inner()).push(tone);
    }

    /// All sync tones so far, in order.
    pub fn tones(&self) -> Vec<Tone> {
        self.tones.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// One's own end command came at `now`: plans the last sync tone and gives the file's end.
    pub fn end_with_tone(&self, now: SessionMicros) -> SessionMicros {
        let last = self.parts.last();
        // While a part waits for its clock, its file is not known to begin before `now`.
        let Some(start) = last.start.get() else { return now };
        let at = tones::whole_second(now.max(start.file()));
        *self.end_tone.get_or_init(|| at) + tones::LAST
    }

    /// The camera was measured at so many frames a second.
    pub fn set_camera_fps(&self, fps: f64) {
        self.camera_fps.store(fps.to_bits(), Relaxed);
    }

    /// The camera's measured rate.
    pub fn camera_fps(&self) -> Option<f64> {
        Some(f64::from_bits(self.camera_fps.load(Relaxed))).filter(|fps| *fps > 0.0)
    }

    /// All notes so far, in order.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Name of the H.264 encoder.
    pub fn encoder_name(&self) -> String {
        self.encoder.get().cloned().unwrap_or_default()
    }

    /// What is wrong with the file, if anything is.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

/// How much faster a device's own clock runs than it says, once that is measured.
#[derive(Debug)]
pub struct DeviceRate(AtomicI64);

impl Default for DeviceRate {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl DeviceRate {
    /// Sets the newest measurement, parts per million.
    pub fn set_ppm(&self, ppm: f64) {
        self.0.store((ppm * 1e3).round() as i64, Relaxed);
    }

    /// Parts per million; `None` as long as nothing was measured.
    pub fn ppm(&self) -> Option<f64> {
        Some(self.0.load(Relaxed)).filter(|&ppb| ppb != i64::MIN).map(|ppb| ppb as f64 / 1e3)
    }
}

fn mean_ms(micros: u64, pictures: u64) -> f64 {
    (micros as f64 / pictures.max(1) as f64).round() / 1_000.0
}

/// Makes the session's folder when the recording begins, and says where; a file of that name is
/// about to be made in it.
pub type MakeFolder = Arc<dyn Fn(&Start, &str) -> std::io::Result<PathBuf> + Send + Sync>;

/// Makes the H.264 encoder of a further part.
pub type MakeEncoder = Box<dyn FnMut() -> Result<Box<dyn VideoEncoder>, EngineError> + Send>;

/// What the recorder is made of.
pub struct Parts {
    /// Shared switches.
    pub shared: Arc<Shared>,
    /// Shared figures.
    pub record: Arc<RecordShared>,
    /// Where news go.
    pub events: Events,
    /// Captured samples.
    pub samples: Captured,
    /// Captured pictures; `None` without a camera.
    pub camera: Option<(mpsc::Receiver<Queued>, VideoParameters, Box<dyn VideoEncoder>)>,
    /// For the parts behind the first.
    pub encoders: MakeEncoder,
    /// The session's folder, made when the recording begins.
    pub folder: MakeFolder,
    /// How the sound is recorded.
    pub sound: SoundOptions,
    /// The microphone's name.
    pub microphone: String,
    /// Where the frame log goes.
    pub log: Option<Arc<SessionFolder>>,
}

/// The running recorder.
pub struct Recorder {
    record: Arc<RecordShared>,
    threads: Vec<JoinHandle<()>>,
    raw: Option<JoinHandle<()>>,
    spiller: Option<JoinHandle<()>>,
    mux: JoinHandle<()>,
}

impl Recorder {
    /// Starts the threads; they wait for [`Recorder::begin`].
    pub fn start(parts: Parts) -> Result<Self, EngineError> {
        let (mux_in, mux_out) = mux::MuxInput::new();
        let mut threads = Vec::new();
        let video = parts.camera.as_ref().map(|(_, p, _)| *p);
        if let Some((_, _, encoder)) = &parts.camera {
            let _ = parts.record.encoder.set(encoder.name().to_owned());
        }
        let Parts {
            shared,
            record,
            events,
            samples,
            camera,
            encoders,
            folder,
            sound,
            microphone,
            log,
        } = parts;
        let writer = mux::Mux {
            shared: shared.clone(),
            record: record.clone(),
            events: events.clone(),
            input: mux_out,
            pace: mux_in.pace(),
            video,
            folder,
        };
        let mux = spawn("hz-mux", Role::High, move || writer.run())?;
        let mut raw = None;
        let mut raw_in = None;
        if sound.raw {
            let (blocks_in, blocks) = mpsc::channel();
            let (shared, record) = (shared.clone(), record.clone());
            let events = events.clone();
            let writer = raw::RawWriter { shared, record, events, blocks, device: microphone };
            raw = Some(spawn("hz-rec-raw", Role::Normal, move || writer.run())?);
            raw_in = Some(blocks_in);
        }
        let encoder = audio::AudioRecorder::new(
            shared.clone(),
            record.clone(),
            events.clone(),
            Sound::new(samples, &shared, &sound),
            mux_in.clone(),
            raw_in,
            &sound,
        )?;
        let (parts, options) = (record.clone(), sound.clone());
        threads.push(spawn("hz-rec-audio", Role::High, move || encoder.run_all(&parts, &options))?);
        let mut spiller = None;
        if let Some((frames, parameters, encoder)) = camera {
            let room = Spiller::new(shared.clone(), record.clone(), events.clone());
            spiller = Some(spawn("hz-spill", Role::Normal, move || room.run())?);
            record.parts.set_picture(true);
            let recorder = video::VideoRecorder::new(
                shared,
                record.clone(),
                events,
                frames,
                mux_in,
                parameters,
                encoder,
            )
            .with_encoders(encoders)
            .with_log(log);
            threads.push(spawn("hz-rec-video", Role::High, move || recorder.run())?);
        }
        Ok(Self { record, threads, raw, spiller, mux })
    }

    /// Records from `start` on. Only the first call counts, and none after [`Recorder::finish`].
    pub fn begin(record: &RecordShared, start: Start) {
        let closed = record.closed.lock().unwrap_or_else(|e| e.into_inner());
        if !*closed && record.start.set(start).is_ok() {
            let _ = record.parts.first().start.set(start);
        }
    }

    /// Ends the recording at the first slot at or after `now` and waits until its files are closed;
    /// [`RecordShared::parts`] tells them.
    pub fn finish(self, now: SessionMicros) {
        // From here on no start can come: an end without one means that there is no file.
        *self.record.closed.lock().unwrap_or_else(|e| e.into_inner()) = true;
        self.record.over.store(true, Relaxed);
        self.record
            .parts
            .end(|start| start.map_or(0, |s| Start::slot_from(s.t0, now).max(s.first_slot + 1)));
        for thread in self.threads {
            let _ = thread.join();
        }
        self.record.line.close();
        for thread in [self.raw, self.spiller].into_iter().flatten() {
            let _ = thread.join();
        }
        let _ = self.mux.join();
    }
}

/// Parameters of the recording for a camera of that size (PRD 4.3.1): never scaled up.
pub fn video_parameters(width: u32, height: u32) -> VideoParameters {
    let (width, height) = down_to(width, height, LARGEST.0, LARGEST.1);
    VideoParameters::for_size(width, height)
}

/// Opens the recording's encoder.
pub fn open_encoder(
    name: Option<&str>,
    parameters: &VideoParameters,
) -> Result<Box<dyn VideoEncoder>, EngineError> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    h264::open(name, parameters, cores).map_err(|e| EngineError::Codec {
        what: "cannot open the H.264 encoder",
        reason: e.to_string(),
        remedy: "try --encoder auto",
    })
}

/// Makes sure that a session's folder can be made below `output`, without leaving anything there.
pub fn check_output(output: &Path) -> Result<(), EngineError> {
    let failed = |source| EngineError::Output { path: output.to_owned(), source };
    std::fs::create_dir_all(output).map_err(failed)?;
    let probe = output.join(format!(".hyperzoom-{}", std::process::id()));
    std::fs::write(&probe, b"").map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timecode_is_the_hosts_time_of_day_and_wraps_at_midnight() {
        let hour = 3_600_000_000;
        let mut start = Start {
            t0: SessionMicros(2_000_000),
            first_slot: 45,
            epoch_utc_micros: 22 * hour,
            utc_offset_seconds: 3_600,
        };
        assert_eq!(start.timecode(), (23 * 3600 + 3) * 30 + 15);
        start.utc_offset_seconds = 7_200;
        assert_eq!(start.timecode(), 3 * 30 + 15);
    }

    #[test]
    fn an_instant_has_one_timecode_whichever_file_it_is_counted_from() {
        let start = |first_slot| Start {
            t0: SessionMicros(3_000_000),
            first_slot,
            epoch_utc_micros: 23 * 3_600_000_000 + 3_599 * 1_000_000,
            utc_offset_seconds: 0,
        };
        // 23:59:59 at session zero, three seconds more at T0.
        assert_eq!(start(0).timecode_at(SessionMicros(3_000_000)).to_string(), "00:00:02:00");
        assert_eq!(start(0).timecode_at(SessionMicros(1_500_000)).to_string(), "00:00:00:15");
        assert_eq!(start(0).timecode_at(SessionMicros(0)).to_string(), "23:59:59:00");
        for micros in [0, 2_999_999, 3_016_000, 3_034_000, 90_000_001] {
            let at = SessionMicros(micros);
            assert_eq!(start(0).timecode_at(at), start(1_000).timecode_at(at), "{micros}");
        }
        for slot in [0, 1, 7, 1_001] {
            let code = start(0).timecode_at(start(0).slot(slot));
            assert_eq!(code.start_frame, start(slot).timecode());
        }
    }

    #[test]
    fn equal_instants_have_equal_timecodes_whoever_records_and_from_when_on() {
        // The epoch is no whole second; one file begins before midnight, others behind it.
        let start = |first_slot| Start {
            t0: SessionMicros(7_000_000),
            first_slot,
            epoch_utc_micros: 1_772_223_288_437_211,
            utc_offset_seconds: 5 * 3_600 + 45 * 60,
        };
        let day = 24 * 3_600 * 30;
        for n in [0, 1, 15, 29, 30, 1_000, 400_000, 2_591_999, 2_592_000, 5_184_001] {
            let late = start(n);
            // A frame k slots on has the same code in both files, wherever they begin.
            assert_eq!(late.timecode(), ((u64::from(start(0).timecode()) + n) % day) as u32);
            assert_eq!(late.file().since(start(0).file()), late.slot(n).since(late.t0));
        }
        // The host's time of day at T0, to the frame that it falls into.
        let at_t0: i64 = 1_772_223_288_437_211 + 7_000_000 + (5 * 3_600 + 45 * 60) * 1_000_000;
        let of_day = at_t0.rem_euclid(86_400_000_000);
        assert_eq!(i64::from(start(0).timecode()), of_day * 30 / 1_000_000);
    }

    #[test]
    fn a_late_joiner_begins_with_the_next_slot_of_the_same_grid() {
        let t0 = SessionMicros(1_000_000);
        assert_eq!(Start::slot_from(t0, SessionMicros(0)), 0);
        assert_eq!(Start::slot_from(t0, SessionMicros(1_000_001)), 1);
        assert_eq!(Start::slot_from(t0, SessionMicros(2_000_000)), 30);
    }

    fn recorder(folder: PathBuf) -> (crate::engine::capture::MicTap, Arc<RecordShared>, Recorder) {
        let shared = Arc::new(Shared::default());
        shared.set_clock_offset(0);
        let (events, _) = Events::new(shared.clone());
        let record = Arc::new(RecordShared::default());
        let (tap, ends) = crate::engine::capture::MicTap::new(false);
        let parts = Parts {
            shared,
            record: record.clone(),
            events,
            samples: ends.record,
            camera: None,
            encoders: Box::new(|| unreachable!("there is no camera")),
            folder: Arc::new(move |_: &Start, _: &str| Ok(folder.clone())),
            sound: SoundOptions::default(),
            microphone: String::new(),
            log: None,
        };
        (tap, record, Recorder::start(parts).unwrap())
    }

    fn start_at(t0: SessionMicros) -> Start {
        Start { t0, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 }
    }

    #[test]
    fn an_end_before_any_start_makes_no_file_and_no_start_can_follow() {
        let folder = tempfile::tempdir().unwrap();
        let (_tap, record, recorder) = recorder(folder.path().to_owned());
        recorder.finish(SessionMicros(0));
        assert!(record.parts.written().is_empty());
        Recorder::begin(&record, start_at(SessionMicros(0)));
        assert!(record.start.get().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_captured_sample_between_start_and_end_is_in_the_file() {
        use crate::devices::microphone::MicSink;
        let folder = tempfile::tempdir().unwrap();
        let (mut tap, record, recorder) = recorder(folder.path().to_owned());
        let now = crate::platform::clock::now();
        // Within what is kept from before a start that is told late.
        let t0 = now - 1_000_000;
        for i in 0..200 {
            tap.card_samples(&[0.25; 240], 48_000, t0 + i * 5_000);
        }
        Recorder::begin(&record, start_at(SessionMicros(t0.0)));
        recorder.finish(SessionMicros(now.0));
        let written = record.parts.written().pop().expect("a file");
        let mut file = std::fs::File::open(written.path).unwrap();
        let summary = crate::recording::mp4::Summary::read(&mut file).unwrap();
        assert_eq!(summary.audio().map(|t| t.duration), Some(48_000));
        let read = |n: &AtomicU64| n.load(Relaxed);
        assert_eq!((read(&record.samples), read(&record.samples_filled)), (48_000, 0));
        assert!(record.trouble().is_none());
    }

    #[test]
    fn a_recorder_that_has_ended_counts_no_lost_samples() {
        use crate::devices::microphone::MicSink;
        let (mut tap, ends) = crate::engine::capture::MicTap::new(false);
        drop(ends.record);
        for i in 0..3_000 {
            tap.card_samples(&[0.0; 240], 48_000, crate::units::Micros(i * 5_000));
        }
        assert_eq!(ends.losses.record.load(Relaxed), 0);
    }
}
