//! A running call or recording, as the command line starts and watches it.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::engine::config::CallConfig;
use crate::ui::model::{Command, Finished, Snapshot, Stamped};

/// Why a call could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This build has no engine.
    #[error("the engine is not part of this build; try a release of the program")]
    Absent,
}

impl EngineError {
    /// The process's exit code for this error.
    pub fn exit_code(&self) -> u8 {
        1
    }
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The process's exit code.
    pub exit_code: u8,
    /// The file, where there is one.
    pub finished: Option<Finished>,
}

/// A running call or recording.
pub struct Call {
    events: Receiver<Stamped>,
    snapshot: Arc<Snapshot>,
}

impl Call {
    /// Opens the devices and the socket and starts the threads.
    pub fn start(_config: CallConfig) -> Result<Self, EngineError> {
        Err(EngineError::Absent)
    }

    /// What happens, in order.
    pub fn events(&self) -> &Receiver<Stamped> {
        &self.events
    }

    /// The newest picture of the call.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// Asks for something.
    pub fn command(&self, _command: Command) {}

    /// Ends without finalising.
    pub fn abort(&self) {}

    /// Waits for the end.
    pub fn join(self) -> Outcome {
        Outcome { exit_code: 0, finished: None }
    }
}
