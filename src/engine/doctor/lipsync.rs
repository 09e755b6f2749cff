//! `doctor --clap`, and the same before a call: somebody claps before an open camera and microphone,
//! and the camera's delay against the sound is kept for its recordings.

use std::sync::mpsc;
use std::time::Duration;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::super::av_offset::Remembered;
use super::super::config::MOST_AV_OFFSET;
use crate::audio::test_sound::TestSound;
use crate::devices::spec::{CameraSpec, MicSpec};
use crate::devices::{
    CameraInfo, CameraOptions, CameraSink, DeviceError, MicOptions, MicSink, open_camera,
    open_microphone,
};
use crate::platform::clock;
use crate::recording::clap::{Claps, Ears, Eyes, NoClaps, judge};
use crate::units::Micros;
use crate::video::convert::Converter;
use crate::video::frame::Frame;
use crate::video::image::I420;
use crate::video::scale::Scaler;

/// Claps that are waited for.
pub const CLAPS: usize = 5;
/// Nobody is waited for longer, microseconds.
const PATIENCE: i64 = 30_000_000;
/// A clap's picture may come so much later than its sound, microseconds.
const AFTER: i64 = 700_000;
/// Pictures that wait at most: a second of them; none is left out before.
const WAITING: usize = 64;
/// How long a clap that was heard waits at most.
const TURN: Duration = Duration::from_millis(50);
/// Size of the picture that changes are looked for in: hands are large, noise is small.
const SIZE: (u32, u32) = (80, 46);

/// What was found, and whether it will be used.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The claps.
    pub claps: Claps,
    /// The camera's name.
    pub camera: String,
    /// It is kept for this camera; not for test pictures and files.
    pub kept: bool,
}

impl Sync {
    /// What was found, in a line.
    pub fn found(&self) -> String {
        let (ms, spread) = (self.late_ms(), self.claps.spread as f64 / 1e3);
        let way = if self.claps.late < 0 { "early" } else { "late" };
        let count = self.claps.count;
        format!(
            "the picture is {ms:.1} ms {way} ({count} claps, half of them within {spread:.1} ms)"
        )
    }

    /// What is made of it, in another.
    pub fn then(&self) -> String {
        if !self.kept {
            return "a test picture or file: nothing is kept".to_owned();
        }
        let (ms, back) = (self.late_ms(), if self.claps.late < 0 { "later" } else { "earlier" });
        format!("recordings with it move the picture {ms:.1} ms {back}; --av-offset 0 forgets it")
    }

    /// How far it is off, either way, milliseconds.
    fn late_ms(&self) -> f64 {
        self.claps.late.abs() as f64 / 1e3
    }
}

/// Why there is no result, or none that is kept.
#[derive(Debug, thiserror::Error, strum::EnumCount)]
pub enum ClapError {
    /// Camera or microphone.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Too few claps, or they contradict each other.
    #[error(transparent)]
    Claps(#[from] NoClaps),
    /// More than a recording can be moved by.
    #[error("the picture is {0} ms late, more than can be put right; try another camera or port")]
    TooLate(i64),
    /// It was found and cannot be remembered.
    #[error("it cannot be kept: {why}; use --av-offset {offset}")]
    NotKept {
        /// The system's words.
        why: std::io::Error,
        /// Milliseconds.
        offset: i64,
    },
}

/// Listens for claps, in the microphone's callback.
pub struct Clapped(Ears, HeapProd<Micros>);

impl Clapped {
    /// And where their times come out.
    pub fn new() -> (Self, HeapCons<Micros>) {
        let (producer, claps) = HeapRb::new(64).split();
        (Self(Ears::default(), producer), claps)
    }

    /// As [`MicSink::samples`].
    pub fn push(&mut self, mono: &[f32], captured: Micros) {
        let Self(ears, heard) = self;
        ears.push(mono, captured, |at| {
            // Who claps sixty times has been heard.
            let _ = heard.try_push(at);
        });
    }
}

struct Ear(Clapped);

impl MicSink for Ear {
    fn samples(&mut self, mono: &[f32], captured: Micros) {
        self.0.push(mono, captured);
    }

