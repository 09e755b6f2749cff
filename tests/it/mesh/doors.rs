//! Who gets in and who does not: knocking, refusing, removing, cookies, storms.

use std::net::SocketAddr;

use hyperzoom::protocol::{Admit, InviteKey, LeaveReason, Mesh, MeshEvent, Refusal};
use hyperzoom::units::Micros;

use crate::support::call::{Call, KEY, SECOND, address, clean, id, local, randomness};
use crate::support::sim::{Link, SimRng};

fn asking() -> Call {
    Call::new(1, Link::clean(20_000), Admit::Ask)
}

fn knock(call: &Call, host: usize) -> (u32, String, SocketAddr, u32) {
    call.nodes[host]
        .events
        .iter()
        .rev()
        .find_map(|(_, e)| match e {
            MeshEvent::Knock { knock, name, address, code } => {
                Some((*knock, name.clone(), *address, *code))
            }
            _ => None,
        })
        .expect("somebody knocks")
}

fn code_shown(call: &Call, guest: usize) -> Option<u32> {
    call.nodes[guest].events.iter().find_map(|(_, e)| match e {
        MeshEvent::KnockCode { code } => Some(*code),
        _ => None,
    })
}

fn knocks(call: &Call, who: usize) -> usize {
    call.nodes[who].count(|e| matches!(e, MeshEvent::Knock { .. }))
}

fn remove(call: &mut Call, who: usize, whom: u8) -> bool {
    let mut done = false;
    call.with(who, |mesh, now| done = mesh.remove_member(now, id(whom)));
    done
}

#[test]
fn who_knocks_is_let_in_by_a_person_who_sees_the_same_code() {
    let mut call = asking();
    let with_key = call.joined_guest();
    assert_eq!(call.nodes[with_key].mesh.own(), id(1), "a key needs nobody");
    let guest = call.guest(None);
    call.run(2 * SECOND);
    let (number, name, from, code) = knock(&call, 0);
    assert_eq!((name.as_str(), from), ("Guest 2", address(2)));
    assert_eq!(code_shown(&call, guest), Some(code));
    assert!(call.nodes[guest].joined(0).is_none());
    call.run(20 * SECOND);
    call.with(0, |mesh, now| assert!(mesh.admit(now, number)));
    call.run(3 * SECOND);
    call.assert_full_mesh();
    let over = MeshEvent::KnockOver { knock: number, admitted: true };
    assert_eq!(call.nodes[0].count(|e| *e == over), 1);
    assert_eq!(knocks(&call, 0), 1);
    call.with(0, |mesh, now| assert!(!mesh.admit(now, number), "once"));
    // Every admitted member can let others in, and shows the key.
    let shown = |e: &MeshEvent| matches!(e, MeshEvent::Invite { key, .. } if *key == KEY);
    assert!(call.nodes[guest].saw(shown).is_some());
}

#[test]
fn who_is_refused_and_whom_nobody_answers_is_told() {
    let mut call = asking();
    let guest = call.guest(None);
    call.run(2 * SECOND);
    let (number, ..) = knock(&call, 0);
    call.with(0, |mesh, now| assert!(mesh.refuse(now, number)));
    call.run(SECOND);
    assert_eq!(call.nodes[guest].refused(), Some(Refusal::NotAdmitted));
    let late = call.guest(None);
    call.run(59 * SECOND);
    assert_eq!(call.nodes[late].refused(), None);
    call.run(3 * SECOND);
    assert_eq!(call.nodes[late].refused(), Some(Refusal::NotAdmitted));
    let over = |e: &MeshEvent| matches!(e, MeshEvent::KnockOver { admitted: false, .. });
    assert_eq!(call.nodes[0].count(over), 2);
    assert!(call.nodes[0].peers.is_empty());
}

