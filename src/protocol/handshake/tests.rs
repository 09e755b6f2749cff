//! Layouts of handshake datagrams, and bytes that are none.

use super::bodies::{Answer, Hello, Welcome};
use super::join::{ClearHello, GuestHandshake, GuestOutcome};
use super::knock::{ClearReveal, GuestKnock, HostKnock, KnockOutcome};
use super::pair::{ClearPair, PairBody, PairInitiator, PairNames, PairSecrets};
use super::*;
use crate::protocol::control::{Admit, Charter, Member, Roster, StreamParameters};
use crate::protocol::wire::MAX_ADDRESSES;
use crate::units::SessionMicros;
use proptest::prelude::*;

const HOST: ParticipantId = ParticipantId::HOST;

fn counting(mut next: u8) -> Randomness {
    Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_mul(5).wrapping_add(7);
        }
    })
}

fn hello() -> Hello {
    Hello {
        name: "Bo".into(),
        version: "0.1.0".into(),
        codecs: CODEC_OPUS | CODEC_VP8,
        streams: StreamParameters::default(),
        addresses: vec!["192.0.2.1:7000".parse().unwrap()],
        static_key: [9; 32],
        utc_minute: 0x0102_0304,
        ticket: None,
    }
}

fn longest_welcome() -> Answer {
    let name = "n".repeat(MAX_NAME);
    let member = Member {
        id: ParticipantId(0),
        name: name.clone(),
        static_key: [1; 32],
        addresses: vec!["[2001:db8::1]:7000".parse().unwrap(); MAX_ADDRESSES],
        epoch: u32::MAX,
    };
    Answer::Welcome(Box::new(Welcome {
        id: ParticipantId(3),
        epoch: 7,
        start: SessionStart {
            session_id: [1; 8],
            epoch_utc_micros: 1,
            utc_offset_seconds: -3_600,
            name: Some(name.clone()),
        },
        secret: [2; 32],
        ticket: [3; 16],
        t0: Some(SessionMicros(5_000_000)),
        version: name,
        codecs: 3,
        streams: StreamParameters::default(),
        roster: Roster {
            epoch: 6,
            introducer: HOST,
            members: (0..3).map(|i| Member { id: ParticipantId(i), ..member.clone() }).collect(),
        },
        charter: Charter { key: InviteKey([4; 16]), admit: Admit::Ask, rested: [1, 2, 3, 255] },
    }))
}

// Written by hand from the fields' order.
#[test]
fn a_hello_body_has_the_written_layout() {
    let mut golden = vec![2, b'B', b'o', 5];
    golden.extend(b"0.1.0");
    golden.extend([0, 3]);
    // Stream parameters: 19 bytes; 48,000; 5,000; 32; 854x480; 24; 400; not known.
    golden.extend([19, 0, 0, 0xBB, 0x80, 0x13, 0x88, 0, 32]);
    golden.extend([0x03, 0x56, 0x01, 0xE0, 24, 0x01, 0x90, 0, 0, 0, 0]);
    // One IPv4 address.
    golden.extend([1, 4, 192, 0, 2, 1, 0x1B, 0x58]);
    golden.extend([9; 32]);
    golden.extend([1, 2, 3, 4, 0]);
    assert_eq!(hello().write(), golden);
    assert_eq!(Hello::read(&golden), Ok(hello()));
    golden.push(1);
    assert_eq!(Hello::read(&golden), Ok(hello()), "a body may grow");
}

#[test]
fn both_sides_get_the_same_keys_crosswise() {
    let key = InviteKey([5; 16]);
    let mut guest = GuestHandshake::new(&mut counting(1), &key, &hello());
    let datagram = guest.datagram(None);
    let clear = ClearHello::read(&datagram).unwrap();
    let (heard, host) = clear.open(&mut counting(2), &key).unwrap();
    assert_eq!(heard, Ok(hello()));
    let (answer, host_keys) = host.answer(HOST, &longest_welcome());
    assert!(answer.len() <= MAX_DATAGRAM, "{} bytes", answer.len());
    let GuestOutcome::Welcome(welcome, guest_keys) = guest.answer(&answer) else {
        panic!("the WELCOME opens");
    };
    assert_eq!(Answer::Welcome(welcome), longest_welcome());
    assert_eq!(host_keys.send, guest_keys.receive);
    assert_eq!(host_keys.receive, guest_keys.send);
    assert_ne!(host_keys.send, host_keys.receive);
}

