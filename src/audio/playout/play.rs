//! The playing side of the buffer: which frame comes next, and what stands for one that is not here.

use super::{FRAME, Fate, PlayoutBuffer, State};
use crate::audio::codec::TalkEncoder;
use crate::audio::delay::CEILING;

/// Samples of concealment after which the made-up sound begins to fade: 60 ms.
const FADE_AFTER: i64 = 2_880;
/// Samples that the fade takes: 60 ms.
const FADE: f32 = 2_880.0;
/// Samples without a packet after which the stream counts as interrupted: 500 ms.
const INTERRUPTED: i64 = 24_000;
/// Announced silence is believed for so long without another packet, samples: 100 ms, five packets.
const BELIEVED: i64 = 4_800;
/// In silence the level is set to within this, samples: 0.5 ms.
const EXACT: i64 = 24;
/// A late frame is remembered for so many frames: one in sixteen is too many.
const LATELY: u8 = 16;
/// The buffer that is too shallow again within so many frames is made deeper by a whole one: a path
/// that gets longer and longer would ask for a little each time.
const AGAIN: u8 = 100;
/// Samples of made-up sound given out at a time, 1.25 ms: the frame whose place it takes may still
/// come, and is then heard from there on.
pub(super) const PIECE: usize = 60;
/// Samples over which one piece of sound goes over into another that does not follow it: 1 ms.
pub(super) const SEAM: usize = 48;
/// A frame whose samples all lie below this (-60 dBFS) can be left out unheard.
const QUIET: f32 = 1e-3;

impl PlayoutBuffer {
    /// Finds the place to start from so that the depth is right at once; returns how many samples
    /// of silence come before it in a block of `len`.
    pub(super) fn start(&mut self, len: usize) -> usize {
        let Some(wanted) = self.wanted() else { return len };
        // The reader wants so much of a frame before it gives out what is before it.
        let ahead = self.reader.look_ahead() as i64;
        let level = self.output.wrapping_sub(self.position(self.next)).wrapping_sub(ahead);
        let lead = wanted.saturating_sub(level);
        if lead >= len as i64 {
            return len;
        }
        self.state = State::Playing;
        if lead >= 0 {
            return lead as usize;
        }
        let (excess, samples) = (lead.saturating_neg(), self.samples());
        let last = self.store.newest().max(self.next);
        let number = self.next.saturating_add((excess / samples) as u64).min(last);
        if number - self.next == (excess / samples) as u64 {
            self.discard = (excess % samples) as usize;
        }
        self.pass_until(number);
        0
    }

    /// The level that is wanted; `None` before the first frame.
    fn wanted(&self) -> Option<i64> {
        Some(self.delay.base()?.saturating_add(self.depth_wanted()))
    }

    /// Gives the reader the next samples, needed at `place` of the output.
    pub(super) fn step(&mut self, place: i64) {
        let wanted = match self.wanted() {
            Some(wanted) if self.state == State::Playing => wanted,
            _ => return self.nothing(),
        };
        if place - self.heard >= INTERRUPTED {
            self.interrupt();
            return self.nothing();
        }
        if let Some(given) = self.made {
            return self.make_more(given, place, wanted);
        }
        if let Some((number, len)) = self.hushed.take()
            && self.next != number
        {
            return self.give(PIECE, len);
        }
        let samples = self.samples();
        let waits = self.pending == 0;
        if waits && self.is_silence(self.next) && !self.skip_silence(place, wanted) {
            return self.silence(place, wanted);
        }
        if waits {
            self.not_too_deep(place);
            if self.store.fate(self.next) == Fate::Held {
                return self.play(self.next, place, wanted);
            }
            self.level_before = place.wrapping_sub(self.position(self.next));
        }
        match self.after_gap(place, wanted) {
            // It came when all that stands for it had been given out: its end is what makes deeper.
            Some(number) if number == self.next + 1 && self.shortage(wanted) > 0 => {
                self.late_frame(self.next, samples as usize, place - samples, wanted);
            }
            Some(number) => {
                let late = self.late;
                self.pass_until(number);
                if self.late > late {
                    self.late_lately = LATELY;
                }
                // What was lost says nothing about the depth, and beyond what is wanted by less
                // than a frame it only came because frames are whole.
                let level = place.wrapping_sub(self.position(number));
                let grown = level >= self.level_before.saturating_add(samples / 2);
                if grown && level >= wanted.saturating_add(samples) {
                    self.control.disturbed();
                }
                if self.is_silence(number) {
                    self.pending = 0;
                    self.silence(place, wanted);
                } else {
                    self.play(number, place, wanted);
                }
            }
            None => self.conceal(PIECE),
        }
    }

    /// Goes on with a made-up frame of which so many samples were given out, or with the frame itself
    /// if that has come in the meantime: only what was made up is missing of it then, and it keeps
    /// its place, or loses as much of it as the buffer has to get deeper.
    fn make_more(&mut self, given: usize, place: i64, wanted: i64) {
        let begin = place - given as i64;
        let came = if self.is_slower() { None } else { self.after_gap(begin, wanted) };
        let Some(number) = came.filter(|number| !self.is_silence(*number)) else {
            return self.give_made(given, PIECE);
        };
        let shortage = self.shortage(wanted);
        if given < shortage {
            return self.give_made(given, PIECE.min(shortage - given));
        }
        self.late_frame(number, given, begin, wanted);
    }

