//! What a microphone gives, judged: is it one, is it loud enough, is it the right one. Pure: levels
//! come in, findings come out.

use super::Finding;
use crate::audio::meter::{Level, decibels};
use crate::devices::list::SoundDevice;

/// Below this an open microphone hears no room but a switch, dBFS.
pub const SILENCE_DB: f32 = -90.0;
/// Peaks of speech that leave room for a laugh and are far above any noise, dBFS.
const SOFT_DB: f32 = -30.0;
const LOUD_DB: f32 = -6.0;
/// What a change of the gain aims at, dBFS.
const GOOD_DB: f32 = -12.0;
/// A room louder than this is heard under speech of that level, dBFS.
const NOISY_DB: f32 = -50.0;
/// Speech stands out from its own pauses by at least this much, dB.
const STANDS_OUT_DB: f32 = 10.0;

/// What is wrong with the loudest sample of a microphone that is there to be spoken into, if
/// anything is: nothing comes, or it is overdriven.
pub fn extremes(described: &str, peak: f32) -> Option<Finding> {
    let db = decibels(peak);
    if db < SILENCE_DB {
        return Some(Finding::warning(
            "sound",
            "microphone",
            format!("{described}: nothing but silence comes"),
            "look at its mute switch, and at level and microphone privacy in the system's settings",
        ));
    }
    (peak >= 0.999).then(|| {
        Finding::warning(
            "sound",
            "microphone",
            format!("{described}; loudest sample {db:.0} dBFS: it is overdriven"),
            "turn down the gain at the microphone or its preamplifier",
        )
    })
}

/// Levels of some seconds in which somebody speaks, each of some 50 ms.
#[derive(Clone, Debug, Default)]
pub struct Speech {
    rms: Vec<f32>,
    peak_db: f32,
    clipped: u64,
}

impl Speech {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self { rms: Vec::new(), peak_db: crate::audio::meter::FLOOR_DB, clipped: 0 }
    }

    /// The next level.
    pub fn push(&mut self, level: Level) {
        self.rms.push(level.rms_db);
        self.peak_db = self.peak_db.max(level.peak_db);
        self.clipped += level.clipped;
    }

    /// How many there were.
    pub fn levels(&self) -> usize {
        self.rms.len()
    }

    /// The level that so much of the time stays below, dBFS.
    fn below(&self, share: f32) -> f32 {
        let mut sorted = self.rms.clone();
        sorted.sort_by(f32::total_cmp);
        let at = (sorted.len() as f32 * share) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(SILENCE_DB)
    }

    /// What it was like. `name`: the microphone's; `others`: what else could be spoken into.
    pub fn judge(&self, name: &str, others: &[SoundDevice]) -> Vec<Finding> {
        let peak = 10f32.powf(self.peak_db / 20.0);
        if let Some(finding) = extremes(name, if self.clipped > 0 { 1.0 } else { peak }) {
            let silent = self.clipped == 0;
            return [Some(finding), guess(name, others).filter(|_| silent)]
                .into_iter()
                .flatten()
                .collect();
        }
        let (room, voice) = (self.below(0.1), self.below(0.9));
        let figures = format!("peaks at {:.0} dBFS, the room at {room:.0}", self.peak_db);
        if voice - room < STANDS_OUT_DB {
            let heard = Finding::warning(
                "sound",
                "voice",
                format!("no voice stands out ({figures})"),
                "speak as in the call; if you did, this is not the microphone in front of you",
            );
            return [Some(heard), guess(name, others)].into_iter().flatten().collect();
        }
        let mut findings = vec![self.loudness(&figures)];
        if room > NOISY_DB {
            findings.push(Finding::warning(
                "sound",
                "room",
                format!("the room is loud, {room:.0} dBFS"),
                "close the window, stop the fan, or come nearer to the microphone and turn it down",
            ));
        }
        if findings.iter().any(|finding| finding.remedy.is_some()) {
            findings.extend(guess(name, others));
        }
        findings
    }

    fn loudness(&self, figures: &str) -> Finding {
        let by = (GOOD_DB - self.peak_db).abs();
        if self.peak_db < SOFT_DB {
            Finding::warning(
                "sound",
                "voice",
                format!("too soft ({figures})"),
                format!("turn the gain up by some {by:.0} dB, or come nearer"),
            )
        } else if self.peak_db > LOUD_DB {
            Finding::warning(
                "sound",
                "voice",
                format!("too loud: a laugh will clip ({figures})"),
                format!("turn the gain down by some {by:.0} dB"),
            )
        } else {
            Finding::ok("sound", "voice", format!("a good level ({figures})"))
        }
    }
}

