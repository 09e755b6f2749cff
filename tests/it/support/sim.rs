//! A datagram network in virtual time: delay, jitter, loss, duplicates, reordering, moves, NATs.
//!
//! Pure and seeded: the same seed and the same calls give the same network. It knows nothing of
//! what the datagrams mean.

#![allow(dead_code, reason = "each test uses the part that it needs")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

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

/// What a home router does with the addresses of those behind it (RFC 4787).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// One public port a socket, open to everybody: as a mapping made by UPnP is.
    Open,
    /// One public port a socket, open to whom that socket has written to.
    Cone,
    /// Another public port for each destination, open to that one only.
    Symmetric,
}

/// One public port of a router.
struct Mapping {
    socket: SocketAddr,
    public: SocketAddr,
    /// The only destination that it is for.
    only: Option<SocketAddr>,
    written_to: HashSet<SocketAddr>,
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
    /// A socket's address -> its router's public address, and what that does.
    routers: HashMap<SocketAddr, (IpAddr, Nat)>,
    mappings: Vec<Mapping>,
    next_port: u16,
    /// Bytes sent to each address, whether they arrive or not.
    sent_to: HashMap<SocketAddr, usize>,
    /// Copies of all that one socket sends another.
    tap: Option<(SocketAddr, SocketAddr)>,
    tapped: Vec<Vec<u8>>,
    /// Further addresses of sockets.
    aliases: HashMap<SocketAddr, SocketAddr>,
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
            routers: HashMap::new(),
            mappings: Vec::new(),
            next_port: 20_000,
            sent_to: HashMap::new(),
            tap: None,
            tapped: Vec::new(),
            aliases: HashMap::new(),
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

    /// Bytes sent to an address so far.
    pub fn sent_to(&self, to: SocketAddr) -> usize {
        self.sent_to.get(&to).copied().unwrap_or(0)
    }

    /// Keeps a copy of all that `from` sends `to`, also of what is lost.
    pub fn tap(&mut self, from: SocketAddr, to: SocketAddr) {
        self.tap = Some((from, to));
    }

    /// The copies so far.
    pub fn tapped(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.tapped)
    }

    /// Another address of a socket: what is sent there arrives, by the link to that address.
    pub fn alias(&mut self, alias: SocketAddr, socket: SocketAddr) {
        self.aliases.insert(alias, socket);
    }

    /// Puts a socket behind a router. Sockets behind the same public address share a network.
    pub fn put_behind(&mut self, socket: SocketAddr, public: IpAddr, nat: Nat) {
        self.routers.insert(socket, (public, nat));
    }

    /// The router of that socket forgets everything, as after a restart.
    pub fn forget_mappings(&mut self, socket: SocketAddr) {
        self.mappings.retain(|m| m.socket != socket);
    }

    /// The public port of an open router's socket, as a port mapping protocol would tell it.
    pub fn mapped(&mut self, socket: SocketAddr) -> SocketAddr {
        self.leave_home(socket, SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Behind a router, or moved away from where strangers look for it.
    pub fn is_hidden(&self, socket: SocketAddr) -> bool {
        self.routers.contains_key(&socket) || self.seen_as.contains_key(&socket)
    }

    /// As what a datagram of the socket to `to` leaves its router.
    fn leave_home(&mut self, socket: SocketAddr, to: SocketAddr) -> SocketAddr {
        let Some(&(public, nat)) = self.routers.get(&socket) else {
            return self.seen_as.get(&socket).copied().unwrap_or(socket);
        };
        let only = (nat == Nat::Symmetric).then_some(to);
        let known = self.mappings.iter_mut().find(|m| m.socket == socket && m.only == only);
        if let Some(mapping) = known {
            mapping.written_to.insert(to);
            return mapping.public;
        }
        self.next_port += 1;
        let public = SocketAddr::new(public, self.next_port);
        let written_to = HashSet::from([to]);
        self.mappings.push(Mapping { socket, public, only, written_to });
        public
    }

    /// The socket that a datagram from `from` to `to` reaches.
    fn come_home(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        if let Some(mapping) = self.mappings.iter().find(|m| m.public == to) {
            let open = self.routers.get(&mapping.socket).is_some_and(|(_, nat)| *nat == Nat::Open);
            return (open || mapping.written_to.contains(&from)).then_some(mapping.socket);
        }
        if let Some((socket, _)) = self.seen_as.iter().find(|(_, seen)| **seen == to) {
            return Some(*socket);
        }
        let hidden = self.seen_as.contains_key(&to) || self.routers.contains_key(&to);
        (!hidden).then_some(to)
    }

    pub fn counters(&self) -> SimCounters {
        self.counters
    }

    /// A socket sends.
    pub fn send(&mut self, now: Micros, socket: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.counters.sent += 1;
        *self.sent_to.entry(to).or_default() += datagram.len();
        if self.tap == Some((socket, to)) {
            self.tapped.push(datagram.to_vec());
        }
        let router = |s: &SocketAddr| self.routers.get(s).map(|(public, _)| *public);
        let at_home = router(&socket).is_some() && router(&socket) == router(&to);
        let (from, reached) = if at_home {
            (socket, Some(to))
        } else {
            let from = self.leave_home(socket, to);
            (from, self.come_home(from, to))
        };
        // Drawn whether used or not: a change of one figure does not shift all others.
        let [loss, twice, overtaken] = [(); 3].map(|()| self.rng.unit());
        let jitters = [(); 2].map(|()| self.rng.unit());
        let Some(receiver) = reached else {
            self.counters.lost += 1;
            return;
        };
        let link = self.links.get(&(socket, receiver)).copied().unwrap_or(self.default);
        if link.down || loss < link.loss {
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
            let to = self.aliases.get(&receiver).copied().unwrap_or(receiver);
            let delivery = Delivery { at, from, to, datagram: datagram.to_vec() };
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
