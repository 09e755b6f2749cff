//! The writer's thread: encoded samples into the file, each fragment durable within a second.
//!
//! Only this thread writes samples, and [`super::file`]'s waits for the disk. A disk that stalls
//! makes the queue grow (encoded media, some 2.3 MB a second); a disk that fails ends the file
//! where it is, valid, and the call goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use super::file::DiskFile;
use super::output::Output;
use super::part::{self, Written};
use super::{MakeFolder, RecordShared, Start};
use crate::engine::events::Events;
use crate::engine::shared::Shared;
use crate::platform::whereabouts::Whereabouts;
use crate::recording::h264::{EncodedSample, VideoParameters};
use crate::recording::mp4::{AudioTrack, MovieParameters, Mp4Error, Timecode, VideoTrack};
use crate::recording::sound::{PACKET_SAMPLES, SoundPacket};
use crate::ui::model::Event;
use crate::ui::notice::Notice;

/// What the encoders send: for which part of the recording, and what.
pub type ForPart = (usize, MuxItem);

/// What is sent for a part.
pub enum MuxItem {
    /// Before the first sample of the picture.
    VideoFormat {
        /// Sequence parameter set.
        sps: Vec<u8>,
        /// Picture parameter set.
        pps: Vec<u8>,
    },
    /// Before the first packet of sound.
    AudioFormat(AudioTrack),
    /// One picture.
    Video(EncodedSample),
    /// One packet of 1,024 samples.
    Audio(SoundPacket),
    /// No more pictures.
    VideoEnd,
    /// Neither pictures in this part nor in any later one: its encoder did not open.
    VideoGone,
    /// No more sound; the track is this long.
    AudioEnd {
        /// Samples, priming left out.
        samples: u64,
    },
}

/// Longest wait for the writer to take what it was given before; once, then not until it has caught
/// up: a disk that stands still holds no encoder up.
const PATIENCE: Duration = Duration::from_millis(100);

/// What was handed over and is not in the file yet, so that a program that is killed has little on
/// its way: one picture and one packet, unless the disk stands still.
#[derive(Default)]
pub struct Pace {
    state: Mutex<PaceState>,
    changed: Condvar,
}

#[derive(Default)]
struct PaceState {
    /// Pictures, packets.
    on_the_way: [u32; 2],
    /// Somebody has waited in vain.
    stalled: bool,
}

impl Pace {
    fn state(&self) -> MutexGuard<'_, PaceState> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn give(&self, kind: usize) {
        let waits = |s: &mut PaceState| s.on_the_way[kind] > 0 && !s.stalled;
        let (mut state, late) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, waits)
            .unwrap_or_else(|e| e.into_inner());
        state.stalled |= late.timed_out();
        state.on_the_way[kind] += 1;
    }

    fn taken(&self, kind: usize) {
        let mut state = self.state();
        state.on_the_way[kind] = state.on_the_way[kind].saturating_sub(1);
        state.stalled &= state.on_the_way != [0; 2];
        self.changed.notify_all();
    }
}

/// Whether it is a picture (0) or a packet of sound (1).
fn kind(item: &MuxItem) -> Option<usize> {
    match item {
        MuxItem::Video(_) => Some(0),
        MuxItem::Audio(_) => Some(1),
        _ => None,
    }
}

/// The encoders' way to the writer. What they have handed over is counted: with `--log` at level
/// `debug` each sample is told, so that somebody can compare what an interrupted file holds.
#[derive(Clone)]
pub struct MuxInput {
    part: usize,
    to: mpsc::Sender<ForPart>,
    pace: Arc<Pace>,
    packets: Arc<AtomicU64>,
}

impl MuxInput {
    /// One for all encoders, and its other end.
    pub fn new() -> (Self, mpsc::Receiver<ForPart>) {
        let (to, from) = mpsc::channel();
        (Self { part: 0, to, pace: Arc::default(), packets: Arc::default() }, from)
    }

    /// From now on everything is for that part.
    pub fn turn_to(&mut self, part: usize) {
        self.part = part;
    }

    /// What the writer tells when it has taken something.
    pub fn pace(&self) -> Arc<Pace> {
        self.pace.clone()
    }

