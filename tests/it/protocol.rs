//! Sessions of two to four members in virtual time, over a network that loses, repeats and delays.

use std::net::SocketAddr;

use hyperzoom::protocol::{
    Admit, Header, InviteKey, LeaveReason, MAX_DATAGRAM, Mesh, MeshEvent, PacketType, Reception,
    Refusal, SessionStart, Status,
};
use hyperzoom::units::{Micros, ParticipantId, SessionMicros};

use crate::support::busy::busy;
use crate::support::call::{
    Call, EPOCH_UTC, KEY, Node, SECOND, address, clean, id, local, randomness,
};
use crate::support::sim::{Link, SimRng};

const ROUGH: Link = Link {
    delay_micros: 30_000,
    jitter_micros: 20_000,
    loss: 0.2,
    duplicate: 0.1,
    reorder: 0.3,
    down: false,
};

#[test]
fn a_guest_with_the_key_is_in_after_one_round_trip() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    call.run(SECOND);
    let host = &call.nodes[0];
    let guest = &call.nodes[guest];
    assert_eq!(guest.joined(0), Some(Micros(40_000)));
    assert_eq!(host.joined(1), Some(Micros(60_000)));
    assert_eq!(guest.mesh.own(), id(1));
    let Some((_, MeshEvent::Welcomed { start, .. })) = guest.events.first() else {
        panic!("WELCOME comes first: {:?}", guest.events);
    };
    assert_eq!(start.name.as_deref(), Some("Pilot"));
    assert_eq!(start.epoch_utc_micros, EPOCH_UTC);
    let MeshEvent::PeerJoined { name, streams, address: at, .. } = host
        .events
        .iter()
        .find(|(_, e)| matches!(e, MeshEvent::PeerJoined { .. }))
        .map(|(_, e)| e.clone())
        .unwrap()
    else {
        unreachable!()
    };
    assert_eq!((name.as_str(), at), ("Guest 1", address(1)));
    assert_eq!(streams.recording_width, 1920);
    assert!(host.heard > 20 && guest.heard > 20, "audio opens on both sides");
    assert_eq!(guest.demux.drops().total() + host.demux.drops().total(), 0);
}

#[test]
fn recording_starts_at_the_first_whole_second_after_the_first_guest_for_everybody() {
    let mut call = clean();
    call.run(3_700_000);
    assert_eq!(call.nodes[0].mesh.t0(), None);
    call.joined_guest();
    let second = call.joined_guest();
    for node in &call.nodes {
        let t0 = MeshEvent::T0 { at: SessionMicros(4 * SECOND) };
        assert_eq!(node.count(|e| *e == t0), 1);
        assert_eq!(node.count(|e| matches!(e, MeshEvent::T0 { .. })), 1);
    }
    let welcomed = call.nodes[second].saw(|e| matches!(e, MeshEvent::Welcomed { .. }));
    let t0 = call.nodes[second].saw(|e| matches!(e, MeshEvent::T0 { .. }));
    assert_eq!(welcomed, t0, "a later guest has it from WELCOME");
}

#[test]
fn with_record_now_recording_starts_without_a_guest() {
    let start = SessionStart::default();
    let mut host =
        Mesh::host(local("A"), Admit::Key, KEY, start, true, Micros(9_999), randomness(1));
    let events: Vec<_> = std::iter::from_fn(|| host.poll_event()).collect();
    assert!(events.contains(&MeshEvent::T0 { at: SessionMicros(SECOND) }));
}

