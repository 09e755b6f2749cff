//! The ways to one peer: which were tried, which answer, which one carries. Part of the mesh's thread.
//!
//! Both sides ask on every way that they know of (a path challenge, echoed); the first that answers
//! carries at once and the best is kept. The lower id of the two chooses by round trip; the other
//! follows where it is heard from, so that the two do not swing around each other. Either leaves a way
//! that has died as soon as another one answers.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::scope::Scope;
use crate::units::{Micros, ParticipantId};

/// How packets get to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To its address.
    Direct(SocketAddr),
    /// Through another member.
    Relay(ParticipantId),
}

/// Ways that are kept for one peer.
const MOST: usize = 14;
/// Microseconds between the first questions on each way.
const FIRST: [i64; 5] = [100_000, 150_000, 250_000, 500_000, 1_000_000];
/// Later, so that a better way is found some time and NATs stay open.
const CALM: i64 = 10_000_000;
/// While the way in use does not answer.
const TROUBLE: i64 = 200_000;
/// While another member carries for us, at first and after a while.
const RELAYED: [i64; 2] = [1_000_000, 5_000_000];
/// A way that was not in use must have been heard this much longer than the one that was.
const FOLLOW: i64 = 100_000;
/// A question on the way in use that has no answer for so long says that the way is dead, when the
/// peer is heard elsewhere.
const UNANSWERED: i64 = 300_000;
/// Questions on one way whose answers may still come: a round trip is longer than the time between.
const QUESTIONS: usize = 8;
/// A way that answered so long ago is not known to work, microseconds.
const FRESH: i64 = 25_000_000;
/// Bytes of a challenge with all headers of ours: what an answer to a short packet costs.
const CHALLENGE_BYTES: u32 = 40;
/// A member that loses more of what it carries, tenths of a percent, is no good carrier (DESIGN section
/// 5) ...
const LOSSY: u16 = 50;
/// ... until it is below this.
const SOUND: u16 = 30;
/// A lossy carrier is left after so long, microseconds, where another one is better.
const LOSSY_FOR: i64 = 3_000_000;
/// A way that has failed is no better than another for so long, microseconds, however short it is.
const DISTRUST: i64 = 10_000_000;
/// An address that has not answered gets at most so many times what it sent (RFC 9000, 8.1).
const AMPLIFICATION: u32 = 3;

struct Path {
    route: Route,
    /// The peer says that it may be reached there, or it is the way that the handshake came.
    offered: bool,
    /// Questions that may still be answered, the newest last.
    asked: VecDeque<([u8; 8], Micros)>,
    /// Since when none of them was.
    unanswered: Option<Micros>,
    answered: Option<Micros>,
    /// Smoothed, microseconds.
    rtt: Option<i64>,
    /// The last round trips, microseconds: the shortest of them is the way's, the rest is what made
    /// packets wait.
    recent: [i64; 4],
    samples: u32,
    /// Anything came this way.
    heard: Option<Micros>,
    /// Something other than a challenge or its echo did.
    traffic: Option<Micros>,
    received: u32,
    sent: u32,
    /// When it was left because it had failed.
    failed: Option<Micros>,
    /// Since when more than [`LOSSY`] of what goes this way is lost, as far as that is known.
    lossy: Option<Micros>,
}

impl Path {
    fn new(route: Route, offered: bool) -> Self {
        Self {
            route,
            offered,
            asked: VecDeque::new(),
            unanswered: None,
            answered: None,
            rtt: None,
            recent: [i64::MAX; 4],
            samples: 0,
            heard: None,
            traffic: None,
            received: 0,
            sent: 0,
            failed: None,
            lossy: None,
        }
    }

    /// What the two members at its ends lose, tenths of a percent.
    fn note_loss(&mut self, permille: u16, now: Micros) {
        if permille > LOSSY {
            self.lossy.get_or_insert(now);
        } else if permille < SOUND {
            self.lossy = None;
        }
    }

    /// The shortest of the last round trips, microseconds, when there were two.
    fn shortest(&self) -> Option<i64> {
        self.recent.iter().min().copied().filter(|_| self.samples >= 2)
    }

    /// How long an answer may take: on a long way more than [`UNANSWERED`].
    fn patience(&self) -> i64 {
        UNANSWERED.max(self.rtt.map_or(0, |rtt| rtt + rtt / 2))
    }

    fn is_local(&self) -> bool {
        matches!(self.route, Route::Direct(address) if Scope::of(address.ip()) == Scope::Home)
    }

    fn is_relay(&self) -> bool {
        matches!(self.route, Route::Relay(_))
    }

