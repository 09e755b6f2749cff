//! What strangers may cost: rates, cookies. Part of the mesh's thread.
//!
//! Nothing is kept for a stranger before it has shown, by echoing a cookie, that it receives at the
//! address it writes from; and that costs one keyed hash to make and one to check.

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

/// Stands before all handshakes that come from strangers.
pub(super) struct Gate {
    secret: [u8; 32],
    /// Questions without a cookie that are opened.
    opened: Bucket,
    /// Cookies that are answered with.
    answered: Bucket,
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
            answered: Bucket::new(100, 500),
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
            return if self.source(from.ip()).take(now) { Verdict::Open } else { Verdict::Drop };
        }
        if !strict && self.opened.take(now) {
            return Verdict::Open;
        }
        if self.answered.take(now) {
            return Verdict::Cookie(self.mac(slot, 0, from, ephemeral));
        }
        Verdict::Drop
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
        assert!((500..=601).contains(&cookies), "{cookies}");
        assert!(gate.sources.is_empty(), "nothing is kept for them");
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
        assert_eq!(opened % 8, 0);
        assert!(opened <= 8 * 25, "{opened}");
    }
}
