//! A stranger's storm of packets on a running call: noise, and well-formed questions of every kind, from
//! many addresses.
//!
//! 5,000 a second until everything has been looked at; with `HYPERZOOM_SOAK=1` (`make soak`) 50,000 a
//! second for ten seconds at least.
#![cfg(unix)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyperzoom::protocol::{InviteKey, Mesh};
use hyperzoom::units::Micros;
use serde_json::Value;

use crate::support::call::{local, randomness};
use crate::support::process::{Program, real_time};
use crate::support::sim::SimRng;

/// Sockets that send. On Linux each has an address of its own, which no member has.
const SOURCES: u8 = 24;

/// A well-formed question: a HELLO with a key that is not the call's, or a KNOCK.
fn question(key: Option<InviteKey>) -> Vec<u8> {
    let host = vec!["192.0.2.1:7000".parse().expect("an address")];
    let mut mesh = Mesh::guest(local("Mallory"), host, key, Micros(0), randomness(77));
    let mut out = Vec::new();
    mesh.poll_transmit(Micros(0), &mut out);
    assert_eq!((out.len(), out[12]), (1_150, 0), "a handshake of full length");
    out
}

/// What strangers can send. Bytes of a question: 13 its kind, 14 the revision, from 15 the ephemeral
/// key (or, in a REVEAL, the echo), behind that a sealed body, the padding's length last.
fn packets() -> Vec<Vec<u8>> {
    let mut rng = SimRng::new(5);
    let (hello, knock) = (question(Some(InviteKey([9; 16]))), question(None));
    let packet = |n: usize| {
        let mut bytes = match n % 8 {
            // Noise of any length.
            0 => vec![0; 1 + (rng.next_u64() % 1_400) as usize],
            // A header of ours; audio, video, control, BYE of somebody, and noise.
            1 => vec![0; 13 + (rng.next_u64() % 1_137) as usize],
            4 => knock.clone(),
            _ => hello.clone(),
        };
        let mut noise = vec![0; bytes.len()];
        rng.fill(&mut noise);
        match n % 8 {
            0 => bytes = noise.clone(),
            1 => {
                bytes.copy_from_slice(&noise);
                bytes[0] = 0x40 | (1 + noise[0] % 5);
                bytes[1] = noise[1] % 4;
                let len = (bytes.len() - 12) as u16;
                bytes[8..10].copy_from_slice(&len.to_be_bytes());
                bytes[12] = noise[12] % 3;
            }
            _ => bytes[15..47].copy_from_slice(&noise[15..47]),
        }
        match n % 8 {
            // A cookie that nobody gave.
            3 => bytes[13] |= 0x80,
            5 => bytes[13] = 7,
            6 => bytes[14] ^= noise[14] | 1,
            7 => bytes[1_148..].copy_from_slice(&noise[1_148..]),
            _ => {}
        }
        bytes
    };
    (0..4_099).map(packet).collect()
}

/// What it has sent, and what it got for it.
#[derive(Default)]
struct Tally {
    seconds: f64,
    packets: u64,
    bytes: u64,
    answers: u64,
    answered_bytes: u64,
    longest: usize,
}

impl Tally {
    fn listen(&mut self, socket: &UdpSocket) {
        let mut buffer = [0; 2_048];
        while let Ok(len) = socket.recv(&mut buffer) {
            self.answers += 1;
            self.answered_bytes += len as u64;
            self.longest = self.longest.max(len);
        }
    }
}

/// A storm that goes on until it is ended.
struct Storm {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<Tally>,
}

impl Storm {
    fn begin(to: SocketAddr, a_second: u64) -> Self {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (theirs, count) = (over.clone(), sent.clone());
        let thread = std::thread::spawn(move || storm(to, a_second, &theirs, &count));
        Self { over, sent, thread }
    }

    fn end(self) -> Tally {
        self.over.store(true, Relaxed);
        self.thread.join().expect("it ends")
    }
}

fn storm(to: SocketAddr, a_second: u64, over: &AtomicBool, sent: &AtomicU64) -> Tally {
    let socket = |n: u8| {
        let own = if cfg!(target_os = "linux") { [127, 0, 0, 2 + n] } else { [127, 0, 0, 1] };
        let socket = UdpSocket::bind(SocketAddr::from((own, 0))).expect("a socket");
        socket.set_nonblocking(true).expect("a flag");
        socket
    };
    let sockets: Vec<UdpSocket> = (0..SOURCES).map(socket).collect();
    let packets = packets();
    let mut tally = Tally::default();
    let began = Instant::now();
    while !over.load(Relaxed) {
        let due = (began.elapsed().as_secs_f64() * a_second as f64) as u64;
        while tally.packets < due {
            let n = tally.packets as usize;
            let packet = &packets[n % packets.len()];
            // Not by the packet's kind: each source sends each.
            let _ = sockets[n / 3 % sockets.len()].send_to(packet, to);
            tally.packets += 1;
            tally.bytes += packet.len() as u64;
        }
        sent.store(tally.packets, Relaxed);
        sockets.iter().for_each(|socket| tally.listen(socket));
        std::thread::sleep(Duration::from_millis(1));
    }
    tally.seconds = began.elapsed().as_secs_f64();
    tally
}

