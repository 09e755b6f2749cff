//! A whole call of two in virtual time: handshake, clock, sound, picture, recording and BYE over a
//! path that loses 5 % and jitters by 10 ms, between machines whose clocks and cards disagree. No
//! socket, no thread, no sleep: everything follows from the seed.

mod party;
mod receiver;
mod sender;
mod tape;

use std::hash::{DefaultHasher, Hash, Hasher};

use hyperzoom::audio::test_sound::{CHIRP_PERIOD, chirp};
use hyperzoom::clock::SessionClock;
use hyperzoom::protocol::{Admit, Header, MAX_DATAGRAM, Mesh, MeshEvent, PacketType, SessionStart};
use hyperzoom::recording::grid::Content;
use hyperzoom::units::{Micros, ParticipantId, SessionMicros};
use hyperzoom::video::image::luma_psnr;

use self::party::{Kind, LocalClock, Outbox, Party};
use crate::support::call::{EPOCH_UTC, KEY, SECOND, address, local, randomness};
use crate::support::correlate::best_match;
use crate::support::sim::{Link, SimNetwork, SimRng};

/// PRD's rough path: 5 % lost, 10 ms of jitter; some packets overtake others or come twice.
const ROUGH: Link = Link {
    delay_micros: 20_000,
    jitter_micros: 10_000,
    loss: 0.05,
    duplicate: 0.01,
    reorder: 0.05,
    down: false,
};
const SAMPLES: u64 = 48_000;

/// One datagram as it left.
struct Sent {
    at: Micros,
    from: usize,
    kind: PacketType,
    len: usize,
}

/// One shown picture against the one that was sent.
struct Judged {
    /// When, network's clock.
    at: Micros,
    number: Option<u64>,
    /// Luma against what went into the encoder; `None` when no such picture was sent.
    psnr: Option<f64>,
    /// Capture to display, microseconds of true time.
    delay: i64,
}

/// Host (0), guest (1), the network between, and what an onlooker who sees all clocks notes.
struct World {
    net: SimNetwork,
    parties: [Party; 2],
    now: Micros,
    wire: Vec<Sent>,
    judged: [Vec<Judged>; 2],
    /// Error of the guest's session clock and the bound that it publishes, microseconds.
    clock: Vec<(i64, i64)>,
    trace: DefaultHasher,
}

impl World {
    fn new(seed: u64, link: Link, kinds: [Kind; 2]) -> Self {
        let [host, guest] = kinds;
        let start = SessionStart {
            session_id: [1, 2, 3, 4, 5, 6, 7, 8],
            epoch_utc_micros: EPOCH_UTC,
            utc_offset_seconds: 3_600,
            name: Some("Pilot".into()),
        };
        let zero = host.clock.at(Micros(0));
        let random = randomness(seed + 1_000);
        let mesh = Mesh::host(local("Alice"), Admit::Key, KEY, start, false, zero, random);
        let exact = Some(SessionClock::exact(zero));
        let alice = Party::new(address(0), host, mesh, exact, seed + 1);
        let (now, random) = (guest.clock.at(Micros(0)), randomness(seed + 2_000));
        let mesh = Mesh::guest(local("Bob"), vec![address(0)], Some(KEY), now, random);
        let bob = Party::new(address(1), guest, mesh, None, seed + 2);
        Self {
            net: SimNetwork::new(seed, link),
            parties: [alice, bob],
            now: Micros(0),
            wire: Vec::new(),
            judged: [Vec::new(), Vec::new()],
            clock: Vec::new(),
            trace: DefaultHasher::new(),
        }
    }

    /// What a party's session clock says at a moment of the network's time.
    fn session(&self, party: usize, at: Micros) -> Option<SessionMicros> {
        let party = &self.parties[party];
        party.session.at(party.kind.clock.at(at))
    }

