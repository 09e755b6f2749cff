//! One party's sending side: microphone, camera, encoders, and the talk thread's work.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hyperzoom::audio::{Framer, MAX_AUDIO_PAYLOAD, TalkEncoder, TestSound, write_payload};
use hyperzoom::protocol::{MAX_DATAGRAM, MediaSealer, fragment, fragment_len, fragments};
use hyperzoom::units::{Micros, SessionMicros};
use hyperzoom::video::fanout::{Cut, Fanout, Feed, OutFrame, Source};
use hyperzoom::video::image::I420;
use hyperzoom::video::payload::{self, FramePrefix};
use hyperzoom::video::scale::Scaler;
use hyperzoom::video::testcard::TestCard;
use hyperzoom::video::vp8::{Vp8Config, Vp8Encoder};

use super::party::Outbox;

/// Target of the live encoder, kbit/s.
const KBPS: u32 = 400;
/// Small pictures cost little and still carry a code that can be read.
const LIVE: Vp8Config =
    Vp8Config { width: 320, height: 180, fps: 24, kbps: KBPS, keyframe_interval: 48 };
/// What the camera delivers; the scaler halves it.
const CAMERA: (u32, u32) = (640, 360);
/// IPv4 and UDP.
const HEADERS: usize = 28;
/// Microseconds: a picture that would wait longer than this is not encoded.
const LONGEST_WAIT: u64 = 80_000;
/// What the path carries, in all and of that the picture, kbit/s.
const PATH: [u32; 2] = [2_000, 1_500];
/// Sent pictures that are remembered to compare shown ones with: more than a second of them.
const REMEMBERED: usize = 64;

/// The synthetic microphone: a voice read off in blocks by a card's own crystal.
pub struct Mic {
    sound: TestSound,
    block: Vec<f32>,
    /// Local time of sample 0.
    start: Micros,
    /// Microseconds a sample takes by the local clock.
    sample: f64,
    position: u64,
    /// When the next block is handed over.
    pub due: Micros,
}

impl Mic {
    pub fn new(voice: u8, period: usize, start: Micros, card_ppm: f64) -> Self {
        let sample = 1e6 / 48_000.0 * (1.0 - card_ppm * 1e-6);
        let mut mic = Self {
            sound: TestSound::new(voice),
            block: vec![0.0; period],
            start,
            sample,
            position: 0,
            due: start,
        };
        mic.due = mic.captured(period as u64);
        mic
    }

    /// Local time at which that sample was captured.
    pub fn captured(&self, position: u64) -> Micros {
        self.start + (position as f64 * self.sample).round() as i64
    }

    /// The next block and when its first sample was captured; the one after it is handed over
    /// `late` microseconds after its last sample.
    pub fn block(&mut self, late: i64) -> (&[f32], Micros) {
        self.sound.fill(self.position, &mut self.block);
        let captured = self.captured(self.position);
        self.position += self.block.len() as u64;
        self.due = self.captured(self.position + self.block.len() as u64) + late;
        (&self.block, captured)
    }
}

/// Camera pictures, scaled, encoded and on their way out.
pub struct Live {
    card: TestCard,
    native: I420,
    small: I420,
    scaler: Scaler,
    encoder: Vp8Encoder,
    fan: Fanout,
    next_due: Option<Micros>,
    /// The peer wants a keyframe, or is new.
    pub keyframe_wanted: bool,
    /// Pictures that were encoded, and keyframes among them.
    pub encoded: u64,
    pub keyframes: u64,
    /// Pictures left out because too much waited.
    pub shed: u64,
    /// What was encoded last, by the camera's number, with its capture time on the session clock.
    pub sent: BTreeMap<u64, (SessionMicros, I420)>,
}

impl Live {
    pub fn new() -> Self {
        Self {
            card: TestCard::new(CAMERA.0, CAMERA.1),
            native: I420::black(CAMERA.0, CAMERA.1),
            small: I420::black(LIVE.width, LIVE.height),
            scaler: Scaler::new(),
            encoder: Vp8Encoder::new(&LIVE).unwrap(),
            fan: Fanout::new(Cut { size: fragment_len, count: fragments }),
            next_due: None,
            keyframe_wanted: false,
            encoded: 0,
            keyframes: 0,
            shed: 0,
            sent: BTreeMap::new(),
        }
    }

    /// A peer is there, under new keys.
    pub fn join(&mut self) {
        self.fan.join(0, KBPS);
        self.fan.set(0, Some(Feed { source: Source::Main, layers: 2 }), PATH, KBPS);
    }

