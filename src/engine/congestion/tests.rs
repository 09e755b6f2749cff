//! Whole paths in virtual time: meters, estimates, allotment and fan-out joined as the threads join
//! them, over links with rates, queues, loss and jitter. Every figure that is claimed is asserted.

use super::*;
use crate::protocol::congestion::{KeyframeGate, PathMeter};
use crate::protocol::fragment;
use crate::video::allot::Picture;
use crate::video::assembly::Assembler;
use crate::video::fanout::{Fanout, OutFrame};

const AUDIO: usize = 77;
const N: usize = 3;

/// One direction of one line.
#[derive(Clone, Copy)]
struct Line {
    kbps: Option<f64>,
    queue: i64,
    delay: i64,
    jitter: i64,
    loss: f64,
    /// When what was sent has left.
    busy: f64,
    /// What keeps its order arrives after this.
    newest: i64,
    lost: u64,
}

const CLEAN: Line = Line {
    kbps: None,
    queue: 500_000,
    delay: 15_000,
    jitter: 0,
    loss: 0.0,
    busy: 0.0,
    newest: 0,
    lost: 0,
};

fn rate(kbps: f64) -> Line {
    Line { kbps: Some(kbps), ..CLEAN }
}

struct Rng(u64);

impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}

impl Line {
    /// When it arrives, if it does.
    fn send(&mut self, now: i64, bytes: usize, rng: &mut Rng) -> Option<i64> {
        let (lost, jitter) = (rng.unit() < self.loss, rng.unit());
        let mut at = now as f64;
        if let Some(kbps) = self.kbps {
            let start = self.busy.max(at);
            if start - at > self.queue as f64 {
                self.lost += 1;
                return None;
            }
            self.busy = start + bytes as f64 * 8_000.0 / kbps;
            at = self.busy;
        }
        let at = at as i64 + self.delay + (jitter * self.jitter as f64) as i64;
        self.newest = self.newest.max(at);
        (!lost).then_some(self.newest)
    }
}

/// What is on its way.
enum Flying {
    Audio { sequence: u64, sent: i64 },
    Video { bytes: usize, keyframe: bool, sequence: u64, part: (u8, u8), flags: u8 },
}

struct Receiver {
    line: Line,
    meter: PathMeter,
    flying: std::collections::VecDeque<(i64, Flying, usize)>,
    reports: std::collections::VecDeque<(i64, PathReport)>,
    /// (sent, delay over the least possible), microseconds.
    audio: Vec<(i64, i64)>,
    video_bytes: Vec<(i64, usize)>,
    sent: SentRate,
    sent_bytes: u64,
    assembler: Assembler,
    shown: u64,
    asks: std::collections::VecDeque<(i64, Option<(u64, u32)>)>,
    heard: u64,
    /// Sequence numbers heard in the last second, as loss.
    loss: (u64, u64, i64),
    held: i64,
}

/// Which encoder each peer is fed by, and how many layers.
type Feeds = [Option<(Source, u8)>; N];

struct World {
    now: i64,
    rng: Rng,
    uplink: Line,
    receivers: Vec<Receiver>,
    estimates: Vec<Estimate>,
    allotment: Allotment<N>,
    fan: Fanout,
    /// Of each encoder: when its next picture is due, its number, when its last keyframe was.
    encoders: [(i64, u64, i64); 2],
    said: u64,
    urgent: bool,
    keyframes: KeyframeGate,
    made_keyframes: u64,
    bases: [u8; 2],
    key_flags: u8,
    pictures: u64,
    again: u64,
    common: Option<Micros>,
    /// Main's picture whenever it changed.
    main: Vec<(i64, Option<Picture>)>,
    feeds: Vec<(i64, Feeds)>,
}

