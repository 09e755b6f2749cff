//! The speaker: a real one, a WAV file, or nothing; always pulled as mono at 48 kHz.
//!
//! [`SpeakerSource::fill`] runs in the system's audio callback, or on the thread `spk-play`
//! (real-time priority asked for) that plays its part.

use std::sync::Arc;

use cpal::traits::DeviceTrait;
use cpal::{Data, OutputCallbackInfo, StreamConfig, SupportedStreamConfigRange};

use super::microphone::{file_name, sane_delay};
use super::pace::{BLOCK, Due, Pace};
use super::sound::choice::Choice;
use super::sound::counters::Counters;
#[cfg(target_os = "linux")]
use super::sound::direct::{self, Direct, Opened};
use super::sound::live::{End, Live, Loan, PIECE, Wish};
use super::sound::rate::FromCall;
use super::sound::{SoundInfo, SoundPath, convert, live};
use super::spec::SpeakerSpec;
use super::supervise::{Helper, Stop};
use super::wav::WavSink;
use super::{DeviceError, DeviceEvents, What};
use crate::platform::clock;
use crate::platform::priority::{self, Grant};
use crate::units::{Micros, SAMPLE_RATE};

/// Gives what the speaker plays.
pub trait SpeakerSource: Send {
    /// Fills the next samples, 48 kHz; `now` is the moment of the call (the first of them is heard
    /// [`Speaker::delay`] later, if the call is on time). While a lost device is away it is called
    /// all the same. Runs in the audio callback: no allocation, lock, log, wait or panic.
    fn fill(&mut self, out: &mut [f32], now: Micros);

    /// The same for a speaker that asks no sooner than the first sample must be written: fills at
    /// least `least` samples of `out`, and beyond those only what will not be different later.
    /// Returns how many.
    fn fill_due(&mut self, out: &mut [f32], least: usize, now: Micros) -> usize {
        let _ = least;
        self.fill(out, now);
        out.len()
    }
}

/// How to open a speaker.
#[derive(Clone, Debug, Default)]
pub struct SpeakerOptions {
    /// Period in frames at 48 kHz; `None` is the smallest that works.
    pub period: Option<u32>,
    /// With or without a shell between, where there is a choice.
    pub path: SoundPath,
}

/// An open speaker; dropping it closes it (and completes a file).
pub struct Speaker(Kind);

enum Kind {
    Live(Live),
    Played(Played),
}

struct Played {
    info: SoundInfo,
    counters: Arc<Counters>,
    grant: Grant,
    _helper: Helper,
}

impl Speaker {
    /// What was got. It changes when another period takes its place.
    pub fn info(&self) -> SoundInfo {
        match &self.0 {
            Kind::Live(live) => live.info(),
            Kind::Played(played) => played.info.clone(),
        }
    }

    /// Underruns since it was opened.
    pub fn xruns(&self) -> u64 {
        self.counters().xruns()
    }

    /// Delay from a call on time to the air, for the first sample of its block, microseconds.
    pub fn delay(&self) -> i64 {
        self.counters().delay()
    }

    /// Whether the thread that asks got real-time priority; `None` while that is not known.
    pub fn priority(&self) -> Option<Grant> {
        match &self.0 {
            Kind::Live(live) => live.grant(),
            Kind::Played(played) => Some(played.grant.clone()),
        }
    }

    fn counters(&self) -> &Counters {
        match &self.0 {
            Kind::Live(live) => live.counters(),
            Kind::Played(played) => &played.counters,
        }
    }
}

/// Opens what `spec` names. `source` is asked for samples from now on, until the speaker is dropped.
pub fn open_speaker(
    spec: &SpeakerSpec,
    options: SpeakerOptions,
    source: Box<dyn SpeakerSource>,
    events: DeviceEvents,
) -> Result<Speaker, DeviceError> {
    let device = match spec {
        SpeakerSpec::Default => None,
        SpeakerSpec::Device(id) => Some(id.clone()),
        SpeakerSpec::Off => {
            let info = SoundInfo::synthetic("off".into(), "off".into());
            return play(info, None, source);
        }
        SpeakerSpec::File(path) => {
            let file = WavSink::create(path, events)?;
            let info = SoundInfo::synthetic(file_name(path), format!("file:{}", path.display()));
            return play(info, Some(file), source);
        }
    };
    let wish = Wish {
        device,
        channel: 1,
        period: options.period,
        path: options.path,
        frame: BLOCK,
        above: 0,
    };
    Ok(Speaker(Kind::Live(Live::open(wish, SpeakerEnd { source }, events)?)))
}

