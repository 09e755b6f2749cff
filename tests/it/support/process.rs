//! The real program as a process of its own: its JSON events, its standard input, its end.
//!
//! Tests that run in real time take [`real_time`] or [`side_by_side`] first: the machine may be small.
//! Waits are for events with a generous limit; a failing test prints what the program said and ends
//! the process.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::schema::{check_reports, command_complaint, event_complaint};
use hyperzoom::platform::clock;
use hyperzoom::units::Micros;
use serde_json::Value;

/// Longest wait for anything: a loaded machine takes seconds where an idle one takes none.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How many tests that wait more than they work may run beside each other.
const SIDE_BY_SIDE: usize = 3;

/// Places for real-time tests: whoever needs the whole machine takes all of them.
static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

/// Places that a real-time test holds. One that failed leaves nothing broken behind.
#[must_use]
pub struct RealTime(usize);

impl RealTime {
    fn take(places: usize) -> Self {
        let taken = TAKEN.lock().unwrap_or_else(|e| e.into_inner());
        let full = |taken: &mut usize| *taken + places > SIDE_BY_SIDE;
        let mut taken = LEFT.wait_while(taken, full).unwrap_or_else(|e| e.into_inner());
        *taken += places;
        Self(places)
    }
}

impl Drop for RealTime {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(|e| e.into_inner()) -= self.0;
        LEFT.notify_all();
    }
}

/// For a real-time test that looks at sound or pictures by the millisecond, or keeps the machine
/// busy: no other real-time test runs beside it.
pub fn real_time() -> RealTime {
    RealTime::take(SIDE_BY_SIDE)
}

/// For a real-time test of small pictures that mostly waits: some others run beside it.
pub fn side_by_side() -> RealTime {
    RealTime::take(1)
}

/// What a program said.
#[derive(Default)]
struct Said {
    /// JSON lines and when they came.
    events: Vec<(Micros, Value)>,
    stderr: String,
    /// The first event that is none by the committed schema, and why.
    invalid: Option<String>,
    /// Standard output is closed.
    over: bool,
}

#[derive(Default)]
struct Heard {
    said: Mutex<Said>,
    changed: Condvar,
}

/// A running `hyperzoom --json`.
pub struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    heard: Arc<Heard>,
}

impl Program {
    /// Starts `hyperzoom ARGS --json`. `name` is for messages.
    pub fn start<S: AsRef<str>>(name: &str, args: &[S]) -> Self {
        Self::start_with(name, args, |_| ())
    }

    /// The same with a hand on the command before it starts.
    pub fn start_with<S: AsRef<str>>(
        name: &str,
        args: &[S],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        Self::start_through(name, args, &[], adjust)
    }

