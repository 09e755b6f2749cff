//! `--raw-audio`: the thread that writes the card's own samples beside the recording. A disk that
//! stalls makes its queue grow (some 200 KB a second); one that fails ends it, told, and nothing
//! else suffers.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::RecordShared;
use crate::engine::events::Events;
use crate::engine::shared::Shared;
use crate::recording::raw::RawTrack;
use crate::ui::notice::Notice;
use crate::units::{Micros, SessionMicros};

/// How often something is looked for while no samples come.
const POLL: Duration = Duration::from_millis(200);
/// Samples between two syncs, as a share of a second.
const SYNC_SECONDS: u64 = 1;

/// A block as the card gave it, muted parts silenced.
pub struct RawBlock {
    pub samples: Vec<f32>,
    pub rate: u32,
    pub captured: Micros,
    pub session: SessionMicros,
}

/// See the module.
pub struct RawWriter {
    pub shared: Arc<Shared>,
    pub record: Arc<RecordShared>,
    pub events: Events,
    pub blocks: mpsc::Receiver<RawBlock>,
    /// The microphone's name.
    pub device: String,
}

/// An open pair of files.
struct Open {
    track: RawTrack,
    flac: File,
    times: File,
    /// Made and not yet written.
    bytes: Vec<u8>,
    lines: String,
    unsynced: u64,
}

/// Name of the `number`th file, without its ending: a card that comes back with another rate needs
/// another.
pub fn file_name(number: u32) -> String {
    if number == 1 { "raw_microphone".to_owned() } else { format!("raw_microphone_{number}") }
}

impl RawWriter {
    /// Writes until the recorder lets go of the other end.
    pub fn run(self) {
        if let Err(e) = self.write() {
            self.events.notice(&Notice::RawTrackEnds { why: e.to_string() });
            // The recorder finds its blocks taken, and nothing piles up.
            while self.blocks.recv().is_ok() {}
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut waiting = Vec::new();
        let mut open: Option<Open> = None;
        let mut files = 0;
        loop {
            let block = match self.blocks.recv_timeout(POLL) {
                Ok(block) => Some(block),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            waiting.extend(block);
            // The recording's writer makes the folder.
            let Some(folder) = self.record.folder.get() else {
                if let Some(trouble) = self.record.trouble() {
                    return Err(io::Error::other(trouble));
                }
                continue;
            };
            for block in waiting.drain(..) {
                if open.as_ref().is_some_and(|o| o.track.rate() != block.rate)
                    && let Some(done) = open.take()
                {
                    done.finish()?;
                }
                let file = match &mut open {
                    Some(file) => file,
                    None => {
                        files += 1;
                        open.insert(Open::new(folder, files, block.rate, &self.device)?)
                    }
                };
                file.push(&block)?;
            }
        }
        match open {
            Some(file) if !self.shared.abort.load(Relaxed) => file.finish(),
            _ => Ok(()),
        }
    }
}

impl Open {
    fn new(folder: &Path, number: u32, rate: u32, device: &str) -> io::Result<Self> {
        let name = file_name(number);
        let (mut bytes, mut lines) = (Vec::new(), String::new());
        let track =
            RawTrack::new(rate, device, &mut bytes, &mut lines).map_err(io::Error::other)?;
        let flac = File::create_new(folder.join(format!("{name}.flac")))?;
        let times = File::create_new(folder.join(format!("{name}.txt")))?;
        Ok(Self { track, flac, times, bytes, lines, unsynced: 0 })
    }

    fn push(&mut self, block: &RawBlock) -> io::Result<()> {
        let RawBlock { samples, captured, session, .. } = block;
        self.track
            .push(samples, *captured, *session, &mut self.bytes, &mut self.lines)
            .map_err(io::Error::other)?;
        self.flush()?;
        self.unsynced += samples.len() as u64;
        if self.unsynced >= SYNC_SECONDS * u64::from(self.track.rate()) {
            self.unsynced = 0;
            self.flac.sync_data()?;
            self.times.sync_data()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flac.write_all(&self.bytes)?;
        self.times.write_all(self.lines.as_bytes())?;
        self.bytes.clear();
        self.lines.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let head = self.track.finish(&mut self.bytes).map_err(io::Error::other)?;
        self.flush()?;
        self.flac.sync_data()?;
        self.flac.seek(SeekFrom::Start(0))?;
        self.flac.write_all(&head)?;
        self.flac.sync_data()?;
        self.times.sync_data()
    }
}
