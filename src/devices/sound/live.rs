//! A real sound device's life: opened with the smallest period that works, watched, taken back
//! after it was lost.
//!
//! One helper thread per device owns the stream: on Linux, where the device allows it, a pair of own
//! threads without a shell between ([`super::direct`]), elsewhere cpal's. The system's callback
//! thread runs [`End::build`]'s closure: it only touches the sink that is lent to it and atomics.
//! While the device is away the helper thread plays the callback's part at 5 ms ticks, so that
//! whoever sits behind never starves.
//!
//! A period that the machine cannot keep shows as overruns and underruns. Unless it is pinned, the
//! next larger one takes its place after some of them, and whoever listens is told.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, StreamConfig, SupportedStreamConfigRange};

use super::choice::{Choice, choose};
use super::counters::Counters;
use super::watch::{News, STALLED, Watcher};
use super::{SoundInfo, SoundPath, host};
use crate::devices::pace::{Due, Pace};
use crate::devices::supervise::{Helper, RETRY, Stop};
use crate::devices::{DeviceError, DeviceEvent, DeviceEvents, What};
use crate::platform::clock;
use crate::platform::priority::Grant;

/// Samples per piece that a callback's block is handled in; callbacks may be of any length.
pub const PIECE: usize = 4_096;

// How long the first callback may take: Bluetooth headsets need the most.
const FIRST_CALLBACK: i64 = 700_000;

/// A sink or source that is lent to a stream's callback and comes back when the stream is dropped.
pub struct Loan<T> {
    end: Option<T>,
    home: Arc<Mutex<Option<T>>>,
}

impl<T> Loan<T> {
    fn take(home: &Arc<Mutex<Option<T>>>) -> Self {
        let end = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self { end, home: home.clone() }
    }

    /// The thing itself. `None` only if the stream before has not let it go.
    pub fn get(&mut self) -> Option<&mut T> {
        self.end.as_mut()
    }
}

impl<T> Drop for Loan<T> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        }
    }
}

/// What differs between the two directions.
pub trait End: Send + Sized + 'static {
    /// Which one.
    const WHAT: What;
    /// The helper thread's name.
    const THREAD: &'static str;

    /// The device's configurations of this direction.
    fn configurations(
        device: &cpal::Device,
    ) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error>;

    /// Starts own threads on an ALSA device.
    #[cfg(target_os = "linux")]
    fn direct(
        loan: Loan<Self>,
        opened: super::direct::Opened,
        wish: &Wish,
        counters: Arc<Counters>,
    ) -> std::io::Result<super::direct::Direct>;

    /// Opens a stream whose callback runs the lent end.
    fn build(
        loan: Loan<Self>,
        device: &cpal::Device,
        config: StreamConfig,
        choice: Choice,
        counters: Arc<Counters>,
        failed: impl FnMut(cpal::Error) + Send + 'static,
    ) -> Result<cpal::Stream, cpal::Error>;

    /// Plays the callback's part while there is no device.
    fn idle(&mut self, due: Due);
}

/// What to open.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Id or part of a name; `None` is the system's default.
    pub device: Option<String>,
    /// Channel counted from 1.
    pub channel: u16,
    /// Period in frames at 48 kHz, when pinned.
    pub period: Option<u32>,
    /// With or without a shell between.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub path: SoundPath,
    /// Frame of the call, samples at 48 kHz: own capture looks at its ends.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub frame: usize,
    /// Periods up to this one, at the device's rate, have failed.
    pub above: u32,
}

/// A running stream; dropping it ends it and brings the lent end home.
enum Stream {
    System(cpal::Stream),
    #[cfg(target_os = "linux")]
    Direct(super::direct::Direct),
}

impl Stream {
    /// What its own thread was granted; the system's threads tell through [`Counters::grant`].
    fn grant(&self) -> Option<Grant> {
        match self {
            Self::System(_) => None,
            #[cfg(target_os = "linux")]
            Self::Direct(direct) => Some(direct.grant.clone()),
        }
    }

