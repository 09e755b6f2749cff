//! How the dashboard looks, as text, in the sizes that it promises to look well in.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::draw::draw;
use super::keys::{Action, TALK, action};
use super::state::DashboardState;
use crate::ui::model::{
    ClockView, Command, DiskStats, KnockView, LatencyParts, PeerHealth, PeerStats, PeerVideo,
    PeerView, RecordingStats, SentVideo, Snapshot, UnfinishedView,
};
use crate::ui::palette::Palette;
use crate::units::Micros;

const INVITE: &str = "hyperzoom join '203.0.113.57:7000#AAAQEAYEAUDAOCAJBIFQYDIOB4'";

fn waiting() -> Snapshot {
    Snapshot {
        session_seconds: 12.0,
        own_id: Some(0),
        own_name: "Ana".into(),
        invite_line: Some(INVITE.into()),
        phase: "waiting for guests".into(),
        mic_name: "Scarlett 2i2 USB, channel 1, 128 frames".into(),
        speaker_name: "Scarlett 2i2 USB, 128 frames".into(),
        camera_name: "Logitech BRIO, 1920x1080 MJPEG, 30 fps".into(),
        mic_peak_db: -18.4,
        mic_rms_db: -29.0,
        disk: DiskStats {
            free_bytes: Some(182_400_000_000),
            seconds_left: Some(79_000.0),
            silent_seconds: 0.0,
        },
        priorities: vec![
            "capture: SCHED_FIFO 12".into(),
            "talk: SCHED_FIFO 10".into(),
            "playback: SCHED_FIFO 12".into(),
        ],
        log: vec!["00:00:00  ready on 0.0.0.0:7000".into()],
        cpu_percent: 18.0,
        rss_mb: 96.0,
        ..Snapshot::default()
    }
}

fn peer(id: u8, name: &str, rtt: f64) -> PeerView {
    let video = PeerVideo {
        width: 854,
        height: 480,
        fps: 24.0,
        kbps: 401.0,
        delay_ms: 88.0,
        shown: 240,
        counter: None,
    };
    PeerView {
        name: name.into(),
        level_db: -20.0 - f32::from(id) * 10.0,
        stats: PeerStats {
            copies: 0,
            id,
            rtt_ms: rtt,
            loss_percent: 0.0,
            jitter_ms: 1.2,
            playout_ms: 7.5,
            audio_latency_ms: rtt / 2.0 + 18.0,
            latency: LatencyParts {
                input_ms: 0.31,
                frame_ms: 5.0,
                network_ms: rtt / 2.0,
                uncertainty_ms: 0.6,
                playout_ms: 7.5,
                codec_ms: 2.67,
                output_ms: 2.52,
            },
            concealed_percent: 0.1,
            volume: 1.0,
            sent_kbps: 561.0,
            received_kbps: 558.0,
            queue_ms: 1.5,
            path_kbps: None,
            health: PeerHealth {
                recording: true,
                disk_left_mb: Some(80_000),
                little_space: id == 2,
                ..PeerHealth::default()
            },
            sent_video: Some(SentVideo { width: 854, height: 480, fps: 24, kbps: 400 }),
            video: Some(video),
        },
        ..PeerView::default()
    }
}

fn in_call() -> Snapshot {
    let recording = RecordingStats {
        seconds: 754.5667,
        bytes: 1_742_000_000,
        frames_captured: 22_652,
        frames_encoded: 22_637,
        cadence_discarded: 0,
        frames_repeated: 3,
        encode_ms: 18.2,
        queue_ms: 12.0,
        ..RecordingStats::default()
    };
    let mut log = waiting().log;
    log.push("00:00:31  Bob joined".into());
    log.push("00:00:32  recording to /home/ana/HyperZoom/recordings/…/local_recording.mp4".into());
    log.push("00:00:40  Chloé Dubois-Martin joined".into());
    log.push("00:01:02  田中さくら joined".into());
    Snapshot {
        phase: "in the call".into(),
        timecode: Some("20:27:34:17".into()),
        recording: Some(recording),
        recording_path:
            "/home/ana/HyperZoom/recordings/2026-02-27_20-15-00_Episode 12/local_recording.mp4"
                .into(),
        peers: vec![
            peer(1, "Bob", 23.0),
            peer(2, "Chloé Dubois-Martin", 41.0),
            peer(3, "田中さくら", 212.0),
        ],
        cpu_percent: 141.0,
        rss_mb: 212.0,
        log,
        ..waiting()
    }
}

