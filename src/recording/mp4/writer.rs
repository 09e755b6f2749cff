//! Writes the file: samples as they come, a commit a second, the end. See the module's page for
//! the layout and for why each order of writes and syncs is as it is.
//!
//! Runs on the engine's writer thread. What must wait for the disk is ordered, not waited for (see
//! [`RecordingFile::order`]), except at the end. Pure: the file comes in as a parameter, no clock
//! is read.

use blake2::{Blake2s256, Digest};

use super::boxes::OPEN_FREE;
use super::finish::{FinalIndex, beginning, measure};
use super::fragment::{Fragment, Track, slot_for};
use super::moov::{Recorded, default_durations, has, timescale};
use super::{AudioCoding, FRAME_TICKS, MovieParameters, Mp4Error, RecordingFile, Result};
use crate::units::{RECORDING_FPS, SAMPLE_RATE};

/// A fragment is a third of a second, in frames; three begin with each keyframe's. The picture runs
/// half a second behind capture (the grid waits for late ones), so that with the open fragment a
/// file that is cut off lacks less than a second. (PRD 4.3.3's fragments of one second would make
/// that one and a half.)
const FRAGMENT_FRAMES: u64 = RECORDING_FPS as u64 / 3;
/// When video stalls while audio goes on, what there is is committed after twice that: it must
/// reach the disk.
const OVERDUE_FRAMES: u64 = FRAGMENT_FRAMES * 2;
/// Live sound is so small that a slot every third of a second would be most of the file: one a second
/// (PRD 4.3.3).
const LIVE_FRAMES: u64 = RECORDING_FPS as u64;
/// Commits early above this, so that offsets within a fragment stay far below 2 GiB.
const LARGEST_PAYLOAD: u64 = 512 << 20;
/// Space is asked for in such steps, some 14 s of 1080p: few enough calls, little to give back.
const RESERVE: u64 = 32 << 20;
/// Sound alone takes two hundredths of that, and shares the disk with a recording that needs it.
const RESERVE_SOUND: u64 = 2 << 20;
/// What was recorded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fragments committed.
    pub fragments: u32,
    /// Video samples in the file, those of the open fragment included.
    pub video_samples: u64,
    /// Audio packets, likewise.
    pub audio_samples: u64,
    /// Video samples in committed fragments.
    pub committed_video_samples: u64,
    /// Audio packets in committed fragments.
    pub committed_audio_samples: u64,
}

/// A finalised file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The file's length.
    pub bytes: u64,
    /// Video samples.
    pub video_samples: u64,
    /// Audio packets.
    pub audio_samples: u64,
    /// Fragments it was written in.
    pub fragments: u32,
    /// Length of the movie, in 1/48,000 s.
    pub duration_samples: u64,
    /// BLAKE2s-256 over the bytes of all pictures and packets, in the order they lie in the file.
    pub media_hash: [u8; 32],
}

/// Where a sample was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whose it is.
    pub track: Track,
    /// Where it begins, from the start of the file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Decode time, media ticks of its track.
    pub time: u64,
    /// Media ticks of its track.
    pub duration: u32,
    /// Decoding can begin with it.
    pub sync: bool,
}

/// The writer.
#[derive(Debug)]
pub struct Mp4Writer<F: RecordingFile> {
    file: F,
    parameters: MovieParameters,
    /// Bytes of each fragment's slot.
    slot: usize,
    /// The open fragment; `None` when there was no room to open one.
    open: Option<Fragment>,
    /// Where the next slot begins while none is open.
    next_start: u64,
    timecode: Placed,
    recorded: Recorded,
    fragments: u32,
    /// The frame that would come next; `None` before the first.
    next_frame: Option<u64>,
    frames: u64,
    packets: u64,
    /// Where the newest packet ends.
    audio_time: u64,
    /// Of the newest packet.
    packet_duration: u32,
    media: Blake2s256,
    /// Space was asked for up to here; `u64::MAX` once that has failed.
    reserved: u64,
    /// The write that makes the file an ordinary one was begun: no more samples.
    swallowing: bool,
    finished: Option<Finished>,
}

