//! FLAC for the recording, 24 bit, by libFLAC: a thin safe wrapper of its stream encoder, the
//! recording's track (`--audio-format flac`) and the untouched card's (`--raw-audio`).
//!
//! No file is touched: frames come out as bytes. One thread owns an encoder.

use std::ffi::c_void;
use std::ptr::NonNull;

use libflac_sys as sys;

use super::sound::{PACKET_SAMPLES, SoundPacket};

/// Bits of a sample.
pub const BITS: u32 = 24;
/// Bytes of a STREAMINFO block without its header (RFC 9639, 8.2).
pub const STREAM_INFO_BYTES: usize = 34;
/// `fLaC`, one block header and STREAMINFO: what a file begins with, and what its end makes true.
pub const HEAD_BYTES: usize = 4 + 4 + STREAM_INFO_BYTES;
/// Level 5 costs 4 ms a second of sound here; higher ones save a percent.
const LEVEL: u32 = 5;
/// Rates that the format can tell (RFC 9639, 8.2).
const RATES: std::ops::RangeInclusive<u32> = 1..=655_350;
/// Largest and smallest 24-bit sample.
const TOP: f64 = 8_388_607.0;
const BOTTOM: f64 = -8_388_608.0;

/// Why sound is not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlacError {
    /// libFLAC did not start.
    #[error("the FLAC encoder did not start ({0}); record with --audio-format aac")]
    Start(String),
    /// It refused samples.
    #[error("the FLAC encoder failed (state {0}); what was recorded so far stays valid")]
    Encode(u32),
}

/// One FLAC frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlacFrame {
    /// Samples in it.
    pub samples: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

/// What libFLAC's callbacks write into.
#[derive(Default)]
struct Sink {
    /// `fLaC` and the metadata blocks.
    head: Vec<u8>,
    frames: Vec<FlacFrame>,
    /// STREAMINFO as the end knows it.
    end: Option<[u8; STREAM_INFO_BYTES]>,
}

/// libFLAC's stream encoder for one channel.
pub struct FlacEncoder {
    encoder: NonNull<sys::FLAC__StreamEncoder>,
    /// Boxed: libFLAC keeps its address. Only touched here between calls into libFLAC.
    sink: NonNull<Sink>,
    integers: Vec<i32>,
    ended: bool,
}

// SAFETY: the encoder and its sink belong to this value alone; libFLAC keeps no thread-local state,
// and (single-threaded, as by default) no threads.
unsafe impl Send for FlacEncoder {}

unsafe extern "C" fn write(
    _: *const sys::FLAC__StreamEncoder,
    buffer: *const u8,
    bytes: usize,
    samples: u32,
    _: u32,
    sink: *mut c_void,
) -> sys::FLAC__StreamEncoderWriteStatus {
    // SAFETY: libFLAC passes `bytes` readable bytes and the sink that `new` gave it, which nobody
    // else touches during the call.
    let (data, sink) =
        unsafe { (std::slice::from_raw_parts(buffer, bytes), &mut *sink.cast::<Sink>()) };
    if samples == 0 {
        sink.head.extend_from_slice(data);
    } else {
        sink.frames.push(FlacFrame { samples, data: data.to_vec() });
    }
    sys::FLAC__STREAM_ENCODER_WRITE_STATUS_OK
}

unsafe extern "C" fn metadata(
    _: *const sys::FLAC__StreamEncoder,
    block: *const sys::FLAC__StreamMetadata,
    sink: *mut c_void,
) {
    // SAFETY: as in `write`; the union holds a STREAMINFO when the type says so.
    unsafe {
        if (*block).type_ == sys::FLAC__METADATA_TYPE_STREAMINFO {
            (*sink.cast::<Sink>()).end = Some(stream_info(&(*block).data.stream_info));
        }
    }
}

/// STREAMINFO as bytes (RFC 9639, 8.2).
fn stream_info(info: &sys::FLAC__StreamMetadata_StreamInfo) -> [u8; STREAM_INFO_BYTES] {
    let mut b = [0; STREAM_INFO_BYTES];
    b[0..2].copy_from_slice(&(info.min_blocksize as u16).to_be_bytes());
    b[2..4].copy_from_slice(&(info.max_blocksize as u16).to_be_bytes());
    b[4..7].copy_from_slice(&info.min_framesize.to_be_bytes()[1..]);
    b[7..10].copy_from_slice(&info.max_framesize.to_be_bytes()[1..]);
    let packed = u64::from(info.sample_rate) << 44
        | u64::from(info.channels - 1) << 41
        | u64::from(info.bits_per_sample - 1) << 36
        | (info.total_samples & ((1 << 36) - 1));
    b[10..18].copy_from_slice(&packed.to_be_bytes());
    b[18..].copy_from_slice(&info.md5sum);
    b
}