    fn works(&self, now: Micros) -> bool {
        self.answered.is_some_and(|at| now.since(at) < FRESH)
    }
}

/// All ways to one peer.
pub(super) struct Paths {
    list: Vec<Path>,
    current: Route,
    next: Micros,
    rounds: usize,
    /// The next round is the first of trouble.
    calm: bool,
}

impl Paths {
    /// The way that the handshake took works.
    pub(super) fn new(route: Route, now: Micros) -> Self {
        let mut path = Path::new(route, true);
        path.answered = Some(now);
        path.heard = Some(now);
        path.traffic = Some(now);
        Self { list: vec![path], current: route, next: now, rounds: 0, calm: true }
    }

    pub(super) fn current(&self) -> Route {
        self.current
    }

    fn path(&mut self, route: Route) -> Option<&mut Path> {
        self.list.iter_mut().find(|p| p.route == route)
    }

    fn add(&mut self, now: Micros, route: Route, offered: bool) {
        if let Some(path) = self.path(route) {
            path.offered |= offered;
            return;
        }
        if self.list.len() == MOST {
            // What never answered goes first, the oldest of it; then what answered in networks that
            // one of us has left.
            let spare = |(_, p): &(usize, &Path)| p.route != self.current && !p.works(now);
            let oldest = self.list.iter().enumerate().filter(spare).min_by_key(|(_, p)| p.answered);
            let Some((at, _)) = oldest else { return };
            self.list.remove(at);
        }
        self.list.push(Path::new(route, offered));
    }

    /// The peer says where it may be reached: both sides begin to ask at once.
    pub(super) fn offer(&mut self, addresses: &[SocketAddr], now: Micros) {
        let before = self.list.len();
        for &address in addresses {
            self.add(now, Route::Direct(address), true);
        }
        if self.list.len() > before {
            self.rounds = 0;
            self.next = now;
        }
    }

    /// The peer is not to be reached there any more: nobody who has that address now is asked.
    pub(super) fn withdraw(&mut self, address: SocketAddr) {
        let route = Route::Direct(address);
        if route != self.current
            && let Some(path) = self.path(route)
        {
            path.offered = false;
        }
    }

    /// The members that could carry for us, the best first, and what they lose, tenths of a percent.
    pub(super) fn relays(&mut self, now: Micros, members: &[(ParticipantId, u16)]) {
        let current = self.current;
        self.list.retain(|p| match p.route {
            Route::Relay(id) => members.iter().any(|(m, _)| *m == id) || p.route == current,
            Route::Direct(_) => true,
        });
        for &(id, permille) in members {
            self.add(now, Route::Relay(id), true);
            if let Some(path) = self.path(Route::Relay(id)) {
                path.note_loss(permille, now);
            }
        }
    }

    /// A packet came this way; `traffic`: more than a question about the way. Whether the way is a
    /// new one and wants to be asked.
    pub(super) fn came(&mut self, now: Micros, route: Route, bytes: usize, traffic: bool) -> bool {
        self.add(now, route, false);
        let Some(path) = self.path(route) else { return false };
        path.received = path.received.saturating_add(bytes as u32);
        path.heard = Some(now);
        if traffic {
            path.traffic = Some(now);
        }
        !path.works(now)
    }

    /// A question on that way, unless one was asked just now or it would be too much.
    pub(super) fn ask(&mut self, now: Micros, route: Route, fresh: [u8; 8]) -> Option<[u8; 8]> {
        let path = self.path(route)?;
        if path.asked.back().is_some_and(|(_, at)| now.since(*at) < TROUBLE / 2) {
            return None;
        }
        if !path.offered && path.answered.is_none() {
            if path.sent + CHALLENGE_BYTES > AMPLIFICATION * path.received {
                return None;
            }
            path.sent += CHALLENGE_BYTES;
        }
        if path.asked.len() == QUESTIONS {
            path.asked.pop_front();
        }
        path.asked.push_back((fresh, now));
        path.unanswered.get_or_insert(now);
        Some(fresh)
    }

    /// Ways to ask on now.
    pub(super) fn due(&mut self, now: Micros, trouble: bool) -> Vec<Route> {
        if trouble && self.calm {
            self.calm = false;
            self.next = now;
        }
        if now < self.next {
            return Vec::new();
        }
        self.calm = !trouble;
        let relayed = matches!(self.current, Route::Relay(_));
        let wait = match FIRST.get(self.rounds) {
            _ if trouble => TROUBLE,
            Some(&wait) => wait,
            None if relayed => RELAYED[usize::from(self.rounds > 30)],
            None => CALM,
        };
        self.rounds += 1;
        self.next = now + wait;
        let current = self.current;
        let wanted = |p: &&Path| {
            // Another member is asked to carry only where that may be needed.
            let relay = p.is_relay() && p.route != current;
            p.offered && (!relay || trouble || relayed)
        };
        self.list.iter().filter(wanted).map(|p| p.route).collect()
    }

