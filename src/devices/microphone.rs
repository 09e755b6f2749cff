//! The microphone: a real one, a test sound, a WAV file, or silence; always mono at 48 kHz.
//!
//! [`MicSink::samples`] runs in the system's audio callback, or on the thread `mic-play` (real-time
//! priority asked for) that plays its part.

use std::path::Path;
use std::sync::Arc;

use cpal::traits::DeviceTrait;
use cpal::{Data, InputCallbackInfo, StreamConfig, SupportedStreamConfigRange};

use super::pace::{BLOCK, Due, Pace};
use super::sound::choice::Choice;
use super::sound::counters::Counters;
#[cfg(target_os = "linux")]
use super::sound::direct::{self, Direct, Opened};
use super::sound::live::{End, Live, Loan, PIECE, Wish};
use super::sound::rate::ToCall;
use super::sound::{SoundInfo, SoundPath, convert, live};
use super::spec::MicSpec;
use super::supervise::{Helper, Stop};
use super::wav::WavSource;
use super::{DeviceError, DeviceEvents, What};
use crate::platform::clock;
use crate::platform::priority::{self, Grant};
use crate::units::{Micros, SAMPLE_RATE};

/// Takes what the microphone hears.
pub trait MicSink: Send {
    /// The next samples, 48 kHz, and when the first of them was in the air, the device's delay taken
    /// off. While a lost device is away the samples are silence. Runs in the audio callback: no
    /// allocation, lock, log, wait or panic.
    fn samples(&mut self, mono: &[f32], captured: Micros);

    /// The same sound as the card gave it, for the recorder: its own rate, the chosen channel,
    /// untouched. Nothing comes while a lost device is away. Called before [`Self::samples`], on
    /// the same terms.
    fn card_samples(&mut self, mono: &[f32], rate: u32, captured: Micros);
}

/// Makes the test sound: fills a block that begins at that sample since the start.
pub type TestSound = Box<dyn FnMut(u64, &mut [f32]) + Send>;

/// How to open a microphone.
#[derive(Default)]
pub struct MicOptions {
    /// Period in frames at 48 kHz; `None` is the smallest that works.
    pub period: Option<u32>,
    /// A file starts over at its end.
    pub loop_file: bool,
    /// The sound of `test`; silence without one.
    pub test_sound: Option<TestSound>,
    /// With or without a shell between, where there is a choice.
    pub path: SoundPath,
    /// Samples of the call's frame at 48 kHz; 0 is 240. A device that is read without a shell
    /// between hands over at its ends.
    pub frame: usize,
}

/// An open microphone; dropping it closes it.
pub struct Microphone(Kind);

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

impl Microphone {
    /// What was got. It changes when another period takes its place.
    pub fn info(&self) -> SoundInfo {
        match &self.0 {
            Kind::Live(live) => live.info(),
            Kind::Played(played) => played.info.clone(),
        }
    }

    /// Overruns since it was opened.
    pub fn xruns(&self) -> u64 {
        self.counters().xruns()
    }

    /// Newest delay between the air and the callback, microseconds.
    pub fn delay(&self) -> i64 {
        self.counters().delay()
    }

