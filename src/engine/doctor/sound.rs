//! Microphone and speaker, opened for a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::Finding;
use super::hearing::extremes;
use crate::audio::test_sound::TestSound;
use crate::devices::list::{DeviceList, SoundDevice};
use crate::devices::spec::{MicSpec, SpeakerSpec};
use crate::devices::{
    DeviceError, DeviceEvents, MicOptions, MicSink, SoundInfo, SpeakerOptions, SpeakerSource,
    open_microphone, open_speaker,
};
use crate::platform::priority::Grant;
use crate::units::{Micros, SAMPLE_RATE};

/// How long a device is listened to.
const LOOK: Duration = Duration::from_secs(1);
/// What a microphone gave; written by its callback.
#[derive(Default)]
struct Heard {
    /// The largest sample, as bits.
    peak: AtomicU32,
    samples: AtomicU64,
}

struct Ear(Arc<Heard>);

impl MicSink for Ear {
    fn samples(&mut self, mono: &[f32], _: Micros) {
        let peak = mono.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
        // Bits of positive numbers are ordered as the numbers are.
        self.0.peak.fetch_max(peak.to_bits(), Relaxed);
        self.0.samples.fetch_add(mono.len() as u64, Relaxed);
    }

    fn card_samples(&mut self, _: &[f32], _: u32, _: Micros) {}
}

struct Quiet(Arc<AtomicU64>);

impl SpeakerSource for Quiet {
    fn fill(&mut self, out: &mut [f32], _: Micros) {
        out.fill(0.0);
        self.0.fetch_add(out.len() as u64, Relaxed);
    }
}

fn deaf() -> DeviceEvents {
    Arc::new(|_| {})
}

/// The system's devices, for where none could be opened.
fn among(devices: &[SoundDevice]) -> String {
    match devices.len() {
        0 => "the system has none".to_owned(),
        1 => "the system has one".to_owned(),
        n => format!("the system has {n}; hyperzoom devices lists them"),
    }
}

fn failed(name: &'static str, e: &DeviceError, devices: &[SoundDevice]) -> Finding {
    let text = e.to_string();
    let (what, remedy) = text.split_once("; ").unwrap_or((&text, "see hyperzoom devices"));
    Finding::problem("sound", name, format!("{what} ({})", among(devices)), remedy)
}

/// What was got, as one line: rates, formats, the smallest period that works.
fn described(info: &SoundInfo) -> String {
    if info.synthetic {
        return info.name.clone();
    }
    let channels = match info.channels {
        1 => "1 channel".to_owned(),
        n => format!("{n} channels"),
    };
    format!("{info}, {}, {channels}", info.format)
}

/// Judged by its period: what a large one costs, and why there is one.
fn judged(name: &'static str, info: &SoundInfo, more: &str) -> Finding {
    let detail = format!("{}{more}", described(info));
    let milliseconds = f64::from(info.period_frames) * 1e3 / f64::from(info.sample_rate.max(1));
    // A device that is read without a shell between does not wait for its periods.
    if info.synthetic || info.direct || milliseconds <= 6.0 {
        return Finding::ok("sound", name, detail);
    }
    Finding::warning(
        "sound",
        name,
        format!("{detail}; periods of {milliseconds:.1} ms add as much delay"),
        "choose the device itself, not a sound server's (hyperzoom devices), or a USB interface",
    )
}

fn of_thread(name: &'static str, grant: Option<Grant>, found: &mut dyn FnMut(Finding)) {
    let Some(grant) = grant.filter(|grant| !grant.granted) else { return };
    let (why, remedy) =
        grant.text.split_once("; ").unwrap_or((&grant.text, "choose another device"));
    found(Finding::warning("sound", name, format!("its thread: {why}"), remedy));
}

pub fn microphone(spec: &MicSpec, devices: &[SoundDevice], found: &mut dyn FnMut(Finding)) {
    let heard = Arc::new(Heard::default());
    let test = TestSound::new(0);
    let options = MicOptions {
        test_sound: Some(Box::new(move |at, out: &mut [f32]| test.fill(at, out))),
        ..MicOptions::default()
    };
    let microphone = match open_microphone(spec, options, Box::new(Ear(heard.clone())), deaf()) {
        Ok(microphone) => microphone,
        Err(e) => return found(failed("microphone", &e, devices)),
    };
    std::thread::sleep(LOOK);
    let (info, grant, xruns) = (microphone.info(), microphone.priority(), microphone.xruns());
    drop(microphone);
    let samples = heard.samples.load(Relaxed);
    let peak = f32::from_bits(heard.peak.load(Relaxed));
    if samples < u64::from(SAMPLE_RATE) / 2 {
        found(Finding::problem(
            "sound",
            "microphone",
            format!("{}: it gave {samples} samples in a second instead of 48000", described(&info)),
            "unplug it and plug it in again, or choose another --mic",
        ));
        return;
    }
    let level = format!("; loudest sample {:.0} dBFS", 20.0 * peak.max(1e-9).log10());
    if let Some(finding) = extremes(&described(&info), peak).filter(|_| *spec != MicSpec::Off) {
        found(finding);
    } else {
        found(judged("microphone", &info, if *spec == MicSpec::Off { "" } else { &level }));
    }
    if xruns > 0 {
        found(dropouts("microphone", xruns));
    }
    of_thread("microphone", grant, found);
}

