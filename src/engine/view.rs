//! One thread a peer: fragments to pictures, decoded, shown in the window, counted.
//!
//! Normal priority. A picture that is late or lacks a part is skipped, never shown broken; a lost
//! reference is answered by asking for a keyframe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ringbuf::HeapCons;

use super::receive::{Fragment, pop_fragment};
use super::shared::Shared;
use super::window::Window;
use crate::platform::clock;
use crate::units::ParticipantId;
use crate::video::assembly::Assembler;
use crate::video::image::I420;
use crate::video::payload;
use crate::video::testcard;
use crate::video::vp8::{Decoded, Vp8Decoder};

/// Wake-up without fragments.
const IDLE: Duration = Duration::from_millis(50);

/// The thread's state.
pub struct View {
    /// Whose picture.
    pub peer: ParticipantId,
    /// Shared counters.
    pub shared: Arc<Shared>,
    /// Fragments from the receive thread.
    pub fragments: HeapCons<Fragment>,
    /// Decoder.
    pub decoder: Vp8Decoder,
    /// Where pictures are shown.
    pub window: Arc<Window>,
    /// Asks the peer for a keyframe.
    pub ask_keyframe: Box<dyn Fn() + Send>,
    /// Asks the peer for fragments (bits) of a keyframe.
    pub ask_again: Box<dyn Fn(u64, u32) + Send>,
    /// The peer is gone.
    pub stop: Arc<AtomicBool>,
}

impl View {
    /// Runs until the peer is gone or the call stops.
    pub fn run(mut self) {
        let mut assembler = Assembler::layered();
        let mut picture = I420::black(2, 2);
        let index = usize::from(self.peer.0);
        while !self.shared.stopping() && !self.stop.load(Relaxed) {
            std::thread::park_timeout(IDLE);
            while let Some(f) = pop_fragment(&mut self.fragments) {
                let (key, seq) = (f.keyframe, f.sequence);
                assembler.push(key, seq, f.fragment, f.fragments, f.data(), f.arrival);
                let now = clock::now();
                while let Some(frame) = assembler.pop(now) {
                    let Ok((head, data)) = payload::parse(&frame.data) else { continue };
                    match self.decoder.decode(data, &mut picture) {
                        Ok(Decoded::Whole { .. }) => {}
                        Ok(Decoded::Hidden) => continue,
                        _ => {
                            assembler.reference_lost();
                            continue;
                        }
                    }
                    let Some(counters) = self.shared.peers.get(index) else { continue };
                    let video = &counters.video;
                    video.shown.fetch_add(1, Relaxed);
                    video.bytes.fetch_add(data.len() as u64, Relaxed);
                    video.width.store(picture.width, Relaxed);
                    video.height.store(picture.height, Relaxed);
                    if let Some(number) = testcard::read_number(&picture) {
                        video.counter.store(number + 1, Relaxed);
                    }
                    self.window.peer_picture(self.peer, &picture);
                    // 0 is what a sender without a clock says.
                    if let (Some(now), true) = (self.shared.session_now(), head.captured.0 != 0) {
                        video.delay.add(now.since(head.captured));
                    }
                }
            }
            let round_trip = self.shared.peers.get(index).map_or(0, |p| p.round_trip.load(Relaxed));
            if let Some((sequence, wanted)) = assembler.missing_fragments(round_trip, clock::now())
            {
                (self.ask_again)(sequence, wanted);
            }
            if assembler.wants_keyframe(clock::now()) {
                (self.ask_keyframe)();
            }
        }
    }
}