    /// Whether the thread that hands over got real-time priority; `None` while that is not known.
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

/// Opens what `spec` names. `sink` gets samples from now on, until the microphone is dropped.
pub fn open_microphone(
    spec: &MicSpec,
    options: MicOptions,
    sink: Box<dyn MicSink>,
    events: DeviceEvents,
) -> Result<Microphone, DeviceError> {
    let synthetic = |id: &str, name: &str| SoundInfo::synthetic(name.to_owned(), id.to_owned());
    match spec {
        MicSpec::Default => open_live(None, 1, &options, sink, events),
        MicSpec::Device { id, channel } => {
            open_live(Some(id.clone()), channel.unwrap_or(1), &options, sink, events)
        }
        MicSpec::Off => play(synthetic("off", "off"), Source::Silence, sink),
        MicSpec::Test => {
            let source = options.test_sound.map_or(Source::Silence, Source::Test);
            play(synthetic("test", "test sound"), source, sink)
        }
        MicSpec::File(path) => {
            let file = WavSource::open(path, options.loop_file, events)?;
            let info = synthetic(&format!("file:{}", path.display()), &file_name(path));
            play(info, Source::File(file), sink)
        }
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn open_live(
    device: Option<String>,
    channel: u16,
    options: &MicOptions,
    sink: Box<dyn MicSink>,
    events: DeviceEvents,
) -> Result<Microphone, DeviceError> {
    let wish = Wish {
        device,
        channel,
        period: options.period,
        path: options.path,
        frame: if options.frame == 0 { BLOCK } else { options.frame },
        above: 0,
    };
    let end = MicEnd { sink, channel: usize::from(channel.max(1)) - 1, delivered: 0 };
    Ok(Microphone(Kind::Live(Live::open(wish, end, events)?)))
}

enum Source {
    Silence,
    Test(TestSound),
    File(WavSource),
}

impl Source {
    fn fill(&mut self, due: Due, out: &mut [f32]) {
        match self {
            Self::Silence => out.fill(0.0),
            Self::Test(sound) => sound(due.position, out),
            Self::File(file) => {
                if due.skipped > 0 {
                    file.skip(due.skipped);
                }
                file.fill(out);
            }
        }
    }
}

fn play(
    info: SoundInfo,
    mut source: Source,
    mut sink: Box<dyn MicSink>,
) -> Result<Microphone, DeviceError> {
    let counters = Arc::new(Counters::default());
    let inner = counters.clone();
    let (answer, answered) = std::sync::mpsc::channel();
    let helper = Helper::spawn("mic-play", move |stop| {
        let _ = answer.send(priority::ask(priority::Role::Capture));
        run_played(&mut source, sink.as_mut(), &inner, &stop);
    })
    .map_err(|e| DeviceError::Failed {
        what: What::Microphone,
        name: info.name.clone(),
        why: e.to_string(),
    })?;
    let grant = answered.recv().unwrap_or_else(|_| Grant::unknown());
    Ok(Microphone(Kind::Played(Played { info, counters, grant, _helper: helper })))
}

fn run_played(source: &mut Source, sink: &mut dyn MicSink, counters: &Counters, stop: &Stop) {
    let mut block = [0.0f32; BLOCK];
    let mut pace = Pace::new(clock::now());
    while !stop.sleep_until(pace.deadline()) {
        while let Some(due) = pace.due(clock::now()) {
            if due.skipped > 0 {
                counters.count_xrun();
            }
            source.fill(due, &mut block);
            sink.card_samples(&block, SAMPLE_RATE, due.at);
            sink.samples(&block, due.at);
            counters.called(BLOCK, 0, due.at + 5_000);
        }
    }
}

/// The sink as the callback of a real device uses it.
pub(super) struct MicEnd {
    sink: Box<dyn MicSink>,
    channel: usize,
    // Samples that the sink has been given.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    delivered: u64,
}

impl MicEnd {
    fn give(&mut self, mono: &[f32], captured: Micros) {
        self.delivered += mono.len() as u64;
        self.sink.samples(mono, captured);
    }

    /// Samples that the frame of `grain` samples in hand still lacks.
    #[cfg(target_os = "linux")]
    pub(super) fn missing(&self, grain: usize) -> usize {
        let grain = grain.max(1);
        grain - (self.delivered % grain as u64) as usize
    }
}

impl End for MicEnd {
    const WHAT: What = What::Microphone;
    const THREAD: &'static str = "mic-watch";

    fn configurations(
        device: &cpal::Device,
    ) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
        live::input_configurations(device)
    }

    #[cfg(target_os = "linux")]
    fn direct(
        loan: Loan<Self>,
        opened: Opened,
        wish: &Wish,
        counters: Arc<Counters>,
    ) -> std::io::Result<Direct> {
        direct::capture::start(loan, opened, wish.frame, counters)
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
        device.build_input_stream_raw(
            config,
            choice.format,
            move |data: &Data, info: &InputCallbackInfo| {
                counters.enter(priority::Role::Capture);
                let now = clock::now();
                let stamp = info.timestamp();
                let delay = sane_delay(stamp.callback.saturating_duration_since(stamp.capture));
                if let Some(end) = loan.get() {
                    converter.run(end, data, channels, now - delay);
                }
                let frames = convert::frames(data, channels);
                let until = now - delay + frames as i64 * 1_000_000 / i64::from(choice.rate);
                counters.called(frames, delay, until);
            },
            failed,
            None,
        )
    }

    fn idle(&mut self, due: Due) {
        self.give(&[0.0; BLOCK], due.at);
    }
}

// Some plug-ins tell nonsense right after the start.
pub(super) fn sane_delay(delay: std::time::Duration) -> i64 {
    const LONGEST: i64 = 2_000_000;
    i64::try_from(delay.as_micros()).ok().filter(|d| *d <= LONGEST).unwrap_or(0)
}

pub(super) struct Converter {
    piece: Box<[f32; PIECE]>,
    rate: u32,
    to_call: Option<ToCall>,
    // Delay of the rate conversion.
    behind: i64,
}

impl Converter {
    pub(super) fn new(rate: u32) -> Result<Self, cpal::Error> {
        let to_call = if rate == SAMPLE_RATE {
            None
        } else {
            Some(ToCall::new(rate, PIECE).ok_or_else(|| {
                cpal::Error::with_message(
                    cpal::ErrorKind::UnsupportedConfig,
                    format!("{rate} Hz cannot be converted"),
                )
            })?)
        };
        let behind =
            to_call.as_ref().map_or(0, |t| t.delay() as i64 * 1_000_000 / i64::from(SAMPLE_RATE));
        Ok(Self { piece: Box::new([0.0; PIECE]), rate, to_call, behind })
    }

    pub(super) fn run(&mut self, end: &mut MicEnd, data: &Data, channels: usize, captured: Micros) {
        let frames = convert::frames(data, channels);
        let mut first = 0;
        while first < frames {
            let n = PIECE.min(frames - first);
            let piece = &mut self.piece[..n];
            convert::pick(data, channels, end.channel, first, piece);
            let at = captured + first as i64 * 1_000_000 / i64::from(self.rate);
            end.sink.card_samples(piece, self.rate, at);
            let at = at - self.behind;
            match &mut self.to_call {
                None => end.give(piece, at),
                Some(to_call) => {
                    let converted = to_call.process(piece);
                    if !converted.is_empty() {
                        end.give(converted, at);
                    }
                }
            }
            first += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Heard = Arc<Mutex<Vec<(usize, Micros)>>>;

    struct Note(Heard);
    impl MicSink for Note {
        fn samples(&mut self, mono: &[f32], captured: Micros) {
            // Room was made beforehand and nobody else holds the lock.
            self.0.lock().expect("one thread").push((mono.len(), captured));
        }
        fn card_samples(&mut self, _: &[f32], _: u32, _: Micros) {}
    }

    fn callback(rate: u32, frames: usize) -> Vec<(usize, Micros)> {
        let heard: Heard = Arc::new(Mutex::new(Vec::with_capacity(16)));
        let mut end = MicEnd { sink: Box::new(Note(heard.clone())), channel: 1, delivered: 0 };
        let mut converter = Converter::new(rate).expect("a usual rate");
        let mut samples = vec![100i16; frames * 2];
        // SAFETY: the vector outlives `data` and is of the type named.
        let data = unsafe {
            let at = samples.as_mut_ptr().cast();
            Data::from_parts(at, samples.len(), cpal::SampleFormat::I16)
        };
        assert_no_alloc::assert_no_alloc(|| {
            converter.run(&mut end, &data, 2, Micros(1_000_000));
        });
        heard.lock().expect("one thread").clone()
    }

    #[test]
    fn a_callback_of_any_length_is_stamped_piece_by_piece_and_allocates_nothing() {
        let heard = callback(48_000, 10_000);
        let lengths: Vec<usize> = heard.iter().map(|h| h.0).collect();
        assert_eq!(lengths, [4_096, 4_096, 1_808]);
        assert_eq!(heard[0].1, Micros(1_000_000));
        assert_eq!(heard[1].1, Micros(1_000_000 + 4_096 * 1_000_000 / 48_000));
        assert_eq!(callback(48_000, 120), [(120, Micros(1_000_000))]);
    }

    #[test]
    fn the_rate_conversions_delay_is_taken_off_the_stamp() {
        let heard = callback(96_000, 4_000);
        let samples: usize = heard.iter().map(|h| h.0).sum();
        assert!(samples.abs_diff(2_000) < 100, "{samples}");
        let early = Micros(1_000_000).since(heard[0].1);
        assert!((300..3_000).contains(&early), "{early} us for some 64 samples");
    }

    #[test]
    fn a_nonsensical_delay_is_none() {
        use std::time::Duration;
        assert_eq!(sane_delay(Duration::from_millis(10)), 10_000);
        assert_eq!(sane_delay(Duration::from_secs(9)), 0);
        assert_eq!(sane_delay(Duration::MAX), 0);
    }
}
