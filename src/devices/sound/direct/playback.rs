//! The speaker's own thread, real-time: asks for a little sound and writes it whenever the
//! reserve is reached. No allocation, lock, log or panic between two sleeps.

use std::sync::Arc;

use super::{Block, Direct, Opened, Trouble, trouble};
use crate::devices::sound::convert;
use crate::devices::sound::live::{Counters, Loan};
use crate::devices::sound::reserve::{CHUNK, Patience, Reserve, Verdict, micros};
use crate::devices::speaker::SpeakerEnd;
use crate::devices::supervise::{Helper, Stop};
use crate::platform::clock;
use crate::platform::priority::{self, Grant};

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
        let mut playback =
            Playback { loan, opened, counters, block, reserve, patience, written: 0, mono };
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
}

impl Playback {
    fn run(&mut self, stop: &Stop) -> Result<(), alsa::Error> {
        self.begin()?;
        while !stop.asked() {
            let wait = match self.look() {
                Ok(wait) => wait,
                Err(e) => match trouble(&self.opened.pcm, e) {
                    Trouble::Restarted => {
                        self.ran_dry();
                        self.begin()?;
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

    /// Starts the device with the reserve and one chunk of silence in its buffer.
    fn begin(&mut self) -> Result<(), alsa::Error> {
        let frames = (self.reserve.frames() + CHUNK) as usize;
        self.mono.fill(0.0);
        self.write(frames)?;
        self.opened.pcm.start()
    }

    /// Writes what is due; tells for how long there is nothing to do.
    fn look(&mut self) -> Result<i64, alsa::Error> {
        let (avail, delay) = self.opened.pcm.avail_delay()?;
        let now = clock::now();
        let fill = i64::from(self.opened.buffer) - avail;
        self.reserve.look(now);
        let frames = self.reserve.due(fill).min(MOST);
        if frames == 0 {
            let wait = self.reserve.wait(fill);
            return Ok(self.patience.sleep(self.written.wrapping_sub(fill), wait, now));
        }
        if let Some(end) = self.loan.get() {
            end.source.fill(&mut self.mono[..frames], now);
        }
        self.write(frames)?;
        // What the device holds beyond its buffer.
        let beyond = (delay - fill).clamp(0, 48_000);
        let delay = self.reserve.delay() + micros(beyond);
        self.counters.called(frames, delay, now + micros(fill + frames as i64));
        Ok(self.reserve.wait(fill + frames as i64))
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

    fn ran_dry(&mut self) {
        self.counters.count_xrun();
        match self.reserve.dry(clock::now()) {
            Verdict::Accident => {}
            Verdict::Raised => self.counters.raise(micros(self.reserve.frames())),
            Verdict::Hopeless => self.counters.give_up(),
        }
    }
}
