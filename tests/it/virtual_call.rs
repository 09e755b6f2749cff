//! A whole call of two in virtual time: handshake, clock, sound, picture, recording and BYE over a
//! path that loses 5 % and jitters by 10 ms, between machines whose clocks and cards disagree. No
//! socket, no thread, no sleep: everything follows from the seed.

mod party;
mod receiver;
mod sender;
mod tape;

use std::hash::{DefaultHasher, Hash, Hasher};

use hyperzoom::audio::test_sound::{CHIRP_PERIOD, chirp};
use hyperzoom::clock::Follower;
use hyperzoom::protocol::{Admit, Header, MAX_DATAGRAM, Mesh, MeshEvent, PacketType, SessionStart};
use hyperzoom::recording::grid::Content;
use hyperzoom::units::{Micros, ParticipantId, SessionMicros};
use hyperzoom::video::image::luma_psnr;

use self::party::{Kind, LocalClock, Outbox, Party};
use crate::support::busy::busy;
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
    /// Capture to display, microseconds of true time, where the sender said when it was captured.
    delay: Option<i64>,
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
        let exact = Some(Follower::holder(zero));
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
        party.at(party.kind.clock.at(at))
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
            let local = sender.session.map().map(|map| map.to_local(shown.captured));
            let delay = local
                .filter(|_| shown.captured != SessionMicros(0))
                .map(|local| self.now.since(sender.kind.clock.when(local)));
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

/// Gives the call's trace.
fn check(seed: u64) -> u64 {
    let world = hold(seed);
    came_and_went(&world);
    went_over_the_wire_in_order(&world);
    for index in 0..2 {
        heard(&world, index);
        seen(&world, index);
        recorded(&world, index);
    }
    clocks_agree(&world);
    world.trace()
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
        // One a second, and at once when a way or an address has changed.
        assert!((18..=40).contains(&beats), "{beats} heartbeats");
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
    assert_eq!(last.rejected, 0);
    let lost = last.lost as f64 / (last.received + last.lost) as f64;
    assert!((0.035..0.065).contains(&lost), "{lost}");
    // A frame is concealed because it is lost; hardly ever because it is late.
    let concealed = last.concealed_samples as f64 / last.played_samples as f64;
    assert!((0.035..lost + 0.015).contains(&concealed), "{concealed} concealed, {lost} lost");
    for stats in &ear.trace {
        assert!((0.0..=30.0).contains(&stats.depth_ms), "{stats:?}");
        assert!((0.0..=30.0).contains(&stats.target_ms), "{stats:?}");
        assert!(stats.rate_ppm.abs() <= 5_000.0, "{stats:?}");
    }
    // No jump of pitch: 250 ppm from one frame to the next, and this many frames in a block.
    let step = 250.0 * (listener.kind.speaker_period.div_ceil(240) + 1) as f32;
    let jumps = ear.trace.windows(2).map(|two| (two[1].rate_ppm - two[0].rate_ppm).abs());
    let most = jumps.fold(0.0, f32::max);
    assert!(most <= step, "{most} ppm at once");

    let mut delays = Vec::new();
    for second in 4..22 {
        let said = speaker.kind.clock.when(speaker.mic.captured(second * SAMPLES));
        let wanted = chirp(speaker.kind.voice, second % CHIRP_PERIOD);
        // Looked for within 200 ms from when it was said.
        let local = listener.kind.clock.at(said);
        let from = (local.since(ear.played(0.0)) * 48 / 1_000) as usize;
        let found = best_match(&ear.heard[from..from + 9_600 + wanted.len()], &wanted).unwrap();
        // A chirp whose middle was lost is still found.
        assert!(found.score > 0.4, "second {second}: {found:?}");
        let played = listener.kind.clock.when(ear.played(from as f64 + found.offset));
        delays.push(played.since(said) as f64 / 1_000.0);
    }
    let least = delays.iter().fold(f64::MAX, |a, b| a.min(*b));
    let most = delays.iter().fold(f64::MIN, |a, b| a.max(*b));
    // Path, block and callback of the microphone, the codec's look-ahead; then the playout depth
    // and the speaker's block.
    let (mic, speaker) = (speaker.kind.mic_period, listener.kind.speaker_period);
    let fixed = 20.0 + mic.max(240) as f64 / 48.0 + 2.5;
    let most_allowed = fixed + 240.0 / 48.0 + 30.0 + 2.0 * speaker as f64 / 48.0 + 2.0;
    assert!(least >= fixed && most <= most_allowed, "{fixed} <= {delays:?} <= {most_allowed}");
    // A path that becomes slower for a moment makes the buffer a frame deeper for a second.
    assert!(most - least <= 6.0, "{delays:.2?}");
}

