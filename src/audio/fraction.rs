//! A windowed-sinc resampler that reads between samples, one output sample at a time.
//!
//! One actuator for the playout buffer's corrections of drift and depth. Push input as it comes,
//! read output while there is enough; no block sizes, no allocation after `new`.

/// Rows of the kernel table. Linear interpolation between 256 rows is off by less than -90 dB.
const PHASES: usize = 256;
/// Kaiser window: side lobes some 80 dB down.
const BETA: f64 = 8.0;

/// Fractional reader over a stream of samples, whose kernel spans `TAPS` of them, a multiple of 4.
pub struct FractionalReader<const TAPS: usize> {
    /// `PHASES + 1` rows of weights.
    kernel: Box<[[f32; TAPS]]>,
    /// At phase 0 the kernel takes nothing but the sample itself.
    passes_through: bool,
    fifo: Box<[f32]>,
    /// First sample under the kernel.
    read: usize,
    write: usize,
    /// Distance from the sample in the middle of the kernel to the output's place, 0 to 1.
    phase: f64,
}

impl<const TAPS: usize> FractionalReader<TAPS> {
    /// A reader whose kernel's cutoff is relative to the input's Nyquist frequency, and which takes
    /// up to `max_push` samples at a time.
    ///
    /// With a cutoff of 1 it gives its input back bit for bit as long as the step is 1.
    pub fn new(cutoff: f64, max_push: usize) -> Self {
        const { assert!(TAPS > 0 && TAPS.is_multiple_of(4)) };
        let kernel = kernel(cutoff.clamp(0.01, 1.0));
        let mut reader = Self {
            passes_through: kernel[0][TAPS / 2 - 1] == 1.0,
            kernel,
            fifo: vec![0.0; 2 * (TAPS + max_push)].into_boxed_slice(),
            read: 0,
            write: 0,
            phase: 0.0,
        };
        reader.clear();
        reader
    }

    /// Forgets all input.
    pub fn clear(&mut self) {
        self.read = 0;
        // The kernel reaches this far before the first sample.
        self.write = TAPS / 2 - 1;
        self.fifo[..self.write].fill(0.0);
        self.phase = 0.0;
    }

    /// Input samples that must have come after the one that is read: the delay it adds.
    pub fn look_ahead(&self) -> usize {
        TAPS / 2
    }

    /// Input samples that came and are still ahead of the place that is read.
    pub fn ahead(&self) -> f64 {
        self.write as f64 - (self.read + TAPS / 2 - 1) as f64 - self.phase
    }

    /// Whether [`Self::read`] has all the input that it needs.
    pub fn ready(&self) -> bool {
        self.read + TAPS <= self.write
    }

    /// Output samples `step` apart for which all the input is here.
    pub fn left(&self, step: f64) -> usize {
        if !self.ready() || step <= 0.0 {
            return 0;
        }
        let places = (self.write - self.read - TAPS + 1) as f64;
        ((places - self.phase) / step).ceil() as usize
    }

    /// Input samples that are missing for `count` output samples, give or take one for rounding.
    pub fn needed(&self, count: usize, step: f64) -> usize {
        if count == 0 {
            return 0;
        }
        let last = self.read + (self.phase + step * (count - 1) as f64) as usize + TAPS;
        last.saturating_sub(self.write)
    }

    /// Room for samples, at least `max_push` while the output is pulled until not [`Self::ready`].
    pub fn room(&self) -> usize {
        self.fifo.len() - (self.write - self.read.min(self.write))
    }

    /// Takes input; what there is no room for is dropped.
    pub fn push(&mut self, samples: &[f32]) {
        let samples = &samples[..samples.len().min(self.room())];
        if self.write + samples.len() > self.fifo.len() {
            let read = self.read.min(self.write);
            self.fifo.copy_within(read..self.write, 0);
            self.write -= read;
            self.read -= read;
        }
        self.fifo[self.write..self.write + samples.len()].copy_from_slice(samples);
        self.write += samples.len();
    }

