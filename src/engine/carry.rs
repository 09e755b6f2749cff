//! What we carry from one member to another that reach each other no other way: from the receive thread
//! to the socket.
//!
//! Audio goes on at once, and so does what is short. Pictures go through the talk thread, which lets
//! them out as it does its own: behind all audio, one packet at a time, when the own uplink is believed
//! to be free ([`crate::video::pacer::Line`]). So neither the carrier's sound nor what it carries waits
//! for a keyframe of others. Both ends are real-time: nothing is allocated, nobody waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::talk::IP_UDP_HEADERS;
use crate::net::socket::{CallSocket, Class};
use crate::protocol::header::MAX_DATAGRAM;

/// Packets that wait at most: what [`crate::protocol::congestion::RelayPolice`] lets through at once
/// in each of six directions, and some more.
const WAITING: usize = 48;
/// Longer datagrams than this wait for the line, bytes: heartbeats, stamps and reports do not.
const SHORT: usize = 300;

/// One datagram on its way through us.
struct Carried {
    to: SocketAddr,
    len: u16,
    data: [u8; MAX_DATAGRAM],
}

/// The receive thread's end.
pub struct CarryIn {
    ring: HeapProd<Carried>,
    at_once: Arc<AtomicU64>,
}

/// The talk thread's end.
pub struct CarryOut {
    ring: HeapCons<Carried>,
    at_once: Arc<AtomicU64>,
    counted: u64,
}

/// Both ends.
pub fn lane() -> (CarryIn, CarryOut) {
    let (ring, end) = HeapRb::new(WAITING).split();
    let at_once = Arc::new(AtomicU64::new(0));
    let out = CarryOut { ring: end, at_once: at_once.clone(), counted: 0 };
    (CarryIn { ring, at_once }, out)
}

impl CarryIn {
    /// Passes a datagram on, or hands it over to wait for its turn. What finds no room is as lost on the
    /// way as any other.
    pub fn pass(&mut self, socket: &CallSocket, to: SocketAddr, datagram: &[u8], audio: bool) {
        if audio || datagram.len() <= SHORT {
            let class = if audio { Class::Audio } else { Class::Other };
            if let Ok(true) = socket.send(to, datagram, class) {
                self.at_once.fetch_add(datagram.len() as u64 + IP_UDP_HEADERS, Relaxed);
            }
            return;
        }
        let mut carried = Carried { to, len: datagram.len() as u16, data: [0; MAX_DATAGRAM] };
        if let Some(place) = carried.data.get_mut(..datagram.len()) {
            place.copy_from_slice(datagram);
            let _ = self.ring.try_push(carried);
        }
    }
}

impl CarryOut {
    /// Bytes that have gone on at once since this was asked last, with all headers.
    pub fn gone_on(&mut self) -> usize {
        let all = self.at_once.load(Relaxed);
        let news = all - std::mem::replace(&mut self.counted, all);
        news as usize
    }

    /// Whether something waits.
    pub fn waits(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Sends the one that has waited the longest; its bytes with all headers.
    pub fn send(&mut self, socket: &CallSocket) -> Option<usize> {
        let carried = self.ring.try_pop()?;
        let len = usize::from(carried.len);
        // As lost on the way as any other.
        let _ = socket.send(carried.to, &carried.data[..len], Class::Other);
        Some(len + IP_UDP_HEADERS as usize)
    }

    /// Forgets all that waits.
    pub fn drop_all(&mut self) {
        while self.ring.try_pop().is_some() {}
    }
}
