//! The safety tracks' thread, `hz-safety`: what was received of each peer's sound into a file of its
//! own, in case the peer's own recording is lost (see [`crate::recording::safety`]).
//!
//! The receive thread copies packets into a ring ([`tap`]) and never waits; this thread looks at the
//! ring twenty times a second, at normal priority. What goes wrong here ends one track, never the
//! local recording and never the call.

mod files;
mod tap;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use self::files::Files;
use self::tap::Packets;
pub use self::tap::{SafetyTap, tap};
use super::error::EngineError;
use super::events::Events;
use super::folder::SessionFolder;
use super::record::{RecordShared, Start};
use super::shared::Shared;
use super::threads::spawn;
use crate::platform::clock;
use crate::platform::priority::Role;
use crate::recording::safety::{Counts, Heard, Stream};
use crate::recording::space::LEAST_SPACE_TRACKS;
use crate::ui::notice::Notice;
use crate::units::{Micros, ParticipantId};

/// How often the ring is looked at; it holds many seconds.
const TURN: Duration = Duration::from_millis(50);
/// A stream from which nothing has come for so long, microseconds: what waits for a missing packet
/// waits no more.
const QUIET: i64 = 500_000;

/// A track as everybody else sees it.
#[derive(Clone, Debug)]
pub struct TrackView {
    /// Whose: id in the session.
    pub id: u8,
    /// Whose: display name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What is in it, by samples from T0.
    pub counts: Counts,
    /// Its file's length.
    pub bytes: u64,
    /// BLAKE2s-256 of the packets in it, once it is closed as it should be.
    pub media_hash: Option<[u8; 32]>,
}

/// What the safety tracks share with everybody.
#[derive(Default)]
pub struct SafetyShared {
    tracks: Mutex<Vec<TrackView>>,
    finish: AtomicBool,
}

impl SafetyShared {
    /// All tracks so far, in the order in which they were begun.
    pub fn tracks(&self) -> Vec<TrackView> {
        self.tracks.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn set(&self, number: usize, track: TrackView) {
        let mut tracks = self.tracks.lock().unwrap_or_else(|e| e.into_inner());
        match tracks.get_mut(number) {
            Some(known) => *known = track,
            None => tracks.push(track),
        }
    }
}

/// What the control thread tells of.
enum News {
    /// A member's stream of that number begins.
    Joined { stream: u32, peer: ParticipantId, name: String },
    /// It is over.
    Left { stream: u32 },
}

/// The control thread's end: numbers each member's streams.
pub struct SafetyNews {
    to: mpsc::Sender<News>,
    streams: u32,
    current: BTreeMap<u8, u32>,
}

impl SafetyNews {
    /// A member has come, or has come back under new keys; the number of what it sends from now on.
    pub fn joined(&mut self, peer: ParticipantId, name: &str) -> u32 {
        self.left(peer);
        self.streams += 1;
        self.current.insert(peer.0, self.streams);
        let name = name.to_owned();
        // Without its thread there are no tracks, and that was told.
        let _ = self.to.send(News::Joined { stream: self.streams, peer, name });
        self.streams
    }

    /// A member has gone.
    pub fn left(&mut self, peer: ParticipantId) {
        if let Some(stream) = self.current.remove(&peer.0) {
            let _ = self.to.send(News::Left { stream });
        }
    }
}

/// What the thread is made of.
pub struct Parts {
    /// Shared switches.
    pub shared: Arc<Shared>,
    /// Where the recording begins, and in which folder.
    pub record: Arc<RecordShared>,
    /// Where news go.
    pub events: Events,
    /// How much is free on its disk.
    pub folder: Arc<SessionFolder>,
}

/// The running thread.
pub struct Safety {
    shared: Arc<SafetyShared>,
    thread: JoinHandle<()>,
}

impl Safety {
    /// Starts it; its ends for the receive thread and the control thread.
    pub fn start(parts: Parts) -> Result<(Self, SafetyTap, SafetyNews), EngineError> {
        let shared = Arc::new(SafetyShared::default());
        let (tap, packets) = tap();
        let (to, news) = mpsc::channel();
        let files = Files::new(shared.clone(), parts.events.clone());
        let writer = Writer {
            parts,
            safety: shared.clone(),
            packets,
            news,
            streams: BTreeMap::new(),
            files,
            missed: 0,
        };
        let thread = spawn("hz-safety", Role::Normal, move || writer.run())?;
        let news = SafetyNews { to, streams: 0, current: BTreeMap::new() };
        Ok((Self { shared, thread }, tap, news))
    }