impl FlacEncoder {
    /// For mono sound of `rate` hertz in frames of `block` samples.
    pub fn new(rate: u32, block: u32) -> Result<Self, FlacError> {
        if !RATES.contains(&rate) {
            return Err(FlacError::Start(format!("{rate} Hz")));
        }
        let none = || FlacError::Start("no memory".to_owned());
        // SAFETY: plain constructor.
        let encoder = NonNull::new(unsafe { sys::FLAC__stream_encoder_new() }).ok_or_else(none)?;
        let sink = NonNull::from(Box::leak(Box::<Sink>::default()));
        // From here on dropping `this` frees both.
        let this = Self { encoder, sink, integers: Vec::new(), ended: false };
        let e = encoder.as_ptr();
        // SAFETY: `e` is a fresh encoder, the callbacks have libFLAC's types, and the sink lives as
        // long as the encoder.
        let status = unsafe {
            let set = sys::FLAC__stream_encoder_set_channels(e, 1)
                & sys::FLAC__stream_encoder_set_bits_per_sample(e, BITS)
                & sys::FLAC__stream_encoder_set_sample_rate(e, rate)
                & sys::FLAC__stream_encoder_set_compression_level(e, LEVEL)
                & sys::FLAC__stream_encoder_set_blocksize(e, block);
            if set == 0 {
                return Err(FlacError::Start(format!("{rate} Hz, blocks of {block}")));
            }
            sys::FLAC__stream_encoder_init_stream(
                e,
                Some(write),
                None,
                None,
                Some(metadata),
                sink.as_ptr().cast(),
            )
        };
        if status != sys::FLAC__STREAM_ENCODER_INIT_STATUS_OK {
            return Err(FlacError::Start(format!("{rate} Hz, status {status}")));
        }
        Ok(this)
    }

    fn sink(&mut self) -> &mut Sink {
        // SAFETY: libFLAC touches the sink only inside of calls into it, and none is under way.
        unsafe { self.sink.as_mut() }
    }

    /// What a file begins with, as far as it is known: lengths and the checksum are 0 until the end.
    pub fn head(&mut self) -> &[u8] {
        &self.sink().head
    }

    /// STREAMINFO as the beginning knows it.
    pub fn stream_info(&mut self) -> [u8; STREAM_INFO_BYTES] {
        let head = &self.sink().head;
        head.get(HEAD_BYTES - STREAM_INFO_BYTES..HEAD_BYTES)
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or([0; STREAM_INFO_BYTES])
    }

    /// Takes samples (1.0 is full scale; what is louder is clipped) and appends the frames that
    /// they complete.
    pub fn push(&mut self, pcm: &[f32], out: &mut Vec<FlacFrame>) -> Result<(), FlacError> {
        if pcm.is_empty() {
            return Ok(());
        }
        self.integers.clear();
        self.integers.extend(pcm.iter().map(|s| quantise(*s)));
        let channels = [self.integers.as_ptr()];
        // SAFETY: one channel of as many samples as told.
        let ok = unsafe {
            sys::FLAC__stream_encoder_process(
                self.encoder.as_ptr(),
                channels.as_ptr(),
                self.integers.len() as u32,
            )
        };
        out.append(&mut self.sink().frames);
        self.outcome(ok)
    }

    /// Ends the stream: appends the last frames and gives the STREAMINFO that is true now.
    pub fn finish(
        &mut self,
        out: &mut Vec<FlacFrame>,
    ) -> Result<[u8; STREAM_INFO_BYTES], FlacError> {
        self.ended = true;
        // SAFETY: the encoder was started.
        let ok = unsafe { sys::FLAC__stream_encoder_finish(self.encoder.as_ptr()) };
        out.append(&mut self.sink().frames);
        self.outcome(ok)?;
        let known = self.stream_info();
        Ok(self.sink().end.unwrap_or(known))
    }

    fn outcome(&self, ok: sys::FLAC__bool) -> Result<(), FlacError> {
        if ok != 0 {
            return Ok(());
        }
        // SAFETY: reads a number.
        let state = unsafe { sys::FLAC__stream_encoder_get_state(self.encoder.as_ptr()) };
        Err(FlacError::Encode(state))
    }
}

impl Drop for FlacEncoder {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are freed once; deleting an encoder that was not
        // ended ends it, which may still call back, so the sink goes last.
        unsafe {
            sys::FLAC__stream_encoder_delete(self.encoder.as_ptr());
            drop(Box::from_raw(self.sink.as_ptr()));
        }
    }
}

/// The nearest 24-bit step. No dither: a step is 138 dB below the tone that fills the scale.
pub fn quantise(sample: f32) -> i32 {
    // A cast makes 0 of what is not a number.
    (f64::from(sample) * -BOTTOM).round().clamp(BOTTOM, TOP) as i32
}

/// The recording's track: packets of [`PACKET_SAMPLES`], ended at any sample.
pub struct FlacTrack {
    encoder: FlacEncoder,
    frames: Vec<FlacFrame>,
    pushed: u64,
    made: u64,
}

impl FlacTrack {
    /// Starts the encoder; the next sample pushed is the file's first.
    pub fn new(rate: u32) -> Result<Self, FlacError> {
        let encoder = FlacEncoder::new(rate, PACKET_SAMPLES)?;
        Ok(Self { encoder, frames: Vec::new(), pushed: 0, made: 0 })
    }