    fn run(&mut self, micros: i64) {
        let end = self.now + micros;
        loop {
            let due = self.parties.iter().map(|p| p.kind.clock.when(p.next()));
            let next = due.chain(self.net.next_arrival()).min().expect("devices go on");
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            while let Some(delivery) = self.net.deliver(self.now) {
                let to = usize::from(delivery.to != self.parties[0].address);
                self.with(to, |party, now, out| {
                    party.arrive(now, delivery.from, delivery.datagram, out);
                });
                self.judge(to);
            }
            for index in 0..2 {
                self.with(index, Party::act);
            }
            self.check_clock();
        }
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut Party, Micros, &mut Outbox)) {
        let mut out = Vec::new();
        let party = &mut self.parties[index];
        act(party, party.kind.clock.at(self.now), &mut out);
        for (to, datagram) in out {
            (self.now.0, index, &datagram).hash(&mut self.trace);
            let (header, _) = Header::decode(&datagram).unwrap();
            let (kind, len) = (header.kind, datagram.len());
            self.wire.push(Sent { at: self.now, from: index, kind, len });
            self.net.send(self.now, self.parties[index].address, to, &datagram);
        }
    }

    /// Compares what `viewer` was just shown with what the other one sent.
    fn judge(&mut self, viewer: usize) {
        let Some(eye) = &mut self.parties[viewer].eye else { return };
        for shown in std::mem::take(&mut eye.fresh) {
            let sender = &self.parties[1 - viewer];
            let sent = shown.number.and_then(|n| sender.live.sent.get(&n));
            let sent = sent.filter(|(captured, _)| *captured == shown.captured);
            let psnr = sent.and_then(|(_, image)| luma_psnr(image, &shown.image));
            let local = shown.captured.0 - sender.session.offset().unwrap_or(0);
            let delay = self.now.since(sender.kind.clock.when(Micros(local)));
            (self.now.0, viewer, shown.number).hash(&mut self.trace);
            self.judged[viewer].push(Judged { at: self.now, number: shown.number, psnr, delay });
        }
    }

    fn check_clock(&mut self) {
        let Some(estimate) = self.parties[1].estimate else { return };
        let (Some(guest), Some(host)) = (self.session(1, self.now), self.session(0, self.now))
        else {
            return;
        };
        self.clock.push((guest.since(host), estimate.uncertainty));
    }

    /// All that happened, in a number.
    fn trace(&self) -> u64 {
        let mut trace = self.trace.clone();
        for party in &self.parties {
            for sample in party.ear.heard.iter().chain(&party.tape.samples) {
                sample.to_bits().hash(&mut trace);
            }
            for slot in &party.tape.slots {
                (slot.index, slot.captured).hash(&mut trace);
            }
        }
        trace.finish()
    }
}

/// Clocks of different origin that part by 100 ppm, cards that part from them, unlike cameras.
fn kinds(seed: u64) -> [Kind; 2] {
    let mut rng = SimRng::new(seed ^ 0xC10C);
    let mut origin = || (rng.next_u64() % 1_000_000_000_000) as i64;
    let host = Kind {
        clock: LocalClock { origin: origin(), ppm: 50 },
        voice: 0,
        mic_period: 480,
        mic_ppm: -20.0,
        speaker_period: 128,
        speaker_ppm: -20.0,
        // 30.3 a second: the grid has no slot for some.
        camera_interval: 33_000,
    };
    let guest = Kind {
        clock: LocalClock { origin: origin(), ppm: -50 },
        voice: 1,
        mic_period: 128,
        mic_ppm: 35.0,
        speaker_period: 480,
        speaker_ppm: 35.0,
        camera_interval: 40_000,
    };
    [host, guest]
}

/// A call of some 24 s, with the guest's camera off for one of them; the guest leaves first.
fn hold(seed: u64) -> World {
    let mut world = World::new(seed, Link { down: true, ..ROUGH }, kinds(seed));
    // The first HELLO is lost for sure.
    world.run(300_000);
    world.net.set_default(ROUGH);
    world.run(14 * SECOND);
    world.with(1, |party, now, out| party.switch_camera(now, false, out));
    world.run(SECOND);
    world.with(1, |party, now, out| party.switch_camera(now, true, out));
    world.run(9 * SECOND);
    world.with(1, Party::leave);
    world.run(SECOND / 2);
    world.with(0, Party::leave);
    world.run(SECOND);
    world
}

