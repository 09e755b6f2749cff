//! Numbers and events as people read them. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::{Event, Finished, LeaveReason, PathKind, PeerStats, Snapshot, Stats};
use crate::protocol::Scope;
use crate::units::RECORDING_FPS;

/// `hh:mm:ss` of a time in seconds; times before zero show as zero.
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// `hh:mm:ss:ff` with frames of the recording's grid.
pub fn clock_frames(seconds: f64) -> String {
    let fps = u64::from(RECORDING_FPS);
    // A tenth of a frame of slack, so that N/30 s never shows as frame N-1.
    let frames = (seconds.max(0.0) * fps as f64 + 0.1) as u64;
    format!("{}:{:02}", clock((frames / fps) as f64), frames % fps)
}

/// A size in decimal units, as disks are sold.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    match unit {
        "B" => format!("{n} B"),
        _ if value < 9.995 => format!("{value:.2} {unit}"),
        _ if value < 99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A rough length: `2 h 10 min`, `45 min`, `30 s`.
pub fn about(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..120 => format!("{s} s"),
        120..7_200 => format!("{} min", s / 60),
        7_200..360_000 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        _ => format!("{} h", s / 3600),
    }
}

/// Groups of three digits: `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// A level in whole decibels; silence as a dash.
pub fn level(db: f64) -> String {
    // Adding 0 turns what rounds to -0 into 0.
    if db <= -99.5 { "-".to_owned() } else { format!("{:.0}", db.round() + 0.0) }
}

/// How far the recorder has come while finishing: pictures encoded, pictures to encode.
pub fn finishing(snapshot: &Snapshot) -> Option<(u64, u64)> {
    let r = snapshot.recording.filter(|_| snapshot.phase == "finishing")?;
    let total = r.frames_captured.saturating_sub(r.cadence_discarded + r.withheld);
    Some((r.frames_encoded.min(total), total))
}

/// Display names by participant id, as events tell them.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<u8, String>);

impl Names {
    /// Learns from an event.
    pub fn learn(&mut self, event: &Event) {
        if let Event::PeerJoined { id, name } = event {
            self.0.insert(*id, printable(name));
        }
    }

    /// The name, or the id where none is known.
    pub fn of(&self, id: u8) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| format!("participant {id}"))
    }
}

/// The text with control characters left out: a peer's name must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/\\:._-~".contains(c);
    if text.chars().all(plain) {
        text
    } else if cfg!(windows) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What an invite is for, and for whom.
fn type_it(invite: &str) -> String {
    format!("{} type: hyperzoom join '{invite}'", Scope::of_line(invite).guests())
}