    /// Plays a frame of which so many samples were made up, from `begin` on: all of it but these, and of
    /// these as many as the buffer has to get deeper.
    fn late_frame(&mut self, number: u64, given: usize, begin: i64, wanted: i64) {
        let shortage = self.shortage(wanted);
        self.made = None;
        self.decoder.go_back();
        self.pass_until(number);
        self.late_lately = LATELY;
        if shortage > 0 {
            self.deeper_lately = AGAIN;
        }
        self.discard = given - shortage;
        self.play(number, begin + shortage as i64, wanted);
    }

    /// By how many samples the buffer gets deeper now that the frame came for which one was made up:
    /// that frames come late, and not for the first time, is what it is too shallow for.
    fn shortage(&self, wanted: i64) -> usize {
        let came = self.pending == 1 && self.store.fate(self.next) == Fate::Held;
        if !came || self.late_lately == 0 || self.deeper_lately > 0 || self.is_slower() {
            return 0;
        }
        let shortage = wanted.saturating_sub(self.level_before);
        if (EXACT..=self.samples()).contains(&shortage) { shortage as usize } else { 0 }
    }

    fn nothing(&mut self) {
        self.reader.push(&[0.0; FRAME]);
    }

    /// The frame to go on with after a gap, if it is here.
    fn after_gap(&self, place: i64, wanted: i64) -> Option<u64> {
        let (samples, before) = (self.samples(), self.level_before);
        let newest = self.store.newest();
        let slower = self.is_slower();
        let level = if slower {
            self.newest_need.saturating_add(self.delay.depth())
        } else {
            // A gap is where the buffer gets deeper without a gap more, by a whole frame at a time.
            let ceiling = self.delay.base().unwrap_or(before).saturating_add(CEILING);
            // What is here has only come late: that it is not the first, and that a part of a frame has
            // not been enough, makes it worth a whole one.
            let late = self.store.fate(self.next) == Fate::Held;
            let again = late && self.late_lately > 0 && self.deeper_lately > 0;
            let enough = if again { EXACT } else { samples / 4 * 3 };
            let deeper = wanted.saturating_sub(before) > enough;
            before.saturating_add(if deeper { samples } else { 0 }).min(ceiling)
        };
        let number = place.wrapping_sub(level).wrapping_add(EXACT).div_euclid(samples);
        if number < self.next as i64 && !slower {
            return None;
        }
        let number = number.max(self.next as i64) as u64;
        let number = if slower { number.min(newest.max(self.next)) } else { number };
        let here = |n: u64| self.store.fate(n) == Fate::Held || self.is_silence(n);
        if slower {
            return (number..=newest).find(|&n| here(n));
        }
        // What was late is passed over only for what is here.
        here(number).then_some(number)
    }

    /// If even the newest one is late by more than a frame, the path has become slower; and nothing
    /// is ever waited for longer than the ceiling while there is something to play.
    fn is_slower(&self) -> bool {
        let samples = self.samples();
        self.newest_need >= self.level_before.saturating_add(samples) && self.newest >= self.next
            || i64::from(self.pending) * samples > CEILING
    }

    /// Nothing was sent under this number, as far as is known.
    fn is_silence(&self, number: u64) -> bool {
        match self.store.fate(number) {
            Fate::Silent => true,
            Fate::Unknown => self.silent_from.is_some_and(|from| number >= from),
            _ => false,
        }
    }

    /// Leaves out silence that only makes the way longer; true when speech is next.
    fn skip_silence(&mut self, place: i64, wanted: i64) -> bool {
        let samples = self.samples();
        while self.is_silence(self.next) {
            if place.wrapping_sub(self.position(self.next)).saturating_sub(wanted) < samples {
                return false;
            }
            self.pass_silence();
        }
        true
    }

    fn pass_silence(&mut self) {
        if self.store.fate(self.next) == Fate::Unknown {
            self.assumed.get_or_insert(self.next);
        }
        self.next += 1;
    }

    /// Gives out the room's noise for a frame that was not sent, so long that the level is right.
    fn silence(&mut self, place: i64, wanted: i64) {
        if place - self.heard >= BELIEVED {
            return self.conceal(FRAME);
        }
        let samples = self.samples();
        let excess = place.wrapping_sub(self.position(self.next)).saturating_sub(wanted);
        let mut first = usize::MAX;
        let len = if excess < -EXACT {
            (-excess).min(samples)
        } else {
            let len = if (EXACT..samples).contains(&excess) { samples - excess } else { samples };
            // A word may have begun, and its first frame be late by less than a piece. Where there are
            // copies it may be lost, and its copy needs the room of whole frames.
            let unknown = self.store.fate(self.next) == Fate::Unknown && self.reach == 0;
            if unknown && len as usize > PIECE {
                self.hushed = Some((self.next, len as usize));
                first = PIECE;
            }
            self.pass_silence();
            len
        };
        self.make_up(1.0);
        self.give(0, first.min(len as usize));
    }

