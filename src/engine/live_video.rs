//! The live encoder's thread: the newest camera picture, small and ugly, at 24 fps.
//!
//! Normal priority. It takes the newest picture and skips the rest; when the recorder is behind it
//! stops, so that live video is the first thing that pressure takes (PRD invariant 1).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shared::Shared;
use super::talk::VideoOut;
use super::window::Window;
use crate::platform::clock;
use crate::units::Micros;
use crate::video::convert::Converter;
use crate::video::frame::Frame;
use crate::video::image::I420;
use crate::video::pacer::Admission;
use crate::video::payload::{self, FramePrefix};
use crate::video::scale::Scaler;
use crate::video::vp8::{Vp8Config, Vp8Encoder};

/// Live picture (PRD 4.2.2).
pub const WIDTH: u32 = 854;
/// Live picture (PRD 4.2.2).
pub const HEIGHT: u32 = 480;
/// Live pictures per second (PRD 4.2.2).
pub const FPS: u32 = 24;
/// Wake-up without pictures.
const IDLE: Duration = Duration::from_millis(50);

/// The live encoder's configuration.
pub fn config(kbps: u32) -> Vp8Config {
    Vp8Config { width: WIDTH, height: HEIGHT, fps: FPS, kbps, keyframe_interval: FPS * 2 }
}

/// The thread's state.
pub struct LiveVideo {
    /// Shared switches.
    pub shared: Arc<Shared>,
    /// The newest picture.
    pub newest: Arc<Mutex<Option<Frame>>>,
    /// The encoder; `None` without a call (the own preview is still made).
    pub encoder: Option<(Vp8Encoder, VideoOut)>,
    /// Target of the encoder, kbit/s.
    pub kbps: u32,
    /// Own picture for the window.
    pub window: Arc<Window>,
}

impl LiveVideo {
    /// Runs until the call stops.
    pub fn run(mut self) {
        let mut converter = Converter::new();
        let mut scaler = Scaler::new();
        let mut native = I420::black(2, 2);
        let mut small = I420::black(WIDTH, HEIGHT);
        let mut pace = Pace::new(FPS);
        let admission = Admission::new(self.kbps);
        let mut keyframe = false;
        let mut pts = 0;
        while !self.shared.stopping() {
            std::thread::park_timeout(IDLE);
            let taken = self.newest.lock().unwrap_or_else(|e| e.into_inner()).take();
            let Some(frame) = taken else { continue };
            if !pace.due(frame.captured) {
                continue;
            }
            if self.shared.camera_off.load(Relaxed) {
                self.window.own_picture(None);
                continue;
            }
            if self.shared.shed_live_video.load(Relaxed) {
                self.shared.live_shed.fetch_add(1, Relaxed);
                continue;
            }
            let shown = self.window.is_open();
            if self.encoder.is_none() && !shown {
                continue;
            }
            let began = clock::now();
            if converter.to_i420(&frame, &mut native).is_err() {
                continue;
            }
            scaler.fit(&native, &mut small);
            if shown {
                self.window.own_picture(Some(&small));
            }
            if let Some((encoder, out)) = &mut self.encoder {
                if !admission.has_room(out.backlog()) {
                    self.shared.live_shed.fetch_add(1, Relaxed);
                    continue;
                }
                keyframe |= self.shared.keyframe_wanted.swap(false, Relaxed);
                let mut picture = out.take();
                let captured = self.shared.session_at(frame.captured).unwrap_or_default();
                picture.data.clear();
                let prefix = FramePrefix { layer: 0, disposable: false, captured };
                payload::write(&prefix, &mut picture.data);
                match encoder.encode(&small, pts, keyframe, &mut picture.data) {
                    Ok(Some(is_key)) => {
                        picture.keyframe = is_key;
                        // What the talk thread has no room for breaks the chain of references.
                        keyframe = !out.send(picture);
                        self.shared.live_encoded.fetch_add(1, Relaxed);
                    }
                    Ok(None) => {}
                    Err(e) => {
                        tracing::warn!("live encoder: {e}");
                        keyframe = true;
                    }
                }
                pts += 1;
                let took = clock::now().since(began).max(0) as u64;
                self.shared.live_encode_micros.fetch_add(took, Relaxed);
            }
        }
    }
}

/// Picks pictures of any rate so that `fps` a second come out, evenly.
struct Pace {
    interval: i64,
    next: Option<Micros>,
}

impl Pace {
    fn new(fps: u32) -> Self {
        Self { interval: 1_000_000 / i64::from(fps), next: None }
    }

    fn due(&mut self, captured: Micros) -> bool {
        // A picture at most half a camera interval early is the best one for its turn.
        let slack = self.interval / 5;
        match self.next {
            Some(next) if captured.since(next) < -slack => false,
            Some(next) if captured.since(next) < self.interval * 3 => {
                self.next = Some(next + self.interval);
                true
            }
            _ => {
                self.next = Some(captured + self.interval);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_of_any_rate_gives_24_pictures_a_second() {
        for fps in [24i64, 25, 30, 50, 60] {
            let mut pace = Pace::new(24);
            let shown = (0..fps * 10).filter(|i| pace.due(Micros(i * 1_000_000 / fps))).count();
            assert!((238..=242).contains(&shown), "{fps} fps: {shown} in 10 s");
        }
        let mut slow = Pace::new(24);
        assert_eq!((0..150).filter(|i| slow.due(Micros(i * 66_667))).count(), 150);
    }
}