fn play(
    info: SoundInfo,
    mut file: Option<WavSink>,
    mut source: Box<dyn SpeakerSource>,
) -> Result<Speaker, DeviceError> {
    let counters = Arc::new(Counters::default());
    let inner = counters.clone();
    let (answer, answered) = std::sync::mpsc::channel();
    let helper = Helper::spawn("spk-play", move |stop| {
        let _ = answer.send(priority::ask(priority::Role::Playback));
        run_played(file.as_mut(), source.as_mut(), &inner, &stop);
    })
    .map_err(|e| DeviceError::Failed {
        what: What::Speaker,
        name: info.name.clone(),
        why: e.to_string(),
    })?;
    let grant = answered.recv().unwrap_or_else(|_| Grant::unknown());
    Ok(Speaker(Kind::Played(Played { info, counters, grant, _helper: helper })))
}

fn run_played(
    mut file: Option<&mut WavSink>,
    source: &mut dyn SpeakerSource,
    counters: &Counters,
    stop: &Stop,
) {
    let mut block = [0.0f32; BLOCK];
    let mut pace = Pace::new(clock::now());
    while !stop.sleep_until(pace.deadline()) {
        while let Some(due) = pace.due(clock::now()) {
            if due.skipped > 0 {
                counters.count_xrun();
                let silent = due.skipped as i64 * 1_000_000 / i64::from(SAMPLE_RATE);
                pass_over(silent, |out| source.fill(out, clock::now()));
            }
            source.fill(&mut block, clock::now());
            if let Some(file) = &mut file {
                file.leave_out(due.skipped);
                file.push(&block);
            }
            counters.called(BLOCK, 0, due.at);
        }
    }
}

/// Sound that is passed over at most when the device ran dry, microseconds. After a longer time, as
/// after a sleep of the system, the streams begin anew by themselves.
const MOST_PASSED: i64 = 100_000;

/// Notices for how long a device had nothing to play before a callback.
#[derive(Default)]
struct Dry {
    xruns: u64,
    last: Option<Micros>,
}

impl Dry {
    /// Microseconds of silence before the callback at `now` for a block of that length, when the device
    /// has counted so many xruns. It holds two blocks: cpal opens it so.
    fn silent(&mut self, xruns: u64, now: Micros, block: i64) -> i64 {
        let dry = std::mem::replace(&mut self.xruns, xruns) < xruns;
        let since = self.last.replace(now).map_or(0, |last| now.since(last));
        if dry { (since - 2 * block).max(0) } else { 0 }
    }
}

/// What would have been heard while a device had nothing to play for so long, microseconds, is taken
/// from who fills and passed over: it would make everything later, by as much.
pub(super) fn pass_over(silent: i64, mut fill: impl FnMut(&mut [f32])) {
    let silent = if silent <= MOST_PASSED { silent.max(0) as usize } else { 0 };
    let mut left = silent * SAMPLE_RATE as usize / 1_000_000;
    let mut unheard = [0.0; BLOCK];
    while left > 0 {
        let part = left.min(BLOCK);
        fill(&mut unheard[..part]);
        left -= part;
    }
}

/// The source as the callback of a real device uses it.
pub(super) struct SpeakerEnd {
    pub(super) source: Box<dyn SpeakerSource>,
}

impl End for SpeakerEnd {
    const WHAT: What = What::Speaker;
    const THREAD: &'static str = "spk-watch";

    fn configurations(
        device: &cpal::Device,
    ) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
        live::output_configurations(device)
    }

    #[cfg(target_os = "linux")]
    fn direct(
        loan: Loan<Self>,
        opened: Opened,
        _: &Wish,
        counters: Arc<Counters>,
    ) -> std::io::Result<Direct> {
        direct::playback::start(loan, opened, counters)
    }

    fn build(
        mut loan: Loan<Self>,
        device: &cpal::Device,
        config: StreamConfig,
        choice: Choice,
        counters: Arc<Counters>,
        failed: impl FnMut(cpal::Error) + Send + 'static,
    ) -> Result<cpal::Stream, cpal::Error> {
        let channels = usize::from(choice.channels);
        let mut converter = Converter::new(choice.rate)?;
        let mut on_time = OnTime::default();
        let mut dry = Dry::default();
        device.build_output_stream_raw(
            config,
            choice.format,
            move |data: &mut Data, info: &OutputCallbackInfo| {
                counters.enter(priority::Role::Playback);
                let now = clock::now();
                let stamp = info.timestamp();
                let delay = sane_delay(stamp.playback.saturating_duration_since(stamp.callback));
                let frames = convert::frames(data, channels);
                let block = frames as i64 * 1_000_000 / i64::from(choice.rate.max(1));
                let silent = dry.silent(counters.xruns(), now, block);
                if let Some(end) = loan.get() {
                    pass_over(silent, |out| end.source.fill(out, now));
                    converter.run(end, data, channels, now);
                }
                let delay = on_time.push(delay, now) + converter.behind;
                counters.called(frames, delay, now);
            },
            failed,
            None,
        )
    }

    fn idle(&mut self, due: Due) {
        let mut unheard = [0.0; BLOCK];
        self.source.fill(&mut unheard, due.at);
    }
}

