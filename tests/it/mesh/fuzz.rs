//! Bytes from nowhere and from members gone mad: nothing panics, nothing grows, the call goes on.
//! `HYPERZOOM_SOAK=1` (make soak) does it for longer.

use std::net::SocketAddr;

use hyperzoom::protocol::control::{
    Charter, LinkReport, Member, Message, Roster, RosterUpdate, Status,
};
use hyperzoom::protocol::{Admit, InviteKey, Mesh, padding};
use hyperzoom::units::{Micros, ParticipantId, SessionMicros};

use crate::support::call::{Call, KEY, SECOND, address, clean, id, local, randomness};
use crate::support::sim::SimRng;

fn rounds(short: u64) -> u64 {
    if std::env::var_os("HYPERZOOM_SOAK").is_some() { short * 100 } else { short }
}

fn bytes(rng: &mut SimRng, most: u64) -> Vec<u8> {
    let mut bytes = vec![0; (rng.next_u64() % most) as usize];
    rng.fill(&mut bytes);
    bytes
}

fn any_address(rng: &mut SimRng) -> SocketAddr {
    match rng.next_u64() % 3 {
        0 => address((rng.next_u64() % 5) as usize),
        1 => SocketAddr::from(([10, 0, 0, rng.next_u64() as u8], rng.next_u64() as u16)),
        _ => SocketAddr::from((rng.next_u64().to_be_bytes().map(u16::from), 9)),
    }
}

fn any_roster(rng: &mut SimRng, known: &[Member]) -> Roster {
    let count = rng.next_u64() % 5;
    let member = |rng: &mut SimRng| {
        let mut static_key = [0; 32];
        rng.fill(&mut static_key);
        let known = known.get((rng.next_u64() % 6) as usize);
        Member {
            id: id((rng.next_u64() % 4) as u8),
            name: "x".into(),
            static_key: known.map_or(static_key, |m| m.static_key),
            addresses: (0..rng.next_u64() % 6).map(|_| any_address(rng)).collect(),
            epoch: (rng.next_u64() % 40) as u32,
        }
    };
    Roster {
        epoch: (rng.next_u64() % 60) as u32,
        introducer: ParticipantId((rng.next_u64() % 5) as u8),
        members: (0..count).map(|_| member(rng)).collect(),
    }
}

/// Something that a member could say, sensible or not.
fn any_message(rng: &mut SimRng, known: &[Member]) -> Message {
    let mut eight = [0; 8];
    rng.fill(&mut eight);
    let number = rng.next_u64();
    match number % 17 {
        0 => Message::Confirm { epoch: (number >> 8) as u32 % 30 },
        1 => Message::Ping { sent: Micros(number as i64) },
        2 => Message::Pong {
            sent: Micros(number as i64),
            received: SessionMicros(rng.next_u64() as i64),
            answered: SessionMicros(rng.next_u64() as i64),
            synchronised: number & 64 != 0,
            uncertainty_micros: number as u32,
        },
        3 => Message::Heartbeat {
            count: rng.next_u64() as u32,
            roster: (rng.next_u64() % 70) as u32,
            status: Status::default(),
        },
        4 => Message::T0 { at: SessionMicros(number as i64) },
        5 | 6 => Message::Roster(Box::new(RosterUpdate {
            roster: any_roster(rng, known),
            secret: [number as u8; 32],
            charter: Charter {
                key: InviteKey([number as u8; 16]),
                admit: Admit::All,
                rested: [number as u8, 255, 0, 3],
            },
        })),
        7 => Message::KeyframeRequest,
        8 => Message::PathChallenge(eight),
        9 => Message::PathResponse(eight),
        10 => Message::Links {
            introducer: ParticipantId((number >> 9) as u8 % 6),
            links: vec![LinkReport {
                peer: ParticipantId((number >> 17) as u8 % 6),
                rtt_micros: number as u32,
                loss_permille: number as u16,
                relayed: number & 32 != 0,
            }],
        },
        11 => Message::Addresses((0..number % 7).map(|_| any_address(rng)).collect()),
        12 => Message::Observed(any_address(rng)),
        13 => Message::Removed { by_person: number & 1 << 20 != 0 },
        14 => Message::Forward { tag: eight, source: any_address(rng), datagram: bytes(rng, 300) },
        15 => Message::Pass { tag: eight, to: any_address(rng), datagram: bytes(rng, 300) },
        // What this program writes, with some bytes turned.
        _ => {
            let mut out = Vec::new();
            Message::Roster(Box::new(RosterUpdate {
                roster: any_roster(rng, known),
                secret: [0; 32],
                charter: Charter { key: KEY, admit: Admit::Key, rested: [255; 4] },
            }))
            .write(&mut out);
            Message::Forward { tag: eight, source: any_address(rng), datagram: out }
        }
    }
}