#[test]
fn the_longest_hello_leaves_room_for_padding() {
    let long = Hello {
        name: "n".repeat(MAX_NAME),
        version: "v".repeat(MAX_NAME),
        addresses: vec!["[2001:db8::1]:7000".parse().unwrap(); MAX_ADDRESSES + 2],
        ticket: Some([1; 16]),
        ..hello()
    };
    let key = InviteKey([0; 16]);
    let guest = GuestHandshake::new(&mut counting(1), &key, &long);
    let datagram = guest.datagram(Some(&[7; 16]));
    assert_eq!(datagram.len(), MAX_DATAGRAM);
    let clear = ClearHello::read(&datagram).unwrap();
    assert!(clear.keyed);
    assert_eq!(clear.cookie, Some([7; 16]));
    assert!(clear.open(&mut counting(2), &key).is_some());
    // As members forward it.
    assert_eq!(padded(unpadded(&datagram).unwrap()), Some(datagram));
}

#[test]
fn the_same_randomness_makes_the_same_hello() {
    let make = |n| GuestHandshake::new(&mut counting(n), &InviteKey([1; 16]), &hello());
    assert_eq!(make(1).datagram(None), make(1).datagram(None));
    assert_ne!(make(1).datagram(None), make(2).datagram(None));
}

#[test]
fn a_cookie_leaves_the_noise_message_as_it_is() {
    let key = InviteKey([5; 16]);
    let guest = GuestHandshake::new(&mut counting(1), &key, &hello());
    let (plain, with) = (guest.datagram(None), guest.datagram(Some(&[9; 16])));
    let (plain, with) = (ClearHello::read(&plain).unwrap(), ClearHello::read(&with).unwrap());
    assert_eq!((plain.ephemeral, plain.cookie), (with.ephemeral, None));
    assert!(with.open(&mut counting(2), &key).is_some());
    let asked = cookie_answer(HOST, &with.ephemeral, &[9; 16]);
    // Handshake, COOKIE, revision 2, echo, cookie.
    assert_eq!(asked[12..15], [0, 9, 2]);
    assert_eq!(asked[15..31], with.ephemeral[..16]);
    assert_eq!(asked[31..], [9; 16]);
    let mut guest = guest;
    assert!(matches!(guest.answer(&asked), GuestOutcome::Cookie(c) if c == [9; 16]));
}

#[test]
fn a_knock_shows_both_sides_the_same_code_and_nothing_in_clear() {
    let mut guest = GuestKnock::new(&mut counting(1), hello());
    let knock = guest.datagram(None);
    assert_eq!(knock[12..15], [0, 5, 2]);
    let clear = ClearHello::read(&knock).unwrap();
    assert!(!clear.keyed);
    let host = HostKnock::new(&mut counting(2), HOST, &clear).unwrap();
    assert_eq!(host.knocked[12..15], [0, 6, 2]);
    let KnockOutcome::Code(code) = guest.answer(&host.knocked) else { panic!("it answers") };
    let reveal = guest.datagram(None);
    assert_eq!(reveal.len(), MAX_DATAGRAM);
    assert_eq!(reveal[12..15], [0, 7, 2]);
    assert!(!reveal.windows(5).any(|w| w == b"0.1.0"), "names never travel in clear");
    let clear = ClearReveal::read(&reveal).unwrap();
    let (heard, there) = host.reveal(&clear).unwrap();
    assert_eq!((heard, there), (Ok(hello()), code));
    assert!(code < 1_000_000);
    // A changed REVEAL opens nothing.
    for at in 15..60 {
        let mut bad = reveal.clone();
        bad[at] ^= 1;
        assert!(ClearReveal::read(&bad).is_none_or(|clear| host.reveal(&clear).is_none()));
    }
    let waiting = host.waiting(HOST);
    assert_eq!(waiting[12..15], [0, 8, 2]);
    assert!(matches!(guest.answer(&waiting), KnockOutcome::Waiting));
    assert!(guest.is_waiting());
    let keys = host.keys.clone();
    let verdict = host.decide(HOST, &longest_welcome());
    assert!(verdict.len() <= MAX_DATAGRAM);
    let KnockOutcome::Other(GuestOutcome::Welcome(welcome, there)) = guest.answer(&verdict) else {
        panic!("the verdict opens");
    };
    assert_eq!(Answer::Welcome(welcome), longest_welcome());
    assert!(keys.send == there.receive && keys.receive == there.send);
}

