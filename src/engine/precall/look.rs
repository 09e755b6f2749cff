//! What devices are opened for before a call: an ear, an eye, and a tone for the speaker. The first
//! and the last run in audio callbacks.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};

use crate::audio::meter::SharedMeter;
use crate::devices::{CameraSink, MicSink, SpeakerSource};
use crate::engine::doctor::lipsync::{self, Clapped};
use crate::engine::live_video;
use crate::engine::window::Window;
use crate::ui::precall::Picture;
use crate::units::{Micros, SAMPLE_RATE};
use crate::video::convert::Converter;
use crate::video::frame::Frame;
use crate::video::image::I420;
use crate::video::rgb::row_to_0rgb;
use crate::video::scale::Scaler;

/// Size of the picture that the screen makes its cells of: what the largest one shows.
const WIDTH: u32 = 160;
const HEIGHT: u32 = 90;
/// One picture for so many looks: ten a second are fluent enough in text cells.
const EACH: u32 = 2;

/// Measures the microphone, and hears claps.
pub struct Ear(pub Arc<SharedMeter>, pub Clapped);

impl MicSink for Ear {
    fn samples(&mut self, mono: &[f32], captured: Micros) {
        self.0.push(mono);
        self.1.push(mono, captured);
    }

    fn card_samples(&mut self, _: &[f32], _: u32, _: Micros) {}
}

/// The newest picture, until it is taken; and all of them for whoever watches.
#[derive(Default)]
pub struct Pictures(Mutex<Option<Frame>>, Mutex<Option<mpsc::SyncSender<Frame>>>);

impl Pictures {
    /// What came from another camera is not shown for this one.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(|e| e.into_inner()) = None;
    }

    /// Every picture from now on, until the receiver is dropped or somebody else watches.
    pub fn watch(&self) -> mpsc::Receiver<Frame> {
        let (sender, seen) = lipsync::pictures();
        *self.1.lock().unwrap_or_else(|e| e.into_inner()) = Some(sender);
        seen
    }
}

/// Keeps what the camera sees.
pub struct Eye(pub Arc<Pictures>);

impl CameraSink for Eye {
    fn frame(&mut self, frame: Frame) {
        let Pictures(newest, watcher) = &*self.0;
        let mut watcher = watcher.lock().unwrap_or_else(|e| e.into_inner());
        let sent = watcher.as_ref().map(|watcher| watcher.try_send(frame.clone()));
        if let Some(Err(mpsc::TrySendError::Disconnected(_))) = sent {
            *watcher = None;
        }
        *newest.lock().unwrap_or_else(|e| e.into_inner()) = Some(frame);
    }
}

/// Makes small pictures of large ones: for text cells, and for the window.
#[derive(Default)]
pub struct Thumbnails {
    converter: Converter,
    scaler: Scaler,
    whole: Option<I420>,
    window: Option<(Scaler, I420)>,
    looks: u32,
}

impl Thumbnails {
    /// The newest picture, small; `None` when there is no new one, or it is broken. The window has it
    /// from each look, as large as in the call.
    pub fn next(&mut self, pictures: &Pictures, window: &Window) -> Option<Picture> {
        self.looks += 1;
        let due = self.looks.is_multiple_of(EACH);
        if !due && !window.is_open() {
            return None;
        }
        let frame = pictures.0.lock().unwrap_or_else(|e| e.into_inner()).take()?;
        let whole = self.whole.get_or_insert_with(|| I420::black(2, 2));
        self.converter.to_i420(&frame, whole).ok()?;
        if window.is_open() {
            let (scaler, shown) = self.window.get_or_insert_with(|| {
                (Scaler::new(), I420::black(live_video::WIDTH, live_video::HEIGHT))
            });
            scaler.fit(whole, shown);
            window.own_picture(Some(shown));
        }
        if !due {
            return None;
        }
        let mut small = I420::black(WIDTH, HEIGHT);
        self.scaler.fit(whole, &mut small);
        let (width, half) = (WIDTH as usize, small.chroma_width() as usize);
        let mut pixels = vec![0; width * HEIGHT as usize];
        for (row, out) in pixels.chunks_mut(width).enumerate() {
            let chroma = row / 2 * half..(row / 2 + 1) * half;
            let luma = &small.y()[row * width..(row + 1) * width];
            row_to_0rgb(luma, &small.u()[chroma.clone()], &small.v()[chroma], out);
            // As in a mirror, and as the window shows the own picture.
            out.reverse();
        }
        Some(Picture { width, height: HEIGHT as usize, pixels })
    }
}

