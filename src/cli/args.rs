//! The flags that `host`, `join` and `record` share, and how they become a [`CallConfig`].

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::before::can_ask;
use super::error::{CliError, Problem};
use crate::audio::codec::FrameLength;
use crate::devices::SoundPath;
use crate::devices::spec::{CameraSpec, MicSpec, SpeakerSpec};
use crate::engine::config::{CallConfig, LiveAudio, MOST_AV_OFFSET, Period, Role};
use crate::platform::folders::{self, has_display};
use crate::recording::sound::SoundFormat;

/// Longest display and session name, in characters: it has to fit a dashboard column, a file name
/// and one packet together with everything else in the handshake.
const LONGEST_NAME: usize = 48;

/// Not a documentation comment, because rustdoc takes `[@FPS]` for a link.
const CAMERA_HELP: &str = "Camera: id or a unique part of its name, test, \
                           test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)";

/// What every kind of call and recording takes.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Your name as the others see it (default: your user name)
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,

    /// Name of the session; becomes part of the recording's folder name
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub session: Option<String>,

    /// Folder for recordings (default: HyperZoom/recordings in your home folder)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: Option<PathBuf>,

    /// Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH
    #[arg(long, value_name = "DEVICE", default_value = "default", hide_default_value = true)]
    #[arg(help_heading = "Devices")]
    pub mic: MicSpec,

    /// Camera.
    #[arg(help = CAMERA_HELP)]
    #[arg(long, value_name = "DEVICE", default_value = "default", hide_default_value = true)]
    #[arg(help_heading = "Devices")]
    pub camera: CameraSpec,

    /// Speaker: id or a unique part of its name, off, file:PATH (writes WAV)
    #[arg(long, value_name = "DEVICE", default_value = "default", hide_default_value = true)]
    #[arg(help_heading = "Devices")]
    pub speaker: SpeakerSpec,

    /// Size of the sound devices' period: auto (the smallest that works) or frames at 48 kHz
    #[arg(long, value_name = "FRAMES", default_value = "auto", value_parser = parse_period)]
    #[arg(help_heading = "Devices")]
    pub period: Period,

    /// Way to the sound devices: auto, direct (Linux: read and written without a shell between, least
    /// delay), system (in whole periods, as other programs do)
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = parse_sound)]
    #[arg(help_heading = "Devices")]
    pub sound: SoundPath,

    /// Start files that serve as inputs over at their end
    #[arg(long, help_heading = "Devices")]
    pub loop_files: bool,

    /// Length of the live audio's frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice
    /// the headers
    #[arg(long, value_name = "MS", default_value = "5", value_parser = parse_frame)]
    #[arg(help_heading = "Live")]
    pub frame: FrameLength,

    /// Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where
    /// the network has room
    #[arg(long, value_name = "KBPS", default_value = "auto", value_parser = parse_audio_bitrate)]
    #[arg(help_heading = "Live")]
    pub audio_bitrate: AudioBitrate,

    /// Bitrate of the live picture in kbit/s, 80 to 4000
    #[arg(long, value_name = "KBPS", default_value_t = 400)]
    #[arg(value_parser = clap::value_parser!(u32).range(80..=4000), help_heading = "Live")]
    pub video_bitrate: u32,

    /// Start with the microphone muted
    #[arg(long, help_heading = "Live")]
    pub mute: bool,

    /// Start with the camera off
    #[arg(long, help_heading = "Live")]
    pub camera_off: bool,

    /// End by itself this long after the recording's start: 10s, 5m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Recording")]
    pub duration: Option<Duration>,

    /// Keep in the file what you say while muted (the others never hear it)
    #[arg(long, help_heading = "Recording")]
    pub record_while_muted: bool,

    /// Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)
    #[arg(long, value_name = "FORMAT", default_value = "aac", help_heading = "Recording")]
    pub audio_format: SoundFormat,

    /// Also keep the sound card's own samples, not resampled, as FLAC with a list of their times
    #[arg(long, help_heading = "Recording")]
    pub raw_audio: bool,

    /// Move the recorded picture this many milliseconds later (negative: earlier) against the
    /// sound; kept for this camera, 0 forgets it
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    #[arg(value_parser = parse_av_offset, help_heading = "Recording")]
    pub av_offset: Option<i64>,

    /// No sync tones in the recording (where they stand also while you are muted) and the headphones
    #[arg(long, help_heading = "Recording")]
    pub no_tone: bool,

    /// Encoder of the recording: auto (the best one here) or its name
    #[arg(long, value_name = "NAME", default_value = "auto", help_heading = "Recording")]
    pub encoder: String,

    /// Show the preview window (default: where there is a display and standard output is a terminal)
    #[arg(long, overrides_with = "no_window", help_heading = "Output")]
    pub window: bool,

    /// Do not show the preview window
    #[arg(long, overrides_with = "window", help_heading = "Output")]
    pub no_window: bool,

    /// Plain lines instead of the dashboard (default where standard output is no terminal)
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub no_tui: bool,

    /// One JSON object a line on standard output; commands, one JSON object a line, on standard input
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Begin and end without a key: no screen before and after, and the file is not read again
    #[arg(long, help_heading = "Output")]
    pub yes: bool,

    /// Also write what happens to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub log: Option<PathBuf>,
}

