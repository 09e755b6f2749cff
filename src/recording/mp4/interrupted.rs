//! Ends a file that its writer could not end: from a list of its samples to a finished file.
//!
//! Works at the end of the file, behind everything that is there, and reads the result as it will
//! be before the one write that puts it into force. Interrupted itself, it has changed nothing that
//! a reader sees, and can begin again. Pure; the file comes in as a parameter.

use super::finish::{FinalIndex, measure};
use super::fragment::Track;
use super::moov::{Recorded, timescale};
use super::read::{Index, SampleAt};
use super::{
    AudioCoding, FRAME_TICKS, Finished, MovieParameters, Mp4Error, RecordingFile, Result, TrackKind,
};

/// What is to be in the finished file.
#[derive(Clone, Debug)]
pub struct Salvage {
    /// What the file was begun with.
    pub parameters: MovieParameters,
    /// Samples of each of [`Track::ALL`], in order of time. A picture lasts until the next.
    pub samples: [Vec<SampleAt>; 3],
    /// Fragments that they lie in.
    pub fragments: u32,
    /// BLAKE2s-256 of the media (see [`Finished`]).
    pub media_hash: [u8; 32],
}

impl Salvage {
    /// All samples in the order they lie in the file.
    pub fn in_file_order(&self) -> Vec<(Track, SampleAt)> {
        let all = Track::ALL.into_iter().zip(&self.samples);
        let mut all: Vec<(Track, SampleAt)> =
            all.flat_map(|(track, samples)| samples.iter().map(move |s| (track, *s))).collect();
        all.sort_by_key(|(_, sample)| sample.offset);
        all
    }

    /// Ends the file. On an error it is what it was before, but perhaps longer behind its end.
    pub fn finish<F: RecordingFile>(&self, file: &mut F) -> Result<Finished> {
        let before = file.len().map_err(|e| Mp4Error::io("measuring the file", e))?;
        let last = self.samples.iter().flatten().map(SampleAt::end).max().unwrap_or(0);
        if self.samples.iter().take(2).all(Vec::is_empty) || last > before {
            return Err(Mp4Error::Parameters("there is nothing to save, or it is not there"));
        }
        // Behind all that is there: what nobody can read today may be read tomorrow.
        let at = before.next_multiple_of(8);
        let (mut recorded, next_frame) = self.recorded();
        let duration_samples = measure(&self.parameters, &mut recorded, next_frame);
        let index = FinalIndex::new(&self.parameters, &recorded, at);
        // Always: the killed program's reserve is given back.
        index.write(file, true, before)?;
        if !self.is_what_one_reads(&Index::read(&mut index.preview(file))) {
            let _ = file.set_len(before);
            return Err(Mp4Error::ReadBack);
        }
        index.swallow(file)?;
        file.sync().map_err(|e| Mp4Error::io("syncing the final file", e))?;
        let [video, audio, _] = &self.samples;
        Ok(Finished {
            bytes: index.length(),
            video_samples: video.len() as u64,
            audio_samples: audio.len() as u64,
            fragments: self.fragments,
            duration_samples,
            media_hash: self.media_hash,
        })
    }

    /// Whether the file as it will be has exactly these samples.
    fn is_what_one_reads(&self, read: &Result<Index, super::ReadError>) -> bool {
        let Ok(read) = read else { return false };
        let kinds = [TrackKind::Video, TrackKind::Audio, TrackKind::Timecode];
        let same = |(kind, samples): (TrackKind, &Vec<SampleAt>)| {
            let found = read.of(kind);
            let place = |s: &SampleAt| (s.offset, s.size, s.sync || kind != TrackKind::Video);
            found.len() == samples.len()
                && found.iter().zip(samples).all(|(a, b)| place(a) == place(b))
        };
        read.summary.finalised
            && read.faults.is_empty()
            && kinds.into_iter().zip(&self.samples).all(same)
    }

    /// The tables, and the frame that would have come next.
    fn recorded(&self) -> (Recorded, Option<u64>) {
        let mut recorded = Recorded::default();
        let ticks = u64::from(FRAME_TICKS);
        let [video, audio, _] = &self.samples;
        recorded.first_packet = audio.first().map_or(0, |first| first.time);
        recorded.first_frame = video.first().map_or(0, |first| first.time / ticks);
        let next_frame = video.last().map(|last| last.time / ticks + 1);
        for track in Track::ALL {
            for sample in &self.samples[track.index()] {
                recorded.peak[track.index()].add(sample.time, timescale(track), sample.size);
            }
        }
        // How long a picture is shown only the next one tells, which may be in another chunk.
        let mut until = video.iter().skip(1).map(|next| next.time);
        // Opus' packets may have gaps between them, which are the duration of the one before.
        let gaps = self.parameters.audio.as_ref().is_some_and(|a| a.coding == AudioCoding::Opus);
        let mut next_packet = audio.iter().skip(1).map(|next| next.time);
        let mut run: Vec<(u32, u32)> = Vec::new();
        let mut open: Option<(Track, SampleAt, u64)> = None;
        for (track, sample) in self.in_file_order() {
            let duration = match track {
                Track::Video => {
                    let until = until.next().unwrap_or(sample.time + ticks);
                    u32::try_from(until.saturating_sub(sample.time)).unwrap_or(u32::MAX)
                }
                Track::Audio if gaps => next_packet.next().map_or(sample.duration, |next| {
                    u32::try_from(next.saturating_sub(sample.time)).unwrap_or(u32::MAX)
                }),
                Track::Audio | Track::Timecode => sample.duration,
            };
            let goes_on = open.is_some_and(|(of, _, end)| {
                of == track && end == sample.offset && !(track == Track::Video && sample.sync)
            });
            if let (false, Some((of, first, _))) = (goes_on, open) {
                add(&mut recorded, of, first, &mut run);
            }
            let first = open.filter(|_| goes_on).map_or(sample, |(_, first, _)| first);
            run.push((sample.size, duration));
            open = Some((track, first, sample.end()));
        }
        if let Some((track, first, _)) = open {
            add(&mut recorded, track, first, &mut run);
        }
        (recorded, next_frame)
    }
}

fn add(recorded: &mut Recorded, track: Track, first: SampleAt, run: &mut Vec<(u32, u32)>) {
    let sync = track == Track::Video && first.sync;
    recorded.tables[track.index()].add_chunk(first.offset, run, sync);
    run.clear();
}
