//! The scripts and lines of `examples/`, run as they stand there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::{Program, run, side_by_side};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Synthetic devices for a script that calls the program without saying which.
fn synthetic(command: &mut Command, output: &Path) {
    command
        .env("HYPERZOOM", env!("CARGO_BIN_EXE_hyperzoom"))
        .env("HYPERZOOM_CONFIG", "/dev/null")
        .env("HYPERZOOM_MIC", "test")
        .env("HYPERZOOM_CAMERA", "test:128x96")
        .env("HYPERZOOM_SPEAKER", "off")
        .env("HYPERZOOM_NO_WINDOW", "1")
        .env("HYPERZOOM_NO_PORT_MAPPING", "1")
        .env("HYPERZOOM_OUTPUT", output)
        .env_remove("HYPERZOOM_INVITE")
        .stdin(Stdio::null());
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

fn sessions(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    list.filter(|path| path.is_dir()).collect()
}

#[test]
fn a_machine_that_will_do_records_checks_and_copies() {
    let _alone = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let (output, away) = (room.path().join("here"), room.path().join("away"));
    std::fs::create_dir(&away).expect("a folder");
    let script = |trial: &[&str]| {
        let mut command = Command::new(examples().join("record-and-upload.sh"));
        synthetic(&mut command, &output);
        // A machine that runs other tests may be too slow for the doctor.
        command.env("RECORD_ANYWAY", "1");
        command.arg(&away).args(trial).output().expect("bash is there")
    };
    let ran = script(&["record", "--duration", "1s"]);
    assert_eq!(ran.status.code(), Some(0), "{}", told(&ran));
    let [copy] = &sessions(&away)[..] else { panic!("{}", told(&ran)) };
    let [original] = &sessions(&output)[..] else { panic!("{}", told(&ran)) };
    let movie =
        |folder: &Path| std::fs::read(folder.join("local_recording.mp4")).expect("it is there");
    assert!(movie(copy) == movie(original));
    // What the program refuses is told by its own code, and nothing is copied.
    let refused = script(&["join", "127.0.0.1:9#SHORT"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert_eq!(sessions(&away).len(), 1);
}

/// A tmux server of its own folder, that ends with its test.
struct Tmux(PathBuf);

impl Tmux {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.env("TMUX_TMPDIR", &self.0).env_remove("TMUX").args(args);
        command.output().expect("tmux is there")
    }

    /// What a pane shows, once it shows this text.
    #[track_caller]
    fn shows(&self, pane: &str, wanted: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = told(&self.run(&["capture-pane", "-p", "-t", pane]));
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < deadline, "no '{wanted}' in {text}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

/// By default tmux takes no clipboard from the programs in it.
#[test]
fn in_tmux_the_invite_that_is_copied_is_what_tmux_pastes() {
    let _alone = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let tmux = Tmux(room.path().to_owned());
    let mut command = Command::new("tmux");
    synthetic(&mut command, &room.path().join("out"));
    command.env("TMUX_TMPDIR", room.path()).env_remove("TMUX");
    let program = env!("CARGO_BIN_EXE_hyperzoom");
    let call = ["new-session", "-d", "-s", "t", "-x", "100", "-y", "30", program, "host", "--yes"];
    let began =
        command.args(call).args(["--listen", "127.0.0.1:0"]).output().expect("tmux is there");
    assert!(began.status.success(), "{}", told(&began));
    tmux.shows("t", "waiting for guests");
    tmux.run(&["send-keys", "-t", "t", "i"]);
    tmux.shows("t", "the invite line is copied");
    let pasted = String::from_utf8(tmux.run(&["show-buffer"]).stdout).expect("text");
    assert!(pasted.starts_with("hyperzoom join '127.0.0.1:"), "{pasted}");
}

#[test]
fn an_evening_runs_in_tmux_and_ends_with_a_checked_recording() {
    let _alone = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("here");
    let tmux = Tmux(room.path().to_owned());
    let mut command = Command::new(examples().join("recording-evening.sh"));
    synthetic(&mut command, &output);
    command.env("TMUX_TMPDIR", room.path()).env_remove("TMUX").env("HYPERZOOM_ADMIT", "key");
    let began = command
        .args(["host", "--record-now", "--duration", "2s", "--listen", "127.0.0.1:0", "--yes"])
        .output()
        .expect("bash is there");
    assert_eq!(began.status.code(), Some(0), "{}", told(&began));
    let shown = tmux.shows("recording:call.0", "Enter closes this window");
    assert!(shown.contains("Send this folder to the editor"), "{shown}");
    assert_eq!(sessions(&output).len(), 1);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let tool = Command::new("systemd-analyze").arg("--version").output();
    if !tool.is_ok_and(|ran| ran.status.success()) {
        eprintln!("systemd-analyze is not here: the unit is not looked at by it");
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let unit = std::fs::read_to_string(examples().join("hyperzoom-record.service")).expect("it is");
    let verify = |unit: &str| {
        // It looks whether what is started is there.
        let unit = unit.replace("%h/.cargo/bin/hyperzoom", env!("CARGO_BIN_EXE_hyperzoom"));
        let path = room.path().join("hyperzoom-record.service");
        std::fs::write(&path, unit).expect("written");
        let mut command = Command::new("systemd-analyze");
        command.args(["--user", "--man=no", "--recursive-errors=no", "verify"]).arg(&path);
        command.env("HOME", room.path()).env("XDG_RUNTIME_DIR", room.path());
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    assert_eq!(verify(&unit), (true, String::new()));
    let (_, said) = verify(&unit.replace("KillSignal=SIGTERM", "KillSignal=SIGNOTHING"));
    assert!(said.contains("SIGNOTHING"), "it looks at all: {said}");
}

#[test]
fn the_unit_starts_what_it_says_and_its_end_is_the_end_key() {
    let unit = std::fs::read_to_string(examples().join("hyperzoom-record.service")).expect("it is");
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        line.unwrap_or_else(|| panic!("{key} in {unit}")).to_owned()
    };
    assert_eq!(value("KillSignal"), "SIGTERM");
    let room = tempfile::tempdir().expect("a folder");
    let start = value("ExecStart");
    let words: Vec<&str> = start.split_whitespace().collect();
    assert!(words[0].ends_with("/hyperzoom"), "{start}");
    let _alone = side_by_side();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
    synthetic(&mut command, room.path());
    let mut child = command
        .args(&words[1..])
        .env("HOME", room.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("it is piped")));
    assert!(lines.any(|line| line.expect("text").contains("recording")), "it says that it records");
    // SAFETY: our own child, not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    for _ in lines {}
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let [session] = &sessions(room.path())[..] else { panic!("one session") };
    let (code, shown, error) = run(&["verify", session.to_str().expect("text")], "");
    assert_eq!(code, Some(0), "{shown}{error}");
}

/// The page's lines between ```sh and ```.
fn lines(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (line, &mut block) {
            ("```sh", None) => block = Some(String::new()),
            ("```", Some(_)) => blocks.extend(block.take()),
            (line, Some(block)) => *block += &format!("{line}\n"),
            _ => {}
        }
    }
    blocks
}

#[test]
fn every_line_of_the_jq_page_gives_an_answer() {
    let _alone = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    // A call of two, so that there are participants to tell about.
    let mut host = Program::start(
        "host",
        &[
            "host",
            "--listen",
            "127.0.0.1:0",
            "--public",
            "127.0.0.1",
            "--no-port-mapping",
            "--mic",
            "test",
            "--camera",
            "test:128x96",
            "--speaker",
            "off",
            "--no-window",
            "--output",
            room.path().join("host").to_str().expect("text"),
            "--session",
            "page",
        ],
    );
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let mut guest = Program::start(
        "guest",
        &[
            "join",
            &invite,
            "--no-port-mapping",
            "--mic",
            "test",
            "--camera",
            "off",
            "--speaker",
            "off",
            "--no-window",
            "--output",
            room.path().join("guest").to_str().expect("text"),
        ],
    );
    host.recorded(1.0);
    host.command("marker");
    host.wait("marker");
    host.more_stats(2);
    host.command("end");
    let folder = host.finished().folder();
    guest.command("end");
    guest.finished();
    let events: String = host.everything().iter().map(|event| format!("{event}\n")).collect();
    std::fs::write(room.path().join("events.jsonl"), events).expect("written");
    std::os::unix::fs::symlink(folder, room.path().join("session")).expect("a link");

    let page = std::fs::read_to_string(examples().join("jq.md")).expect("the page");
    let blocks = lines(&page);
    assert!(blocks.len() >= 10);
    let program = Path::new(env!("CARGO_BIN_EXE_hyperzoom")).parent().expect("a folder");
    for block in &blocks {
        let mut command = Command::new("bash");
        synthetic(&mut command, room.path());
        let path = format!("{}:{}", program.display(), env!("PATH"));
        let ran = command
            .args(["-e", "-o", "pipefail", "-c", block])
            .env("PATH", path)
            .current_dir(room.path())
            .output()
            .expect("bash is there");
        // The doctor's own code is 1 where it has found something.
        let fine = ran.status.success() || block.contains("doctor");
        assert!(fine && ran.stderr.is_empty(), "{block}{}", told(&ran));
        let answer = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        let may_be_empty =
            ["doctor", "microphones[]", "\"warning\""].iter().any(|w| block.contains(w));
        assert!(may_be_empty || !answer.is_empty(), "{block}says nothing");
        let wanted = match block {
            b if b.contains(".invite") => Some(invite.as_str()),
            b if b.contains("frames_dropped") => Some("true"),
            _ => None,
        };
        assert!(wanted.is_none_or(|wanted| answer == wanted), "{block}{answer}");
    }
}