#[test]
fn eight_exchanges_come_at_once_and_one_with_each_heartbeat() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    call.run(SECOND * 9 / 10);
    let samples = |n: &Node| n.count(|e| matches!(e, MeshEvent::ClockSample { .. }));
    assert_eq!(samples(&call.nodes[guest]), 8);
    call.run(10 * SECOND);
    assert_eq!(samples(&call.nodes[guest]), 18);
    assert!(samples(&call.nodes[0]) >= 10, "the host measures as well");
    // The path is symmetric, so that each sample gives the exact offset and round trip.
    let skew = call.nodes[guest].skew;
    for (_, event) in &call.nodes[guest].events {
        let MeshEvent::ClockSample { sent, remote_received, remote_sent, received, .. } = event
        else {
            continue;
        };
        let offset = ((remote_received.0 - sent.0) + (remote_sent.0 - received.0)) / 2;
        assert_eq!(offset, -skew);
        assert_eq!(received.since(*sent) - remote_sent.since(*remote_received), 40_000);
    }
}

#[test]
fn a_wrong_key_is_refused_fast_and_leaves_nothing_behind() {
    let mut call = clean();
    let wrong = call.guest(Some(InviteKey([8; 16])));
    let keyless = call.guest(None);
    call.run(SECOND / 10);
    assert_eq!(call.nodes[wrong].refused(), Some(Refusal::Key));
    assert_eq!(call.nodes[keyless].refused(), Some(Refusal::KeyNeeded));
    assert!(call.nodes[0].quiet());
    assert_eq!(call.nodes[0].mesh.counters().handshakes_refused, 2);
    assert_eq!(call.nodes[wrong].mesh.poll_timeout(), None, "it does not try on");
}

#[test]
fn with_admit_all_no_key_is_needed_but_a_wrong_one_is_refused() {
    let mut call = Call::new(1, Link::clean(20_000), Admit::All);
    let keyless = call.guest(None);
    let right = call.guest(Some(KEY));
    let wrong = call.guest(Some(InviteKey([8; 16])));
    call.run(SECOND);
    assert!(call.nodes[keyless].joined(0).is_some());
    assert!(call.nodes[right].joined(0).is_some());
    assert_eq!(call.nodes[wrong].refused(), Some(Refusal::Key));
}

#[test]
fn a_computer_whose_date_is_wrong_is_told_so() {
    let mut call = clean();
    let mut yesterday = local("Bob");
    yesterday.utc_minute -= 24 * 60;
    let guest = call.guest_with(yesterday, Some(KEY));
    let mut unknown = local("Carol");
    unknown.utc_minute = 0;
    let other = call.guest_with(unknown, Some(KEY));
    call.run(SECOND);
    assert_eq!(call.nodes[guest].refused(), Some(Refusal::Clock));
    assert!(call.nodes[other].joined(0).is_some());
}

#[test]
fn four_are_a_call_and_the_fifth_is_told_that_it_is_full() {
    let mut call = clean();
    for expected in 1..=3 {
        let guest = call.joined_guest();
        assert_eq!(call.nodes[guest].mesh.own(), id(expected));
    }
    let fifth = call.guest(Some(KEY));
    call.run(SECOND);
    assert_eq!(call.nodes[fifth].refused(), Some(Refusal::Full));
    assert_eq!(call.nodes[0].peers.len(), 3);
}

#[test]
fn every_member_knows_the_names_keys_and_addresses_of_all() {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    call.run(2 * SECOND);
    let rosters: Vec<_> = call.nodes.iter().map(|n| n.mesh.roster().to_vec()).collect();
    let names: Vec<_> = rosters[0].iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["Alice", "Guest 1", "Guest 2", "Guest 3"]);
    assert!(rosters.iter().all(|r| *r == rosters[0]));
    // As the host saw it, then as it says itself.
    assert_eq!(rosters[1][2].addresses, [address(2), "10.0.0.5:7000".parse().unwrap()]);
    call.leave(2);
    call.run(2 * SECOND);
    assert_eq!(call.nodes[1].mesh.roster().len(), 3);
    assert_eq!(call.nodes[3].mesh.roster(), call.nodes[0].mesh.roster());
}