/// Samples of the tone: 0.4 s.
const TONE: u32 = SAMPLE_RATE * 2 / 5;
/// Samples over which it comes and goes, against clicks.
const FADE: u32 = SAMPLE_RATE / 50;
/// A fifth, hertz; as loud as speech, -20 dBFS.
const PITCHES: [f32; 2] = [440.0, 660.0];
const AMPLITUDE: f32 = 0.07;

/// Silence, and a tone when it is asked for.
pub struct Tone {
    asked: Arc<AtomicBool>,
    /// Samples played of it.
    at: u32,
}

impl Tone {
    /// Plays when `asked` becomes true, and sets it back.
    pub fn new(asked: Arc<AtomicBool>) -> Self {
        Self { asked, at: TONE }
    }
}

impl SpeakerSource for Tone {
    fn fill(&mut self, out: &mut [f32], _: Micros) {
        if self.asked.swap(false, Relaxed) {
            self.at = 0;
        }
        for sample in out {
            *sample = 0.0;
            if self.at < TONE {
                let turn = self.at as f32 / SAMPLE_RATE as f32 * std::f32::consts::TAU;
                let fade = self.at.min(TONE - self.at).min(FADE) as f32 / FADE as f32;
                let sum: f32 = PITCHES.iter().map(|pitch| (turn * pitch).sin()).sum();
                *sample = sum * AMPLITUDE * fade;
                self.at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::frame::{Codes, PixelFormat};

    #[test]
    fn the_tone_comes_once_for_each_time_it_is_asked_for() {
        let asked = Arc::new(AtomicBool::new(false));
        let mut tone = Tone::new(asked.clone());
        let mut second = |asks: bool| {
            asked.store(asks, Relaxed);
            let mut out = vec![1.0; SAMPLE_RATE as usize];
            assert_no_alloc::assert_no_alloc(|| tone.fill(&mut out, Micros(0)));
            out.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()))
        };
        assert_eq!(second(false), 0.0);
        let peak = second(true);
        assert!((0.1..0.15).contains(&peak), "{peak}");
        assert_eq!(second(false), 0.0);
    }

    #[test]
    fn a_picture_becomes_small_and_keeps_its_colours() {
        let (width, height) = (640, 480);
        let mut image = I420::black(width, height);
        image.fill_rect(0, 0, width, height, [81, 90, 240]);
        // Blue at the camera's left, which is the right of a mirror.
        image.fill_rect(0, 0, 160, height, [41, 240, 110]);
        let pictures = Arc::new(Pictures::default());
        Eye(pictures.clone()).frame(Frame {
            format: PixelFormat::I420,
            codes: Codes::RECORDED,
            width,
            height,
            captured: Micros(0),
            number: 0,
            data: Arc::new(image.data),
        });
        let (mut thumbnails, window) = (Thumbnails::default(), Window::default());
        assert!(thumbnails.next(&pictures, &window).is_none(), "every other look");
        let small = thumbnails.next(&pictures, &window).unwrap();
        assert_eq!((small.width, small.height, small.pixels.len()), (160, 90, 160 * 90));
        // 4:3 in 16:9: bars at the sides, red between.
        assert_eq!(small.pixels[0], 0);
        let middle = small.pixels[45 * 160 + 80];
        assert!(middle >> 16 > 200 && middle & 0xFF < 60, "{middle:06x}");
        let right = small.pixels[45 * 160 + 130];
        assert!(right & 0xFF > 200 && right >> 16 < 60, "{right:06x}");
        thumbnails.next(&pictures, &window);
        assert!(thumbnails.next(&pictures, &window).is_none(), "it was taken");
    }
}