impl World {
    fn new(uplink: Line, lines: &[Line]) -> Self {
        let mut fan = Fanout::new(fragment::fragments);
        let receivers = lines.iter().enumerate().map(|(n, line)| {
            fan.join(n, 400);
            Receiver {
                line: *line,
                meter: PathMeter::new(5_000),
                flying: Default::default(),
                reports: Default::default(),
                audio: Vec::new(),
                video_bytes: Vec::new(),
                sent: SentRate::default(),
                sent_bytes: 0,
                assembler: Assembler::layered(),
                shown: 0,
                asks: Default::default(),
                heard: 0,
                loss: (0, 0, 0),
                held: 0,
            }
        });
        let receivers: Vec<_> = receivers.collect();
        Self {
            now: 0,
            rng: Rng(7),
            uplink,
            estimates: lines.iter().map(|_| Estimate::default()).collect(),
            receivers,
            allotment: Allotment::new(400),
            fan,
            encoders: [(0, 0, 0); 2],
            said: 0,
            urgent: false,
            keyframes: KeyframeGate::default(),
            made_keyframes: 0,
            bases: [0; 2],
            key_flags: 0,
            pictures: 0,
            again: 0,
            common: None,
            main: Vec::new(),
            feeds: Vec::new(),
        }
    }

    fn fly(&mut self, place: usize, flying: Flying, bytes: usize) {
        self.receivers[place].sent_bytes += bytes as u64;
        let Some(at) = self.uplink.send(self.now, bytes, &mut self.rng) else { return };
        let receiver = &mut self.receivers[place];
        if let Some(at) = receiver.line.send(at, bytes, &mut self.rng) {
            receiver.flying.push_back((at, flying, bytes));
        }
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + (seconds * 1e6) as i64;
        while self.now < end {
            self.arrive();
            if self.now % 50_000 == 0 || std::mem::take(&mut self.urgent) {
                self.think();
            }
            if self.now % 5_000 == 0 {
                for place in 0..self.receivers.len() {
                    let (sequence, sent) = (self.said, self.now);
                    self.fly(place, Flying::Audio { sequence, sent }, AUDIO);
                    self.fan.audio_sent(place, AUDIO, Micros(self.now));
                }
                self.said += 1;
            }
            self.encode();
            let now = Micros(self.now);
            while let Some(out) = self.fan.next(now) {
                let (place, again) = (out.place, out.again);
                let (keyframe, sequence) = (out.keyframe, out.sequence);
                let part = (out.fragment, out.fragments);
                let flags = out.data.first().copied().unwrap_or(self.key_flags);
                if keyframe && !again {
                    self.key_flags = flags;
                }
                let bytes = match again {
                    true => 1_178,
                    false => fragment::fragment(out.data, out.fragment).len() + 56,
                };
                self.fan.sent(place, again, bytes, now);
                self.again += u64::from(again);
                self.fly(place, Flying::Video { bytes, keyframe, sequence, part, flags }, bytes);
            }
            while self.fan.spent().is_some() {}
            self.now += 500;
        }
    }

