//! A real sound device's life: opened with the smallest period that works, watched, taken back
//! after it was lost.
//!
//! One helper thread per device owns the stream. The system's callback thread runs [`End::build`]'s
//! closure: it only touches the sink that is lent to it and atomics. While the device is away the
//! helper thread plays the callback's part at 5 ms ticks, so that whoever sits behind never starves.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, StreamConfig, SupportedStreamConfigRange};

use super::choice::{Choice, choose};
use super::{SoundInfo, host};
use crate::devices::pace::{Due, Pace};
use crate::devices::supervise::{Helper, RETRY, Stop};
use crate::devices::{DeviceError, DeviceEvent, DeviceEvents, What};
use crate::platform::clock;
use crate::units::Micros;

/// Samples per piece that a callback's block is handled in; callbacks may be of any length.
pub const PIECE: usize = 4_096;

// How often the helper looks at what the callback has counted.
const LOOK: i64 = 50_000;
// A device whose callback is silent for so long is taken for lost; longer than any server's
// hiccup, shorter than a person's patience.
const STALLED: i64 = 3_000_000;
// How long the first callback may take: Bluetooth headsets need the most.
const FIRST_CALLBACK: i64 = 700_000;

/// What the callback tells the helper.
#[derive(Debug, Default)]
pub struct Counters {
    callbacks: AtomicU64,
    xruns: AtomicU64,
    frames: AtomicU32,
    delay: AtomicI64,
    until: AtomicI64,
    lost: AtomicBool,
    why: Mutex<String>,
}

impl Counters {
    /// Called by each callback: its length in frames, the device's delay in microseconds, and up to
    /// when its samples reach.
    pub fn called(&self, frames: usize, delay: i64, until: Micros) {
        self.frames.store(frames as u32, Ordering::Relaxed);
        self.delay.store(delay, Ordering::Relaxed);
        self.until.store(until.0, Ordering::Relaxed);
        self.callbacks.fetch_add(1, Ordering::Release);
    }

    /// Overruns or underruns since the device was first opened.
    pub fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    /// Newest delay between the device and us, microseconds.
    pub fn delay(&self) -> i64 {
        self.delay.load(Ordering::Relaxed)
    }

    /// For what stands in for a device.
    pub fn count_xrun(&self) {
        self.xruns.fetch_add(1, Ordering::Relaxed);
    }

    // The error callback, on the system's thread.
    fn failed(&self, e: &cpal::Error) {
        use cpal::ErrorKind as K;
        match e.kind() {
            K::Xrun => self.count_xrun(),
            // The system has already rerouted the stream, or only tells of its thread's priority.
            K::DeviceChanged | K::RealtimeDenied => {}
            K::DeviceNotAvailable | K::StreamInvalidated | K::HostUnavailable => {
                // Nobody holds this lock for long; when somebody does, the words are lost, not
                // the event.
                if let Ok(mut why) = self.why.try_lock() {
                    *why = e.to_string();
                }
                self.lost.store(true, Ordering::Release);
            }
            // Anything else shows as a stall, if it matters.
            _ => {}
        }
    }

    fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

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
}

/// An open device.
pub struct Live {
    info: SoundInfo,
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
            run(&wish, &home, &inner, &events, &stop, &answer);
        })
        .map_err(|e| DeviceError::Failed {
            what: E::WHAT,
            name: "helper thread".into(),
            why: e.to_string(),
        })?;
        let info = answered.recv().unwrap_or_else(|_| {
            Err(DeviceError::Failed {
                what: E::WHAT,
                name: "device".into(),
                why: "the sound system's library failed".into(),
            })
        })?;
        Ok(Self { info, counters, _helper: helper })
    }

    /// What was got.
    pub fn info(&self) -> &SoundInfo {
        &self.info
    }

    /// What the callback counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn run<E: End>(
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    events: &DeviceEvents,
    stop: &Stop,
    answer: &mpsc::Sender<Result<SoundInfo, DeviceError>>,
) {
    let (mut stream, info) = match open(wish, home, counters, stop) {
        Ok(open) => open,
        Err(e) => {
            let _ = answer.send(Err(e));
            return;
        }
    };
    // Reopening must find the same device, also when the system's default has become another one.
    let again = Wish { device: wish.device.as_ref().map(|_| info.id.clone()), ..wish.clone() };
    let _ = answer.send(Ok(info));
    let mut told = counters.xruns();
    loop {
        let message = watch(counters, events, stop, &mut told, E::WHAT);
        let Some(message) = message else { return };
        drop(stream);
        events(DeviceEvent::Lost { what: E::WHAT, message });
        let Some(back) = bridge(&again, home, counters, stop) else { return };
        stream = back;
        events(DeviceEvent::Returned { what: E::WHAT });
    }
}

