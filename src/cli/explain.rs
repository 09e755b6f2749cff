//! `hyperzoom explain`: every warning and error of the program, why it comes about, what to do.
//!
//! What a running call tells is in [`crate::ui::notice`]; here are the errors that end a command, by
//! their types, and the list of both.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

mod more;

use super::error::{CliError, Problem};
use super::report::Report;
use crate::devices::{DeviceError, What};
use crate::engine::recovery::RecoveryError;
use crate::engine::{EngineError, exit};
use crate::net::resolve::ResolveError;
use crate::protocol::{MalformedInvite, MalformedKey, Refusal};
use crate::recording::recover::RecoverError;
use crate::ui::notice::Notice;

/// Flags of `explain`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("explain", ""))]
pub struct ExplainArgs {
    /// The name of a warning or an error, as `code` in events; without one, all of them
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// As JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// A part of the list.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its heading.
    pub title: &'static str,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// Runs the subcommand.
pub fn run(args: &ExplainArgs) -> Result<ExitCode, CliError> {
    let mut groups = list();
    if let Some(code) = &args.code {
        for group in &mut groups {
            group.entries.retain(|entry| entry.code == code);
        }
        groups.retain(|group| !group.entries.is_empty());
        if groups.is_empty() {
            return Err(Problem::NoSuchCode { code: code.clone() }.into());
        }
    }
    let mut text = String::new();
    for group in &groups {
        if !args.json && args.code.is_none() {
            let _ = write!(text, "{}\n\n", group.title.to_uppercase());
        }
        for entry in &group.entries {
            if args.json {
                text.push_str(&Report::Explain(entry.clone()).line());
            } else {
                text.push_str(&entry.plain());
            }
        }
    }
    // A closed pipe (`explain | head`) is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

pub use super::report::Entry;

impl Entry {
    fn plain(&self) -> String {
        let Self { code, kind, what, remedy, cause } = self;
        format!("{code} ({kind})\n  {what}\n  why: {cause}\n  do:  {remedy}\n\n")
    }

    /// From an error's one line: what, `; `, what to do.
    fn of(code: &'static str, exit: u8, line: &str, cause: &'static str) -> Self {
        let (what, remedy) = line.split_once("; ").unwrap_or((line, ""));
        let (what, remedy) = (what.to_owned(), remedy.to_owned());
        Self { code, kind: format!("exit code {exit}"), what, remedy, cause }
    }
}

/// The whole list as a page for `docs`.
pub fn page() -> String {
    let mut text = String::from(
        "# Warnings and errors\n\n\
         Everything that the program may tell, why it comes about, and what to do. `hyperzoom explain` prints the same;\n\
         `hyperzoom explain CODE` one of them. Events (`--json`) carry the name as `code`. Names and numbers are examples.\n",
    );
    for group in list() {
        let _ = write!(text, "\n## {}\n", group.title);
        for Entry { code, kind, what, remedy, cause } in group.entries {
            let _ =
                write!(text, "\n### {code}\n\n*{kind}*: {what}\n\nWhy: {cause}\n\nDo: {remedy}\n");
        }
    }
    text
}

/// Every warning and error.
pub fn list() -> Vec<Group> {
    let running = Notice::examples().into_iter().map(|notice| {
        let told = notice.told();
        let kind = told.severity.name().to_owned();
        Entry { code: told.code, kind, what: told.what, remedy: told.remedy, cause: told.cause }
    });
    let starting = starting().into_iter().map(|e| {
        let (code, cause) = engine(&e);
        Entry::of(code, e.exit_code(), &e.to_string(), cause)
    });
    let invites = invites().into_iter().map(|e| {
        let (code, cause) = invite(&e);
        Entry::of(code, exit::USAGE, &e.to_string(), cause)
    });
    let refusals = Refusal::ALL.into_iter().map(|reason| {
        let (code, cause) = refusal(reason);
        Entry::of(code, exit::NO_CALL, &reason.to_string(), cause)
    });
    let recovering = recovering().into_iter().map(|e| {
        let (code, cause) = recovery(&e);
        Entry::of(code, exit::ERROR, &e.to_string(), cause)
    });
    vec![
        Group { title: "While a call or a recording runs", entries: running.collect() },
        Group { title: "Before it: why it does not begin", entries: starting.collect() },
        Group { title: "Invites and arguments", entries: invites.chain([usage()]).collect() },
        Group { title: "What a host answers", entries: refusals.collect() },
        Group { title: "When recovering", entries: recovering.collect() },
    ]
    .into_iter()
    .chain(more::groups())
    .collect()
}

fn usage() -> Entry {
    let line = "unexpected argument '--nam' found; try a similar argument exists: '--name'";
    let cause = "A flag, a value, a line of the configuration file or a HYPERZOOM_ variable is not \
                 one that the program knows. The line names the place and what would be right.";
    Entry::of("usage", exit::USAGE, line, cause)
}

/// The name of an error that a call does not begin for, and its cause.
pub fn engine(e: &EngineError) -> (&'static str, &'static str) {
    match e {
        EngineError::Device(e) => device(e),
        EngineError::Output { .. } => (
            "output-unwritable",
            "The folder for recordings cannot be made or written: no rights there, a disk that is \
             read-only or not mounted, a name that is a file.",
        ),
        EngineError::Listen { .. } => (
            "port-in-use",
            "Another program, or another hyperzoom, has that UDP port, or the address is not one of \
             this computer.",
        ),
        EngineError::Resolve(ResolveError::NotFound { .. }) => (
            "name-unknown",
            "The resolver knows no address for the host's name: a typing error, or no network.",
        ),
        EngineError::Resolve(ResolveError::TimedOut { .. }) => (
            "name-unresolved",
            "The resolver did not answer: no network, or a VPN that is just being connected.",
        ),
        EngineError::Codec { .. } => (
            "codec",
            "An encoder or decoder did not open: too little memory, or a size that it cannot do.",
        ),
        EngineError::Thread { .. } => {
            ("thread", "The system gave no thread: a limit on processes (ulimit -u), or no memory.")
        }
    }
}

fn device(e: &DeviceError) -> (&'static str, &'static str) {
    match e {
        DeviceError::None { .. } => (
            "device-none",
            "The system lists no device of that kind. Over ssh and in containers there is none.",
        ),
        DeviceError::NotFound { .. } => {
            ("device-not-found", "Nothing that is connected has that id or a name with that in it.")
        }
        DeviceError::Ambiguous { .. } => {
            ("device-ambiguous", "The part of a name that was given fits more than one device.")
        }
        DeviceError::Busy { .. } => (
            "device-busy",
            "Another program has it and shares it with nobody: a browser's call, OBS, a recorder.",
        ),
        DeviceError::Refused { .. } => (
            "device-refused",
            "The system asks its user first: camera and microphone permission of the terminal on \
             macOS, privacy settings on Windows, membership in the groups audio and video on Linux.",
        ),
        DeviceError::Format { .. } => (
            "device-format",
            "It delivers only what the program does not read (a camera without MJPEG, YUYV, NV12 or \
             I420; a sound card without usual sample formats).",
        ),
        DeviceError::File { .. } => (
            "device-file",
            "A file: device is not there, cannot be read or written, or is not what it should be \
             (WAV for sound, Y4M for a camera).",
        ),
        DeviceError::Failed { .. } => (
            "device-failed",
            "Its driver gave an error of its own. A device that was unplugged this moment, or a hub \
             without power, does that.",
        ),
    }
}

fn invite(e: &MalformedInvite) -> (&'static str, &'static str) {
    match e {
        MalformedInvite::NoAddress(_) => {
            ("invite-no-address", "There is nothing in front of the port or the key.")
        }
        MalformedInvite::Port(_) => {
            ("invite-port", "What stands behind the address's colon is not a UDP port.")
        }
        MalformedInvite::Brackets(_) => {
            ("invite-brackets", "A bracket is missing, or what it holds is not an IPv6 address.")
        }
        MalformedInvite::Address(_) => (
            "invite-address",
            "A character that no address has: a quote, a word of the chat that the invite was copied from; \
             or numbers that are no IP address.",
        ),
        MalformedInvite::Key(MalformedKey::Length(_)) => (
            "invite-key-length",
            "The invite was cut when it was copied, or a line break is in it.",
        ),
        MalformedInvite::Key(MalformedKey::Characters) => (
            "invite-key-characters",
            "The key was typed by hand, or a chat program has changed it.",
        ),
    }
}

fn refusal(reason: Refusal) -> (&'static str, &'static str) {
    match reason {
        Refusal::Key => (
            "refused-key",
            "The invite is of another call: each call has its own key, unless the host gives one.",
        ),
        Refusal::KeyNeeded => {
            ("refused-key-needed", "The part of the invite behind # was left out.")
        }
        Refusal::Full => {
            ("refused-full", "Four are in, or somebody who was cut off still has a place kept.")
        }
        Refusal::Version => ("refused-version", "The two programs are of different releases."),
        Refusal::Codecs => ("refused-codecs", "The two programs were built with different codecs."),
        Refusal::Clock => (
            "refused-clock",
            "Handshakes carry the date, so that an old one cannot be repeated; the two computers' \
             dates are more than half a day apart.",
        ),
        Refusal::Malformed => (
            "refused-malformed",
            "The first message made no sense there: another release, or another program at that port.",
        ),
        Refusal::OtherSession => (
            "refused-other-session",
            "The host ended the call that this member was in and began another.",
        ),
        Refusal::NotAdmitted => (
            "refused-not-admitted",
            "A guest without the key knocks; the person said no, or nobody answered for a minute.",
        ),
        Refusal::Busy => ("refused-busy", "As many guests as may are waiting at the door."),
        Refusal::Removed => ("refused-removed", "A person took this member out of the call."),
    }
}

fn recovery(e: &RecoveryError) -> (&'static str, &'static str) {
    match e {
        RecoveryError::Busy => (
            "recover-busy",
            "The recording is still running in another process, which holds a lock on it.",
        ),
        RecoveryError::Recover(RecoverError::Read(_)) | RecoveryError::Write(_) => (
            "recover-disk",
            "The file cannot be read or its end cannot be written: the disk, or rights there.",
        ),
        RecoveryError::Recover(RecoverError::Foreign) => {
            ("recover-foreign", "The file was not made by this program.")
        }
        RecoveryError::Recover(RecoverError::Empty) => (
            "recover-empty",
            "The power went, or the program was killed, within the first third of a second.",
        ),
        RecoveryError::Less => (
            "recover-less",
            "The index of the file is damaged in its middle. The program never makes a file worse, so \
             it works on a copy only.",
        ),
        RecoveryError::Exists(_) => {
            ("recover-exists", "The place that --to names is taken, and nothing is overwritten.")
        }
        RecoveryError::Io { .. } => (
            "recover-io",
            "The system refused a file: rights, a disk that is full, read-only or failing.",
        ),
    }
}

fn no() -> std::io::Error {
    std::io::Error::other("Permission denied")
}

fn starting() -> Vec<EngineError> {
    let what = What::Microphone;
    let (name, why) = ("USB microphone".to_owned(), "no such device".to_owned());
    let devices = [
        DeviceError::None { what: What::Camera },
        DeviceError::NotFound { what, wanted: "yeti".into(), near: vec!["alsa:hw:0".into()] },
        DeviceError::Ambiguous {
            what,
            wanted: "usb".into(),
            fits: vec!["USB one (alsa:hw:1)".into(), "USB two (alsa:hw:2)".into()],
        },
        DeviceError::Busy { what: What::Camera, name: "USB camera".into() },
        DeviceError::Refused { what, name: name.clone(), why: "Permission denied".into() },
        DeviceError::Format { what, name: name.clone(), why: "it offers H264".into() },
        DeviceError::File {
            path: "talk.mp3".into(),
            why: "it is no WAV file".into(),
            remedy: "try ffmpeg -i talk.mp3 talk.wav".into(),
        },
        DeviceError::Failed { what, name, why },
    ];
    let host = "example.invalid".to_owned();
    let mut list: Vec<EngineError> = devices.map(EngineError::Device).into();
    list.extend([
        EngineError::Output { path: "/mnt/show".into(), source: no() },
        EngineError::Listen { address: "0.0.0.0:7000".into(), source: no() },
        ResolveError::NotFound { host: host.clone(), why: "no such name".into() }.into(),
        ResolveError::TimedOut { host, seconds: 5 }.into(),
        EngineError::Codec {
            what: "the H.264 encoder",
            reason: "out of memory".into(),
            remedy: "close other programs",
        },
        EngineError::Thread { name: "hz-talk".into(), source: no() },
    ]);
    list
}

fn invites() -> Vec<MalformedInvite> {
    vec![
        MalformedInvite::NoAddress(":7000".into()),
        MalformedInvite::Port("70000".into()),
        MalformedInvite::Brackets("[2001:db8::1".into()),
        MalformedInvite::Address("my host".into()),
        MalformedKey::Length(20).into(),
        MalformedKey::Characters.into(),
    ]
}

fn recovering() -> Vec<RecoveryError> {
    vec![
        RecoveryError::Busy,
        RecoverError::Foreign.into(),
        RecoverError::Empty.into(),
        RecoveryError::Less,
        RecoveryError::Exists("copy.mp4".into()),
        RecoveryError::Io { doing: "opening it", source: no() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use strum::EnumCount;

    #[test]
    fn every_entry_has_its_own_name_and_says_what_why_and_what_to_do() {
        let mut codes = BTreeSet::new();
        for entry in list().into_iter().flat_map(|group| group.entries) {
            assert!(codes.insert(entry.code), "{} stands twice", entry.code);
            assert!(!entry.what.is_empty() && !entry.remedy.is_empty(), "{entry:?}");
            assert!(entry.cause.ends_with('.'), "{entry:?}");
        }
    }

    /// Distinct variants among examples.
    pub fn variants<T>(examples: &[T]) -> usize {
        let mut seen = Vec::new();
        for kind in examples.iter().map(std::mem::discriminant) {
            if !seen.contains(&kind) {
                seen.push(kind);
            }
        }
        seen.len()
    }

    #[test]
    fn no_error_is_left_out() {
        let all = starting();
        assert_eq!(variants(&all), EngineError::COUNT);
        let (mut devices, mut names) = (Vec::new(), Vec::new());
        for e in all {
            match e {
                EngineError::Device(e) => devices.push(e),
                EngineError::Resolve(e) => names.push(e),
                _ => {}
            }
        }
        assert_eq!(variants(&devices), DeviceError::COUNT);
        assert_eq!(variants(&names), ResolveError::COUNT);
        let (mut invites, mut keys) = (invites(), Vec::new());
        assert_eq!(variants(&invites), MalformedInvite::COUNT);
        for e in invites.drain(..) {
            if let MalformedInvite::Key(e) = e {
                keys.push(e);
            }
        }
        assert_eq!(variants(&keys), MalformedKey::COUNT);
        assert_eq!(variants(&Refusal::ALL), Refusal::COUNT);
        // One of the two that a disk is to blame for has no example of its own.
        assert_eq!(variants(&recovering()), RecoveryError::COUNT - 1);
    }
}