impl<F: RecordingFile> Mp4Writer<F> {
    /// Writes the file's beginning and syncs it. The file must be empty.
    pub fn create(mut file: F, parameters: MovieParameters) -> Result<Self> {
        parameters.check()?;
        let packet = parameters.audio.as_ref().map_or(0, |a| a.samples_per_packet);
        let packets = if packet == 0 { 0 } else { SAMPLE_RATE.div_ceil(packet) };
        let slot = slot_for(RECORDING_FPS as usize, packets as usize);

        let mut b = beginning(&parameters);
        let mut fragment = Fragment::new(b.len() as u64, slot);
        b.extend_from_slice(&OPEN_FREE);
        b.resize(b.len() + slot - OPEN_FREE.len(), 0);
        b.extend_from_slice(&parameters.timecode.plus(0).start_frame.to_be_bytes());
        let [.., a_fragment] = default_durations(&parameters);
        let timecode = Placed {
            track: Track::Timecode,
            offset: fragment.end,
            size: 4,
            time: 0,
            duration: a_fragment,
            sync: true,
        };
        fragment.add(Track::Timecode, 4, 0, a_fragment, true);

        file.write_at(0, &b).map_err(|e| Mp4Error::io("beginning the file", e))?;
        file.sync().map_err(|e| Mp4Error::io("syncing the file's beginning", e))?;
        let mut writer = Self {
            file,
            slot,
            next_start: fragment.start,
            open: Some(fragment),
            timecode,
            parameters,
            recorded: Recorded::default(),
            fragments: 0,
            next_frame: None,
            frames: 0,
            packets: 0,
            audio_time: 0,
            packet_duration: 0,
            media: Blake2s256::new(),
            reserved: 0,
            swallowing: false,
            finished: None,
        };
        writer.reserve();
        Ok(writer)
    }

    /// Appends one picture: NAL units, each with a 4-byte length. `pts` counts frames from the
    /// file's start and rises from call to call; a hole is shown as the picture before it. On an
    /// error the sample is not in the file and may be given again.
    pub fn video(&mut self, sample: &[u8], pts: i64, keyframe: bool) -> Result<Placed> {
        self.check(Track::Video, sample)?;
        let frame = u64::try_from(pts).map_err(|_| Mp4Error::Sample("a frame before the file"))?;
        if self.next_frame.is_some_and(|next| frame < next) {
            return Err(Mp4Error::Sample("frames must come in order, without B-frames"));
        }
        if frame >= MAX_FRAMES {
            return Err(Mp4Error::Sample("a frame more than 39 hours after the file's start"));
        }
        if let Some(open) = &self.open {
            let frames = open.duration(Track::Video) / u64::from(FRAME_TICKS);
            if frames >= FRAGMENT_FRAMES {
                self.commit()?;
            }
        }
        let first = self.next_frame.is_none();
        let base = if first { frame } else { self.recorded.first_frame };
        // In fragments the decode time tells a late beginning, at the end an edit list does.
        let time = frame * u64::from(FRAME_TICKS);
        let placed = self.append(Track::Video, sample, time, FRAME_TICKS, keyframe)?;
        if let Some(missing) = self.next_frame.and_then(|next| frame.checked_sub(next)) {
            self.hold_previous(missing);
        }
        self.recorded.first_frame = base;
        self.next_frame = Some(frame + 1);
        self.frames += 1;
        Ok(placed)
    }

    /// Appends one packet of that many samples, right behind the one before. On an error the packet
    /// is not in the file and may be given again.
    pub fn audio(&mut self, packet: &[u8], duration: u32) -> Result<Placed> {
        self.audio_at(packet, self.audio_time, duration)
    }

    /// The same at sample `time` from the file's start, which must lie behind the packet before:
    /// that one lasts until then. So a gap is the duration of the packet in front of it, which all
    /// readers know of; nothing is made up to fill it.
    pub fn audio_at(&mut self, packet: &[u8], time: u64, duration: u32) -> Result<Placed> {
        self.check(Track::Audio, packet)?;
        if duration == 0 {
            return Err(Mp4Error::Sample("an audio packet without duration"));
        }
        let before = self.audio_time - u64::from(self.packet_duration);
        let lasts = time.checked_sub(before).and_then(|ticks| u32::try_from(ticks).ok());
        let first = self.packets == 0;
        let Some(lasts) = lasts.filter(|ticks| first || *ticks > 0) else {
            return Err(Mp4Error::Sample("packets must come in order, within a day"));
        };
        let live = self.parameters.audio.as_ref().is_some_and(|a| a.coding == AudioCoding::Opus);
        let limit = match (&self.parameters.video, live) {
            (Some(_), _) => OVERDUE_FRAMES,
            (None, true) => LIVE_FRAMES,
            (None, false) => FRAGMENT_FRAMES,
        };
        let samples = limit * u64::from(SAMPLE_RATE / RECORDING_FPS);
        let begun = self.open.as_ref().and_then(|open| open.times[Track::Audio.index()]);
        if begun.is_some_and(|begun| time - begun >= samples) {
            self.commit()?;
        }
        let placed = self.append(Track::Audio, packet, time, duration, true)?;
        if first {
            self.recorded.first_packet = time;
        } else if lasts != self.packet_duration {
            self.set_previous(Track::Audio, lasts);
        }
        self.audio_time = time + u64::from(duration);
        self.packet_duration = duration;
        self.packets += 1;
        Ok(placed)
    }

