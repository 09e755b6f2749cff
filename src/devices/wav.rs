//! WAV files in a device's part: played as a microphone, written as a speaker.
//!
//! Files are read and written on threads of their own; a ring of samples lies between them and the
//! real-time thread, which never waits for a disk.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::sound::rate::ToCall;
use super::supervise::{Helper, Stop};
use super::{DeviceError, DeviceEvent, DeviceEvents, What, words};
use crate::units::SAMPLE_RATE;

// Four seconds: longer than a disk that spins up.
const READ_AHEAD: usize = 4 * SAMPLE_RATE as usize;
// A stalled disk may cost nothing for 10 s.
const WRITE_BEHIND: usize = 10 * SAMPLE_RATE as usize;
// How often the file's thread looks at the ring.
const LOOK: i64 = 20_000;
const CHUNK: usize = 1_024;

fn file_error(path: &Path, why: impl ToString, remedy: &str) -> DeviceError {
    DeviceError::File { path: path.to_owned(), why: why.to_string(), remedy: remedy.to_owned() }
}

const NO_WAV: &str =
    "give a WAV file with PCM or float samples (ffmpeg -i INPUT OUTPUT.wav makes one)";

/// Samples of a WAV file at 48 kHz, its first channel.
pub struct WavSource {
    samples: HeapCons<f32>,
    _reader: Helper,
}

impl WavSource {
    /// Opens and begins to read ahead; returns once there is something to play.
    pub fn open(path: &Path, repeat: bool, events: DeviceEvents) -> Result<Self, DeviceError> {
        let reader = open_reader(path)?;
        let rate = reader.spec().sample_rate;
        let resampler = if rate == SAMPLE_RATE {
            None
        } else {
            Some(ToCall::new(rate, CHUNK).ok_or_else(|| {
                file_error(path, format!("its rate of {rate} Hz cannot be used"), NO_WAV)
            })?)
        };
        let (producer, samples) = HeapRb::new(READ_AHEAD).split();
        let path = path.to_owned();
        let mut feed = Feed { producer, resampler, drop_first: 0, path, events };
        feed.drop_first = feed.resampler.as_ref().map_or(0, ToCall::delay);
        let (filled, is_filled) = std::sync::mpsc::channel();
        let helper =
            Helper::spawn("mic-file", move |stop| feed.run(reader, repeat, &stop, &filled))
                .map_err(|e| DeviceError::Failed {
                    what: What::Microphone,
                    name: "file".into(),
                    why: e.to_string(),
                })?;
        // Ends with the first block, or with the thread that lets the sender go.
        let _ = is_filled.recv();
        Ok(Self { samples, _reader: helper })
    }

    /// Fills `out`; what the file has no samples for is silence.
    pub fn fill(&mut self, out: &mut [f32]) {
        let n = self.samples.pop_slice(out);
        out[n..].fill(0.0);
    }

    /// Leaves samples out.
    pub fn skip(&mut self, samples: u64) {
        self.samples.skip(usize::try_from(samples).unwrap_or(usize::MAX));
    }
}

type Reader = WavReader<BufReader<File>>;

fn open_reader(path: &Path) -> Result<Reader, DeviceError> {
    let file = File::open(path)
        .map_err(|e| file_error(path, words(&e), "give a file that can be read"))?;
    if file.metadata().is_ok_and(|m| !m.is_file()) {
        return Err(file_error(path, "this is no file", NO_WAV));
    }
    let reader = WavReader::new(BufReader::new(file)).map_err(|e| match e {
        hound::Error::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => {
            file_error(path, words(&e), "give a file that can be read")
        }
        _ => file_error(path, "this is no WAV file", NO_WAV),
    })?;
    let spec = reader.spec();
    if spec.channels == 0 || spec.sample_rate == 0 {
        return Err(file_error(path, "its header names no channel or no rate", NO_WAV));
    }
    if !matches!(
        (spec.sample_format, spec.bits_per_sample),
        (SampleFormat::Float, 32) | (SampleFormat::Int, 8 | 16 | 24 | 32)
    ) {
        return Err(file_error(
            path,
            format!("samples of {} bits cannot be used", spec.bits_per_sample),
            NO_WAV,
        ));
    }
    if reader.duration() == 0 {
        return Err(file_error(path, "there is no sound in it", NO_WAV));
    }
    Ok(reader)
}

struct Feed {
    producer: HeapProd<f32>,
    resampler: Option<ToCall>,
    drop_first: usize,
    path: PathBuf,
    events: DeviceEvents,
}

impl Feed {
    fn run(
        mut self,
        mut reader: Reader,
        repeat: bool,
        stop: &Stop,
        filled: &std::sync::mpsc::Sender<()>,
    ) {
        let spec = reader.spec();
        let channels = usize::from(spec.channels);
        let mut block = Vec::with_capacity(CHUNK);
        // A header that promises samples which are not there must not loop for ever.
        let mut some = false;
        loop {
            let read = match spec.sample_format {
                SampleFormat::Float => read_block(&mut reader, channels, &mut block, |s: f32| s),
                SampleFormat::Int => {
                    let scale = 1.0 / (1u32 << (spec.bits_per_sample - 1)) as f32;
                    read_block(&mut reader, channels, &mut block, |s: i32| s as f32 * scale)
                }
            };
            let ended = block.is_empty();
            some |= !ended;
            if !self.push(&block, stop) {
                return;
            }
            let _ = filled.send(());
            if let Err(e) = read {
                let message = format!("{}: {e}", self.path.display());
                (self.events)(DeviceEvent::FileFailed { what: What::Microphone, message });
                return;
            }
            if ended {
                if repeat && some && reader.seek(0).is_ok() {
                    some = false;
                    continue;
                }
                // The resampler still holds the last samples.
                let tail = self.resampler.as_ref().map_or(0, ToCall::delay).min(CHUNK);
                if !self.push(&[0.0; CHUNK][..tail], stop) {
                    return;
                }
                break;
            }
        }
        while !self.producer.is_empty() {
            if stop.sleep(LOOK) {
                return;
            }
        }
        (self.events)(DeviceEvent::FileEnded { what: What::Microphone });
    }