#[test]
fn who_answers_a_knock_cannot_choose_the_code() {
    // The same guest, the same first message: another number of the host, another code.
    let mut codes = std::collections::HashSet::new();
    for seed in 2..12 {
        let mut guest = GuestKnock::new(&mut counting(1), hello());
        let knock = guest.datagram(None);
        let clear = ClearHello::read(&knock).unwrap();
        let host = HostKnock::new(&mut counting(seed), HOST, &clear).unwrap();
        let KnockOutcome::Code(code) = guest.answer(&host.knocked) else { panic!() };
        codes.insert(code);
    }
    assert_eq!(codes.len(), 10);
}

struct Two {
    initiator: StaticKey,
    responder: StaticKey,
}

const NAMES: PairNames = PairNames {
    session_id: [1; 8],
    initiator: (ParticipantId(2), 9),
    responder: (ParticipantId(1), 4),
};

fn two() -> Two {
    Two {
        initiator: StaticKey::generate(&mut counting(3)),
        responder: StaticKey::generate(&mut counting(8)),
    }
}

fn body() -> PairBody {
    PairBody {
        number: 0x0102_0304,
        streams: StreamParameters::default(),
        addresses: vec!["[2001:db8::1]:7000".parse().unwrap(); MAX_ADDRESSES],
    }
}

impl Two {
    fn asks(&self, secret: &[u8; 32]) -> PairInitiator {
        let secrets =
            PairSecrets { own: &self.initiator, theirs: &self.responder.public, session: secret };
        PairInitiator::new(&mut counting(1), NAMES, &secrets, &body()).unwrap()
    }
}

#[test]
fn members_get_the_same_keys_crosswise_and_no_answer_is_longer() {
    let two = two();
    let mut initiator = two.asks(&[6; 32]);
    let question = initiator.datagram(Some(&[1; 16]));
    // V=1, P=1, type 4, from 2; handshake, PAIR with a cookie, revision 2, for 1.
    assert_eq!(question[..2], [0x64, 2]);
    assert_eq!(question[12..16], [0, 0x8A, 2, 1]);
    assert_eq!(kind_of(&question), Some(Kind::Pair));
    let clear = ClearPair::read(&question).unwrap();
    assert_eq!((clear.from, clear.to), (ParticipantId(2), ParticipantId(1)));
    let secrets =
        PairSecrets { own: &two.responder, theirs: &two.initiator.public, session: &[6; 32] };
    let (heard, responder) = clear.open(&mut counting(2), &NAMES, &secrets).unwrap();
    assert_eq!(heard, body());
    let (answer, keys) = responder.answer(&body()).unwrap();
    assert!(answer.len() <= question.len());
    assert_eq!(answer[12..15], [0, 11, 2]);
    let (heard, there) = initiator.answer(&answer).unwrap();
    assert_eq!(heard, body());
    assert!(keys.send == there.receive && keys.receive == there.send);
}

