//! The live encoders' thread: the newest camera picture, small and ugly, at 24 fps.
//!
//! Normal priority. It takes the newest picture and skips the rest; when the recorder is behind it
//! stops, so that live video is the first thing that pressure takes (PRD invariant 1). Two encoders
//! at most: what each makes is the control thread's decision ([`super::congestion`]), and one that
//! nobody needs does not run.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shared::{LiveEncoder, Shared};
use super::talk::VideoOut;
use super::window::Window;
use crate::platform::clock;
use crate::protocol::congestion::KeyframeGate;
use crate::units::{Micros, SessionMicros};
use crate::video::VideoError;
use crate::video::allot::{Picture, RATES, SIZES};
use crate::video::convert::Converter;
use crate::video::fanout::Source;
use crate::video::frame::Frame;
use crate::video::image::I420;
use crate::video::payload::{self, FramePrefix};
use crate::video::scale::Scaler;
use crate::video::vp8::{Vp8Config, Vp8Encoder};

/// Live picture (PRD 4.2.2).
pub const WIDTH: u32 = SIZES[0].0;
/// Live picture (PRD 4.2.2).
pub const HEIGHT: u32 = SIZES[0].1;
/// Live pictures per second (PRD 4.2.2).
pub const FPS: u32 = RATES[0];
/// Wake-up without pictures.
const IDLE: Duration = Duration::from_millis(50);
/// A picture that would wait longer than this is not worth encoding, microseconds: with the encoder's
/// and the network's share it keeps capture to display under 150 ms (PRD 8).
const LONGEST_WAIT: u64 = 80_000;
/// An encoder that nobody needs is kept this long, microseconds: who needed it may be back.
const KEEP: i64 = 10_000_000;
/// One that failed is tried again after this long, microseconds.
const RETRY: i64 = 1_000_000;

/// The live encoder's configuration when a call begins.
pub fn config(kbps: u32) -> Vp8Config {
    vp8(Picture { width: WIDTH, height: HEIGHT, fps: FPS, kbps })
}

/// The encoder counts time in frames of [`FPS`]: half as many pictures are two frames apart.
fn vp8(picture: Picture) -> Vp8Config {
    let Picture { width, height, fps, kbps } = picture;
    Vp8Config { width, height, fps: FPS, kbps, keyframe_interval: fps * 2 }
}

/// The thread's state.
pub struct LiveVideo {
    /// Shared switches.
    pub shared: Arc<Shared>,
    /// The newest picture.
    pub newest: Arc<Mutex<Option<Frame>>>,
    /// The encoder; `None` without a call (the own preview is still made).
    pub encoder: Option<(Vp8Encoder, VideoOut)>,
    /// Own picture for the window.
    pub window: Arc<Window>,
}

/// One encoder and what it does.
struct Stream {
    source: Source,
    encoder: Option<Vp8Encoder>,
    /// What it was told to make.
    picture: Picture,
    scaler: Scaler,
    image: I420,
    pace: Pace,
    keyframes: KeyframeGate,
    pts: i64,
    /// The next picture is of the upper layer.
    upper: bool,
    /// Number of the newest base frame.
    base: u8,
    needed: Micros,
    /// It has failed: not before then.
    retry: Option<Micros>,
}

impl Stream {
    fn new(source: Source, encoder: Option<Vp8Encoder>) -> Self {
        let picture = Picture { width: WIDTH, height: HEIGHT, fps: FPS, kbps: 0 };
        Self {
            source,
            encoder,
            picture,
            scaler: Scaler::new(),
            image: I420::black(2, 2),
            pace: Pace::new(FPS),
            keyframes: KeyframeGate::default(),
            pts: 0,
            upper: false,
            base: 0,
            needed: Micros(0),
            retry: None,
        }
    }

    /// Follows the control thread's wish. `None`: nothing is to be made.
    fn follow(&mut self, wanted: Option<Picture>, now: Micros) -> Option<Result<(), VideoError>> {
        let Some(wanted) = wanted else {
            if now.since(self.needed) > KEEP {
                self.encoder = None;
            }
            return None;
        };
        self.needed = now;
        if wanted == self.picture && self.encoder.is_some() {
            return Some(Ok(()));
        }
        if self.retry.is_some_and(|at| now < at) {
            return None;
        }
        let config = vp8(wanted);
        let done = match &mut self.encoder {
            Some(encoder) => encoder.reconfigure(&config),
            None => Vp8Encoder::new(&config).map(|encoder| self.encoder = Some(encoder)),
        };
        if done.is_ok() {
            if wanted.fps != self.picture.fps {
                self.pace = Pace::new(wanted.fps);
            }
            self.picture = wanted;
            self.retry = None;
        } else {
            self.fail(now);
        }
        Some(done)
    }

    /// The encoder is of no use: another one is tried later, and begins with a keyframe.
    fn fail(&mut self, now: Micros) {
        self.encoder = None;
        self.retry = Some(now + RETRY);
        self.keyframes.must();
    }

