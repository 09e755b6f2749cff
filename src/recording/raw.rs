//! `--raw-audio`: the card's own samples, untouched, as a FLAC stream of the card's rate, and the
//! text that says which sample was captured when.
//!
//! Pure: makes bytes and lines; the engine writes them. Cut anywhere, what came before is a FLAC
//! file that plays: its first block then says neither length nor checksum, which the end fills in.

use std::fmt::Write;

use super::flac::{FlacEncoder, FlacError, FlacFrame, HEAD_BYTES};
use crate::units::{Micros, SessionMicros};

/// Samples in a FLAC frame: 21 to 93 ms, so much a crash may cost of what was captured.
const BLOCK: u32 = 4_096;
/// A stamp that lies this far from where the one before points is told at once, microseconds: the
/// card has lost samples, or was away.
const BREAK_MICROS: f64 = 50_000.0;

/// A stream and its sample times.
pub struct RawTrack {
    rate: u32,
    encoder: FlacEncoder,
    frames: Vec<FlacFrame>,
    /// Samples so far.
    samples: u64,
    /// The next sample whose time is told by turn.
    next_line: u64,
    /// Index and local time of the newest stamp.
    newest: Option<(u64, Micros)>,
}

impl RawTrack {
    /// For a card of that rate; appends each file's beginning.
    pub fn new(
        rate: u32,
        device: &str,
        flac: &mut Vec<u8>,
        times: &mut String,
    ) -> Result<Self, FlacError> {
        let mut encoder = FlacEncoder::new(rate, BLOCK)?;
        flac.extend_from_slice(encoder.head());
        let device: String = device.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Writing to a String cannot fail.
        let _ = write!(
            times,
            "# When samples of the FLAC file of the same name were captured, about one a second.\n\
             # Microphone: {device}, {rate} Hz by its own clock, not resampled.\n\
             # sample: counted from 0. local_us: this computer's monotonic clock, the device's delay\n\
             # taken off. session_us: the session clock, which the MP4 file follows. Both jitter as\n\
             # the sound system's stamps do; a line through them is the card's clock.\n\
             # break: samples are missing before this one; the FLAC file does not fill them.\n\
             # sample\tlocal_us\tsession_us\n"
        );
        Ok(Self { rate, encoder, frames: Vec::new(), samples: 0, next_line: 0, newest: None })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes a block; appends what the files get next.
    pub fn push(
        &mut self,
        samples: &[f32],
        captured: Micros,
        session: SessionMicros,
        flac: &mut Vec<u8>,
        times: &mut String,
    ) -> Result<(), FlacError> {
        let off = self.newest.map_or(0.0, |(index, at)| {
            let expected = (self.samples - index) as f64 * 1e6 / f64::from(self.rate);
            captured.since(at) as f64 - expected
        });
        let broken = off.abs() > BREAK_MICROS;
        if broken || self.samples >= self.next_line {
            let note = if broken { "\tbreak" } else { "" };
            let _ = writeln!(times, "{}\t{}\t{}{note}", self.samples, captured.0, session.0);
            self.next_line = self.samples + u64::from(self.rate);
        }
        self.newest = Some((self.samples, captured));
        self.samples += samples.len() as u64;
        let result = self.encoder.push(samples, &mut self.frames);
        self.pass_on(flac);
        result
    }

    /// Ends the stream: appends its last frames and gives the bytes that the file begins with from
    /// now on.
    pub fn finish(&mut self, flac: &mut Vec<u8>) -> Result<[u8; HEAD_BYTES], FlacError> {
        let info = self.encoder.finish(&mut self.frames)?;
        self.pass_on(flac);
        let mut head = [0; HEAD_BYTES];
        let known = self.encoder.head();
        head.copy_from_slice(&known[..HEAD_BYTES]);
        head[HEAD_BYTES - info.len()..].copy_from_slice(&info);
        Ok(head)
    }

    fn pass_on(&mut self, flac: &mut Vec<u8>) {
        for frame in self.frames.drain(..) {
            flac.extend_from_slice(&frame.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_each_second_and_where_samples_are_missing() {
        let (mut flac, mut times) = (Vec::new(), String::new());
        let mut raw = RawTrack::new(44_100, "A\nmic", &mut flac, &mut times).unwrap();
        let mut at = 1_000_000;
        for n in 0..250 {
            if n == 130 {
                at += 400_000;
            }
            let session = SessionMicros(at - 500);
            raw.push(&[0.5; 441], Micros(at), session, &mut flac, &mut times).unwrap();
            at += 10_000;
        }
        let lines: Vec<&str> = times.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "0\t1000000\t999500",
                "44100\t2000000\t1999500",
                "57330\t2700000\t2699500\tbreak",
                "101430\t3700000\t3699500",
            ]
        );
        assert!(times.contains("Microphone: A mic, 44100 Hz"));
        let head = raw.finish(&mut flac).unwrap();
        assert_eq!(flac[..12], head[..12], "only lengths and the checksum change");
        assert_eq!(flac[18..21], head[18..21], "the rate is known from the start");
        assert_eq!(head[8 + 17], (250 * 441 & 0xFF) as u8);
    }
}