    /// Fills `out` with samples that lie `step` (above 0) input samples apart, as far as the input
    /// reaches. Returns how many; none is written when not [`Self::ready`].
    pub fn read(&mut self, out: &mut [f32], step: f64) -> usize {
        let mut read = 0;
        for sample in out {
            let held = &self.fifo[self.read.min(self.write)..self.write];
            let Some(window) = held.first_chunk() else {
                break;
            };
            let place = self.phase * PHASES as f64;
            let row = (place as usize).min(PHASES - 1);
            let between = (place - row as f64) as f32;
            *sample = if place == 0.0 && self.passes_through {
                window[TAPS / 2 - 1]
            } else {
                between_rows(window, &self.kernel[row], &self.kernel[row + 1], between)
            };
            let moved = self.phase + step;
            // Neither is negative: what a conversion cuts off is the fraction.
            let whole = moved as usize;
            self.phase = moved - whole as f64;
            self.read += whole;
            read += 1;
        }
        read
    }
}

/// The sum of `window`, weighted by what lies `between` (0 to 1) two rows of the kernel.
fn between_rows<const TAPS: usize>(
    window: &[f32; TAPS],
    near: &[f32; TAPS],
    far: &[f32; TAPS],
    between: f32,
) -> f32 {
    // Four sums side by side: the order of additions is fixed, so the compiler may use vectors.
    let mut sums = [0.0f32; 4];
    for tap in (0..TAPS).step_by(4) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let (near, far) = (near[tap + lane], far[tap + lane]);
            *sum += window[tap + lane] * (near + between * (far - near));
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

fn kernel<const TAPS: usize>(cutoff: f64) -> Box<[[f32; TAPS]]> {
    let mut rows = vec![[0.0f32; TAPS]; PHASES + 1];
    let half = TAPS as f64 / 2.0;
    for (phase, row) in rows.iter_mut().enumerate() {
        let weights: [f64; TAPS] = std::array::from_fn(|tap| {
            let x = tap as f64 - (half - 1.0) - phase as f64 / PHASES as f64;
            sinc(x * cutoff) * kaiser(x / half)
        });
        // The same gain at every phase, or a steady tone would waver.
        let sum: f64 = weights.iter().sum();
        *row = weights.map(|weight| (weight / sum) as f32);
    }
    rows.into_boxed_slice()
}

fn sinc(x: f64) -> f64 {
    let nearest = x.round();
    if x == 0.0 {
        1.0
    } else if x == nearest {
        0.0
    } else {
        (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
    }
}

fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 { 0.0 } else { bessel(BETA * (1.0 - x * x).sqrt()) / bessel(BETA) }
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(position: f64, hertz: f64) -> f64 {
        (position * hertz * std::f64::consts::TAU / 48_000.0).sin()
    }

    #[test]
    fn a_step_of_one_gives_the_input_back_bit_for_bit() {
        let mut reader = FractionalReader::<16>::new(1.0, 240);
        let input: Vec<f32> = (0..2400).map(|i| tone(i as f64, 1234.5) as f32).collect();
        let mut output = Vec::new();
        for block in input.chunks(240) {
            reader.push(block);
            let mut read = [0.0; 300];
            let count = reader.read(&mut read, 1.0);
            output.extend_from_slice(&read[..count]);
        }
        assert_eq!(output.len(), input.len() - reader.look_ahead());
        assert_eq!(output, input[..output.len()]);
    }

    #[test]
    fn between_samples_it_reads_what_would_have_been_there() {
        for step in [0.995, 0.9995, 1.0003, 1.005] {
            let mut reader = FractionalReader::<16>::new(1.0, 240);
            let mut position = 0.0;
            let mut fed = 0;
            for _ in 0..9_600 {
                while !reader.ready() {
                    let block: Vec<f32> =
                        (fed..fed + 240).map(|i| tone(f64::from(i), 3_000.0) as f32).collect();
                    reader.push(&block);
                    fed += 240;
                }
                let mut value = [0.0];
                assert_eq!(reader.read(&mut value, step), 1);
                if position > 16.0 {
                    let error = (f64::from(value[0]) - tone(position, 3_000.0)).abs();
                    assert!(error < 1e-3, "step {step}: {error} at {position}");
                }
                position += step;
            }
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_without_harm() {
        let mut reader = FractionalReader::<16>::new(1.0, 10);
        reader.push(&[1.0; 1000]);
        assert_eq!(reader.room(), 0);
        let mut read = [f32::NAN; 1000];
        let count = reader.read(&mut read, 1.0);
        assert!(count > 0 && read[..count].iter().all(|sample| sample.is_finite()));
        assert_eq!(reader.read(&mut read, 1.0), 0, "not ready gives nothing");
        assert!(reader.room() >= 10);
    }
}