    fn arrive(&mut self) {
        let pairs = self.receivers.iter_mut().zip(&mut self.estimates);
        for (place, (receiver, estimate)) in pairs.enumerate() {
            let now = Micros(self.now);
            // The receiver's thread looks every 10 ms; what it asks for takes 30 ms to arrive.
            if self.now % 10_000 == 0 {
                let missing = receiver.assembler.missing_fragments(60_000, now);
                receiver.asks.extend(missing.map(|m| (self.now + 30_000, Some(m))));
                if receiver.assembler.wants_keyframe(now) {
                    receiver.asks.push_back((self.now + 30_000, None));
                }
            }
            while receiver.asks.front().is_some_and(|(at, _)| *at <= self.now) {
                match receiver.asks.pop_front().and_then(|(_, ask)| ask) {
                    Some((sequence, wanted)) => self.fan.again(place, sequence, wanted),
                    None => self.keyframes.ask(1 << place, now),
                }
            }
            while receiver.flying.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (at, flying, bytes) = receiver.flying.pop_front().unwrap();
                let report = match flying {
                    Flying::Audio { sequence, sent } => {
                        let least = self.uplink.delay + receiver.line.delay;
                        receiver.audio.push((sent, at - sent - least));
                        receiver.heard += 1;
                        receiver.meter.audio(sequence, Micros(at), bytes)
                    }
                    Flying::Video { bytes, keyframe, sequence, part: (n, of), flags } => {
                        receiver.video_bytes.push((at, bytes));
                        let at = Micros(at);
                        receiver.assembler.push(keyframe, sequence, n, of, &[flags], at);
                        while receiver.assembler.pop(at).is_some() {
                            receiver.shown += 1;
                        }
                        receiver.meter.other(true, at, bytes)
                    }
                };
                // The way back takes 30 ms.
                receiver.reports.extend(report.map(|r| (at + 30_000, r)));
            }
            while receiver.reports.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, report) = receiver.reports.pop_front().unwrap();
                let before = estimate.holds(Micros(self.now));
                estimate.report(&report, 60_000, receiver.sent.most(), Micros(self.now));
                self.urgent |= before != estimate.holds(Micros(self.now));
            }
        }
    }

    fn think(&mut self) {
        let now = Micros(self.now);
        let mut rooms = [None; N];
        if is_common(self.estimates.iter(), now) {
            self.common = Some(now);
        }
        if self.common.is_some_and(|at| now.since(at) < COMMON) {
            share(&mut self.estimates.iter_mut().collect::<Vec<_>>());
        }
        for (n, estimate) in self.estimates.iter_mut().enumerate() {
            let receiver = &mut self.receivers[n];
            receiver.sent.look(receiver.sent_bytes, now);
            let (heard, said, told) = receiver.loss;
            if self.now - told >= 500_000 {
                let lost = 1.0 - (receiver.heard - heard) as f64 / (self.said - said).max(1) as f64;
                receiver.loss = (receiver.heard, self.said, self.now);
                let kbps = self.allotment.pictures()[0].map_or(0, |p| p.kbps);
                estimate.loss((lost.max(0.0) * 1_000.0) as u16, kbps, now);
            }
            estimate.tick(now);
            let (kbps, known) = (estimate.video_kbps(123.0), estimate.is_known());
            rooms[n] = Some(Room { kbps, known, relayed: false });
        }
        self.allotment.update(&rooms, now);
        let pictures = self.allotment.pictures();
        if self.main.last().is_none_or(|(_, p)| *p != pictures[0]) {
            self.main.push((self.now, pictures[0]));
        }
        let mut feeds = [None; N];
        for (n, estimate) in self.estimates.iter().enumerate() {
            let feed = self.allotment.feed(n);
            feeds[n] = feed.map(|f| (f.source, f.layers));
            let pace = feed.and_then(|f| pictures[f.source as usize]).map_or(1, |p| p.kbps);
            let kbps = [estimate.kbps() as u32, estimate.video_kbps(123.0) as u32];
            self.fan.set(n, feed, kbps, pace);
            let held = estimate.holds(now);
            self.receivers[n].held += i64::from(held && self.now % 50_000 == 0) * 50_000;
            self.fan.hold(n, held);
        }
        if self.feeds.last().is_none_or(|(_, f)| *f != feeds) {
            self.feeds.push((self.now, feeds));
        }
    }

    /// An encoder that meets its target, with keyframes of four and a half frames.
    fn encode(&mut self) {
        for source in [Source::Main, Source::Low] {
            let Some(picture) = self.allotment.pictures()[source as usize] else { continue };
            let (due, number, last_key) = &mut self.encoders[source as usize];
            if self.now < *due {
                continue;
            }
            *due = self.now + 1_000_000 / i64::from(picture.fps);
            if self.fan.delay(source).is_none_or(|delay| delay > 80_000) {
                continue;
            }
            let now = Micros(self.now);
            for n in 0..N {
                if source == Source::Main && self.fan.wants_keyframe(n) == Some(source) {
                    self.keyframes.ask(1 << n, now);
                }
            }
            let wanted = match source {
                Source::Main => self.keyframes.is_due(now),
                Source::Low => {
                    let waits = |n| self.fan.wants_keyframe(n) == Some(source);
                    (0..N).any(waits) && self.now - *last_key > 1_500_000
                }
            };
            let keyframe = *number % (u64::from(picture.fps) * 2) == 0 || wanted;
            if keyframe {
                *last_key = self.now;
                if source == Source::Main {
                    self.keyframes.made(now);
                }
                self.made_keyframes += 1;
            }
            let mean = f64::from(picture.kbps) * 125.0 / f64::from(picture.fps);
            let factor = if keyframe { 4.5 } else { 0.93 } * (0.8 + 0.4 * self.rng.unit());
            let bytes = ((mean * factor) as usize).max(40);
            let disposable = !keyframe && *number % 2 == 1;
            *number += 1;
            self.pictures += 1;
            let base = &mut self.bases[source as usize];
            *base = base.wrapping_add(u8::from(!disposable)) % 32;
            let mut data = vec![0; bytes];
            data[0] = *base << 3 | u8::from(disposable);
            let frame = OutFrame { keyframe, disposable, data };
            self.fan.push(source, Box::new(frame));
        }
    }

    /// Queueing delay of the audio that was sent in those seconds: median, 95 %, 99 %, longest, ms.
    fn queue(&self, place: usize, from: f64, to: f64) -> [f64; 4] {
        let inside = |at: i64| at as f64 >= from * 1e6 && (at as f64) < to * 1e6;
        let audio = &self.receivers[place].audio;
        let mut all: Vec<i64> = audio.iter().filter(|(at, _)| inside(*at)).map(|a| a.1).collect();
        all.sort();
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        [at(0.5), at(0.95), at(0.99), at(1.0)]
    }

    fn video_kbps(&self, place: usize, from: f64, to: f64) -> f64 {
        let inside = |at: i64| at as f64 >= from * 1e6 && (at as f64) < to * 1e6;
        let video = self.receivers[place].video_bytes.iter();
        let bytes: usize = video.filter(|(at, _)| inside(*at)).map(|v| v.1).sum();
        bytes as f64 * 8e-3 / (to - from)
    }

    /// Changes of main's size or frame rate after that second.
    fn rungs_after(&self, from: f64) -> usize {
        let rung = |p: &Option<Picture>| p.map(|p| (p.width, p.fps));
        let late = |w: &&[(i64, Option<Picture>)]| w[1].0 as f64 > from * 1e6;
        let pairs = self.main.windows(2).filter(late);
        pairs.filter(|w| rung(&w[0].1) != rung(&w[1].1)).count()
    }

    /// The first moment from `from` on, seconds after it, since when no audio waited longer.
    fn settled(&self, place: usize, from: f64, to: f64, ms: f64) -> f64 {
        let late = self.receivers[place].audio.iter().rev().find(|(at, queue)| {
            (from * 1e6..to * 1e6).contains(&(*at as f64)) && *queue as f64 > ms * 1e3
        });
        late.map_or(0.0, |(at, _)| *at as f64 / 1e6 - from)
    }
}