    /// Encodes one picture and hands it over.
    fn encode(
        &mut self,
        native: &I420,
        captured: SessionMicros,
        out: &mut VideoOut,
        other: u8,
        now: Micros,
    ) -> Result<bool, VideoError> {
        let Some(encoder) = &mut self.encoder else { return Ok(false) };
        let (width, height) = (self.picture.width, self.picture.height);
        self.image.resize(width, height);
        self.scaler.fit(native, &mut self.image);
        let force = self.keyframes.is_due(now);
        let upper = self.upper && !force;
        let mut picture = out.take();
        picture.data.clear();
        let mut base = if upper { self.base } else { self.base.wrapping_add(1) };
        let prefix = FramePrefix { layer: u8::from(upper), base, disposable: upper, captured };
        payload::write(&prefix, &mut picture.data);
        let made = encoder.encode_layer(&self.image, self.pts, force, upper, &mut picture.data);
        self.pts += i64::from(FPS / self.picture.fps.clamp(1, FPS));
        let Some(keyframe) = made? else { return Ok(false) };
        picture.keyframe = keyframe;
        picture.disposable = upper && !keyframe;
        if keyframe {
            base = payload::keyframe_base(self.base, other);
            let prefix = FramePrefix { layer: 0, base, disposable: false, captured };
            let mut head = Vec::with_capacity(payload::PREFIX);
            payload::write(&prefix, &mut head);
            picture.data[..payload::PREFIX].copy_from_slice(&head);
        }
        if keyframe {
            self.keyframes.made(now);
        }
        if !picture.disposable {
            self.base = base;
        }
        self.upper = keyframe || !self.upper;
        let disposable = picture.disposable;
        if !out.send(self.source, picture) && !disposable {
            // What the talk thread has no room for breaks the chain of references.
            self.keyframes.must();
        }
        Ok(true)
    }
}

impl LiveVideo {
    /// Runs until the call stops.
    pub fn run(mut self) {
        let mut converter = Converter::down_to(WIDTH, HEIGHT);
        let mut scaler = Scaler::new();
        let mut native = I420::black(2, 2);
        let mut small = I420::black(WIDTH, HEIGHT);
        let mut pace = Pace::new(FPS);
        let (encoder, mut out) = match self.encoder.take() {
            Some((encoder, out)) => (Some(encoder), Some(out)),
            None => (None, None),
        };
        let mut streams = [Stream::new(Source::Main, encoder), Stream::new(Source::Low, None)];
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
            let began = clock::now();
            let due = streams.each_mut().map(|stream| {
                let out = out.as_ref()?;
                Some(self.due(stream, out, frame.captured, began)).filter(|due| *due)
            });
            let sending = due.iter().any(Option::is_some);
            let shown = self.window.is_open();
            if !sending && !shown {
                continue;
            }
            if converter.to_i420(&frame, &mut native).is_err() {
                continue;
            }
            if shown {
                scaler.fit(&native, &mut small);
                self.window.own_picture(Some(&small));
            }
            let Some(out) = &mut out else { continue };
            let captured = self.shared.session_at(frame.captured).unwrap_or_default();
            let [main, low] = streams.each_ref().map(|stream| stream.base);
            for (stream, _) in streams.iter_mut().zip(due).filter(|(_, due)| due.is_some()) {
                let other = if stream.source == Source::Main { low } else { main };
                match stream.encode(&native, captured, out, other, began) {
                    Ok(true) => {
                        self.shared.live_encoded.fetch_add(1, Relaxed);
                    }
                    Ok(false) => {}
                    Err(e) => {
                        tracing::warn!("live encoder: {e}");
                        stream.fail(began);
                    }
                }
            }
            if sending {
                let took = clock::now().since(began).max(0) as u64;
                self.shared.live_encode_micros.fetch_add(took, Relaxed);
            }
        }
    }

    /// Whether that encoder is to make this picture.
    fn due(&self, stream: &mut Stream, out: &VideoOut, captured: Micros, now: Micros) -> bool {
        let live = &self.shared.live[stream.source as usize];
        match stream.follow(live.picture(), now) {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(e)) => {
                tracing::warn!("live encoder: {e}");
                return false;
            }
        }
        let wanted = live.wanted.swap(0, Relaxed);
        if wanted & LiveEncoder::CUT_OFF != 0 {
            stream.keyframes.must();
        } else if wanted != 0 {
            stream.keyframes.ask(wanted, now);
        }
        // Nobody gets it: nothing waits, and nothing is encoded.
        let Some(delay) = out.delay(stream.source) else { return false };
        if !stream.pace.due(captured) {
            return false;
        }
        let room = delay <= LONGEST_WAIT;
        if !room {
            self.shared.live_shed.fetch_add(1, Relaxed);
        }
        room
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
    fn an_encoder_that_fails_is_tried_again_once_a_second_and_then_makes_what_is_wanted() {
        let mut stream = Stream::new(Source::Low, None);
        let good = Picture { width: 320, height: 180, fps: 12, kbps: 100 };
        let bad = Picture { width: 0, ..good };
        let tried = (0..96).filter(|n| stream.follow(Some(bad), Micros(n * 41_667)).is_some());
        assert_eq!(tried.count(), 4, "in four seconds");
        let now = Micros(5_100_000);
        assert!(matches!(stream.follow(Some(good), now), Some(Ok(()))));
        assert!(stream.encoder.is_some() && stream.picture == good);
    }

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
