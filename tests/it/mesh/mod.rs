//! Calls of up to four in virtual time: everybody with everybody, and without the host.

mod doors;
mod fuzz;
mod ways;
mod weather;

use hyperzoom::protocol::{
    Admit, Demux, Demuxed, InviteKey, LeaveReason, Mesh, MeshEvent, Refusal, Status,
};
use hyperzoom::units::SessionMicros;

use crate::support::busy::busy;
use crate::support::call::{Call, KEY, SECOND, address, clean, id, local, randomness};
use crate::support::sim::{Link, SimRng};

/// A call of four, all in.
fn four() -> Call {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    call
}

fn guest_at(call: &mut Call, at: usize) -> usize {
    let index = call.nodes.len();
    let skew = index as i64 * -77 * SECOND;
    let random = randomness(index as u64 + 50);
    let name = format!("Guest {index}");
    let now = call.now + skew;
    let mesh = Mesh::guest(local(&name), vec![address(at)], Some(KEY), now, random);
    call.add(mesh, skew)
}

#[test]
fn four_are_a_full_mesh_and_each_pair_has_keys_of_its_own() {
    let mut call = four();
    call.assert_full_mesh();
    let mut keys = std::collections::HashMap::new();
    for node in &call.nodes {
        assert_eq!(node.peers.len(), 3);
        for (peer, pair) in &node.keys {
            let (own, peer) = (node.mesh.own().0, peer.0);
            let both = [pair.send, pair.receive];
            let sorted = [both[0].min(both[1]), both[0].max(both[1])];
            let known = keys.entry((own.min(peer), own.max(peer))).or_insert(sorted);
            assert_eq!(*known, sorted);
        }
    }
    let different: std::collections::HashSet<_> = keys.values().flatten().collect();
    assert_eq!((keys.len(), different.len()), (6, 12));
}

#[test]
fn three_that_join_in_the_same_moment_are_a_full_mesh() {
    for seed in 0..20 {
        let mut call =
            Call::new(seed, Link { jitter_micros: 9_000, ..Link::clean(20_000) }, Admit::Key);
        for _ in 0..3 {
            call.guest(Some(KEY));
        }
        call.run(3 * SECOND);
        call.assert_full_mesh();
        let mut ids: Vec<_> = call.nodes.iter().map(|n| n.mesh.own()).collect();
        ids.sort();
        assert_eq!(ids, [id(0), id(1), id(2), id(3)], "seed {seed}");
    }
}

#[test]
fn guests_hear_each_other_within_two_round_trips_of_the_second_ones_welcome() {
    let mut call = clean();
    call.joined_guest();
    let before = call.now;
    let second = call.guest(Some(KEY));
    call.run(SECOND);
    // HELLO 20, WELCOME 20; PAIR 20, PAIRED 20: but the first one knows of the second only after
    // its Confirm (20) and the roster (20), and the first PAIR comes before that.
    let joined = call.nodes[second].joined(1).unwrap().since(before);
    assert!(joined <= 400_000, "{joined}");
    assert_eq!(call.nodes[1].count(|e| matches!(e, MeshEvent::PeerJoined { .. })), 2);
}

#[test]
fn a_member_cannot_speak_for_another() {
    let mut call = four();
    // What 1 seals for 2 is said in the name of 3.
    let keys = call.nodes[1].keys.iter().find(|(p, _)| *p == id(2)).unwrap().1.clone();
    let mut sealer = hyperzoom::protocol::MediaSealer::new(id(3), &keys);
    let mut out = [0; hyperzoom::protocol::MAX_DATAGRAM];
    let len = sealer.audio(5_000, 0, b"forged", &mut out);
    let heard = call.nodes[2].heard;
    call.arrive(2, address(3), out[..len].to_vec());
    assert_eq!(call.nodes[2].heard, heard);
    assert!(call.nodes[2].demux.drops().unsealed > 0);
}

