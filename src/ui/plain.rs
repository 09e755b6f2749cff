//! `--no-tui`: one line an event on standard output, with the session's time in front, figures
//! every ten seconds, and a progress bar on standard error while the recording is finished.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::format::{Names, clock, describe, finishing};
use super::inputs::{EndControl, Input, NO_SUSPENDING, Signal, Step};
use super::model::{Command, Event, Stamped};
use super::output::LineOutput;
use super::{EndReason, Next, Session, Watched};

/// How long an input may wait for its turn.
const TURN: Duration = Duration::from_millis(50);

/// One line of figures for so many `stats` events, which come once a second.
const STATS_EVERY: u64 = 10;

/// Prints events and obeys signals until the session has ended.
pub fn watch(session: &impl Session, inputs: &Receiver<Input>) -> Watched {
    watch_to(&LineOutput::stdout(), session, inputs)
}

fn watch_to(out: &LineOutput, session: &impl Session, inputs: &Receiver<Input>) -> Watched {
    let mut watched = Watched::default();
    let mut control = EndControl::default();
    let mut names = Names::default();
    let mut seconds_seen = 0;
    let mut bar = None;
    loop {
        match session.next_event(TURN) {
            Next::Event(stamped) => {
                watched.learn(&stamped);
                let Stamped { event, t } = *stamped;
                names.learn(&event);
                let text = describe(&event, &names).map(|text| format!("{}  {text}", clock(t)));
                match (text, &event) {
                    (Some(text), Event::Stats(_)) => {
                        seconds_seen += 1;
                        if seconds_seen % STATS_EVERY == 0 {
                            out.figures(text);
                        }
                    }
                    (Some(text), _) => out.line(text),
                    (None, _) => {}
                }
                if matches!(event, Event::Ended { .. }) {
                    break;
                }
            }
            Next::Quiet => show_progress(session, &mut bar),
            Next::Closed => break,
        }
        for input in inputs.try_iter() {
            let now = || clock(session.snapshot().session_seconds);
            match input {
                Input::Signal(Signal::Interrupt) => match control.interrupt(session) {
                    Step::Ending => {
                        out.line(format!("{}  finishing; Ctrl-C again aborts", now()));
                    }
                    Step::Aborting => {
                        out.line(format!("{}  aborting; the file stays recoverable", now()));
                    }
                    Step::Abandon => {
                        watched.abandoned = true;
                        return watched;
                    }
                },
                Input::Signal(Signal::Terminate) => {
                    if !control.ending {
                        out.line(format!("{}  finishing", now()));
                    }
                    control.end(session, EndReason::Signal);
                }
                Input::Signal(Signal::Continue) => {}
                Input::Signal(Signal::Suspend) => out.line(format!("{}  {NO_SUSPENDING}", now())),
                Input::Command(Command::End) => control.end(session, EndReason::Command),
                Input::Command(command) => session.command(command),
                Input::NoCommand { what, remedy } => {
                    out.line(format!("{}  warning: {what}; try {remedy}", now()));
                }
                Input::Stderr(line) => out.line(format!("{}  {line}", now())),
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    watched.aborted = control.aborted();
    watched
}

/// A bar while pictures wait for the encoder; indicatif draws none without a terminal.
fn show_progress(session: &impl Session, bar: &mut Option<ProgressBar>) {
    let snapshot = session.snapshot();
    let Some((done, total)) = finishing(&snapshot) else { return };
    let bar = bar.get_or_insert_with(|| {
        let style = ProgressStyle::with_template("finishing {bar:40} {pos}/{len} pictures")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(total).with_style(style)
    });
    bar.set_length(total);
    bar.set_position(done);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::fake::{FakeSession, Memory};
    use crate::ui::inputs;
    use crate::ui::model::{Finished, LeaveReason};

    #[test]
    fn events_are_lines_and_figures_come_every_ten_seconds() {
        let session = FakeSession::default();
        session.push(Event::PeerJoined { id: 1, name: "Bob".into() }, 1.0);
        for second in 0..25 {
            session.push(Event::Stats(Box::default()), f64::from(second));
        }
        session.push(Event::PeerLeft { id: 1, reason: LeaveReason::Bye }, 3_600.0);
        let (code, what, remedy) = ("disk", "the disk is full".into(), "use another one".into());
        session.push(Event::Warning { code, what, remedy, harmless: false }, 3_601.0);
        let finished = Finished {
            path: "/r/a.mp4".into(),
            folder: "/r".into(),
            seconds: 10.5,
            ..Finished::default()
        };
        session.push(Event::RecordingFinished(finished), 3_601.0);
        session.push(Event::Ended { reason: "duration".into() }, 3_602.0);
        let memory = Memory::default();
        let (_sender, receiver) = inputs::channel();
        let watched = watch_to(&LineOutput::new(memory.clone()), &session, &receiver);
        assert!(watched.finished.is_some());
        assert_eq!(watched.reason, "duration");
        assert_eq!(watched.warnings, ["01:00:01 warning: the disk is full; use another one"]);
        insta::assert_snapshot!(memory.text(), @r"
        00:00:01  Bob joined
        00:00:09  mic 0 dB | cpu 0 % 0 MB
        00:00:19  mic 0 dB | cpu 0 % 0 MB
        01:00:00  Bob left
        01:00:01  warning: the disk is full; use another one
        01:00:01  recording finished: /r/a.mp4: 00:00:10, 0 B, 0 frames, 0 dropped
        01:00:02  ended (duration)
        ");
    }

    #[test]
    fn sigterm_ends_once_and_never_aborts() {
        let session = FakeSession::default();
        let (sender, receiver) = inputs::channel();
        for _ in 0..3 {
            sender.send(Input::Signal(Signal::Terminate)).expect("the receiver is here");
        }
        let watched = watch_to(&LineOutput::new(Memory::default()), &session, &receiver);
        assert!(!watched.aborted && !watched.abandoned);
        assert_eq!(session.ends(), [EndReason::Signal]);
        assert!(!session.was_aborted());
    }
}
