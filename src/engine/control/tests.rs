//! What the control loop does with what the mesh tells, with no sockets and no other threads.

use super::*;
use crate::audio::codec::{FrameLength, TalkEncoder};
use crate::engine::capture::MicTap;
use crate::engine::config::LiveAudio;
use crate::engine::talk::Talk;
use crate::protocol::congestion::PathReport;
use crate::protocol::control::StreamParameters;
use crate::protocol::mesh::Local;

struct Bench {
    control: Control,
    progress: Progress,
    told: mpsc::Receiver<ReceiveCommand>,
}

fn bench() -> Bench {
    let shared = Arc::new(Shared::default());
    let (events, _) = Events::new(shared.clone());
    let listen = Some("127.0.0.1:0".parse().unwrap());
    let socket = Arc::new(CallSocket::bind(listen, 0).unwrap());
    let (_, ends) = MicTap::new(true);
    let encoder = (TalkEncoder::new(32_000).unwrap(), FrameLength::Full);
    let (_, talk, _) = Talk::new(shared.clone(), socket.clone(), ends.live.unwrap(), encoder, 400);
    let (receive, told) = mpsc::channel();
    let (_, incoming) = async_mpsc::channel(1);
    let (_, unsealed) = async_mpsc::channel(1);
    let (ask, asks) = async_mpsc::unbounded_channel();
    let host = vec!["127.0.0.1:9".parse().unwrap()];
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    let control = Control {
        shared,
        events,
        safety: None,
        state: Arc::default(),
        record: Arc::default(),
        socket,
        mesh: Mesh::guest(Local::default(), host, None, clock::now(), random),
        host: false,
        public: None,
        talk,
        receive,
        incoming,
        unsealed,
        asks,
        ask,
        paths: Paths::new(LiveAudio::default(), 400, Vec::new()),
        congestion: Congestion::new(400),
        window: Arc::default(),
    };
    let progress = Progress::new(None, &control.shared);
    Bench { control, progress, told }
}

#[test]
fn a_fault_of_the_control_thread_is_told_and_ends_no_recording() {
    let (events, told) = Events::new(Arc::new(Shared::default()));
    let b = bench();
    let state = b.control.state.clone();
    guarded(&events, move || {
        // Whatever it held then stays usable for all others.
        let _held = b.control.state.lock().unwrap();
        panic!("a fault, on purpose");
    });
    let Event::Error { code, .. } = told.try_recv().unwrap().event else { panic!("an error") };
    assert_eq!(code, "control-fault");
    let state = state.lock().unwrap_or_else(|e| e.into_inner());
    assert!(!state.over && state.refused.is_none(), "what makes the supervisor end");
    guarded(&events, || ());
    assert!(told.try_recv().is_err(), "an end in order is no fault");
}

#[test]
fn a_guest_that_was_never_in_ends() {
    let mut b = bench();
    b.control.carry_out(MeshEvent::NoAnswer, &mut b.progress);
    assert!(b.progress.left);
    assert!(b.control.state.lock().unwrap().refused.is_some());
}

#[test]
fn a_guest_that_was_in_records_on_when_there_is_no_way_back_and_can_still_end() {
    let mut b = bench();
    b.progress.welcomed = Some(clock::now());
    b.control.carry_out(MeshEvent::NoAnswer, &mut b.progress);
    assert!(!b.progress.left);
    assert!(b.control.state.lock().unwrap().refused.is_none());
    b.control.obey(Ask::Leave, &mut b.progress);
    assert!(b.progress.left, "nobody is left to say BYE to");
}