#[test]
fn nobody_but_the_introducer_is_believed_about_the_roster() {
    let mut call = four();
    let before = call.nodes[2].mesh.roster().to_vec();
    // 3 says that it has made a newer roster, without 1.
    let mut members = before.clone();
    members.remove(1);
    let roster = hyperzoom::protocol::Roster { epoch: 9_000, introducer: id(3), members };
    let update = hyperzoom::protocol::control::RosterUpdate {
        roster: roster.clone(),
        secret: [0; 32],
        charter: hyperzoom::protocol::control::Charter {
            key: InviteKey([0; 16]),
            admit: Admit::All,
            rested: [255; 4],
        },
    };
    let say = |update: hyperzoom::protocol::control::RosterUpdate| {
        let mut bytes = Vec::new();
        hyperzoom::protocol::control::Message::Roster(Box::new(update)).write(&mut bytes);
        bytes
    };
    let forged = say(update.clone());
    // Nor that the host has made it.
    let mut lie = update;
    lie.roster.introducer = id(0);
    let lie = say(lie);
    for bytes in [forged, lie] {
        call.with(2, |mesh, now| mesh.handle_control(now, address(3), id(3), &bytes));
    }
    assert_eq!(call.nodes[2].mesh.roster(), before);
    assert_eq!(call.nodes[2].mesh.counters().rosters_ignored, 2);
    call.run(2 * SECOND);
    call.assert_full_mesh();
}

#[test]
fn the_call_goes_on_without_the_host_and_the_lowest_id_lets_in() {
    for bye in [true, false] {
        let mut call = four();
        if bye {
            call.leave(0);
        }
        call.kill(0);
        call.run(8 * SECOND);
        call.assert_full_mesh();
        for guest in 1..4 {
            assert_eq!(call.nodes[guest].mesh.introducer(), Some(id(1)));
        }
        // Each of them shows an invite that works: the last one forwards to the lowest.
        let invite = call.nodes[3].events.iter().rev().find_map(|(_, e)| match e {
            MeshEvent::Invite { key, addresses } => Some((*key, addresses.clone())),
            _ => None,
        });
        let (key, addresses) = invite.unwrap();
        assert_eq!(key, KEY);
        assert_eq!(addresses[0], address(3), "as the others see it, before what is local");
        // All four ids but the host's are taken, and that one rests.
        let early = guest_at(&mut call, 3);
        call.run(SECOND);
        assert_eq!(call.nodes[early].refused(), Some(Refusal::Full));
        call.kill(early);
        call.run(30 * SECOND);
        let late = guest_at(&mut call, 3);
        call.run(4 * SECOND);
        assert_eq!(call.nodes[late].mesh.own(), id(0));
        assert!(call.nodes[3].mesh.counters().forwarded > 0);
        call.assert_full_mesh();
        // Its clock is that of who has been in the longest, not its own.
        assert_eq!(call.nodes[late].mesh.reference(), Some(id(1)));
        assert_eq!(call.nodes[1].mesh.reference(), None);
    }
}

#[test]
fn who_joins_through_a_member_gets_start_time_and_all_others() {
    let mut call = clean();
    call.joined_guest();
    let late = guest_at(&mut call, 1);
    call.run(3 * SECOND);
    assert_eq!(call.nodes[late].mesh.own(), id(2));
    assert_eq!(call.nodes[late].mesh.t0(), call.nodes[0].mesh.t0());
    call.assert_full_mesh();
}

#[test]
fn a_member_left_alone_lets_others_in() {
    let mut call = clean();
    let guest = call.joined_guest();
    call.kill(0);
    call.run(20 * SECOND);
    assert!(call.nodes[guest].peers.is_empty());
    let late = guest_at(&mut call, guest);
    call.run(3 * SECOND);
    call.assert_full_mesh();
    assert_eq!(call.nodes[late].mesh.introducer(), Some(id(1)));
}

#[test]
fn the_session_clock_goes_on_without_a_step_when_the_host_has_left() {
    let mut call = four();
    call.run(5 * SECOND);
    call.leave(0);
    call.kill(0);
    call.run(60 * SECOND);
    // What a pong says of the session clock, less what it is: the host began at the network's zero,
    // and a ping takes 20 ms.
    let mut exchanges = 0;
    for node in &call.nodes[1..] {
        for (_, event) in &node.events {
            let MeshEvent::ClockSample { remote_received, received, .. } = event else { continue };
            let truth = received.0 - node.skew - 20_000;
            assert!((remote_received.0 - truth).abs() < 1_000, "{event:?} at {truth}");
            exchanges += 1;
        }
    }
    assert!(exchanges > 400, "{exchanges}");
}

