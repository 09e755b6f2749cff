//! Whole paths in virtual time: meters, estimates, allotment and fan-out joined as the threads join
//! them, over links with rates, queues, loss and jitter.

mod paths;

use super::*;
use crate::audio::codec::FrameLength;
use crate::audio::copies::{CopyPolicy, Path};
use crate::audio::packet::{MAX_AUDIO_PAYLOAD, parse_payload};
use crate::audio::reception::{Reception, ReceptionReport};
use crate::audio::redundancy::{Packer, Said};
use crate::audio::{FRAME, PlayoutBuffer, ReceivedAudio, TalkEncoder};
use crate::engine::live_send::CUT;
use crate::protocol::congestion::{KeyframeGate, PathMeter};
use crate::protocol::fragment;
use crate::video::allot::Picture;
use crate::video::assembly::Assembler;
use crate::video::fanout::{Fanout, OutFrame};

/// Headers and tag of a packet, bytes.
const HEADERS: usize = 56;
/// The codec's bitrate, kbit/s.
const CODEC: u32 = 32;
const N: usize = 3;

/// One direction of one line.
#[derive(Clone, Copy)]
struct Line {
    kbps: Option<f64>,
    queue: i64,
    delay: i64,
    jitter: i64,
    loss: f64,
    /// Nothing passes, either way.
    down: bool,
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
    down: false,
    busy: 0.0,
    newest: 0,
    lost: 0,
};

fn rate(kbps: f64) -> Line {
    Line { kbps: Some(kbps), ..CLEAN }
}

/// A frame of a tone, 20 bytes.
fn tone() -> Vec<u8> {
    let mut encoder = TalkEncoder::new(32_000).unwrap();
    let mut bytes = [0; MAX_AUDIO_PAYLOAD];
    let mut len = 0;
    for frame in 0..20 {
        let pcm: [f32; FRAME] =
            std::array::from_fn(|i| ((frame * 240 + i) as f32 * 0.05).sin() * 0.2);
        len = encoder.encode(&pcm, &mut bytes).unwrap();
    }
    assert_eq!(len, 20);
    bytes[..len].to_vec()
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
        if self.down {
            return None;
        }
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
    Audio { sequence: u64, sent: i64, payload: Vec<u8> },
    Padding,
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
    sent_bytes: u64,
    assembler: Assembler,
    shown: u64,
    asks: std::collections::VecDeque<(i64, Option<(u64, u32)>)>,
    /// How its audio is packed, by what it tells of it and of the path.
    packer: Packer,
    policy: CopyPolicy,
    reception: Reception,
    /// Its last report, when it left, and those on their way.
    told: (ReceptionReport, i64),
    telling: std::collections::VecDeque<(i64, ReceptionReport)>,
    heard: ReceptionReport,
    /// Frames in a packet, whenever that changed.
    frames: Vec<(i64, u8)>,
    held: i64,
    /// When a probe began.
    probes: Vec<i64>,
    /// When keyframes began to leave.
    keys: Vec<i64>,
    /// Where somebody listens: the speaker, and what was made up until then, samples.
    ear: Option<(PlayoutBuffer, Vec<(i64, u64)>)>,
}

/// Which encoder each peer is fed by, and how many layers.
type Feeds = [Option<(Source, u8)>; N];

struct World {
    now: i64,
    rng: Rng,
    uplink: Line,
    receivers: Vec<Receiver>,
    congestion: Congestion,
    fan: Fanout,
    /// Of each encoder: when its next picture is due, and its number.
    encoders: [(i64, u64); 2],
    number: u64,
    said: Said,
    /// What everybody says all the time.
    frame: Vec<u8>,
    keyframes: [KeyframeGate; 2],
    made_keyframes: u64,
    bases: [u8; 2],
    key_flags: u8,
    pictures: u64,
    again: u64,
    /// Main's picture whenever it changed.
    main: Vec<(i64, Option<Picture>)>,
    feeds: Vec<(i64, Feeds)>,
}

