//! A stranger's storm of packets on a running call.
//!
//! Ten seconds in real time: with `HYPERZOOM_SOAK=1` (`make soak`), which prints the figures.
#![cfg(unix)]

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Program, real_time};
use crate::support::sim::SimRng;

const A_SECOND: u64 = 50_000;
const SECONDS: u64 = 10;

/// What strangers can send: noise, headers of ours with noise behind them, questions.
fn packets() -> Vec<Vec<u8>> {
    let mut rng = SimRng::new(5);
    let packet = |n: usize| {
        let mut bytes = vec![0; [12, 90, 400, 1_150][n % 4]];
        rng.fill(&mut bytes);
        // Version 1; audio, video, control (sealed, or a stranger's question), BYE.
        if !n.is_multiple_of(3) && bytes.len() > 12 {
            bytes[0] = 0x40 | (1 + (n % 5) as u8);
            bytes[1] = (n % 4) as u8;
            let len = (bytes.len() - 12) as u16;
            bytes[8..10].copy_from_slice(&len.to_be_bytes());
            bytes[12] = (n % 2) as u8;
        }
        bytes
    };
    (0..4_099).map(packet).collect()
}

/// Sends them.
fn storm(to: std::net::SocketAddr, sent: &AtomicU64) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let packets = packets();
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let due = (began.elapsed().as_secs_f64() * A_SECOND as f64) as u64;
        while count < due {
            let _ = socket.send_to(&packets[count as usize % packets.len()], to);
            count += 1;
        }
        sent.store(count, Relaxed);
        std::thread::sleep(Duration::from_micros(500));
    }
}

#[test]
fn a_strangers_fifty_thousand_packets_a_second_leave_the_call_as_it_is() {
    if std::env::var_os("HYPERZOOM_SOAK").is_none() {
        return;
    }
    let _one = real_time();
    let folder = tempfile::tempdir().expect("a folder");
    let start = |name: &str, flags: &[&str]| {
        let output = folder.path().join(name);
        let common = ["--name", name, "--mic", "test", "--speaker", "off", "--camera"];
        let more = ["test:320x180@15", "--no-window", "--output"];
        let output = [output.to_str().expect("a plain name")];
        Program::start(name, &[flags, &common, &more, &output].concat())
    };
    let mut host = start("host", &["host", "--listen", "127.0.0.1:0", "--record-now"]);
    let ready = host.wait("ready");
    let invite = ready["invite"].as_str().expect("an invite").to_owned();
    let to = ready["listen"].as_str().expect("an address").parse().expect("an address");
    let mut guest = start("guest", &["join", &invite, "--listen", "127.0.0.1:0"]);
    guest.wait("peer_joined");
    guest.recorded(5.0);
    let before = [host.all("stats").len(), guest.all("stats").len()];
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let thread = std::thread::spawn(move || storm(to, &counter));
    thread.join().expect("it ends");
    let after = [host.all("stats").len(), guest.all("stats").len()];
    guest.more_stats(3);
    eprintln!("{} packets in {SECONDS} s", sent.load(Relaxed));
    for (n, program) in [&host, &guest].into_iter().enumerate() {
        let stats = program.all("stats");
        let figures = |from: usize, to: usize| {
            let of = |name: &'static str| {
                let peers = stats[from..to].iter().filter_map(|s| s["peers"].get(0));
                let all: Vec<f64> = peers.filter_map(|p: &Value| p[name].as_f64()).collect();
                let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
                (mean, all.iter().copied().fold(0.0, f64::max))
            };
            let (delay, longest) = of("audio_latency_ms");
            let (concealed, _) = of("concealed_percent");
            let cpu = stats[from..to].iter().filter_map(|s| s["cpu_percent"].as_f64());
            let cpu = cpu.sum::<f64>() / (to - from).max(1) as f64;
            format!(
                "delay {delay:.1} (most {longest:.1}) ms, concealed {concealed:.2} %, CPU {cpu:.0} %"
            )
        };
        let name = ["host (in the storm)", "guest"][n];
        eprintln!("{name:20} before: {}", figures(before[n].saturating_sub(3), before[n]));
        eprintln!("{name:20} during: {}", figures(before[n] + 1, after[n]));
        assert_eq!(program.all("peer_left"), [Value::Null; 0]);
    }
    // How many the machine can send is not this program's doing; the line above tells it.
    assert!(sent.load(Relaxed) > A_SECOND);
    for program in [&mut guest, &mut host] {
        program.command("end");
    }
    for program in [&mut guest, &mut host] {
        program.finished().assert_nothing_lost();
    }
}