#[test]
fn nobody_answers_and_the_guest_gives_up_after_ten_seconds() {
    let mut call = clean();
    call.kill(0);
    let guest = call.guest(Some(KEY));
    call.run(9_900_000);
    assert!(call.nodes[guest].events.is_empty());
    call.run(SECOND);
    assert_eq!(call.nodes[guest].saw(|e| *e == MeshEvent::NoAnswer), Some(Micros(10 * SECOND)));
    // 0, 250, 750, then each second.
    assert_eq!(call.nodes[guest].sent_log.len(), 12);
    assert!(call.nodes[guest].sent_log.iter().all(|d| *d == call.nodes[guest].sent_log[0]));
}

#[test]
fn a_hello_is_a_padded_control_packet_and_no_answer_is_longer() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    let hello = call.nodes[guest].sent_log[0].clone();
    assert_eq!(hello.len(), MAX_DATAGRAM);
    // V=1, P=1, type 4; unassigned; nothing counted; 1,138 bytes follow; not fragmented.
    assert_eq!(hello[..12], [0x64, 0xFF, 0, 0, 0, 0, 0, 0, 0x04, 0x72, 0, 0]);
    // Handshake, HELLO, revision 2.
    assert_eq!(hello[12..15], [0, 1, 2]);
    let padding = u16::from_be_bytes([hello[1148], hello[1149]]);
    let end = MAX_DATAGRAM - usize::from(padding);
    assert!(hello[end..1148].iter().all(|&b| b == 0));
    call.run(SECOND);
    let welcome = &call.nodes[0].sent_log[0];
    // V=1, type 4, the host; handshake, WELCOME, revision 2, then the HELLO's key begins again.
    assert_eq!(welcome[..2], [0x44, 0]);
    assert_eq!(welcome[12..15], [0, 3, 2]);
    assert_eq!(welcome[15..31], hello[15..31]);
    assert!(welcome.len() <= hello.len());
}

#[test]
fn another_revision_is_refused_with_words_on_both_sides() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    let mut hello = call.nodes[guest].sent_log[0].clone();
    hello[14] = 9;
    call.with(0, |mesh, now| mesh.handle_handshake(now, address(1), &hello));
    call.run(21_000);
    assert_eq!(call.nodes[guest].refused(), Some(Refusal::Version));
    let turned = MeshEvent::TurnedAway { address: address(1), reason: Refusal::Version };
    assert!(call.nodes[0].saw(|e| *e == turned).is_some(), "the host's person is told, too");
    assert!(Refusal::Version.to_string().contains("update"));
}

#[test]
fn an_identical_hello_gets_the_identical_welcome_and_an_old_one_nothing() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    let hello = call.nodes[guest].sent_log[0].clone();
    call.run(SECOND);
    let welcome = call.nodes[0].sent_log[0].clone();
    let again = |call: &mut Call| {
        let before = call.nodes[0].sent_log.len();
        call.with(0, |mesh, now| mesh.handle_handshake(now, address(9), &hello));
        call.nodes[0].sent_log[before..].to_vec()
    };
    assert_eq!(again(&mut call), [welcome]);
    call.run(10 * SECOND);
    assert!(again(&mut call).is_empty(), "played again later, it is dropped");
    assert_eq!(call.nodes[0].count(|e| matches!(e, MeshEvent::KeysReady { .. })), 1);
    assert_eq!(call.nodes[0].peers.len(), 1);
}

