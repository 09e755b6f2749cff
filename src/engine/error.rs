//! Why a call or a recording could not start, with the process's exit code.

use std::path::PathBuf;

use crate::devices::DeviceError;
use crate::net::resolve::ResolveError;

/// Why a call or a recording could not start or did not come about.
#[derive(Debug, thiserror::Error, strum::EnumCount)]
pub enum EngineError {
    /// A microphone, speaker or camera.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The output folder.
    #[error("cannot write to {}: {source}; try --output with a folder you can write to", path.display())]
    Output {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The UDP socket.
    #[error("cannot listen on UDP {address}: {source}; try another with --listen ADDRESS:PORT")]
    Listen {
        /// What was asked for.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The host's name.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A codec or an encoder that did not open.
    #[error("{what}: {reason}; {remedy}")]
    Codec {
        /// What was to be opened.
        what: &'static str,
        /// Why not.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The system refused a thread.
    #[error("cannot start thread {name}: {source}; try closing other programs")]
    Thread {
        /// Which.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl EngineError {
    /// The process's exit code (DESIGN section 10).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Device(_) => exit::DEVICE,
            Self::Resolve(_) => exit::NO_CALL,
            Self::Output { .. }
            | Self::Listen { .. }
            | Self::Codec { .. }
            | Self::Thread { .. } => exit::ERROR,
        }
    }
}

/// The exit codes that the command line documents.
pub mod exit {
    /// Ended, file finalised and checked.
    pub const OK: u8 = 0;
    /// An error with no code of its own.
    pub const ERROR: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Nobody answered, or we were refused.
    pub const NO_CALL: u8 = 3;
    /// A device could not be opened.
    pub const DEVICE: u8 = 4;
    /// The recording is not complete; the file that is there is valid.
    pub const INCOMPLETE: u8 = 5;
    /// A second Ctrl-C; the file is recoverable.
    pub const ABORTED: u8 = 130;
}
