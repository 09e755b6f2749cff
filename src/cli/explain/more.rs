//! What commands beside calls complain of, what `verify` finds, the window, and what stands outside of
//! the program: firewalls and privacy settings.

use super::{Entry, Group, no};
use crate::cli::error::Problem;
use crate::cli::settings::Stranger;
use crate::devices::{DeviceError, What};
use crate::engine::doctor::lipsync::ClapError;
use crate::engine::exit;
use crate::recording::clap::NoClaps;
use crate::recording::mp4::ReadError;
use crate::recording::render::RenderError;
use crate::recording::verify::CHECKS;
use crate::ui::window::WindowError;
use crate::ui::window::process::SpawnError;
use crate::ui::window::wire::WireError;

/// All of them.
pub fn groups() -> Vec<Group> {
    let of = |list: Vec<(String, u8, (&'static str, &'static str))>| {
        let entry =
            |(line, exit, (code, cause)): (String, u8, _)| Entry::of(code, exit, &line, cause);
        list.into_iter().map(entry).collect::<Vec<_>>()
    };
    let problems = problems().into_iter().map(|p| (p.to_string(), p.exit_code(), problem(&p)));
    let renders = renders().into_iter().map(|e| (e.to_string(), exit::ERROR, render(&e)));
    let claps = claps().into_iter().map(|e| (e.to_string(), exit::ERROR, clap(&e)));
    let windows = windows().into_iter().map(|e| (e.to_string(), exit::ERROR, window(&e)));
    let started = SpawnError::from(no());
    let started = (started.to_string(), exit::ERROR, ("window-spawn", SPAWN));
    vec![
        Group {
            title: "What commands complain of",
            entries: of(problems.collect()).into_iter().chain([stranger()]).collect(),
        },
        Group { title: "What verify finds", entries: CHECKS.map(finding).into() },
        Group { title: "When rendering a safety track", entries: of(renders.collect()) },
        Group { title: "When finding the camera's delay", entries: of(claps.collect()) },
        Group { title: "The preview window", entries: of(windows.chain([started]).collect()) },
        Group { title: "Outside of the program", entries: outside() },
    ]
}

fn problem(p: &Problem) -> (&'static str, &'static str) {
    match p {
        Problem::NoHome => (
            "no-home",
            "The variable HOME (USERPROFILE on Windows) is not set: a service, a container.",
        ),
        Problem::OutputEmpty => {
            ("output-empty", "A script's variable that should have held the folder was empty.")
        }
        Problem::NoAddress => (
            "no-address",
            "join was started without an address where nobody can be asked for one: with --json, \
             --yes or in a pipe.",
        ),
        Problem::NoInvite => {
            ("no-invite", "join - reads the invite from standard input, which was empty or closed.")
        }
        Problem::Log { .. } => (
            "log-unwritable",
            "The file of --log cannot be made or written: rights, or no such folder.",
        ),
        Problem::LogLevel => ("log-level", "The variable says how much --log writes, in one word."),
        Problem::Signals { .. } => (
            "signals",
            "The system refused to tell of Ctrl-C: too many open files. Without it a recording could \
             not be ended cleanly, so none is begun.",
        ),
        Problem::Terminal { .. } => (
            "terminal",
            "Standard output is a terminal that cannot be switched to single keys, or was closed \
             meanwhile.",
        ),
        Problem::Unreadable { .. } => {
            ("unreadable", "The path is not there, belongs to somebody else, or its disk fails.")
        }
        Problem::Unwritable { .. } => (
            "unwritable",
            "The file is there already, its folder belongs to somebody else, or its disk is full or \
             read-only.",
        ),
        Problem::NoRecording { .. } => {
            ("no-recording", "The folder holds no MP4 file, nor do those in it.")
        }
        Problem::OneFile { .. } => {
            ("one-file", "Several recordings were found, and --to is the name of one file.")
        }
        Problem::NoSuchCode { .. } => {
            ("no-such-code", "explain was asked for a name that it has not.")
        }
        Problem::Config { .. } => (
            "config-unreadable",
            "The configuration file is there and the system refuses it: rights, or a folder.",
        ),
        Problem::NoConfig => (
            "config-none",
            "HYPERZOOM_CONFIG is set and empty, which means that no file counts; --path and --init \
             are about the file.",
        ),
        Problem::ConfigSyntax { .. } => (
            "config-syntax",
            "The configuration file is TOML: NAME = VALUE in each line, text in quotes.",
        ),
        Problem::ConfigCommand { .. } => (
            "config-command",
            "A table of the configuration file is named as a command, and this one is none.",
        ),
        Problem::ConfigSetting { .. } => (
            "config-setting",
            "Settings have the names of the long flags, without the two dashes; json is for the \
             command line alone.",
        ),
        Problem::ConfigValue { .. } => (
            "config-value",
            "A value of the file or of a HYPERZOOM_* variable is not one that the flag takes.",
        ),
    }
}

