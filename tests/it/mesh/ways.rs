//! Ways between members: direct, local, through NATs, through another member; and when they die.

use std::net::{IpAddr, SocketAddr};

use hyperzoom::protocol::control::AudioReport;
use hyperzoom::protocol::{Admit, MeshEvent};

use crate::support::call::{Call, KEY, SECOND, address, clean, id};
use crate::support::sim::{Link, Nat};

/// Home `n`'s router.
fn home(n: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, n])
}

/// A host that can be reached, and guests behind routers of those kinds, each in a home of its own.
fn behind(kinds: &[Nat]) -> Call {
    let mut call = Call::new(7, Link::clean(20_000), Admit::Key);
    for (i, &nat) in kinds.iter().enumerate() {
        call.net.put_behind(address(i + 1), home(i as u8 + 1), nat);
        call.guest_asking(address(0), Some(KEY));
        call.run(3 * SECOND);
    }
    call
}

fn relay_of(call: &Call, a: usize, b: usize) -> Option<u8> {
    let other = call.nodes[b].mesh.own();
    let known = call.nodes[a].peers.iter().find(|p| p.id == other).expect("they are peers");
    known.relay.map(|id| id.0)
}

fn handshakes(call: &Call, who: usize) -> usize {
    call.nodes[who].count(|e| matches!(e, MeshEvent::KeysReady { .. }))
}

fn nobody_left(call: &Call) {
    for node in &call.nodes {
        assert_eq!(node.count(|e| matches!(e, MeshEvent::PeerLeft { .. })), 0);
    }
}

#[test]
fn ordinary_routers_open_to_both_sides_asking_at_once() {
    let mut call = behind(&[Nat::Cone, Nat::Cone, Nat::Cone]);
    call.run(3 * SECOND);
    call.assert_full_mesh();
    for a in 0..4 {
        for b in (0..4).filter(|&b| b != a) {
            assert_eq!(relay_of(&call, a, b), None, "{a} and {b}");
        }
    }
}

#[test]
fn a_symmetric_router_on_one_side_needs_nobody_between_where_the_other_is_open() {
    let mut call = behind(&[Nat::Open, Nat::Symmetric]);
    call.run(3 * SECOND);
    call.assert_full_mesh();
    assert_eq!(relay_of(&call, 1, 2), None);
    assert_eq!(relay_of(&call, 2, 1), None);
}

#[test]
fn between_symmetric_routers_another_member_carries_and_cannot_hear() {
    let mut call = behind(&[Nat::Symmetric, Nat::Symmetric]);
    call.run(3 * SECOND);
    call.assert_full_mesh();
    assert_eq!(relay_of(&call, 1, 2), Some(0));
    assert_eq!(relay_of(&call, 2, 1), Some(0));
    assert!(call.nodes[0].carried > 50);
    // The relay has no key of theirs.
    let between: Vec<_> = call.nodes[1].keys.iter().filter(|(p, _)| *p == id(2)).collect();
    let at_the_relay = |key: &[u8; 32]| {
        call.nodes[0].keys.iter().any(|(_, k)| k.send == *key || k.receive == *key)
    };
    assert!(!between.is_empty());
    assert!(!between.iter().any(|(_, k)| at_the_relay(&k.send) || at_the_relay(&k.receive)));
}

#[test]
fn a_relay_is_given_up_as_soon_as_a_direct_way_works() {
    let mut call = clean();
    call.joined_guest();
    call.cut(1, 2, true);
    call.guest(Some(KEY));
    call.run(5 * SECOND);
    call.assert_full_mesh();
    assert_eq!(relay_of(&call, 1, 2), Some(0));
    let before = handshakes(&call, 1);
    call.cut(1, 2, false);
    let healed = call.now;
    call.run(2 * SECOND);
    for (a, b) in [(1, 2), (2, 1)] {
        assert_eq!(relay_of(&call, a, b), None);
        let other = call.nodes[b].mesh.own();
        let direct = call.nodes[a].events.iter().rev().find(|(_, e)| {
            matches!(e, MeshEvent::PeerAddress { peer, relay: None, .. } if *peer == other)
        });
        assert!(direct.unwrap().0.since(healed) < 1_300_000);
    }
    assert_eq!(handshakes(&call, 1), before, "no new handshake");
}

