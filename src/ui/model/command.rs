//! What can be asked of a running call. The JSON form is a contract with scripts: extend it, never
//! break it.

use serde::Deserialize;

/// What a key, a line on standard input or the window asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Silence the own microphone, live and in the file.
    Mute,
    /// Take that back.
    Unmute,
    /// Send nothing of the own microphone; the file goes on (push-to-talk, between words).
    Hush,
    /// Send it again.
    Talk,
    /// Show the own camera again.
    CameraOn,
    /// Black in the file, nothing sent.
    CameraOff,
    /// Mark an instant for the edit.
    Marker {
        /// What it is.
        #[serde(default)]
        note: Option<String>,
        /// So long ago, milliseconds: a note takes its time.
        #[serde(default)]
        ago_ms: u32,
    },
    /// End the call as the end key does.
    End,
    /// Let in who knocks.
    Admit {
        /// From the `knock` event.
        id: u32,
    },
    /// Do not.
    Refuse {
        /// From the `knock` event.
        id: u32,
    },
    /// Remove a member from the call; it needs a new invite to come again.
    Remove {
        /// Participant id.
        id: u8,
    },
    /// Recover what earlier runs could not end, as far as it was found at the start.
    Recover,
    /// Leave that as it is.
    #[serde(skip)]
    LeaveUnfinished,
    /// How loud a member is heard here; nobody else hears a difference, and no file does.
    Volume {
        /// Participant id.
        id: u8,
        /// The factor.
        volume: Volume,
    },
    /// Do not hear a member here.
    MutePeer {
        /// Participant id.
        id: u8,
    },
    /// Hear it again, as loud as before.
    UnmutePeer {
        /// Participant id.
        id: u8,
    },
    /// Start the preview window, or close it.
    #[serde(skip)]
    ToggleWindow,
}

impl Command {
    /// What `do` may be, as the type has it.
    pub fn names() -> Vec<String> {
        // The one that nobody is named tells of all others: "unknown variant ``, expected one of ...".
        let told = serde_json::from_str::<Self>("{\"do\": \"\"}").map(|_| String::new());
        let told = told.unwrap_or_else(|e| e.to_string());
        told.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }
}

/// A factor of loudness from 0 (silent) to 4 (+12 dB), in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "f64")]
pub struct Volume(u16);

impl Volume {
    /// The factor.
    pub fn factor(self) -> f32 {
        f32::from(self.0) / 1_000.0
    }
}

/// A key makes this much louder or softer, dB: little, but heard.
const STEP_DB: f64 = 3.0;
/// As soft as keys go, dB; less is silence, which has a key of its own.
const SOFTEST_DB: f64 = -30.0;
const LOUDEST_DB: f64 = 12.0;

impl Volume {
    /// The next step louder or softer than a factor.
    pub fn step(from: f64, louder: bool) -> Self {
        let steps = (decibels(from) / STEP_DB).round() + if louder { 1.0 } else { -1.0 };
        let db = (steps * STEP_DB).clamp(SOFTEST_DB, LOUDEST_DB);
        Self((10f64.powf(db / 20.0) * 1_000.0).round().min(4_000.0) as u16)
    }
}

/// A factor of loudness, dB; silence as the softest step.
pub fn decibels(factor: f64) -> f64 {
    (20.0 * factor.max(1e-6).log10()).max(SOFTEST_DB)
}

impl TryFrom<f64> for Volume {
    type Error = String;

    fn try_from(factor: f64) -> Result<Self, String> {
        // Not a number is in no range.
        if (0.0..=4.0).contains(&factor) {
            return Ok(Self((factor * 1_000.0).round() as u16));
        }
        Err(format!("{factor} is no volume; use 0 to 4, 1 is as it was said"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_schema() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.schema.json");
        let text = std::fs::read_to_string(path).expect("it is there");
        let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let names: Vec<&str> = schema["oneOf"]
            .as_array()
            .expect("one of each")
            .iter()
            .map(|one| one["properties"]["do"]["const"].as_str().expect("a name"))
            .collect();
        assert_eq!(Command::names(), names);
    }

    #[test]
    fn a_marker_has_a_note_and_an_age_or_neither() {
        let read = |text: &str| serde_json::from_str::<Command>(text).ok();
        let marker = |note: Option<&str>, ago_ms| {
            Some(Command::Marker { note: note.map(str::to_owned), ago_ms })
        };
        assert_eq!(read(r#"{"do": "marker"}"#), marker(None, 0));
        let text = r#"{"do": "marker", "note": "cut here", "ago_ms": 2500}"#;
        assert_eq!(read(text), marker(Some("cut here"), 2_500));
        assert_eq!(read(r#"{"do": "marker", "ago_ms": -1}"#), None);
    }

    #[test]
    fn steps_of_loudness_are_3_db_and_end_somewhere() {
        let mut factor = 1.0;
        let mut db = Vec::new();
        for louder in [false, false, true, true, true] {
            factor = f64::from(Volume::step(factor, louder).factor());
            db.push(decibels(factor).round());
        }
        assert_eq!(db, [-3.0, -6.0, -3.0, 0.0, 3.0]);
        assert_eq!(Volume::step(4.0, true).factor(), 3.981);
        assert_eq!(Volume::step(0.03, false).factor(), 0.032);
        assert_eq!(decibels(1.0), 0.0);
    }
}