    /// It is gone.
    pub fn leave(&mut self) {
        self.fan.leave(0);
    }

    /// Takes a camera picture, if it is its turn at 24 a second.
    pub fn picture(&mut self, number: u64, captured: Micros, session: Option<SessionMicros>) {
        let interval = 1_000_000 / i64::from(LIVE.fps);
        let due = self.next_due.unwrap_or(captured);
        if captured.since(due) < -interval / 5 {
            return;
        }
        self.next_due = Some(due + interval);
        if self.fan.delay(Source::Main).is_some_and(|delay| delay > LONGEST_WAIT) {
            self.shed += 1;
            return;
        }
        let session = session.unwrap_or_default();
        self.card.draw(number, captured.as_secs_f64().rem_euclid(86_400.0), &mut self.native);
        self.scaler.fit(&self.native, &mut self.small);
        let force = std::mem::take(&mut self.keyframe_wanted);
        let mut data = Vec::new();
        payload::write(
            &FramePrefix { layer: 0, base: 0, disposable: false, captured: session },
            &mut data,
        );
        let pts = self.encoded as i64;
        let keyframe = self.encoder.encode(&self.small, pts, force, &mut data).unwrap().unwrap();
        assert!(keyframe || !force, "the encoder makes the keyframe that it is asked for");
        self.encoded += 1;
        self.keyframes += u64::from(keyframe);
        self.sent.insert(number, (session, self.small.clone()));
        if self.sent.len() > REMEMBERED {
            self.sent.pop_first();
        }
        self.fan.push(Source::Main, Box::new(OutFrame { keyframe, disposable: false, data }));
    }
}

/// One peer as the talk thread sees it.
pub struct TalkPeer {
    pub address: SocketAddr,
    sealer: MediaSealer,
    audio_base: Option<u64>,
}

impl TalkPeer {
    pub fn new(address: SocketAddr, sealer: MediaSealer) -> Self {
        Self { address, sealer, audio_base: None }
    }
}

/// The talk thread: the only sender of media.
pub struct Talk {
    framer: Framer,
    encoder: TalkEncoder,
    pub peer: Option<TalkPeer>,
    /// Audio packets that left.
    pub said: u64,
}

impl Talk {
    pub fn new() -> Self {
        Self {
            framer: Framer::new(),
            encoder: TalkEncoder::new(32_000).unwrap(),
            peer: None,
            said: 0,
        }
    }

    /// Encodes and sends every frame that a captured block made whole.
    pub fn talk(
        &mut self,
        block: &[f32],
        captured: Micros,
        timestamp: impl Fn(Micros) -> u32,
        out: &mut Outbox,
    ) {
        self.framer.push(block, captured);
        while let Some((number, pcm, captured)) = self.framer.pop() {
            let (mut opus, mut payload) = ([0; MAX_AUDIO_PAYLOAD], [0; MAX_AUDIO_PAYLOAD]);
            let n = self.encoder.encode(pcm, &mut opus).unwrap();
            let n = write_payload(&opus[..n], &mut payload);
            let Some(peer) = &mut self.peer else { continue };
            let base = *peer.audio_base.get_or_insert(number);
            let mut datagram = [0; MAX_DATAGRAM];
            let sequence = number - base;
            let stamp = timestamp(captured);
            let len = peer.sealer.audio(sequence, stamp, &payload[..n], &mut datagram);
            assert!(len > 0);
            self.said += 1;
            out.push((peer.address, datagram[..len].to_vec()));
        }
    }

    /// Lets video out, as much as may leave now.
    pub fn show(&mut self, live: &mut Live, now: Micros, timestamp: u32, out: &mut Outbox) {
        while let Some(next) = live.fan.next(now) {
            let peer = self.peer.as_mut().expect("pictures are for somebody");
            assert!(!next.again, "nobody asks for fragments");
            // 0/0 = not fragmented (PRD 5.4).
            let (id, total) =
                if next.fragments == 1 { (0, 0) } else { (next.fragment, next.fragments) };
            let (part, mut datagram) =
                (fragment(next.data, next.size, next.fragment), [0; MAX_DATAGRAM]);
            let (key, number, to) = (next.keyframe, next.sequence, &mut datagram);
            let len = peer.sealer.video(key, number, id, total, timestamp, part, to);
            assert!(len > 0);
            out.push((peer.address, datagram[..len].to_vec()));
            live.fan.sent(0, false, len + HEADERS, now);
        }
        while live.fan.spent().is_some() {}
        live.keyframe_wanted |= live.fan.wants_keyframe(0).is_some();
    }
}