    /// Gives the reader this part of the frame in hand, so that it follows what was given before
    /// without a step: where a part was left out in between, one goes over into the other.
    fn give(&mut self, from: usize, to: usize) {
        let samples = self.length.samples();
        let (from, to) = (from.min(samples), to.min(samples));
        let over = self.left_out.min(to.saturating_sub(from));
        for (i, sample) in self.pcm[from..].iter_mut().take(over).enumerate() {
            let share = (i + 1) as f32 / (over + 1) as f32;
            *sample = self.cut[i] + (*sample - self.cut[i]) * share;
        }
        self.leave_out(to);
        if from < to {
            self.reader.push(&self.pcm[from..to]);
        }
    }

    /// The frame in hand is not given out from there on.
    fn leave_out(&mut self, from: usize) {
        let cut = &self.pcm[from..self.length.samples()];
        self.left_out = cut.len().min(SEAM);
        self.cut[..self.left_out].copy_from_slice(&cut[..self.left_out]);
    }

    /// Brings the next frame's level below the ceiling, over frames that are here.
    fn not_too_deep(&mut self, place: i64) {
        let samples = self.samples();
        let Some(base) = self.delay.base() else { return };
        let over = place
            .wrapping_sub(self.position(self.next))
            .saturating_sub(base.saturating_add(CEILING));
        if over <= samples / 2 {
            return;
        }
        let skip = (over / samples) as u64 + 1;
        let number = self.next.saturating_add(skip).min(self.store.newest());
        if number > self.next && self.store.fate(number) == Fate::Held {
            self.pass_until(number);
        }
    }

    fn play(&mut self, number: u64, place: i64, wanted: i64) {
        let samples = self.samples() as usize;
        let pcm = &mut self.pcm[..samples];
        let mut silence = false;
        let decoded = match self.store.take(number) {
            Some(data) if TalkEncoder::is_silence(data) => {
                silence = true;
                self.decoder.conceal(pcm);
                true
            }
            Some(data) => self.decoder.decode(data, pcm).is_ok(),
            None => false,
        };
        self.next = number + 1;
        self.pending = 0;
        self.late_lately = self.late_lately.saturating_sub(1);
        self.deeper_lately = self.deeper_lately.saturating_sub(1);
        self.assumed = None;
        if !decoded {
            self.rejected += 1;
            self.conceal(FRAME);
            self.pending = 0;
            return;
        }
        let from = std::mem::take(&mut self.discard).min(samples);
        if self.gain < 1.0 {
            ramp(&mut pcm[from..], self.gain, 1.0);
            self.gain = 1.0;
        }
        let excess = place.wrapping_sub(self.position(number)).saturating_sub(wanted);
        if !silence {
            self.control.frame(excess as f64, samples);
        }
        if self.may_leave_out(excess) {
            self.leave_out(0);
            return;
        }
        self.give(from, samples);
    }

    /// Whether this frame is silence that only makes the way longer.
    fn may_leave_out(&mut self, excess: i64) -> bool {
        let samples = self.samples();
        let silent = self.pcm[..samples as usize].iter().all(|s| s.abs() < QUIET);
        let before = std::mem::replace(&mut self.silent_before, silent);
        silent && before && excess >= samples && self.store.fate(self.next) == Fate::Held
    }

    /// Makes up a frame and waits with the next one; gives out so many samples of it, to look again.
    fn conceal(&mut self, piece: usize) {
        self.pending += 1;
        let samples = self.samples();
        let faded = i64::from(self.pending) * samples > FADE_AFTER;
        let gain = if faded { self.gain - samples as f32 / FADE } else { self.gain };
        // The frame may still come, and continues what was before this.
        self.decoder.keep();
        self.make_up(gain.max(0.0));
        self.give_made(0, piece);
    }

    /// Gives out more of the made-up frame.
    fn give_made(&mut self, given: usize, piece: usize) {
        let samples = self.length.samples();
        let to = (given + piece).min(samples);
        if self.state == State::Playing {
            self.concealed_samples += to.saturating_sub(given) as u64;
        }
        self.give(given, to);
        self.made = (to < samples).then_some(to);
    }

    /// Lets the decoder go on from what was last, with the loudness going to `gain`.
    fn make_up(&mut self, gain: f32) {
        let pcm = &mut self.pcm[..self.length.samples()];
        if self.gain > 0.0 || gain > 0.0 {
            self.decoder.conceal(pcm);
            ramp(pcm, self.gain, gain);
        } else {
            pcm.fill(0.0);
        }
        self.gain = gain;
    }
}

/// Multiplies by a gain that goes evenly from `from` to `to`.
fn ramp(samples: &mut [f32], from: f32, to: f32) {
    if from == 1.0 && to == 1.0 {
        return;
    }
    let slope = (to - from) / samples.len().max(1) as f32;
    for (i, sample) in samples.iter_mut().enumerate() {
        *sample *= from + slope * i as f32;
    }
}
