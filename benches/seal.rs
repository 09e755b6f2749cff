//! Sealing and opening one full datagram of 1,150 bytes.

use std::cell::RefCell;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use hyperzoom::protocol::{Demux, Demuxed, MAX_DATAGRAM, MAX_FRAGMENT, MediaSealer, PairKeys};
use hyperzoom::units::ParticipantId;

const PEER: ParticipantId = ParticipantId(1);
const PAYLOAD: [u8; MAX_FRAGMENT] = [0x5A; MAX_FRAGMENT];

fn keys() -> PairKeys {
    PairKeys { send: [3; 32], receive: [3; 32] }
}

#[divan::bench]
fn seal(bencher: Bencher) {
    let mut sealer = MediaSealer::new(PEER, &keys());
    let mut sequence = 0;
    let mut out = [0; MAX_DATAGRAM];
    bencher.counter(BytesCount::new(MAX_DATAGRAM)).bench_local(|| {
        let len = sealer.video(false, sequence, 0, 1, 0, black_box(&PAYLOAD), &mut out);
        sequence += 1;
        assert_eq!(len, MAX_DATAGRAM);
    });
}

#[divan::bench]
fn open(bencher: Bencher) {
    let mut demux = Demux::new();
    demux.add_peer(PEER, &keys());
    // Each packet opens once, so every round needs a new one.
    let sealer = RefCell::new((MediaSealer::new(PEER, &keys()), 0));
    bencher
        .counter(BytesCount::new(MAX_DATAGRAM))
        .with_inputs(|| {
            let (sealer, sequence) = &mut *sealer.borrow_mut();
            let mut datagram = [0; MAX_DATAGRAM];
            sealer.video(false, *sequence, 0, 1, 0, &PAYLOAD, &mut datagram);
            *sequence += 1;
            datagram
        })
        .bench_local_values(|mut datagram| {
            assert!(matches!(demux.handle(black_box(&mut datagram)), Demuxed::Video { .. }));
        });
}

fn main() {
    divan::main();
}