#[test]
fn a_changed_handshake_datagram_lets_nobody_in() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    let hello = call.nodes[guest].sent_log[0].clone();
    let padding = u16::from_be_bytes([hello[1148], hello[1149]]);
    let noise_end = MAX_DATAGRAM - usize::from(padding);
    for byte in 0..noise_end {
        let mut bad = hello.clone();
        bad[byte] ^= 0x10;
        call.with(0, |mesh, now| mesh.handle_handshake(now, address(9), &bad));
    }
    assert!(call.nodes[0].quiet());
    // And the guest does not take a WELCOME that was changed, but takes the right one after it.
    call.kill(0);
    // So many wrong ones have cost the host its patience: a cookie would be asked for.
    call.run(2 * SECOND);
    call.with(0, |mesh, now| mesh.handle_handshake(now, address(1), &hello));
    let welcome = call.nodes[0].sent_log.last().unwrap().clone();
    for byte in 15..welcome.len() {
        let mut bad = welcome.clone();
        bad[byte] ^= 0x10;
        call.with(1, |mesh, now| mesh.handle_handshake(now, address(0), &bad));
    }
    assert!(call.nodes[guest].events.is_empty());
    call.with(1, |mesh, now| mesh.handle_handshake(now, address(0), &welcome));
    assert!(call.nodes[guest].joined(0).is_some());
}