/// Words in the names of what plays back what the computer plays.
const LOOPS: &[&str] = &["monitor", "loopback", "stereo mix", "what u hear", "blackhole"];
/// Words in the names of microphones that nobody records a podcast with.
const BUILT_IN: &[&str] = &[
    "built-in",
    "internal",
    "integrated",
    "laptop",
    "webcam",
    "camera",
    "hda",
    "array",
    "default",
    "pipewire",
    "pulse",
];

fn has(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// Whether another microphone is meant, by what both are called.
fn guess(name: &str, others: &[SoundDevice]) -> Option<Finding> {
    if has(name, LOOPS) {
        return Some(Finding::warning(
            "sound",
            "device",
            format!("{name} hears what this computer plays"),
            "choose a microphone",
        ));
    }
    if !has(name, BUILT_IN) {
        return None;
    }
    let better = others.iter().find(|other| {
        !has(&other.name, BUILT_IN) && !has(&other.name, LOOPS) && !name.contains(&other.name)
    })?;
    let remedy = format!("choose {}, if that is the one in front of you", better.name);
    Some(Finding::warning("sound", "device", format!("this is {name}"), remedy))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn speech(levels: &[(f32, f32)]) -> Speech {
        let mut speech = Speech::new();
        for (peak_db, rms_db) in levels {
            speech.push(Level { peak_db: *peak_db, rms_db: *rms_db, clipped: 0 });
        }
        speech
    }

    fn device(name: &str) -> SoundDevice {
        SoundDevice {
            id: name.into(),
            name: name.into(),
            default: false,
            channels: 1,
            rates: (48_000, 48_000),
            formats: vec![],
            smallest_period: None,
        }
    }

    fn texts(findings: &[Finding]) -> String {
        let text = |f: &Finding| format!("{}; {}", f.detail, f.remedy.clone().unwrap_or_default());
        findings.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn speech_is_judged_by_its_peaks_and_its_pauses() {
        let of = |peak: f32, rms: f32, room: f32| speech(&[(peak, rms), (room + 6.0, room)]);
        let good = of(-14.0, -26.0, -62.0).judge("Mic", &[]);
        assert_eq!(good.len(), 1);
        assert_eq!(good[0].state, Verdict::Ok);
        assert_eq!(good[0].detail, "a good level (peaks at -14 dBFS, the room at -62)");
        assert!(texts(&of(-36.0, -48.0, -70.0).judge("Mic", &[])).contains("up by some 24 dB"));
        assert!(texts(&of(-2.0, -14.0, -70.0).judge("Mic", &[])).contains("down by some 10 dB"));
        let noisy = of(-10.0, -20.0, -40.0).judge("Mic", &[]);
        assert!(texts(&noisy).contains("the room is loud, -40 dBFS"), "{noisy:?}");
        let nobody = speech(&[(-40.0, -52.0), (-41.0, -53.0)]).judge("Mic", &[]);
        assert!(texts(&nobody).contains("no voice stands out"), "{nobody:?}");
    }

    #[test]
    fn silence_and_clipping_are_what_the_doctor_says_too() {
        assert!(texts(&speech(&[(-120.0, -120.0)]).judge("Mic", &[])).contains("silence"));
        assert!(texts(&Speech::new().judge("Mic", &[])).contains("silence"));
        let mut loud = speech(&[(0.0, -6.0), (-50.0, -60.0)]);
        loud.push(Level { peak_db: 0.0, rms_db: -3.0, clipped: 7 });
        assert!(texts(&loud.judge("Mic", &[])).contains("overdriven"));
        assert!(extremes("Mic", 0.5).is_none());
    }

    #[test]
    fn a_wrong_microphone_is_guessed_by_its_name() {
        let others = [device("HDA Intel PCH"), device("Scarlett 2i2 USB")];
        let silent = Speech::new().judge("HDA Intel PCH", &others);
        assert!(texts(&silent).contains("choose Scarlett 2i2 USB"), "{silent:?}");
        let own = Speech::new().judge("Scarlett 2i2 USB", &others);
        assert_eq!(own.len(), 1, "{own:?}");
        let monitor = Speech::new().judge("Monitor of Speakers", &others);
        assert!(texts(&monitor).contains("what this computer plays"), "{monitor:?}");
    }
}