#[test]
fn nobody_else_gets_keys_and_nobody_for_anything_else() {
    let two = two();
    let question = two.asks(&[6; 32]).datagram(None);
    let clear = ClearPair::read(&question).unwrap();
    let opens = |names: &PairNames, theirs: &[u8; 32], session: &[u8; 32]| {
        let secrets = PairSecrets { own: &two.responder, theirs, session };
        clear.open(&mut counting(2), names, &secrets).is_some()
    };
    let theirs = &two.initiator.public;
    assert!(opens(&NAMES, theirs, &[6; 32]));
    assert!(!opens(&NAMES, theirs, &[7; 32]), "without the session's secret");
    let other = StaticKey::generate(&mut counting(77)).public;
    assert!(!opens(&NAMES, &other, &[6; 32]), "another member's key");
    let with = |change: fn(&mut PairNames)| {
        let mut names = NAMES;
        change(&mut names);
        opens(&names, theirs, &[6; 32])
    };
    assert!(!with(|n| n.session_id[0] = 2));
    assert!(!with(|n| n.initiator.0 = ParticipantId(3)));
    assert!(!with(|n| n.initiator.1 = 10));
    assert!(!with(|n| n.responder.0 = HOST));
    assert!(!with(|n| n.responder.1 = 5));
}

#[test]
fn every_refusal_comes_back_and_an_unknown_one_is_one() {
    for refusal in [
        Refusal::Key,
        Refusal::KeyNeeded,
        Refusal::Full,
        Refusal::Version,
        Refusal::Codecs,
        Refusal::Clock,
        Refusal::Malformed,
        Refusal::OtherSession,
        Refusal::NotAdmitted,
        Refusal::Busy,
        Refusal::Removed,
    ] {
        assert_eq!(Answer::read(&Answer::Refused(refusal).write()), Ok(Answer::Refused(refusal)));
    }
    assert_eq!(Answer::read(&[1, 200]), Ok(Answer::Refused(Refusal::Malformed)));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_200), kind in 0u8..14) {
        let _ = ClearHello::read(&bytes);
        let _ = Answer::read(&bytes);
        if let Ok(hello) = Hello::read(&bytes) {
            prop_assert_eq!(Hello::read(&hello.write()), Ok(hello));
        }
        if let Ok(body) = PairBody::read(&bytes) {
            prop_assert_eq!(PairBody::read(&body.write()), Ok(body));
        }
        // The same behind a good beginning, and with the echo that gets it to Noise.
        let key = InviteKey([1; 16]);
        let mut guest = GuestHandshake::new(&mut counting(1), &key, &hello());
        let mut knock = GuestKnock::new(&mut counting(1), hello());
        let mut pair = two().asks(&[6; 32]);
        for question in [guest.datagram(None), knock.datagram(None), pair.datagram(None)] {
            let begins = if question[13] == PAIR { 16 } else { 15 };
            let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
            payload.extend(&question[begins..begins + ECHO_LEN]);
            payload.extend(&bytes);
            payload.truncate(FULL);
            let answer = datagram(HOST, false, &payload);
            let _ = kind_of(&answer);
            prop_assert!(!matches!(guest.answer(&answer), GuestOutcome::Welcome(..)));
            prop_assert!(pair.answer(&answer).is_none());
            let knocked = knock.answer(&answer);
            let in_clear = matches!(knocked, KnockOutcome::Other(
                GuestOutcome::Nothing | GuestOutcome::Refused { sealed: false, .. } | GuestOutcome::Cookie(_)
            ));
            prop_assert!(in_clear);
        }
        for len in [FULL, 320] {
            for kind in [kind, kind | WITH_COOKIE] {
                let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
                payload.extend(&bytes);
                payload.truncate(len - 2);
                padding::add(&mut payload, len);
                let question = datagram(ParticipantId::UNASSIGNED, true, &payload);
                let _ = kind_of(&question);
                if let Some(clear) = ClearHello::read(&question) {
                    prop_assert!(clear.open(&mut counting(2), &InviteKey([1; 16])).is_none());
                    prop_assert!(HostKnock::new(&mut counting(2), HOST, &clear).is_none());
                }
                let _ = ClearReveal::read(&question);
                if let Some(clear) = ClearPair::read(&question) {
                    let two = two();
                    let secrets = PairSecrets {
                        own: &two.responder,
                        theirs: &two.initiator.public,
                        session: &[6; 32],
                    };
                    prop_assert!(clear.open(&mut counting(2), &NAMES, &secrets).is_none());
                }
            }
        }
    }
}