    /// The same behind another program's words (`net-lab exec host_a`), which must become it.
    pub fn start_through<S: AsRef<str>>(
        name: &str,
        args: &[S],
        through: &[&std::ffi::OsStr],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        // HYPERZOOM=PATH: another build of the program, as scripts/measure takes it.
        let program = std::env::var_os("HYPERZOOM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_hyperzoom").into());
        let mut words = through.iter().copied().chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words).args(args.iter().map(AsRef::as_ref)).arg("--json");
        command.env_remove("HYPERZOOM_INVITE").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        // Whatever the person at this machine has configured.
        command.env("HYPERZOOM_CONFIG", "");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        adjust(&mut command);
        let mut child = command.spawn().expect("the program was built and starts");
        let heard = Arc::new(Heard::default());
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let theirs = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let at = clock::now();
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let mut said = theirs.said.lock().expect("no panic");
                said.events.push((at, event.clone()));
                drop(said);
                theirs.changed.notify_all();
                if let (Value::Object(_), Some(complaint)) = (&event, event_complaint(&event)) {
                    theirs.said.lock().expect("no panic").invalid.get_or_insert(complaint);
                }
            }
            theirs.said.lock().expect("no panic").over = true;
            theirs.changed.notify_all();
        });
        let theirs = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = theirs.said.lock().expect("no panic");
                said.stderr.push_str(&line);
                said.stderr.push('\n');
                drop(said);
                theirs.changed.notify_all();
            }
        });
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, heard }
    }

    /// The process's id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// Waits for the first event that `wanted` takes, from the beginning on.
    #[track_caller]
    pub fn wait_for(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> (Micros, Value) {
        let start = Instant::now();
        let mut seen = 0;
        let mut said = self.heard.said.lock().expect("no panic");
        loop {
            for (at, event) in &said.events[seen..] {
                if wanted(event) {
                    return (*at, event.clone());
                }
            }
            seen = said.events.len();
            let left = LIMIT.saturating_sub(start.elapsed());
            if said.over || left.is_zero() {
                drop(said);
                panic!("{}: no {what}\n{}", self.name, self.account());
            }
            said = self.heard.changed.wait_timeout(said, left).expect("no panic").0;
        }
    }

    /// Waits for the first event of that name.
    #[track_caller]
    pub fn wait(&self, name: &str) -> Value {
        self.wait_for(name, |e| e["event"] == name).1
    }

    /// Waits for a `stats` in which the recording is that long.
    #[track_caller]
    pub fn recorded(&self, seconds: f64) -> Value {
        let long = |e: &Value| e["recording"]["seconds"].as_f64().is_some_and(|s| s >= seconds);
        self.wait_for(&format!("{seconds} s recorded"), |e| e["event"] == "stats" && long(e)).1
    }

    /// Waits for `n` more `stats` than there are now: what was commanded has come to effect.
    #[track_caller]
    pub fn more_stats(&self, n: usize) {
        let mut needed = self.all("stats").len() + n;
        self.wait_for("further statistics", |e| {
            needed -= usize::from(e["event"] == "stats");
            needed == 0
        });
    }

    /// Waits until that instant of the local clock or for the program's end, whichever is first.
    pub fn watch_until(&self, at: Micros) {
        let mut said = self.heard.said.lock().expect("no panic");
        while !said.over {
            let left = at.since(clock::now());
            if left <= 0 {
                return;
            }
            let left = Duration::from_micros(left as u64);
            said = self.heard.changed.wait_timeout(said, left).expect("no panic").0;
        }
    }

    /// All events so far of that name.
    pub fn all(&self, name: &str) -> Vec<Value> {
        let said = self.heard.said.lock().expect("no panic");
        said.events.iter().map(|(_, e)| e).filter(|e| e["event"] == name).cloned().collect()
    }

    /// All that it said so far, as it said it.
    #[cfg(target_os = "linux")]
    pub fn everything(&self) -> Vec<Value> {
        let said = self.heard.said.lock().expect("no panic");
        said.events.iter().map(|(_, e)| e.clone()).collect()
    }

    /// Waits until standard error has that text.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        let missing = |said: &mut Said| !said.over && !said.stderr.contains(text);
        let said = self.heard.said.lock().expect("no panic");
        let (said, _) =
            self.heard.changed.wait_timeout_while(said, LIMIT, missing).expect("no panic");
        let found = said.stderr.contains(text);
        drop(said);
        assert!(found, "no '{text}'\n{}", self.account());
    }

    /// Writes `{"do": WHAT}` to its standard input.
    #[track_caller]
    pub fn command(&mut self, what: &str) {
        self.line(&format!("{{\"do\": \"{what}\"}}"));
    }

    /// Writes a line to its standard input: a command, by the committed schema.
    #[track_caller]
    pub fn line(&mut self, line: &str) {
        let command = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if let Some(complaint) = command_complaint(&command) {
            panic!("{} is sent what the schema does not know: {complaint}", self.name);
        }
        self.nonsense(line);
    }

    /// Writes a line that need not be a command.
    pub fn nonsense(&mut self, line: &str) {
        let input = self.input.as_mut().expect("standard input is open");
        writeln!(input, "{line}").expect("the program reads its standard input");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call; the process is our child and not yet waited for.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0, "{} is gone", self.name);
    }

    /// Waits for the process's end; its exit code, or `None` after a signal.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        {
            // The end of its output comes with its own.
            let mut said = self.heard.said.lock().expect("no panic");
            while !said.over {
                let left = LIMIT.saturating_sub(start.elapsed());
                if left.is_zero() {
                    drop(said);
                    panic!("{} does not end\n{}", self.name, self.account());
                }
                said = self.heard.changed.wait_timeout(said, left).expect("no panic").0;
            }
        }
        self.child.wait().expect("it is our child").code()
    }

    /// Waits for the end and asserts its exit code; the `recording_finished` of it.
    #[track_caller]
    pub fn finished(&mut self) -> Finished {
        let code = self.exit_code();
        assert_eq!(code, Some(0), "{}\n{}", self.name, self.account());
        Finished(self.wait("recording_finished"))
    }

    /// Everything it said, for messages.
    pub fn account(&self) -> String {
        let said = self.heard.said.lock().expect("no panic");
        let lines: Vec<String> = said.events.iter().map(|(_, e)| e.to_string()).collect();
        format!("--- {}\n{}\n--- standard error\n{}", self.name, lines.join("\n"), said.stderr)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.account());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let invalid = self.heard.said.lock().expect("no panic").invalid.take();
        if let (Some(complaint), false) = (invalid, std::thread::panicking()) {
            panic!("{} wrote what its schema does not know: {complaint}", self.name);
        }
    }
}

/// What `recording_finished` told.
#[derive(Clone, Debug)]
pub struct Finished(pub Value);

impl Finished {
    /// A counter of that name.
    pub fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// Frames in the file by the counters.
    pub fn frames(&self) -> u64 {
        ["frames_encoded", "frames_repeated", "black_frames"].map(|n| self.count(n)).iter().sum()
    }

    /// The MP4 file.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.0["path"].as_str().expect("a path"))
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(self.0["folder"].as_str().expect("a folder"))
    }

    /// Nothing was lost, and every picture that the camera delivered is accounted for.
    #[track_caller]
    pub fn assert_nothing_lost(&self) {
        assert_eq!(self.count("frames_dropped"), 0, "{}", self.0);
        let accounted: u64 =
            ["frames_encoded", "cadence_discarded", "withheld"].map(|n| self.count(n)).iter().sum();
        assert_eq!(self.count("frames_captured"), accounted, "{}", self.0);
    }
}

/// Runs the program to its end without JSON: exit code, standard output, standard error.
pub fn run(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
    command.args(args).env_remove("HYPERZOOM_INVITE").env_remove("DISPLAY");
    command.env("HYPERZOOM_CONFIG", "");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program was built and starts");
    let mut child = Guard(child);
    // A program that has ended does not read it.
    let _ = child.0.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let mut stdout = child.0.stdout.take().expect("it is piped");
    let mut stderr = child.0.stderr.take().expect("it is piped");
    let out = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        text
    });
    let mut error = String::new();
    let _ = stderr.read_to_string(&mut error);
    let out = out.join().expect("reading does not panic");
    check_reports(args, &out);
    (child.0.wait().expect("it is our child").code(), out, error)
}

/// A child that ends with the test.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `--FLAG file:PATH` for a path.
pub fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}