fn print(what: &str, w: &World, place: usize, from: f64, to: f64) {
    let [p50, p95, p99, most] = w.queue(place, from, to);
    eprintln!(
        "{what:32} {} of {} shown, {} keys, {} again, {from:4.0}-{to:4.0} s: queue p50 {p50:5.1} p95 {p95:5.1} p99 {p99:5.1} max {most:6.1} ms, \
         video {:4.0} kbit/s, rate {:4.0}, main {:?}, feed {:?}, held {} ms, lost {}",
        w.receivers[place].shown,
        w.pictures,
        w.made_keyframes,
        w.again,
        w.video_kbps(place, from, to),
        w.estimates[place].kbps(),
        w.main.last().and_then(|m| m.1).map(|p| (p.height, p.fps, p.kbps)),
        w.feeds.last().and_then(|f| f.1[place]),
        w.receivers[place].held / 1_000,
        w.receivers[place].line.lost + w.uplink.lost,
    );
}

/// Time that one video packet takes on a line, milliseconds: what audio cannot be spared.
fn packet(kbps: f64) -> f64 {
    1_178.0 * 8.0 / kbps
}

#[test]
fn audio_waits_for_one_video_packet_and_little_more_whatever_the_path_carries() {
    for kbps in [200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 1_000.0] {
        let mut w = World::new(CLEAN, &[rate(kbps)]);
        w.run(60.0);
        print(&format!("{kbps} kbit/s"), &w, 0, 0.0, 5.0);
        print("", &w, 0, 5.0, 60.0);
        let [.., most] = w.queue(0, 0.0, 5.0);
        assert!(most <= 90.0, "{kbps}: {most} ms while the path is learnt");
        let [_, p95, p99, most] = w.queue(0, 5.0, 60.0);
        let one = packet(kbps);
        assert!(p95 <= one + 12.0 && p99 <= one + 25.0 && most <= one + 50.0, "{kbps}");
        assert_eq!(w.receivers[0].line.lost, 0, "{kbps}: the queue of 500 ms is never full");
        let video = w.video_kbps(0, 5.0, 60.0);
        let left = (kbps - 131.0).min(400.0);
        assert!(video >= left * 0.75, "{kbps}: {video:.0} of {left:.0} kbit/s are used");
        assert!(w.rungs_after(20.0) == 0, "{kbps}: the picture does not swing");
    }
}