/// What the device holds when a callback runs on time: one that is late finds less in there, and
/// its samples are heard no later for that. The most of the last one to two seconds.
#[derive(Default)]
struct OnTime {
    since: Option<Micros>,
    most: [i64; 2],
}

impl OnTime {
    const STRETCH: i64 = 1_000_000;

    /// A callback at `now` found `delay`; microseconds, as is what comes back.
    fn push(&mut self, delay: i64, now: Micros) -> i64 {
        let since = *self.since.get_or_insert(now);
        if now.since(since) >= Self::STRETCH {
            self.since = Some(now);
            self.most = [0, self.most[0]];
        }
        self.most[0] = self.most[0].max(delay);
        self.most[0].max(self.most[1])
    }
}

struct Converter {
    piece: Box<[f32; PIECE]>,
    from_call: Option<FromCall>,
    // Delay of the rate conversion.
    behind: i64,
}

impl Converter {
    fn new(rate: u32) -> Result<Self, cpal::Error> {
        let from_call = if rate == SAMPLE_RATE {
            None
        } else {
            Some(FromCall::new(rate, PIECE).ok_or_else(|| {
                cpal::Error::with_message(
                    cpal::ErrorKind::UnsupportedConfig,
                    format!("{rate} Hz cannot be converted"),
                )
            })?)
        };
        let behind = from_call.as_ref().map_or(0, |f| f.delay_micros(rate));
        Ok(Self { piece: Box::new([0.0; PIECE]), from_call, behind })
    }

    fn run(&mut self, end: &mut SpeakerEnd, data: &mut Data, channels: usize, now: Micros) {
        let frames = convert::frames(data, channels);
        let mut first = 0;
        while first < frames {
            let n = PIECE.min(frames - first);
            let piece = &mut self.piece[..n];
            match &mut self.from_call {
                None => end.source.fill(piece, now),
                Some(from_call) => from_call.process(piece, |input| end.source.fill(input, now)),
            }
            convert::spread(piece, data, channels, first);
            first += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Half;
    impl SpeakerSource for Half {
        fn fill(&mut self, out: &mut [f32], _: Micros) {
            out.fill(0.5);
        }
    }

    #[test]
    fn what_would_have_been_heard_while_the_device_ran_dry_is_passed_over() {
        let mut dry = Dry::default();
        let mut at = |xruns, ms: i64| dry.silent(xruns, Micros(ms * 1_000), 4_000);
        // The first callback, those on time, and one that is late and whose device had enough.
        assert_eq!([at(3, 100), at(3, 104), at(3, 115), at(3, 119)], [0; 4]);
        // It held 8 ms of the 20.
        assert_eq!([at(4, 139), at(4, 139), at(4, 143)], [12_000, 0, 0]);
        assert_eq!(at(5, 149), 0, "enough");

        let passed = |silent| {
            let mut samples = 0;
            pass_over(silent, |out| samples += out.len());
            samples
        };
        assert_eq!([-1, 0, 12_000, MOST_PASSED].map(passed), [0, 0, 576, 4_800]);
        assert_eq!(passed(MOST_PASSED + 1), 0, "so long that it is a pause");
    }

    #[test]
    fn a_callback_that_runs_late_does_not_shorten_the_delay_but_an_emptier_device_does() {
        let mut on_time = OnTime::default();
        let mut at = |ms: i64, delay| on_time.push(delay, Micros(ms * 1_000));
        assert_eq!([at(0, 10_000), at(10, 7_000), at(1_500, 4_000)], [10_000; 3]);
        assert_eq!([at(2_400, 4_000), at(2_600, 4_000), at(3_700, 4_000)], [10_000, 4_000, 4_000]);
    }

    #[test]
    fn a_callback_of_any_length_and_rate_is_filled_and_allocates_nothing() {
        for (rate, frames) in [(48_000, 120), (48_000, 10_000), (44_100, 10_000)] {
            let mut end = SpeakerEnd { source: Box::new(Half) };
            let mut converter = Converter::new(rate).expect("a usual rate");
            let mut samples = vec![9i16; frames * 2];
            // SAFETY: the vector outlives `data` and is of the type named.
            let mut data = unsafe {
                let at = samples.as_mut_ptr().cast();
                Data::from_parts(at, samples.len(), cpal::SampleFormat::I16)
            };
            assert_no_alloc::assert_no_alloc(|| {
                converter.run(&mut end, &mut data, 2, Micros(0));
            });
            // The conversion begins with its delay.
            let settled = &samples[if rate == 48_000 { 0 } else { 1_000 }..];
            assert!(settled.iter().all(|s| s.abs_diff(16_384) < 20), "{rate} Hz");
        }
    }
}
