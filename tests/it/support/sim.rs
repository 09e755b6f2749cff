//! A datagram network in virtual time: delay, jitter, loss, duplicates, reordering, moves.
//!
//! Pure and seeded: the same seed and the same calls give the same network. It knows nothing of
//! what the datagrams mean.

#![allow(dead_code, reason = "each test uses the part that it needs")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;

use hyperzoom::units::Micros;

/// A small generator for tests (SplitMix64), so that no test depends on another crate's stream.
#[derive(Clone)]
pub struct SimRng(u64);

impl SimRng {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to just below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of that probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// One direction of one path.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Shortest way through, microseconds.
    pub delay_micros: i64,
    /// Up to so much is added, evenly spread, microseconds.
    pub jitter_micros: i64,
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
    /// Share of datagrams that later ones may overtake; the others keep their order.
    pub reorder: f64,
    /// Nothing comes through.
    pub down: bool,
}

impl Link {
    /// A clean path of that delay.
    pub const fn clean(delay_micros: i64) -> Self {
        Self {
            delay_micros,
            jitter_micros: 0,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            down: false,
        }
    }
}

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When, on the network's clock.
    pub at: Micros,
    /// The sender's address as it is seen at the receiver.
    pub from: SocketAddr,
    /// Whose socket gets it.
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

/// How many datagrams did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounters {
    pub sent: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub delivered: u64,
}

/// The network. Time is given with each call and never goes backwards.
pub struct SimNetwork {
    rng: SimRng,
    default: Link,
    links: HashMap<(SocketAddr, SocketAddr), Link>,
    /// The latest arrival per path, which datagrams that keep their order do not overtake.
    newest: HashMap<(SocketAddr, SocketAddr), Micros>,
    /// A socket's address -> as which it is seen.
    seen_as: HashMap<SocketAddr, SocketAddr>,
    queue: BinaryHeap<Reverse<(Micros, u64)>>,
    flying: HashMap<u64, Delivery>,
    count: u64,
    counters: SimCounters,
}

impl SimNetwork {
    /// All paths are like `default` until told otherwise.
    pub fn new(seed: u64, default: Link) -> Self {
        Self {
            rng: SimRng::new(seed),
            default,
            links: HashMap::new(),
            newest: HashMap::new(),
            seen_as: HashMap::new(),
            queue: BinaryHeap::new(),
            flying: HashMap::new(),
            count: 0,
            counters: SimCounters::default(),
        }
    }

    /// Changes all paths that have no link of their own.
    pub fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    /// Changes one direction between two sockets.
    pub fn set_link(&mut self, from: SocketAddr, to: SocketAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    /// From now on the socket is seen as (and reached at) another address, as behind a NAT that
    /// was restarted. What is sent to the old one is lost.
    pub fn move_socket(&mut self, socket: SocketAddr, seen_as: SocketAddr) {
        self.seen_as.insert(socket, seen_as);
    }

    pub fn counters(&self) -> SimCounters {
        self.counters
    }

    /// A socket sends.
    pub fn send(&mut self, now: Micros, socket: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.counters.sent += 1;
        let from = self.seen_as.get(&socket).copied().unwrap_or(socket);
        let receiver = match self.seen_as.iter().find(|(_, seen)| **seen == to) {
            Some((socket, _)) => *socket,
            None => to,
        };
        // Drawn whether used or not: a change of one figure does not shift all others.
        let [loss, twice, overtaken] = [(); 3].map(|()| self.rng.unit());
        let jitters = [(); 2].map(|()| self.rng.unit());
        let link = self.links.get(&(socket, receiver)).copied().unwrap_or(self.default);
        let moved = self.seen_as.contains_key(&to);
        if link.down || moved || loss < link.loss {
            self.counters.lost += 1;
            return;
        }
        let copies = if twice < link.duplicate { 2 } else { 1 };
        self.counters.duplicated += copies as u64 - 1;
        for jitter in &jitters[..copies] {
            let mut at = now + link.delay_micros + (jitter * link.jitter_micros as f64) as i64;
            let newest = self.newest.entry((socket, receiver)).or_insert(at);
            if overtaken >= link.reorder {
                at = at.max(*newest);
                *newest = at;
            }
            self.count += 1;
            let delivery = Delivery { at, from, to: receiver, datagram: datagram.to_vec() };
            self.queue.push(Reverse((at, self.count)));
            self.flying.insert(self.count, delivery);
        }
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Micros> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn deliver(&mut self, now: Micros) -> Option<Delivery> {
        self.next_arrival().filter(|&at| at <= now)?;
        let Reverse((_, id)) = self.queue.pop()?;
        self.counters.delivered += 1;
        self.flying.remove(&id)
    }
}