#[test]
fn a_direct_way_that_dies_is_replaced_by_a_relay_within_a_second_and_without_a_handshake() {
    let mut call = clean();
    for _ in 0..2 {
        call.joined_guest();
    }
    call.run(3 * SECOND);
    let before = handshakes(&call, 1);
    call.cut(1, 2, true);
    let died = call.now;
    call.run(1_200_000);
    for (a, b) in [(1, 2), (2, 1)] {
        assert_eq!(relay_of(&call, a, b), Some(0));
        let at = call.nodes[a].saw(|e| matches!(e, MeshEvent::PeerAddress { relay: Some(_), .. }));
        assert!(at.unwrap().since(died) < 1_000_000, "{at:?} after {died:?}");
    }
    call.run(10 * SECOND);
    call.assert_full_mesh();
    nobody_left(&call);
    assert_eq!(handshakes(&call, 1), before);
}

#[test]
fn the_relay_with_the_least_sum_of_round_trips_is_taken_and_another_when_it_leaves() {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    for other in [1, 2] {
        for (a, b) in [(0, other), (other, 0)] {
            call.net.set_link(address(a), address(b), Link::clean(90_000));
        }
    }
    call.run(25 * SECOND);
    call.cut(1, 2, true);
    call.run(6 * SECOND);
    assert_eq!(relay_of(&call, 1, 2), Some(3), "over 3 it is shorter than over the host");
    call.assert_full_mesh();
    call.leave(3);
    call.kill(3);
    call.run(3 * SECOND);
    assert_eq!(relay_of(&call, 1, 2), Some(0));
    call.assert_full_mesh();
}

#[test]
fn a_carrier_that_loses_is_left_for_a_slower_one_that_does_not_and_taken_again_when_it_is_well() {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    // Over the host it is 40 ms, over 3 it is 160.
    let between = |call: &mut Call, who: usize, link: Link| {
        for other in [1, 2] {
            for (a, b) in [(who, other), (other, who)] {
                call.net.set_link(address(a), address(b), link);
            }
        }
    };
    between(&mut call, 3, Link::clean(80_000));
    call.run(25 * SECOND);
    call.cut(1, 2, true);
    call.run(6 * SECOND);
    assert_eq!(relay_of(&call, 1, 2), Some(0));
    let moves = |call: &Call| {
        call.nodes[1].count(|e| matches!(e, MeshEvent::PeerAddress { peer, .. } if *peer == id(2)))
    };
    let before = moves(&call);
    // 2 % is no reason.
    between(&mut call, 0, Link { loss: 0.01, ..Link::clean(20_000) });
    call.run(20 * SECOND);
    assert_eq!((relay_of(&call, 1, 2), moves(&call)), (Some(0), before));
    between(&mut call, 0, Link { loss: 0.15, ..Link::clean(20_000) });
    call.run(15 * SECOND);
    for (a, b) in [(1, 2), (2, 1)] {
        assert_eq!(relay_of(&call, a, b), Some(3));
    }
    // And it stays there, although the other one is so much nearer.
    call.run(60 * SECOND);
    call.assert_full_mesh();
    assert_eq!((relay_of(&call, 1, 2), moves(&call)), (Some(3), before + 1));
    between(&mut call, 0, Link::clean(20_000));
    call.run(120 * SECOND);
    assert_eq!((relay_of(&call, 1, 2), moves(&call)), (Some(0), before + 2));
    call.assert_full_mesh();
    nobody_left(&call);
}

#[test]
fn what_members_say_of_their_sound_tells_a_lossy_carrier_within_seconds() {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    for other in [1, 2] {
        for (a, b) in [(3, other), (other, 3)] {
            call.net.set_link(address(a), address(b), Link::clean(80_000));
        }
    }
    call.run(25 * SECOND);
    call.cut(1, 2, true);
    call.run(6 * SECOND);
    assert_eq!(relay_of(&call, 1, 2), Some(0));
    // No ping is lost here: the sound of 1 to the host is, as the host reports.
    for _ in 0..6 {
        let report = AudioReport { loss_1s: 80, loss_10s: 60, run: 10 };
        call.with(0, |mesh, now| mesh.report_audio(now, id(1), report));
        call.run(SECOND);
    }
    assert_eq!(relay_of(&call, 1, 2), Some(3));
    nobody_left(&call);
}

#[test]
fn two_behind_one_router_talk_locally() {
    let mut call = Call::new(7, Link::clean(20_000), Admit::Key);
    for i in 1..=2 {
        call.net.put_behind(address(i), home(1), Nat::Cone);
        call.guest_asking(address(0), Some(KEY));
        call.run(3 * SECOND);
    }
    call.run(3 * SECOND);
    call.assert_full_mesh();
    for (a, b) in [(1, 2), (2, 1)] {
        let other = call.nodes[b].mesh.own();
        let known = call.nodes[a].peers.iter().find(|p| p.id == other).unwrap();
        assert_eq!((known.address, known.relay), (address(b), None));
    }
}

