//! The open fragment: which samples were appended, and the `moof` that will list them.
//!
//! Pure; the writer does the writing.

use super::boxes::{Boxes, HEADER};
use super::{AUDIO_ID, TIMECODE_ID, VIDEO_ID};

/// Sample flags (ISO 14496-12, 8.8.3.1): depends on no other.
pub const SYNC: u32 = 0x0200_0000;
/// Depends on others and is no sync sample.
pub const NOT_SYNC: u32 = 0x0101_0000;

/// The three tracks, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// H.264.
    Video,
    /// The sound.
    Audio,
    /// The start timecode.
    Timecode,
}

impl Track {
    /// In file order.
    pub const ALL: [Self; 3] = [Self::Video, Self::Audio, Self::Timecode];

    /// `track_ID`.
    pub fn id(self) -> u32 {
        match self {
            Self::Video => VIDEO_ID,
            Self::Audio => AUDIO_ID,
            Self::Timecode => TIMECODE_ID,
        }
    }

    /// Place in arrays of one entry a track.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Samples of one track that lie one behind the other.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose.
    pub track: Track,
    /// Where the first begins, from the start of the file.
    pub offset: u64,
    /// Each as (size in bytes, duration in media ticks).
    pub samples: Vec<(u32, u32)>,
    /// Decoding can begin at the first; the others depend on it.
    pub sync_first: bool,
}

/// Smallest slot: 30 frames, 47 AAC packets and the timecode, each in a run of its own, fit.
const SMALLEST_SLOT: usize = 4096;
/// Largest slot. A `moof` of at most 0xFF00 bytes keeps its size in one byte that changes.
const LARGEST_SLOT: usize = 65_536;
/// The `moof`'s size is a multiple of this, so that of its four size bytes only the third is not
/// 0: the committing write cannot be torn into another size.
const MOOF_STEP: usize = 256;

/// moof and mfhd; for each of three trafs header, tfhd, tfdt; one sbgp.
const FIXED: usize = 24 + 3 * (8 + 16 + 20) + 28;
/// A `trun` with its data offset and first sample's flags.
const RUN: usize = 24;
/// A sample's duration and size.
const SAMPLE: usize = 8;

/// Bytes to leave for the `moof` of a fragment of that many samples, however interleaved.
pub fn slot_for(video: usize, audio: usize) -> usize {
    let runs = 2 * video.min(audio) + 2;
    let moof = FIXED + RUN * runs + SAMPLE * (video + audio + 1) + MOOF_STEP + HEADER as usize;
    (moof + 2 * HEADER as usize).next_multiple_of(SMALLEST_SLOT).min(LARGEST_SLOT)
}

/// Samples appended since the last commit.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Where the open `free` box begins; a multiple of 8.
    pub start: u64,
    /// Bytes from there to the first sample.
    pub slot: usize,
    /// Where the next sample goes.
    pub end: u64,
    /// What was appended.
    pub runs: Vec<Run>,
    /// Decode time of each track's first sample here.
    pub times: [Option<u64>; 3],
    samples: usize,
}

impl Fragment {
    /// An empty one at `start`.
    pub fn new(start: u64, slot: usize) -> Self {
        let end = start + slot as u64;
        Self { start, slot, end, runs: Vec::new(), times: [None; 3], samples: 0 }
    }

    /// Whether the `moof` still fits its slot with one more sample.
    pub fn has_room(&self) -> bool {
        let moof = FIXED + RUN * (self.runs.len() + 1) + SAMPLE * (self.samples + 1);
        moof + HEADER as usize + MOOF_STEP <= self.slot - 2 * HEADER as usize
    }