    pub(super) fn next_timeout(&self) -> Micros {
        self.next
    }

    /// Stays on the way that was in use.
    pub(super) fn go_back(&mut self, route: Route) {
        self.current = route;
    }

    /// No trouble so far.
    pub(super) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Begins to ask anew.
    pub(super) fn restart(&mut self, now: Micros) {
        self.rounds = 0;
        self.next = now;
    }

    /// An echo: the way on which it was asked for. Whatever way it comes back, it was read where
    /// it was sent to (RFC 9000, 8.2.3).
    pub(super) fn answered(&mut self, now: Micros, token: [u8; 8]) -> Option<Route> {
        let (path, at) = self.list.iter_mut().find_map(|path| {
            let at = path.asked.iter().position(|(asked, _)| *asked == token)?;
            Some((path, at))
        })?;
        // Each is answered once, and older ones no more.
        let (_, asked) = path.asked.drain(..=at).next_back()?;
        let rtt = now.since(asked).max(0);
        path.rtt = Some(path.rtt.map_or(rtt, |old| (old * 3 + rtt) / 4));
        path.recent[path.samples as usize % path.recent.len()] = rtt;
        path.samples = path.samples.saturating_add(1);
        path.unanswered = None;
        path.heard = Some(now);
        path.answered = Some(now);
        Some(path.route)
    }

    /// When anything last came by the way in use.
    pub(super) fn heard(&self) -> Micros {
        let here = self.list.iter().find(|p| p.route == self.current);
        here.and_then(|p| p.heard).unwrap_or(Micros(i64::MIN / 2))
    }

    /// The member that carries has gone.
    pub(super) fn relay_left(&mut self, id: ParticipantId) {
        if let Some(path) = self.path(Route::Relay(id)) {
            path.heard = None;
            path.answered = None;
            path.unanswered = Some(Micros(i64::MIN / 2));
        }
    }

    /// Where to go from here, `None` to stay. `trouble`: before the packet that has just come,
    /// the way in use was silent for too long; `came` is the way that it took.
    pub(super) fn choose(
        &mut self,
        now: Micros,
        came: Route,
        trouble: bool,
        choosing: bool,
    ) -> Option<Route> {
        let current = self.list.iter().position(|p| p.route == self.current)?;
        let here = &self.list[current];
        let other = self.list.iter().position(|p| p.route == came && p.works(now));
        let next = match other.map(|at| &self.list[at]) {
            Some(there) if there.route == here.route => None,
            // The way in use is dead and this one lives.
            Some(there) if trouble && there.answered >= Some(now - TROUBLE) => Some(there.route),
            Some(there) if here.is_relay() && !there.is_relay() => Some(there.route),
            Some(there) if there.is_relay() && !here.is_relay() => None,
            // The peer has gone over to it. Who chooses stays as long as its own choice answers: the
            // peer may have one address to be reached at and another to send from.
            Some(there) if there.traffic == Some(now) => {
                let left = if choosing {
                    here.unanswered.is_some_and(|at| now.since(at) > here.patience())
                } else {
                    here.traffic.is_none_or(|at| now.since(at) > FOLLOW)
                };
                left.then_some(there.route)
            }
            Some(_) | None => None,
        };
        let next = next.or_else(|| if choosing { self.better(now, here) } else { None });
        if let Some(route) = next {
            if trouble {
                self.list[current].failed = Some(now);
            }
            self.current = route;
            if let Some(path) = self.path(route) {
                path.heard = Some(now);
            }
            // Whoever comes next is compared with the new way's figures.
            self.next = self.next.min(now + FIRST[0]);
        }
        next
    }

    /// A way that is clearly better than the one in use: one that loses less, however long it is, else a
    /// shorter one that does not lose more.
    fn better(&self, now: Micros, here: &Path) -> Option<Route> {
        let rtt = here.shortest()?;
        let lossy = here.lossy.is_some_and(|since| now.since(since) >= LOSSY_FOR);
        self.list
            .iter()
            .filter(|p| p.route != here.route && p.works(now))
            .filter(|p| p.is_relay() == here.is_relay())
            .filter(|p| p.lossy.is_none() || here.lossy.is_some())
            .filter(|p| p.failed.is_none_or(|at| now.since(at) >= DISTRUST))
            .filter_map(|p| Some((p, p.shortest()?)))
            .filter(|(p, other)| {
                let local = p.is_local() && !here.is_local() && *other <= rtt + 1_000;
                let loses_less = lossy && p.lossy.is_none();
                loses_less || rtt - other > (rtt / 5).max(2_000) || local
            })
            .min_by_key(|(p, other)| (p.lossy.is_some(), *other, !p.is_local()))
            .map(|(p, _)| p.route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(n: u8) -> Route {
        Route::Direct(SocketAddr::from(([203, 0, 113, n], 7)))
    }

    const HOME: Route = Route::Direct(SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::new(192, 168, 1, 2),
        7,
    )));