fn problems() -> Vec<Problem> {
    let why = || no().to_string();
    let place = || "~/.config/hyperzoom/config.toml:3".to_owned();
    vec![
        Problem::NoHome,
        Problem::OutputEmpty,
        Problem::NoAddress,
        Problem::NoInvite,
        Problem::Log { path: "/var/log/show.log".into(), why: why() },
        Problem::LogLevel,
        Problem::Signals { why: why() },
        Problem::Terminal { why: why() },
        Problem::Unreadable { path: "take.mp4".into(), why: why() },
        Problem::Unwritable {
            path: "remote_audio_Ben.wav".into(),
            why: "it exists already".into(),
            remedy: "--force or another --to",
        },
        Problem::NoRecording { what_for: "recover", path: "~/Pictures".into() },
        Problem::OneFile { count: 3 },
        Problem::NoSuchCode { code: "disk".into() },
        Problem::Config { path: "~/.config/hyperzoom/config.toml".into(), why: why() },
        Problem::NoConfig,
        Problem::ConfigSyntax { place: place(), why: "not TOML: key with no value".into() },
        Problem::ConfigCommand {
            place: place(),
            name: "hots".into(),
            tables: "[host], [join], [record], [doctor]".into(),
        },
        Problem::ConfigSetting { place: place(), name: "mik".into(), near: "mic".into() },
        Problem::ConfigValue {
            place: "HYPERZOOM_AUDIO_BITRATE=12".into(),
            why: "not auto or a number of kbit/s from 24 to 96; try auto".into(),
        },
    ]
}

fn render(e: &RenderError) -> (&'static str, &'static str) {
    match e {
        RenderError::Read(_) => {
            ("render-unreadable", "The file is no MP4, was cut, or its disk fails.")
        }
        RenderError::Foreign => (
            "render-foreign",
            "Only what was heard of others is rendered; a recording has sound that plays anywhere.",
        ),
        RenderError::Empty => (
            "render-empty",
            "The member never spoke, or the session was interrupted before the first word was written.",
        ),
        RenderError::Codec(_) => {
            ("render-codec", "The Opus decoder did not open: too little memory.")
        }
        RenderError::Write(_) => ("render-disk", "The disk of the WAV file is full or fails."),
    }
}

fn renders() -> Vec<RenderError> {
    vec![
        RenderError::Read(ReadError::Io(no())),
        RenderError::Foreign,
        RenderError::Empty,
        RenderError::Codec(crate::audio::codec::CodecError::FrameLength(0)),
        RenderError::Write(no()),
    ]
}

fn clap(e: &ClapError) -> (&'static str, &'static str) {
    match e {
        ClapError::Device(_) => (
            "clap-device",
            "Camera or microphone did not open; the entries about devices say more.",
        ),
        ClapError::Claps(NoClaps::Unheard(_)) => {
            ("clap-unheard", "The microphone is muted, far away, or another one than was thought.")
        }
        ClapError::Claps(NoClaps::Unseen { .. }) => (
            "clap-unseen",
            "Hands that meet stop moving, which is looked for in the picture: they were outside of it, \
             too small in it, or something else moved.",
        ),
        ClapError::Claps(NoClaps::Apart(_)) => {
            ("clap-apart", "Claps gave different delays: an echo, or movement beside the hands.")
        }
        ClapError::TooLate(_) => (
            "clap-too-late",
            "A picture that comes more than a fifth of a second late is a camera behind a capture box \
             or a network.",
        ),
        ClapError::NotKept { .. } => {
            ("clap-not-kept", "The program's folder for such notes cannot be written.")
        }
    }
}