    /// Whether no picture or sound is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.iter().all(|run| run.track == Track::Timecode)
    }

    /// Notes a sample that was written at `end`.
    pub fn add(&mut self, track: Track, size: u32, time: u64, duration: u32, sync: bool) {
        let own_run = track == Track::Video && sync;
        match self.runs.last_mut() {
            Some(run) if run.track == track && !own_run => run.samples.push((size, duration)),
            _ => self.runs.push(Run {
                track,
                offset: self.end,
                samples: vec![(size, duration)],
                sync_first: sync,
            }),
        }
        self.times[track.index()].get_or_insert(time);
        self.end += u64::from(size);
        self.samples += 1;
    }

    /// The sample before the track's newest lasts that long. False when it is not here but in an
    /// earlier fragment.
    pub fn set_before_last(&mut self, track: Track, ticks: u32) -> bool {
        let runs = self.runs.iter_mut().filter(|run| run.track == track);
        match runs.flat_map(|run| &mut run.samples).rev().nth(1) {
            Some(sample) => {
                sample.1 = ticks;
                true
            }
            None => false,
        }
    }

    /// The track's newest sample lasts that long. False when it has none here.
    pub fn set_last(&mut self, track: Track, ticks: u32) -> bool {
        let runs = self.runs.iter_mut().filter(|run| run.track == track);
        match runs.flat_map(|run| &mut run.samples).next_back() {
            Some(sample) => {
                sample.1 = ticks;
                true
            }
            None => false,
        }
    }

    /// Media ticks of the track here.
    pub fn duration(&self, track: Track) -> u64 {
        let runs = self.runs.iter().filter(|run| run.track == track);
        runs.flat_map(|run| &run.samples).map(|sample| u64::from(sample.1)).sum()
    }

    /// Samples of all tracks.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Bytes of samples.
    pub fn payload(&self) -> u64 {
        self.end - self.start - self.slot as u64
    }

    /// Where the next box begins: the end, rounded up to 8. The `mdat` takes the padding in.
    pub fn padded_end(&self) -> u64 {
        self.end.next_multiple_of(8)
    }

    /// The whole slot: the `moof`, a `free` filler, the `mdat` header. `defaults` are the `trex`
    /// sample durations.
    pub fn slot_bytes(&self, sequence: u32, defaults: [u32; 3]) -> Vec<u8> {
        let mut b = Boxes::new();
        b.put(b"moof", |b| {
            b.put_full(b"mfhd", 0, 0, |b| b.u32(sequence));
            for track in Track::ALL {
                if let Some(time) = self.times[track.index()] {
                    b.put(b"traf", |b| self.track_fragment(b, track, time, defaults));
                }
            }
            let whole = (b.len() + HEADER as usize).next_multiple_of(MOOF_STEP);
            b.free(whole - b.len());
        });
        let filler = self.slot - HEADER as usize - b.len();
        b.free(filler);
        let mdat = HEADER + self.padded_end() - self.start - self.slot as u64;
        b.u32(u32::try_from(mdat).expect("a fragment is committed long before 4 GiB"));
        b.raw(b"mdat");
        b.into_bytes()
    }

    fn track_fragment(&self, b: &mut Boxes, track: Track, time: u64, defaults: [u32; 3]) {
        let default = defaults[track.index()];
        b.put_full(b"tfhd", 0, 0x02_0000 /* default-base-is-moof */, |b| b.u32(track.id()));
        b.put_full(b"tfdt", 1, 0, |b| b.u64(time));
        let mut samples = 0;
        for run in self.runs.iter().filter(|run| run.track == track) {
            samples += run.samples.len() as u32;
            let first_flags = track == Track::Video && run.sync_first;
            let durations = run.samples.iter().any(|sample| sample.1 != default);
            let flags = 0x001 /* data offset */ | 0x200 /* sizes */
                | if first_flags { 0x004 } else { 0 }
                | if durations { 0x100 } else { 0 };
            b.put_full(b"trun", 0, flags, |b| {
                b.u32(run.samples.len() as u32);
                b.u32(u32::try_from(run.offset - self.start).expect("fragments stay small"));
                if first_flags {
                    b.u32(SYNC);
                }
                for (size, duration) in &run.samples {
                    if durations {
                        b.u32(*duration);
                    }
                    b.u32(*size);
                }
            });
        }
        if track == Track::Audio {
            // Every packet is in the roll group that the movie box describes.
            b.put_full(b"sbgp", 0, 0, |b| {
                b.raw(b"roll");
                b.u32(1);
                b.u32(samples);
                b.u32(1);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_video_and_aac_fits_the_smallest_slot() {
        assert_eq!(slot_for(30, 47), 4096);
        assert_eq!(slot_for(0, 400), 4096);
        assert_eq!(slot_for(60, 1600), 20_480);
        assert_eq!(slot_for(100_000, 100_000), LARGEST_SLOT);
    }

    #[test]
    fn the_slot_is_laid_out_as_14496_12_says() {
        let mut fragment = Fragment::new(0x40, 4096);
        fragment.add(Track::Video, 3, 30_000, 1000, true);
        fragment.add(Track::Video, 2, 31_000, 1500, false);
        let bytes = fragment.slot_bytes(2, [1000, 1024, 0]);
        assert_eq!(bytes.len(), 4096);
        #[rustfmt::skip]
        let golden = [
            &[0, 0, 1, 0][..], b"moof",
            &[0, 0, 0, 16], b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 84], b"traf",
            &[0, 0, 0, 16], b"tfhd", &[0, 2, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 20], b"tfdt", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x75, 0x30],
            &[0, 0, 0, 40], b"trun", &[0, 0, 3, 5, 0, 0, 0, 2, 0, 0, 0x10, 0,
                2, 0, 0, 0, 0, 0, 3, 0xE8, 0, 0, 0, 3, 0, 0, 5, 0xDC, 0, 0, 0, 2],
            &[0, 0, 0, 148], b"free",
        ].concat();
        assert_eq!(&bytes[..golden.len()], golden);
        assert_eq!(&bytes[0x100..0x108], b"\0\0\x0E\xF8free");
        // Five bytes of samples, three of padding, behind the header.
        assert_eq!(&bytes[4088..], b"\0\0\0\x10mdat");
    }

    #[test]
    fn the_fullest_fragment_still_fits_and_leaves_a_whole_filler() {
        let mut fragment = Fragment::new(0, 4096);
        let mut turn = 0;
        while fragment.has_room() {
            let track = if turn % 2 == 0 { Track::Video } else { Track::Audio };
            fragment.add(track, 1, turn, 7, true);
            turn += 1;
        }
        assert!(turn > 100);
        assert_eq!(fragment.slot_bytes(1, [1000, 1024, 0]).len(), 4096);
    }
}