fn check(seed: u64) -> World {
    let mut world = hold(seed);
    let ends = [0, 1].map(|index| world.parties[index].finish());
    came_and_went(&world);
    went_over_the_wire_in_order(&world);
    for index in 0..2 {
        heard(&world, index);
        seen(&world, index);
        recorded(&world, index, ends[index]);
    }
    clocks_agree(&world);
    world
}

fn came_and_went(world: &World) {
    let [host, guest] = &world.parties;
    for (party, other) in [(host, 1), (guest, 0)] {
        let peer = ParticipantId(other);
        let joined =
            |e: &MeshEvent| matches!(e, MeshEvent::PeerJoined { peer: p, .. } if *p == peer);
        assert_eq!(party.count(joined), 1);
        let at = party.kind.clock.when(party.saw(joined).unwrap());
        assert!(at > Micros(300_000) && at < Micros(4 * SECOND), "{at:?}");
        assert!(party.left && party.mesh.poll_timeout().is_none());
        let beats = party.count(|e| matches!(e, MeshEvent::PeerStatus { .. }));
        assert!((18..=27).contains(&beats), "{beats} heartbeats");
        let drops = party.demux.drops();
        assert_eq!(drops.unsealed + drops.header + drops.malformed + drops.relay, 0, "{drops:?}");
        // What was still under way as keys came or went belongs to nobody.
        assert!(drops.unknown_peer < 50, "{drops:?}");
        assert!(drops.replay > 0, "duplicates are told: {drops:?}");
    }
    assert_eq!(guest.mesh.own(), ParticipantId(1));
    let left = |e: &MeshEvent| matches!(e, MeshEvent::PeerLeft { .. });
    assert_eq!((host.count(left), guest.count(left)), (1, 0), "the guest went by itself");
    let camera_off =
        |e: &MeshEvent| matches!(e, MeshEvent::PeerStatus { status, .. } if status.camera_off);
    assert!(host.saw(camera_off).is_some() && guest.saw(camera_off).is_none());
    let t0 = host.mesh.t0().unwrap();
    assert_eq!(t0.0 % SECOND, 0);
    assert_eq!(guest.mesh.t0(), Some(t0));
    assert_eq!(host.tape.start().unwrap().t0, guest.tape.start().unwrap().t0);
}

fn went_over_the_wire_in_order(world: &World) {
    let video = |kind| matches!(kind, PacketType::VideoKey | PacketType::VideoDelta);
    for index in 0..2 {
        let sent: Vec<_> = world.wire.iter().filter(|s| s.from == index).collect();
        assert!(sent.iter().all(|s| s.len <= MAX_DATAGRAM));
        for boundary in sent.chunk_by(|a, b| a.at == b.at) {
            let first = boundary.iter().position(|s| video(s.kind)).unwrap_or(boundary.len());
            let behind = &boundary[first..];
            assert!(behind.iter().all(|s| s.kind != PacketType::Audio), "audio goes first");
            let bytes: usize = boundary.iter().filter(|s| video(s.kind)).map(|s| s.len).sum();
            assert!(bytes <= MAX_DATAGRAM, "{bytes} bytes of video at once");
        }
        let bye = |s: &&&Sent| s.kind == PacketType::Bye;
        let byes = sent.iter().filter(bye).count();
        assert_eq!(byes, [0, 3][index], "who leaves first says so three times");
        let last = sent.iter().rposition(|s| s.kind == PacketType::Audio).unwrap();
        let first_bye = sent.iter().position(|s| s.kind == PacketType::Bye);
        assert!(first_bye.is_none_or(|bye| last < bye), "nothing comes behind the first BYE");
    }
}