/// What `index` was shown are whole pictures of the other one's camera, in order.
fn seen(world: &World, index: usize) {
    let (viewer, sender) = (&world.parties[index], &world.parties[1 - index]);
    let judged = &world.judged[index];
    assert_eq!(viewer.damaged, 0);
    for picture in judged {
        let psnr = picture.psnr.expect("the picture's code is that of one that was sent");
        assert!(psnr > 35.0, "picture {:?} has {psnr:.1} dB", picture.number);
    }
    assert!(judged.windows(2).all(|two| two[0].number < two[1].number), "numbers rise");
    // A tenth of the pictures and a third of the keyframes lack a packet, and each time one has to
    // wait for the next keyframe: what is left is most of a path's worth, and never a long pause.
    let share = judged.len() as f64 / sender.live.encoded as f64;
    assert!(share > 0.3, "{share:.2} of all pictures were shown");
    let pause = judged.windows(2).map(|two| two[1].at.since(two[0].at)).max().unwrap();
    assert!(pause < 3 * SECOND, "nothing shown for {pause} us");
    // A guest whose clock is not set yet cannot say when it captured a picture.
    let mut delays: Vec<_> = judged.iter().filter_map(|j| j.delay).collect();
    assert!(judged.len() - delays.len() < 30);
    delays.sort_unstable();
    let p95 = delays[delays.len() * 95 / 100];
    // Camera 20 ms, path 20 to 30 ms.
    assert!(delays[0] >= 40_000 && p95 < 150_000, "{} to {p95} us", delays[0]);

    assert!(viewer.keyframes_wanted >= 5 && sender.asked_for_keyframes >= 5);
    assert!(sender.asked_for_keyframes <= viewer.keyframes_wanted, "none is asked for twice");
    let from = 1 - index;
    for (at, event) in &sender.events {
        let at = sender.kind.clock.when(*at);
        let dark = from == 1 && (13 * SECOND..16 * SECOND).contains(&at.0);
        let over = at > Micros(23 * SECOND);
        if dark || over || !matches!(event, MeshEvent::KeyframeRequested { .. }) {
            continue;
        }
        let answer = |s: &&Sent| s.from == from && s.kind == PacketType::VideoKey && s.at >= at;
        let answer = world.wire.iter().find(answer).expect("a keyframe follows");
        // The camera's next picture, its way into the program, what waits before it.
        assert!(answer.at.since(at) < 150_000, "asked at {at:?}, sent at {:?}", answer.at);
    }
}

/// The recording of `index` lacks nothing that its devices delivered, and stands where it should.
fn recorded(world: &World, index: usize) {
    let party = &world.parties[index];
    let end = party.end.expect("the recording is closed");
    let (grid, sound) = party.tape.counts();
    let start = party.tape.start().unwrap();
    let slots = &party.tape.slots;
    // Who comes late begins late, on the same grid.
    assert!(start.first_slot <= [0, 60][index]);
    // A picture of the last moment whose slot lies behind the end still gets it.
    let length = end - start.first_slot;
    assert!([length, length + 1].contains(&(slots.len() as u64)));
    assert_eq!(party.tape.samples.len() as u64, length * 1_600);
    assert_eq!(sound.written, party.tape.samples.len() as u64);
    assert_eq!((sound.silence_filled, sound.gaps, sound.held), (0, 0, 0));

    // Pictures: each once, in order, near its time.
    assert_eq!((grid.queued, grid.late), (0, 0));
    assert_eq!(grid.captured, grid.encoded + grid.cadence_discarded + grid.withheld);
    let mut last = None;
    for (slot, wanted) in slots.iter().zip(start.first_slot..) {
        assert_eq!(slot.index, wanted);
        if let Content::Picture(number) = slot.content {
            assert!(last < Some(number));
            last = Some(number);
            let off = slot.captured.unwrap().since(start.slot(slot.index));
            assert!(off.abs() <= 50_000, "slot {} shows {off} us", slot.index);
        }
    }
    let map = party.session.map().unwrap();
    let within = |number: &u64| {
        let at = map.to_session(party.camera_captured(*number));
        at >= start.file() && at < start.slot(end)
    };
    let captured = (0..1_000).filter(within).count() as u64;
    assert!(captured.abs_diff(grid.captured) <= 1, "{captured} were captured: {grid:?}");
    match index {
        0 => {
            assert!((5..=9).contains(&grid.cadence_discarded), "{grid:?}");
            assert_eq!((grid.black, grid.withheld), (0, 0));
            // The camera is never short of a picture, but the last one may have come early.
            let (_, before) = slots.split_last().unwrap();
            assert!(before.iter().all(|s| s.content != Content::Repeat));
        }
        _ => {
            // A second of 25 pictures is withheld, and 30 slots are black; of the other slots each
            // sixth repeats.
            assert!((24..=26).contains(&grid.withheld) && (28..=32).contains(&grid.black));
            assert_eq!(grid.cadence_discarded, 0);
            assert!(grid.repeated.abs_diff(grid.encoded / 5) <= 3, "{grid:?}");
        }
    }

    // Sound: each second of what the microphone said stands at its instant of the session clock,
    // which the resampler follows without a step.
    let mut before: Option<i64> = None;
    for second in 3..16 {
        let chirp = chirp(party.kind.voice, second);
        let said = party.kind.clock.when(party.mic.captured(second * SAMPLES));
        let truth = world.session(0, said).unwrap().since(start.file());
        let from = (truth * 48 / 1_000 - 2_400) as usize;
        let found = best_match(&party.tape.samples[from..from + 9_600], &chirp).unwrap();
        assert!(found.score > 0.98, "second {second}: {found:?}");
        let place = (from as f64 + found.offset) * 1_000.0 / 48.0;
        let error = place as i64 - truth;
        // The guest's clock is off by half of the path's asymmetry at most.
        assert!(error.abs() <= [300, 6_000][index], "second {second} is off by {error} us");
        let step = before.map_or(0, |before| (error - before).abs());
        assert!(step < 1_500, "second {second}: {step} us more than the one before");
        before = Some(error);
    }
}

fn clocks_agree(world: &World) {
    assert!(world.clock.len() > 1_000);
    for (error, bound) in &world.clock {
        assert!(error.abs() <= *bound, "off by {error} us, said to be within {bound} us");
    }
    let worst = world.clock.iter().map(|(error, _)| error.abs()).max();
    assert!(worst < Some(8_000), "jitter of 10 ms puts the clock off by {worst:?} us");
}

#[test]
fn a_call_over_a_rough_path_is_whole_on_both_sides_and_the_same_with_the_same_seed() {
    let _one = busy();
    assert_eq!(check(1), hold(1).trace());
}

#[test]
fn a_call_is_whole_whatever_the_path_does_to_it() {
    let _one = busy();
    assert_ne!(check(2), check(3));
}