pub fn speaker(spec: &SpeakerSpec, devices: &[SoundDevice], found: &mut dyn FnMut(Finding)) {
    let asked = Arc::new(AtomicU64::new(0));
    let source = Box::new(Quiet(asked.clone()));
    let speaker = match open_speaker(spec, SpeakerOptions::default(), source, deaf()) {
        Ok(speaker) => speaker,
        Err(e) => return found(failed("speaker", &e, devices)),
    };
    std::thread::sleep(LOOK);
    let (info, grant, xruns) = (speaker.info(), speaker.priority(), speaker.xruns());
    drop(speaker);
    let samples = asked.load(Relaxed);
    if samples < u64::from(SAMPLE_RATE) / 2 {
        found(Finding::problem(
            "sound",
            "speaker",
            format!("{}: it took {samples} samples in a second instead of 48000", described(&info)),
            "choose another --speaker, or end the program that holds it",
        ));
        return;
    }
    found(judged("speaker", &info, ""));
    if xruns > 0 {
        found(dropouts("speaker", xruns));
    }
    of_thread("speaker", grant, found);
}

/// All that could be chosen, as they describe themselves: none is opened for it.
pub fn others(list: &DeviceList, found: &mut dyn FnMut(Finding)) {
    for (name, devices) in [("microphones", &list.microphones), ("speakers", &list.speakers)] {
        for device in devices {
            let detail = format!("{} {}: {}", device.id, device.name, device.offers());
            found(Finding::ok("sound", name, detail));
        }
    }
}

fn dropouts(name: &'static str, count: u64) -> Finding {
    let detail = match count {
        1 => "one dropout within a second".to_owned(),
        n => format!("{n} dropouts within a second"),
    };
    Finding::warning("sound", name, detail, "end other programs, or use a larger --period")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(look: impl FnOnce(&mut dyn FnMut(Finding))) -> Vec<Finding> {
        let mut findings = Vec::new();
        look(&mut |finding| findings.push(finding));
        findings
    }

    #[test]
    fn a_loud_enough_microphone_is_fine_and_a_silent_one_is_not() {
        let test = all(|found| microphone(&MicSpec::Test, &[], found));
        assert!(test[0].detail.starts_with("test sound; loudest sample -"), "{test:?}");
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("silent.wav");
        let format = hound::WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, format).unwrap();
        (0..96_000).for_each(|_| wav.write_sample(0i16).unwrap());
        wav.finalize().unwrap();
        let silent = all(|found| microphone(&MicSpec::File(path), &[], found));
        assert_eq!(silent[0].state, super::super::Verdict::Warning);
        assert!(silent[0].detail.contains("nothing but silence"), "{silent:?}");
    }

    #[test]
    fn every_device_is_listed_with_what_it_offers() {
        let device = |id: &str| SoundDevice {
            id: id.into(),
            name: "Lab".into(),
            default: false,
            channels: 1,
            rates: (48_000, 48_000),
            formats: vec!["i16".into()],
            smallest_period: Some(32),
        };
        let list = DeviceList {
            microphones: vec![device("a"), device("b")],
            speakers: vec![device("c")],
            cameras: Vec::new(),
        };
        let told: Vec<String> = all(|found| others(&list, found))
            .iter()
            .map(|f| format!("{} {}", f.name, f.detail))
            .collect();
        let offers = "Lab: 1 channel, 48000 Hz, i16, periods from 32 frames";
        assert_eq!(
            told,
            [("microphones", "a"), ("microphones", "b"), ("speakers", "c")]
                .map(|(name, id)| format!("{name} {id} {offers}"))
        );
    }

    #[test]
    fn a_device_that_is_not_there_is_a_problem_with_a_way_out() {
        let missing = SpeakerSpec::Device("no such speaker".into());
        let findings = all(|found| speaker(&missing, &[], found));
        assert_eq!(findings[0].state, super::super::Verdict::Problem);
        assert!(findings[0].remedy.is_some(), "{findings:?}");
    }
}