    /// Ends the sound after that many samples of its track, within the newest packet: what of it
    /// lies behind does not count.
    pub fn end_audio(&mut self, samples: u64) {
        if self.packets == 0 {
            return;
        }
        let from = self.audio_time - u64::from(self.packet_duration);
        let duration = samples.saturating_sub(from).clamp(1, self.packet_duration.into());
        let duration = u32::try_from(duration).expect("it is no longer than the packet");
        let in_fragment =
            self.open.as_mut().is_some_and(|open| open.set_last(Track::Audio, duration));
        if !in_fragment {
            self.recorded.tables[Track::Audio.index()].set_last_duration(duration);
        }
        self.audio_time = from + u64::from(duration);
        self.packet_duration = duration;
    }

    /// Where the start timecode is, which the file begins with.
    pub fn timecode_placed(&self) -> Placed {
        self.timecode
    }

    /// Makes everything appended so far permanent and opens the next fragment. On an error
    /// nothing is lost: the fragment stays open, or (when only the last sync failed) is committed.
    pub fn commit(&mut self) -> Result<()> {
        let Some(open) = self.open.as_ref().filter(|open| !open.is_empty()) else { return Ok(()) };
        let slot = open.slot_bytes(self.fragments + 1, default_durations(&self.parameters));
        let (head, body) = slot.split_at(OPEN_FREE.len());
        let (start, end, next) = (open.start, open.end, open.padded_end());
        self.file
            .write_at(start + head.len() as u64, body)
            .map_err(|e| Mp4Error::io("writing a fragment's index", e))?;

        // The next fragment's header must be there before this one stops covering the file's end.
        let mut opening = vec![0; (next - end) as usize];
        opening.extend_from_slice(&OPEN_FREE);
        opening.resize(opening.len() + self.slot - OPEN_FREE.len(), 0);
        let opened = self.file.write_at(end, &opening).is_ok();
        if !opened {
            // No room for another. End the file behind this one; the next append tries again.
            self.file.set_len(next).map_err(|e| Mp4Error::io("closing the last fragment", e))?;
        }
        self.file.order().map_err(|e| Mp4Error::io("syncing a fragment", e))?;
        self.file
            .write_ordered(start, head)
            .map_err(|e| Mp4Error::io("committing a fragment", e))?;

        let fragment = self.open.take().expect("it was open above");
        self.note_committed(fragment);
        self.next_start = next;
        self.open = opened.then(|| Fragment::new(next, self.slot));
        self.file.order().map_err(|e| Mp4Error::io("syncing a committed fragment", e))?;
        self.reserve();
        Ok(())
    }

    /// Keeps space ahead. A disk that has none says so when something is written.
    fn reserve(&mut self) {
        let end = self.bytes();
        let step = if self.parameters.video.is_some() { RESERVE } else { RESERVE_SOUND };
        if self.reserved >= end + step / 2 {
            return;
        }
        self.reserved = match self.file.reserve(end + step) {
            Ok(()) => end + step,
            Err(_) => u64::MAX,
        };
    }

    /// The file's length, without what is allocated ahead.
    pub fn bytes(&self) -> u64 {
        match (&self.finished, &self.open) {
            (Some(finished), _) => finished.bytes,
            (None, Some(open)) => open.end,
            (None, None) => self.next_start,
        }
    }

    /// What was recorded so far.
    pub fn counts(&self) -> Counts {
        Counts {
            fragments: self.fragments,
            video_samples: self.frames,
            audio_samples: self.packets,
            committed_video_samples: u64::from(self.recorded.tables[Track::Video.index()].len()),
            committed_audio_samples: u64::from(self.recorded.tables[Track::Audio.index()].len()),
        }
    }

    /// Bytes that the end will still need on the disk, at most, were it now: keep them free, and
    /// end the recording while they are. Grows by some 1 KB a second.
    pub fn bytes_to_finish(&self) -> u64 {
        // Headers, descriptions and parameter sets, as large as the first movie box.
        let headers: u64 = 4096
            + self.parameters.video.as_ref().map_or(0, |v| (v.sps.len() + v.pps.len()) as u64)
            + self.parameters.audio.as_ref().map_or(0, |a| a.configuration.len() as u64);
        let tables: u64 = self.recorded.tables.iter().map(|t| t.index_bytes()).sum();
        let open: u64 = self.open.as_ref().map_or(0, |open| 40 * open.samples() as u64);
        headers + tables + open
    }