fn in_trouble() -> Snapshot {
    let mut s = in_call();
    s.muted = true;
    s.camera_off = true;
    s.clipped = 1_204;
    s.mic_peak_db = -0.4;
    s.disk =
        DiskStats { free_bytes: Some(812_000_000), seconds_left: Some(262.0), silent_seconds: 3.2 };
    s.recording_trouble = Some("the disk is slower than the recording; 41 pictures wait".into());
    if let Some(r) = &mut s.recording {
        r.frames_dropped = 2;
        r.encode_ms = 36.1;
        r.queue_ms = 2_410.0;
        r.spilled = 41;
        r.queued_bytes = 231_000_000;
        r.queued_limit_bytes = 256 << 20;
    }
    s.peers[0].silent = true;
    s.peers[1].stats.loss_percent = 7.3;
    s.peers[1].muted = true;
    s.peers[2].camera_off = true;
    s.log.push("00:12:30  warning: little space is left in /home; free some".into());
    s.log.push("00:12:33  nothing from Bob for 1.0 s".into());
    s
}

/// A guest's recording has stopped, another's disk fills.
fn guest_trouble() -> Snapshot {
    let mut s = in_call();
    s.peers[0].trouble = Some("Bob's recording has stopped: 190 MB are left on its disk".into());
    s.peers[0].stats.health.recording = false;
    s.peers[1].trouble =
        Some("Chloé Dubois-Martin's disk has 900 MB left for the recording".into());
    s
}

/// All at once: somebody knocks, and things go wrong.
fn crowded() -> Snapshot {
    let mut s = in_trouble();
    s.knocks = vec![KnockView {
        id: 7,
        name: "Dora".into(),
        address: "198.51.100.23:50112".into(),
        code: "481516".into(),
    }];
    s.peers[1].trouble = Some("Chloé Dubois-Martin's recording has stopped or fails".into());
    s.peers[1].stats.health.recording = false;
    s
}

fn ending() -> Snapshot {
    let mut s = in_call();
    s.phase = "finishing".into();
    s.peers.clear();
    if let Some(r) = &mut s.recording {
        r.frames_encoded = 20_000;
    }
    s
}

fn state_for(s: &Snapshot) -> DashboardState {
    let mut state = DashboardState::new(Palette::COLOURED);
    let louder = Snapshot { mic_peak_db: s.mic_peak_db + 6.0, ..s.clone() };
    state.absorb(&louder, Micros(0));
    state.absorb(s, Micros(1_000));
    state
}

fn drawn(s: &Snapshot, state: &DashboardState, width: u16, height: u16) -> TestBackend {
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("a test terminal always opens");
    terminal.draw(|frame| draw(frame, s, state)).expect("and can be drawn on");
    terminal.backend().clone()
}

macro_rules! looks {
    ($($name:ident: $snapshot:expr, $width:literal, $height:literal;)*) => {$(
        #[test]
        fn $name() {
            let s = $snapshot;
            insta::assert_snapshot!(
                stringify!($name),
                drawn(&s, &state_for(&s), $width, $height)
            );
        }
    )*};
}

