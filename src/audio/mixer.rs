//! The speaker callback's whole work: take what has arrived for each peer, play it out, add up,
//! limit softly.
//!
//! [`Mixer`] belongs to the speaker callback and neither allocates, locks, logs, waits nor panics;
//! each [`PeerFeed`] belongs to the thread that receives. Between them lie one SPSC ring of packets
//! a peer, and atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::codec::CodecError;
use super::packet::{MAX_AUDIO_PAYLOAD, parse_payload};
use super::playout::{PlayoutBuffer, PlayoutStats, ReceivedAudio};
use super::reception::{Reception, ReceptionReport};
use crate::units::{Micros, SAMPLE_RATE};

/// Packets between two callbacks: 640 ms, of 2.5 ms frames half of it, more than any callback's
/// block (4,096 samples, 85 ms).
const RING: usize = 128;
/// Samples rendered at a time; longer blocks, a third of a second, go in parts.
const MAX_BLOCK: usize = 16_384;
/// Samples over which a leaving peer fades, and from silent to full a volume changes: 5 ms.
const FADE: f32 = 240.0;
/// Loudest that one peer can be made: +12 dB.
const LOUDEST: f32 = 4.0;
/// Who is asked whenever something is due shows what it did so often, microseconds.
const SHOWN: i64 = 10_000;
/// The limiter leaves everything below this as it is: -1 dBFS.
const LIMIT_FROM: f32 = 0.891_25;

struct Packet {
    epoch: u32,
    sequence: u64,
    arrival: Micros,
    ready: Micros,
    len: usize,
    bytes: [u8; MAX_AUDIO_PAYLOAD],
}

/// What both sides see of one slot.
struct Shared {
    /// Epoch x 2, + 1 while a peer has the slot. The epoch tells packets of the peer before.
    state: AtomicU32,
    stats: SharedStats,
    /// Packets for which the ring had no room.
    overflows: AtomicU64,
    /// How packets arrive, as [`ReceptionReport::to_bits`].
    report: AtomicU64,
    /// How loud the listener wants this peer, bits of an `f32`.
    volume: AtomicU32,
    /// The listener does not want to hear it at all.
    muted: AtomicBool,
}

impl Shared {
    /// How loud the peer is to be heard.
    fn volume(&self) -> f32 {
        // Acquire pairs with the Release in `stop`: who sees the next peer's settings sees that the
        // one before has left.
        if self.muted.load(Ordering::Acquire) {
            return 0.0;
        }
        f32::from_bits(self.volume.load(Ordering::Acquire))
    }
}

