//! Opening the devices of a call as its configuration says, and hearing of their fate.

use std::sync::{Arc, mpsc};

use chrono::Timelike;

use super::config::{CallConfig, Period};
use super::error::EngineError;
use crate::audio::test_sound::TestSound;
use crate::devices::spec::CameraSpec;
use crate::devices::{
    Camera, CameraOptions, CameraSink, DeviceEvent, DeviceEvents, MicOptions, MicSink, Microphone,
    Speaker, SpeakerOptions, SpeakerSource, TestPicture,
};
use crate::platform::clock;
use crate::video::image::I420;
use crate::video::testcard::TestCard;

/// A callback for the devices and where its events come out.
pub fn events() -> (DeviceEvents, mpsc::Receiver<DeviceEvent>) {
    let (sender, receiver) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let events: DeviceEvents = Arc::new(move |event| {
        let _ = sender.lock().unwrap_or_else(|e| e.into_inner()).send(event);
    });
    (events, receiver)
}

fn period(config: &CallConfig) -> Option<u32> {
    match config.period {
        Period::Auto => None,
        Period::Frames(n) => Some(n),
    }
}

/// A voice for the synthetic microphone, so that two dry runs in one call differ.
fn voice(config: &CallConfig) -> u8 {
    match config.role {
        super::config::Role::Guest(_) => 1,
        _ => 0,
    }
}

/// Opens the microphone.
pub fn open_microphone(
    config: &CallConfig,
    tap: impl MicSink + 'static,
    events: DeviceEvents,
) -> Result<Microphone, EngineError> {
    let sound = TestSound::new(voice(config));
    let options = MicOptions {
        period: period(config),
        loop_file: config.loop_files,
        test_sound: Some(Box::new(move |position, out: &mut [f32]| sound.fill(position, out))),
        path: config.sound,
        frame: config.audio.frame.samples(),
    };
    Ok(crate::devices::open_microphone(&config.mic, options, Box::new(tap), events)?)
}

/// Opens the speaker.
pub fn open_speaker(
    config: &CallConfig,
    source: impl SpeakerSource + 'static,
    events: DeviceEvents,
) -> Result<Speaker, EngineError> {
    let options = SpeakerOptions { period: period(config), path: config.sound };
    Ok(crate::devices::open_speaker(&config.speaker, options, Box::new(source), events)?)
}

/// Draws the test picture: its frame counter and the time of day, for people and programs.
fn test_picture(camera: &CameraSpec) -> Option<TestPicture> {
    let CameraSpec::Test { width, height, .. } = *camera else { return None };
    let mut card = TestCard::new(width, height);
    let mut image = I420::black(width, height);
    let now = chrono::Local::now();
    let began = clock::now();
    let today = f64::from(now.num_seconds_from_midnight()) + f64::from(now.nanosecond()) / 1e9;
    Some(Box::new(move |number, captured| {
        let seconds = today + captured.since(began) as f64 / 1e6;
        card.draw(number, seconds.rem_euclid(86_400.0), &mut image);
        Arc::new(image.data.clone())
    }))
}

/// Opens the camera; `None` for `--camera off`.
pub fn open_camera(
    config: &CallConfig,
    tap: impl CameraSink + 'static,
    events: DeviceEvents,
) -> Result<Option<Camera>, EngineError> {
    if config.camera == CameraSpec::Off {
        return Ok(None);
    }
    let options =
        CameraOptions { loop_file: config.loop_files, test_picture: test_picture(&config.camera) };
    Ok(Some(crate::devices::open_camera(&config.camera, options, Box::new(tap), events)?))
}
