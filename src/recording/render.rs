//! A safety track as plain sound: one line of samples that begins at T0.
//!
//! Each packet is decoded to its place. A hole of up to 60 ms is concealed, as in the live call; a
//! longer one is silence, reached over a faded frame and left over a millisecond, so that neither
//! edge clicks. Where the sender's card ran a little faster or slower than the session's clock, a
//! frame is a sample longer or shorter than it was; its samples are then read between each other.
//!
//! Pure but for its decoder: the file comes in and the samples go out as parameters.

use std::io::{self, Read, Seek};

use super::media::{Progress, walk};
use super::mp4::{AudioCoding, Index, ReadError, SampleAt, Track, TrackKind};
use super::safety::{SHORT_GAP, SLACK};
use crate::audio::TalkDecoder;
use crate::audio::codec::{CodecError, FRAME, packet_samples};

/// Samples over which sound comes back out of silence: 1 ms.
const SEAM: usize = 48;
/// Silence is given out in pieces of so many samples.
const PIECE: usize = 4_800;
/// Longest Opus packet, samples: 120 ms (RFC 6716, 3.2.5).
const LONGEST: usize = 5_760;

/// Why there is no sound.
#[derive(Debug, thiserror::Error, strum::EnumCount)]
pub enum RenderError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is an MP4 file of another kind.
    #[error("this is no safety track; try one of the remote_audio_*.mp4 of a session's folder")]
    Foreign,
    /// It holds nothing.
    #[error("there is no packet of sound in it; try hyperzoom recover")]
    Empty,
    /// There is no decoder.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The samples could not be handed on.
    #[error("the sound could not be written: {0}; check the disk, or try another --to")]
    Write(io::Error),
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Samples in all.
    pub samples: u64,
    /// Packets that were decoded.
    pub packets: u64,
    /// Packets that could not be, or are not in the file.
    pub damaged: u64,
    /// Samples that were concealed.
    pub concealed: u64,
    /// Samples of silence between packets and around them.
    pub silence: u64,
}

/// Where each packet of a safety track begins, samples from T0, and the packet; `None` for another
/// kind of file.
pub fn packets(index: &Index) -> Option<Vec<(u64, SampleAt)>> {
    let parameters = index.parameters.as_ref()?;
    let opus = parameters.video.is_none()
        && parameters.audio.as_ref().is_some_and(|a| a.coding == AudioCoding::Opus);
    // In fragments decode times count from T0, in a finished file from the first packet.
    let delay = index.summary.audio().filter(|_| opus)?.edit_delay;
    let packets = index.of(TrackKind::Audio);
    Some(packets.iter().map(|packet| (delay.saturating_add(packet.time), *packet)).collect())
}

/// Where the last packet ends, samples from T0.
pub fn end(packets: &[(u64, SampleAt)]) -> u64 {
    packets.last().map_or(0, |(time, packet)| time.saturating_add(packet.duration.into()))
}

/// Makes the first `length` samples from T0 on; `sink` gets them in order.
pub fn render<R: Read + Seek>(
    reader: &mut R,
    index: &Index,
    length: u64,
    progress: Progress<'_>,
    sink: &mut dyn FnMut(&[f32]) -> io::Result<()>,
) -> Result<Rendered, RenderError> {
    let packets = packets(index).ok_or(RenderError::Foreign)?;
    if packets.is_empty() {
        return Err(RenderError::Empty);
    }
    let priming = index.parameters.as_ref().and_then(|p| p.audio.as_ref());
    let priming = priming.map_or(0, |audio| i64::from(audio.priming_samples));
    let mut line = Line {
        decoder: TalkDecoder::new()?,
        length,
        cursor: 0,
        begun: false,
        anew: true,
        last: 0.0,
        made: Rendered::default(),
        sink,
        failed: None,
    };
    let samples: Vec<_> = packets.iter().map(|(_, packet)| (Track::Audio, *packet)).collect();
    let mut times = packets.iter().map(|(time, _)| *time);
    walk(reader, &samples, progress, |_, packet, bytes| {
        let time = times.next().unwrap_or(0);
        let place = i64::try_from(time).unwrap_or(i64::MAX).saturating_sub(priming);
        line.packet(place, packet.duration, bytes);
    })
    .map_err(ReadError::Io)?;
    line.finish();
    match line.failed {
        Some(e) => Err(RenderError::Write(e)),
        None => Ok(line.made),
    }
}

/// The samples made so far.
struct Line<'a> {
    decoder: TalkDecoder,
    length: u64,
    /// Samples made, those behind the end too.
    cursor: i64,
    /// Something was decoded: there is something to conceal from.
    begun: bool,
    /// The next packet comes out of silence.
    anew: bool,
    /// The newest sample.
    last: f32,
    made: Rendered,
    sink: &'a mut dyn FnMut(&[f32]) -> io::Result<()>,
    failed: Option<io::Error>,
}