#[test]
fn audio_alone_has_150_kbit_s_for_itself() {
    let mut w = World::new(CLEAN, &[rate(150.0)]);
    w.run(120.0);
    print("150 kbit/s", &w, 0, 5.0, 120.0);
    let [p50, p95, _, most] = w.queue(0, 5.0, 120.0);
    assert!(p50 <= 5.0 && p95 <= 5.0 && most <= 130.0, "only tries of a picture are felt");
    assert_eq!((w.receivers[0].line.lost, w.feeds.last().unwrap().1[0]), (0, None));
    assert!(w.video_kbps(0, 5.0, 120.0) < 3.0);
}

#[test]
fn a_path_that_breaks_is_followed_down_in_a_second_and_up_in_half_a_minute() {
    let mut w = World::new(CLEAN, &[rate(1_500.0)]);
    w.run(20.0);
    w.receivers[0].line.kbps = Some(300.0);
    w.run(30.0);
    w.receivers[0].line.kbps = Some(1_500.0);
    w.run(60.0);
    print("1,500 to 300 kbit/s", &w, 0, 20.0, 22.0);
    print("", &w, 0, 22.0, 50.0);
    let [.., most] = w.queue(0, 20.0, 22.0);
    let settled = w.settled(0, 20.0, 22.0, packet(300.0) + 25.0);
    eprintln!("longest {most:.0} ms, settled after {settled:.2} s");
    assert!(most <= 170.0 && settled <= 1.0, "{most} ms, {settled} s");
    let full = |p: &Picture| (p.height, p.fps, p.kbps) == (480, 24, 400);
    let back = w.main.iter().find(|(at, p)| *at > 50_000_000 && p.as_ref().is_some_and(full));
    let back = back.unwrap().0 as f64 / 1e6 - 50.0;
    eprintln!("the whole picture is back after {back:.1} s");
    assert!(back <= 35.0, "{back}");
}

#[test]
fn jitter_is_no_congestion() {
    for (jitter, share) in [(10, 0.95), (50, 0.75), (100, 0.4)] {
        let mut w = World::new(CLEAN, &[Line { jitter: jitter * 1_000, ..CLEAN }]);
        w.run(120.0);
        print(&format!("jitter {jitter} ms"), &w, 0, 60.0, 120.0);
        let video = w.video_kbps(0, 60.0, 120.0);
        assert!(video >= 400.0 * share, "{jitter} ms: {video:.0} kbit/s");
    }
}

#[test]
fn loss_from_ten_percent_on_takes_the_picture_and_audio_keeps_what_it_has() {
    for (loss, least, most) in [
        (1, 380.0, 470.0),
        (5, 330.0, 470.0),
        (15, 40.0, 130.0),
        (20, 40.0, 110.0),
        (30, 0.0, 90.0),
    ] {
        let mut w = World::new(CLEAN, &[Line { loss: f64::from(loss) / 100.0, ..CLEAN }]);
        w.run(60.0);
        print(&format!("loss {loss} %"), &w, 0, 20.0, 60.0);
        let video = w.video_kbps(0, 20.0, 60.0) / (1.0 - f64::from(loss) / 100.0);
        assert!((least..=most).contains(&video), "{loss} %: {video:.0} kbit/s");
        assert_eq!(
            w.estimates[0].limit_kbps().filter(|k| *k < 200.0),
            None,
            "audio is told nothing"
        );
    }
}

