//! Sealing and opening one full datagram of 1,150 bytes.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hyperzoom::protocol::{Demux, Demuxed, MAX_DATAGRAM, MAX_FRAGMENT, MediaSealer, PairKeys};
use hyperzoom::units::ParticipantId;

const PEER: ParticipantId = ParticipantId(1);

fn keys() -> PairKeys {
    PairKeys { send: [3; 32], receive: [3; 32] }
}

fn seal(c: &mut Criterion) {
    let payload = [0x5A; MAX_FRAGMENT];
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Bytes(MAX_DATAGRAM as u64));

    let mut sealer = MediaSealer::new(PEER, &keys());
    let mut sequence = 0;
    let mut out = [0; MAX_DATAGRAM];
    group.bench_function("seal 1,150 bytes", |b| {
        b.iter(|| {
            let len = sealer.video(false, sequence, 0, 1, 0, black_box(&payload), &mut out);
            sequence += 1;
            assert_eq!(len, MAX_DATAGRAM);
        });
    });

    // Each packet opens once, so every round needs a new one.
    let mut sealer = MediaSealer::new(PEER, &keys());
    let mut demux = Demux::new();
    demux.add_peer(PEER, &keys());
    let mut sequence = 0;
    group.bench_function("open 1,150 bytes", |b| {
        b.iter_batched(
            || {
                let mut datagram = [0; MAX_DATAGRAM];
                sealer.video(false, sequence, 0, 1, 0, &payload, &mut datagram);
                sequence += 1;
                datagram
            },
            |mut datagram| {
                assert!(matches!(demux.handle(black_box(&mut datagram)), Demuxed::Video { .. }));
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, seal);
criterion_main!(benches);
