//! The receiving side of one slot of the mixer: what is handed to the speaker's callback, and what
//! can be read and set of it from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ringbuf::traits::{Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::audio::packet::{MAX_AUDIO_PAYLOAD, parse_payload};
use crate::audio::playout::PlayoutStats;
use crate::audio::reception::{Reception, ReceptionReport};
use crate::units::Micros;

/// Packets between two callbacks: 640 ms, of 2.5 ms frames half of it, more than any callback's
/// block (4,096 samples, 85 ms).
pub(super) const RING: usize = 128;
/// Loudest that one peer can be made: +12 dB.
const LOUDEST: f32 = 4.0;

pub(super) struct Packet {
    pub epoch: u32,
    pub sequence: u64,
    pub arrival: Micros,
    pub ready: Micros,
    pub len: usize,
    pub bytes: [u8; MAX_AUDIO_PAYLOAD],
}

/// What both sides see of one slot.
pub(super) struct Shared {
    /// Epoch x 2, + 1 while a peer has the slot. The epoch tells packets of the peer before.
    pub state: AtomicU32,
    pub stats: SharedStats,
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
    pub fn volume(&self) -> f32 {
        // Acquire pairs with the Release in `stop`: who sees the next peer's settings sees that the
        // one before has left.
        if self.muted.load(Ordering::Acquire) {
            return 0.0;
        }
        f32::from_bits(self.volume.load(Ordering::Acquire))
    }
}

/// Both sides of a slot that nobody has: the callback's are the packets and what is shared.
pub(super) fn slot() -> (PeerFeed, HeapCons<Packet>, Arc<Shared>) {
    let (tx, rx) = HeapRb::new(RING).split();
    let shared = Arc::new(Shared {
        state: AtomicU32::new(0),
        stats: SharedStats::default(),
        overflows: AtomicU64::new(0),
        report: AtomicU64::new(0),
        volume: AtomicU32::new(1f32.to_bits()),
        muted: AtomicBool::new(false),
    });
    let feed = PeerFeed {
        tx,
        shared: Arc::clone(&shared),
        reception: Reception::new(),
        epoch: 0,
        present: false,
    };
    (feed, rx, shared)
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
        pub(super) struct SharedStats {
            $($float: AtomicU32,)*
            $($counter: AtomicU64,)*
        }

        impl SharedStats {
            pub fn store(&self, stats: &PlayoutStats) {
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
