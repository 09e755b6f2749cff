//! The screen before the call: whether it is shown, and what its answer makes of the configuration.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::args::OutputMode;
use super::error::{CliError, Problem};
use crate::engine::config::{CallConfig, GuestConfig, Role};
use crate::engine::exit;
use crate::engine::precall::Precall;
use crate::engine::window::Window;
use crate::ui::inputs::{self, Input};
use crate::ui::precall::{self, Asked, Decision, Setup};
use crate::ui::terminal::TakenTerminal;

/// What the screen hands over to the call.
pub struct Held {
    /// Given back when the call runs, so that nothing flashes between the two.
    pub terminal: Option<TakenTerminal>,
    /// Signals are watched from the screen on.
    pub inputs: (Sender<Input>, Receiver<Input>),
    /// Open where the person opened it: it goes on in the call.
    pub window: Arc<Window>,
}

/// What became of it.
pub enum Before {
    /// A call begins.
    Call(Box<CallConfig>, Held),
    /// None does.
    Over(ExitCode),
}

/// There is somebody to look and to press keys.
pub fn can_ask(mode: OutputMode) -> bool {
    mode == OutputMode::Dashboard && std::io::stdin().is_terminal()
}

/// Shows the screen. `address`: what is joined, as far as it is known.
pub fn ask(config: CallConfig, asked: Asked, address: String) -> Result<Before, CliError> {
    let (sender, receiver) = inputs::channel();
    inputs::watch_signals(sender.clone()).map_err(|e| Problem::Signals { why: e.to_string() })?;
    let checks = Precall::start(config.clone());
    let setup =
        Setup { name: config.name.clone(), asked, address, headphones: checks.headphones_asked() };
    let answer = precall::ask(&checks, setup, &receiver);
    let starts = matches!(&answer, Ok((Decision::Host | Decision::Join(_), _)));
    let (chosen, window) = checks.finish(!starts);
    if !starts {
        window.close();
    }
    let (decision, terminal) = answer.map_err(|e| Problem::Terminal { why: e.to_string() })?;
    let role = match decision {
        Decision::Leave => return Ok(Before::Over(ExitCode::SUCCESS)),
        Decision::Interrupt => return Ok(Before::Over(ExitCode::from(exit::ABORTED))),
        Decision::Host => config.role,
        Decision::Join(invite) => {
            let (listen, port_mapping) = match &config.role {
                Role::Guest(guest) => (guest.listen, guest.port_mapping),
                Role::Host(host) => (None, host.port_mapping),
                Role::Alone => (None, true),
            };
            Role::Guest(GuestConfig {
                address: invite.address,
                port: invite.port,
                key: invite.key.map(|key| key.0),
                listen,
                port_mapping,
            })
        }
    };
    let config = CallConfig {
        role,
        mic: chosen.mic,
        speaker: chosen.speaker,
        camera: chosen.camera,
        // What was measured last counts; it is what is kept for this camera.
        av_offset: config.av_offset.filter(|_| !chosen.measured),
        find_unfinished: false,
        ..config
    };
    Ok(Before::Call(Box::new(config), Held { terminal, inputs: (sender, receiver), window }))
}