    fn buffer_size(&self) -> u32 {
        match self {
            Self::System(stream) => stream.buffer_size().unwrap_or(0),
            #[cfg(target_os = "linux")]
            Self::Direct(_) => 0,
        }
    }
}

/// What is known of the running stream.
#[derive(Clone, Debug)]
struct Known {
    info: SoundInfo,
    grant: Option<Grant>,
}

/// An open device.
pub struct Live {
    known: Arc<Mutex<Known>>,
    counters: Arc<Counters>,
    _helper: Helper,
}

impl Live {
    /// Opens and hands `end` to the callback; returns when the first callback has run, or the
    /// device has failed, or it is slow.
    pub fn open<E: End>(wish: Wish, end: E, events: DeviceEvents) -> Result<Self, DeviceError> {
        let counters = Arc::new(Counters::default());
        let (answer, answered) = mpsc::channel();
        let home = Arc::new(Mutex::new(Some(end)));
        let inner = counters.clone();
        // The stream lives on this thread: not every system lets streams move between threads.
        let helper = Helper::spawn(E::THREAD, move |stop| {
            run(wish, &home, &inner, &events, &stop, &answer);
        })
        .map_err(|e| DeviceError::Failed {
            what: E::WHAT,
            name: "helper thread".into(),
            why: e.to_string(),
        })?;
        let known = answered.recv().unwrap_or_else(|_| {
            Err(DeviceError::Failed {
                what: E::WHAT,
                name: "device".into(),
                why: "the sound system's library failed".into(),
            })
        })?;
        Ok(Self { known, counters, _helper: helper })
    }

    /// What was got; another period or another way may take its place in the middle of a call.
    pub fn info(&self) -> SoundInfo {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).info.clone()
    }

    /// What the thread that serves the device was granted.
    pub fn grant(&self) -> Option<Grant> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.grant.clone().or_else(|| self.counters.grant())
    }

    /// What the callback counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn run<E: End>(
    mut wish: Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    events: &DeviceEvents,
    stop: &Stop,
    answer: &mpsc::Sender<Result<Arc<Mutex<Known>>, DeviceError>>,
) {
    let what = E::WHAT;
    let (mut stream, info) = match open(&wish, home, counters, stop) {
        Ok(open) => open,
        Err(e) => {
            let _ = answer.send(Err(e));
            return;
        }
    };
    // Reopening must find the same device, also when the system's default has become another one.
    wish.device = wish.device.as_ref().map(|_| info.id.clone());
    let known = Arc::new(Mutex::new(Known { info, grant: stream.grant() }));
    let _ = answer.send(Ok(known.clone()));
    let note = |stream: &Stream, info: SoundInfo| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known { info, grant: stream.grant() };
    };
    let mut watcher = Watcher::new(what, counters, clock::now());
    loop {
        let steps = wish.period.is_none() && matches!(stream, Stream::System(_));
        let message = match watcher.watch(counters, events, stop, steps) {
            News::End => return,
            News::Lost(message) => {
                drop(stream);
                message
            }
            News::Step => {
                // The own way has no smaller and larger: where it fails, the usual one follows.
                let own = !matches!(stream, Stream::System(_));
                drop(stream);
                let mut next = wish.clone();
                if own {
                    next.path = SoundPath::System;
                } else {
                    next.above =
                        known.lock().unwrap_or_else(PoisonError::into_inner).info.period_frames;
                }
                match open(&next, home, counters, stop) {
                    Ok((opened, info)) => {
                        wish = next;
                        note(&opened, info.clone());
                        stream = opened;
                        let (frames, rate) = (info.period_frames, info.sample_rate);
                        events(match own {
                            true => DeviceEvent::Fallback { what, frames, rate },
                            false => DeviceEvent::Stepped { what, frames, rate },
                        });
                        continue;
                    }
                    // Nothing larger: it goes on as it was.
                    Err(_) => match open(&wish, home, counters, stop) {
                        Ok((opened, info)) => {
                            note(&opened, info);
                            stream = opened;
                            watcher.resign();
                            continue;
                        }
                        Err(e) => e.to_string(),
                    },
                }
            }
        };
        events(DeviceEvent::Lost { what, message });
        let Some((back, info)) = bridge(&wish, home, counters, stop) else { return };
        note(&back, info);
        stream = back;
        events(DeviceEvent::Returned { what });
    }
}