fn claps() -> Vec<ClapError> {
    vec![
        DeviceError::None { what: What::Camera }.into(),
        NoClaps::Unheard(2).into(),
        NoClaps::Unseen { heard: 5, seen: 1 }.into(),
        NoClaps::Apart(70).into(),
        ClapError::TooLate(350),
        ClapError::NotKept { why: no(), offset: -43 },
    ]
}

const SPAWN: &str = "The window is a process of its own, and the system refused one: a limit on \
                     processes, too little memory, or the program's file was replaced by an update.";

fn window(e: &WindowError) -> (&'static str, &'static str) {
    match e {
        WindowError::Display(_) => (
            "window-display",
            "There is no X11 or Wayland display here (ssh, a server), it refused the connection, a \
             library of it is missing (libX11, libXcursor; libwayland-client, libxkbcommon), or it \
             went away.",
        ),
        WindowError::Wire(WireError::Io(_)) => {
            ("window-pipe", "The call that the window belongs to was killed.")
        }
        WindowError::Wire(WireError::Format(_)) => {
            ("window-format", "hyperzoom window was started by hand; it is fed by a call.")
        }
        WindowError::Thread(_) => ("window-thread", "The system gave no thread."),
    }
}

fn windows() -> Vec<WindowError> {
    vec![
        WindowError::Display("XOpenDisplay failed".into()),
        WindowError::Wire(WireError::Io(no())),
        WindowError::Wire(WireError::Format("no message begins like this")),
        WindowError::Thread(no()),
    ]
}

/// A warning of each command that takes settings.
fn stranger() -> Entry {
    let example = Stranger { name: "HYPERZOOM_NAEM".into(), near: "HYPERZOOM_NAME".into() };
    let cause =
        "The variable begins as the program's own do and is none of them: a slip of the keyboard.";
    let entry = Entry::of("variable-unknown", exit::OK, &example.to_string(), cause);
    Entry { kind: "warning".to_owned(), ..entry }
}

/// A check of `verify` that fails.
fn finding(check: &'static str) -> Entry {
    const KEEP: &str = "keep the file as it is and report this; its media plays";
    const COPY: &str = "take the file from the disk that it was recorded to once more, or a backup";
    const RECOVER: &str = "hyperzoom recover";
    let (code, what, remedy, cause) = match check {
        "boxes" => (
            "verify-boxes",
            "it was not ended",
            RECOVER,
            "The program was killed, the power went, or the file was cut while it was copied: a whole \
             one is ftyp, mdat, moov and nothing else.",
        ),
        "index" => (
            "verify-index",
            "12 samples lie outside of mdat",
            COPY,
            "The index names places that the file does not have: it was cut, or changed by another \
             program.",
        ),
        "rate" => (
            "verify-rate",
            "3 pictures do not last 1/30 s",
            KEEP,
            "Every picture of a recording lasts exactly 1/30 s. Another program wrote this file anew, \
             or this one has a fault.",
        ),
        "gaps" => (
            "verify-gaps",
            "2 gaps between samples",
            KEEP,
            "Each sample begins where the one before it ends; in a safety track the metadata tells of \
             each gap. Another program wrote the file anew, or this one has a fault.",
        ),
        "lengths" => (
            "verify-lengths",
            "picture and sound end 4800 samples apart",
            RECOVER,
            "Picture and sound end within a packet of each other, unless the recording was interrupted \
             or cut.",
        ),
        "edits" => (
            "verify-edits",
            "track 2 begins at media time 9000",
            KEEP,
            "The edit list hides the encoder's delay and nothing else. Another program wrote the file \
             anew.",
        ),
        "timecode" => (
            "verify-timecode",
            "it begins at 00:00:04:00, the metadata says 00:00:00:00",
            "take session_metadata.json and the file from the same session's folder",
            "File and metadata are of different sessions, or an editor's program dropped the timecode.",
        ),
        "pictures" => (
            "verify-pictures",
            "1 pictures whose NAL units do not add up",
            COPY,
            "Bytes of pictures or packets were changed on the disk or while the file was copied.",
        ),
        "packets" => (
            "verify-packets",
            "2 packets overlap the one behind them",
            COPY,
            "Packets of a safety track last as long as Opus says in them. The file was changed.",
        ),
        "metadata" => (
            "verify-metadata",
            "pictures: the metadata says 900, the file 899",
            COPY,
            "The counts that were written at the end are not those of the file: it was cut or changed, \
             is of another session, or pictures were lost, which the session's log tells of.",
        ),
        "tones" => (
            "verify-tones",
            "there is no tone at sample 96000",
            "line the files up by timecode instead, and report this",
            "The sync tones are in the sound where the metadata says, to a fraction of a sample. The \
             sound was changed, or is another session's.",
        ),
        "hash" => (
            "verify-hash",
            "pictures or sound are not the bytes that were written",
            COPY,
            "Something between the recorder and this file changed the media: a disk, a copy, an editor.",
        ),
        _ => unreachable!("the list of checks is matched"),
    };
    let kind = format!("exit code {}", exit::ERROR);
    Entry { code, kind, what: what.to_owned(), remedy: remedy.to_owned(), cause }
}

