//! The output's side: how samples are asked for, and when a frame counts as having been in time.
//!
//! A card that calls back takes a whole period at once ([`PlayoutBuffer::pull`]): a frame that
//! misses the callback waits for the next one. A thread of ours that writes a card asks for nothing
//! before it must ([`PlayoutBuffer::pull_on_time`]), and then takes along whatever no packet can
//! change any more ([`PlayoutBuffer::go_on`]): there is no period, and the thread sleeps until the
//! next frame's turn.

use super::{Arrival, Fate, PlayoutBuffer, State};
use crate::units::Micros;

/// Samples over which the level is averaged: 50 ms.
const LEVEL_WINDOW: f32 = 2_400.0;
/// Samples of silence given out ahead when there is no stream: 2.5 ms, half of the depth that a
/// stream begins with.
const IDLE: usize = 120;
/// Samples by which a frame can be shorter in the output than its length at today's rate.
const ROUNDING: usize = 2;

impl PlayoutBuffer {
    /// Fills `out` with what is to be heard from `now` on, for a card that always asks for as many
    /// samples; silence when there is no stream.
    pub fn pull(&mut self, out: &mut [f32], now: Micros) {
        self.clock.callback(now, self.output);
        self.take_in(Some(out.len()));
        self.go_on(out);
    }

    /// The same for who asks no sooner than the first sample is needed, for as few as he likes.
    pub fn pull_on_time(&mut self, out: &mut [f32], now: Micros) {
        self.clock.callback(now, self.output);
        self.take_in(None);
        self.go_on(out);
    }

    /// So many more samples are settled: nothing that comes will change them.
    pub fn settled(&self) -> usize {
        match self.state {
            State::Idle => IDLE,
            State::Starting => 0,
            State::Playing => {
                let rate = 1.0 + self.control.rate();
                let left = self.reader.left(rate);
                // Whatever comes, a frame that is here will be next, and nobody needs to wake for
                // it at its turn. Only its rate is open, by less than a sample.
                let whole = self.pending == 0 && self.hushed.is_none();
                let held = whole && self.store.fate(self.next) == Fate::Held;
                left + if held { (self.samples() as f64 / rate) as usize - ROUNDING } else { 0 }
            }
        }
    }

    /// Goes on after [`Self::pull_on_time`] with up to [`Self::settled`] samples.
    pub fn go_on(&mut self, out: &mut [f32]) {
        let lead = match self.state {
            State::Idle => out.len(),
            State::Starting => self.start(out.len()),
            State::Playing => 0,
        };
        out[..lead].fill(0.0);
        let heard = &mut out[lead..];
        let begin = self.output + lead as i64;
        let mut read = 0;
        while read < heard.len() {
            while !self.reader.ready() {
                self.step(begin + read as i64);
            }
            read += self.reader.read(&mut heard[read..], 1.0 + self.control.rate());
        }
        self.played_samples += heard.len() as u64;
        self.output += out.len() as i64;
        self.measure(out);
    }

    /// Takes the needs of what has come since the last pull, in a callback of so many samples or
    /// in none.
    fn take_in(&mut self, period: Option<usize>) {
        let (output, samples) = (self.output, self.samples());
        for i in 0..std::mem::take(&mut self.arrived) {
            let Arrival { number, at, ready, newest } = self.arrivals[i];
            let position = self.position(number);
            let (place, put_off) = match period {
                Some(period) => (output, self.clock.put_off(at, output, period)),
                None => (self.clock.place(ready, output), 0),
            };
            let need = place.wrapping_sub(position);
            self.delay.push(need.saturating_add(put_off), output, samples);
            if newest {
                self.clock.packet(at, position, output);
                if number >= self.newest {
                    (self.newest, self.newest_need) = (number, need);
                }
            }
            self.heard = output;
        }
    }

    fn measure(&mut self, out: &[f32]) {
        if out.is_empty() {
            return;
        }
        let power = out.iter().map(|s| s * s).sum::<f32>() / out.len() as f32;
        let share = 1.0 - (-(out.len() as f32) / LEVEL_WINDOW).exp();
        self.power += (power - self.power) * share;
    }
}