/// Stands in for the device until it opens again; `None` when it is time to end.
fn bridge<E: End>(
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Option<(Stream, SoundInfo)> {
    // Silence follows the last sample without a gap.
    let now = clock::now();
    let until = counters.until();
    let mut pace =
        Pace::new(if (0..2 * STALLED).contains(&now.since(until)) { until } else { now });
    let mut next_try = now + RETRY;
    loop {
        if stop.sleep_until(pace.deadline()) {
            return None;
        }
        let mut loan = Loan::take(home);
        while let Some(due) = pace.due(clock::now()) {
            if let Some(end) = loan.get() {
                end.idle(due);
            }
        }
        drop(loan);
        if clock::now() >= next_try {
            if let Ok(opened) = open(wish, home, counters, stop) {
                return Some(opened);
            }
            next_try = clock::now() + RETRY;
        }
    }
}

fn open<E: End>(
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Result<(Stream, SoundInfo), DeviceError> {
    let mut first_error = None;
    for entry in host::resolve(E::WHAT, wish.device.as_deref())? {
        #[cfg(target_os = "linux")]
        if wish.path != SoundPath::System {
            match open_direct(&entry, wish, home, counters, stop) {
                Ok(open) => return Ok(open),
                Err(e) if wish.path == SoundPath::Direct => {
                    first_error = first_error.or(Some(e));
                    continue;
                }
                Err(_) => {}
            }
        }
        match open_entry(&entry, wish, home, counters, stop) {
            Ok(open) => return Ok(open),
            // The direct way's error says more than the detour's.
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    Err(first_error.unwrap_or(DeviceError::None { what: E::WHAT }))
}

/// Opens without a shell between; the error says why that cannot be.
#[cfg(target_os = "linux")]
fn open_direct<E: End>(
    entry: &host::Entry,
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Result<(Stream, SoundInfo), DeviceError> {
    let what = E::WHAT;
    let unfit = |why: String| DeviceError::Format {
        what,
        name: entry.name.clone(),
        why: format!("not without a sound system between: {why}"),
    };
    let name = entry.id.strip_prefix("alsa:").unwrap_or(&entry.id);
    let opened = super::direct::open(what, name, wish.channel, wish.period).map_err(unfit)?;
    let (channels, format) = (opened.channels, opened.format);
    let (period, buffer) = (opened.period, opened.buffer);
    counters.forget();
    let before = counters.callbacks();
    let stream = E::direct(Loan::take(home), opened, wish, counters.clone())
        .map_err(|e| unfit(e.to_string()))?;
    wait_for_callback(counters, before, stop);
    if let Some(why) = counters.take_loss() {
        drop(stream);
        return Err(unfit(why));
    }
    let info = SoundInfo {
        name: entry.name.clone(),
        id: entry.id.clone(),
        sample_rate: crate::units::SAMPLE_RATE,
        channels,
        format: format.to_string(),
        period_frames: period,
        buffer_frames: buffer,
        delay_micros: counters.delay(),
        synthetic: false,
        direct: true,
    };
    Ok((Stream::Direct(stream), info))
}

/// Waits for the first callback: only then period and delay are known, and a period that the device
/// takes but cannot run shows here.
fn wait_for_callback(counters: &Counters, before: u64, stop: &Stop) {
    let give_up = clock::now() + FIRST_CALLBACK;
    while counters.callbacks() == before && !counters.is_lost() && clock::now() < give_up {
        if stop.sleep(2_000) {
            break;
        }
    }
}

fn open_entry<E: End>(
    entry: &host::Entry,
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Result<(Stream, SoundInfo), DeviceError> {
    let what = E::WHAT;
    let failed = |e: &cpal::Error| match host::error(what, &entry.name, e) {
        // The system has no default device at all: its words are about libraries and files.
        DeviceError::Failed { .. } | DeviceError::Format { .. }
            if wish.device.is_none() && no_device(e) =>
        {
            DeviceError::None { what }
        }
        other => other,
    };
    let ranges = E::configurations(&entry.device).map_err(|e| failed(&e))?;
    let input = what == What::Microphone;
    let choice = choose(&ranges, wish.channel, input).ok_or_else(|| DeviceError::Format {
        what,
        name: entry.name.clone(),
        why: if ranges.iter().all(|r| r.channels() < wish.channel) {
            let most = ranges.iter().map(SupportedStreamConfigRange::channels).max().unwrap_or(0);
            format!("it has {most} channels, not {}", wish.channel)
        } else {
            "none of its sample formats is known".into()
        },
    })?;
    let mut last = None;
    let larger = |p: &Option<u32>| wish.above == 0 || p.is_some_and(|p| p > wish.above);
    for period in choice.periods(wish.period).into_iter().filter(larger) {
        if stop.asked() {
            break;
        }
        let config = StreamConfig {
            channels: choice.channels,
            sample_rate: choice.rate,
            buffer_size: period.map_or(BufferSize::Default, BufferSize::Fixed),
        };
        counters.forget();
        let before = counters.callbacks();
        let inner = counters.clone();
        let stream =
            E::build(Loan::take(home), &entry.device, config, choice, counters.clone(), move |e| {
                inner.failed(&e)
            })
            .and_then(|stream| stream.play().map(|()| stream));
        let stream = match stream {
            Ok(stream) => Stream::System(stream),
            Err(e) => {
                let busy = e.kind() == cpal::ErrorKind::DeviceBusy;
                let e = failed(&e);
                let hopeless = busy || matches!(e, DeviceError::Refused { .. });
                last = Some(e);
                if hopeless {
                    break;
                }
                continue;
            }
        };
        wait_for_callback(counters, before, stop);
        if let Some(why) = counters.take_loss() {
            let name = entry.name.clone();
            last = Some(DeviceError::Failed { what, name, why });
            continue;
        }
        let called = counters.frames();
        let granted = Some(stream.buffer_size()).filter(|n| *n > 0).unwrap_or(called);
        let info = SoundInfo {
            name: entry.name.clone(),
            id: entry.id.clone(),
            sample_rate: choice.rate,
            channels: choice.channels,
            format: choice.format.to_string(),
            period_frames: granted,
            // cpal asks ALSA for two periods when it fixes one; elsewhere nobody tells.
            buffer_frames: if cfg!(target_os = "linux") && period.is_some() {
                2 * granted
            } else {
                0
            },
            delay_micros: counters.delay(),
            synthetic: false,
            direct: false,
        };
        return Ok((stream, info));
    }
    Err(last.unwrap_or(DeviceError::None { what }))
}

// ALSA's `default` exists by name on machines without any card; opening it ends in one of these.
fn no_device(e: &cpal::Error) -> bool {
    cfg!(target_os = "linux")
        && matches!(
            e.kind(),
            cpal::ErrorKind::DeviceNotAvailable
                | cpal::ErrorKind::UnsupportedOperation
                | cpal::ErrorKind::BackendError
                | cpal::ErrorKind::Other
        )
}

/// [`DeviceTrait`]'s two listings in one form.
pub fn collect(
    found: Result<impl Iterator<Item = SupportedStreamConfigRange>, cpal::Error>,
) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    found.map(Iterator::collect)
}

/// What a microphone offers.
pub fn input_configurations(
    device: &cpal::Device,
) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    collect(device.supported_input_configs())
}

/// What a speaker offers.
pub fn output_configurations(
    device: &cpal::Device,
) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    collect(device.supported_output_configs())
}
