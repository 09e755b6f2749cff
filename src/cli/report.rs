//! What the commands beside calls print with `--json`, one object a line, as types: `docs/reports.schema.json`
//! is made of them. A contract with scripts: extend it, never break it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::devices::list::DeviceList;
use crate::engine::doctor::Finding;

/// A line of any of them.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Report {
    /// One that says what it tells of.
    Told(Told),
    /// `devices`
    Devices(DeviceList),
    /// `doctor`
    Doctor(Examined),
    /// `config`
    Config(Configured),
    /// `explain`
    Explain(Entry),
}

impl Report {
    /// As a line, with its end.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("text, numbers and lists are JSON") + "\n"
    }
}

/// The ones with an `event`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Told {
    /// `verify`, for each recording.
    Verified(Verified),
    /// `recover`, for each recording.
    Recovered(Recovered),
    /// `render`
    Rendered(Rendered),
    /// `doctor --clap`
    Clap(Clap),
}

/// All that `doctor` found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Examined {
    /// There is no problem.
    pub ok: bool,
    /// How many.
    pub problems: usize,
    /// How many.
    pub warnings: usize,
    /// One for each thing that was looked at.
    pub findings: Vec<Finding>,
}

/// How late the camera's picture is.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Clap {
    /// Its name.
    pub camera: String,
    /// How many were seen and heard.
    pub claps: usize,
    /// The picture behind the sound, milliseconds; negative before it.
    pub late_ms: f64,
    /// Half of the claps are within this of it, milliseconds.
    pub spread_ms: f64,
    /// Recordings with this camera are corrected by it from now on.
    pub kept: bool,
}

/// One recording that was checked.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verified {
    /// The file.
    pub path: String,
    /// Nothing fails.
    pub ok: bool,
    /// Why it could not be read; then nothing else is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was read.
    #[serde(flatten)]
    pub found: Option<Found>,
}

/// What is in a recording, and what was checked.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Found {
    /// In order.
    pub checks: Vec<Check>,
    /// Length.
    pub seconds: f64,
    /// Size of the file.
    pub bytes: u64,
    /// Pictures.
    pub frames: u64,
    /// Samples of sound.
    pub samples: u64,
    /// Of the first frame.
    pub timecode: Option<String>,
    /// BLAKE2s-256 of the media, in hexadecimal.
    pub media_blake2s: String,
}

/// One thing that was checked.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// What, in a word.
    pub name: &'static str,
    /// How it came out.
    pub state: CheckState,
    /// The figures, or what is wrong.
    pub detail: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It holds.
    Ok,
    /// It does not.
    Failed,
    /// It could not be made.
    Skipped,
}

/// One recording that was to be recovered.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Recovered {
    /// The file.
    pub path: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: RecoveryOutcome,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// It was not recovered.
    Failed {
        /// Why.
        error: String,
    },
    /// It was whole before.
    Whole {
        /// Length.
        seconds: f64,
        /// Size.
        bytes: u64,
        /// Pictures.
        frames: u64,
        /// Samples of sound.
        samples: u64,
    },
    /// It is whole now.
    Recovered {
        /// The whole file.
        to: String,
        /// Length.
        seconds: f64,
        /// Size.
        bytes: u64,
        /// Pictures.
        frames: u64,
        /// Packets of sound.
        packets: u64,
        /// Samples of sound.
        samples: u64,
        /// The journal was there and helped.
        journal: bool,
        /// Pictures of the last moments.
        frames_by_journal: u64,
        /// Packets of the last moments.
        packets_by_journal: u64,
        /// Samples (pictures or packets) whose bytes never reached the disk.
        lost: u64,
        /// Samples whose bytes are not what was written.
        damaged: u64,
        /// Why the session's metadata is as it was.
        metadata_error: Option<String>,
    },
}

/// A safety track as WAV.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rendered {
    /// The track.
    pub path: String,
    /// The WAV file.
    pub to: String,
    /// Samples in it, at 48 kHz.
    pub samples: u64,
    /// Its length.
    pub seconds: f64,
    /// Packets that were decoded.
    pub packets: u64,
    /// Packets that could not be.
    pub damaged: u64,
    /// What the decoder made up, milliseconds.
    pub concealed_ms: f64,
    /// Silence where nothing came, milliseconds.
    pub silence_ms: f64,
}

/// What is set for a command.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Configured {
    /// The configuration file; null for none.
    pub path: Option<PathBuf>,
    /// It is there.
    pub exists: bool,
    /// The command.
    pub command: String,
    /// Each setting.
    pub values: Vec<Value>,
}

/// One setting.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Value {
    /// The long flag's name.
    pub key: String,
    /// As it would be typed; null for not set.
    pub value: Option<String>,
    /// Where it comes from.
    pub from: From,
    /// The variable's name or the line of the file.
    pub at: Option<At>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The program.
    Default,
    /// A HYPERZOOM_* variable.
    Environment,
    /// The configuration file.
    File,
}

/// Where exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum At {
    /// That variable.
    Variable(String),
    /// That line, counted from 1.
    Line(usize),
}

/// A warning or an error that is explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// Its name.
    pub code: &'static str,
    /// `warning`, `error`, or the exit code that it ends the program with.
    pub kind: String,
    /// What it says, with an example's names in it.
    pub what: String,
    /// What to do.
    #[serde(rename = "try")]
    pub remedy: String,
    /// Why it comes about.
    pub cause: &'static str,
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::ui::model::schema_tests::{committed, schema};
    use schemars::generate::Contract;

    #[test]
    fn the_schema_of_reports_is_current() {
        let title = "A line of hyperzoom devices, doctor, verify, recover, render, config or explain --json";
        let schema = schema::<Report>("reports", title, Contract::Serialize);
        committed("reports.schema.json", &schema);
    }
}
