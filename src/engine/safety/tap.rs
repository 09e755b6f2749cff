//! The receive thread's end of the safety tracks: a ring of bytes, packets one behind the other.
//!
//! The tap belongs to the receive thread: it neither allocates, locks nor waits. What finds no room
//! is counted, and lost to the track.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::audio::packet::{MAX_AUDIO_PAYLOAD, parse_payload};
use crate::units::{MAX_PARTICIPANTS, ParticipantId, SessionMicros};

/// Bytes of the ring: of three peers that send 200 packets a second each, without copies, some eight
/// seconds.
const RING: usize = 256 << 10;
/// Payload length, stream, sequence, stamp, arrival.
const HEAD: usize = 2 + 4 + 8 + 4 + 8;

/// See the module.
pub struct SafetyTap {
    ring: HeapProd<u8>,
    missed: Arc<AtomicU64>,
    /// By participant id: the number of its stream; 0 for none.
    streams: [u32; MAX_PARTICIPANTS],
    record: [u8; HEAD + MAX_AUDIO_PAYLOAD],
}

/// The writing thread's end.
pub struct Packets {
    ring: HeapCons<u8>,
    missed: Arc<AtomicU64>,
}

/// One packet out of the ring.
pub struct Packet {
    /// Which stream.
    pub stream: u32,
    /// The newest frame's number.
    pub sequence: u64,
    /// The header's stamp.
    pub timestamp_ms: u32,
    /// When it came.
    pub arrival: SessionMicros,
    len: usize,
    payload: [u8; MAX_AUDIO_PAYLOAD],
}

impl Packet {
    /// What lay inside the seal.
    pub fn payload(&self) -> &[u8] {
        &self.payload[..self.len]
    }

    /// Its frames are 2.5 ms long; `None` when it is no packet of sound.
    pub fn half_frames(&self) -> Option<bool> {
        parse_payload(self.payload()).ok().map(|payload| payload.half_frames)
    }
}

/// A ring's two ends.
pub fn tap() -> (SafetyTap, Packets) {
    let (ring, end) = HeapRb::new(RING).split();
    let missed = Arc::new(AtomicU64::new(0));
    let tap = SafetyTap {
        ring,
        missed: missed.clone(),
        streams: [0; MAX_PARTICIPANTS],
        record: [0; HEAD + MAX_AUDIO_PAYLOAD],
    };
    (tap, Packets { ring: end, missed })
}

impl SafetyTap {
    /// From now on a peer's packets are of that stream; 0 for none.
    pub fn listen(&mut self, peer: ParticipantId, stream: u32) {
        if let Some(slot) = self.streams.get_mut(usize::from(peer.0)) {
            *slot = stream;
        }
    }

    /// A packet has come.
    pub fn push(
        &mut self,
        peer: ParticipantId,
        sequence: u64,
        timestamp_ms: u32,
        arrival: SessionMicros,
        payload: &[u8],
    ) {
        let Some(&stream) = self.streams.get(usize::from(peer.0)).filter(|stream| **stream > 0)
        else {
            return;
        };
        let length = HEAD + payload.len();
        let Some(record) = self.record.get_mut(..length) else { return };
        // All at once: the other end never sees a part.
        if self.ring.vacant_len() < length {
            self.missed.fetch_add(1, Relaxed);
            return;
        }
        let (head, body) = record.split_at_mut(HEAD);
        head[0..2].copy_from_slice(&(payload.len() as u16).to_le_bytes());
        head[2..6].copy_from_slice(&stream.to_le_bytes());
        head[6..14].copy_from_slice(&sequence.to_le_bytes());
        head[14..18].copy_from_slice(&timestamp_ms.to_le_bytes());
        head[18..26].copy_from_slice(&arrival.0.to_le_bytes());
        body.copy_from_slice(payload);
        self.ring.push_slice(record);
    }
}

impl Packets {
    /// The next packet.
    pub fn pop(&mut self) -> Option<Packet> {
        let mut head = [0; HEAD];
        if self.ring.pop_slice(&mut head) < HEAD {
            return None;
        }
        let field = |at: usize, bytes: usize| {
            let mut word = [0; 8];
            word[..bytes].copy_from_slice(&head[at..at + bytes]);
            u64::from_le_bytes(word)
        };
        let mut packet = Packet {
            stream: field(2, 4) as u32,
            sequence: field(6, 8),
            timestamp_ms: field(14, 4) as u32,
            arrival: SessionMicros(field(18, 8) as i64),
            len: (field(0, 2) as usize).min(MAX_AUDIO_PAYLOAD),
            payload: [0; MAX_AUDIO_PAYLOAD],
        };
        self.ring.pop_slice(&mut packet.payload[..packet.len]);
        Some(packet)
    }

    /// Packets that found no room so far.
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_whole_and_what_finds_no_room_is_counted() {
        let (mut tap, mut packets) = tap();
        let peer = ParticipantId(2);
        tap.push(peer, 1, 2, SessionMicros(3), &[9; 9]);
        assert!(packets.pop().is_none(), "nobody listens to it yet");
        tap.listen(peer, 7);
        let mut sent = 0u64;
        assert_no_alloc::assert_no_alloc(|| {
            while tap.missed.load(Relaxed) == 0 {
                let length = sent as usize % MAX_AUDIO_PAYLOAD;
                tap.push(
                    peer,
                    sent,
                    2,
                    SessionMicros(-3),
                    &[sent as u8; MAX_AUDIO_PAYLOAD][..length],
                );
                sent += 1;
            }
        });
        sent -= 1;
        assert!(sent > 400, "{sent}");
        for n in 0..sent {
            let packet = packets.pop().expect("it went in");
            assert_eq!((packet.stream, packet.sequence, packet.timestamp_ms), (7, n, 2));
            assert_eq!(packet.arrival, SessionMicros(-3));
            assert_eq!(packet.payload(), vec![n as u8; n as usize % MAX_AUDIO_PAYLOAD]);
        }
        assert!(packets.pop().is_none() && packets.missed() == 1);
        tap.listen(peer, 0);
        tap.push(peer, 1, 2, SessionMicros(3), &[9; 9]);
        assert!(packets.pop().is_none());
    }
}
