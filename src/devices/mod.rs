//! Devices, shell: microphone, speaker and camera; each real, synthetic, from or to a file, or off.
//!
//! Every open device has a helper thread of its own that owns it, notices its loss, takes it back
//! when it returns and tells so through [`DeviceEvents`]. Samples and pictures go straight from the
//! system's callback (or the thread that plays its part) into the sink that was passed in.

use std::path::PathBuf;
use std::sync::Arc;

pub mod camera;
pub mod list;
pub mod matching;
pub mod microphone;
pub mod pace;
mod sound;
pub mod speaker;
pub mod spec;
mod supervise;
mod video;
mod wav;

pub use camera::{Camera, CameraInfo, CameraOptions, CameraSink, TestPicture, open_camera};
pub use list::{CameraDevice, DeviceList, SoundDevice, list};
pub use microphone::{MicOptions, MicSink, Microphone, TestSound, open_microphone};
pub use sound::{SoundInfo, SoundPath};
pub use speaker::{Speaker, SpeakerOptions, SpeakerSource, open_speaker};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The microphone.
    Microphone,
    /// The speaker.
    Speaker,
    /// The camera.
    Camera,
}

impl What {
    /// The flag that chooses it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Microphone => "--mic",
            Self::Speaker => "--speaker",
            Self::Camera => "--camera",
        }
    }

    // What always works, for the "try" part of a message.
    fn substitute(self) -> &'static str {
        match self {
            Self::Microphone => "--mic test",
            Self::Speaker => "--speaker off",
            Self::Camera => "--camera test",
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
            Self::Camera => "camera",
        })
    }
}

/// Why a device could not be opened (exit code 4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
pub enum DeviceError {
    /// The machine has none, or none that answers.
    #[error("this machine has no {what}; connect one, or try {}", what.substitute())]
    None {
        /// Which kind.
        what: What,
    },
    /// No id and no name fits.
    #[error("no {what} '{wanted}'; {}", near_text(*what, near))]
    NotFound {
        /// Which kind.
        what: What,
        /// As typed.
        wanted: String,
        /// Ids of what there is, the likeliest first.
        near: Vec<String>,
    },
    /// Several names fit.
    #[error(
        "'{wanted}' fits several {what}s: {}; give more of the name, or the id",
        list_text(fits)
    )]
    Ambiguous {
        /// Which kind.
        what: What,
        /// As typed.
        wanted: String,
        /// What fits, each `NAME (ID)`.
        fits: Vec<String>,
    },
    /// Another program has it.
    #[error("the {what} '{name}' is in use; close the program that has it, or try another {}", what.flag())]
    Busy {
        /// Which kind.
        what: What,
        /// Its name.
        name: String,
    },
    /// The system says no.
    #[error("the system refuses the {what} '{name}' ({why}); {}", refused_text(*what))]
    Refused {
        /// Which kind.
        what: What,
        /// Its name.
        name: String,
        /// The system's words.
        why: String,
    },
    /// It offers nothing that can be used.
    #[error("the {what} '{name}' has no usable format ({why}); try another {}", what.flag())]
    Format {
        /// Which kind.
        what: What,
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A file that should play or take a device's part.
    #[error("{}: {why}; {remedy}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// Anything else.
    #[error("the {what} '{name}' could not be opened ({why}); reconnect it, or try another {}", what.flag())]
    Failed {
        /// Which kind.
        what: What,
        /// Its name.
        name: String,
        /// The system's words.
        why: String,
    },
}

/// The system's words without Rust's "(os error 2)".
fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn near_text(what: What, near: &[String]) -> String {
    if near.is_empty() {
        format!("this machine has none; try {}", what.substitute())
    } else {
        format!("there are: {}; see `hyperzoom devices`", list_text(near))
    }
}

fn list_text(names: &[String]) -> String {
    // More would not be read.
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

fn refused_text(what: What) -> &'static str {
    if cfg!(target_os = "macos") {
        "allow this terminal in System Settings, Privacy & Security"
    } else if cfg!(windows) {
        "allow desktop apps in Settings, Privacy & security"
    } else if what == What::Camera {
        "add your user to the group video and log in again"
    } else {
        "add your user to the group audio and log in again"
    }
}

/// What happens to an open device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// The sound system lost samples (or had none to play) since the last such event.
    Xrun {
        /// Which.
        what: What,
        /// How often, since it was opened.
        total: u64,
    },
    /// It had too little in hand too often and keeps more now: so much more delay, so much less
    /// danger.
    Reserve {
        /// Which.
        what: What,
        /// What is kept, microseconds.
        micros: i64,
    },
    /// The period was too small for this machine, and a larger one has taken its place.
    Stepped {
        /// Which.
        what: What,
        /// The new period.
        frames: u32,
        /// At this rate, hertz.
        rate: u32,
    },
    /// It could not be used without a shell between, and the usual way has taken its place.
    Fallback {
        /// Which.
        what: What,
        /// Its period.
        frames: u32,
        /// At this rate, hertz.
        rate: u32,
    },
    /// It is gone; silence is delivered (or the last picture stays) until it returns.
    Lost {
        /// Which.
        what: What,
        /// The system's words.
        message: String,
    },
    /// It is back.
    Returned {
        /// Which.
        what: What,
    },
    /// The file that plays its part is over; silence follows (or the last picture stays).
    FileEnded {
        /// Which.
        what: What,
    },
    /// The file that plays its part cannot be read or written any further.
    FileFailed {
        /// Which.
        what: What,
        /// The system's words.
        message: String,
    },
}

/// Called on a device's helper thread or a file's, never on the real-time one.
pub type DeviceEvents = Arc<dyn Fn(DeviceEvent) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    // Gives `assert_no_alloc` its teeth in all unit tests; elsewhere it only passes calls on.
    #[global_allocator]
    static GUARD: assert_no_alloc::AllocDisabler = assert_no_alloc::AllocDisabler;

    #[test]
    fn every_error_is_one_line_that_says_what_to_try() {
        let what = What::Microphone;
        let name = "Lab".to_owned();
        let why = "why".to_owned();
        let errors = [
            DeviceError::None { what },
            DeviceError::NotFound { what, wanted: "x".into(), near: vec![] },
            DeviceError::NotFound { what, wanted: "x".into(), near: vec!["alsa:hw:0".into()] },
            DeviceError::Ambiguous { what, wanted: "x".into(), fits: vec!["a".into(), "b".into()] },
            DeviceError::Busy { what, name: name.clone() },
            DeviceError::Refused { what, name: name.clone(), why: why.clone() },
            DeviceError::Format { what, name: name.clone(), why: why.clone() },
            DeviceError::File { path: "a".into(), why: why.clone(), remedy: "try b".into() },
            DeviceError::Failed { what, name, why },
        ];
        for e in errors {
            let text = e.to_string();
            assert!(!text.contains('\n') && text.contains("; "), "{text}");
        }
    }
}