    /// Asks on all ways and has those answer that are given, after their round trips.
    fn round(paths: &mut Paths, now: i64, answers: &[(Route, i64)]) {
        for &(route, rtt) in answers {
            let at = Micros(now);
            let n = paths.list.iter().position(|p| p.route == route).unwrap() as u8;
            let token = [now as u8 ^ n; 8];
            if paths.ask(at, route, token).is_some() {
                assert_eq!(paths.answered(at + rtt, token), Some(route));
            }
        }
    }

    fn offered(routes: &[Route]) -> Paths {
        let mut paths = Paths::new(routes[0], Micros(0));
        let addresses: Vec<_> = routes
            .iter()
            .filter_map(|r| match r {
                Route::Direct(address) => Some(*address),
                Route::Relay(_) => None,
            })
            .collect();
        paths.offer(&addresses, Micros(0));
        paths
    }

    #[test]
    fn who_chooses_takes_the_faster_way_and_of_equals_the_local_one() {
        let mut paths = offered(&[direct(1), direct(2), HOME]);
        let answers = [(direct(1), 30_000), (direct(2), 20_000), (HOME, 20_500)];
        for n in 0..3 {
            round(&mut paths, n * 1_000_000, &answers);
        }
        let now = Micros(3_000_000);
        assert_eq!(paths.choose(now, direct(1), false, false), None, "the other one chooses");
        assert_eq!(paths.choose(now, direct(1), false, true), Some(direct(2)));
        assert_eq!(paths.choose(now, direct(2), false, true), Some(HOME));
        assert_eq!(paths.choose(now, HOME, false, true), None);
    }

    #[test]
    fn what_makes_some_packets_wait_does_not_make_the_way_another_one() {
        // Two ways over the same cable, and a machine that is busy: answers wait for up to 30 ms.
        let mut paths = offered(&[direct(1), HOME]);
        let mut current = direct(1);
        let mut changes = 0;
        let waits = [1_000, 25_000, 300, 12_000, 30_000, 500, 18_000, 700, 9_000, 22_000, 400];
        for n in 0..60usize {
            let wait = |k: usize| 400 + waits[(n * k + k) % waits.len()];
            let answers = [(direct(1), wait(3)), (HOME, wait(7))];
            round(&mut paths, n as i64 * 1_000_000, &answers);
            let now = Micros(n as i64 * 1_000_000 + 500_000);
            if let Some(route) = paths.choose(now, current, false, true) {
                (current, changes) = (route, changes + 1);
            }
        }
        assert_eq!((current, changes), (HOME, 1));
    }

    #[test]
    fn a_long_way_is_not_given_up_while_its_answer_may_still_come() {
        let mut paths = offered(&[direct(1), direct(2)]);
        for n in 0..3 {
            round(&mut paths, n * 1_000_000, &[(direct(1), 400_000), (direct(2), 390_000)]);
        }
        // The peer sends from its other address, and both ways answer.
        let asked = Micros(4_000_000);
        assert!(paths.ask(asked, direct(1), [9; 8]).is_some());
        let look = |paths: &mut Paths, later: i64| {
            let now = asked + later;
            paths.came(now, direct(2), 60, true);
            paths.choose(now, direct(2), false, true)
        };
        assert_eq!(look(&mut paths, 390_000), None);
        assert_eq!(look(&mut paths, 590_000), None);
        assert_eq!(look(&mut paths, 620_000), Some(direct(2)), "now it has not come");
    }

    #[test]
    fn a_dead_way_is_left_for_the_first_that_answers() {
        let mut paths = offered(&[direct(1), direct(2)]);
        round(&mut paths, 5_000_000, &[(direct(2), 90_000)]);
        let now = Micros(5_090_000);
        assert_eq!(paths.choose(now, direct(2), false, false), None);
        assert_eq!(paths.choose(now, direct(2), true, false), Some(direct(2)));
    }