/// What no error names, because the system says nothing.
fn outside() -> Vec<Entry> {
    let entry = |code, what: &str, remedy: &str, cause| Entry {
        code,
        kind: "outside".to_owned(),
        what: what.to_owned(),
        remedy: remedy.to_owned(),
        cause,
    };
    vec![
        entry(
            "firewall",
            "guests get no answer although the router lets them in, or a member is silent in one \
             direction",
            "Linux: sudo ufw allow 7000/udp, or sudo firewall-cmd --add-port=7000/udp (--permanent to \
             keep it). macOS: System Settings, Network, Firewall, Options: allow incoming connections \
             for hyperzoom or the terminal. Windows, as administrator: netsh advfirewall firewall add \
             rule name=HyperZoom dir=in action=allow protocol=UDP program=C:\\PATH\\TO\\hyperzoom.exe; \
             the network must be a private one. Company networks: ask for outgoing UDP",
            "A firewall on this computer or of the network drops UDP without a word. Guests need it \
             open outwards alone, a host also inwards, to its port (7000 without --listen).",
        ),
        entry(
            "microphone-privacy",
            "the microphone opens and gives nothing but silence",
            "macOS: System Settings, Privacy & Security, Microphone: switch the terminal on, and start \
             it again. Windows: Settings, Privacy & security, Microphone: Microphone access and Let \
             desktop apps access your microphone. Linux: the sandbox's permissions (Flatpak, Snap), and \
             the mute switch of pavucontrol or of the microphone itself",
            "macOS and Windows give programs without permission silence instead of an error; what is \
             asked for permission is the terminal that hyperzoom runs in.",
        ),
        entry(
            "camera-privacy",
            "the camera opens and its picture is black, or it is refused",
            "macOS: System Settings, Privacy & Security, Camera: switch the terminal on, and start it \
             again. Windows: Settings, Privacy & security, Camera: Camera access and Let desktop apps \
             access your camera. Linux: sudo usermod -aG video $USER, and log in again. Any: the \
             camera's own shutter",
            "The system asks its user first, once for each terminal. Laptops also have a key or a \
             slider that switches the camera off.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::variants;
    use super::*;
    use strum::EnumCount as _;

    #[test]
    fn nothing_that_commands_say_is_left_out() {
        assert_eq!(variants(&problems()), Problem::COUNT);
        assert_eq!(variants(&renders()), RenderError::COUNT);
        assert_eq!(variants(&windows()), WindowError::COUNT);
        let (mut wires, mut counts) = (Vec::new(), Vec::new());
        for e in windows() {
            if let WindowError::Wire(e) = e {
                wires.push(e);
            }
        }
        assert_eq!(variants(&wires), WireError::COUNT);
        assert_eq!(variants(&claps()), ClapError::COUNT);
        for e in claps() {
            if let ClapError::Claps(e) = e {
                counts.push(e);
            }
        }
        assert_eq!(variants(&counts), NoClaps::COUNT);
    }

    #[test]
    fn every_check_of_verify_is_explained_under_its_name() {
        for check in CHECKS {
            assert_eq!(finding(check).code, format!("verify-{check}"));
        }
    }

    #[test]
    fn what_stands_outside_has_a_remedy_for_each_system() {
        for entry in outside() {
            for system in ["Linux: ", "macOS: ", "Windows"] {
                assert!(entry.remedy.contains(system), "{}: {system}", entry.code);
            }
        }
    }
}