looks! {
    waiting_80x24: waiting(), 80, 24;
    waiting_120x40: waiting(), 120, 40;
    waiting_60x18: waiting(), 60, 18;
    in_call_80x24: in_call(), 80, 24;
    in_call_120x40: in_call(), 120, 40;
    in_call_60x18: in_call(), 60, 18;
    trouble_80x24: in_trouble(), 80, 24;
    trouble_120x40: in_trouble(), 120, 40;
    trouble_60x18: in_trouble(), 60, 18;
    ending_80x24: ending(), 80, 24;
    ending_120x40: ending(), 120, 40;
    ending_60x18: ending(), 60, 18;
    waiting_200x60: waiting(), 200, 60;
    in_call_200x60: in_call(), 200, 60;
    trouble_200x60: in_trouble(), 200, 60;
    ending_200x60: ending(), 200, 60;
    guest_trouble_60x18: guest_trouble(), 60, 18;
    guest_trouble_80x24: guest_trouble(), 80, 24;
    guest_trouble_120x40: guest_trouble(), 120, 40;
    guest_trouble_200x60: guest_trouble(), 200, 60;
    crowded_60x18: crowded(), 60, 18;
    crowded_80x24: crowded(), 80, 24;
    crowded_100x32: crowded(), 100, 32;
    crowded_120x36: crowded(), 120, 36;
    crowded_200x60: crowded(), 200, 60;
}

#[test]
fn the_newest_lines_of_the_log_stay_at_every_size_that_is_promised() {
    let s = crowded();
    let newest = &s.log[s.log.len() - 4..];
    for width in [60, 80, 100, 120, 160, 200] {
        for height in [18, 24, 28, 32, 33, 34, 35, 36, 40, 60] {
            let text = drawn(&s, &state_for(&s), width, height).to_string();
            for line in newest {
                let start: String = line.chars().take(30).collect();
                // Wide characters take two cells of a test terminal, one of them blank.
                let start = start.split("田").next().unwrap_or_default().trim_end();
                assert!(text.contains(start), "{width}x{height}: no '{start}' in\n{text}");
            }
        }
    }
}

/// Somebody knocks.
#[test]
fn a_warning_that_is_longer_than_the_line_is_whole_with_what_to_do() {
    let mut s = in_call();
    let event = crate::ui::notice::Notice::WindowNotStarted { why: "no X server answers".into() };
    let names = crate::ui::format::Names::default();
    let line = crate::ui::format::describe(&event.into(), &names).expect("it is told");
    s.log.push(format!("00:02:00  {line}"));
    for (width, height) in [(60, 18), (80, 24), (120, 40)] {
        let text = drawn(&s, &state_for(&s), width, height).to_string();
        let words = text.split(['"', '\n']).flat_map(str::split_whitespace).collect::<Vec<_>>();
        let text = words.join(" ");
        assert!(text.contains(&line), "{width}x{height}: no '{line}' in\n{text}");
    }
}

fn knock() -> Snapshot {
    Snapshot { knocks: crowded().knocks, ..in_call() }
}

/// An earlier run's recording is offered to be recovered.
fn offer() -> Snapshot {
    let path = "/home/ana/HyperZoom/recordings/2026-02-20_20-15-00_Episode 11/local_recording.mp4";
    let unfinished = Some(UnfinishedView { path: path.into(), count: 2, percent: None });
    Snapshot { unfinished, ..waiting() }
}

fn helps(state: &mut DashboardState) {
    state.help = true;
}

fn asks(state: &mut DashboardState) {
    state.asking = true;
}

fn notes(state: &mut DashboardState) {
    state.note = Some((crate::ui::entry::Entry::new("quote for the trailer"), Micros(0)));
}

macro_rules! screens {
    ($($name:ident: $snapshot:expr, $change:expr, $width:literal, $height:literal;)*) => {$(
        #[test]
        fn $name() {
            let s = $snapshot;
            let mut state = state_for(&s);
            let change: fn(&mut DashboardState) = $change;
            change(&mut state);
            insta::assert_snapshot!(stringify!($name), drawn(&s, &state, $width, $height));
        }
    )*};
}