#[test]
fn a_knock_gets_through_a_rough_network() {
    let rough = Link { loss: 0.3, duplicate: 0.2, jitter_micros: 30_000, ..Link::clean(40_000) };
    for seed in 0..10 {
        let mut call = Call::new(seed, rough, Admit::Ask);
        let guest = call.guest(None);
        call.run(9 * SECOND);
        let (number, _, _, code) = knock(&call, 0);
        assert_eq!(code_shown(&call, guest), Some(code));
        call.with(0, |mesh, now| assert!(mesh.admit(now, number)));
        call.run(9 * SECOND);
        assert!(call.nodes[guest].joined(0).is_some(), "seed {seed}");
        assert_eq!(call.nodes[0].peers.len(), 1);
    }
}

#[test]
fn at_most_four_wait_and_one_from_each_source() {
    let mut call = asking();
    let guests: Vec<_> = (0..5).map(|_| call.guest(None)).collect();
    call.run(2 * SECOND);
    assert_eq!(knocks(&call, 0), 4);
    let busy = guests.iter().filter(|&&g| call.nodes[g].refused() == Some(Refusal::Busy));
    assert_eq!(busy.count(), 1);
    // A second one from the first one's computer.
    let mut call = asking();
    call.guest(None);
    call.run(SECOND);
    let other_port = SocketAddr::new(address(1).ip(), 9);
    call.net.move_socket(address(2), other_port);
    let second = call.guest(None);
    call.run(2 * SECOND);
    assert_eq!(call.nodes[second].refused(), Some(Refusal::Busy));
    assert_eq!(knocks(&call, 0), 1);
}

#[test]
fn with_admit_all_a_knock_is_answered_at_once() {
    let mut call = Call::new(1, Link::clean(20_000), Admit::All);
    let guest = call.guest(None);
    call.run(SECOND);
    // Cookie, KNOCKED and the verdict are three round trips.
    assert_eq!(call.nodes[guest].joined(0).map(|at| at.0), Some(120_000));
    assert_eq!(knocks(&call, 0), 0);
}

#[test]
fn after_the_host_a_guest_that_knocks_is_asked_about_where_the_introducer_is() {
    let mut call = asking();
    for _ in 0..2 {
        call.joined_guest();
    }
    call.leave(0);
    call.kill(0);
    call.run(8 * SECOND);
    // It knocks at 2, and 1 is asked.
    let late = call.guest_asking(address(2), None);
    call.run(3 * SECOND);
    let (number, _, from, code) = knock(&call, 1);
    assert_eq!(from, address(late));
    assert_eq!(code_shown(&call, late), Some(code));
    assert_eq!(knocks(&call, 2), 0);
    call.with(1, |mesh, now| assert!(mesh.admit(now, number)));
    call.run(5 * SECOND);
    call.assert_full_mesh();
}

#[test]
fn who_is_removed_is_out_everywhere_and_its_key_is_worth_nothing() {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    assert!(!remove(&mut call, 1, 2), "only the introducer removes");
    assert!(!remove(&mut call, 0, 0), "and nobody itself");
    assert!(remove(&mut call, 0, 2));
    call.run(2 * SECOND);
    assert_eq!(call.nodes[2].refused(), Some(Refusal::Removed));
    for other in [0, 1, 3] {
        assert!(call.nodes[other].left(2, LeaveReason::Removed).is_some());
        assert_eq!(call.nodes[other].mesh.roster().len(), 3);
    }
    call.kill(2);
    call.assert_full_mesh();
    let key = call.nodes[1].events.iter().rev().find_map(|(_, e)| match e {
        MeshEvent::Invite { key, .. } => Some(*key),
        _ => None,
    });
    assert_ne!(key, Some(KEY));
    let again = call.guest(Some(KEY));
    call.run(2 * SECOND);
    assert_eq!(call.nodes[again].refused(), Some(Refusal::Key));
    call.kill(again);
    // Those who stayed go on without the introducer, with the new key.
    call.leave(0);
    call.kill(0);
    call.run(31 * SECOND);
    call.guest_asking(address(3), key);
    call.run(5 * SECOND);
    call.assert_full_mesh();
}

