//! ALSA without a shell in between: the program's own threads read the microphone at each frame's
//! end and write the speaker as sound arrives, whatever period the device has.
//!
//! cpal hands over whole periods and keeps two of them in the speaker's buffer. That is two periods
//! of delay, and a microphone buffer of two periods, which a late wake-up overruns. Here the buffers
//! are large and their fill is what decides: the microphone's is empty but for what the frame still
//! lacks, the speaker's holds a small reserve (see [`super::reserve`]). Nothing spins: between two
//! looks at the device's position the threads sleep for as long as the missing samples take.
//!
//! It is not for everything: sound servers and drivers that move samples in large batches need the
//! usual way, and so do rates other than 48 kHz. [`open`] says so, and the caller takes cpal.

pub mod capture;
pub mod playback;

use std::ffi::CString;

use alsa::pcm::{Access, Format, Frames, HwParams, PCM};
use alsa::{Direction, ValueOr};
use cpal::{Data, SampleFormat};

use crate::devices::What;
use crate::devices::supervise::Helper;
use crate::platform::priority::Grant;
use crate::units::SAMPLE_RATE;

/// Period to ask for when none is pinned, frames: decides only how often the card interrupts, and a
/// little about how finely some drivers tell their position.
const PERIOD: Frames = 240;
/// Microphone's buffer, frames: half a second, so that no stall of this machine loses a sample.
const CAPTURE_BUFFER: Frames = 24_000;
/// Speaker's buffer, frames: 85 ms of room for the reserve and two frames of sound.
const PLAYBACK_BUFFER: Frames = 4_096;
/// Least room that the reserve needs in the speaker's buffer.
const LEAST_BUFFER: Frames = 1_536;

/// A device that can be used so, not running yet.
pub struct Opened {
    pcm: PCM,
    /// Sample format.
    pub format: SampleFormat,
    /// Channels.
    pub channels: u16,
    /// The device's own period, frames.
    pub period: u32,
    /// The device's buffer, frames.
    pub buffer: u32,
}

/// A running device; dropping it stops and closes it.
pub struct Direct {
    /// What the thread was granted.
    pub grant: Grant,
    _helper: Helper,
}

/// Opens the device that ALSA calls `name`. The error says why it cannot be used in this way.
///
/// `channels` is the least number of channels.
pub fn open(what: What, name: &str, channels: u16, period: Option<u32>) -> Result<Opened, String> {
    let (direction, speaker) = match what {
        What::Microphone => (Direction::Capture, false),
        _ => (Direction::Playback, true),
    };
    let path = CString::new(name).map_err(|_| "its name holds a zero".to_owned())?;
    let said = |e: alsa::Error| {
        std::io::Error::from_raw_os_error(e.errno()).to_string().replace(" (os error", "; error")
    };
    // Before it is opened: nobody opens an exclusive device twice.
    if speaker && batches(&path) {
        return Err("its driver fetches sound in batches".to_owned());
    }
    let pcm = PCM::open(&path, direction, true).map_err(said)?;
    if let Some(server) = server(&pcm) {
        return Err(format!("it belongs to the sound server {server}"));
    }
    let (format, channels, period, buffer) = {
        let hw = HwParams::any(&pcm).map_err(said)?;
        hw.set_access(Access::RWInterleaved).map_err(said)?;
        // A rate that only alsa-lib would convert to has a delay that nobody tells.
        let _ = hw.set_rate_resample(false);
        hw.set_rate(SAMPLE_RATE, ValueOr::Nearest).map_err(|_| "it has no 48 kHz".to_owned())?;
        let formats = [
            (Format::float(), SampleFormat::F32),
            (Format::s32(), SampleFormat::I32),
            (Format::s16(), SampleFormat::I16),
        ];
        let (theirs, ours) = formats
            .into_iter()
            .find(|(f, _)| hw.test_format(*f).is_ok())
            .ok_or("its sample formats are unusual")?;
        hw.set_format(theirs).map_err(said)?;
        let wanted = if speaker { 2 } else { u32::from(channels.max(1)) };
        let got = hw.set_channels_near(wanted).map_err(said)?;
        if got < u32::from(channels) {
            return Err(format!("it has {got} channels"));
        }
        let period = period.map_or(PERIOD, Frames::from);
        hw.set_period_size_near(period, ValueOr::Nearest).map_err(said)?;
        let room = if speaker { PLAYBACK_BUFFER } else { CAPTURE_BUFFER };
        hw.set_buffer_size_near(room).map_err(said)?;
        pcm.hw_params(&hw).map_err(said)?;
        let period = hw.get_period_size().map_err(said)?;
        let buffer = hw.get_buffer_size().map_err(said)?;
        (ours, got as u16, period, buffer)
    };
    if speaker && buffer < LEAST_BUFFER {
        return Err(format!("its buffer of {buffer} frames is too small"));
    }
    {
        let sw = pcm.sw_params_current().map_err(said)?;
        // Only an explicit start starts it: the reserve must be in there first.
        sw.set_start_threshold(sw.get_boundary().map_err(said)?).map_err(said)?;
        pcm.sw_params(&sw).map_err(said)?;
    }
    Ok(Opened { pcm, format, channels, period: period as u32, buffer: buffer as u32 })
}