#[test]
fn a_router_that_restarts_is_followed_within_a_second() {
    let mut call = behind(&[Nat::Cone, Nat::Open]);
    call.run(2 * SECOND);
    let before: Vec<_> = call.nodes[0].peers.iter().map(|p| p.address).collect();
    call.net.forget_mappings(address(1));
    let restarted = call.now;
    call.run(SECOND);
    let known = call.nodes[0].peers.iter().find(|p| p.id == id(1)).unwrap();
    assert!(!before.contains(&known.address));
    let moved = |e: &MeshEvent| matches!(e, MeshEvent::PeerAddress { peer, .. } if *peer == id(1));
    let at = call.nodes[0].events.iter().rev().find(|(_, e)| moved(e)).unwrap().0;
    assert!(at.since(restarted) < 400_000, "{at:?} after {restarted:?}");
    call.run(2 * SECOND);
    call.assert_full_mesh();
    nobody_left(&call);
}

#[test]
fn a_member_that_changes_its_network_in_the_silence_is_followed_when_it_speaks() {
    let mut call = clean();
    let guest = call.joined_guest();
    call.cut(0, guest, true);
    call.run(3 * SECOND);
    let new: SocketAddr = "198.51.100.77:999".parse().unwrap();
    call.net.move_socket(address(guest), new);
    call.cut(0, guest, false);
    let back = call.now;
    call.run(SECOND);
    assert_eq!(call.nodes[0].peers[0].address, new);
    let at = call.nodes[0].saw(|e| matches!(e, MeshEvent::PeerAddress { .. })).unwrap();
    assert!(at.since(back) < 500_000, "{at:?} after {back:?}");
    nobody_left(&call);
    assert_eq!((handshakes(&call, 0), handshakes(&call, guest)), (1, 1));
}

#[test]
fn of_two_addresses_the_nearer_one_is_kept() {
    // The guest, whose second address is nearer, is chosen for by the host, whose id is lower.
    let mut call = Call::new(3, Link::clean(60_000), Admit::Key);
    let near: SocketAddr = "203.0.113.40:7000".parse().unwrap();
    call.net.alias(near, address(1));
    call.net.set_link(address(0), near, Link::clean(10_000));
    let guest = call.guest(Some(KEY));
    call.with(guest, |mesh, now| mesh.set_addresses(now, vec![near]));
    call.run(5 * SECOND);
    assert_eq!(call.nodes[0].peers[0].address, near);
    call.run(20 * SECOND);
    call.assert_full_mesh();
    let moves = call.nodes[0].count(|e| matches!(e, MeshEvent::PeerAddress { .. }));
    assert_eq!(moves, 1, "and stays");
}

#[test]
fn new_addresses_are_told_to_everybody() {
    let mut call = clean();
    for _ in 0..2 {
        call.joined_guest();
    }
    let mapped: SocketAddr = "203.0.113.9:7000".parse().unwrap();
    call.with(1, |mesh, now| mesh.set_addresses(now, vec![mapped]));
    call.run(3 * SECOND);
    call.joined_guest();
    let told = call.nodes[3].mesh.roster()[1].addresses.clone();
    assert!(told.contains(&mapped), "{told:?}");
    let invite = call.nodes[1].events.iter().rev().find_map(|(_, e)| match e {
        MeshEvent::Invite { addresses, .. } => Some(addresses.clone()),
        _ => None,
    });
    assert!(invite.unwrap().contains(&mapped));
}

#[test]
fn a_mapped_address_is_offered_first_and_taken_back() {
    let mut call = clean();
    let guest = call.joined_guest();
    let mapped: SocketAddr = "203.0.113.9:7000".parse().unwrap();
    call.with(guest, |mesh, now| mesh.set_mapped(now, Some(mapped)));
    let offered = |call: &Call| {
        call.nodes[guest].events.iter().rev().find_map(|(_, e)| match e {
            MeshEvent::Invite { addresses, .. } => Some(addresses[0]),
            _ => None,
        })
    };
    assert_eq!(offered(&call), Some(mapped));
    call.with(guest, |mesh, now| mesh.set_mapped(now, None));
    assert_ne!(offered(&call), Some(mapped));
}

#[test]
fn sleep_and_wake_within_the_window_needs_no_handshake() {
    let mut call = clean();
    let guest = call.joined_guest();
    // Asleep: nothing is handled for four seconds, and what came is gone.
    call.nodes[guest].alive = false;
    call.run(4 * SECOND);
    call.nodes[guest].alive = true;
    let woke = call.now;
    call.run(SECOND);
    nobody_left(&call);
    assert_eq!((handshakes(&call, 0), handshakes(&call, guest)), (1, 1));
    let back = call.nodes[0].saw(|e| matches!(e, MeshEvent::PeerBack { .. })).unwrap();
    assert!(back.since(woke) < 100_000, "{back:?}: sound within 100 ms");
}