#[test]
fn two_halves_of_a_call_that_meet_again_are_one() {
    let mut call = four();
    for a in [0, 1] {
        for b in [2, 3] {
            call.cut(a, b, true);
        }
    }
    call.run(20 * SECOND);
    assert_eq!(call.nodes[0].peer_ids(), [1]);
    assert_eq!(call.nodes[3].peer_ids(), [2]);
    assert_eq!(call.nodes[3].mesh.introducer(), Some(id(2)));
    for a in [0, 1] {
        for b in [2, 3] {
            call.cut(a, b, false);
        }
    }
    call.run(4 * SECOND);
    call.assert_full_mesh();
    for node in &call.nodes {
        assert_eq!(node.mesh.introducer(), Some(id(0)));
        assert_eq!(node.mesh.roster(), call.nodes[0].mesh.roster());
        assert_eq!(
            node.count(|e| matches!(e, MeshEvent::Welcomed { .. })),
            usize::from(node.mesh.own() != id(0))
        );
    }
}

#[test]
fn whom_either_half_has_let_in_is_in_when_they_meet() {
    let mut call = clean();
    call.joined_guest();
    call.cut(0, 1, true);
    call.run(10 * SECOND);
    // Both give out id 2.
    let a = guest_at(&mut call, 0);
    let b = guest_at(&mut call, 1);
    for (x, y) in [(a, 1), (a, b), (0, b)] {
        call.cut(x, y, true);
    }
    call.run(5 * SECOND);
    assert_eq!((call.nodes[a].mesh.own(), call.nodes[b].mesh.own()), (id(2), id(2)));
    for (x, y) in [(0, 1), (a, 1), (a, b), (0, b)] {
        call.cut(x, y, false);
    }
    call.run(12 * SECOND);
    assert_eq!(call.nodes[a].mesh.own(), id(2), "the lower introducer's roster wins");
    assert_eq!(call.nodes[b].mesh.own(), id(3), "and the other one's guest comes again");
    call.assert_full_mesh();
}

#[test]
fn a_guest_cut_off_for_minutes_comes_back_by_itself_with_its_id() {
    let _one = busy();
    for minutes in [1, 9] {
        let mut call = four();
        call.isolate(2, true);
        call.run(minutes * 60 * SECOND);
        assert!(call.nodes[2].peers.is_empty());
        call.isolate(2, false);
        call.run(7 * SECOND);
        assert_eq!(call.nodes[2].mesh.own(), id(2));
        assert_eq!(call.nodes[2].count(|e| matches!(e, MeshEvent::Welcomed { .. })), 1);
        call.assert_full_mesh();
    }
}

#[test]
fn who_comes_back_after_its_place_was_given_away_gets_another_one_or_is_told() {
    let mut call = four();
    call.leave(3);
    call.kill(3);
    call.isolate(2, true);
    call.run(40 * SECOND);
    // 3's place has rested, and so has 2's: two newcomers take both.
    let a = call.joined_guest();
    let b = call.joined_guest();
    call.cut(2, a, true);
    call.cut(2, b, true);
    assert_eq!(call.nodes[a].mesh.own(), id(3), "the places of the absent come last");
    assert_eq!(call.nodes[b].mesh.own(), id(2));
    call.isolate(2, false);
    call.run(20 * SECOND);
    // Four are in: the one that was away stays out, and disturbs nobody.
    call.nodes[2].talks = false;
    call.assert_full_mesh();
    assert!(call.nodes[2].peers.is_empty());
    call.leave(a);
    call.kill(a);
    call.run(60 * SECOND);
    call.nodes[2].talks = true;
    assert_eq!(call.nodes[2].mesh.own(), id(3), "once somebody has left there is a place");
    call.assert_full_mesh();
}

#[test]
fn recording_health_is_told_to_everybody() {
    let mut call = four();
    let status = Status { dropped: 7, recording: true, ..Status::default() };
    call.with(2, |mesh, now| mesh.set_status(now, status.clone()));
    call.run(2 * SECOND);
    for other in [0, 1, 3] {
        let told = MeshEvent::PeerStatus { peer: id(2), status: status.clone() };
        assert!(call.nodes[other].saw(|e| *e == told).is_some());
    }
}

#[test]
fn an_id_that_is_used_again_has_a_new_epoch_and_old_keys_open_nothing() {
    let mut call = four();
    let epoch = call.nodes[0].mesh.roster()[2].epoch;
    let old = call.nodes[0].keys.iter().find(|(p, _)| *p == id(2)).unwrap().1.clone();
    call.leave(2);
    call.kill(2);
    call.run(31 * SECOND);
    let again = call.joined_guest();
    assert_eq!(call.nodes[again].mesh.own(), id(2));
    assert!(call.nodes[0].mesh.roster()[2].epoch > epoch);
    let mut sealer = hyperzoom::protocol::MediaSealer::new(
        id(2),
        &hyperzoom::protocol::PairKeys { send: old.receive, receive: old.send },
    );
    let mut out = [0; hyperzoom::protocol::MAX_DATAGRAM];
    let len = sealer.audio(0, 0, b"late", &mut out);
    let heard = call.nodes[0].heard;
    call.arrive(0, address(2), out[..len].to_vec());
    assert_eq!(call.nodes[0].heard, heard);
}

