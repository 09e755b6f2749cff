//! The speaker's own thread, real-time: asks for sound and writes it whenever the reserve is
//! reached. No allocation, lock, log or panic between two sleeps.

use std::sync::Arc;

use super::{Block, Direct, Opened, Trouble, trouble};
use crate::devices::sound::convert;
use crate::devices::sound::counters::Counters;
use crate::devices::sound::live::Loan;
use crate::devices::sound::reserve::{LEAST_DUE, MOST_DUE, Patience, Reserve, Verdict, micros};
use crate::devices::speaker::{SpeakerEnd, pass_over};
use crate::devices::supervise::{Helper, Stop};
use crate::platform::clock;
use crate::platform::priority::{self, Grant};
use crate::units::Micros;

/// Frames written at a time at most.
const MOST: usize = 1_024;
/// Shortest sleep, microseconds.
const NAP: i64 = 50;

/// Starts the thread.
pub fn start(
    loan: Loan<SpeakerEnd>,
    opened: Opened,
    counters: Arc<Counters>,
) -> std::io::Result<Direct> {
    let (answer, answered) = std::sync::mpsc::channel();
    let block = Block::new(MOST, opened.format, opened.channels);
    let helper = Helper::spawn("spk-alsa", move |stop| {
        let _ = answer.send(priority::ask(priority::Role::Playback));
        let reserve = Reserve::default();
        let patience = Patience::new(opened.period);
        let mono = Box::new([0.0; MOST]);
        let mut playback = Playback {
            loan,
            opened,
            counters,
            block,
            reserve,
            patience,
            written: 0,
            until: None,
            mono,
        };
        let end = playback.run(&stop);
        if let Err(e) = end {
            playback.counters.lose(&e);
        }
    })?;
    let grant = answered.recv().unwrap_or_else(|_| Grant::unknown());
    Ok(Direct { grant, _helper: helper })
}

struct Playback {
    loan: Loan<SpeakerEnd>,
    opened: Opened,
    counters: Arc<Counters>,
    block: Block,
    mono: Box<[f32; MOST]>,
    reserve: Reserve,
    patience: Patience,
    // Frames written so far.
    written: i64,
    // When the last of them will have been heard.
    until: Option<Micros>,
}

impl Playback {
    fn run(&mut self, stop: &Stop) -> Result<(), alsa::Error> {
        self.begin()?;
        while !stop.asked() {
            let next = match self.look() {
                Ok(next) => next,
                Err(e) => match trouble(&self.opened.pcm, e) {
                    Trouble::Restarted => {
                        let until = self.until;
                        self.begin()?;
                        self.ran_dry(until);
                        continue;
                    }
                    Trouble::Later => {
                        let now = clock::now();
                        now + self.patience.sleep_blind(NAP, now)
                    }
                    Trouble::Lost(e) => return Err(e),
                },
            };
            if stop.sleep_until(next.max(clock::now() + NAP)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Starts the device with the reserve in its buffer, as silence.
    fn begin(&mut self) -> Result<(), alsa::Error> {
        let frames = (self.reserve.frames() + LEAST_DUE) as usize;
        self.mono.fill(0.0);
        self.write(frames)?;
        self.opened.pcm.start()?;
        self.until = Some(clock::now() + micros(frames as i64));
        Ok(())
    }

    /// Writes what is due; tells until when there is nothing to do. An instant and not a time,
    /// because what was decoded in between took a part of it.
    fn look(&mut self) -> Result<Micros, alsa::Error> {
        let (avail, delay) = self.opened.pcm.avail_delay()?;
        let now = clock::now();
        let fill = i64::from(self.opened.buffer) - avail;
        self.reserve.look(now);
        let least = self.reserve.due(fill).min(MOST);
        if least == 0 {
            let wait = self.reserve.wait(fill);
            return Ok(now + self.patience.sleep(self.written.wrapping_sub(fill), wait, now));
        }
        let out = &mut self.mono[..least.max(MOST_DUE)];
        let frames = match self.loan.get() {
            Some(end) => end.source.fill_due(out, least, now).min(out.len()),
            None => {
                out.fill(0.0);
                out.len()
            }
        };
        self.write(frames)?;
        // What the device holds beyond its buffer.
        let beyond = (delay - fill).clamp(0, 48_000);
        let delay = self.reserve.delay() + micros(beyond);
        let until = now + micros(fill + frames as i64);
        self.until = Some(until);
        self.counters.called(frames, delay, until);
        Ok(now + self.reserve.wait(fill + frames as i64))
    }

    fn write(&mut self, frames: usize) -> Result<(), alsa::Error> {
        self.written = self.written.wrapping_add(frames as i64);
        let channels = usize::from(self.opened.channels);
        convert::spread(&self.mono[..frames], &mut self.block.data(frames), channels, 0);
        let mut bytes = self.block.bytes(frames);
        let io = self.opened.pcm.io_bytes();
        while !bytes.is_empty() {
            let written = self.opened.pcm.frames_to_bytes(io.writei(bytes)? as i64);
            if written <= 0 {
                // The buffer is full, which the plan excludes unless the position jumped.
                break;
            }
            bytes = bytes.get_mut(written as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// It had nothing to play from `until` on, and plays the reserve now.
    fn ran_dry(&mut self, until: Option<Micros>) {
        self.counters.count_xrun();
        let now = clock::now();
        let silent = self.until.zip(until).map_or(0, |(end, until)| end.since(until).max(0));
        if let Some(end) = self.loan.get() {
            pass_over(silent, |out| {
                end.source.fill_due(out, out.len(), now);
            });
        }
        match self.reserve.dry(now, silent) {
            Verdict::Accident => {}
            Verdict::Raised => self.counters.raise(micros(self.reserve.frames())),
            Verdict::Hopeless => self.counters.give_up(),
        }
    }
}