#[test]
fn reports_that_flip_with_each_datagram_make_a_hundred_plans_a_second_at_most() {
    let mut b = bench();
    let peer = ParticipantId(1);
    let Control { congestion, talk, shared, .. } = &mut b.control;
    congestion.joined(peer, false);
    let (mut plans, mut soon) = (0, 0);
    for n in 0..20_000i64 {
        let now = Micros(1_000_000 + n * 100);
        let queue_micros = if n % 2 == 0 { 400_000 } else { 0 };
        let report = PathReport { queue_micros, noise_micros: 0, received_kbps: 50 };
        let before = congestion.due();
        congestion.reported(peer, &report, 0, now);
        soon += u32::from(congestion.due() < before);
        plans += u32::from(now >= congestion.due());
        congestion.tick(talk, shared, now);
    }
    assert!(soon > 0, "it does flip");
    assert!((40..=201).contains(&plans), "{plans} in two seconds");
}

#[test]
fn a_keyframe_is_asked_of_the_encoder_that_feeds_who_asks() {
    let mut b = bench();
    let peer = ParticipantId(1);
    let asked = |b: &mut Bench| {
        b.control.carry_out(MeshEvent::KeyframeRequested { peer }, &mut b.progress);
        b.control.shared.live.each_ref().map(|live| live.wanted.swap(0, Relaxed))
    };
    assert_eq!(asked(&mut b), [0, 0], "nobody feeds it");
    b.control.congestion.joined(peer, false);
    let Control { congestion, talk, shared, .. } = &mut b.control;
    congestion.tick(talk, shared, clock::now());
    let source = b.control.congestion.source(peer).expect("it gets a picture");
    let mut expected = [0, 0];
    expected[source as usize] = 1 << 1;
    assert_eq!(asked(&mut b), expected);
}

#[test]
fn whoever_has_a_number_next_has_nothing_of_the_path_of_the_one_before() {
    let mut b = bench();
    let figures = |b: &Bench| {
        let peer = &b.control.shared.peers[2];
        let (audio, rtt) = (peer.audio_kbps.load(Relaxed), peer.round_trip.load(Relaxed));
        (audio, rtt, peer.path.bits_per_second(), peer.path.queue_micros())
    };
    let peer = &b.control.shared.peers[2];
    peer.audio_kbps.store(300, Relaxed);
    peer.round_trip.store(70_000, Relaxed);
    peer.path.set(Some(250.0), 40_000, None);
    assert_eq!(figures(&b), (300, 70_000, Some(250_000), 40_000));
    let left = MeshEvent::PeerLeft { peer: ParticipantId(2), reason: LeaveReason::Bye };
    b.control.carry_out(left, &mut b.progress);
    assert_eq!(figures(&b), (0, 0, None, 0));
}

#[test]
fn a_peer_that_comes_back_under_new_keys_keeps_its_demultiplexer_and_gets_all_else_anew() {
    let mut b = bench();
    let peer = ParticipantId::HOST;
    let address = "127.0.0.1:9".parse().unwrap();
    let mut views = Vec::new();
    for key in [1u8, 2] {
        let keys = PairKeys { send: [key; 32], receive: [key; 32] };
        b.control.carry_out(MeshEvent::KeysReady { peer, keys, address }, &mut b.progress);
        let streams = StreamParameters::default();
        let name = "Ann".into();
        let joined = MeshEvent::PeerJoined { peer, name, streams, address, relay: None };
        b.control.carry_out(joined, &mut b.progress);
        views.push(b.control.state.lock().unwrap().members[&0].stop_view.clone());
    }
    let told: Vec<_> = b
        .told
        .try_iter()
        .map(|command| match command {
            ReceiveCommand::Keys(..) => "keys",
            ReceiveCommand::Listen(..) => "listen",
            ReceiveCommand::Video(..) => "video",
            ReceiveCommand::Address(..) => "address",
            ReceiveCommand::Remove(..) => "remove",
        })
        .collect();
    let once = ["keys", "listen", "video", "address"];
    assert_eq!(told, [once, once].concat());
    assert!(views[0].load(Relaxed) && !views[1].load(Relaxed));
    b.control.shared.stop.store(true, Relaxed);
}