    /// STREAMINFO, for the file's `dfLa`.
    pub fn stream_info(&mut self) -> [u8; STREAM_INFO_BYTES] {
        self.encoder.stream_info()
    }

    /// Takes samples and appends the packets that they complete.
    pub fn push(&mut self, pcm: &[f32], out: &mut Vec<SoundPacket>) -> Result<(), FlacError> {
        self.pushed += pcm.len() as u64;
        let result = self.encoder.push(pcm, &mut self.frames);
        self.pass_on(out);
        result
    }

    /// Ends a track of `total` samples: appends what is missing to cover them, and takes back
    /// packets in `out` that lie behind.
    pub fn finish(&mut self, total: u64, out: &mut Vec<SoundPacket>) -> Result<(), FlacError> {
        let silence = [0.0; PACKET_SAMPLES as usize];
        while self.pushed < total {
            let n = (total - self.pushed).min(silence.len() as u64) as usize;
            self.push(&silence[..n], out)?;
        }
        if !self.encoder.ended {
            self.encoder.finish(&mut self.frames)?;
        }
        self.pass_on(out);
        out.retain(|packet| packet.index * u64::from(PACKET_SAMPLES) < total);
        Ok(())
    }

    fn pass_on(&mut self, out: &mut Vec<SoundPacket>) {
        for frame in self.frames.drain(..) {
            out.push(SoundPacket { index: self.made, data: frame.data });
            self.made += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.05).sin() * 0.5 + (i as f32 * 0.71).sin() * 0.2).collect()
    }

    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
    }

    #[test]
    fn a_stream_info_says_what_is_in_the_stream_once_it_has_ended() {
        for rate in [44_100, 48_000, 96_000, 192_000] {
            let mut encoder = FlacEncoder::new(rate, 4_096).unwrap();
            assert_eq!(&encoder.head()[..8], b"fLaC\0\0\0\x22");
            let mut frames = Vec::new();
            encoder.push(&sound(10_000), &mut frames).unwrap();
            let info = encoder.finish(&mut frames).unwrap();
            assert_eq!((number(&info[..2]), number(&info[2..4])), (4_096, 4_096));
            let packed = number(&info[10..18]);
            assert_eq!(packed >> 44, u64::from(rate));
            assert_eq!((packed >> 36 & 31) + 1, 24);
            assert_eq!((packed >> 41 & 7, packed & 0xF_FFFF_FFFF), (0, 10_000));
            assert_ne!(info[18..], [0; 16], "the MD5 of the samples");
            let samples: Vec<u32> = frames.iter().map(|f| f.samples).collect();
            assert_eq!(samples, [4_096, 4_096, 1_808]);
            // Each frame begins with its sync code (RFC 9639, 9.1), fixed block size.
            assert!(frames.iter().all(|f| f.data[..2] == [0xFF, 0xF8]));
        }
    }

    #[test]
    fn a_track_gets_exactly_the_packets_that_cover_it_whatever_the_blocks() {
        let make = |block: usize, pushed: usize, total: u64| {
            let mut track = FlacTrack::new(48_000).unwrap();
            let mut packets = Vec::new();
            for samples in sound(pushed).chunks(block) {
                track.push(samples, &mut packets).unwrap();
            }
            track.finish(total, &mut packets).unwrap();
            packets
        };
        let packets = make(240, 48_000, 48_000);
        assert_eq!(packets.len(), 47);
        assert!(packets.iter().enumerate().all(|(i, p)| p.index == i as u64));
        assert_eq!(packets, make(48_000, 48_000, 48_000), "blocks do not matter");
        assert_eq!(make(100, 0, 0).len(), 0);
        assert_eq!(make(100, 100, 2_000).len(), 2);
    }

    #[test]
    fn samples_become_the_nearest_24_bit_step_and_never_wrap() {
        assert_eq!(quantise(0.0), 0);
        assert_eq!(quantise(0.5), 1 << 22);
        assert_eq!(quantise(-1.0), -(1 << 23));
        assert_eq!((quantise(1.0), quantise(7.0)), ((1 << 23) - 1, (1 << 23) - 1));
        assert_eq!(quantise(f32::NAN), 0);
        // What a 24-bit card gave comes back as it was.
        for n in [1, -1, 77, -8_388_607, 8_388_607, 4_194_305] {
            assert_eq!(quantise(n as f32 / 8_388_608.0), n);
        }
    }

    #[test]
    fn what_cannot_be_encoded_is_an_error_and_an_encoder_may_be_dropped_at_any_time() {
        assert!(FlacEncoder::new(48_000, 1).is_err());
        assert!(FlacEncoder::new(0, 4_096).is_err());
        let mut encoder = FlacEncoder::new(48_000, 4_096).unwrap();
        encoder.push(&sound(5_000), &mut Vec::new()).unwrap();
        drop(encoder);
        fn moves<T: Send>() {}
        moves::<FlacEncoder>();
    }
}