#[test]
fn peers_on_one_thin_uplink_share_it() {
    for (kbps, alike, least) in [(600.0, 0.55, 130.0), (1_000.0, 0.9, 450.0)] {
        let lines = [CLEAN, Line { delay: 60_000, ..CLEAN }, CLEAN];
        let mut w = World::new(rate(kbps), &lines);
        w.run(120.0);
        for n in 0..3 {
            print(&format!("uplink {kbps}, peer {n}"), &w, n, 30.0, 120.0);
            let [_, p95, _, most] = w.queue(n, 30.0, 120.0);
            assert!(p95 <= 30.0 && most <= 75.0, "{kbps}");
        }
        let video = [0, 1, 2].map(|n| w.video_kbps(n, 30.0, 120.0));
        let [low, high] = [f64::min as fn(f64, f64) -> f64, f64::max]
            .map(|f| video.iter().copied().reduce(f).unwrap());
        assert!(low >= high * alike, "{kbps}: {video:.0?}");
        assert!(video.iter().sum::<f64>() >= least, "{kbps}: {video:.0?}");
        assert_eq!(w.uplink.lost, 0);
    }
}

#[test]
fn one_bad_peer_costs_the_others_nothing() {
    let mut alone = World::new(CLEAN, &[CLEAN]);
    alone.run(60.0);
    let mut w = World::new(CLEAN, &[CLEAN, rate(250.0), CLEAN]);
    w.run(60.0);
    for n in 0..3 {
        print(&format!("one bad, peer {n}"), &w, n, 5.0, 60.0);
    }
    for n in [0, 2] {
        let share = w.video_kbps(n, 5.0, 60.0) / alone.video_kbps(0, 5.0, 60.0);
        assert!(share >= 0.97, "{share}");
        assert!(w.queue(n, 5.0, 60.0)[3] <= 1.0);
    }
    assert!(w.video_kbps(1, 5.0, 60.0) >= 80.0);
    assert_eq!(w.feeds.last().unwrap().1[1].map(|f| f.0), Some(Source::Low));
}

#[test]
fn who_asks_for_fragments_all_the_time_is_heard_fifty_times_a_second() {
    let mut congestion = Congestion::new(400);
    let peer = ParticipantId(2);
    assert!(!congestion.may_ask_again(peer, Micros(0)), "it is not there");
    congestion.joined(peer, false);
    let heard = (0..1_000).filter(|n| congestion.may_ask_again(peer, Micros(n * 1_000))).count();
    assert_eq!(heard, 50);
}

#[test]
fn who_is_not_heard_takes_no_part_when_the_others_share() {
    let rates = |silent: bool| {
        let mut congestion = Congestion::new(400);
        let ids = [1, 2, 3].map(ParticipantId);
        ids.iter().for_each(|&id| congestion.joined(id, false));
        let calm = |kbps| PathReport { queue_micros: 0, noise_micros: 0, received_kbps: kbps };
        let mut now = Micros(0);
        // The third one is the best, until it is heard no more.
        for n in 0..100 {
            now = Micros(n * 100_000);
            for (id, kbps) in ids.into_iter().zip([300, 320, 330]) {
                congestion.reported(id, &calm(kbps), 20_000, now);
                congestion.peers[usize::from(id.0)].as_mut().unwrap().estimate.tick(now);
            }
        }
        let at = now + 2_000_000;
        let heard = if silent { &ids[..2] } else { &ids[..] };
        for n in 0..20 {
            now = at + n * 100_000;
            for &id in heard {
                let queue = PathReport { queue_micros: 60_000, ..calm(300) };
                congestion.reported(id, &queue, 20_000, now);
            }
            congestion.share(now);
        }
        assert!(congestion.common.is_some());
        ids.map(|id| congestion.peers[usize::from(id.0)].as_ref().unwrap().estimate.kbps())
    };
    let [a, b, third] = rates(true);
    assert!((a - b).abs() < 5.0, "{a} and {b} share");
    assert!(third > 450.0 && a < 300.0, "{third} is what it was, {a} is not pulled up to it");
    let [a, b, third] = rates(false);
    assert!((a - third).abs() < 20.0 && (a - b).abs() < 20.0, "{a} {b} {third}");
}