/// Makes a mixer for `slots` peers and the feed of each slot; all memory either will ever use.
///
/// Every slot begins empty: [`PeerFeed::restart`] puts a peer into it.
pub fn mixer(slots: usize) -> Result<(Mixer, Vec<PeerFeed>), CodecError> {
    let mut voices = Vec::with_capacity(slots);
    let mut feeds = Vec::with_capacity(slots);
    for _ in 0..slots {
        let (tx, rx) = HeapRb::new(RING).split();
        let shared = Arc::new(Shared {
            state: AtomicU32::new(0),
            stats: SharedStats::default(),
            overflows: AtomicU64::new(0),
            report: AtomicU64::new(0),
            volume: AtomicU32::new(1f32.to_bits()),
            muted: AtomicBool::new(false),
        });
        voices.push(Voice {
            rx,
            shared: Arc::clone(&shared),
            buffer: PlayoutBuffer::new()?,
            epoch: 0,
            gain: 0.0,
        });
        feeds.push(PeerFeed { tx, shared, reception: Reception::new(), epoch: 0, present: false });
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

/// Reads what one slot's playout buffer has done, and sets how loud it is, from any thread.
pub struct PlayoutGauge {
    shared: Arc<Shared>,
}

impl PlayoutGauge {
    /// As [`PeerFeed::stats`].
    pub fn read(&self) -> PlayoutStats {
        self.shared.stats.load()
    }

    /// How the peer's packets arrive, for the peer.
    pub fn report(&self) -> ReceptionReport {
        ReceptionReport::from_bits(self.shared.report.load(Ordering::Relaxed))
    }

    /// How loud the peer is to be heard here, as a factor: 0 mutes it, 4 (+12 dB) is the most. What
    /// others hear, and the peer itself, does not change.
    pub fn set_volume(&self, volume: f32) {
        let volume = if volume.is_finite() { volume.clamp(0.0, LOUDEST) } else { 1.0 };
        self.shared.volume.store(volume.to_bits(), Ordering::Relaxed);
    }

    /// Silences the peer here, or lets it be heard as loud as before.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// How loud the peer is heard: the factor of [`Self::set_volume`], or 0 while it is muted.
    pub fn heard_volume(&self) -> f32 {
        self.shared.volume()
    }
}

/// The receiving thread's side of one slot.
pub struct PeerFeed {
    tx: HeapProd<Packet>,
    shared: Arc<Shared>,
    reception: Reception,
    epoch: u32,
    present: bool,
}

impl PeerFeed {
    /// Hands a packet to the callback: its extended sequence number, when it arrived, what was in
    /// the seal. False, and counted, when it cannot be taken: nobody plays, or the slot is empty.
    pub fn push(&mut self, sequence: u64, arrival: Micros, payload: &[u8]) -> bool {
        self.push_ready(sequence, arrival, arrival, payload)
    }

    /// The same of a packet that is here a little after it arrived, at `ready`.
    pub fn push_ready(
        &mut self,
        sequence: u64,
        arrival: Micros,
        ready: Micros,
        payload: &[u8],
    ) -> bool {
        if !self.present || payload.len() > MAX_AUDIO_PAYLOAD {
            return false;
        }
        if let Ok(parsed) = parse_payload(payload) {
            self.reception.push(sequence, &parsed, arrival);
            let report = self.reception.report();
            self.shared.report.store(report.to_bits(), Ordering::Relaxed);
        }
        let mut packet = Packet {
            epoch: self.epoch,
            sequence,
            arrival,
            ready,
            len: payload.len(),
            bytes: [0; MAX_AUDIO_PAYLOAD],
        };
        packet.bytes[..payload.len()].copy_from_slice(payload);
        let taken = self.tx.try_push(packet).is_ok();
        if !taken {
            self.shared.overflows.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// A new peer takes the slot, or the old one begins a new stream: everything before is dropped.
    pub fn restart(&mut self) {
        // 31 bits: the epoch must survive its place beside the presence bit.
        self.epoch = (self.epoch + 1) & (u32::MAX >> 1);
        self.present = true;
        self.reception = Reception::new();
        self.shared.report.store(0, Ordering::Relaxed);
        self.publish();
    }

    /// The peer has left: the slot goes quiet with a short fade and takes nothing until `restart`.
    /// Whoever has it next is heard as loud as anybody.
    pub fn stop(&mut self) {
        self.present = false;
        self.publish();
        self.shared.volume.store(1f32.to_bits(), Ordering::Release);
        self.shared.muted.store(false, Ordering::Release);
    }

    /// What the slot's playout buffer has done, as of the last callback or up to 10 ms before.
    /// Counters never go back.
    pub fn stats(&self) -> PlayoutStats {
        self.shared.stats.load()
    }

    /// Packets for which the ring had no room because nobody played.
    pub fn overflows(&self) -> u64 {
        self.shared.overflows.load(Ordering::Relaxed)
    }

    /// A reader of the same figures for another thread.
    pub fn gauge(&self) -> PlayoutGauge {
        PlayoutGauge { shared: self.shared.clone() }
    }

    fn publish(&self) {
        let state = self.epoch << 1 | u32::from(self.present);
        self.shared.state.store(state, Ordering::Release);
    }
}

macro_rules! shared_stats {
    (floats: $($float:ident),*; counters: $($counter:ident),*) => {
        /// [`PlayoutStats`] in atomics: each figure is whole, two of them may be a callback apart.
        #[derive(Default)]
        struct SharedStats {
            $($float: AtomicU32,)*
            $($counter: AtomicU64,)*
        }

        impl SharedStats {
            fn store(&self, stats: &PlayoutStats) {
                $(self.$float.store(stats.$float.to_bits(), Ordering::Relaxed);)*
                $(self.$counter.store(stats.$counter, Ordering::Relaxed);)*
            }

            fn load(&self) -> PlayoutStats {
                PlayoutStats {
                    $($float: f32::from_bits(self.$float.load(Ordering::Relaxed)),)*
                    $($counter: self.$counter.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}
shared_stats! {
    floats: depth_ms, target_ms, held_ms, jitter_ms, level_db, rate_ppm;
    counters: received, lost, late, duplicates, rejected, concealed_samples, played_samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{FRAME, TalkEncoder, write_payload};

    /// A mixer with a peer in each slot.
    fn party(slots: usize) -> (Mixer, Vec<PeerFeed>) {
        let (mixer, mut feeds) = mixer(slots).unwrap();
        feeds.iter_mut().for_each(PeerFeed::restart);
        (mixer, feeds)
    }

    /// A peer that says a steady tone.
    struct Talker {
        encoder: TalkEncoder,
        hertz: f32,
        amplitude: f32,
        sequence: u64,
    }

    impl Talker {
        fn new(hertz: f32, amplitude: f32) -> Self {
            let encoder = TalkEncoder::new(96_000).unwrap();
            Self { encoder, hertz, amplitude, sequence: 0 }
        }

        fn say(&mut self, feed: &mut PeerFeed, arrival: Micros) -> bool {
            let from = self.sequence as f32 * FRAME as f32;
            let pcm: [f32; FRAME] = std::array::from_fn(|i| {
                let phase = (from + i as f32) * self.hertz / 48_000.0;
                (phase.fract() * std::f32::consts::TAU).sin() * self.amplitude
            });
            let (mut frame, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
            let len = self.encoder.encode(&pcm, &mut frame).unwrap();
            let len = write_payload(&frame[..len], &mut payload);
            self.sequence += 1;
            feed.push(self.sequence - 1, arrival, &payload[..len])
        }
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    /// Runs `seconds` of call; what was heard.
    fn call(
        mixer: &mut Mixer,
        feeds: &mut [PeerFeed],
        talkers: &mut [Talker],
        from: i64,
        frames: i64,
    ) -> Vec<f32> {
        let mut heard = Vec::new();
        for n in from..from + frames {
            let now = Micros(n * 5_000);
            for (talker, feed) in talkers.iter_mut().zip(feeds.iter_mut()) {
                talker.say(feed, now);
            }
            let mut block = [0.0; FRAME];
            mixer.render(&mut block, now + 1_000);
            heard.extend_from_slice(&block);
        }
        heard
    }

    #[test]
    fn peers_add_up_and_four_loud_ones_stay_below_full_scale() {
        let (mut mixer, mut feeds) = party(3);
        let mut talkers: Vec<_> =
            [300.0, 500.0, 700.0].map(|f| Talker::new(f, 0.2)).into_iter().collect();
        let heard = call(&mut mixer, &mut feeds, &mut talkers, 0, 200);
        let expected = (3.0f32 * 0.5 * 0.2 * 0.2).sqrt();
        assert!((rms(&heard[24_000..]) / expected - 1.0).abs() < 0.05);
        assert!(feeds.iter().all(|f| f.stats().received == 200 && f.stats().lost == 0));
        assert!((feeds[0].stats().level_db + 17.0).abs() < 0.5, "{:?}", feeds[0].stats());

        for talker in &mut talkers {
            talker.amplitude = 0.9;
        }
        let heard = call(&mut mixer, &mut feeds, &mut talkers, 200, 200);
        let peak = heard.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(peak > 0.95 && peak <= 1.0, "{peak}");
    }

    #[test]
    fn a_block_longer_than_is_rendered_at_a_time_is_heard_without_a_gap() {
        let (mut mixer, mut feeds) = party(1);
        let mut talker = Talker::new(400.0, 0.3);
        let (mut said, mut heard) = (0, Vec::new());
        for n in 1..20i64 {
            let now = Micros(n * 12_000 * 1_000_000 / 48_000);
            while said * 5_000 <= now.0 {
                talker.say(&mut feeds[0], Micros(said * 5_000));
                said += 1;
            }
            let mut block = [0.0; 12_000];
            mixer.render(&mut block, now);
            heard.extend_from_slice(&block);
        }
        assert_eq!(feeds[0].stats().concealed_samples, 0);
        assert!((rms(&heard[24_000..]) - 0.3 / 2f32.sqrt()).abs() < 0.02);
    }

    #[test]
    fn both_sides_can_be_moved_to_their_threads() {
        fn is_send<T: Send>(_: &T) {}
        let (mixer, feeds) = mixer(1).unwrap();
        is_send(&mixer);
        is_send(&feeds);
    }

    #[test]
    fn four_talkers_are_never_clipped_and_loudness_does_not_pump() {
        let (mut mixer, mut feeds) = party(4);
        let mut talkers: Vec<_> =
            [300.0, 410.0, 530.0, 700.0].map(|f| Talker::new(f, 0.5)).into_iter().collect();
        // One alone, then all four, then that one alone again.
        let alone = call(&mut mixer, &mut feeds[..1], &mut talkers[..1], 0, 200);
        let all = call(&mut mixer, &mut feeds, &mut talkers, 200, 200);
        let again = call(&mut mixer, &mut feeds[..1], &mut talkers[..1], 400, 200);
        let peak = |heard: &[f32]| heard.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(peak(&all[9_600..]) > 0.95, "four of them do reach the limit: {}", peak(&all));
        assert!(peak(&all) <= 1.0);
        // Where the sum lies below the limit it is the sum: nothing turns the rest down. So the
        // loudness of one alone is the same before and right after, and untouched.
        let (before, after) = (rms(&alone[24_000..]), rms(&again[12_000..]));
        assert!((before / (0.5 / 2f32.sqrt()) - 1.0).abs() < 0.02, "{before}");
        assert!((after / before - 1.0).abs() < 0.005, "{before} before, {after} after");
        let tens = again[12_000..].chunks_exact(4_800).map(rms).collect::<Vec<_>>();
        assert!(tens.iter().all(|l| (l / before - 1.0).abs() < 0.01), "{tens:?}");
    }

    #[test]
    fn a_card_that_is_written_when_it_must_be_is_woken_once_a_frame_for_each_voice_at_most() {
        // Frames come 1 ms before their turn; the voices' turns lie where they like.
        for (phases, most) in [
            (&[0][..], 201),
            (&[0, 200][..], 401),
            // One that is here already at another voice's turn needs no turn of its own.
            (&[0, 20, 44][..], 301),
            (&[0, 100, 110][..], 401),
        ] {
            let (mut mixer, mut feeds) = mixer(4).unwrap();
            let mut talkers: Vec<_> = phases.iter().map(|_| Talker::new(400.0, 0.1)).collect();
            feeds.iter_mut().take(phases.len()).for_each(PeerFeed::restart);
            let (mut place, mut asked) = (0i64, 0);
            let at = |sample: i64| Micros(sample * 1_000_000 / 48_000);
            while place < 5 * 48_000 {
                for ((talker, feed), phase) in talkers.iter_mut().zip(&mut feeds).zip(phases) {
                    while talker.sequence as i64 * 240 + phase <= place {
                        talker.say(feed, at(talker.sequence as i64 * 240 + phase));
                    }
                }
                let mut out = [0.0; 240];
                place += mixer.render_due(&mut out, 4, at(place)) as i64;
                asked += i32::from(place >= 4 * 48_000);
            }
            assert!(asked <= most, "{asked} for {phases:?}");
            assert!(feeds.iter().all(|f| f.stats().concealed_samples == 0));
        }
    }

    #[test]
    fn the_limiter_is_transparent_below_minus_1_dbfs_and_monotonic_above() {
        for n in 0..=890 {
            let x = n as f32 / 1_000.0;
            assert_eq!(limit(x), x);
            assert_eq!(limit(-x), -x);
        }
        let mut last = 0.0;
        for n in 890..8_000 {
            let y = limit(n as f32 / 1_000.0);
            assert!(y >= last && y <= 1.0);
            last = y;
        }
    }

    #[test]
    fn who_leaves_fades_within_5_ms_and_the_slot_serves_the_next() {
        let (mut mixer, mut feeds) = party(1);
        let mut first = [Talker::new(400.0, 0.3)];
        call(&mut mixer, &mut feeds, &mut first, 0, 100);
        feeds[0].stop();
        assert!(!first[0].say(&mut feeds[0], Micros(500_000)), "an empty slot takes nothing");
        let after = call(&mut mixer, &mut feeds, &mut [], 100, 10);
        assert!(rms(&after[..60]) > 0.05, "a fade, not a cut");
        assert_eq!(rms(&after[FRAME..]), 0.0);

        feeds[0].restart();
        let mut second = [Talker::new(600.0, 0.3)];
        let heard = call(&mut mixer, &mut feeds, &mut second, 110, 100);
        assert!((rms(&heard[12_000..]) - 0.3 / 2f32.sqrt()).abs() < 0.02);
    }

    #[test]
    fn a_peer_is_heard_as_loud_as_the_listener_wants_and_muting_does_not_click() {
        let (mut mixer, mut feeds) = party(1);
        let gauge = feeds[0].gauge();
        let mut talker = [Talker::new(400.0, 0.1)];
        let heard = call(&mut mixer, &mut feeds, &mut talker, 0, 200);
        let full = rms(&heard[24_000..]);
        let mut at = 200;
        for (volume, expected) in [(0.5, 0.5), (0.0, 0.0), (2.0, 2.0), (f32::NAN, 1.0), (9.0, 4.0)]
        {
            gauge.set_volume(volume);
            let heard = call(&mut mixer, &mut feeds, &mut talker, at, 40);
            at += 40;
            let steepest = heard.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < 0.1 * 0.0524 * 4.0 + 0.01, "{volume}: {steepest}");
            assert!((rms(&heard[4_800..]) - full * expected).abs() < 0.01, "{volume}");
        }
        gauge.set_volume(0.5);
        gauge.set_muted(true);
        let muted = call(&mut mixer, &mut feeds, &mut talker, at, 40);
        assert_eq!((rms(&muted[4_800..]), gauge.heard_volume()), (0.0, 0.0));
        gauge.set_muted(false);
        let again = call(&mut mixer, &mut feeds, &mut talker, at + 40, 40);
        assert!((rms(&again[4_800..]) - full * 0.5).abs() < 0.01, "as loud as before");
        feeds[0].restart();
        assert_eq!(gauge.heard_volume(), 0.5, "the same peer under new keys");
        feeds[0].stop();
        feeds[0].restart();
        assert_eq!(gauge.heard_volume(), 1.0, "the next peer has its own volume");
    }

    #[test]
    fn a_feed_reports_what_its_peer_lost() {
        let (_, mut feeds) = party(1);
        let gauge = feeds[0].gauge();
        let mut talker = Talker::new(400.0, 0.1);
        for n in 0..2_000 {
            if n % 10 == 3 {
                talker.sequence += 1;
            } else {
                talker.say(&mut feeds[0], Micros(n * 5_000));
            }
        }
        assert!((95..=105).contains(&gauge.report().loss_10s), "{:?}", gauge.report());
        feeds[0].restart();
        assert_eq!(gauge.report(), ReceptionReport::default());
    }

    #[test]
    fn packets_of_the_peer_before_are_not_played_to_the_next() {
        let (mut mixer, mut feeds) = party(1);
        let mut first = Talker::new(400.0, 0.3);
        for n in 0..20 {
            first.say(&mut feeds[0], Micros(n * 5_000));
        }
        feeds[0].restart();
        let heard = call(&mut mixer, &mut feeds, &mut [], 20, 20);
        assert_eq!(rms(&heard), 0.0);
        assert_eq!(feeds[0].stats().received, 0);
    }

    #[test]
    fn a_full_ring_refuses_and_counts_and_playing_goes_on_later() {
        let (mut mixer, mut feeds) = party(1);
        let mut talker = [Talker::new(400.0, 0.3)];
        for n in 0..200 {
            assert_eq!(talker[0].say(&mut feeds[0], Micros(n * 5_000)), n < RING as i64);
        }
        assert_eq!(feeds[0].overflows(), 72);
        let heard = call(&mut mixer, &mut feeds, &mut talker, 200, 200);
        assert!((rms(&heard[24_000..]) - 0.3 / 2f32.sqrt()).abs() < 0.02);
        assert!(feeds[0].stats().depth_ms < 30.0);
    }
}