screens! {
    knock_60x18: knock(), |_| {}, 60, 18;
    knock_80x24: knock(), |_| {}, 80, 24;
    knock_120x40: knock(), |_| {}, 120, 40;
    knock_200x60: knock(), |_| {}, 200, 60;
    offer_60x18: offer(), |_| {}, 60, 18;
    offer_80x24: offer(), |_| {}, 80, 24;
    offer_120x40: offer(), |_| {}, 120, 40;
    offer_200x60: offer(), |_| {}, 200, 60;
    help_60x18: in_call(), helps, 60, 18;
    help_80x24: in_call(), helps, 80, 24;
    help_120x40: in_call(), helps, 120, 40;
    help_200x60: in_call(), helps, 200, 60;
    note_60x18: in_call(), notes, 60, 18;
    note_80x24: in_call(), notes, 80, 24;
    note_120x40: in_call(), notes, 120, 40;
    note_200x60: in_call(), notes, 200, 60;
    question_60x18: in_call(), asks, 60, 18;
    question_80x24: in_call(), asks, 80, 24;
    question_120x40: in_call(), asks, 120, 40;
    question_200x60: in_call(), asks, 200, 60;
}

#[test]
fn the_keys_that_answer_are_whole_in_the_smallest_terminal() {
    let text = |s: &Snapshot| drawn(s, &state_for(s), 60, 18).to_string();
    assert!(text(&knock()).contains("a lets in, r refuses"), "{}", text(&knock()));
    assert!(text(&offer()).contains("r recovers, Esc leaves it"), "{}", text(&offer()));
    let mut state = state_for(&in_call());
    state.help = true;
    let help = drawn(&in_call(), &state, 60, 18).to_string();
    for (_, what) in crate::ui::keys::help(crate::ui::keys::Place::Terminal) {
        assert!(help.contains(what), "'{what}' is cut in\n{help}");
    }
}

/// Some minutes of a line that has its moments.
fn with_past(s: &Snapshot) -> DashboardState {
    let mut state = state_for(s);
    for second in 0..200_u32 {
        let mut s = s.clone();
        s.session_seconds = 1_000.0 + f64::from(second);
        for peer in &mut s.peers {
            peer.stats.audio_latency_ms += f64::from(second % 17);
            peer.stats.loss_percent = f64::from(second % 40 / 36) * 3.0;
            peer.stats.queue_ms = f64::from(second % 23);
        }
        state.absorb(&s, Micros(2_000));
    }
    state
}

macro_rules! details {
    ($($name:ident: $width:literal, $height:literal;)*) => {$(
        #[test]
        fn $name() {
            let mut s = in_call();
            s.peers[1].path = crate::ui::model::PathKind::Relay;
            s.peers[1].stats.volume = 0.5;
            s.peers[1].stats.path_kbps = Some(412.0);
            let mut state = with_past(&s);
            state.detail = true;
            state.chosen = Some(2);
            insta::assert_snapshot!(stringify!($name), drawn(&s, &state, $width, $height));
        }
    )*};
}

details! {
    detail_60x18: 60, 18;
    detail_80x24: 80, 24;
    detail_120x40: 120, 40;
    detail_200x60: 200, 60;
}

#[test]
fn a_marker_s_note_is_written_in_the_last_line() {
    let s = in_call();
    let mut state = state_for(&s);
    let press =
        |state: &DashboardState, code| action(KeyEvent::new(code, KeyModifiers::NONE), state, &s);
    assert_eq!(press(&state, KeyCode::Char('n')), Action::WriteNote);
    state.note = Some((crate::ui::entry::Entry::new("quote for the trailer"), Micros(0)));
    for size in [(60, 18), (80, 24)] {
        let text = drawn(&s, &state, size.0, size.1).to_string();
        assert!(text.contains("Marker: quote for the trailer"), "{text}");
    }
    assert_eq!(press(&state, KeyCode::Char('q')), Action::Type(KeyCode::Char('q')));
    assert_eq!(press(&state, KeyCode::Esc), Action::DropNote);
    assert_eq!(press(&state, KeyCode::Enter), Action::Mark);
}