    /// Hands something over. False when the writer is gone.
    pub fn send(&self, item: MuxItem) -> bool {
        let delivered = match &item {
            MuxItem::Video(sample) => Some(("picture", sample.pts.max(0) as u64)),
            MuxItem::Audio(_) => Some(("packet", self.packets.fetch_add(1, Relaxed))),
            _ => None,
        };
        if let Some(kind) = kind(&item) {
            self.pace.give(kind);
        }
        let sent = self.to.send((self.part, item)).is_ok();
        if let Some((what, number)) = delivered {
            tracing::debug!("delivered {what} {number}");
        }
        sent
    }
}

pub struct Mux {
    pub shared: Arc<Shared>,
    pub record: Arc<RecordShared>,
    pub events: Events,
    pub input: mpsc::Receiver<ForPart>,
    pub pace: Arc<Pace>,
    /// The picture's size; `None` without a camera.
    pub video: Option<VideoParameters>,
    pub folder: MakeFolder,
}

/// Tells, when it goes, that something was taken.
struct Taken<'a>(&'a Pace, Option<usize>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(kind) = self.1 {
            self.0.taken(kind);
        }
    }
}

/// The file while it is open.
struct Open {
    output: Output,
    start: Start,
    /// Length of the sound, once it has ended.
    samples: u64,
}

/// A part on its way into its file.
struct Filling {
    number: usize,
    video: Option<(Vec<u8>, Vec<u8>)>,
    audio: Option<AudioTrack>,
    /// What came before the file could be begun.
    early: Vec<MuxItem>,
    open: Option<Open>,
    failed: bool,
    /// The camera's encoder may end without a single picture: the sound is worth a file.
    pictures: bool,
    /// What has not ended yet: picture, sound.
    expected: [bool; 2],
}

impl Filling {
    fn new(number: usize, pictures: bool) -> Self {
        Self {
            number,
            video: None,
            audio: None,
            early: Vec::new(),
            open: None,
            failed: false,
            pictures,
            expected: [pictures, true],
        }
    }

    fn take(&mut self, item: MuxItem) {
        match item {
            MuxItem::VideoFormat { sps, pps } => self.video = Some((sps, pps)),
            MuxItem::AudioFormat(track) => self.audio = Some(track),
            other => {
                match other {
                    MuxItem::VideoEnd | MuxItem::VideoGone => {
                        self.pictures &= self.video.is_some();
                        self.expected[0] = false;
                    }
                    MuxItem::AudioEnd { .. } => self.expected[1] = false,
                    _ => {}
                }
                self.early.push(other);
            }
        }
        if self.failed {
            self.early.clear();
        }
    }
}

impl Mux {
    /// Writes until the encoders have ended. What was closed is told to the recording's parts.
    pub fn run(self) {
        let mut parts: BTreeMap<usize, Filling> = BTreeMap::new();
        // From this part on there is sound only.
        let mut sound_only = if self.video.is_some() { usize::MAX } else { 0 };
        loop {
            let (number, item) = match self.input.recv_timeout(Duration::from_millis(200)) {
                Ok(item) => item,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if self.shared.abort.load(Relaxed) {
                        return;
                    }
                    continue;
                }
                // Both encoders have ended and dropped their ends.
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            let _taken = Taken(&self.pace, kind(&item));
            if let MuxItem::Video(sample) = &item {
                self.record.unwritten.fetch_sub(sample.data.len() as u64, Relaxed);
            }
            if let MuxItem::VideoGone = item {
                sound_only = sound_only.min(number);
                for part in parts.range_mut(number..).map(|(_, part)| part) {
                    self.take(part, MuxItem::VideoGone);
                }
                continue;
            }
            let filling = || Filling::new(number, number < sound_only);
            self.take(parts.entry(number).or_insert_with(filling), item);
        }
        for (number, part) in parts {
            if let Some(open) = part.open
                && !self.shared.abort.load(Relaxed)
            {
                self.close(number, open);
            }
        }
    }

    fn take(&self, part: &mut Filling, item: MuxItem) {
        part.take(item);
        self.fill(part);
        if part.expected == [false; 2]
            && let Some(open) = part.open.take()
            && !self.shared.abort.load(Relaxed)
        {
            part.failed = true;
            self.close(part.number, open);
        }
    }