impl World {
    fn new(uplink: Line, lines: &[Line]) -> Self {
        let mut fan = Fanout::new(CUT);
        let mut congestion = Congestion::new(400);
        let receivers = lines.iter().enumerate().map(|(n, line)| {
            fan.join(n, 400);
            congestion.joined(ParticipantId(n as u8), false);
            Receiver {
                line: *line,
                meter: PathMeter::new(5_000),
                flying: Default::default(),
                reports: Default::default(),
                audio: Vec::new(),
                video_bytes: Vec::new(),
                sent_bytes: 0,
                assembler: Assembler::layered(),
                shown: 0,
                asks: Default::default(),
                packer: Packer::new(),
                policy: CopyPolicy::new(),
                reception: Reception::new(),
                told: Default::default(),
                telling: Default::default(),
                heard: ReceptionReport::default(),
                frames: Vec::new(),
                held: 0,
                probes: Vec::new(),
                keys: Vec::new(),
                ear: None,
            }
        });
        let receivers: Vec<_> = receivers.collect();
        Self {
            now: 0,
            rng: Rng(7),
            uplink,
            receivers,
            congestion,
            fan,
            encoders: [(0, 0); 2],
            number: 0,
            said: Said::new(FrameLength::Full),
            frame: tone(),
            keyframes: Default::default(),
            made_keyframes: 0,
            bases: [0; 2],
            key_flags: 0,
            pictures: 0,
            again: 0,
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
            self.hear();
            if self.now >= self.congestion.due().0 {
                self.think();
            }
            if self.now % 5_000 == 0 {
                self.speak();
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
                    if part.0 == 0 {
                        self.receivers[place].keys.push(self.now);
                    }
                }
                let bytes = match again {
                    true => 1_178,
                    false => fragment::fragment(out.data, out.size, out.fragment).len() + HEADERS,
                };
                self.fan.sent(place, again, bytes, now);
                self.again += u64::from(again);
                self.fly(place, Flying::Video { bytes, keyframe, sequence, part, flags }, bytes);
            }
            while self.fan.spent().is_some() {}
            self.now += 500;
        }
    }

    /// From now on somebody listens there.
    fn listen(&mut self, place: usize) {
        self.receivers[place].ear = Some((PlayoutBuffer::new().unwrap(), Vec::new()));
    }

    /// The next half millisecond at the speakers.
    fn hear(&mut self) {
        for receiver in &mut self.receivers {
            if let Some((buffer, made_up)) = &mut receiver.ear {
                buffer.pull_on_time(&mut [0.0; 24], Micros(self.now));
                let samples = buffer.stats().concealed_samples;
                if made_up.last().is_none_or(|(_, before)| *before != samples) {
                    made_up.push((self.now, samples));
                }
            }
        }
    }

    /// Share of the sound that was made up in those seconds, percent, and how deep the buffer is, ms.
    fn made_up(&self, place: usize, from: f64, to: f64) -> (f64, f64) {
        let (buffer, made_up) = self.receivers[place].ear.as_ref().unwrap();
        let until = |seconds: f64| {
            let before = made_up.iter().rev().find(|(at, _)| (*at as f64) < seconds * 1e6);
            before.map_or(0, |(_, samples)| *samples) as f64
        };
        let share = (until(to) - until(from)) / (to - from) / 480.0;
        (share, buffer.stats().depth_ms.into())
    }

    /// A frame of speech to everybody, packed for each, and padding behind it.
    fn speak(&mut self) {
        let now = Micros(self.now);
        let (number, sent) = (self.number, self.now);
        self.number += 1;
        assert!(self.said.say(number, &self.frame, false));
        for place in 0..self.receivers.len() {
            let mut payload = [0; MAX_AUDIO_PAYLOAD];
            let packer = &mut self.receivers[place].packer;
            // One a frame at most: there is no silence.
            if let Some((sequence, len)) = packer.next(&self.said, number, &mut payload) {
                let bytes = len + HEADERS;
                let payload = payload[..len].to_vec();
                self.fly(place, Flying::Audio { sequence, sent, payload }, bytes);
                self.fan.audio_sent(place, bytes, now);
            }
        }
        while let Some(padding) = self.fan.padding(now) {
            self.fly(padding.place, Flying::Padding, padding.bytes);
        }
    }

    fn arrive(&mut self) {
        for (place, receiver) in self.receivers.iter_mut().enumerate() {
            let now = Micros(self.now);
            let id = ParticipantId(place as u8);
            if self.now % 50_000 == 0 {
                // As engine::paths tells: at once while something is lost, else once a second.
                let report = receiver.reception.report();
                let (last, at) = receiver.told;
                let lossy = report.loss_10s.max(last.loss_10s).max(report.loss_1s) > 0;
                let every = if report != last && lossy { 100_000 } else { 1_000_000 };
                if self.now - at >= every {
                    receiver.told = (report, self.now);
                    if !receiver.line.down {
                        receiver.telling.push_back((self.now + 30_000, report));
                    }
                }
            }
            while receiver.telling.front().is_some_and(|(at, _)| *at <= self.now) {
                (_, receiver.heard) = receiver.telling.pop_front().unwrap();
                self.congestion.lost(id, receiver.heard.loss_1s, now);
            }
            // The receiver's thread looks every 10 ms; what it asks for takes 30 ms to arrive.
            if self.now % 10_000 == 0 && !receiver.line.down {
                let missing = receiver.assembler.missing_fragments(60_000, now);
                receiver.asks.extend(missing.map(|m| (self.now + 30_000, Some(m))));
                if receiver.assembler.wants_keyframe(now) {
                    receiver.asks.push_back((self.now + 30_000, None));
                }
            }
            while receiver.asks.front().is_some_and(|(at, _)| *at <= self.now) {
                match receiver.asks.pop_front().and_then(|(_, ask)| ask) {
                    Some((sequence, wanted)) => self.fan.again(place, sequence, wanted),
                    None => {
                        if let Some(source) = self.congestion.source(id) {
                            self.keyframes[source as usize].ask(1 << place, now);
                        }
                    }
                }
            }
            while receiver.flying.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (at, flying, bytes) = receiver.flying.pop_front().unwrap();
                let report = match flying {
                    Flying::Audio { sequence, sent, payload } => {
                        let least = self.uplink.delay + receiver.line.delay;
                        receiver.audio.push((sent, at - sent - least));
                        if let Some((buffer, _)) = &mut receiver.ear {
                            let packet = ReceivedAudio { sequence, payload: &payload };
                            buffer.push(&packet, Micros(at));
                        }
                        let payload = parse_payload(&payload).unwrap();
                        receiver.reception.push(sequence, &payload, Micros(at));
                        receiver.meter.audio(sequence, Micros(at), bytes)
                    }
                    Flying::Padding => receiver.meter.other(true, Micros(at), bytes),
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
                let report = report.filter(|_| !receiver.line.down);
                receiver.reports.extend(report.map(|r| (at + 30_000, r)));
            }
            while receiver.reports.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, report) = receiver.reports.pop_front().unwrap();
                self.congestion.reported(id, &report, 60_000, Micros(self.now));
            }
        }
    }

    fn think(&mut self) {
        let now = Micros(self.now);
        let mut uses = [Use::default(); MAX_PARTICIPANTS];
        for (n, receiver) in self.receivers.iter_mut().enumerate() {
            // As engine::paths packs.
            let capacity_kbps = self.congestion.peers[n].as_ref().unwrap().estimate.limit_kbps();
            let path = Path {
                codec_kbps: CODEC,
                frame: FrameLength::Full,
                capacity_kbps: capacity_kbps.map(|kbps| kbps as u32),
            };
            let plan = receiver.policy.update(&receiver.heard, &path, now);
            receiver.packer.set_plan(plan);
            if receiver.frames.last().is_none_or(|(_, frames)| *frames != plan.frames()) {
                receiver.frames.push((self.now, plan.frames()));
            }
            uses[n] = Use {
                audio_kbps: f64::from(plan.wire_kbps(CODEC, FrameLength::Full)),
                audio_wants: receiver.policy.wanted_kbps(&path).map(f64::from),
                sent: receiver.sent_bytes,
            };
        }
        let before = self.congestion.prober.trying();
        let plans = self.congestion.decide(&uses, true, now);
        let trying = self.congestion.prober.trying();
        if let Some(place) = trying.filter(|_| trying != before) {
            self.receivers[place].probes.push(self.now);
        }
        let pictures = self.congestion.allotment.pictures();
        if self.main.last().is_none_or(|(_, p)| *p != pictures[0]) {
            self.main.push((self.now, pictures[0]));
        }
        let mut feeds = [None; N];
        for (n, plan) in plans.iter().take(self.receivers.len()).enumerate() {
            let plan = plan.unwrap();
            feeds[n] = plan.feed.map(|f| (f.source, f.layers));
            self.fan.set(n, plan.feed, plan.kbps, plan.pace_kbps);
            self.fan.hold(n, plan.held);
            if plan.cut_off {
                self.fan.cut_off(n);
                if let Some(source) = self.fan.wants_keyframe(n) {
                    self.keyframes[source as usize].must();
                }
            }
            self.congestion.peers[n].as_mut().unwrap().cut_off = false;
            self.fan.fill(n, plan.fill_kbps);
            self.receivers[n].held += if plan.held { THINK } else { 0 };
        }
        if self.feeds.last().is_none_or(|(_, f)| *f != feeds) {
            self.feeds.push((self.now, feeds));
        }
    }

    fn estimate(&self, place: usize) -> &Estimate {
        &self.congestion.peers[place].as_ref().unwrap().estimate
    }

    /// An encoder that meets its target, with keyframes of four and a half frames.
    fn encode(&mut self) {
        for source in [Source::Main, Source::Low] {
            let Some(picture) = self.congestion.allotment.pictures()[source as usize] else {
                continue;
            };
            let (due, number) = &mut self.encoders[source as usize];
            if self.now < *due {
                continue;
            }
            *due = self.now + 1_000_000 / i64::from(picture.fps);
            if self.fan.delay(source).is_none_or(|delay| delay > 80_000) {
                continue;
            }
            let now = Micros(self.now);
            let gate = &mut self.keyframes[source as usize];
            for n in (0..N).filter(|n| self.fan.wants_keyframe(*n) == Some(source)) {
                gate.ask(1 << n, now);
            }
            let keyframe = *number % (u64::from(picture.fps) * 2) == 0 || gate.is_due(now);
            if keyframe {
                gate.made(now);
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

    /// Seconds from then until as much of the picture has come in each second that follows, for three
    /// of them.
    fn reaches(&self, place: usize, from: f64, kbps: f64) -> f64 {
        let end = self.now as f64 / 1e6;
        let mut tenths = (0..).map(|n| from + f64::from(n) * 0.1).take_while(|at| at + 3.0 <= end);
        let enough = |at: &f64| {
            (0..3).all(|n| {
                let at = at + f64::from(n);
                self.video_kbps(place, at, at + 1.0) >= kbps
            })
        };
        tenths.find(enough).map_or(f64::MAX, |at| at - from)
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
        w.estimate(place).kbps(),
        w.main.last().and_then(|m| m.1).map(|p| (p.height, p.fps, p.kbps)),
        w.feeds.last().and_then(|f| f.1[place]),
        w.receivers[place].held / 1_000,
        w.receivers[place].line.lost + w.uplink.lost,
    );
}