#[test]
fn whose_camera_is_off_what_is_made_up_and_who_speaks_is_seen() {
    let mut s = in_trouble();
    s.peers[2].level_db = -62.0;
    s.peers[2].stats.concealed_percent = 3.4;
    (s.peers[1].muted, s.peers[1].level_db) = (false, -25.0);
    let text = drawn(&s, &state_for(&s), 80, 24).to_string();
    let line = |name: &str| text.lines().find(|line| line.contains(name)).expect("a line");
    let heading = line("Made up");
    assert!(heading.contains(" Cam "), "{text}");
    assert!(line("田").contains("3.4 % off"), "{text}");
    assert!(line("Chlo").contains(" on ●"), "{text}");
    assert!(!line("田").contains('●') && !line("Bob").contains('●'), "{text}");
    // The camera and the speaker in the smallest one, too.
    let small = drawn(&s, &state_for(&s), 60, 18).to_string();
    assert!(small.contains(" Cam  Level"), "{small}");
    assert!(small.contains("ok off  ·") && small.contains("disk!  on ●"), "{small}");
    // More about the picture takes the place of that word.
    let wide = drawn(&s, &state_for(&s), 120, 40).to_string();
    assert!(wide.contains("camera off") && !wide.contains(" Cam "), "{wide}");
}

#[test]
fn how_somebody_is_heard_stays_beside_a_long_name() {
    let mut s = in_call();
    s.peers[1].stats.volume = 0.5;
    s.peers[1].path = crate::ui::model::PathKind::Relay;
    let text = drawn(&s, &state_for(&s), 80, 24).to_string();
    assert!(text.contains("… -6 dB  "), "{text}");
    let text = drawn(&s, &state_for(&s), 120, 40).to_string();
    assert!(text.contains(" -6 dB (relay)"), "{text}");
}

#[test]
fn keys_are_for_the_participant_that_is_selected() {
    let mut s = in_call();
    let mut state = state_for(&s);
    let press = |state: &DashboardState, s: &Snapshot, code| {
        action(KeyEvent::new(code, KeyModifiers::NONE), state, s)
    };
    let volume = |id, factor| {
        Action::Command(Command::Volume {
            id,
            volume: crate::ui::model::Volume::step(factor, true),
        })
    };
    assert_eq!(press(&state, &s, KeyCode::Char('+')), volume(1, 1.0), "the first");
    assert_eq!(press(&state, &s, KeyCode::Tab), Action::Select(2));
    assert_eq!(press(&state, &s, KeyCode::BackTab), Action::Select(3));
    assert_eq!(press(&state, &s, KeyCode::Char('3')), Action::Select(3));
    assert_eq!(press(&state, &s, KeyCode::Char('4')), Action::Nothing);
    state.chosen = Some(3);
    assert_eq!(press(&state, &s, KeyCode::Tab), Action::Select(1), "round");
    assert_eq!(press(&state, &s, KeyCode::Char('x')), Action::Command(Command::MutePeer { id: 3 }));
    s.peers[2].stats.volume = 0.0;
    for (key, wanted) in [
        ('x', Action::Command(Command::UnmutePeer { id: 3 })),
        ('+', Action::Command(Command::UnmutePeer { id: 3 })),
        ('-', Action::Nothing),
    ] {
        assert_eq!(press(&state, &s, KeyCode::Char(key)), wanted);
    }
    // Who has left is not selected any more.
    s.peers.truncate(1);
    assert_eq!(press(&state, &s, KeyCode::Char('+')), volume(1, 1.0));
    s.peers.clear();
    for key in ['+', '-', 'x', 'd'] {
        assert_eq!(press(&state, &s, KeyCode::Char(key)), Action::Nothing);
    }
    assert_eq!(press(&state, &s, KeyCode::Tab), Action::Nothing);
}

