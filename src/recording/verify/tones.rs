//! Whether the sync tones are where the metadata says, in the sound as a player decodes it.
//!
//! Pure but for the decoder. Decodes half a second around each tone, not the whole file.

use std::io::{Read, Seek};

use fdk_aac::dec::{Decoder, DecoderError, Transport};

use crate::recording::flac;
use crate::recording::media::walk;
use crate::recording::metadata::Tone;
use crate::recording::mp4::{
    AudioCoding, AudioTrack, Index, ReadError, SampleAt, Track, TrackKind,
};
use crate::recording::sound::PACKET_SAMPLES as FRAME_SAMPLES;
use crate::recording::tone;

/// A tone may be this far from its place: the decoded file is exact to the sample.
const AWAY: f64 = 1.0;
/// Packets decoded before those that are looked at, so that the decoder has settled.
const PRE_ROLL: u64 = 3;
/// Samples to either side of a tone, more than what the search reaches to.
const MARGIN: u64 = 6_000;

/// What was found of the tones: how far the farthest is away, or what is wrong.
pub fn check<R: Read + Seek>(
    reader: &mut R,
    index: &Index,
    tones: &[Tone],
) -> Result<Result<f64, Vec<String>>, ReadError> {
    let audio = index.parameters.as_ref().and_then(|p| p.audio.as_ref());
    let Some(audio) = audio else {
        return Ok(Err(vec!["there is no sound to hold them".to_owned()]));
    };
    let packets = index.of(TrackKind::Audio);
    let (mut farthest, mut faults) = (0.0_f64, Vec::new());
    // A recording may end within a tone; one behind the end is missing.
    let end = packets.len() as u64 * u64::from(FRAME_SAMPLES);
    let cut = |tone: &&Tone| tone.sample < end && tone.sample + tone::SAMPLES as u64 > end;
    for tone in tones.iter().filter(|tone| !cut(tone)) {
        match locate(reader, packets, audio, tone.sample)? {
            Some(away) if away.abs() <= AWAY => farthest = farthest.max(away.abs()),
            Some(away) => faults.push(format!(
                "the tone of sample {} is {away:+.1} samples away from it",
                tone.sample
            )),
            None => faults.push(format!("there is no tone at sample {}", tone.sample)),
        }
    }
    Ok(if faults.is_empty() { Ok(farthest) } else { Err(faults) })
}

/// How far behind `sample` the tone begins, samples.
fn locate<R: Read + Seek>(
    reader: &mut R,
    packets: &[SampleAt],
    audio: &AudioTrack,
    sample: u64,
) -> Result<Option<f64>, ReadError> {
    let frame = u64::from(FRAME_SAMPLES);
    let first = (sample.saturating_sub(MARGIN) / frame).saturating_sub(PRE_ROLL);
    let behind = (sample + tone::SAMPLES as u64 + MARGIN).div_ceil(frame);
    let (from, to) = (first.min(packets.len() as u64), behind.min(packets.len() as u64));
    let wanted: Vec<_> =
        packets[from as usize..to as usize].iter().map(|p| (Track::Audio, *p)).collect();
    if audio.coding == AudioCoding::Flac {
        return locate_lossless(reader, &wanted, audio, sample, from * frame);
    }
    let mut decoder = Decoder::new(Transport::Raw);
    let mut pcm: Vec<f32> = Vec::with_capacity(wanted.len() * FRAME_SAMPLES as usize);
    let mut failed = decoder.config_raw(&audio.configuration).is_err();
    let mut one = vec![0_i16; FRAME_SAMPLES as usize];
    walk(reader, &wanted, &mut |_, _| (), |_, _, bytes| {
        let decoded = match bytes {
            Some(bytes) if !failed => decode(&mut decoder, bytes, &mut one),
            _ => Err(DecoderError::UNKNOWN),
        };
        failed |= decoded.is_err();
        pcm.extend(one.iter().map(|sample| f32::from(*sample) / 32_768.0));
    })?;
    if failed {
        return Ok(None);
    }
    // The decoder's limiter looks ahead and so delays.
    let delay = u64::from(decoder.stream_info().outputDelay);
    let around = sample.saturating_sub(from * frame) + delay;
    let found = tone::locate(&pcm, usize::try_from(around).unwrap_or(usize::MAX));
    Ok(found.map(|found| found.position - around as f64))
}

/// The same in FLAC packets, the first of which begins with the file's sample `first`.
fn locate_lossless<R: Read + Seek>(
    reader: &mut R,
    wanted: &[(Track, SampleAt)],
    audio: &AudioTrack,
    sample: u64,
    first: u64,
) -> Result<Option<f64>, ReadError> {
    let (mut frames, mut whole) = (Vec::new(), true);
    walk(reader, wanted, &mut |_, _| (), |_, _, bytes| match bytes {
        Some(bytes) => frames.extend_from_slice(bytes),
        None => whole = false,
    })?;
    let pcm = flac::decode(&audio.configuration, &frames).filter(|_| whole);
    let around = sample.saturating_sub(first);
    let found =
        pcm.and_then(|pcm| tone::locate(&pcm, usize::try_from(around).unwrap_or(usize::MAX)));
    Ok(found.map(|found| found.position - around as f64))
}

fn decode(decoder: &mut Decoder, packet: &[u8], pcm: &mut [i16]) -> Result<(), DecoderError> {
    decoder.fill(packet)?;
    decoder.decode_frame(pcm)
}