/// Its samples go through another process, which has a buffer of its own and takes whole periods.
fn server(pcm: &PCM) -> Option<&'static str> {
    let info = pcm.info().ok()?;
    let texts = [info.get_name(), info.get_id(), info.get_subdevice_name()];
    ["PipeWire", "PulseAudio", "JACK"].into_iter().find(|server| {
        let server = server.to_lowercase();
        texts.iter().flatten().any(|text| text.to_lowercase().contains(&server))
    })
}

/// The driver reads or writes whole blocks ahead of the position that it tells: what is written
/// close in front of that is not heard, and no underrun is told.
fn batches(name: &CString) -> bool {
    let mut pcm = std::ptr::null_mut();
    let mut params = std::ptr::null_mut();
    // SAFETY: valid places to write to; both are released below, in every case in which they were
    // made; the name is terminated.
    unsafe {
        let flags = alsa_sys::SND_PCM_NONBLOCK;
        let stream = alsa_sys::SND_PCM_STREAM_PLAYBACK;
        if alsa_sys::snd_pcm_open(&mut pcm, name.as_ptr(), stream, flags) < 0 {
            // The open that follows says why.
            return false;
        }
        let mut batch = false;
        if alsa_sys::snd_pcm_hw_params_malloc(&mut params) >= 0 {
            if alsa_sys::snd_pcm_hw_params_any(pcm, params) >= 0 {
                batch = alsa_sys::snd_pcm_hw_params_is_batch(params) == 1;
            }
            alsa_sys::snd_pcm_hw_params_free(params);
        }
        alsa_sys::snd_pcm_close(pcm);
        batch
    }
}

/// What an error of a running device means.
enum Trouble {
    /// It has run over or dry, or was suspended; it was set up again and must be started.
    Restarted,
    /// Try again later.
    Later,
    /// It is gone.
    Lost(alsa::Error),
}

fn trouble(pcm: &PCM, e: alsa::Error) -> Trouble {
    match e.errno() {
        libc::EPIPE | libc::ESTRPIPE => match pcm.prepare() {
            Ok(()) => Trouble::Restarted,
            Err(e) => Trouble::Lost(e),
        },
        libc::EAGAIN | libc::EINTR => Trouble::Later,
        _ => Trouble::Lost(e),
    }
}

/// Room for one block in the device's own format.
struct Block {
    // Aligned for every sample type.
    bytes: Box<[u64]>,
    format: SampleFormat,
    channels: usize,
}

impl Block {
    fn new(frames: usize, format: SampleFormat, channels: u16) -> Self {
        let channels = usize::from(channels);
        let bytes = frames * channels * format.sample_size();
        Self { bytes: vec![0; bytes.div_ceil(8)].into_boxed_slice(), format, channels }
    }

    fn len(&self, frames: usize) -> usize {
        frames * self.channels * self.format.sample_size()
    }

    /// The first `frames` frames as bytes.
    fn bytes(&mut self, frames: usize) -> &mut [u8] {
        let len = self.len(frames).min(self.bytes.len() * 8);
        // SAFETY: as many bytes belong to the words; every bit pattern is a byte.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_mut_ptr().cast(), len) }
    }

    /// The first `frames` frames as the callbacks of cpal know them.
    fn data(&mut self, frames: usize) -> Data {
        let size = self.format.sample_size();
        let samples = self.len(frames).min(self.bytes.len() * 8) / size;
        // SAFETY: the words hold as many samples, are aligned for each of the formats that are
        // opened here, and outlive the value, which borrows them by the caller's use.
        unsafe { Data::from_parts(self.bytes.as_mut_ptr().cast(), samples, self.format) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_no_device_and_says_so() {
        for what in [What::Microphone, What::Speaker] {
            let Err(why) = open(what, "hyperzoom_has_no_such_device", 1, None) else {
                panic!("it does not exist");
            };
            assert!(!why.is_empty() && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn alsas_own_null_device_opens_in_both_directions() {
        // Part of alsa-lib wherever its configuration is installed.
        if !std::path::Path::new("/usr/share/alsa/alsa.conf").exists() {
            return;
        }
        for what in [What::Microphone, What::Speaker] {
            let opened = open(what, "null", 1, Some(120)).expect("it takes anything");
            assert_eq!(opened.format, SampleFormat::F32);
            assert!(opened.period > 0 && opened.buffer >= opened.period);
        }
    }

    #[test]
    fn a_block_is_as_long_as_its_frames() {
        let mut block = Block::new(100, SampleFormat::I16, 2);
        assert_eq!(block.bytes(7).len(), 28);
        assert_eq!(block.data(7).len(), 14);
        assert_eq!(block.bytes(10_000).len(), 400);
    }
}
