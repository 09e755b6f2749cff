//! The microphone's own thread, real-time: looks at the position when the frame should be whole,
//! takes what is there, sleeps. No allocation, lock, log or panic between two sleeps.

use std::sync::Arc;

use super::{Block, Direct, Opened, Trouble, trouble};
use crate::devices::microphone::{Converter, MicEnd};
use crate::devices::sound::counters::Counters;
use crate::devices::sound::live::{Loan, PIECE};
use crate::devices::sound::reserve::{Patience, micros};
use crate::devices::supervise::{Helper, Stop};
use crate::platform::clock;
use crate::platform::priority::{self, Grant};
use crate::units::SAMPLE_RATE;

/// Shortest sleep, microseconds: a driver that moves its position in steps is not asked more often.
const NAP: i64 = 100;
/// The position is asked for this much after the samples should be there, microseconds.
const AFTER: i64 = 20;

/// Starts the thread. `grain`: the frame's length, at whose end the thread looks.
pub fn start(
    loan: Loan<MicEnd>,
    opened: Opened,
    grain: usize,
    counters: Arc<Counters>,
) -> std::io::Result<Direct> {
    let (answer, answered) = std::sync::mpsc::channel();
    let converter = Converter::new(SAMPLE_RATE)
        .map_err(|e| std::io::Error::new(std::io::ErrorKind::Unsupported, e.to_string()))?;
    let block = Block::new(PIECE, opened.format, opened.channels);
    let helper = Helper::spawn("mic-alsa", move |stop| {
        let _ = answer.send(priority::ask(priority::Role::Capture));
        let patience = Patience::new(opened.period);
        let mut capture =
            Capture { loan, opened, grain, counters, converter, block, patience, read: 0 };
        if let Err(e) = capture.run(&stop) {
            capture.counters.lose(&e);
        }
    })?;
    let grant = answered.recv().unwrap_or_else(|_| Grant::unknown());
    Ok(Direct { grant, _helper: helper })
}

struct Capture {
    loan: Loan<MicEnd>,
    opened: Opened,
    grain: usize,
    counters: Arc<Counters>,
    converter: Converter,
    block: Block,
    patience: Patience,
    // Frames read so far.
    read: i64,
}

impl Capture {
    fn run(&mut self, stop: &Stop) -> Result<(), alsa::Error> {
        self.opened.pcm.start()?;
        let mut started = true;
        while !stop.asked() {
            if !started {
                self.opened.pcm.start()?;
                started = true;
            }
            let wait = match self.look() {
                Ok(wait) => wait,
                Err(e) => match trouble(&self.opened.pcm, e) {
                    Trouble::Restarted => {
                        self.counters.count_xrun();
                        started = false;
                        0
                    }
                    Trouble::Later => self.patience.sleep_blind(NAP, clock::now()),
                    Trouble::Lost(e) => return Err(e),
                },
            };
            if wait > 0 && stop.sleep(wait.max(NAP)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes what completes a frame; tells for how long there is nothing to do.
    fn look(&mut self) -> Result<i64, alsa::Error> {
        let (avail, delay) = self.opened.pcm.avail_delay()?;
        let now = clock::now();
        let missing = self.loan.get().map_or(self.grain, |end| end.missing(self.grain)) as i64;
        if avail < missing {
            let wait = micros(missing - avail) + AFTER;
            return Ok(self.patience.sleep(self.read.wrapping_add(avail), wait, now));
        }
        let wanted = usize::try_from(avail).unwrap_or(0).min(PIECE);
        let got = self.opened.pcm.io_bytes().readi(self.block.bytes(wanted))?;
        self.read = self.read.wrapping_add(got as i64);
        // What some plug-ins tell right after the start is not believed.
        let delay = delay.clamp(avail, avail + i64::from(SAMPLE_RATE));
        let captured = now - micros(delay);
        if let Some(end) = self.loan.get() {
            let channels = usize::from(self.opened.channels);
            self.converter.run(end, &self.block.data(got), channels, captured);
        }
        self.counters.called(got, micros(delay), captured + micros(got as i64));
        Ok(0)
    }
}