/// Runs until the device is lost (and says why) or it is time to end (`None`).
fn watch(
    counters: &Counters,
    events: &DeviceEvents,
    stop: &Stop,
    told: &mut u64,
    what: What,
) -> Option<String> {
    let mut calls = counters.callbacks.load(Ordering::Acquire);
    let mut called = clock::now();
    loop {
        if stop.sleep(LOOK) {
            return None;
        }
        let total = counters.xruns();
        if total != *told {
            *told = total;
            events(DeviceEvent::Xrun { what, total });
        }
        if counters.lost.swap(false, Ordering::AcqRel) {
            return Some(counters.why());
        }
        let now = clock::now();
        let newest = counters.callbacks.load(Ordering::Acquire);
        if newest != calls {
            calls = newest;
            called = now;
        } else if now.since(called) > STALLED {
            return Some(format!("it has not moved for {} s", STALLED / 1_000_000));
        }
    }
}

/// Stands in for the device until it opens again; `None` when it is time to end.
fn bridge<E: End>(
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Option<cpal::Stream> {
    // Silence follows the last sample without a gap.
    let now = clock::now();
    let until = Micros(counters.until.load(Ordering::Relaxed));
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
            if let Ok((stream, _)) = open(wish, home, counters, stop) {
                return Some(stream);
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
) -> Result<(cpal::Stream, SoundInfo), DeviceError> {
    let mut first_error = None;
    for entry in host::resolve(E::WHAT, wish.device.as_deref())? {
        match open_entry(&entry, wish, home, counters, stop) {
            Ok(open) => return Ok(open),
            // The direct way's error says more than the detour's.
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    Err(first_error.unwrap_or(DeviceError::None { what: E::WHAT }))
}

fn open_entry<E: End>(
    entry: &host::Entry,
    wish: &Wish,
    home: &Arc<Mutex<Option<E>>>,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Result<(cpal::Stream, SoundInfo), DeviceError> {
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
    for period in choice.periods(wish.period) {
        if stop.asked() {
            break;
        }
        let config = StreamConfig {
            channels: choice.channels,
            sample_rate: choice.rate,
            buffer_size: period.map_or(BufferSize::Default, BufferSize::Fixed),
        };
        counters.lost.store(false, Ordering::Release);
        let before = counters.callbacks.load(Ordering::Acquire);
        let inner = counters.clone();
        let stream =
            E::build(Loan::take(home), &entry.device, config, choice, counters.clone(), move |e| {
                inner.failed(&e)
            })
            .and_then(|stream| stream.play().map(|()| stream));
        let stream = match stream {
            Ok(stream) => stream,
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
        // Wait for the first callback: only then period and delay are known, and a period that
        // the device takes but cannot run shows here.
        let give_up = clock::now() + FIRST_CALLBACK;
        while counters.callbacks.load(Ordering::Acquire) == before
            && !counters.lost.load(Ordering::Acquire)
            && clock::now() < give_up
        {
            if stop.sleep(2_000) {
                break;
            }
        }
        if counters.lost.swap(false, Ordering::AcqRel) {
            let (name, why) = (entry.name.clone(), counters.why());
            last = Some(DeviceError::Failed { what, name, why });
            continue;
        }
        let called = counters.frames.load(Ordering::Relaxed);
        let granted = stream.buffer_size().ok().filter(|n| *n > 0).unwrap_or(called);
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