#[test]
fn who_was_away_when_somebody_was_removed_still_comes_back() {
    let mut call = clean();
    for _ in 0..3 {
        call.joined_guest();
    }
    call.isolate(3, true);
    call.run(8 * SECOND);
    assert!(remove(&mut call, 0, 2));
    call.run(SECOND);
    call.kill(2);
    call.isolate(3, false);
    call.run(4 * SECOND);
    assert_eq!(call.nodes[3].mesh.own(), id(3));
    assert_eq!(call.nodes[3].count(|e| matches!(e, MeshEvent::Welcomed { .. })), 1);
    call.assert_full_mesh();
}

#[test]
fn names_cannot_steer_a_terminal() {
    let mut call = asking();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}Alice\u{200b}\n\r\u{9b}31m";
    call.guest_with(local(evil), Some(KEY));
    call.guest_with(local(evil), None);
    call.run(2 * SECOND);
    let (_, knocking, ..) = knock(&call, 0);
    let joined = call.nodes[0].events.iter().find_map(|(_, e)| match e {
        MeshEvent::PeerJoined { name, .. } => Some(name.clone()),
        _ => None,
    });
    for name in [knocking, joined.unwrap()] {
        assert!(!name.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)));
        assert!(name.contains("Alice"));
    }
}

/// A HELLO with that key.
fn hello(seed: u64, key: Option<InviteKey>) -> Vec<u8> {
    let now = Micros(0);
    let mut mesh = Mesh::guest(local("x"), vec![address(0)], key, now, randomness(seed));
    let mut out = Vec::new();
    mesh.poll_transmit(now, &mut out);
    out
}

#[test]
fn in_a_storm_a_guest_still_gets_in_and_the_call_does_not_notice() {
    let mut call = clean();
    call.joined_guest();
    let mut rng = SimRng::new(5);
    let hellos: Vec<_> = (0..40).map(|n| hello(n, Some(InviteKey([9; 16])))).collect();
    let before = call.nodes[0].sent_log.len();
    let late = call.guest(Some(KEY));
    // 10,000 a second, each from another address, with another ephemeral key.
    for i in 0..6_000u32 {
        let mut hello = hellos[i as usize % hellos.len()].clone();
        for byte in &mut hello[15..47] {
            *byte ^= rng.next_u64() as u8;
        }
        let from = SocketAddr::from(([100, (i >> 16) as u8, (i >> 8) as u8, i as u8], 9));
        call.arrive(0, from, hello);
        if i % 10 == 0 {
            call.run(1_000);
        }
    }
    call.run(3 * SECOND);
    assert!(call.nodes[late].joined(0).is_some(), "{:?}", call.nodes[late].events);
    call.assert_full_mesh();
    let counters = call.nodes[0].mesh.counters();
    assert!(counters.handshakes_refused < 100, "{counters:?}");
    assert!(counters.cookies_sent > 100, "{counters:?}");
    assert!(call.nodes[0].sent_log.len() - before < 2_000);
    assert_eq!(call.nodes[1].count(|e| matches!(e, MeshEvent::PeerSilent { .. })), 0);
}