/// A member's figures of one peer in some seconds: mean and most.
fn figures(stats: &[Value], id: u64, of: impl Fn(&Value) -> Option<f64>) -> (f64, f64) {
    let peers = stats.iter().filter_map(|s| s["peers"].as_array());
    let peer = peers.filter_map(|all| all.iter().find(|p| p["id"] == id));
    let all: Vec<f64> = peer.filter_map(of).collect();
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    (mean, all.iter().copied().fold(0.0, f64::max))
}

#[test]
fn a_strangers_storm_leaves_the_call_as_it_is_and_a_newcomer_gets_in() {
    let soak = std::env::var_os("HYPERZOOM_SOAK").is_some();
    let (a_second, seconds) = if soak { (50_000, 10) } else { (5_000, 5) };
    let _one = real_time();
    let folder = tempfile::tempdir().expect("a folder");
    let start = |name: &str, flags: &[&str]| {
        let output = folder.path().join(name);
        let common = ["--name", name, "--mic", "test", "--speaker", "off", "--camera"];
        let more = ["test:320x180@15", "--no-window", "--output"];
        let output = [output.to_str().expect("a plain name")];
        Program::start(name, &[flags, &common, &more, &output].concat())
    };
    let host = start("host", &["host", "--listen", "127.0.0.1:0", "--record-now"]);
    let ready = host.wait("ready");
    let invite = ready["invite"].as_str().expect("an invite").to_owned();
    let to = ready["listen"].as_str().expect("an address").parse().expect("an address");
    let guest = start("guest", &["join", &invite, "--listen", "127.0.0.1:0"]);
    guest.wait("peer_joined");
    guest.recorded(5.0);
    let before = [host.all("stats").len(), guest.all("stats").len()];
    let storm = Storm::begin(to, a_second);
    guest.more_stats(seconds);
    let after = [host.all("stats").len(), guest.all("stats").len()];
    // The newcomer's own start is no part of what is measured.
    let late = start("late", &["join", &invite, "--listen", "127.0.0.1:0"]);
    if cfg!(target_os = "linux") {
        late.wait_for("the host", |e| e["event"] == "peer_joined" && e["id"] == 0);
        late.wait_for("the guest", |e| e["event"] == "peer_joined" && e["id"] == 1);
    }
    let in_the_end = storm.sent.load(Relaxed);
    let tally = storm.end();
    eprintln!(
        "{} packets ({} kB) in {:.1} s; {} answers ({} kB, the longest {})",
        tally.packets,
        tally.bytes / 1_000,
        tally.seconds,
        tally.answers,
        tally.answered_bytes / 1_000,
        tally.longest
    );
    // How many the machine can send is not this program's doing; the line above tells it.
    assert!(in_the_end > a_second && tally.answers > 50);
    // Cookies, refusals, what is said again; and openings, with and without a cookie. See gate.rs.
    let rates = [(2_000.0, 200.0), (100.0, 32.0), (64.0, 32.0), (216.0, 80.0)];
    let most = rates.map(|(rate, burst)| rate * (tally.seconds + 1.0) + burst).iter().sum::<f64>();
    assert!((tally.answered_bytes as f64) < most * 47.0, "{most}");
    let each = 2.0 * (16.0 + 16.0 * (tally.seconds + 1.0)) + 16.0 * (tally.seconds + 1.0);
    assert!((tally.answers as f64) < each * f64::from(SOURCES), "{each} for each source");
    assert!(tally.answered_bytes < tally.bytes / 10 && tally.longest < 1_150);

    for (n, program) in [&host, &guest].into_iter().enumerate() {
        let stats = program.all("stats");
        let other = 1 - n as u64;
        let tell = |from: usize, to: usize| {
            let of = |name: &'static str| figures(&stats[from..to], other, |p| p[name].as_f64());
            let (delay, longest) = of("audio_latency_ms");
            let (concealed, _) = of("concealed_percent");
            let (fps, _) = figures(&stats[from..to], other, |p| p["video"]["fps"].as_f64());
            let cpu = stats[from..to].iter().filter_map(|s| s["cpu_percent"].as_f64());
            let cpu = cpu.sum::<f64>() / (to - from).max(1) as f64;
            let line = format!(
                "delay {delay:.1} (most {longest:.1}) ms, concealed {concealed:.2} %, picture \
                 {fps:.0} fps, CPU {cpu:.0} %"
            );
            (line, concealed, fps)
        };
        let name = ["host (in the storm)", "guest"][n];
        let (calm, _, calm_fps) = tell(before[n].saturating_sub(3), before[n]);
        let (rough, concealed, fps) = tell(before[n] + 1, after[n]);
        eprintln!("{name:20} before: {calm}\n{name:20} during: {rough}");
        // Without a report for 1.5 s the other one would hold its picture back. Where the storm keeps
        // the whole machine busy, half of the pictures are left out, as on any path that is full.
        let least = if soak { calm_fps / 4.0 } else { calm_fps / 2.0 };
        assert!(fps > least && calm_fps > 1.0, "{name}: {rough}, before {calm}");
        assert!(concealed < 3.0, "{name}: {rough}");
        for gone in ["peer_left", "peer_silent"] {
            assert_eq!(program.all(gone), [Value::Null; 0], "{name}");
        }
    }
    let mut programs = [late, guest, host];
    for program in &mut programs {
        program.command("end");
    }
    for program in &mut programs {
        program.finished().assert_nothing_lost();
    }
}