    /// What is known of the tracks.
    pub fn shared(&self) -> &Arc<SafetyShared> {
        &self.shared
    }

    /// Has all tracks closed; see [`Self::is_finished`].
    pub fn begin_closing(&self) {
        self.shared.finish.store(true, Relaxed);
        self.thread.thread().unpark();
    }

    /// All tracks are closed.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// One stream on its way into a track.
struct Live {
    peer: ParticipantId,
    name: String,
    stream: Option<Stream>,
    /// When something of it came out of the ring.
    heard: Micros,
    left: bool,
    /// Number of its track, once it has one.
    track: Option<usize>,
}

struct Writer {
    parts: Parts,
    safety: Arc<SafetyShared>,
    packets: Packets,
    news: mpsc::Receiver<News>,
    streams: BTreeMap<u32, Live>,
    files: Files,
    /// Packets that the ring had no room for, as far as that was told.
    missed: u64,
}

impl Writer {
    fn run(mut self) {
        loop {
            // Before the ring: what came until now is taken along.
            let finish = self.safety.finish.load(Relaxed);
            self.take();
            if self.parts.shared.abort.load(Relaxed) {
                // What is in the files can be recovered.
                return;
            }
            self.write(finish);
            if finish || self.parts.shared.stopping() {
                return self.files.close();
            }
            std::thread::park_timeout(TURN);
        }
    }

    /// News first: a stream is told of before its first packet leaves the receive thread.
    fn listen(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Joined { stream, peer, name } => {
                    let heard = clock::now();
                    let live = Live { peer, name, stream: None, heard, left: false, track: None };
                    self.streams.insert(stream, live);
                }
                News::Left { stream } => {
                    if let Some(live) = self.streams.get_mut(&stream) {
                        live.left = true;
                    }
                }
            }
        }
    }

    fn take(&mut self) {
        self.listen();
        let now = clock::now();
        while let Some(packet) = self.packets.pop() {
            if !self.streams.contains_key(&packet.stream) {
                self.listen();
            }
            let Some(live) = self.streams.get_mut(&packet.stream) else { continue };
            live.heard = now;
            let Some(half_frames) = packet.half_frames() else { continue };
            let stream = live.stream.get_or_insert_with(|| Stream::new(half_frames));
            stream.push(&Heard {
                sequence: packet.sequence,
                timestamp_ms: packet.timestamp_ms,
                arrival: packet.arrival,
                payload: packet.payload(),
            });
        }
        let missed = self.packets.missed();
        if missed > self.missed {
            let packets = missed - self.missed;
            self.parts.events.notice(&Notice::SafetyPacketsMissing { packets });
            self.missed = missed;
        }
    }

    fn write(&mut self, finish: bool) {
        let record = &self.parts.record;
        let (Some(start), Some(folder)) = (record.start.get(), record.folder.get()) else { return };
        let start = Start { first_slot: 0, ..*start };
        let little = self.parts.folder.disk.free().is_some_and(|free| free < LEAST_SPACE_TRACKS);
        if little {
            // What comes meanwhile waits, bounded, and is left out where it becomes too much.
            return self
                .files
                .end_all("the disk is almost full, and the rest is for your own recording");
        }
        let now = clock::now();
        for live in self.streams.values_mut() {
            let quiet = finish || live.left || now.since(live.heard) >= QUIET;
            let Some(stream) = &mut live.stream else { continue };
            while let Some(sound) = stream.pop(quiet) {
                let number =
                    *live.track.get_or_insert_with(|| self.files.of(live.peer, &live.name, &start));
                self.files.add(number, &sound, stream.frame(), folder);
            }
        }
        self.streams.retain(|_, live| !live.left);
        self.files.look_after(now);
    }
}

#[cfg(test)]
mod tests;
