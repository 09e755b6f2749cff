//! `--json`: one object a line on standard output, commands on standard input.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::inputs::{EndControl, Input, NO_SUSPENDING, Signal, Step};
use super::model::{Command, Event, Stamped};
use super::notice::Notice;
use super::output::LineOutput;
use super::{EndReason, Next, Session, Watched};

/// How long an input may wait for its turn.
const TURN: Duration = Duration::from_millis(20);

/// One event as its line, without the newline.
pub fn line(stamped: &Stamped) -> String {
    // Numbers that are no numbers become null; nothing else in an event can fail.
    serde_json::to_string(stamped).unwrap_or_default()
}

/// Prints events and obeys inputs until the session has ended.
pub fn watch(session: &impl Session, inputs: &Receiver<Input>) -> Watched {
    watch_to(&LineOutput::stdout(), session, inputs)
}

fn watch_to(out: &LineOutput, session: &impl Session, inputs: &Receiver<Input>) -> Watched {
    let mut watched = Watched::default();
    let mut control = EndControl::default();
    loop {
        match session.next_event(TURN) {
            Next::Event(stamped) => {
                match &stamped.event {
                    Event::Stats(_) => out.figures(line(&stamped)),
                    _ => out.line(line(&stamped)),
                }
                match stamped.event {
                    Event::RecordingFinished(finished) => watched.finished = Some(finished),
                    Event::Ended { .. } => break,
                    _ => {}
                }
            }
            Next::Quiet => {}
            Next::Closed => break,
        }
        for input in inputs.try_iter() {
            match input {
                Input::Signal(Signal::Interrupt) => match control.interrupt(session) {
                    Step::Ending => note("ending; Ctrl-C again aborts"),
                    Step::Aborting => note("aborting"),
                    Step::Abandon => {
                        watched.abandoned = true;
                        return watched;
                    }
                },
                Input::Signal(Signal::Terminate) => control.end(session, EndReason::Signal),
                Input::Signal(Signal::Continue) => {}
                Input::Signal(Signal::Suspend) => note(NO_SUSPENDING),
                Input::Command(Command::End) => control.end(session, EndReason::Command),
                Input::Command(command) => session.command(command),
                Input::NoCommand { what, remedy } => {
                    let t = session.snapshot().session_seconds;
                    let event = Notice::UnknownCommand { what, remedy }.into();
                    out.line(line(&Stamped { event, t }));
                }
                Input::Stderr(_) => {}
            }
        }
    }
    watched.aborted = control.aborted();
    watched
}

/// For the person, on standard error: standard output is the script's.
fn note(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::fake::{FakeSession, Memory};
    use crate::ui::inputs;
    use crate::ui::model::LeaveReason;

    #[test]
    fn an_event_is_one_object_with_its_name_and_time() {
        let left = Event::PeerLeft { id: 2, reason: LeaveReason::Timeout };
        assert_eq!(
            line(&Stamped { event: left, t: 1.5 }),
            r#"{"event":"peer_left","id":2,"reason":"timeout","t":1.5}"#
        );
        let warning =
            Event::from(Notice::UnknownCommand { what: "a\nb".into(), remedy: "c".into() });
        assert_eq!(
            line(&Stamped { event: warning, t: 0.0 }),
            r#"{"event":"warning","code":"unknown-command","what":"a\nb","try":"c","t":0.0}"#
        );
    }

    #[test]
    fn a_bad_line_warns_and_an_end_command_ends() {
        let memory = Memory::default();
        let session = FakeSession::default();
        let (sender, receiver) = inputs::channel();
        for input in [
            Input::NoCommand { what: "no".into(), remedy: "yes".into() },
            Input::Command(Command::Mute),
            Input::Command(Command::End),
            Input::Command(Command::End),
        ] {
            sender.send(input).expect("the receiver is here");
        }
        let watched = watch_to(&LineOutput::new(memory.clone()), &session, &receiver);
        assert!(!watched.aborted);
        assert_eq!(session.commands(), [Command::Mute]);
        assert_eq!(session.ends(), [EndReason::Command], "the second one changes nothing");
        let text = memory.text();
        let lines: Vec<&str> = text.lines().collect();
        let warning = r#""event":"warning","code":"unknown-command","what":"no","try":"yes""#;
        assert!(lines[0].contains(warning), "{text}");
        assert!(lines[1].contains(r#""event":"ended","reason":"command""#), "{text}");
    }

    #[test]
    fn the_first_interrupt_ends_the_second_aborts_the_third_walks_off() {
        let session = FakeSession { deaf: true, ..FakeSession::default() };
        let (sender, receiver) = inputs::channel();
        for _ in 0..3 {
            sender.send(Input::Signal(Signal::Interrupt)).expect("the receiver is here");
        }
        let watched = watch_to(&LineOutput::new(Memory::default()), &session, &receiver);
        assert!(watched.abandoned);
        assert_eq!(session.ends(), [EndReason::Signal]);
        assert!(session.was_aborted());
    }
}
