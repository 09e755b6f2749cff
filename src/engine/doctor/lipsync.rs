//! `doctor --clap`: camera and microphone are open for as long as somebody claps, and the camera's
//! delay against the sound is kept for its recordings.

use std::sync::mpsc;
use std::time::Duration;

use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Producer, Split};

use super::super::av_offset::Remembered;
use super::super::config::MOST_AV_OFFSET;
use crate::audio::test_sound::TestSound;
use crate::devices::spec::{CameraSpec, MicSpec};
use crate::devices::{
    CameraOptions, CameraSink, DeviceError, MicOptions, MicSink, open_camera, open_microphone,
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

struct Ear<P>(Ears, P);

impl<P: Producer<Item = Micros> + Send> MicSink for Ear<P> {
    fn samples(&mut self, mono: &[f32], captured: Micros) {
        let Self(ears, heard) = self;
        ears.push(mono, captured, |at| {
            // Who claps sixty times has been heard.
            let _ = heard.try_push(at);
        });
    }

    fn card_samples(&mut self, _: &[f32], _: u32, _: Micros) {}
}

struct Eye(mpsc::SyncSender<Frame>);

impl CameraSink for Eye {
    fn frame(&mut self, frame: Frame) {
        let _ = self.0.try_send(frame);
    }
}

/// Waits for claps; `heard` is told how many there were, each time that is one more.
pub fn measure(
    mic: &MicSpec,
    camera: &CameraSpec,
    heard: &mut dyn FnMut(usize),
) -> Result<Sync, ClapError> {
    let quiet = || std::sync::Arc::new(|_| {});
    let (producer, mut claps) = HeapRb::<Micros>::new(64).split();
    let test = TestSound::new(0);
    let options = MicOptions {
        test_sound: Some(Box::new(move |at, out: &mut [f32]| test.fill(at, out))),
        ..MicOptions::default()
    };
    let (pictures, seen) = mpsc::sync_channel(WAITING);
    let camera = open_camera(camera, CameraOptions::default(), Box::new(Eye(pictures)), quiet())?;
    let ear = Box::new(Ear(Ears::default(), producer));
    let microphone = open_microphone(mic, options, ear, quiet())?;
    let start = clock::now();
    let (mut at, mut eyes) = (Vec::new(), Eyes::default());
    let mut small = Small::default();
    loop {
        if let Ok(frame) = seen.recv_timeout(Duration::from_millis(50)) {
            small.show(&frame, &mut eyes);
        }
        while let Some(clap) = claps.try_pop() {
            at.push(clap);
            heard(at.len());
        }
        let now = clock::now();
        let enough = at.len() >= CLAPS && at.last().is_some_and(|last| now.since(*last) > AFTER);
        if enough || now.since(start) > PATIENCE {
            break;
        }
    }
    let info = camera.info().clone();
    drop((microphone, camera));
    let claps = judge(&at, &eyes)?;
    if claps.late.abs() > MOST_AV_OFFSET {
        return Err(ClapError::TooLate(claps.late / 1_000));
    }
    // What is seen too late is recorded earlier.
    let kept = !info.synthetic;
    if kept {
        let offset = -claps.late / 1_000;
        Remembered::here()
            .keep(&info.name, -claps.late)
            .map_err(|why| ClapError::NotKept { why, offset })?;
    }
    Ok(Sync { claps, camera: info.name, kept })
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