/// What calls alone take.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// Do not keep what is received of the others' sound beside the recording
    #[arg(long, help_heading = "Recording")]
    pub no_safety_tracks: bool,
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// The full-screen dashboard.
    Dashboard,
    /// A line an event.
    Plain,
    /// A JSON object an event.
    Json,
}

impl CommonArgs {
    /// Which output these flags and this standard output ask for.
    pub fn output_mode(&self) -> OutputMode {
        if self.json {
            OutputMode::Json
        } else if self.no_tui || !std::io::stdout().is_terminal() {
            OutputMode::Plain
        } else {
            OutputMode::Dashboard
        }
    }

    /// Whether the screen before the call is shown.
    pub fn asks(&self, mode: OutputMode) -> bool {
        !self.yes && can_ask(mode)
    }

    /// The validated configuration.
    pub fn into_config(self, role: Role) -> Result<CallConfig, CliError> {
        let window =
            self.window || (!self.no_window && has_display() && std::io::stdout().is_terminal());
        let output = match self.output {
            Some(dir) if dir.as_os_str().is_empty() => {
                return Err(Problem::OutputEmpty.into());
            }
            Some(dir) => dir,
            None => default_output().ok_or(Problem::NoHome)?,
        };
        Ok(CallConfig {
            role,
            name: self.name.unwrap_or_else(default_name),
            session: self.session,
            output,
            mic: self.mic,
            camera: self.camera,
            speaker: self.speaker,
            period: self.period,
            sound: self.sound,
            audio: LiveAudio { frame: self.frame, kbps: self.audio_bitrate.0 },
            video_kbps: self.video_bitrate,
            loop_files: self.loop_files,
            duration: self.duration,
            encoder: (self.encoder != "auto").then_some(self.encoder),
            mute: self.mute,
            camera_off: self.camera_off,
            record_while_muted: self.record_while_muted,
            audio_format: self.audio_format,
            raw_audio: self.raw_audio,
            av_offset: self.av_offset,
            tone: !self.no_tone,
            safety_tracks: true,
            window,
            find_unfinished: true,
        })
    }
}

/// `~/HyperZoom/recordings`, on Windows below `%USERPROFILE%` (PRD section 7).
pub(super) fn default_output() -> Option<PathBuf> {
    folders::home().map(|home| home.join("HyperZoom").join("recordings"))
}

/// The user's name, made fit; never empty.
fn default_name() -> String {
    ["USER", "USERNAME", "LOGNAME"]
        .iter()
        .filter_map(|key| std::env::var(key).ok())
        .map(|name| clean_name(&name))
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "Somebody".to_owned())
}

fn clean_name(name: &str) -> String {
    let printable: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    printable.trim().to_owned()
}

