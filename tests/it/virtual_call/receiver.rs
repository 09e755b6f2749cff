//! One party's receiving side: what the speaker plays and what the window shows.

use hyperzoom::audio::{Mixer, PeerFeed, PlayoutStats, mixer};
use hyperzoom::units::{MAX_PARTICIPANTS, Micros, ParticipantId, SessionMicros};
use hyperzoom::video::assembly::Assembler;
use hyperzoom::video::image::I420;
use hyperzoom::video::payload;
use hyperzoom::video::testcard;
use hyperzoom::video::vp8::{Decoded, Vp8Decoder};

/// The speaker: a card that pulls blocks, by its own crystal.
pub struct Ear {
    mixer: Mixer,
    pub feeds: Vec<PeerFeed>,
    block: Vec<f32>,
    start: Micros,
    sample: f64,
    /// Everything that was played.
    pub heard: Vec<f32>,
    pub due: Micros,
    /// After each callback while the peer is there: the peer's figures.
    pub trace: Vec<PlayoutStats>,
}

impl Ear {
    pub fn new(period: usize, start: Micros, card_ppm: f64) -> Self {
        let (mixer, feeds) = mixer(MAX_PARTICIPANTS).unwrap();
        Self {
            mixer,
            feeds,
            block: vec![0.0; period],
            start,
            sample: 1e6 / 48_000.0 * (1.0 - card_ppm * 1e-6),
            heard: Vec::new(),
            due: start,
            trace: Vec::new(),
        }
    }

    /// Local time at which a sample is played, when the card asks for it just in time.
    pub fn played(&self, position: f64) -> Micros {
        self.start + (position * self.sample).round() as i64
    }

    /// The callback, entered at `now`; the next one comes `late` microseconds after its time.
    pub fn callback(&mut self, now: Micros, late: i64, peer: Option<ParticipantId>) {
        self.mixer.render(&mut self.block, now);
        self.heard.extend_from_slice(&self.block);
        self.due = self.played(self.heard.len() as f64) + late;
        if let Some(peer) = peer {
            self.trace.push(self.feeds[usize::from(peer.0)].stats());
        }
    }
}

/// A picture in the window.
pub struct Shown {
    /// Read from its code.
    pub number: Option<u64>,
    /// As its sender said.
    pub captured: SessionMicros,
    pub image: I420,
}

/// The peer's view: fragments to pictures.
pub struct Eye {
    assembler: Assembler,
    decoder: Vp8Decoder,
    picture: I420,
    /// Shown and not yet looked at.
    pub fresh: Vec<Shown>,
    /// When the window's thread looks without being woken.
    pub due: Micros,
}

/// The view's wake-up without fragments, microseconds.
const IDLE: i64 = 50_000;

impl Eye {
    pub fn new(now: Micros) -> Self {
        Self {
            assembler: Assembler::new(),
            decoder: Vp8Decoder::new().unwrap(),
            picture: I420::black(2, 2),
            fresh: Vec::new(),
            due: now + IDLE,
        }
    }

    /// Takes a fragment and shows what has become whole. Gives how many pictures the decoder
    /// refused or flagged although the assembler took them for whole and in order.
    pub fn fragment(
        &mut self,
        (keyframe, sequence): (bool, u64),
        (fragment, fragments): (u8, u8),
        data: &[u8],
        now: Micros,
    ) -> u64 {
        let mut damaged = 0;
        self.assembler.push(keyframe, sequence, fragment, fragments, data, now);
        while let Some(frame) = self.assembler.pop(now) {
            let (head, data) = payload::parse(&frame.data).unwrap();
            match self.decoder.decode(data, &mut self.picture) {
                Ok(Decoded::Whole { keyframe }) => {
                    assert_eq!(keyframe, frame.keyframe);
                    let number = testcard::read_number(&self.picture);
                    let (captured, image) = (head.captured, self.picture.clone());
                    self.fresh.push(Shown { number, captured, image });
                }
                Ok(Decoded::Hidden) => {}
                Ok(Decoded::Damaged) | Err(_) => {
                    damaged += 1;
                    self.assembler.reference_lost();
                }
            }
        }
        damaged
    }

    /// Whether a keyframe must be asked for now.
    pub fn look(&mut self, now: Micros) -> bool {
        self.due = now + IDLE;
        self.assembler.wants_keyframe(now)
    }
}
