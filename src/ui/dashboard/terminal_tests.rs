//! The dashboard on a real terminal: a pseudo-terminal, with this test binary run again in it.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::ui::after::{self, Checked, Facts};
use crate::ui::fake::FakeSession;
use crate::ui::inputs;
use crate::ui::model::{Event, Finished, PeerView, Snapshot, UnfinishedView};

/// Tells [`child`] that it is one, and what to do.
const ROLE: &str = "HYPERZOOM_TEST_DASHBOARD";
const ROWS: NonZero<u16> = NonZero::new(24).expect("not 0");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("not 0");
/// Generous: a loaded machine takes seconds to start a process.
const LIMIT: Duration = Duration::from_secs(60);

/// The other end: shows a dashboard of a session that only exists here. Without its role, as in
/// an ordinary run of the tests, there is nothing to do.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let unfinished = (role == "offer").then(|| UnfinishedView {
        path: "/r/2026/local_recording.mp4".into(),
        count: 2,
        percent: None,
    });
    let trouble = (role == "trouble").then(|| PeerView {
        name: "Ben".into(),
        trouble: Some("Ben's recording has stopped or fails".into()),
        ..PeerView::default()
    });
    let snapshot = Snapshot {
        phase: "in the call".into(),
        unfinished,
        peers: trouble.into_iter().collect(),
        ..Snapshot::default()
    };
    let session = FakeSession {
        snapshot: RefCell::new(Arc::new(snapshot)),
        panics_after: (role == "panic").then(|| Cell::new(5)),
        ..FakeSession::default()
    };
    let (sender, receiver) = inputs::channel();
    inputs::watch_signals(sender).expect("signals can be watched");
    if role == "stderr" {
        std::thread::spawn(|| {
            // Descriptor 2 itself, as a C library would, again and again until it is redirected.
            for n in 0.. {
                let line = format!("smear {n}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }
    if role == "finished" {
        let finished = Finished { path: "/r/a.mp4".into(), ..Finished::default() };
        session.push(Event::RecordingFinished(finished), 1.0);
    }
    let watched = super::watch(&session, &receiver).expect("there is a terminal");
    if let Some(finished) = &watched.finished {
        let facts = Facts { finished: finished.clone(), ..Facts::default() };
        after::show(&facts, &|| Checked::Holds(7), false, &receiver).expect("there is a terminal");
        println!("{}", after::text(&facts, &Checked::Holds(7)));
    }
    println!("asked for {:?}", session.commands());
    println!("ends {:?} aborted {} after", session.ends(), watched.aborted);
}

struct Screen {
    parser: Mutex<vt100::Parser>,
    /// All that the program wrote.
    raw: Mutex<Vec<u8>>,
    changed: Condvar,
}

struct Run {
    screen: Arc<Screen>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

impl Run {
    fn start(role: &str) -> Self {
        Self::start_in(role, ROWS, COLUMNS)
    }

    fn start_in(role: &str, rows: NonZero<u16>, columns: NonZero<u16>) -> Self {
        let size =
            PtySize { rows: rows.get(), cols: columns.get(), pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a pseudo-terminal can be opened");
        let mut command = CommandBuilder::new(std::env::current_exe().expect("we are a file"));
        command.args(["--exact", "ui::dashboard::terminal_tests::child", "--nocapture"]);
        command.env(ROLE, role);
        command.env("TERM", "xterm-256color");
        command.env("RUST_BACKTRACE", "0");
        let child = pty.slave.spawn_command(command).expect("this binary starts again");
        drop(pty.slave);
        let screen = Arc::new(Screen {
            parser: Mutex::new(vt100::Parser::new(rows, columns, 0)),
            raw: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = screen.clone();
        let mut reader = pty.master.try_clone_reader().expect("the master can be read");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                theirs.raw.lock().expect("no panic").extend_from_slice(&bytes[..n]);
                theirs.parser.lock().expect("no panic").process(&bytes[..n]);
                theirs.changed.notify_all();
            }
        });
        let keys = pty.master.take_writer().expect("the master can be written");
        Self { screen, keys, master: pty.master, child }
    }

    /// The terminal has another size.
    fn resize(&self, rows: NonZero<u16>, columns: NonZero<u16>) {
        self.screen.parser.lock().expect("no panic").screen_mut().set_size(rows, columns);
        let size =
            PtySize { rows: rows.get(), cols: columns.get(), pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).expect("a pseudo-terminal can be resized");
    }

    fn rows(parser: &vt100::Parser) -> Vec<String> {
        let (_, columns) = parser.screen().size();
        parser.screen().rows(0, columns.into()).collect()
    }

    /// Waits until the screen shows a text.
    fn shows(&self, text: &str) {
        let parser = self.screen.parser.lock().expect("no panic");
        let missing = |p: &mut vt100::Parser| !p.screen().contents().contains(text);
        let (parser, timeout) =
            self.screen.changed.wait_timeout_while(parser, LIMIT, missing).expect("no panic");
        assert!(!timeout.timed_out(), "no '{text}' on:\n{}", parser.screen().contents());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the master can be written");
    }

    fn signal(&self, signal: i32) {
        let pid = self.child.process_id().expect("the child runs");
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(pid as i32, signal) };
    }

    /// The alternate screen is left, the cursor shows, lines are edited and echoed again.
    fn is_restored(&self) {
        let parser = self.screen.parser.lock().expect("no panic");
        assert!(!parser.screen().alternate_screen());
        assert!(!parser.screen().hide_cursor());
        assert!(!parser.screen().bracketed_paste());
        drop(parser);
        let fd = self.master.as_raw_fd().expect("a pseudo-terminal has a descriptor");
        let mut modes = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: `fd` is open, and `modes` is read only after the call has filled it.
        let modes = unsafe {
            assert_eq!(libc::tcgetattr(fd, modes.as_mut_ptr()), 0);
            modes.assume_init()
        };
        let cooked = libc::ICANON | libc::ECHO | libc::ISIG;
        assert_eq!(modes.c_lflag & cooked, cooked);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_end_key_asks_and_gives_the_terminal_back() {
    let mut run = Run::start("keys");
    run.shows("in the call");
    assert!(run.screen.parser.lock().expect("no panic").screen().alternate_screen());
    run.press("q");
    run.shows("End the call?");
    run.press("n");
    run.press("?");
    run.shows("close this help");
    run.press("?");
    run.press("qq");
    run.shows("ends [EndKey] aborted false after");
    run.is_restored();
}

#[test]
fn ctrl_c_is_a_key_and_ends_without_asking() {
    let mut run = Run::start("keys");
    run.shows("in the call");
    run.press("\u{1a}");
    run.shows("Ctrl-Z is not obeyed");
    run.press("\u{3}");
    run.shows("ends [Signal] aborted false after");
    run.is_restored();
}

#[test]
fn a_signal_ends_and_gives_the_terminal_back() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let run = Run::start("keys");
        run.shows("in the call");
        run.signal(signal);
        run.shows("ends [Signal] aborted false after");
        run.is_restored();
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_readable() {
    let run = Run::start("panic");
    run.shows("this test's panic");
    run.shows("test result: FAILED");
    run.is_restored();
}

#[test]
fn what_libraries_print_goes_into_the_log() {
    let mut run = Run::start("stderr");
    run.shows("  smear ");
    run.shows("  q  end");
    let parser = run.screen.parser.lock().expect("no panic");
    let contents = parser.screen().contents();
    let header = contents.lines().next().unwrap_or_default().to_owned();
    drop(parser);
    assert!(header.contains("HyperZoom"), "nothing is smeared over: {header}");
    run.press("qq");
    run.shows("ends [EndKey]");
    run.is_restored();
}

#[test]
fn after_a_resize_the_screen_is_as_if_it_had_begun_in_that_size() {
    let run = Run::start("keys");
    run.shows("  q  end");
    for (rows, columns) in [(18, 60), (40, 120), (12, 70), (24, 80)] {
        let [rows, columns] = [rows, columns].map(|n| NonZero::new(n).expect("not 0"));
        let fresh = Run::start_in("keys", rows, columns);
        fresh.shows("  q  end");
        let wanted = Run::rows(&fresh.screen.parser.lock().expect("no panic"));
        run.resize(rows, columns);
        let parser = run.screen.parser.lock().expect("no panic");
        let differs = |p: &mut vt100::Parser| Run::rows(p) != wanted;
        let (parser, timeout) =
            run.screen.changed.wait_timeout_while(parser, LIMIT, differs).expect("no panic");
        assert!(!timeout.timed_out(), "{rows}x{columns}:\n{}", parser.screen().contents());
    }
}

#[test]
fn every_frame_is_shown_at_once() {
    let mut run = Run::start("keys");
    run.shows("in the call");
    run.press("?");
    run.shows("close this help");
    run.press("?qq");
    run.shows("ends [EndKey]");
    let raw = run.screen.raw.lock().expect("no panic").clone();
    let text = String::from_utf8_lossy(&raw);
    let mut frames = text.split("\u{1b}[?2026h");
    let before = frames.next().expect("something is before the first frame");
    assert!(!before.contains("HyperZoom"), "{before:?}");
    let mut count = 0;
    for frame in frames {
        let (_, behind) = frame.split_once("\u{1b}[?2026l").expect("each frame ends");
        assert!(!behind.contains("close this help") && !behind.contains("HyperZoom"), "{behind:?}");
        count += 1;
    }
    assert!(count >= 2, "{count} frames");
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let mut run = Run::start("keys");
    run.shows("  q  end");
    let before = run.screen.raw.lock().expect("no panic").len();
    run.press("q");
    run.shows("End the call?");
    run.press("n");
    run.shows("  q  end");
    let raw = run.screen.raw.lock().expect("no panic").clone();
    assert!(before > 500, "the first frame is whole: {before}");
    let text = String::from_utf8_lossy(&raw[before..]);
    // Two footers with their styles; the whole screen has 1,920 cells.
    assert!(text.len() < 700, "{}: {text:?}", text.len());
    assert!(!text.contains("HyperZoom") && !text.contains("Mic"), "{text:?}");
    run.press("qq");
    run.shows("ends [EndKey]");
}

#[test]
fn a_guest_s_trouble_stands_above_the_log_and_rings_once() {
    let mut run = Run::start("trouble");
    run.shows("! Ben's recording has stopped or fails");
    // Drawn again and again.
    for shown in ["close this help", "End the call?"] {
        run.press(if shown.starts_with("close") { "?" } else { "?q" });
        run.shows(shown);
    }
    run.press("q");
    run.shows("ends [EndKey]");
    let bells = run.screen.raw.lock().expect("no panic").iter().filter(|b| **b == 7).count();
    assert_eq!(bells, 1);
    run.is_restored();
}

#[test]
fn what_the_screen_after_the_call_says_is_left_on_the_terminal() {
    let mut run = Run::start("finished");
    run.shows("in the call");
    run.press("qq");
    run.shows("everything holds: 7 checks");
    run.press("c");
    run.shows("the path is copied");
    run.press("x");
    run.shows("file    /r/a.mp4");
    run.shows("check   everything holds (7 checks)");
    run.shows("after");
    run.is_restored();
}

#[test]
fn what_an_earlier_run_could_not_end_is_offered_and_recovered_or_left_by_a_key() {
    let mut run = Run::start("offer");
    run.shows("/r/2026/local_recording.mp4");
    run.shows("an earlier run could not end it (and 1 more): r recovers, Esc leaves it");
    run.press("r");
    run.shows("recovering it (and 1 more): 40 %");
    run.press("qq");
    run.shows("asked for [Recover]");
    run.is_restored();
    let mut run = Run::start("offer");
    run.shows("r recovers, Esc leaves it");
    run.press("\u{1b}");
    run.shows("left as it is");
    run.press("qq");
    run.shows("asked for [LeaveUnfinished]");
    run.is_restored();
}
