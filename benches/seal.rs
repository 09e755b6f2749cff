//! Sealing and opening one full datagram of 1,150 bytes, and sending an audio frame to three peers: one
//! system call each, as the program does it, and one for all (`sendmmsg`), which it does not.
//!
//! `cargo bench --bench seal`

use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hyperzoom::net::socket::{CallSocket, Class};
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

/// A sealed audio frame without copies: 77 bytes on the wire with IPv4's and UDP's 28.
const AUDIO: [u8; 49] = [0x5A; 49];

fn send(c: &mut Criterion) {
    let local = || UdpSocket::bind("127.0.0.1:0").expect("a port");
    // Nobody reads: what a full buffer drops has cost its sender the same.
    let peers = [(); 3].map(|()| local());
    let to = peers.each_ref().map(|peer| peer.local_addr().expect("it is bound"));
    let mut group = c.benchmark_group("send");
    let socket = CallSocket::bind(Some(SocketAddr::from(([127, 0, 0, 1], 0))), 0).expect("a port");
    for (name, class) in
        [("by three calls", Class::Other), ("by three calls, marked", Class::Audio)]
    {
        group.bench_function(name, |b| {
            b.iter(|| {
                for to in to {
                    assert!(socket.send(to, black_box(&AUDIO), class).expect("it leaves"));
                }
            });
        });
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let socket = local();
        let addresses = to.map(socket2::SockAddr::from);
        group.bench_function("by one call", |b| {
            b.iter(|| {
                let bytes = black_box(&AUDIO);
                let mut data = libc::iovec {
                    iov_base: bytes.as_ptr().cast_mut().cast(),
                    iov_len: bytes.len(),
                };
                // SAFETY: plain structures of integers and pointers; all zeros is one of their values.
                let mut messages: [libc::mmsghdr; 3] = unsafe { std::mem::zeroed() };
                for (message, address) in messages.iter_mut().zip(&addresses) {
                    message.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
                    message.msg_hdr.msg_namelen = address.len();
                    message.msg_hdr.msg_iov = &mut data;
                    message.msg_hdr.msg_iovlen = 1;
                }
                // SAFETY: all that the messages point to outlives the call and is only read.
                let sent = unsafe {
                    libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), 3, libc::MSG_DONTWAIT)
                };
                assert_eq!(sent, 3);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal, send);
criterion_main!(benches);