/// One event as one line for a person; `None` for what only programs care about.
pub fn describe(event: &Event, names: &Names) -> Option<String> {
    Some(match event {
        Event::Ready { listen, invite, .. } => match (listen.as_str(), invite) {
            ("", _) => "ready".to_owned(),
            (listen, None) => format!("ready on {listen}"),
            (listen, Some(invite)) => {
                format!("ready on {listen}; {}", type_it(invite))
            }
        },
        Event::PeerJoined { name, .. } => format!("{} joined", printable(name)),
        Event::PeerLeft { id, reason: LeaveReason::Bye } => format!("{} left", names.of(*id)),
        Event::PeerLeft { id, reason: LeaveReason::Timeout } => {
            format!("{} is gone: nothing was heard for too long", names.of(*id))
        }
        Event::PeerLeft { id, reason: LeaveReason::Removed } => {
            format!("{} is no longer in the call", names.of(*id))
        }
        Event::PeerPath { id, path, via } => match (path, via) {
            (PathKind::Relay, Some(via)) => {
                format!("{} is reached through {}", names.of(*id), names.of(*via))
            }
            (PathKind::Local, _) => format!("{} is reached on the local network", names.of(*id)),
            _ => format!("{} is reached directly", names.of(*id)),
        },
        Event::Knock { name, address, code, .. } => {
            format!("{} knocks from {address}, code {code}", printable(name))
        }
        Event::KnockOver { admitted: true, .. } => "the guest who knocked is let in".to_owned(),
        Event::KnockOver { .. } => "the guest who knocked is not let in".to_owned(),
        Event::KnockCode { code } => {
            format!("knocking; read this code out to the host: {code}")
        }
        Event::Invite { invite } => type_it(invite),
        Event::PeerSilent { id, seconds } => {
            format!("nothing from {} for {seconds:.1} s", names.of(*id))
        }
        Event::PeerBack { id, seconds } => {
            format!("{} is back after {seconds:.1} s", names.of(*id))
        }
        Event::Clock { offset_ms, uncertainty_ms, skew_ppm } => format!(
            "clock: offset {offset_ms:.3} ms, give or take {uncertainty_ms:.3}, skew {skew_ppm:.2} ppm"
        ),
        Event::Slept { seconds, new_file } => {
            let then = match new_file {
                true => "the recording goes on in another file",
                false => "the recording has silence and the last picture there",
            };
            format!("this computer was asleep for {seconds:.1} s; {then}")
        }
        Event::PeerSlept { id, seconds } => {
            format!("{}'s computer was asleep for {seconds:.1} s", names.of(*id))
        }
        Event::Marker { number, note, timecode } => {
            let at = timecode.as_ref().map_or(String::new(), |code| format!(" at {code}"));
            let note = note.as_ref().map_or(String::new(), |note| format!(": {}", printable(note)));
            format!("marker {number}{at}{note}")
        }
        Event::PortMapping { state, method, external, invite } => {
            let method = method.map_or(String::new(), |m| format!(" by {m}"));
            let external = external.as_ref().map_or(String::new(), |e| format!(": {e}"));
            let invite = invite.as_ref().map_or(String::new(), |i| format!("; {}", type_it(i)));
            format!("port mapping {state}{method}{external}{invite}")
        }
        Event::WindowClosed => {
            "the preview window was closed; the call goes on, w in the dashboard opens it again"
                .to_owned()
        }
        Event::RecordingStarted { path } => format!("recording to {path}"),
        Event::Stats(stats) => stats_line(stats, names),
        Event::Warning { what, remedy, harmless: true, .. } if remedy == "nothing to do" => {
            printable(what)
        }
        Event::Warning { what, remedy, harmless: true, .. } => advice(what, remedy),
        Event::Warning { what, remedy, .. } => format!("warning: {}", advice(what, remedy)),
        Event::Error { what, remedy, .. } => format!("error: {}", advice(what, remedy)),
        Event::Recovered { path, seconds } => {
            format!("recovered {path}: {}", clock(*seconds))
        }
        Event::RecordingFinished(finished) => {
            format!("recording finished: {}", finished_line(finished))
        }
        Event::Ended { reason } => format!("ended ({reason})"),
        #[allow(unreachable_patterns)]
        _ => return None,
    })
}

fn advice(what: &str, remedy: &str) -> String {
    let (what, remedy) = (printable(what), printable(remedy));
    match remedy.as_str() {
        "" => what,
        // What is to be typed; everything else is a sentence of its own.
        command if command.starts_with("hyperzoom ") => format!("{what}; try {command}"),
        remedy => format!("{what}; {remedy}"),
    }
}

/// `path: 00:12:34, 1.24 GB, 22,620 frames, 0 dropped`.
pub fn finished_line(f: &Finished) -> String {
    format!(
        "{}: {}, {}, {} frames, {} dropped",
        f.path,
        clock(f.seconds),
        bytes(f.bytes),
        grouped(f.frames_encoded + f.frames_repeated + f.black_frames),
        f.frames_dropped
    )
}

/// What is left on the screen when all is over.
pub fn summary(f: &Finished) -> String {
    let frames = f.frames_encoded + f.frames_repeated + f.black_frames;
    let mut text = format!(
        "\
Recorded {length}  {size}  {frames} frames ({captured} captured, {dropped} dropped)
  file    {path}
  folder  {folder}",
        length = clock_frames(f.seconds),
        size = bytes(f.bytes),
        frames = grouped(frames),
        captured = grouped(f.frames_captured),
        dropped = f.frames_dropped,
        path = f.path,
        folder = f.folder,
    );
    for part in f.parts.iter().skip(1) {
        text.push_str(&format!("\n  then    {} from {}", part.path, part.timecode));
    }
    for track in &f.safety_tracks {
        let name = printable(&track.name);
        text.push_str(&format!("\n  safety  {} (what was heard of {name})", track.path));
    }
    text
}