#[test]
fn a_terminal_of_ascii_gets_nothing_else() {
    let s = in_trouble();
    let mut state = with_past(&s);
    (state.palette.ascii, state.detail) = (true, true);
    let backend = drawn(&s, &state, 120, 40);
    assert!(backend.buffer().content().iter().all(|cell| cell.symbol().is_ascii()));
}

#[test]
fn help_and_question_80x24() {
    let s = in_call();
    let mut state = state_for(&s);
    state.help = true;
    state.asking = true;
    insta::assert_snapshot!(drawn(&s, &state, 80, 24));
}

#[test]
fn any_size_can_be_drawn() {
    let s = in_trouble();
    let mut state = state_for(&s);
    for help in [false, true] {
        (state.help, state.detail) = (help, !help);
        for (width, height) in [(1, 1), (3, 2), (10, 5), (20, 60), (300, 3), (250, 80)] {
            drawn(&s, &state, width, height);
        }
    }
}

#[test]
fn nothing_dropped_is_green_and_something_dropped_is_red() {
    let colour_of_dropped = |s: &Snapshot| {
        let backend = drawn(s, &state_for(s), 80, 24);
        let buffer = backend.buffer();
        let text: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        let at = text
            .windows(8)
            .position(|w| w.concat() == "dropped ")
            .expect("the counter is on the screen");
        buffer.content()[at + 8].fg
    };
    let [good, bad] = [Palette::COLOURED.good, Palette::COLOURED.bad].map(|style| style.fg);
    assert_eq!(Some(colour_of_dropped(&in_call())), good);
    assert_eq!(Some(colour_of_dropped(&in_trouble())), bad);
}

#[test]
fn without_colours_none_are_used() {
    let s = in_trouble();
    let mut state = state_for(&s);
    state.palette = Palette::PLAIN;
    let backend = drawn(&s, &state, 120, 40);
    assert!(backend.buffer().content().iter().all(|cell| cell.fg == Color::Reset));
}

#[test]
fn the_invite_stands_whole_from_the_first_column_on() {
    let backend = drawn(&waiting(), &state_for(&waiting()), 80, 24);
    let text = backend.to_string();
    assert!(text.lines().any(|line| line.trim_matches('"').trim_end() == INVITE), "{text}");
}

#[test]
fn an_invite_that_leads_in_from_near_only_says_for_whom_it_is() {
    for (address, title) in [
        ("203.0.113.57", "── Guests join with ──"),
        ("192.168.1.10", "── Guests in this network join with ──"),
        ("100.64.0.9", "── Only guests behind the same provider or VPN join with ──"),
    ] {
        let s =
            Snapshot { invite_line: Some(INVITE.replace("203.0.113.57", address)), ..waiting() };
        let text = drawn(&s, &state_for(&s), 80, 24).to_string();
        assert!(text.contains(title), "{address}: {text}");
    }
}

#[test]
fn a_guest_sees_how_well_its_clock_is_known() {
    let clock = Some(ClockView { uncertainty_ms: 0.213, skew_ppm: -12.34 });
    let guest = Snapshot { clock, ..in_call() };
    let text = drawn(&guest, &state_for(&guest), 80, 24).to_string();
    assert!(text.contains("Clock"), "{text}");
    assert!(text.contains("within 0.2 ms of the session's, -12.3 ppm"), "{text}");
}

#[test]
fn q_asks_once_and_ctrl_c_does_not() {
    let s = in_call();
    let mut state = state_for(&s);
    let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
    let q = key(KeyCode::Char('q'));
    assert_eq!(action(q, &state, &s), Action::AskForEnd);
    assert_eq!(action(key(KeyCode::Esc), &state, &s), Action::AskForEnd);
    state.asking = true;
    assert_eq!(action(q, &state, &s), Action::End);
    assert_eq!(action(key(KeyCode::Char('y')), &state, &s), Action::End);
    assert_eq!(action(key(KeyCode::Esc), &state, &s), Action::KeepGoing);
    assert_eq!(action(key(KeyCode::Char('m')), &state, &s), Action::KeepGoing);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(action(ctrl_c, &state, &s), Action::Interrupt);
}

