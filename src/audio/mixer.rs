//! The speaker callback's whole work: take what has arrived for each peer, play it out, add up,
//! limit softly.
//!
//! [`Mixer`] belongs to the speaker callback and neither allocates, locks, logs, waits nor panics;
//! each [`PeerFeed`] belongs to the thread that receives (`feed`). Between them lie one SPSC ring
//! of packets a peer, and atomics.

mod feed;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringbuf::HeapCons;
use ringbuf::traits::Consumer;

use super::codec::CodecError;
use super::packet::MAX_AUDIO_PAYLOAD;
use super::playout::{PlayoutBuffer, ReceivedAudio};
use crate::units::{Micros, SAMPLE_RATE};

use feed::{Packet, Shared, slot};
pub use feed::{PeerFeed, PlayoutGauge};

/// Samples rendered at a time; longer blocks, a third of a second, go in parts.
const MAX_BLOCK: usize = 16_384;
/// Samples over which a leaving peer fades, and from silent to full a volume changes: 5 ms.
const FADE: f32 = 240.0;
/// Who is asked whenever something is due shows what it did so often, microseconds.
const SHOWN: i64 = 10_000;
/// The limiter leaves everything below this as it is: -1 dBFS.
const LIMIT_FROM: f32 = 0.891_25;

/// Makes a mixer for `slots` peers and the feed of each slot; all memory either will ever use.
///
/// Every slot begins empty: [`PeerFeed::restart`] puts a peer into it.
pub fn mixer(slots: usize) -> Result<(Mixer, Vec<PeerFeed>), CodecError> {
    let mut voices = Vec::with_capacity(slots);
    let mut feeds = Vec::with_capacity(slots);
    for _ in 0..slots {
        let (feed, rx, shared) = slot();
        voices.push(Voice { rx, shared, buffer: PlayoutBuffer::new()?, epoch: 0, gain: 0.0 });
        feeds.push(feed);
    }
    let scratch = vec![0.0; MAX_BLOCK].into_boxed_slice();
    Ok((Mixer { voices: voices.into_boxed_slice(), scratch, shown: Micros(0) }, feeds))
}

struct Voice {
    rx: HeapCons<Packet>,
    shared: Arc<Shared>,
    buffer: PlayoutBuffer,
    epoch: u32,
    gain: f32,
}

/// The callback's side.
pub struct Mixer {
    voices: Box<[Voice]>,
    scratch: Box<[f32]>,
    // When the statistics were shown to other threads.
    shown: Micros,
}

impl Mixer {
    /// Fills `out` (mono, 48 kHz, any length) with the sum of all peers. `now` is when the callback
    /// was entered, on the clock of the arrivals.
    pub fn render(&mut self, out: &mut [f32], now: Micros) {
        out.fill(0.0);
        for voice in &mut self.voices {
            voice.receive();
            let mut after = out.len();
            for part in out.chunks_mut(MAX_BLOCK) {
                // A part is due that much before the end of the whole block.
                after -= part.len();
                let due = now - after as i64 * 1_000_000 / i64::from(SAMPLE_RATE);
                let scratch = &mut self.scratch[..part.len()];
                voice.add(part, scratch, |buffer, out| buffer.pull(out, due));
            }
            voice.shared.stats.store(&voice.buffer.stats());
        }
        for sample in out.iter_mut() {
            *sample = limit(*sample);
        }
    }

    /// The same for who asks no sooner than the first sample is needed: fills at least `least`
    /// samples of `out`, and beyond those as many as nothing that arrives can change any more.
    /// Returns how many.
    pub fn render_due(&mut self, out: &mut [f32], least: usize, now: Micros) -> usize {
        let longest = out.len().min(MAX_BLOCK);
        let least = least.min(longest);
        let mut len = longest;
        out[..longest].fill(0.0);
        for voice in &mut self.voices {
            voice.receive();
            let (due, scratch) = (&mut out[..least], &mut self.scratch[..least]);
            voice.add(due, scratch, |buffer, out| buffer.pull_on_time(out, now));
            len = len.min(least.saturating_add(voice.settled()));
        }
        // Asked some hundred times a second, and each time of each voice they would cost more than
        // anybody sees of them.
        let show = now.since(self.shown) >= SHOWN;
        if show {
            self.shown = now;
        }
        for voice in &mut self.voices {
            let (more, scratch) = (&mut out[least..len], &mut self.scratch[least..len]);
            voice.add(more, scratch, |buffer, out| buffer.go_on(out));
            if show {
                voice.shared.stats.store(&voice.buffer.stats());
            }
        }
        for sample in &mut out[..len] {
            *sample = limit(*sample);
        }
        len
    }
}

impl Voice {
    fn receive(&mut self) {
        self.follow_epoch();
        while let Some(packet) = self.rx.try_pop() {
            if packet.epoch != self.epoch {
                // Either left over from the peer before, or the slot changed hands just now.
                self.follow_epoch();
                if packet.epoch != self.epoch {
                    continue;
                }
            }
            let payload = &packet.bytes[..packet.len.min(MAX_AUDIO_PAYLOAD)];
            let received = ReceivedAudio { sequence: packet.sequence, payload };
            self.buffer.push_ready(&received, packet.arrival, packet.ready);
        }
    }

    fn follow_epoch(&mut self) {
        // Acquire pairs with the feed's Release: who sees the epoch sees what came before it.
        let epoch = self.shared.state.load(Ordering::Acquire) >> 1;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.buffer.reset();
            self.gain = 1.0;
        }
    }

    /// Samples that can be given out without another look at what has come.
    fn settled(&self) -> usize {
        if self.is_away() { usize::MAX } else { self.buffer.settled() }
    }

    /// Nobody has the slot, and who had it has faded.
    fn is_away(&self) -> bool {
        self.gain == 0.0 && self.shared.state.load(Ordering::Acquire) & 1 == 0
    }

    /// Adds to `out` what `pull` gives.
    fn add(
        &mut self,
        out: &mut [f32],
        scratch: &mut [f32],
        pull: impl FnOnce(&mut PlayoutBuffer, &mut [f32]),
    ) {
        // Before the presence: a muted peer must not be heard while it leaves.
        let volume = self.shared.volume();
        let present = self.shared.state.load(Ordering::Acquire) & 1 == 1;
        if !present && self.gain == 0.0 {
            return;
        }
        let wanted = if present { volume } else { 0.0 };
        // Also of who is muted, so that unmuting finds the place and the depth.
        pull(&mut self.buffer, scratch);
        if self.gain == wanted {
            for (sum, sample) in out.iter_mut().zip(scratch) {
                *sum += *sample * wanted;
            }
            return;
        }
        for (sum, sample) in out.iter_mut().zip(scratch) {
            self.gain += (wanted - self.gain).clamp(-1.0 / FADE, 1.0 / FADE);
            *sum += *sample * self.gain;
        }
        if self.gain == 0.0 && !present {
            self.buffer.reset();
        }
    }
}

/// Transparent up to -1 dBFS, then ever flatter, never beyond full scale.
fn limit(sample: f32) -> f32 {
    let amplitude = sample.abs();
    if amplitude <= LIMIT_FROM {
        return sample;
    }
    let room = 1.0 - LIMIT_FROM;
    (LIMIT_FROM + room * ((amplitude - LIMIT_FROM) / room).tanh()).copysign(sample)
}

#[cfg(test)]
mod tests;