impl Line<'_> {
    fn packet(&mut self, place: i64, lasts: u32, bytes: Option<&[u8]>) {
        let own = bytes.and_then(packet_samples).filter(|own| *own <= LONGEST);
        let (Some(bytes), Some(own)) = (bytes, own) else {
            self.made.damaged += 1;
            return;
        };
        self.fill(place);
        let mut pcm = vec![0.0; own];
        if self.decoder.decode(bytes, &mut pcm).is_err() {
            self.made.damaged += 1;
            return;
        }
        self.begun = true;
        self.made.packets += 1;
        let near = u64::from(lasts).abs_diff(own as u64) <= SLACK;
        let mut pcm = stretch(&pcm, if near { lasts as usize } else { own }, self.last);
        if std::mem::take(&mut self.anew) {
            for (i, sample) in pcm.iter_mut().take(SEAM).enumerate() {
                *sample *= (i + 1) as f32 / (SEAM + 1) as f32;
            }
        }
        // Before T0, or over what is there already.
        let over = usize::try_from(self.cursor - place).unwrap_or(0).min(pcm.len());
        self.give(&pcm[over..]);
    }

    /// Makes what is missing before a packet.
    fn fill(&mut self, place: i64) {
        let Ok(hole) = usize::try_from(place - self.cursor) else { return };
        if hole == 0 {
            return;
        }
        if self.begun && hole as u64 <= SHORT_GAP {
            self.made.concealed += hole as u64;
            self.conceal(hole, false);
        } else {
            self.silence(hole);
        }
    }

    fn conceal(&mut self, samples: usize, fade: bool) {
        let mut left = samples;
        while left > 0 {
            let mut pcm = [0.0; FRAME];
            self.decoder.conceal(&mut pcm);
            if fade {
                for (i, sample) in pcm.iter_mut().enumerate() {
                    *sample *= 1.0 - (i + 1) as f32 / FRAME as f32;
                }
            }
            let part = left.min(FRAME);
            self.give(&pcm[..part]);
            left -= part;
        }
    }

    fn silence(&mut self, samples: usize) {
        self.made.silence += samples as u64;
        let mut left = samples;
        if self.begun && !self.anew {
            let fade = left.min(FRAME);
            self.conceal(fade, true);
            left -= fade;
        }
        self.anew = true;
        while left > 0 {
            let part = left.min(PIECE);
            self.give(&[0.0; PIECE][..part]);
            left -= part;
        }
    }

    fn finish(&mut self) {
        let left = i64::try_from(self.length).unwrap_or(i64::MAX) - self.cursor;
        if let Ok(left @ 1..) = usize::try_from(left) {
            self.silence(left);
        }
    }

    fn give(&mut self, pcm: &[f32]) {
        let room = self.length.saturating_sub(self.cursor as u64);
        let part = usize::try_from(room).unwrap_or(usize::MAX).min(pcm.len());
        self.cursor += pcm.len() as i64;
        self.last = pcm.last().copied().unwrap_or(self.last);
        self.made.samples += part as u64;
        if part > 0
            && self.failed.is_none()
            && let Err(e) = (self.sink)(&pcm[..part])
        {
            self.failed = Some(e);
        }
    }
}

