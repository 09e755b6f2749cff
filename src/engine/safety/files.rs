//! The safety tracks' files: begun with a member's first packet, ended with the session, or before
//! where something is wrong with one.

use std::path::Path;
use std::sync::Arc;

use super::{SafetyShared, TrackView};
use crate::engine::events::Events;
use crate::engine::record::{DiskFile, Output, Start};
use crate::platform::clock;
use crate::recording::mp4::{AudioTrack, MovieParameters, Timecode};
use crate::recording::safety::{PRE_SKIP, Sound, Track, file_name};
use crate::ui::notice::Notice;
use crate::units::{Micros, ParticipantId};

/// Bitrate that the file's beginning tells, bit/s; its end tells the measured one.
const USUAL_BITRATE: u32 = 32_000;
/// Where nothing was added for so long, microseconds, readers of the unfinished file get to see what
/// there is.
const IDLE: i64 = 1_000_000;
/// Others learn of what has been added this often, microseconds.
const TELL: i64 = 1_000_000;

/// One member's track.
struct File {
    peer: ParticipantId,
    name: String,
    start: Start,
    track: Track,
    output: Option<Output>,
    /// It has ended for good.
    over: bool,
    /// When something was added, and whether a reader sees it.
    added: Micros,
    seen: bool,
    told: Micros,
    /// Its place among those that others know of.
    view: Option<usize>,
}

/// All of them.
pub struct Files {
    shared: Arc<SafetyShared>,
    events: Events,
    all: Vec<File>,
}

impl Files {
    pub fn new(shared: Arc<SafetyShared>, events: Events) -> Self {
        Self { shared, events, all: Vec::new() }
    }

    /// The track of a member that begins to send. Who was here before goes on in its own; somebody
    /// else with its id ends that.
    pub fn of(&mut self, peer: ParticipantId, name: &str, start: &Start) -> usize {
        for number in 0..self.all.len() {
            let file = &mut self.all[number];
            if file.peer != peer || file.over && file.output.is_none() && file.view.is_some() {
                continue;
            }
            if file.name == name {
                file.track.begin_stream();
                return number;
            }
            self.end(number);
        }
        let now = clock::now();
        self.all.push(File {
            peer,
            name: name.to_owned(),
            start: *start,
            track: Track::new(start.t0),
            output: None,
            over: false,
            added: now,
            seen: true,
            told: now,
            view: None,
        });
        self.all.len() - 1
    }

    /// Adds a packet to a track, whose file is made in `folder` with the first.
    pub fn add(&mut self, number: usize, sound: &Sound, samples: u32, folder: &Path) {
        let file = &mut self.all[number];
        if file.over {
            return;
        }
        let Some(time) = file.track.place(sound, samples) else { return };
        if file.output.is_none() {
            match begin(file, samples, folder) {
                Ok(output) => file.output = Some(output),
                Err(e) => return self.fail(number, &e),
            }
        }
        let Some(output) = &mut file.output else { return };
        if let Err(e) = output.audio_at(&sound.data, time, samples) {
            return self.fail(number, &e.to_string());
        }
        file.track.add(sound, time, samples);
        (file.added, file.seen) = (clock::now(), false);
        if file.view.is_none() || file.added.since(file.told) >= TELL {
            self.tell(number, None);
        }
    }

    /// Shows readers of the unfinished files what nothing follows.
    pub fn look_after(&mut self, now: Micros) {
        for number in 0..self.all.len() {
            let file = &mut self.all[number];
            let idle = !file.seen && now.since(file.added) >= IDLE;
            let Some(output) = file.output.as_mut().filter(|_| idle) else { continue };
            file.seen = true;
            if let Err(e) = output.commit() {
                self.fail(number, &e.to_string());
            } else {
                self.tell(number, None);
            }
        }
    }

    /// Ends all tracks before the session's end, and says why.
    pub fn end_all(&mut self, why: &str) {
        for number in 0..self.all.len() {
            if !self.all[number].over {
                self.fail(number, why);
            }
        }
    }

    /// The session is over.
    pub fn close(&mut self) {
        for number in 0..self.all.len() {
            self.end(number);
        }
    }

    fn fail(&mut self, number: usize, why: &str) {
        let name = self.all[number].name.clone();
        self.events.notice(&Notice::SafetyTrackEnds { name, why: why.to_owned() });
        self.end(number);
    }

    fn end(&mut self, number: usize) {
        let file = &mut self.all[number];
        file.over = true;
        let Some(mut output) = file.output.take() else { return };
        let path = output.path().to_owned();
        match output.finalise() {
            Ok(finished) => {
                output.remove_journal();
                self.tell(number, Some((finished.bytes, Some(finished.media_hash))));
                if !path.exists() {
                    let path = path.display().to_string();
                    self.events.notice(&Notice::SafetyTrackGone { path });
                }
            }
            Err(e) => {
                let bytes = output.bytes();
                self.tell(number, Some((bytes, None)));
                let path = path.display().to_string();
                self.events.notice(&Notice::SafetyTrackNotEnded { path, why: e.to_string() });
            }
        }
    }

    /// Tells others of a track; `closed`: its length at the end, and its hash.
    fn tell(&mut self, number: usize, closed: Option<(u64, Option<[u8; 32]>)>) {
        let tracks = self.shared.tracks();
        let file = &mut self.all[number];
        let view = *file.view.get_or_insert(tracks.len());
        let known = tracks.get(view);
        let path = file.output.as_ref().map(|output| output.path().to_owned());
        let Some(path) = path.or_else(|| known.map(|known| known.path.clone())) else { return };
        let open = file.output.as_ref().map_or(0, Output::bytes);
        let (bytes, media_hash) = closed.unwrap_or((open, None));
        file.told = clock::now();
        let (id, name, counts) = (file.peer.0, file.name.clone(), file.track.counts());
        self.shared.set(view, TrackView { id, name, path, counts, bytes, media_hash });
    }
}

fn begin(file: &File, samples: u32, folder: &Path) -> Result<Output, String> {
    let path = folder.join(file_name(&file.name, |name| folder.join(name).exists()));
    let failed = |e: &dyn std::fmt::Display| format!("cannot begin {}: {e}", path.display());
    let made = DiskFile::create(&path).map_err(|e| failed(&e))?;
    let parameters = MovieParameters {
        video: None,
        audio: Some(AudioTrack::opus(PRE_SKIP, USUAL_BITRATE, samples)),
        timecode: Timecode { start_frame: file.start.timecode() },
        created_utc_seconds: (file.start.utc_micros() / 1_000_000).max(0) as u64,
    };
    Output::begin(made, path.clone(), parameters).map_err(|e| failed(&e))
}