fn parse_name(s: &str) -> Result<String, String> {
    let name = s.trim();
    if name.is_empty() {
        return Err("a name needs at least one character; try a first name".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err("a name cannot hold control characters; try letters".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(format!("longer than {LONGEST_NAME} characters; try a shorter name"));
    }
    Ok(name.to_owned())
}

/// Shortest and longest period that a sound device is asked for: 0.33 and 85 ms.
const PERIODS: std::ops::RangeInclusive<u32> = 16..=4096;

fn parse_period(s: &str) -> Result<Period, String> {
    if s == "auto" {
        return Ok(Period::Auto);
    }
    match s.parse::<u32>() {
        Ok(n) if PERIODS.contains(&n) => Ok(Period::Frames(n)),
        _ => Err(format!(
            "not auto or a number of frames from {} to {}; try 240",
            PERIODS.start(),
            PERIODS.end()
        )),
    }
}

/// Most that the picture is moved, milliseconds.
const MOST_AV_OFFSET_MS: f64 = MOST_AV_OFFSET as f64 / 1e3;

/// Milliseconds, to the microsecond.
fn parse_av_offset(s: &str) -> Result<i64, String> {
    match s.parse::<f64>() {
        Ok(ms) if ms.abs() <= MOST_AV_OFFSET_MS => Ok((ms * 1e3).round() as i64),
        _ => Err(format!(
            "not milliseconds from -{MOST_AV_OFFSET_MS} to {MOST_AV_OFFSET_MS}; try -40"
        )),
    }
}

fn parse_sound(s: &str) -> Result<SoundPath, String> {
    match s {
        "auto" => Ok(SoundPath::Auto),
        "direct" if cfg!(target_os = "linux") => Ok(SoundPath::Direct),
        "direct" => Err("only Linux has that; try auto".to_owned()),
        "system" => Ok(SoundPath::System),
        _ => Err("not auto, direct or system; try auto".to_owned()),
    }
}

fn parse_frame(s: &str) -> Result<FrameLength, String> {
    match s {
        "5" => Ok(FrameLength::Full),
        "2.5" => Ok(FrameLength::Half),
        _ => Err("not a frame length; try 5 or 2.5".to_owned()),
    }
}

/// A live audio bitrate in kbit/s; `None` is auto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioBitrate(pub Option<u32>);

/// Bitrates of the live audio, kbit/s.
const AUDIO_BITRATES: std::ops::RangeInclusive<u32> = 24..=96;

fn parse_audio_bitrate(s: &str) -> Result<AudioBitrate, String> {
    if s == "auto" {
        return Ok(AudioBitrate(None));
    }
    match s.parse::<u32>() {
        Ok(kbps) if AUDIO_BITRATES.contains(&kbps) => Ok(AudioBitrate(Some(kbps))),
        _ => Err("not auto or a number of kbit/s from 24 to 96; try auto".to_owned()),
    }
}

/// Longest `--duration`: what the session's 32-bit millisecond stamp can count (PRD 5.4).
const LONGEST_SECONDS: f64 = 49.0 * 86_400.0;

/// `10s`, `5m`, `1h30m`, `2.5s`; a plain number means seconds.
pub fn parse_duration(s: &str) -> Result<Duration, String> {
    let wrong = || "not a length of time; try 10s, 5m or 1h30m".to_owned();
    let mut seconds = 0.0;
    let mut rest = s.trim();
    // Units must come in falling order, so that 5m1h is noticed as a slip.
    let mut last_unit = f64::INFINITY;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let letters = rest[digits..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .map_or(rest.len(), |n| digits + n);
        let unit = match &rest[digits..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "" if letters == rest.len() => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            _ => return Err(wrong()),
        };
        if unit >= last_unit {
            return Err(wrong());
        }
        last_unit = unit;
        seconds += number * unit;
        rest = &rest[letters..];
    }
    if last_unit.is_infinite() {
        return Err(wrong());
    }
    if seconds <= 0.0 || seconds > LONGEST_SECONDS {
        return Err("not between 1ms and 49 days; try 10s, 5m or 1h30m".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units_in_falling_order() {
        for (text, millis) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1h2m3s", 3_723_000),
            ("2.5s", 2_500),
            ("250ms", 250),
            ("15", 15_000),
            ("1m30", 90_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in
            ["", "s", "soon", "-5s", "5x", "1..5s", "5m1h", "1s1s", "0s", "9999999h", "1e3", "５s"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_period_is_auto_or_a_possible_number_of_frames() {
        assert_eq!(parse_period("auto"), Ok(Period::Auto));
        assert_eq!(parse_period("240"), Ok(Period::Frames(240)));
        for wrong in ["0", "15", "100000", "small", ""] {
            assert!(parse_period(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_offset_is_milliseconds_of_either_sign() {
        assert_eq!(parse_av_offset("-40"), Ok(-40_000));
        assert_eq!(parse_av_offset("12.5"), Ok(12_500));
        for wrong in ["", "soon", "201", "-1e9", "nan", "inf"] {
            assert!(parse_av_offset(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_trimmed_and_never_carry_control_characters() {
        assert_eq!(parse_name(" Ana "), Ok("Ana".to_owned()));
        assert!(parse_name("\u{1b}[2J").is_err());
        assert!(parse_name("  ").is_err());
        assert!(parse_name(&"x".repeat(49)).is_err());
        assert_eq!(clean_name("a\tb\u{7}"), "ab");
    }
}