fn stats_line(stats: &Stats, names: &Names) -> String {
    let mut parts = Vec::new();
    if let Some(r) = &stats.recording {
        parts.push(format!(
            "rec {} {} frames {}/{} dropped {} encoder {:.1} ms",
            clock_frames(r.seconds),
            bytes(r.bytes),
            r.frames_encoded,
            r.frames_captured,
            r.frames_dropped,
            r.encode_ms
        ));
    }
    parts.push(format!("mic {} dB", level(stats.mic.peak_db)));
    parts.push(format!("cpu {:.0} % {:.0} MB", stats.cpu_percent, stats.rss_mb));
    parts.extend(stats.peers.iter().map(|p| peer_line(p, names)));
    parts.join(" | ")
}

fn peer_line(p: &PeerStats, names: &Names) -> String {
    format!(
        "{} rtt {:.0} ms loss {:.1} % jitter {:.1} ms audio {:.0} ms",
        names.of(p.id),
        p.rtt_ms,
        p.loss_percent,
        p.jitter_ms,
        p.audio_latency_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::model::RecordingStats;

    #[test]
    fn the_recording_clock_counts_frames_of_a_thirtieth() {
        assert_eq!(clock_frames(0.0), "00:00:00:00");
        assert_eq!(clock_frames(29.0 / 30.0), "00:00:00:29");
        assert_eq!(clock_frames(1.0), "00:00:01:00");
        assert_eq!(clock_frames(3_661.5), "01:01:01:15");
        assert_eq!(clock_frames(-3.0), "00:00:00:00");
        for n in 0..10_000_u64 {
            let shown = clock_frames(n as f64 / 30.0);
            assert!(shown.ends_with(&format!(":{:02}", n % 30)), "{n}: {shown}");
        }
    }

    #[test]
    fn sizes_keep_three_digits() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (12_340_000, "12.3 MB"),
            (999_600, "1.00 MB"),
            (123_400_000_000, "123 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let joined = Event::PeerJoined { id: 1, name: "\u{1b}[2JBob\r\n".to_owned() };
        assert_eq!(describe(&joined, &Names::default()).as_deref(), Some("[2JBob joined"));
    }

    #[test]
    fn every_notice_is_a_sentence_with_what_to_do_behind_it() {
        /// What the second half begins with: something to do, or how things are.
        const OPENINGS: &[&str] = &[
            "an hour",
            "ask",
            "check",
            "close",
            "forward",
            "give",
            "it stays",
            "keep",
            "look at its switch",
            "look up",
            "move",
            "nothing can be done",
            "nothing is missing",
            "nothing to do",
            "please",
            "say",
            "somebody has",
            "start",
            "the call",
            "the command",
            "the commands",
            "the recording",
            "the router",
            "the stats",
            "try again",
            "try hyperzoom",
            "when its disk",
        ];
        let mut lines = Vec::new();
        for notice in crate::ui::notice::Notice::examples() {
            let told = notice.told();
            let line = describe(&notice.into(), &Names::default()).unwrap();
            lines.push(line.clone());
            if line == told.what {
                continue;
            }
            let Some((_, remedy)) = line.split_once(&format!("{}; ", told.what)) else {
                panic!("{line}")
            };
            let opens = |opening: &&&str| {
                remedy.strip_prefix(**opening).is_some_and(|r| !r.starts_with(char::is_alphabetic))
            };
            assert!(OPENINGS.iter().any(|opening| opens(&opening)), "{line}");
        }
        // To be read.
        insta::assert_snapshot!("notices", lines.join("\n"));
    }

    #[test]
    fn a_marker_tells_its_timecode() {
        let line = |note: Option<&str>, timecode: Option<&str>| {
            let (note, timecode) = (note.map(str::to_owned), timecode.map(str::to_owned));
            describe(&Event::Marker { number: 2, note, timecode }, &Names::default()).unwrap()
        };
        assert_eq!(line(Some("quote"), Some("21:15:00:15")), "marker 2 at 21:15:00:15: quote");
        assert_eq!(line(None, Some("21:15:00:15")), "marker 2 at 21:15:00:15");
        assert_eq!(line(None, None), "marker 2");
    }

    #[test]
    fn finishing_counts_only_pictures_that_belong_into_the_file() {
        let recording = RecordingStats {
            frames_captured: 100,
            frames_encoded: 40,
            cadence_discarded: 10,
            withheld: 10,
            ..RecordingStats::default()
        };
        let mut snapshot = Snapshot {
            recording: Some(recording),
            phase: "recording".into(),
            ..Snapshot::default()
        };
        assert_eq!(finishing(&snapshot), None);
        snapshot.phase = "finishing".into();
        assert_eq!(finishing(&snapshot), Some((40, 80)));
    }
}