/// Everything that one call to the state machine can be.
fn anything(call: &mut Call, who: usize, rng: &mut SimRng) {
    let known = call.nodes[0].mesh.roster().to_vec();
    let heard: Vec<Vec<u8>> = {
        let other = (rng.next_u64() % call.nodes.len() as u64) as usize;
        let log = &call.nodes[other].sent_log;
        let at = rng.next_u64() as usize % log.len().max(1);
        log.get(at).cloned().into_iter().collect()
    };
    let from = any_address(rng);
    let peer = ParticipantId((rng.next_u64() % 5) as u8);
    match rng.next_u64() % 12 {
        0 => {
            let datagram = bytes(rng, 1_200);
            call.with(who, |mesh, now| mesh.handle_handshake(now, from, &datagram));
        }
        // A real datagram of somebody, as it was or with a byte turned, from anywhere.
        1..=3 => {
            for mut datagram in heard {
                if rng.chance(0.5) && !datagram.is_empty() {
                    let at = rng.next_u64() as usize % datagram.len();
                    datagram[at] ^= 1 << (rng.next_u64() % 8);
                }
                call.arrive(who, from, datagram);
            }
        }
        4 => {
            let mut payload =
                vec![0, (rng.next_u64() % 16) as u8 | (rng.next_u64() as u8 & 0x80), 2];
            payload.extend(bytes(rng, 900));
            let len = if rng.chance(0.5) { 1_138 } else { 320 };
            payload.truncate(len - 2);
            padding::add(&mut payload, len);
            let mut datagram =
                vec![0x64, 0xFF, 0, 0, 0, 0, 0, 0, (len >> 8) as u8, len as u8, 0, 0];
            datagram.extend(payload);
            call.arrive(who, from, datagram);
        }
        5 => {
            let payload = bytes(rng, 300);
            call.with(who, |mesh, now| mesh.handle_control(now, from, peer, &payload));
        }
        6 | 7 => {
            let mut payload = Vec::new();
            for _ in 0..1 + rng.next_u64() % 3 {
                any_message(rng, &known).write(&mut payload);
            }
            call.with(who, |mesh, now| mesh.handle_control(now, from, peer, &payload));
        }
        8 => call.with(who, |mesh, now| mesh.heard_from(now, peer, from)),
        9 => call.with(who, |mesh, now| {
            let addresses = vec![from; 9];
            mesh.set_addresses(now, addresses);
        }),
        10 => {
            let knock = (rng.next_u64() % 5) as u32;
            call.with(who, |mesh, now| {
                mesh.admit(now, knock);
                mesh.refuse(now, knock + 1);
            });
        }
        _ => {
            let micros = (rng.next_u64() % 2_000_000) as i64;
            call.run(micros);
        }
    }
}

#[test]
fn nothing_that_comes_makes_the_state_machine_panic_or_run_away() {
    for seed in 0..rounds(6) {
        let mut rng = SimRng::new(seed);
        let mut call = clean();
        for _ in 0..1 + seed % 3 {
            call.joined_guest();
        }
        if seed % 2 == 0 {
            call.guest(None);
        }
        for _ in 0..300 {
            let who = (rng.next_u64() % call.nodes.len() as u64) as usize;
            anything(&mut call, who, &mut rng);
        }
        call.run(SECOND);
        for node in &call.nodes {
            assert!(node.mesh.roster().len() <= 5, "seed {seed}");
            // A second of nothing more makes no storm of answers.
            assert!(node.peers.len() <= 3, "seed {seed}");
        }
        let before: usize = call.nodes.iter().map(|n| n.sent_log.len()).sum();
        call.run(SECOND);
        let after: usize = call.nodes.iter().map(|n| n.sent_log.len()).sum();
        assert!(after - before < 2_000, "seed {seed}: {} datagrams in a second", after - before);
    }
}

#[test]
fn strangers_without_keys_change_nothing_in_a_call_of_four() {
    let mut rng = SimRng::new(77);
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    for round in 0..rounds(1_500) {
        let who = (rng.next_u64() % 4) as usize;
        let from = SocketAddr::from(([203, 0, 113, 77], rng.next_u64() as u16));
        let log = &call.nodes[(rng.next_u64() % 4) as usize].sent_log;
        let mut datagram = match round % 3 {
            0 => bytes(&mut rng, 1_200),
            // Old packets, as they were and changed: nothing opens twice.
            _ => log[rng.next_u64() as usize % log.len()].clone(),
        };
        if round % 3 == 2 && !datagram.is_empty() {
            let at = rng.next_u64() as usize % datagram.len();
            datagram[at] ^= 1 << (rng.next_u64() % 8);
        }
        call.arrive(who, from, datagram);
        if round % 50 == 0 {
            call.run(100_000);
        }
    }
    call.run(2 * SECOND);
    call.assert_full_mesh();
    for (i, node) in call.nodes.iter().enumerate() {
        assert_eq!(node.peer_ids().len(), 3);
        assert_eq!(node.refused(), None);
        let at_home = node.peers.iter().all(|p| (0..4).any(|k| address(k) == p.address));
        assert!(at_home, "{i}: {:?}", node.peers.iter().map(|p| p.address).collect::<Vec<_>>());
    }
}

#[test]
fn a_guest_takes_no_answer_that_is_not_one() {
    let mut rng = SimRng::new(3);
    for round in 0..rounds(300) {
        let key = (round % 2 == 0).then_some(KEY);
        let now = Micros(0);
        let mut mesh = Mesh::guest(local("x"), vec![address(0)], key, now, randomness(round));
        let mut hello = Vec::new();
        mesh.poll_transmit(now, &mut hello);
        for kind in 0..16u8 {
            let mut payload = vec![0, kind, 2];
            payload.extend(&hello[15..31]);
            payload.extend(bytes(&mut rng, 1_000));
            let len = payload.len() as u16;
            let mut datagram = vec![0x44, 0, 0, 0, 0, 0, 0, 0];
            datagram.extend(len.to_be_bytes());
            datagram.extend([0, 0]);
            datagram.extend(payload);
            mesh.handle_handshake(now, address(0), &datagram);
        }
        assert_eq!(mesh.own(), ParticipantId::UNASSIGNED);
    }
}
