//! Layout of control messages, and bytes that are none.

use super::super::invite::InviteKey;
use super::*;
use proptest::prelude::*;

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out);
    out
}

fn member(id: u8, name: &str) -> Member {
    Member {
        id: ParticipantId(id),
        name: name.into(),
        static_key: [id; 32],
        addresses: vec!["192.0.2.1:7000".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()],
        epoch: 7,
    }
}

fn update(roster: Roster) -> RosterUpdate {
    let charter = Charter { key: InviteKey([6; 16]), admit: Admit::Ask, rested: [255, 3, 0, 1] };
    RosterUpdate { roster, secret: [5; 32], charter }
}

// Written by hand from the fields' order.
#[test]
fn a_roster_update_has_the_written_layout() {
    let roster = Roster { epoch: 8, introducer: ParticipantId(1), members: Vec::new() };
    let mut golden = vec![6, 0, 59, 0, 0, 0, 8, 1, 0];
    golden.extend([5; 32]);
    golden.extend([6; 16]);
    golden.extend([2, 255, 3, 0, 1]);
    assert_eq!(encoded(&Message::Roster(Box::new(update(roster)))), golden);
}

#[test]
fn an_id_that_comes_twice_is_no_roster() {
    let members = vec![member(1, "A"), member(1, "B")];
    let roster = Roster { epoch: 8, introducer: ParticipantId(1), members };
    let bytes = encoded(&Message::Roster(Box::new(update(roster))));
    assert_eq!(Messages::new(&bytes).next(), Some(Err(Malformed)));
}