#[test]
fn bye_of_any_member_reaches_all_within_a_round_trip() {
    for who in 0..4 {
        let mut call = four();
        let left = call.nodes[who].mesh.own().0;
        let before = call.now;
        call.leave(who);
        call.run(150_000);
        for other in (0..4).filter(|&o| o != who) {
            let at = call.nodes[other].left(left, LeaveReason::Bye).unwrap();
            assert_eq!(at.since(before), 20_000);
        }
    }
}

#[test]
fn every_member_answers_timestamps_with_its_estimate_and_how_good_that_is() {
    let mut call = four();
    call.with(1, |mesh, _| mesh.set_uncertainty(750));
    call.run(3 * SECOND);
    let last = call.nodes[3].events.iter().rev().find_map(|(_, e)| match e {
        MeshEvent::ClockSample { peer, remote_received, received, uncertainty, .. }
            if *peer == id(1) =>
        {
            Some((remote_received.0 - received.0 - call.nodes[3].skew, *uncertainty))
        }
        _ => None,
    });
    let (_, uncertainty) = last.unwrap();
    assert_eq!(uncertainty, 750);
}

#[test]
fn no_key_is_used_twice_across_rejoins_and_restarts() {
    let mut call = four();
    let mut seen = std::collections::HashSet::new();
    for round in 0..4 {
        let who = 1 + round % 3;
        call.isolate(who, true);
        call.run(8 * SECOND);
        call.isolate(who, false);
        call.run(8 * SECOND);
    }
    call.leave(1);
    call.kill(1);
    call.run(SECOND);
    // The program starts again on the same machine.
    call.run(31 * SECOND);
    call.joined_guest();
    for node in &call.nodes {
        // `used_keys` is asserted to be free of repetitions as sealers are made.
        for key in &node.used_keys {
            assert!(seen.insert(*key), "the same key sends in two places");
        }
    }
    assert!(seen.len() > 20);
}

#[test]
fn any_order_of_joining_leaving_and_joining_again_ends_in_a_full_mesh() {
    let _one = busy();
    for seed in 0..15 {
        let mut rng = SimRng::new(seed);
        let mut call = Call::new(seed, Link { loss: 0.05, ..Link::clean(15_000) }, Admit::Key);
        for _ in 0..8 {
            let living: Vec<_> = (0..call.nodes.len()).filter(|&i| call.nodes[i].alive).collect();
            if living.len() < 4 && rng.chance(0.6) {
                let at = living[rng.next_u64() as usize % living.len()];
                guest_at(&mut call, at);
            } else if living.len() > 1 {
                let who = living[rng.next_u64() as usize % living.len()];
                if rng.chance(0.5) {
                    call.leave(who);
                    call.run(SECOND / 5);
                }
                call.kill(who);
            }
            call.run(SECOND + (rng.next_u64() % 40_000_000) as i64);
        }
        // Who was refused or got no answer is no member.
        for node in &mut call.nodes {
            let out = node.mesh.poll_timeout().is_none();
            node.alive &= !out;
        }
        call.run(12 * SECOND);
        call.assert_full_mesh();
    }
}

#[test]
fn a_demultiplexer_without_keys_opens_nothing_of_a_call() {
    // A stranger that sees everything: no packet of a call of four opens without its keys.
    let call = four();
    let mut stranger = Demux::new();
    for node in &call.nodes {
        for datagram in &node.sent_log {
            let mut datagram = datagram.clone();
            let found = stranger.handle(&mut datagram);
            let nothing = matches!(found, Demuxed::Handshake(_) | Demuxed::Dropped(_));
            assert!(nothing, "{found:?}");
        }
    }
}

#[test]
fn t0_is_fixed_once_for_all() {
    let mut call = four();
    let t0 = call.nodes[0].mesh.t0();
    assert!(t0.is_some_and(|t| t > SessionMicros(0)));
    call.leave(0);
    call.kill(0);
    call.run(40 * SECOND);
    let late = guest_at(&mut call, 2);
    call.run(3 * SECOND);
    assert_eq!(call.nodes[late].mesh.t0(), t0);
}
