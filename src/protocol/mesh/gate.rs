//! What strangers may cost: rates, cookies. Part of the mesh's thread.
//!
//! Nothing is kept for a stranger before it has shown, by echoing a cookie, that it receives at the
//! address it writes from; and that costs one keyed hash to make and one to check.
//!
//! Every opening and every answer has a rate. Answers have one for all and one for each of a thousand
//! slots, of which each source has two by a keyed hash: whoever floods from its own address uses up its
//! own, and a newcomer is answered at once. Who forges addresses at random shares the rate for all with
//! everybody, and newcomers need more tries.

use std::net::{IpAddr, SocketAddr};

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};

use super::super::handshake::Randomness;
use crate::units::Micros;

/// Microseconds that a cookie's secret slot lasts; a cookie works in its own slot and the next.
const SLOT: i64 = 120_000_000;
/// Sources with a cookie whose rates are kept.
const SOURCES: usize = 64;
/// Slots for the rates of answers: 24 kB. Nothing else is kept of a source.
const SLOTS: usize = 1_024;

/// A rate: so many at once, then one per interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    burst: i64,
    interval: i64,
    /// When it would be full again.
    full: Micros,
}

impl Bucket {
    pub(super) const fn new(burst: i64, per_second: i64) -> Self {
        Self { burst, interval: 1_000_000 / per_second, full: Micros(i64::MIN / 2) }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Micros) -> bool {
        let full = self.full.max(now);
        if full.since(now) > (self.burst - 1) * self.interval {
            return false;
        }
        self.full = full + self.interval;
        true
    }
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look at it.
    Open,
    /// Answer with this and forget it.
    Cookie([u8; 16]),
    /// Forget it.
    Drop,
}

/// A short answer for whose question no secret is used, or a long one that was made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Come again with this: 47 bytes.
    Cookie,
    /// Not so: 32 bytes, in clear.
    Refusal,
    /// The same question, the same answer: up to a whole datagram.
    Again,
}

/// Stands before all handshakes that come from strangers.
pub(super) struct Gate {
    secret: [u8; 32],
    /// Questions without a cookie that are opened.
    opened: Bucket,
    /// Questions with one.
    proven: Bucket,
    /// By [`Reply`].
    replies: [Bucket; 3],
    slots: Box<[Bucket; SLOTS]>,
    /// Questions that are forwarded to the introducer.
    forwarded: Bucket,
    /// Sources that have shown a cookie.
    sources: Vec<(IpAddr, Bucket)>,
}

impl Gate {
    pub(super) fn new(random: &mut Randomness) -> Self {
        let mut secret = [0; 32];
        random(&mut secret);
        Self {
            secret,
            opened: Bucket::new(16, 16),
            // A handshake takes some 100 us: a fiftieth of a core at most.
            proven: Bucket::new(64, 200),
            // With all headers 1.2 Mbit/s, 50 kbit/s and 600 kbit/s at most; and no more than a
            // fifteenth, a nineteenth and the whole of what they answer.
            replies: [Bucket::new(200, 2_000), Bucket::new(32, 100), Bucket::new(32, 64)],
            slots: Box::new([Bucket::new(16, 16); SLOTS]),
            forwarded: Bucket::new(32, 32),
            sources: Vec::new(),
        }
    }