    /// Writes what has come for a part, as far as it can be.
    fn fill(&self, part: &mut Filling) {
        if part.failed {
            return;
        }
        if part.open.is_none() && part.audio.is_some() && (part.video.is_some() || !part.pictures) {
            match self.open(part.number, part.video.clone(), part.audio.clone()) {
                Ok(open) => part.open = Some(open),
                Err(what) => {
                    part.failed = true;
                    self.fail(what);
                }
            }
        }
        let Some(open) = &mut part.open else { return };
        let mut error = None;
        for item in part.early.drain(..) {
            if let Err(e) = self.write(open, item) {
                error = Some(e);
                break;
            }
        }
        self.tell_bytes(open.output.bytes());
        if let Some(e) = error {
            part.failed = true;
            part.early.clear();
            let open = part.open.take().expect("it was written to just now");
            self.fail(format!("writing {} failed: {e}", open.output.path().display()));
            self.close(part.number, open);
        }
    }

    /// Bytes of the recording: of the files that are closed, and of the open one.
    fn tell_bytes(&self, open: u64) {
        let closed: u64 = self.record.parts.written().iter().map(|w| w.bytes).sum();
        self.record.bytes.store(closed + open, Relaxed);
    }

    fn open(
        &self,
        number: usize,
        video: Option<(Vec<u8>, Vec<u8>)>,
        audio: Option<AudioTrack>,
    ) -> Result<Open, String> {
        let part = self.record.parts.get(number);
        let start = part.and_then(|part| part.start.get().copied());
        let start = start.ok_or("samples before the start")?;
        let name = part::file_name(number);
        let folder = (self.folder)(&start, &name)
            .map_err(|e| format!("cannot make the session's folder: {e}"))?;
        let _ = self.record.folder.set(folder.clone());
        let path = folder.join(name);
        let made = DiskFile::create(&path).or_else(|e| {
            // The folder was moved away or deleted since an earlier part was begun in it.
            if number == 0 || e.kind() != std::io::ErrorKind::NotFound {
                return Err(e);
            }
            std::fs::create_dir_all(&folder)?;
            DiskFile::create(&path)
        });
        let file = made.map_err(|e| format!("cannot create {}: {e}", path.display()))?;
        let video = video.zip(self.video).map(|((sps, pps), p)| VideoTrack {
            width: p.width as u16,
            height: p.height as u16,
            sps,
            pps,
            bitrate: p.bitrate_bps,
        });
        let parameters = MovieParameters {
            video,
            audio,
            timecode: Timecode { start_frame: start.timecode() },
            created_utc_seconds: (start.utc_micros() / 1_000_000).max(0) as u64,
        };
        let output = Output::begin(file, path.clone(), parameters)
            .map_err(|e| format!("cannot begin {}: {e}", path.display()))?;
        self.events.send(Event::RecordingStarted { path: path.display().to_string() });
        Ok(Open { output, start, samples: 0 })
    }

    fn write(&self, open: &mut Open, item: MuxItem) -> Result<(), Mp4Error> {
        match item {
            MuxItem::Video(sample) => {
                open.output.video(&sample)?;
                self.record.slots_written.fetch_add(1, Relaxed);
            }
            MuxItem::Audio(packet) => {
                open.output.audio(&packet.data, PACKET_SAMPLES)?;
                open.samples += u64::from(PACKET_SAMPLES);
            }
            // The file ends with its last picture; the last packet reaches over that.
            MuxItem::AudioEnd { samples } => {
                open.output.end_audio(samples);
                open.samples = samples;
            }
            MuxItem::VideoEnd
            | MuxItem::VideoGone
            | MuxItem::VideoFormat { .. }
            | MuxItem::AudioFormat(_) => {}
        }
        Ok(())
    }

    fn close(&self, number: usize, mut open: Open) {
        match open.output.finalise() {
            Ok(f) => {
                let path = self.within_reach(&open);
                open.output.remove_journal();
                let Some(path) = path else { return self.tell_bytes(0) };
                self.record.parts.add_written(Written {
                    number,
                    start: open.start,
                    path,
                    bytes: f.bytes,
                    frames: f.video_samples,
                    samples: open.samples,
                    media_hash: f.media_hash,
                });
                self.tell_bytes(0);
            }
            Err(e) => {
                self.fail(format!("closing {} failed: {e}", open.output.path().display()));
                let path = open.output.path().display().to_string();
                self.events.notice(&Notice::NotEnded { path });
            }
        }
    }