/// What `index` heard is what the other one said, later by an almost constant time.
fn heard(world: &World, index: usize) {
    let (listener, speaker) = (&world.parties[index], &world.parties[1 - index]);
    let ear = &listener.ear;
    let last = *ear.trace.last().unwrap();
    let concealed = last.concealed_samples as f64 / last.played_samples as f64;
    let mut delays = Vec::new();
    for second in 5..22 {
        let said = speaker.kind.clock.when(speaker.mic.captured(second * SAMPLES));
        let wanted = chirp(speaker.kind.voice, second % CHIRP_PERIOD);
        // Looked for within 200 ms from when it was said.
        let local = listener.kind.clock.at(said);
        let from = (local.since(ear.played(0.0)) * 48 / 1_000) as usize;
        let found = best_match(&ear.heard[from..from + 9_600 + wanted.len()], &wanted).unwrap();
        assert!(found.score > 0.6, "second {second}: {found:?}");
        let played = listener.kind.clock.when(ear.played(from as f64 + found.offset));
        delays.push(played.since(said) as f64 / 1_000.0);
    }
    let (least, most) =
        delays.iter().fold((f64::MAX, f64::MIN), |(a, b), d| (a.min(*d), b.max(*d)));
    println!(
        "listener {index}: delays {least:.1} to {most:.1} ms, concealed {:.2} %, {last:?}",
        concealed * 100.0
    );
    println!("   {delays:.1?}");
    println!(
        "   depth {:.1} to {:.1}, target {:.1} to {:.1}",
        ear.trace.iter().map(|s| s.depth_ms).fold(f32::MAX, f32::min),
        ear.trace.iter().map(|s| s.depth_ms).fold(0.0, f32::max),
        ear.trace.iter().map(|s| s.target_ms).fold(f32::MAX, f32::min),
        ear.trace.iter().map(|s| s.target_ms).fold(0.0, f32::max),
    );
}

/// What `index` was shown are whole pictures of the other one's camera, in order.
fn seen(world: &World, index: usize) {
    let (viewer, sender) = (&world.parties[index], &world.parties[1 - index]);
    let judged = &world.judged[index];
    let least = judged.iter().filter_map(|j| j.psnr).fold(f64::MAX, f64::min);
    let longest = judged.windows(2).map(|w| w[1].at.since(w[0].at)).max().unwrap();
    let mut delays: Vec<_> = judged.iter().map(|j| j.delay).collect();
    delays.sort_unstable();
    println!(
        "viewer {index}: {} of {} shown, least {least:.1} dB, longest pause {longest}, delay {} / {} \
         / {}, asked {} heard {} keyframes {} shed {}",
        judged.len(),
        sender.live.encoded,
        delays[0],
        delays[delays.len() / 2],
        delays[delays.len() * 95 / 100],
        viewer.keyframes_wanted,
        sender.asked_for_keyframes,
        sender.live.keyframes,
        sender.live.shed,
    );
    assert!(judged.iter().all(|j| j.number.is_some() && j.psnr.is_some()));
    assert!(judged.windows(2).all(|two| two[0].number < two[1].number));
}

fn recorded(world: &World, index: usize, end: u64) {
    let party = &world.parties[index];
    let (grid, sound) = party.tape.counts();
    let start = party.tape.start().unwrap();
    println!(
        "recorder {index}: {start:?} to {end}, {grid:?}, {sound:?}, drift {}",
        party.tape.drift_micros()
    );
    let pictures =
        party.tape.slots.iter().filter(|s| matches!(s.content, Content::Picture(_))).count();
    assert_eq!(pictures as u64, grid.encoded);
}

fn clocks_agree(world: &World) {
    let worst = world.clock.iter().map(|(error, _)| error.abs()).max().unwrap();
    println!("clock: worst error {worst} us, bound {:?}", world.clock.last());
}

#[test]
fn a_call_over_a_rough_path_is_whole_on_both_sides() {
    let world = check(1);
    assert_eq!(world.trace(), check(1).trace(), "the same seed gives the same call");
}
