//! When the sync tone sounds, and its mixing into the file (DESIGN section 6). Belongs to the
//! recorder's audio thread.
//!
//! It is mixed in behind the mute: a tone is a mark to align tracks by and nothing that was said, and
//! a member that is muted at that instant has to be aligned, too. The raw track never has it.

use std::sync::Arc;
use std::time::Duration;

use super::{RecordShared, SoundOptions, Start};
use crate::engine::playback::ToneCue;
use crate::recording::tone;
use crate::units::{MediaTime, Micros, SAMPLE_RATE, SessionMicros};

const SECOND: i64 = 1_000_000;
/// All who were in from the start get their tone here, after T0.
const AFTER_T0: i64 = 2 * SECOND;
/// How long a file goes on after its last tone has begun: nine frames, the tone and a breath.
pub const LAST: i64 = 300_000;
/// The headphones are told this long before.
const CUE: i64 = SECOND;

/// The first whole second of the session clock at or after `at`.
pub fn whole_second(at: SessionMicros) -> SessionMicros {
    SessionMicros(-(-at.0).div_euclid(SECOND) * SECOND)
}

/// A tone of this file.
#[derive(Clone, Copy)]
struct Planned {
    at: SessionMicros,
    sample: u64,
    cued: bool,
    told: bool,
}

/// See the module.
pub struct Tones {
    wanted: bool,
    duration: Option<Duration>,
    cue: Arc<ToneCue>,
    start: Option<Start>,
    planned: Vec<Planned>,
    part: usize,
}

impl Tones {
    pub fn new(options: &SoundOptions) -> Self {
        Self {
            wanted: options.tone,
            duration: options.duration,
            cue: options.cue.clone(),
            start: None,
            planned: Vec::new(),
            part: 0,
        }
    }

    /// The file begins: its first tone is known, and its last one where its end is.
    /// `recording`: of the recording's first file, which its duration counts from.
    pub fn begin(&mut self, start: &Start, recording: &Start, part: usize) {
        self.start = Some(*start);
        self.part = part;
        let common = start.t0 + AFTER_T0;
        // Who comes later has one of its own.
        let first = if start.file() <= common { common } else { whole_second(start.file()) };
        self.plan(first);
        if let Some(length) = self.duration {
            let end = recording.file() + length.as_micros() as i64;
            let last = SessionMicros((end - LAST).0.div_euclid(SECOND) * SECOND);
            if last >= start.file() {
                self.plan(last);
            }
        }
    }

    fn plan(&mut self, at: SessionMicros) {
        let Some(start) = self.start.filter(|_| self.wanted) else { return };
        let sample = MediaTime::from_micros(at.since(start.file()), SAMPLE_RATE).ticks;
        if let Ok(sample) = u64::try_from(sample)
            && self.planned.iter().all(|p| p.at != at)
        {
            self.planned.push(Planned { at, sample, cued: false, told: false });
        }
    }

    /// Notices the end, and tells the headphones in time.
    pub fn look(&mut self, record: &RecordShared, now: SessionMicros, local: Micros) {
        if let Some(&last) = record.end_tone.get() {
            self.plan(last);
        }
        for tone in &mut self.planned {
            let ahead = tone.at.since(now);
            if !tone.cued && ahead < CUE {
                tone.cued = true;
                if ahead > -LAST {
                    self.cue.set(local + ahead);
                }
            }
        }
    }

    /// Adds to `samples`, the file's from sample `at` on, what belongs there.
    pub fn mix(&mut self, record: &RecordShared, samples: &mut [f32], at: u64) {
        let end = at + samples.len() as u64;
        for planned in &mut self.planned {
            tone::mix(samples, at, planned.sample, 1.0);
            if !planned.told && (at..end).contains(&planned.sample) {
                planned.told = true;
                record.tone(self.part, planned.at, planned.sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(first_slot: u64) -> Start {
        let t0 = SessionMicros(7 * SECOND);
        Start { t0, first_slot, epoch_utc_micros: 0, utc_offset_seconds: 0 }
    }

    fn tones(start: &Start, duration: Option<u64>, end: Option<i64>) -> Vec<(i64, u64)> {
        let record = RecordShared::default();
        let options = SoundOptions {
            tone: true,
            duration: duration.map(Duration::from_millis),
            ..SoundOptions::default()
        };
        let mut tones = Tones::new(&options);
        tones.begin(start, start, 0);
        if let Some(end) = end {
            let _ = record.end_tone.set(SessionMicros(end));
        }
        tones.look(&record, start.file(), Micros(0));
        let mut file = vec![0.0; 20 * 48_000];
        for (n, part) in file.chunks_mut(480).enumerate() {
            tones.mix(&record, part, n as u64 * 480);
        }
        let told: Vec<_> = record.tones().iter().map(|t| (t.session_us, t.sample)).collect();
        for (at, sample) in &told {
            let sample = *sample as usize;
            let near = sample.saturating_sub(40)..sample + 40;
            let found = tone::locate_in(&file, near).expect("it is in the file");
            assert!((found.position - sample as f64).abs() < 0.01);
            let instant = start.file() + sample as i64 * SECOND / 48_000;
            assert!(instant.since(SessionMicros(*at)).abs() <= 1);
        }
        let before = told.first().map_or(file.len(), |t| t.1 as usize);
        assert!(file[..before].iter().all(|&s| s == 0.0));
        told
    }

    #[test]
    fn everybody_who_is_there_has_it_two_seconds_after_t0() {
        assert_eq!(tones(&start(0), None, None), [(9 * SECOND, 96_000)]);
        assert_eq!(tones(&start(31), None, None), [(9 * SECOND, 96_000 - 31 * 1_600)]);
    }

    #[test]
    fn a_late_joiner_has_it_at_the_first_whole_second_of_its_file() {
        assert_eq!(tones(&start(600), None, None), [(27 * SECOND, 0)]);
        assert_eq!(tones(&start(615), None, None), [(28 * SECOND, 24_000)]);
    }

    #[test]
    fn the_last_one_comes_at_the_end_and_never_twice_at_one_instant() {
        assert_eq!(tones(&start(0), None, Some(15 * SECOND)).len(), 2);
        assert_eq!(tones(&start(0), None, Some(9 * SECOND)), [(9 * SECOND, 96_000)]);
        let planned = [(9 * SECOND, 96_000), (16 * SECOND, 9 * 48_000)];
        assert_eq!(tones(&start(0), Some(10_000), None), planned);
        assert_eq!(tones(&start(0), Some(3_200), None), [(9 * SECOND, 96_000)]);
        assert_eq!(tones(&start(0), Some(9_299), None)[1].0, 15 * SECOND);
        assert_eq!(tones(&start(0), Some(9_300), None)[1].0, 16 * SECOND);
    }

    #[test]
    fn who_wants_none_has_none() {
        let mut tones = Tones::new(&SoundOptions::default());
        tones.begin(&start(0), &start(0), 0);
        let mut file = vec![0.0; 5 * 48_000];
        tones.mix(&RecordShared::default(), &mut file, 0);
        assert!(file.iter().all(|&s| s == 0.0));
    }

    #[test]
    fn a_whole_second_is_rounded_up() {
        for (at, whole) in [(0, 0), (1, SECOND), (SECOND, SECOND), (SECOND + 1, 2 * SECOND)] {
            assert_eq!(whole_second(SessionMicros(at)), SessionMicros(whole));
        }
    }
}