    #[test]
    fn who_does_not_choose_follows_to_a_way_that_has_answered() {
        let mut paths = offered(&[direct(1)]);
        let now = Micros(1_000_000);
        assert!(paths.came(now, direct(9), 60, true), "a new way is asked");
        assert_eq!(paths.choose(now, direct(9), false, false), None, "anybody can send a copy");
        round(&mut paths, 1_000_000, &[(direct(9), 40_000)]);
        let now = Micros(1_200_000);
        assert!(!paths.came(now, direct(9), 60, true));
        assert_eq!(paths.choose(now, direct(9), false, false), Some(direct(9)));
    }

    #[test]
    fn a_relay_is_left_as_soon_as_a_direct_way_works() {
        let relay = Route::Relay(ParticipantId(1));
        let mut paths = Paths::new(relay, Micros(0));
        paths.offer(&[SocketAddr::from(([203, 0, 113, 1], 7))], Micros(0));
        round(&mut paths, 1_000_000, &[(direct(1), 200_000)]);
        let now = Micros(1_200_000);
        assert_eq!(paths.choose(now, direct(1), false, false), Some(direct(1)));
        assert!(!paths.came(now, relay, 60, true));
        assert_eq!(paths.choose(now, relay, false, false), None, "and not taken up again");
        assert_eq!(paths.choose(now + 900_000, relay, true, false), None, "unless it answers");
    }

    #[test]
    fn of_carriers_one_that_loses_is_left_for_a_longer_way_that_does_not() {
        let [fast, slow] = [1, 2].map(ParticipantId);
        let [by_fast, by_slow] = [fast, slow].map(Route::Relay);
        let mut paths = Paths::new(by_fast, Micros(0));
        let second = |n: i64| Micros(n * 1_000_000);
        let mut look = |n: i64, loss: [u16; 2]| {
            paths.relays(second(n), &[(fast, loss[0]), (slow, loss[1])]);
            round(&mut paths, second(n).0, &[(by_fast, 20_000), (by_slow, 150_000)]);
            let came = paths.current();
            paths.choose(second(n) + 200_000, came, false, true)
        };
        for n in 0..5 {
            assert_eq!(look(n, [40, 0]), None, "below 5 %");
        }
        for n in 5..8 {
            assert_eq!(look(n, [51, 0]), None, "it may be over soon");
        }
        assert_eq!(look(8, [51, 0]), Some(by_slow));
        assert_eq!(look(9, [40, 0]), None, "not back before it is well below that");
        assert_eq!(look(10, [20, 20]), Some(by_fast));
        // Where all lose, the way is the shortest one.
        for n in 11..20 {
            assert_eq!(look(n, [200, 100]), None);
        }
    }

    #[test]
    fn an_address_that_has_not_answered_gets_at_most_three_times_what_it_sent() {
        let mut paths = offered(&[direct(1)]);
        let (mut received, mut sent) = (0, 0);
        for n in 1..100 {
            let now = Micros(n * 500_000);
            if n % 7 == 0 {
                paths.came(now, direct(9), 29, true);
                received += 29;
            }
            if paths.ask(now, direct(9), [1; 8]).is_some() {
                sent += CHALLENGE_BYTES;
            }
            assert!(sent <= 3 * received, "{sent} bytes for {received}");
        }
        assert!(sent > 0);
    }

    #[test]
    fn who_changes_its_network_all_evening_is_followed_to_the_last_one() {
        let mut paths = offered(&[direct(0)]);
        for n in 1..60 {
            let now = i64::from(n) * 60_000_000;
            assert!(paths.came(Micros(now), direct(n), 60, true));
            round(&mut paths, now, &[(direct(n), 30_000)]);
            let heard = Micros(now + 200_000);
            paths.came(heard, direct(n), 60, true);
            assert_eq!(paths.choose(heard, direct(n), false, false), Some(direct(n)), "{n}");
            assert!(paths.list.len() <= MOST);
        }
    }

    #[test]
    fn an_address_that_was_taken_back_is_asked_no_more() {
        let mut paths = offered(&[direct(1), direct(2), direct(3)]);
        paths.withdraw(SocketAddr::from(([203, 0, 113, 2], 7)));
        paths.withdraw(SocketAddr::from(([203, 0, 113, 1], 7)));
        let asked = paths.due(Micros(0), true);
        assert_eq!(asked, [direct(1), direct(3)], "but for the way in use");
    }

    #[test]
    fn the_number_of_ways_is_bounded_and_the_one_in_use_stays() {
        let mut paths = offered(&[direct(1)]);
        for n in 2..100 {
            paths.came(Micros(i64::from(n)), direct(n), 60, true);
        }
        assert!(paths.list.len() <= MOST);
        assert!(paths.path(direct(1)).is_some());
        assert!(paths.path(direct(99)).is_some());
    }
}