#[test]
fn keys_toggle_by_what_the_snapshot_says() {
    let mut s = in_call();
    let state = state_for(&s);
    let press =
        |s: &Snapshot, c| action(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE), &state, s);
    assert_eq!(press(&s, 'm'), Action::Command(Command::Mute));
    assert_eq!(press(&s, 'c'), Action::Command(Command::CameraOff));
    assert_eq!(press(&s, 'w'), Action::Command(Command::ToggleWindow));
    assert_eq!(press(&s, 'z'), Action::Nothing);
    s.muted = true;
    s.camera_off = true;
    assert_eq!(press(&s, 'm'), Action::Command(Command::Unmute));
    assert_eq!(press(&s, 'c'), Action::Command(Command::CameraOn));
}

#[test]
fn push_to_talk_follows_the_key_or_toggles_where_nobody_tells_of_its_release() {
    let s = in_call();
    let mut state = state_for(&s);
    let press = |state: &DashboardState, c| action(KeyEvent::new(c, KeyModifiers::NONE), state, &s);
    assert_eq!(press(&state, TALK), Action::Nothing);
    assert_eq!(press(&state, KeyCode::Char('p')), Action::PushToTalk(true));
    // Let go of a space that was for something else.
    assert_eq!(state.let_go(), None);
    let mut state = state_for(&s);
    state.push_to_talk = true;
    assert_eq!(press(&state, TALK), Action::Talk);
    assert_eq!(press(&state, KeyCode::Char('p')), Action::PushToTalk(false));

    let ms = |ms: i64| Micros(ms * 1_000);
    // Held in a terminal that repeats and says nothing else, then pressed once more.
    assert_eq!(state.talk(true, ms(0)), Some(Command::Talk));
    for n in 0..20 {
        assert_eq!(state.talk(false, ms(500 + n * 33)), None);
    }
    assert_eq!(state.talk(false, ms(5_000)), Some(Command::Hush));
    // Held in one that tells of the release; then a release that got lost.
    assert_eq!(state.talk(true, ms(10_000)), Some(Command::Talk));
    assert_eq!(state.talk(false, ms(10_500)), None);
    assert_eq!(state.let_go(), Some(Command::Hush));
    assert_eq!(state.talk(true, ms(10_600)), Some(Command::Talk));
    assert_eq!(state.talk(false, ms(20_000)), None);
    assert_eq!(state.let_go(), Some(Command::Hush));
}

#[test]
fn the_keys_of_an_offer_count_while_it_stands_and_who_knocks_goes_first() {
    let state = DashboardState::new(Palette::PLAIN);
    let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
    let mut snapshot = in_call();
    assert_eq!(action(key(KeyCode::Char('r')), &state, &snapshot), Action::Nothing);
    let offer = UnfinishedView { path: "/r/a.mp4".into(), count: 1, percent: None };
    snapshot.unfinished = Some(offer.clone());
    let pressed = |code, snapshot: &Snapshot| action(key(code), &state, snapshot);
    assert_eq!(pressed(KeyCode::Char('r'), &snapshot), Action::Command(Command::Recover));
    assert_eq!(pressed(KeyCode::Esc, &snapshot), Action::Command(Command::LeaveUnfinished));
    assert_eq!(pressed(KeyCode::Char('q'), &snapshot), Action::AskForEnd);
    snapshot.knocks.push(KnockView { id: 7, ..KnockView::default() });
    assert_eq!(pressed(KeyCode::Char('r'), &snapshot), Action::Command(Command::Refuse { id: 7 }));
    snapshot.knocks.clear();
    snapshot.unfinished = Some(UnfinishedView { percent: Some(40), ..offer });
    assert_eq!(pressed(KeyCode::Char('r'), &snapshot), Action::Nothing);
    assert_eq!(pressed(KeyCode::Esc, &snapshot), Action::AskForEnd);
}