    fn card_samples(&mut self, _: &[f32], _: u32, _: Micros) {}
}

struct Eye(mpsc::SyncSender<Frame>);

impl CameraSink for Eye {
    fn frame(&mut self, frame: Frame) {
        let _ = self.0.try_send(frame);
    }
}

/// Opens both and waits for claps; `heard` is told how many there were, each time that is one more.
pub fn measure(
    mic: &MicSpec,
    camera: &CameraSpec,
    heard: &mut dyn FnMut(usize),
) -> Result<Sync, ClapError> {
    let quiet = || std::sync::Arc::new(|_| {});
    let (clapped, mut claps) = Clapped::new();
    let test = TestSound::new(0);
    let options = MicOptions {
        test_sound: Some(Box::new(move |at, out: &mut [f32]| test.fill(at, out))),
        ..MicOptions::default()
    };
    let (pictures, seen) = pictures();
    let camera = open_camera(camera, CameraOptions::default(), Box::new(Eye(pictures)), quiet())?;
    let microphone = open_microphone(mic, options, Box::new(Ear(clapped)), quiet())?;
    let mut told = 0;
    let found = watch(&seen, &mut || claps.try_pop(), &mut |count| {
        (std::mem::replace(&mut told, count)..count).for_each(|before| heard(before + 1));
        true
    });
    let info = camera.info().clone();
    drop((microphone, camera));
    keep(found?, &info)
}

/// The way of pictures to [`watch`], which takes them faster than a camera gives them.
pub fn pictures() -> (mpsc::SyncSender<Frame>, mpsc::Receiver<Frame>) {
    mpsc::sync_channel(WAITING)
}

/// Waits for claps: what is `seen`, and what was `heard` since it was asked last. `goes_on` is told how
/// many there were, some times a second, and ends the wait with false.
pub fn watch(
    seen: &mpsc::Receiver<Frame>,
    heard: &mut dyn FnMut() -> Option<Micros>,
    goes_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Claps, NoClaps> {
    let start = clock::now();
    let (mut at, mut eyes) = (Vec::new(), Eyes::default());
    let mut small = Small::default();
    loop {
        match seen.recv_timeout(TURN) {
            Ok(frame) => small.show(&frame, &mut eyes),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // The camera is gone; what was seen may be enough.
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        while let Some(clap) = heard() {
            at.push(clap);
        }
        let now = clock::now();
        let enough = at.len() >= CLAPS && at.last().is_some_and(|last| now.since(*last) > AFTER);
        if !goes_on(at.len()) || enough || now.since(start) > PATIENCE {
            break;
        }
    }
    judge(&at, &eyes)
}

/// Keeps for the camera what its claps have shown.
pub fn keep(claps: Claps, camera: &CameraInfo) -> Result<Sync, ClapError> {
    if claps.late.abs() > MOST_AV_OFFSET {
        return Err(ClapError::TooLate(claps.late / 1_000));
    }
    // What is seen too late is recorded earlier.
    let kept = !camera.synthetic;
    if kept {
        let offset = -claps.late / 1_000;
        Remembered::here()
            .keep(&camera.name, -claps.late)
            .map_err(|why| ClapError::NotKept { why, offset })?;
    }
    Ok(Sync { claps, camera: camera.name.clone(), kept })
}

/// Makes pictures small enough to be compared.
#[derive(Default)]
struct Small {
    converter: Converter,
    scaler: Scaler,
    whole: Option<I420>,
    small: Option<I420>,
}

impl Small {
    fn show(&mut self, frame: &Frame, eyes: &mut Eyes) {
        let whole = self.whole.get_or_insert_with(|| I420::black(2, 2));
        let small = self.small.get_or_insert_with(|| I420::black(SIZE.0, SIZE.1));
        // A broken picture is none.
        if self.converter.to_i420(frame, whole).is_ok() {
            self.scaler.stretch(whole, SIZE.0, SIZE.1, small);
            eyes.push(small.y(), frame.captured);
        }
    }
}