/// A frame with a sample more or less, read between its samples (Catmull and Rom's cubic); `before`
/// is the sample in front of it.
fn stretch(pcm: &[f32], samples: usize, before: f32) -> Vec<f32> {
    if samples == pcm.len() {
        return pcm.to_vec();
    }
    let at = |i: i64| match usize::try_from(i) {
        Ok(i) => pcm[i.min(pcm.len() - 1)],
        Err(_) => before,
    };
    let step = pcm.len() as f64 / samples as f64;
    let one = |n: usize| {
        let place = n as f64 * step;
        let (i, t) = (place as i64, place.fract() as f32);
        let [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
    };
    (0..samples).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::TalkEncoder;
    use crate::recording::mp4::{AudioTrack, MemoryFile, MovieParameters, Mp4Writer, Timecode};
    use crate::recording::safety::PRE_SKIP;
    use std::io::Cursor;

    /// A tone of 400 Hz in packets at these places of the session.
    fn track(places: &[u64], finalise: bool) -> Vec<u8> {
        let sound = places.iter().map(|place| (*place, *place)).collect::<Vec<_>>();
        track_of(&sound, finalise)
    }

    /// The same of places and the samples of the tone there.
    fn track_of(places: &[(u64, u64)], finalise: bool) -> Vec<u8> {
        let parameters = MovieParameters {
            video: None,
            audio: Some(AudioTrack::opus(PRE_SKIP, 32_000, 240)),
            timecode: Timecode { start_frame: 9 },
            created_utc_seconds: 0,
        };
        let mut writer = Mp4Writer::create(MemoryFile::new(), parameters).unwrap();
        let mut encoder = TalkEncoder::new(64_000).unwrap();
        for (place, from) in places {
            let pcm: Vec<f32> = (*from..from + 240).map(tone).collect();
            let mut packet = [0; 200];
            let len = encoder.encode(&pcm, &mut packet).unwrap();
            writer.audio_at(&packet[..len], *place, 240).unwrap();
        }
        match finalise {
            true => drop(writer.finalise().unwrap()),
            false => writer.commit().unwrap(),
        }
        writer.into_file().bytes
    }

    fn tone(sample: u64) -> f32 {
        (sample as f32 * 400.0 / 48_000.0 * std::f32::consts::TAU).sin() * 0.4
    }

    fn made(bytes: &[u8], length: u64) -> (Vec<f32>, Rendered) {
        let mut reader = Cursor::new(bytes);
        let index = Index::read(&mut reader).unwrap();
        let mut sound = Vec::new();
        let rendered = render(&mut reader, &index, length, &mut |_, _| (), &mut |pcm| {
            sound.extend_from_slice(pcm);
            Ok(())
        });
        (sound, rendered.unwrap())
    }

    /// How far it is from the tone, RMS, from sample to sample.
    fn wrong(sound: &[f32], range: std::ops::Range<usize>) -> f32 {
        let length = range.len() as f32;
        let square = range.map(|n| (sound[n] - tone(n as u64)).powi(2)).sum::<f32>();
        (square / length).sqrt()
    }

    #[test]
    fn sound_stands_at_its_instant_and_silence_where_nothing_came() {
        // From 0.1 s on for half a second, then a quarter of one missing.
        let places: Vec<u64> = (0..100).map(|n| 4_800 + n * 240).collect();
        let later = (0..50).map(|n| 4_800 + 100 * 240 + 12_000 + n * 240);
        let places: Vec<u64> = places.into_iter().chain(later).collect();
        for finalise in [true, false] {
            let (sound, rendered) = made(&track(&places, finalise), 60_000);
            assert_eq!(sound.len(), 60_000);
            assert!(sound[..4_680].iter().all(|s| *s == 0.0), "nothing before the first packet");
            assert!(wrong(&sound, 5_300..28_600) < 0.02, "{}", wrong(&sound, 5_300..28_600));
            assert!(wrong(&sound, 41_500..52_500) < 0.02);
            assert!(sound[28_680 + 240..40_680].iter().all(|s| *s == 0.0), "true silence");
            assert!(sound[52_800 + 240..].iter().all(|s| *s == 0.0));
            assert_eq!((rendered.packets, rendered.damaged, rendered.concealed), (150, 0, 0));
            // Neither edge clicks: no step is larger than the tone's own.
            let steps = sound.windows(2).map(|w| (w[1] - w[0]).abs());
            assert!(steps.fold(0.0, f32::max) < 0.06);
        }
    }

    #[test]
    fn a_short_hole_is_concealed_and_a_shorter_session_cuts() {
        let places: Vec<u64> =
            (0..200).filter(|n| ![80, 81].contains(n)).map(|n| n * 240).collect();
        let (sound, rendered) = made(&track(&places, true), 40_000);
        assert_eq!((sound.len(), rendered.concealed, rendered.silence), (40_000, 480, 0));
        let (a, b) = (80 * 240 - 120, 82 * 240 - 120);
        assert!(wrong(&sound, a..b) < 0.2, "{}", wrong(&sound, a..b));
        assert!(wrong(&sound, b + 960..39_000) < 0.02);
    }

    #[test]
    fn a_card_that_drifts_is_followed_without_a_step() {
        // A sample more every 40 packets: 104 ppm.
        let places: Vec<_> = (0..400).map(|n| (n * 240 + n / 40, n * 240)).collect();
        let (sound, rendered) = made(&track_of(&places, true), 95_000);
        assert_eq!((rendered.concealed, rendered.silence), (0, 0));
        let steps = sound.windows(2).map(|w| (w[1] - w[0]).abs());
        assert!(steps.fold(0.0, f32::max) < 0.03);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let parameters = MovieParameters {
            video: None,
            audio: Some(AudioTrack {
                coding: AudioCoding::Aac,
                configuration: vec![0x11, 0x88],
                bitrate: 192_000,
                priming_samples: 0,
                samples_per_packet: 1_024,
            }),
            timecode: Timecode { start_frame: 0 },
            created_utc_seconds: 0,
        };
        let mut writer = Mp4Writer::create(MemoryFile::new(), parameters).unwrap();
        writer.audio(&[1; 30], 1_024).unwrap();
        writer.finalise().unwrap();
        let mut reader = Cursor::new(writer.into_file().bytes);
        let index = Index::read(&mut reader).unwrap();
        let refused = render(&mut reader, &index, 9, &mut |_, _| (), &mut |_| Ok(()));
        assert!(matches!(refused, Err(RenderError::Foreign)));
    }
}