#[test]
fn messages_have_the_written_layout() {
    assert_eq!(encoded(&Message::Confirm { epoch: 0x0A0B_0C0D }), [1, 0, 4, 10, 11, 12, 13]);
    assert_eq!(encoded(&Message::Ping { sent: Micros(1) }), [2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(encoded(&Message::KeyframeRequest), [7, 0, 0]);
    let report = AudioReport { loss_1s: 0x0102, loss_10s: 0x0304, run: 5 };
    assert_eq!(encoded(&Message::AudioReport(report)), [26, 0, 5, 1, 2, 3, 4, 5]);
    let report =
        PathReport { queue_micros: 0x0102_0304, noise_micros: 0x0506_0708, received_kbps: 0x090A };
    let expected = [27, 0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    assert_eq!(encoded(&Message::PathReport(report)), expected);
    let again = Message::Again { sequence: 0x0102_0304, fragments: 0x0506_0708 };
    assert_eq!(encoded(&again), [28, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        encoded(&Message::T0 { at: SessionMicros(-1) }),
        [5, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255]
    );
    let links =
        vec![LinkReport { peer: ParticipantId(3), rtt_micros: 2, loss_permille: 1, relayed: true }];
    assert_eq!(
        encoded(&Message::Links { introducer: ParticipantId(1), links }),
        [20, 0, 10, 1, 1, 3, 0, 0, 0, 2, 0, 1, 1]
    );
    let source = "1.2.3.4:5".parse().unwrap();
    assert_eq!(
        encoded(&Message::Forward { tag: [9; 8], source, datagram: vec![7] }),
        [24, 0, 17, 9, 9, 9, 9, 9, 9, 9, 9, 1, 4, 1, 2, 3, 4, 0, 5, 7]
    );
    assert_eq!(encoded(&Message::Removed { by_person: true }), [23, 0, 1, 1]);
}

#[test]
fn every_message_comes_back_also_from_a_row() {
    let status = Status {
        muted: true,
        camera_off: false,
        clipping: true,
        recording: true,
        dropped: 3,
        disk_left_mb: Some(0),
        input_delay_micros: 5_000,
        output_delay_micros: 7_500,
        reception: vec![Reception {
            peer: ParticipantId(3),
            loss_permille: 51,
            jitter_micros: 900,
            playout_micros: 12_000,
            way_micros: Some(-1_234),
        }],
        clock: Some(ClockReport {
            offset_micros: -12_340_567,
            uncertainty_micros: 250,
            skew_ppb: -41_250,
        }),
        slept_millis: 61_000,
    };
    let row = vec![
        Message::Confirm { epoch: 9 },
        Message::Ping { sent: Micros(-5) },
        Message::Pong {
            sent: Micros(1),
            received: SessionMicros(2),
            answered: SessionMicros(3),
            synchronised: true,
            uncertainty_micros: 1_500,
        },
        Message::Heartbeat { count: 4, roster: 2, status },
        Message::Heartbeat { count: 5, roster: 0, status: Status::default() },
        Message::T0 { at: SessionMicros(5_000_000) },
        Message::Roster(Box::new(update(Roster {
            epoch: 8,
            introducer: ParticipantId(0),
            members: vec![member(0, "Alice"), member(3, "Zoë")],
        }))),
        Message::KeyframeRequest,
        Message::PathChallenge([1; 8]),
        Message::PathResponse([2; 8]),
        Message::AudioReport(AudioReport { loss_1s: 50, loss_10s: 48, run: 11 }),
        Message::PathReport(PathReport { queue_micros: 1, noise_micros: 2, received_kbps: 3 }),
        Message::Again { sequence: 77, fragments: 5 },
        Message::Links {
            introducer: ParticipantId(1),
            links: vec![LinkReport {
                peer: ParticipantId(2),
                rtt_micros: 40_000,
                loss_permille: 5,
                relayed: true,
            }],
        },
        Message::Addresses(vec!["192.0.2.1:7000".parse().unwrap()]),
        Message::Observed("[2001:db8::1]:9".parse().unwrap()),
        Message::Removed { by_person: true },
        Message::Forward {
            tag: [3; 8],
            source: "192.0.2.9:1".parse().unwrap(),
            datagram: vec![1, 2, 3],
        },
        Message::Pass { tag: [4; 8], to: "192.0.2.9:1".parse().unwrap(), datagram: vec![] },
    ];
    let mut bytes = Vec::new();
    for message in &row {
        message.write(&mut bytes);
    }
    let back: Vec<_> = Messages::new(&bytes).map(|m| m.unwrap().unwrap()).collect();
    assert_eq!(back, row);
}

#[test]
fn a_clock_report_stands_behind_everything_that_earlier_versions_read() {
    let clock = Some(ClockReport { offset_micros: -2, uncertainty_micros: 3, skew_ppb: 4 });
    let status = Status { clock, ..Status::default() };
    let bytes = encoded(&Message::Heartbeat { count: 1, roster: 0, status });
    let plain = encoded(&Message::Heartbeat { count: 1, roster: 0, status: Status::default() });
    assert_eq!(bytes.len(), plain.len() + 16);
    assert_eq!(bytes[11], 32 + 64, "its flags");
    assert_eq!(bytes[12..plain.len()], plain[12..]);
    let report = &bytes[plain.len()..];
    assert_eq!(report[..12], [255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0, 3]);
    assert_eq!(report[12..], [0, 0, 0, 4]);
}

#[test]
fn the_ways_of_packets_stand_behind_all_that_and_may_lack() {
    let told = |way_micros| {
        let none = Reception {
            peer: ParticipantId(2),
            loss_permille: 0,
            jitter_micros: 0,
            playout_micros: 0,
            way_micros: None,
        };
        let reception = vec![none, Reception { peer: ParticipantId(3), way_micros, ..none }];
        let status = Status { reception, slept_millis: 7, ..Status::default() };
        (status.clone(), encoded(&Message::Heartbeat { count: 1, roster: 0, status }))
    };
    let (plain, short) = told(None);
    let (status, bytes) = told(Some(-2));
    assert_eq!(bytes[3..short.len()], short[3..]);
    assert_eq!(bytes[short.len()..], [3, 255, 255, 255, 254]);
    assert_eq!(status.way_of(ParticipantId(3)), Some(-2));
    assert_eq!(plain.way_of(ParticipantId(3)), None);
    let read = Messages::new(&bytes).next();
    assert_eq!(read, Some(Ok(Some(Message::Heartbeat { count: 1, roster: 0, status }))));
}

#[test]
fn unknown_kinds_are_skipped_and_bodies_may_grow() {
    let mut bytes = vec![200, 0, 2, 1, 1];
    bytes.extend([1, 0, 6, 0, 0, 0, 5, 99, 99]);
    let found: Vec<_> = Messages::new(&bytes).collect();
    assert_eq!(found, [Ok(None), Ok(Some(Message::Confirm { epoch: 5 }))]);
}

#[test]
fn a_cut_message_ends_the_row() {
    let found: Vec<_> = Messages::new(&[7, 0, 0, 1, 0, 4, 0]).collect();
    assert_eq!(found, [Ok(Some(Message::KeyframeRequest)), Err(Malformed)]);
}

#[test]
fn names_are_made_safe_to_show() {
    assert_eq!(sanitise_name("  Alice \t (Host)\n"), "Alice (Host)");
    assert_eq!(sanitise_name("a\u{1b}[31mb\u{202e}c"), "a [31mbc");
    assert_eq!(sanitise_name("\u{200b}\u{7}"), "guest");
    let long = sanitise_name(&"é".repeat(100));
    assert_eq!(long, "é".repeat(24));
}

#[test]
fn the_longest_roster_fits_a_packet() {
    let members = (0..4)
        .map(|id| Member {
            name: "n".repeat(MAX_NAME),
            addresses: vec![
                "[2001:db8::1]:9".parse().unwrap();
                crate::protocol::wire::MAX_ADDRESSES
            ],
            ..member(id, "")
        })
        .collect();
    let mut bytes = Vec::new();
    Message::Roster(Box::new(update(Roster {
        epoch: 1,
        introducer: ParticipantId::HOST,
        members,
    })))
    .write(&mut bytes);
    assert!(bytes.len() <= 900, "{} bytes leave no room for a heartbeat", bytes.len());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_reads_writes_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        for message in Messages::new(&bytes).flatten().flatten() {
            let again = encoded(&message);
            prop_assert_eq!(Messages::new(&again).next(), Some(Ok(Some(message))));
        }
    }

    #[test]
    fn no_body_of_a_known_kind_panics(
        kind in 1u8..30, body in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let mut bytes = vec![kind, (body.len() >> 8) as u8, body.len() as u8];
        bytes.extend(body);
        for message in Messages::new(&bytes).flatten().flatten() {
            let again = encoded(&message);
            prop_assert_eq!(Messages::new(&again).next(), Some(Ok(Some(message))));
        }
    }

    #[test]
    fn sanitising_twice_changes_nothing(raw in "\\PC{0,80}") {
        let once = sanitise_name(&raw);
        prop_assert_eq!(sanitise_name(&once), once);
    }
}
