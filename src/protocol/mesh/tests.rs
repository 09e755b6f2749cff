//! What needs a look inside: programs that are not this one.

use super::super::handshake::join::GuestHandshake;
use super::super::handshake::{CODEC_VP8, Hello};
use super::asking::{Asking, Question};
use super::*;

const HOST: &str = "192.0.2.1:7000";
const GUEST: &str = "192.0.2.2:7000";
const KEY: InviteKey = InviteKey([7; 16]);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn random(seed: u8) -> Randomness {
    let mut n = u64::from(seed);
    Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (n >> 33) as u8;
        }
    })
}

fn local(name: &str) -> Local {
    Local { name: name.to_owned(), ..Local::default() }
}

/// All that `mesh` wants sent to that address.
fn sent(mesh: &mut Mesh, to: &str) -> Vec<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), Vec::new());
    while let Some(address) = mesh.poll_transmit(Micros(0), &mut out) {
        if address == at(to) {
            all.push(out.clone());
        }
    }
    all
}

fn events(mesh: &mut Mesh) -> Vec<MeshEvent> {
    std::iter::from_fn(|| mesh.poll_event()).collect()
}

#[test]
fn programs_without_a_common_codec_are_told_on_both_sides() {
    let now = Micros(0);
    let start = SessionStart::default();
    let mut host = Mesh::host(local("Ann"), Admit::Key, KEY, start, false, now, random(1));
    let mut guest = Mesh::guest(local("Bob"), vec![at(HOST)], Some(KEY), now, random(2));
    // As a later program may ask that has another codec for sound.
    let hello = Hello {
        name: "Bob".to_owned(),
        version: "9.0.0".to_owned(),
        codecs: CODEC_VP8 | 0x80,
        streams: guest.local.streams,
        addresses: Vec::new(),
        static_key: guest.static_key.public,
        utc_minute: 0,
        ticket: None,
    };
    let handshake = GuestHandshake::new(&mut guest.random, &KEY, &hello);
    let asking: &mut Asking = guest.asking.as_mut().unwrap();
    asking.question = Question::Key(Box::new(handshake));
    asking.next = now;
    sent(&mut guest, HOST);
    guest.handle_timeout(now);
    for question in sent(&mut guest, HOST) {
        host.handle_handshake(now, at(GUEST), &question);
    }
    for answer in sent(&mut host, GUEST) {
        guest.handle_handshake(now, at(HOST), &answer);
    }
    let refused = MeshEvent::Refused { reason: Refusal::Codecs };
    assert_eq!(events(&mut guest), [refused]);
    let turned_away = MeshEvent::TurnedAway { address: at(GUEST), reason: Refusal::Codecs };
    assert!(events(&mut host).contains(&turned_away));
    assert!(host.roster().len() == 1 && host.door.half_open() == 0, "no place is kept for it");
}