    /// What the file was begun with.
    pub fn parameters(&self) -> &MovieParameters {
        &self.parameters
    }

    /// Ends the file and drops it. When this fails the file is still valid as far as it got; to
    /// try again (after space was freed) use [`Self::finalise`].
    pub fn finish(mut self) -> Result<Finished> {
        self.finalise()
    }

    /// Ends the file: an ordinary MP4. May be called again after an error; after success it only
    /// repeats what it said.
    pub fn finalise(&mut self) -> Result<Finished> {
        if let Some(finished) = self.finished {
            return Ok(finished);
        }
        self.commit()?;
        let duration = measure(&self.parameters, &mut self.recorded, self.next_frame);
        let at = self.open.as_ref().map_or(self.next_start, |open| open.start);
        let index = FinalIndex::new(&self.parameters, &self.recorded, at);
        let (give_back, keep) = (self.reserved > index.length(), at.max(self.bytes()));
        index.write(&mut self.file, give_back, keep)?;
        self.swallowing = true;
        index.swallow(&mut self.file)?;
        let finished = Finished {
            bytes: index.length(),
            video_samples: self.frames,
            audio_samples: self.packets,
            fragments: self.fragments,
            duration_samples: duration,
            media_hash: self.media.clone().finalize().into(),
        };
        // Only now: should the sync fail, writing the same again is harmless.
        self.file.sync().map_err(|e| Mp4Error::io("syncing the final file", e))?;
        self.finished = Some(finished);
        Ok(finished)
    }

    /// The file under the writer.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// The file under the writer, to reserve space in or the like; its bytes are the writer's.
    pub fn file_mut(&mut self) -> &mut F {
        &mut self.file
    }

    /// The file, for a caller that wants it back after [`Self::finalise`].
    pub fn into_file(self) -> F {
        self.file
    }

    fn check(&self, track: Track, sample: &[u8]) -> Result<()> {
        if self.swallowing {
            return Err(Mp4Error::Sample("the file is finished"));
        }
        if !has(&self.parameters, track) {
            return Err(Mp4Error::Sample("the file has no such track"));
        }
        if sample.is_empty() || sample.len() as u64 > LARGEST_PAYLOAD {
            return Err(Mp4Error::Sample("it is empty or larger than 512 MiB"));
        }
        Ok(())
    }

    fn append(
        &mut self,
        track: Track,
        sample: &[u8],
        time: u64,
        duration: u32,
        sync: bool,
    ) -> Result<Placed> {
        let full = |open: &Fragment| {
            !open.has_room() || open.payload() + sample.len() as u64 > LARGEST_PAYLOAD
        };
        if self.open.as_ref().is_some_and(full) {
            self.commit()?;
        }
        if self.open.is_none() {
            let mut header = OPEN_FREE.to_vec();
            header.resize(self.slot, 0);
            self.file
                .write_at(self.next_start, &header)
                .map_err(|e| Mp4Error::io("opening a fragment", e))?;
            self.open = Some(Fragment::new(self.next_start, self.slot));
        }
        let open = self.open.as_mut().expect("opened above");
        let (offset, size) = (open.end, sample.len() as u32);
        self.file.write_at(offset, sample).map_err(|e| Mp4Error::io("writing a sample", e))?;
        open.add(track, size, time, duration, sync);
        self.recorded.peak[track.index()].add(time, timescale(track), size);
        self.media.update(sample);
        Ok(Placed { track, offset, size, time, duration, sync })
    }

    /// The picture before a hole of that many frames goes on until the newest.
    fn hold_previous(&mut self, missing: u64) {
        if missing == 0 {
            return;
        }
        let ticks = u32::try_from((missing + 1) * u64::from(FRAME_TICKS))
            .expect("frame numbers stay below MAX_FRAMES");
        self.set_previous(Track::Video, ticks);
    }

    /// The sample before the newest, which is already in the open fragment, lasts that long.
    fn set_previous(&mut self, track: Track, ticks: u32) {
        let in_fragment = self.open.as_mut().is_some_and(|open| open.set_before_last(track, ticks));
        if !in_fragment {
            self.recorded.tables[track.index()].set_last_duration(ticks);
        }
    }

    fn note_committed(&mut self, fragment: Fragment) {
        for track in Track::ALL {
            for run in fragment.runs.iter().filter(|run| run.track == track) {
                let sync = run.sync_first && track == Track::Video;
                self.recorded.tables[track.index()].add_chunk(run.offset, &run.samples, sync);
            }
        }
        self.fragments += 1;
    }
}

/// Frames whose ticks fit the timecode's one 32-bit `stts` entry: 39 hours.
const MAX_FRAMES: u64 = (u32::MAX / FRAME_TICKS) as u64;