    // False when it is time to end.
    fn push(&mut self, block: &[f32], stop: &Stop) -> bool {
        let mut samples = match &mut self.resampler {
            Some(resampler) => resampler.process(block),
            None => block,
        };
        let dropped = self.drop_first.min(samples.len());
        samples = &samples[dropped..];
        self.drop_first -= dropped;
        while !samples.is_empty() {
            let n = self.producer.push_slice(samples);
            samples = &samples[n..];
            if !samples.is_empty() && stop.sleep(LOOK) {
                return false;
            }
        }
        !stop.asked()
    }
}

// Reads the first channel of up to CHUNK frames; an empty block is the end.
fn read_block<S: hound::Sample>(
    reader: &mut Reader,
    channels: usize,
    block: &mut Vec<f32>,
    convert: impl Fn(S) -> f32,
) -> Result<(), hound::Error> {
    block.clear();
    for (k, sample) in reader.samples::<S>().take(CHUNK * channels).enumerate() {
        let sample = match sample {
            Ok(sample) => sample,
            // A file cut short ends where its bytes end.
            Err(hound::Error::IoError(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                break;
            }
            Err(hound::Error::FormatError(text)) if text.contains("enough bytes") => break,
            Err(e) => return Err(e),
        };
        if k % channels == 0 {
            block.push(convert(sample));
        }
    }
    Ok(())
}

/// A WAV file, 48 kHz, 16 bit, mono, that takes what would be heard.
pub struct WavSink {
    samples: HeapProd<f32>,
    missed: Arc<AtomicU64>,
    // Dropped after the ring's end, so that the thread writes what is left.
    _writer: Helper,
}

impl WavSink {
    /// Creates (or replaces) the file.
    pub fn create(path: &Path, events: DeviceEvents) -> Result<Self, DeviceError> {
        const REMEDY: &str = "give a path in a folder that exists and can be written";
        let spec = WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            // What every reader takes.
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let file = File::create(path).map_err(|e| file_error(path, words(&e), REMEDY))?;
        let mut writer =
            WavWriter::new(BufWriter::new(file), spec).map_err(|e| file_error(path, e, REMEDY))?;
        // A readable header from the first moment on.
        writer.flush().map_err(|e| file_error(path, e, REMEDY))?;
        let (samples, ring) = HeapRb::new(WRITE_BEHIND).split();
        let missed = Arc::new(AtomicU64::new(0));
        let drain = Drain { ring, missed: missed.clone(), path: path.to_owned(), events };
        let helper = Helper::spawn("spk-file", move |stop| drain.run(writer, &stop))
            .map_err(|e| file_error(path, e, REMEDY))?;
        Ok(Self { samples, missed, _writer: helper })
    }

    /// Takes the next samples; never waits.
    pub fn push(&mut self, samples: &[f32]) {
        let n = self.samples.push_slice(samples);
        self.leave_out((samples.len() - n) as u64);
    }

    /// These samples become silence, so that what follows stays at its place.
    pub fn leave_out(&mut self, samples: u64) {
        if samples > 0 {
            self.missed.fetch_add(samples, Ordering::Relaxed);
        }
    }
}

struct Drain {
    ring: HeapCons<f32>,
    missed: Arc<AtomicU64>,
    path: PathBuf,
    events: DeviceEvents,
}

impl Drain {
    fn run(mut self, mut writer: WavWriter<BufWriter<File>>, stop: &Stop) {
        let mut block = [0.0f32; CHUNK];
        let mut since_flush = 0usize;
        loop {
            let asked = stop.sleep(LOOK);
            let mut write = || -> Result<(), hound::Error> {
                loop {
                    let n = self.ring.pop_slice(&mut block);
                    if n == 0 {
                        break;
                    }
                    for s in &block[..n] {
                        let s = (s * 32_768.0).round().clamp(-32_768.0, 32_767.0);
                        writer.write_sample(s as i16)?;
                    }
                    since_flush += n;
                }
                // Samples are only left out while the ring is full: they belong behind it.
                let missed = self.missed.swap(0, Ordering::Relaxed);
                for _ in 0..missed {
                    writer.write_sample(0i16)?;
                }
                since_flush += usize::try_from(missed).unwrap_or(usize::MAX);
                // Once a second, so that a killed process leaves a file whose header is right.
                if since_flush >= SAMPLE_RATE as usize || asked {
                    since_flush = 0;
                    writer.flush()?;
                }
                Ok(())
            };
            if let Err(e) = write() {
                let message = format!("{}: {e}", self.path.display());
                (self.events)(DeviceEvent::FileFailed { what: What::Speaker, message });
                return;
            }
            if asked {
                // The header was just written; finalising writes it once more.
                let _ = writer.finalize();
                return;
            }
        }
    }
}