#[test]
fn three_guests_join_over_a_rough_network() {
    for seed in 0..20 {
        let mut call = Call::new(seed, ROUGH, Admit::Key);
        for _ in 0..3 {
            call.guest(Some(KEY));
        }
        call.run(12 * SECOND);
        let mut ids: Vec<_> = call.nodes.iter().map(|n| n.mesh.own()).collect();
        ids.sort();
        assert_eq!(ids, [id(0), id(1), id(2), id(3)], "seed {seed}");
        assert_eq!(call.nodes[0].peers.len(), 3, "seed {seed}");
        for node in &call.nodes {
            assert_eq!(node.count(|e| matches!(e, MeshEvent::PeerLeft { .. })), 0, "seed {seed}");
            assert_eq!(node.count(|e| matches!(e, MeshEvent::T0 { .. })), 1, "seed {seed}");
            assert_eq!(node.mesh.roster().len(), 4, "seed {seed}");
            assert!(node.heard > 100, "seed {seed}");
            let drops = node.demux.drops();
            assert_eq!(drops.header + drops.malformed, 0, "seed {seed}: {drops:?}");
            // Only what was said while one side knew of a way through a third one and the other not.
            assert!(drops.unsealed < 10, "seed {seed}: {drops:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_call() {
    let run = || {
        let mut call = Call::new(42, ROUGH, Admit::Key);
        call.guest(Some(KEY));
        call.guest(Some(KEY));
        call.run(8 * SECOND);
        let sent: Vec<_> = call.nodes.iter().map(|n| n.sent_log.clone()).collect();
        (sent, call.net.counters())
    };
    assert_eq!(run(), run());
}

#[test]
fn bye_is_said_three_times_and_one_is_enough() {
    let mut call = clean();
    let guest = call.joined_guest();
    let before = call.now;
    // Two of the three are lost.
    call.cut(0, guest, true);
    call.leave(guest);
    call.run(60_000);
    call.cut(0, guest, false);
    call.run(SECOND);
    assert_eq!(call.nodes[0].left(1, LeaveReason::Bye), Some(before + 120_000));
    assert_eq!(call.nodes[guest].saw(|e| *e == MeshEvent::Left), Some(before + 100_000));
    let byes = call.nodes[guest]
        .sent_log
        .iter()
        .filter(|d| Header::decode(d).unwrap().0.kind == PacketType::Bye)
        .count();
    assert_eq!(byes, 3);
    assert_eq!(call.nodes[guest].mesh.poll_timeout(), None);
    assert!(call.nodes[0].peers.is_empty());
}

#[test]
fn the_host_says_bye_to_all_and_leaves() {
    let mut call = clean();
    let a = call.joined_guest();
    let b = call.joined_guest();
    call.leave(0);
    call.run(SECOND);
    for guest in [a, b] {
        assert!(call.nodes[guest].left(0, LeaveReason::Bye).is_some());
    }
    assert!(call.nodes[0].saw(|e| *e == MeshEvent::Left).is_some());
}

#[test]
fn who_leaves_an_empty_call_has_left_at_once() {
    let mut call = clean();
    call.leave(0);
    assert!(call.nodes[0].saw(|e| *e == MeshEvent::Left).is_some());
    let mut call = clean();
    call.kill(0);
    let guest = call.guest(Some(KEY));
    call.leave(guest);
    assert!(call.nodes[guest].saw(|e| *e == MeshEvent::Left).is_some());
}

#[test]
fn a_dead_member_is_silent_after_one_second_and_gone_after_five() {
    let mut call = clean();
    let guest = call.joined_guest();
    let died = call.now;
    call.kill(guest);
    call.run(7 * SECOND);
    let host = &call.nodes[0];
    let silent = host.saw(|e| matches!(e, MeshEvent::PeerSilent { .. })).unwrap();
    let gone = host.left(1, LeaveReason::Timeout).unwrap();
    assert!((900_000..1_100_000).contains(&silent.since(died)), "{silent:?}");
    assert!((4_900_000..5_100_000).contains(&gone.since(died)), "{gone:?}");
}

#[test]
fn a_short_silence_heals_without_a_handshake() {
    let mut call = clean();
    let guest = call.joined_guest();
    call.cut(0, guest, true);
    call.run(3 * SECOND);
    call.cut(0, guest, false);
    call.run(2 * SECOND);
    for node in &call.nodes {
        assert_eq!(node.count(|e| matches!(e, MeshEvent::PeerLeft { .. })), 0);
        assert_eq!(node.count(|e| matches!(e, MeshEvent::KeysReady { .. })), 1);
        let back = node.events.iter().find_map(|(_, e)| match e {
            MeshEvent::PeerBack { micros, .. } => Some(*micros),
            _ => None,
        });
        assert!((2_900_000..3_200_000).contains(&back.unwrap()), "{back:?}");
    }
}

#[test]
fn heartbeats_alone_keep_a_member_neither_silent_nor_gone() {
    let mut call = clean();
    let guest = call.guest(Some(KEY));
    for node in &mut call.nodes {
        node.talks = false;
    }
    call.run(30 * SECOND);
    for node in [&call.nodes[0], &call.nodes[guest]] {
        assert_eq!(node.count(|e| matches!(e, MeshEvent::PeerSilent { .. })), 0);
        assert_eq!(node.count(|e| matches!(e, MeshEvent::PeerLeft { .. })), 0);
    }
}

#[test]
fn a_guest_that_was_cut_off_comes_back_with_its_id() {
    let mut call = clean();
    let guest = call.joined_guest();
    let other = call.joined_guest();
    call.isolate(guest, true);
    call.run(25 * SECOND);
    assert!(call.nodes[0].left(1, LeaveReason::Timeout).is_some());
    assert!(call.nodes[guest].left(0, LeaveReason::Timeout).is_some());
    call.isolate(guest, false);
    call.run(3 * SECOND);
    let joins = |n: &Node, p| {
        n.count(|e| matches!(e, MeshEvent::PeerJoined { peer, .. } if *peer == id(p)))
    };
    assert_eq!(joins(&call.nodes[0], 1), 2);
    assert_eq!(joins(&call.nodes[guest], 0), 2);
    assert_eq!(call.nodes[guest].mesh.own(), id(1));
    assert_eq!(call.nodes[guest].count(|e| matches!(e, MeshEvent::Welcomed { .. })), 1);
    let heard = call.nodes[0].heard;
    call.run(SECOND);
    assert!(call.nodes[0].heard >= heard + 90, "media of both opens again");
    assert_eq!(call.nodes[other].mesh.roster().len(), 3);
}

#[test]
fn a_guest_that_no_longer_hears_the_host_comes_back_while_it_is_still_in() {
    let mut call = clean();
    let guest = call.joined_guest();
    // Only the way to the guest is cut: the host goes on hearing it.
    call.net.set_link(address(0), address(guest), Link { down: true, ..Link::clean(20_000) });
    call.run(6 * SECOND);
    assert!(call.nodes[guest].left(0, LeaveReason::Timeout).is_some());
    call.net.set_link(address(0), address(guest), Link::clean(20_000));
    call.run(3 * SECOND);
    assert_eq!(call.nodes[guest].peers.len(), 1);
    assert_eq!(call.nodes[0].peers.len(), 1);
    let (host, guest_heard) = (call.nodes[0].heard, call.nodes[guest].heard);
    call.run(SECOND);
    assert!(call.nodes[0].heard >= host + 45);
    assert!(call.nodes[guest].heard >= guest_heard + 45);
}

#[test]
fn an_id_rests_for_thirty_seconds() {
    let mut call = clean();
    let first = call.joined_guest();
    call.leave(first);
    call.run(SECOND);
    let second = call.joined_guest();
    assert_eq!(call.nodes[second].mesh.own(), id(2), "an id that was never used comes first");
    let third = call.joined_guest();
    assert_eq!(call.nodes[third].mesh.own(), id(3));
    let early = call.guest(Some(KEY));
    call.run(SECOND);
    assert_eq!(call.nodes[early].refused(), Some(Refusal::Full));
    call.run(30 * SECOND);
    let late = call.joined_guest();
    assert_eq!(call.nodes[late].mesh.own(), id(1));
    assert!(call.nodes[0].heard > 0);
}

#[test]
fn an_id_that_was_only_reserved_is_free_after_five_seconds() {
    let mut call = clean();
    for _ in 0..3 {
        let guest = call.guest(Some(KEY));
        call.run(30_000);
        call.kill(guest);
    }
    // The host's answers are under way to nobody; a fourth comes and is patient.
    let guest = call.guest(Some(KEY));
    call.run(4 * SECOND);
    assert!(call.nodes[guest].events.is_empty());
    call.run(4 * SECOND);
    assert!(call.nodes[guest].joined(0).is_some());
    assert_eq!(call.nodes[0].peers.len(), 1);
}

#[test]
fn a_member_that_moves_is_followed_after_it_has_answered() {
    let mut call = clean();
    let guest = call.joined_guest();
    let new: SocketAddr = "198.51.100.7:4242".parse().unwrap();
    call.net.move_socket(address(guest), new);
    call.run(3 * SECOND);
    let moved = MeshEvent::PeerAddress { peer: id(1), address: new, relay: None };
    assert_eq!(call.nodes[0].count(|e| *e == moved), 1);
    assert_eq!(call.nodes[0].peers[0].address, new);
    assert_eq!(call.nodes[guest].count(|e| matches!(e, MeshEvent::PeerLeft { .. })), 0);
}

#[test]
fn a_copy_of_a_packet_from_elsewhere_moves_nobody() {
    let mut call = clean();
    let guest = call.joined_guest();
    // The guest's next control packet is seen by somebody who sends it first, as its own.
    call.cut(0, guest, true);
    let before = call.nodes[guest].sent_log.len();
    call.run(1_100_000);
    let stolen: Vec<_> = call.nodes[guest].sent_log[before..].to_vec();
    call.cut(0, guest, false);
    for datagram in stolen {
        call.arrive(0, "203.0.113.66:6".parse().unwrap(), datagram);
    }
    call.run(2 * SECOND);
    assert_eq!(call.nodes[0].count(|e| matches!(e, MeshEvent::PeerAddress { .. })), 0);
    assert_eq!(call.nodes[0].peers[0].address, address(guest));
}

#[test]
fn status_arrives_each_second_and_mute_at_once() {
    let mut call = clean();
    let guest = call.joined_guest();
    let status = Status {
        dropped: 1,
        disk_left_mb: Some(19_000),
        reception: vec![Reception {
            peer: id(0),
            loss_permille: 12,
            jitter_micros: 900,
            playout_micros: 5_000,
            way_micros: None,
        }],
        ..Status::default()
    };
    let muted = Status { muted: true, ..status.clone() };
    call.with(guest, |mesh, now| mesh.set_status(now, status.clone()));
    call.run(1_100_000);
    let told = |s: &Status| MeshEvent::PeerStatus { peer: id(1), status: s.clone() };
    assert!(call.nodes[0].saw(|e| *e == told(&status)).is_some());
    let before = call.now;
    call.with(guest, |mesh, now| mesh.set_status(now, muted.clone()));
    call.run(SECOND / 10);
    assert_eq!(call.nodes[0].saw(|e| *e == told(&muted)), Some(before + 20_000));
}

#[test]
fn a_keyframe_can_be_asked_for() {
    let mut call = clean();
    let guest = call.joined_guest();
    call.with(guest, |mesh, now| mesh.request_keyframe(now, ParticipantId::HOST));
    call.run(SECOND / 10);
    assert_eq!(call.nodes[0].count(|e| *e == MeshEvent::KeyframeRequested { peer: id(1) }), 1);
}

#[test]
fn random_datagrams_disturb_nobody() {
    let mut call = clean();
    let guest = call.joined_guest();
    let mut rng = SimRng::new(9);
    for round in 0..20_000u32 {
        let mut bytes = vec![0; (rng.next_u64() % 1_200) as usize];
        rng.fill(&mut bytes);
        if bytes.len() > 16 && round % 2 == 0 {
            bytes[0] = 0x40 | (rng.next_u64() as u8 & 0x27);
            bytes[1] = (rng.next_u64() % 5) as u8;
            let len = (bytes.len() - 12) as u16;
            bytes[8..10].copy_from_slice(&len.to_be_bytes());
            bytes[10..13].copy_from_slice(&[0, 0, (rng.next_u64() % 4) as u8]);
        }
        call.arrive((round % 2) as usize * guest, "203.0.113.9:9".parse().unwrap(), bytes);
    }
    call.run(2 * SECOND);
    for node in &call.nodes {
        assert_eq!(node.peers.len(), 1);
        assert_eq!(node.count(|e| matches!(e, MeshEvent::PeerLeft { .. })), 0);
        assert!(node.demux.drops().total() > 1_000);
    }
}

#[test]
fn whatever_is_cut_and_healed_everybody_is_in_again() {
    let _one = busy();
    for seed in 0..10 {
        let mut rng = SimRng::new(seed);
        let mut call = Call::new(seed, ROUGH, Admit::Key);
        for _ in 0..3 {
            call.guest(Some(KEY));
        }
        call.run(12 * SECOND);
        for _ in 0..6 {
            // One direction or both of one guest's path, from half a second to twelve.
            let guest = 1 + (rng.next_u64() % 3) as usize;
            let ways = 1 + rng.next_u64() % 3;
            let down = |bit| Link { down: ways & bit != 0, ..ROUGH };
            call.net.set_link(address(0), address(guest), down(1));
            call.net.set_link(address(guest), address(0), down(2));
            call.run(SECOND / 2 + (rng.next_u64() % 12_000_000) as i64);
            call.net.set_link(address(0), address(guest), ROUGH);
            call.net.set_link(address(guest), address(0), ROUGH);
            call.run((rng.next_u64() % 6_000_000) as i64);
        }
        call.run(25 * SECOND);
        let mut ids: Vec<_> = call.nodes.iter().map(|n| n.mesh.own()).collect();
        ids.sort();
        assert_eq!(ids, [id(0), id(1), id(2), id(3)], "seed {seed}");
        assert_eq!(call.nodes[0].peers.len(), 3, "seed {seed}");
        let before: Vec<_> = call.nodes.iter().map(|n| n.heard).collect();
        call.run(2 * SECOND);
        for (node, before) in call.nodes.iter().zip(before) {
            assert!(node.heard > before + 50, "seed {seed}: media flows again");
            assert_eq!(node.count(|e| matches!(e, MeshEvent::T0 { .. })), 1, "seed {seed}");
            assert_eq!(node.refused(), None, "seed {seed}");
        }
    }
}