#[test]
fn every_answer_in_clear_and_every_one_that_is_given_again_has_a_rate() {
    let victim: SocketAddr = "203.0.113.200:53".parse().unwrap();
    for admit in [Admit::Key, Admit::Ask] {
        let mut call = Call::new(1, Link::clean(20_000), admit);
        let keyed = call.joined_guest();
        let knocking = call.guest(None);
        call.run(SECOND);
        let said = |who: usize, kind: u8| {
            let log = &call.nodes[who].sent_log;
            log.iter().find(|d| d[0] & 0x1F == 4 && d[12] == 0 && d[13] == kind).cloned()
        };
        let mut foreign = hello(7, Some(KEY));
        foreign[14] ^= 1;
        // Another revision's HELLO, one that was answered, a KNOCK, and a REVEAL where there is one.
        let questions = [Some(foreign), said(keyed, 1), said(knocking, 5), said(knocking, 7)];
        let questions: Vec<_> = questions.into_iter().flatten().collect();
        assert_eq!(questions.len(), if admit == Admit::Ask { 4 } else { 3 });
        for question in questions {
            let mut lengths = Vec::new();
            for _ in 0..2_000 {
                let before = call.net.sent_to(victim);
                call.arrive(0, victim, question.clone());
                lengths.push(call.net.sent_to(victim) - before);
                call.run(500);
            }
            let answered = lengths.iter().filter(|len| **len > 0).count();
            // Two slots of 16 and 16 a second.
            assert!((1..=64).contains(&answered), "{admit:?}, {}: {answered}", question[13]);
            call.run(2 * SECOND);
        }
        call.nodes[knocking].talks = false;
        call.assert_full_mesh();
    }
}

#[test]
fn no_answer_to_a_stranger_is_longer_than_its_question() {
    let victim: SocketAddr = "203.0.113.200:53".parse().unwrap();
    for admit in [Admit::Key, Admit::All, Admit::Ask] {
        let mut call = Call::new(1, Link::clean(20_000), admit);
        call.joined_guest();
        // All that real guests say, of every kind, and the same with every kind byte.
        let mut questions: Vec<Vec<u8>> = Vec::new();
        for key in [None, Some(KEY), Some(InviteKey([1; 16]))] {
            let guest = call.guest(key);
            call.run(2 * SECOND);
            questions.extend(call.nodes[guest].sent_log.iter().cloned());
            call.kill(guest);
        }
        for kind in 0u8..16 {
            for with in [0, 0x80] {
                let mut question = hello(u64::from(kind | with), Some(KEY));
                question[13] = kind | with;
                questions.push(question);
            }
        }
        // Fresh ones, that make the host answer for the first time.
        questions.extend((100..140).map(|n| hello(n, Some(KEY))));
        questions.extend((100..140).map(|n| hello(n, None)));
        let mut came = 0;
        for question in questions {
            for _ in 0..3 {
                let before = call.net.sent_to(victim);
                call.arrive(0, victim, question.clone());
                came += question.len();
                let answer = call.net.sent_to(victim) - before;
                let handshake = question[0] & 0x1F == 4 && question[12] == 0;
                // What a member has sealed may be a member's that has moved.
                let most = if handshake { 1 } else { 3 } * question.len();
                assert!(answer <= most, "{answer} for {} bytes", question.len());
                // And nothing comes later, unasked, in exchange for it.
                call.run(50_000);
            }
        }
        call.run(70 * SECOND);
        let sent = call.net.sent_to(victim);
        assert!(sent <= came && sent > 0, "{sent} bytes for {came}");
    }
}

#[test]
fn copies_of_a_members_packets_from_another_address_earn_at_most_three_times_their_bytes() {
    let mut call = clean();
    let guest = call.joined_guest();
    let victim: SocketAddr = "203.0.113.200:53".parse().unwrap();
    call.net.tap(address(guest), address(0));
    // What the guest sends is held back and comes from the victim's address first.
    call.cut(0, guest, true);
    call.run(4 * SECOND);
    let stolen = call.net.tapped();
    assert!(stolen.len() > 50);
    let mut came = 0;
    for datagram in stolen {
        came += datagram.len();
        call.arrive(0, victim, datagram);
        call.run(1_000);
        let sent = call.net.sent_to(victim);
        assert!(sent <= 3 * came, "{sent} bytes for {came}");
    }
    assert!(call.net.sent_to(victim) > 0, "it was challenged");
    assert_ne!(call.nodes[0].peers.first().map(|p| p.address), Some(victim));
}