    fn mac(&self, slot: i64, what: u8, from: SocketAddr, about: &[u8]) -> [u8; 16] {
        let mut mac = Blake2sMac::<U16>::new_from_slice(&self.secret)
            .expect("BLAKE2s takes a key of 32 bytes");
        mac.update(&[what]);
        mac.update(&slot.to_be_bytes());
        match from.ip() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&from.port().to_be_bytes());
        mac.update(about);
        mac.finalize().into_bytes().into()
    }

    /// Judges a question with that ephemeral key. `strict`: not without a cookie.
    pub(super) fn judge(
        &mut self,
        now: Micros,
        from: SocketAddr,
        ephemeral: &[u8; 32],
        cookie: Option<&[u8; 16]>,
        strict: bool,
    ) -> Verdict {
        let slot = now.0.div_euclid(SLOT);
        if let Some(cookie) = cookie
            && [slot, slot - 1].iter().any(|&s| self.mac(s, 0, from, ephemeral) == *cookie)
        {
            let open = self.source(from.ip()).take(now) && self.proven.take(now);
            return if open { Verdict::Open } else { Verdict::Drop };
        }
        if !strict && self.opened.take(now) {
            return Verdict::Open;
        }
        if self.replies(now, from, Reply::Cookie) {
            return Verdict::Cookie(self.mac(slot, 0, from, ephemeral));
        }
        Verdict::Drop
    }

    /// Whether that answer may go there now.
    pub(super) fn replies(&mut self, now: Micros, to: SocketAddr, reply: Reply) -> bool {
        let slots = self.slots_of(to.ip());
        // In this order: what a flood's own slots stop takes nothing from the others.
        slots.iter().any(|&slot| self.slots[slot].take(now))
            && self.replies[reply as usize].take(now)
    }

    /// The slots of a source: of an IPv6 address only the network counts, which has all the others.
    fn slots_of(&self, ip: IpAddr) -> [usize; 2] {
        let mut mac = Blake2sMac::<U16>::new_from_slice(&self.secret)
            .expect("BLAKE2s takes a key of 32 bytes");
        mac.update(&[2]);
        match ip.to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()[..8]),
        }
        let [a, b, c, d, ..]: [u8; 16] = mac.finalize().into_bytes().into();
        [[a, b], [c, d]].map(|two| usize::from(u16::from_be_bytes(two)) % SLOTS)
    }

    fn source(&mut self, ip: IpAddr) -> &mut Bucket {
        let at = match self.sources.iter().position(|(known, _)| *known == ip) {
            Some(at) => at,
            None => {
                if self.sources.len() == SOURCES {
                    self.sources.remove(0);
                }
                self.sources.push((ip, Bucket::new(8, 4)));
                self.sources.len() - 1
            }
        };
        &mut self.sources[at].1
    }

    /// A tag for a question to be forwarded, if there is room for one more.
    pub(super) fn forward(&mut self, now: Micros, from: SocketAddr) -> Option<[u8; 8]> {
        self.forwarded.take(now).then(|| self.tag(now.0.div_euclid(SLOT), from))
    }

    fn tag(&self, slot: i64, from: SocketAddr) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.mac(slot, 1, from, &[]);
        [a, b, c, d, e, f, g, h]
    }

    /// Whether we forwarded something from there lately.
    pub(super) fn forwarded(&self, now: Micros, from: SocketAddr, tag: &[u8; 8]) -> bool {
        let slot = now.0.div_euclid(SLOT);
        [slot, slot - 1].iter().any(|&s| self.tag(s, from) == *tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate::new(&mut (Box::new(|bytes: &mut [u8]| bytes.fill(3)) as Randomness))
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_cookie_works_at_its_address_for_its_question_and_for_minutes() {
        let mut gate = gate();
        let now = Micros(7);
        let Verdict::Cookie(cookie) = gate.judge(now, at(1), &[1; 32], None, true) else {
            panic!("a cookie is asked for");
        };
        let mut judge = |later: i64, from, key| {
            gate.judge(now + later, from, &[key; 32], Some(&cookie), true) == Verdict::Open
        };
        assert!(judge(0, at(1), 1));
        assert!(judge(SLOT, at(1), 1));
        assert!(!judge(0, at(2), 1), "another address");
        assert!(!judge(0, at(1), 2), "another question");
        assert!(!judge(2 * SLOT, at(1), 1), "too old");
    }

    #[test]
    fn a_storm_of_strangers_costs_a_bounded_number_of_openings_and_answers() {
        let mut gate = gate();
        let (mut opened, mut cookies) = (0, 0);
        for i in 0..50_000u32 {
            let from = SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 9));
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.to_be_bytes());
            match gate.judge(Micros(i64::from(i) * 20), from, &key, None, false) {
                Verdict::Open => opened += 1,
                Verdict::Cookie(_) => cookies += 1,
                Verdict::Drop => {}
            }
        }
        assert!(opened <= 16 + 17, "{opened}");
        assert!((2_000..=2_201).contains(&cookies), "{cookies}");
        assert!(gate.sources.is_empty(), "nothing is kept for them");
    }

    #[test]
    fn whoever_floods_from_its_own_address_takes_no_answer_from_others() {
        let mut gate = gate();
        let others: Vec<_> = (0..50).map(|n| SocketAddr::from(([198, 51, 100, n], 7))).collect();
        let flood: SocketAddr = "[2001:db8:5::7]:9".parse().unwrap();
        let (mut flooded, mut answered) = ([0; 3], 0);
        let mut asked = 0;
        for i in 0..60_000i64 {
            let now = Micros(i * 20);
            let from = SocketAddr::new(flood.ip(), i as u16);
            for (n, reply) in [Reply::Cookie, Reply::Refusal, Reply::Again].into_iter().enumerate()
            {
                flooded[n] += u32::from(gate.replies(now, from, reply));
            }
            if i % 600 == 0 {
                let other = others[asked % others.len()];
                asked += 1;
                answered += usize::from(gate.replies(now, other, Reply::Cookie));
            }
        }
        // 1.2 s.
        assert!(flooded.iter().sum::<u32>() <= 2 * (16 + 20), "{flooded:?}");
        assert_eq!(answered, asked);
        // And another address of that network has the same slots.
        let neighbour: SocketAddr = "[2001:db8:5::8]:9".parse().unwrap();
        assert_eq!(gate.slots_of(neighbour.ip()), gate.slots_of(flood.ip()));
    }

    #[test]
    fn all_answers_together_have_a_rate_wherever_the_questions_come_from() {
        for (reply, most) in [(Reply::Cookie, 2_200), (Reply::Refusal, 132), (Reply::Again, 96)] {
            let mut gate = gate();
            let answered = (0..50_000u32).filter(|i| {
                let from = SocketAddr::from(([10, (i >> 16) as u8, (i >> 8) as u8, *i as u8], 9));
                gate.replies(Micros(i64::from(*i) * 20), from, reply)
            });
            let answered = answered.count();
            assert!(answered <= most + 1 && answered >= most / 2, "{reply:?}: {answered}");
        }
    }

    #[test]
    fn a_source_with_a_cookie_has_a_rate_and_the_number_of_sources_is_bounded() {
        let mut gate = gate();
        let mut opened = 0;
        for i in 0..400u32 {
            let from = SocketAddr::from(([10, 0, (i >> 2) as u8, 1], 9));
            let Verdict::Cookie(c) = gate.judge(Micros(0), from, &[1; 32], None, true) else {
                continue;
            };
            for _ in 0..20 {
                let verdict = gate.judge(Micros(0), from, &[1; 32], Some(&c), true);
                opened += u32::from(verdict == Verdict::Open);
            }
        }
        assert!(gate.sources.len() <= SOURCES);
        assert_eq!(opened, 64, "eight of each, as long as all together may");
    }
}