    /// Where the closed file is. One that was deleted while it was written is saved once more, in its
    /// place, as long as it is still open; `None` where that fails.
    fn within_reach(&self, open: &Open) -> Option<PathBuf> {
        let path = open.output.path().to_owned();
        match open.output.file().whereabouts(&path) {
            Ok(Whereabouts::Moved(Some(there))) => {
                self.fail("its folder was moved while it was being recorded".to_owned());
                let path = there.display().to_string();
                self.events.notice(&Notice::RecordingMoved { path });
                Some(there)
            }
            Ok(Whereabouts::Gone) => {
                self.fail("its file or folder was deleted while it was being recorded".to_owned());
                match save_again(open.output.file(), &path) {
                    Ok(()) => {
                        let there = path.display().to_string();
                        self.events.notice(&Notice::RecordingSavedAgain { path: there });
                        Some(path)
                    }
                    Err(e) => {
                        self.events.notice(&Notice::RecordingDeleted { why: e.to_string() });
                        None
                    }
                }
            }
            Ok(Whereabouts::Here | Whereabouts::Moved(None)) | Err(_) => Some(path),
        }
    }

    fn fail(&self, what: String) {
        self.record.fail(&self.events, what);
    }
}

/// Copies an open file that has no name any more to where it was.
fn save_again(file: &DiskFile, path: &std::path::Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut from = file.reader()?;
    let mut to = std::fs::File::create_new(path)?;
    let copied = std::io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
    if copied.is_err() {
        // A part of it is no recording, and takes room that the disk does not have.
        drop(to);
        let _ = std::fs::remove_file(path);
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ClockMap, Slept};
    use crate::engine::record::{FILE_NAME, Recorder, Start};
    use crate::recording::mp4::Summary;
    use crate::recording::sound::{SoundEncoder, SoundFormat};
    use crate::units::{Micros, SessionMicros};

    fn mux(folder: &std::path::Path, video: Option<VideoParameters>) -> (MuxInput, Mux) {
        let shared = Arc::new(Shared::default());
        let (events, _) = Events::new(shared.clone());
        let record = Arc::new(RecordShared::default());
        let at = SessionMicros(0);
        let start = Start { t0: at, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
        Recorder::begin(&record, start);
        let (sender, input) = MuxInput::new();
        let folder = folder.to_owned();
        let folder: MakeFolder = Arc::new(move |_, _| Ok(folder.clone()));
        let pace = sender.pace();
        (sender, Mux { pace, shared, record, events, input, video, folder })
    }

    fn say(to: &MuxInput) {
        let mut encoder = SoundEncoder::new(SoundFormat::Aac).unwrap();
        assert!(to.send(MuxItem::AudioFormat(encoder.track())));
        let mut packets = Vec::new();
        encoder.push(&[0.1; 48_000], &mut packets).unwrap();
        encoder.finish(48_000, &mut packets).unwrap();
        for packet in packets {
            assert!(to.send(MuxItem::Audio(packet)));
        }
        assert!(to.send(MuxItem::AudioEnd { samples: 48_000 }));
    }

    #[test]
    fn an_encoder_that_never_makes_a_picture_does_not_take_the_sound_along() {
        let folder = tempfile::tempdir().unwrap();
        let (to, mux) = mux(folder.path(), Some(VideoParameters::for_size(64, 64)));
        say(&to);
        assert!(to.send(MuxItem::VideoEnd));
        drop(to);
        let record = mux.record.clone();
        mux.run();
        let written = record.parts.written().pop().expect("a file with sound");
        assert_eq!((written.frames, written.samples), (0, 48_000));
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let told = std::fs::metadata(&written.path).unwrap();
            let kept = (told.blocks() * 512).saturating_sub(told.len());
            assert!(kept < 1 << 20, "{kept} bytes of what was reserved are still taken");
        }
        let summary =
            Summary::read(&mut std::fs::File::open(written.path).unwrap()).expect("it reads back");
        assert_eq!(summary.audio().map(|t| t.duration), Some(48_000));
        assert!(summary.video().is_none());
        // Nothing is left beside it: the journal was of use only until now.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_further_part_is_recorded_also_where_the_folder_was_moved_away() {
        let room = tempfile::tempdir().unwrap();
        let (mut to, mux) = mux(&room.path().join("session"), None);
        let record = mux.record.clone();
        let (woke, from) = (Micros(0), SessionMicros(1_000_000));
        assert!(record.parts.split(&Slept { woke, awake: woke, from, micros: 1 }, 0));
        record.parts.begin_waiting(&ClockMap::exact(Micros(-100_000_000)));
        to.turn_to(1);
        say(&to);
        drop(to);
        mux.run();
        let written = record.parts.written().pop().expect("a file");
        assert!(written.path.starts_with(room.path().join("session")) && written.path.exists());
        assert!(record.trouble().is_none());
    }

    #[test]
    fn where_a_further_parts_encoder_does_not_open_all_sound_from_then_on_is_recorded() {
        for early in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let (mut to, mux) = mux(folder.path(), Some(VideoParameters::for_size(64, 64)));
            let record = mux.record.clone();
            for sleeps in 0..2 {
                let (woke, from) = (Micros(0), SessionMicros(1_000_000));
                let slept = Slept { woke, awake: woke, from, micros: 1 };
                assert!(record.parts.split(&slept, sleeps));
                record.parts.begin_waiting(&ClockMap::exact(Micros(-100_000_000)));
            }
            assert!(to.send(MuxItem::VideoEnd));
            to.turn_to(1);
            if early {
                assert!(to.send(MuxItem::VideoGone));
            }
            say(&to);
            if !early {
                assert!(to.send(MuxItem::VideoGone));
            }
            to.turn_to(2);
            say(&to);
            drop(to);
            mux.run();
            let written = record.parts.written();
            let found: Vec<_> = written.iter().map(|w| (w.number, w.frames, w.samples)).collect();
            assert_eq!(found, [(1, 0, 48_000), (2, 0, 48_000)]);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_whose_folder_is_deleted_is_saved_again_and_one_that_was_moved_is_found() {
        for moved in [false, true] {
            let room = tempfile::tempdir().unwrap();
            let folder = room.path().join("session");
            std::fs::create_dir(&folder).unwrap();
            let (to, mux) = mux(&folder, None);
            let record = mux.record.clone();
            let mut encoder = SoundEncoder::new(SoundFormat::Aac).unwrap();
            assert!(to.send(MuxItem::AudioFormat(encoder.track())));
            let there = std::fs::canonicalize(room.path()).unwrap().join("elsewhere");
            std::thread::scope(|scope| {
                scope.spawn(|| mux.run());
                // Both are there, and none is about to come into a folder that is being deleted.
                let file = folder.join(FILE_NAME);
                while !(file.exists() && file.with_extension("journal").exists()) {
                    std::thread::yield_now();
                }
                if moved {
                    std::fs::rename(&folder, &there).unwrap();
                } else {
                    std::fs::remove_dir_all(&folder).unwrap();
                }
                say(&to);
                drop(to);
            });
            let written = record.parts.written().pop().expect("it was closed");
            let place = if moved { &there } else { &folder };
            assert_eq!(written.path, place.join(FILE_NAME));
            let mut file = std::fs::File::open(&written.path).unwrap();
            let summary = Summary::read(&mut file).unwrap();
            assert!(summary.finalised);
            assert_eq!(summary.audio().map(|t| t.duration), Some(48_000));
            assert!(record.trouble().is_some(), "and it is told");
        }
    }

    #[test]
    fn an_aborted_recording_is_left_for_recovery_and_not_finalised() {
        let folder = tempfile::tempdir().unwrap();
        let (to, mux) = mux(folder.path(), None);
        say(&to);
        mux.shared.abort.store(true, Relaxed);
        drop(to);
        let record = mux.record.clone();
        mux.run();
        assert!(record.parts.written().is_empty());
        let path = folder.path().join(FILE_NAME);
        assert!(path.exists());
        assert!(path.with_extension(crate::recording::journal::EXTENSION).exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_once_and_the_encoders_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let (to, mux) = mux(&folder.path().join("missing"), None);
        let record = mux.record.clone();
        say(&to);
        drop(to);
        mux.run();
        assert!(record.parts.written().is_empty());
        assert!(record.trouble().is_some_and(|t| t.contains("cannot create")));
    }
}
