//! The writer's thread: encoded samples into the file, each second durable within its second.
//!
//! Only this thread writes samples, and [`super::file`]'s waits for the disk. A disk that stalls
//! makes the queue grow (encoded media, some 2.3 MB a second); a disk that fails ends the file
//! where it is, valid, and the call goes on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use super::file::DiskFile;
use super::journal::JournalFile;
use super::{FILE_NAME, MakeFolder, RecordShared, Written};
use crate::engine::events::Events;
use crate::engine::shared::Shared;
use crate::recording::h264::{EncodedSample, VideoParameters};
use crate::recording::mp4::{
    AudioTrack, MovieParameters, Mp4Error, Mp4Writer, Timecode, VideoTrack,
};
use crate::recording::sound::{PACKET_SAMPLES, SoundPacket};
use crate::ui::model::Event;

/// What the encoders send.
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
    to: mpsc::Sender<MuxItem>,
    pace: Arc<Pace>,
    packets: Arc<AtomicU64>,
}

impl MuxInput {
    /// One for all encoders, and its other end.
    pub fn new() -> (Self, mpsc::Receiver<MuxItem>) {
        let (to, from) = mpsc::channel();
        (Self { to, pace: Arc::default(), packets: Arc::default() }, from)
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
        let sent = self.to.send(item).is_ok();
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
    pub input: mpsc::Receiver<MuxItem>,
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
    writer: Mp4Writer<DiskFile>,
    journal: JournalFile,
    path: PathBuf,
}

impl Mux {
    /// Writes until the encoders have ended; gives what was closed.
    pub fn run(self) -> Option<Written> {
        let (mut video, mut audio) = (None, None);
        let mut early = Vec::new();
        let mut open: Option<Open> = None;
        let mut closed: Option<Written> = None;
        let mut failed = false;
        // The camera's encoder may end without a single picture: the sound is worth a file.
        let mut pictures = self.video.is_some();
        loop {
            let item = match self.input.recv_timeout(Duration::from_millis(200)) {
                Ok(item) => item,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if self.shared.abort.load(Relaxed) {
                        return None;
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
            match item {
                MuxItem::VideoFormat { sps, pps } => video = Some((sps, pps)),
                MuxItem::AudioFormat(track) => audio = Some(track),
                other => {
                    pictures &= video.is_some() || !matches!(other, MuxItem::VideoEnd);
                    early.push(other);
                }
            }
            if failed {
                early.clear();
                continue;
            }
            if open.is_none() && audio.is_some() && (video.is_some() || !pictures) {
                match self.open(video.clone(), audio.clone()) {
                    Ok(o) => open = Some(o),
                    Err(what) => {
                        failed = true;
                        self.fail(what);
                    }
                }
            }
            if let Some(o) = &mut open {
                let mut error = None;
                for item in early.drain(..) {
                    if let Err(e) = self.write(o, item) {
                        error = Some(e);
                        break;
                    }
                }
                self.record.bytes.store(o.writer.bytes(), Relaxed);
                if let Some(e) = error {
                    failed = true;
                    early.clear();
                    let o = open.take().expect("it was written to just now");
                    self.fail(format!("writing {} failed: {e}", o.path.display()));
                    closed = self.close(o);
                }
            }
        }
        match open {
            Some(o) if !self.shared.abort.load(Relaxed) => self.close(o),
            _ => closed,
        }
    }

    fn open(
        &self,
        video: Option<(Vec<u8>, Vec<u8>)>,
        audio: Option<AudioTrack>,
    ) -> Result<Open, String> {
        let start = self.record.start.get().ok_or("samples before the start")?;
        let folder =
            (self.folder)(start).map_err(|e| format!("cannot make the session's folder: {e}"))?;
        let _ = self.record.folder.set(folder.clone());
        let path = folder.join(FILE_NAME);
        let file = DiskFile::create(&path)
            .map_err(|e| format!("cannot create {}: {e}", path.display()))?;
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
        let mut journal = JournalFile::create(&path, &parameters);
        let writer = Mp4Writer::create(file, parameters)
            .map_err(|e| format!("cannot begin {}: {e}", path.display()))?;
        journal.add(writer.timecode_placed(), &start.timecode().to_be_bytes());
        self.events.send(Event::RecordingStarted { path: path.display().to_string() });
        Ok(Open { writer, journal, path })
    }

    fn write(&self, open: &mut Open, item: MuxItem) -> Result<(), Mp4Error> {
        match item {
            MuxItem::Video(sample) => {
                let placed = open.writer.video(&sample.data, sample.pts, sample.keyframe)?;
                open.journal.add(placed, &sample.data);
                self.record.slots_written.fetch_add(1, Relaxed);
            }
            MuxItem::Audio(packet) => {
                let placed = open.writer.audio(&packet.data, PACKET_SAMPLES)?;
                open.journal.add(placed, &packet.data);
            }
            // The file ends with its last picture; the last packet reaches over that.
            MuxItem::AudioEnd { samples } => open.writer.end_audio(samples),
            MuxItem::VideoEnd | MuxItem::VideoFormat { .. } | MuxItem::AudioFormat(_) => {}
        }
        Ok(())
    }

    fn close(&self, open: Open) -> Option<Written> {
        match open.writer.finish() {
            Ok(f) => {
                open.journal.remove();
                Some(Written { path: open.path, bytes: f.bytes, media_hash: f.media_hash })
            }
            Err(e) => {
                self.fail(format!("closing {} failed: {e}", open.path.display()));
                None
            }
        }
    }

    fn fail(&self, what: String) {
        self.record.fail(&self.events, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::Start;
    use crate::recording::mp4::Summary;
    use crate::recording::sound::{SoundEncoder, SoundFormat};
    use crate::units::SessionMicros;

    fn mux(folder: &std::path::Path, video: Option<VideoParameters>) -> (MuxInput, Mux) {
        let shared = Arc::new(Shared::default());
        let (events, _) = Events::new(shared.clone());
        let record = Arc::new(RecordShared::default());
        let at = SessionMicros(0);
        let start = Start { t0: at, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
        let _ = record.start.set(start);
        let (sender, input) = MuxInput::new();
        let folder = folder.to_owned();
        let folder: MakeFolder = Arc::new(move |_| Ok(folder.clone()));
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
        let written = mux.run().expect("a file with sound");
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
    fn an_aborted_recording_is_left_for_recovery_and_not_finalised() {
        let folder = tempfile::tempdir().unwrap();
        let (to, mux) = mux(folder.path(), None);
        say(&to);
        mux.shared.abort.store(true, Relaxed);
        drop(to);
        assert!(mux.run().is_none());
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
        assert!(mux.run().is_none());
        assert!(record.trouble().is_some_and(|t| t.contains("cannot create")));
    }
}
