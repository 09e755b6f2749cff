//! VP8 by libvpx: a thin safe wrapper, one encoder and one decoder, one thread each.
//!
//! All `unsafe` of live video is in this file. Both types own their libvpx context; they may move
//! between threads and are used by one at a time.

use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::mem::MaybeUninit;
use std::ptr;

use vpx_sys as vpx;

use super::error::VideoError;
use super::image::I420;

/// Widest and highest picture that a decoder accepts, pixels. Live video is 854x480; the room is
/// for later sizes. VP8 itself allows 16,383, which a stranger could use to eat memory.
pub const MAX_LIVE_SIDE: u32 = 1920;

/// Largest keyframe in percent of the mean frame. At 24 fps and 400 kbit/s the mean is 2.1 kB, so
/// a keyframe stays below about 9 kB: eight packets, which the pacer spreads over some 70 ms.
const MAX_KEYFRAME_PERCENT: c_uint = 450;

/// Speed against quality; -8 costs 0.2 dB against -4 and half of its time (measured at 480p).
const CPU_USED: c_int = -8;

/// A frame that changes nothing that later ones look at: pictures and probabilities.
const UPPER_LAYER: c_uint = vpx::VP8_EFLAG_NO_UPD_LAST
    | vpx::VP8_EFLAG_NO_UPD_GF
    | vpx::VP8_EFLAG_NO_UPD_ARF
    | vpx::VP8_EFLAG_NO_UPD_ENTROPY;

/// What an encoder makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Config {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames a second; the time base of `pts_frame`.
    pub fps: u32,
    /// Target bitrate, kbit/s.
    pub kbps: u32,
    /// Frames from one keyframe to the next at most.
    pub keyframe_interval: u32,
}

/// Encodes pictures in real time.
pub struct Vp8Encoder {
    /// Boxed, because libvpx keeps pointers into its context's configuration.
    context: Box<vpx::vpx_codec_ctx_t>,
    settings: Box<vpx::vpx_codec_enc_cfg_t>,
    config: Vp8Config,
}

// SAFETY: a libvpx context has no thread affinity; `&mut self` keeps its use to one at a time.
unsafe impl Send for Vp8Encoder {}

impl Vp8Encoder {
    /// An encoder whose first frame is a keyframe.
    pub fn new(config: &Vp8Config) -> Result<Self, VideoError> {
        check(config)?;
        let mut settings = MaybeUninit::zeroed();
        // SAFETY: the pointer is to memory of the type that libvpx fills.
        let result = unsafe {
            vpx::vpx_codec_enc_config_default(vpx::vpx_codec_vp8_cx(), settings.as_mut_ptr(), 0)
        };
        if result != vpx::VPX_CODEC_OK {
            return Err(failed("set-up", result));
        }
        // SAFETY: libvpx has filled the settings.
        let mut settings: Box<vpx::vpx_codec_enc_cfg_t> =
            Box::new(unsafe { settings.assume_init() });
        apply(config, &mut settings);
        // SAFETY: all-zero bytes are a valid context before its initialisation (vpx_codec.h).
        let mut context: Box<vpx::vpx_codec_ctx_t> = Box::new(unsafe { std::mem::zeroed() });
        // SAFETY: context and settings live in boxes for as long as the context is used.
        let result = unsafe {
            vpx::vpx_codec_enc_init_ver(
                &mut *context,
                vpx::vpx_codec_vp8_cx(),
                &*settings,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as c_int,
            )
        };
        if result != vpx::VPX_CODEC_OK {
            return Err(failed("set-up", result));
        }
        let mut encoder = Self { context, settings, config: *config };
        use vpx::vp8e_enc_control_id::*;
        // Pixels that change by less than the noise of a sensor need no new data.
        for (control, value) in [
            (VP8E_SET_CPUUSED, CPU_USED),
            (VP8E_SET_STATIC_THRESHOLD, 1),
            (VP8E_SET_TOKEN_PARTITIONS, 0),
            (VP8E_SET_NOISE_SENSITIVITY, 0),
            (VP8E_SET_MAX_INTRA_BITRATE_PCT, MAX_KEYFRAME_PERCENT as c_int),
        ] {
            encoder.control(control, value)?;
        }
        Ok(encoder)
    }

    fn control(&mut self, id: vpx::vp8e_enc_control_id, value: c_int) -> Result<(), VideoError> {
        // SAFETY: the context is initialised; each of these controls takes one int.
        let result = unsafe { vpx::vpx_codec_control_(&mut *self.context, id as c_int, value) };
        if result == vpx::VPX_CODEC_OK { Ok(()) } else { Err(failed("set-up", result)) }
    }

    /// What it makes now.
    pub fn config(&self) -> &Vp8Config {
        &self.config
    }

    /// Changes bitrate, rate, size or keyframe distance of the running stream. A new size starts
    /// with a keyframe. On an error the old configuration stays.
    pub fn reconfigure(&mut self, config: &Vp8Config) -> Result<(), VideoError> {
        check(config)?;
        // libvpx cannot grow beyond the size that it was made for.
        let grows = config.width > self.config.width || config.height > self.config.height;
        if grows || config.fps != self.config.fps {
            *self = Self::new(config)?;
            return Ok(());
        }
        let mut settings = self.settings.clone();
        apply(config, &mut settings);
        // SAFETY: the context is initialised; libvpx keeps the pointer, so the box moves into
        // `self` when it succeeded, and the old one lives on when not.
        let result = unsafe { vpx::vpx_codec_enc_config_set(&mut *self.context, &*settings) };
        if result != vpx::VPX_CODEC_OK {
            return Err(failed("reconfiguration", result));
        }
        self.settings = settings;
        self.config = *config;
        Ok(())
    }

    /// Encodes one picture and appends it to `out`. `pts_frame` counts in frames and must grow.
    ///
    /// Gives whether it became a keyframe; `None` when the encoder made nothing (it never does
    /// with dropping off, but the caller must not count on it).
    pub fn encode(
        &mut self,
        image: &I420,
        pts_frame: i64,
        force_keyframe: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<bool>, VideoError> {
        self.encode_layer(image, pts_frame, force_keyframe, false, out)
    }

    /// The same. With `upper` the frame is of the upper temporal layer: no later one refers to it, so
    /// that it can be left out for whom the path is too thin. (A keyframe is what it is, and not of
    /// that layer.)
    pub fn encode_layer(
        &mut self,
        image: &I420,
        pts_frame: i64,
        force_keyframe: bool,
        upper: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<bool>, VideoError> {
        let (width, height) = (image.width, image.height);
        if (width, height) != (self.config.width, self.config.height)
            || image.data.len() != I420::size(width, height)
        {
            return Err(VideoError::Size { width, height });
        }
        let raw = wrap(image);
        let flags = match (force_keyframe, upper) {
            (true, _) => vpx::VPX_EFLAG_FORCE_KF,
            (false, true) => UPPER_LAYER,
            (false, false) => 0,
        };
        // SAFETY: `raw` points into `image`, which outlives the call; libvpx copies what it
        // keeps and writes nothing.
        let result = unsafe {
            vpx::vpx_codec_encode(
                &mut *self.context,
                &raw,
                pts_frame,
                1,
                // Both are a C long, whose width depends on the platform.
                flags as vpx::vpx_enc_frame_flags_t,
                vpx::VPX_DL_REALTIME as c_ulong,
            )
        };
        if result != vpx::VPX_CODEC_OK {
            return Err(failed("encoding", result));
        }
        let mut made = None;
        let mut iterator: vpx::vpx_codec_iter_t = ptr::null();
        loop {
            // SAFETY: the context is initialised; the iterator starts as null, as documented.
            let packet = unsafe { vpx::vpx_codec_get_cx_data(&mut *self.context, &mut iterator) };
            // SAFETY: a packet that is not null is valid until the next call of the encoder.
            let Some(packet) = (unsafe { packet.as_ref() }) else { break };
            if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: `kind` says that the union holds a frame; its buffer has `sz` bytes.
            let (bytes, flags) = unsafe {
                let frame = &packet.data.frame;
                (std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize), frame.flags)
            };
            out.extend_from_slice(bytes);
            made = Some(flags & vpx::VPX_FRAME_IS_KEY != 0);
        }
        Ok(made)
    }
}

impl Drop for Vp8Encoder {
    fn drop(&mut self) {
        // SAFETY: the context is initialised and not used again.
        unsafe { vpx::vpx_codec_destroy(&mut *self.context) };
    }
}

fn check(config: &Vp8Config) -> Result<(), VideoError> {
    let (width, height) = (config.width, config.height);
    let fits = |side: u32| (2..=MAX_LIVE_SIDE).contains(&side) && side.is_multiple_of(2);
    if !fits(width) || !fits(height) {
        return Err(VideoError::Size { width, height });
    }
    if !(1..=240).contains(&config.fps) || config.kbps == 0 || config.keyframe_interval == 0 {
        return Err(VideoError::Vp8 {
            what: "set-up",
            detail: "rate, bitrate and keyframe distance must be above 0".to_owned(),
        });
    }
    Ok(())
}

fn apply(config: &Vp8Config, settings: &mut vpx::vpx_codec_enc_cfg_t) {
    settings.g_w = config.width;
    settings.g_h = config.height;
    settings.g_timebase.num = 1;
    settings.g_timebase.den = config.fps as c_int;
    // Two threads were ten times slower than one on two cores.
    settings.g_threads = 1;
    settings.g_error_resilient = vpx::VPX_ERROR_RESILIENT_DEFAULT;
    settings.g_pass = vpx::vpx_enc_pass::VPX_RC_ONE_PASS;
    settings.g_lag_in_frames = 0;
    settings.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
    settings.rc_target_bitrate = config.kbps;
    settings.rc_min_quantizer = 4;
    settings.rc_max_quantizer = 60;
    settings.rc_undershoot_pct = 100;
    settings.rc_overshoot_pct = 15;
    // One second of buffer, as conversational senders use it: short enough to follow a change.
    settings.rc_buf_sz = 1000;
    settings.rc_buf_initial_sz = 500;
    settings.rc_buf_optimal_sz = 600;
    // Whoever sends decides what is left out, before it is encoded and so without lost references.
    settings.rc_dropframe_thresh = 0;
    settings.rc_resize_allowed = 0;
    settings.kf_mode = vpx::vpx_kf_mode::VPX_KF_AUTO;
    settings.kf_min_dist = 0;
    settings.kf_max_dist = config.keyframe_interval;
    settings.ts_number_layers = 1;
}

/// The picture as libvpx describes one, pointing into `image`.
fn wrap(image: &I420) -> vpx::vpx_image_t {
    // SAFETY: all-zero bytes are a valid vpx_image_t (null pointers, format "none").
    let mut raw: vpx::vpx_image_t = unsafe { std::mem::zeroed() };
    let chroma = image.chroma_width() as c_int;
    raw.fmt = vpx::vpx_img_fmt::VPX_IMG_FMT_I420;
    (raw.w, raw.h) = (image.width, image.height);
    (raw.d_w, raw.d_h) = (image.width, image.height);
    raw.bit_depth = 8;
    raw.bps = 12;
    (raw.x_chroma_shift, raw.y_chroma_shift) = (1, 1);
    raw.stride = [image.width as c_int, chroma, chroma, 0];
    raw.planes = [
        image.y().as_ptr().cast_mut(),
        image.u().as_ptr().cast_mut(),
        image.v().as_ptr().cast_mut(),
        ptr::null_mut(),
    ];
    raw
}

fn failed(what: &'static str, code: vpx::vpx_codec_err_t) -> VideoError {
    // SAFETY: gives a static text for every code.
    let text = unsafe { CStr::from_ptr(vpx::vpx_codec_err_to_string(code)) };
    VideoError::Vp8 { what, detail: text.to_string_lossy().into_owned() }
}

/// What became of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole picture is in `out`.
    Whole {
        /// It depended on nothing.
        keyframe: bool,
    },
    /// The frame or one that it refers to is damaged; `out` is untouched. Ask for a keyframe.
    Damaged,
    /// The frame was decoded and is not for showing; `out` is untouched.
    Hidden,
}

/// Decodes one stream.
pub struct Vp8Decoder {
    context: Box<vpx::vpx_codec_ctx_t>,
    /// A keyframe has been decoded; deltas before it would be garbage.
    started: bool,
}

// SAFETY: a libvpx context has no thread affinity; `&mut self` keeps its use to one at a time.
unsafe impl Send for Vp8Decoder {}

impl Vp8Decoder {
    /// A decoder that waits for its first keyframe.
    pub fn new() -> Result<Self, VideoError> {
        // SAFETY: all-zero bytes are a valid context before its initialisation (vpx_codec.h).
        let mut context: Box<vpx::vpx_codec_ctx_t> = Box::new(unsafe { std::mem::zeroed() });
        let config = vpx::vpx_codec_dec_cfg_t { threads: 1, w: 0, h: 0 };
        // SAFETY: context and configuration are valid; the latter is copied.
        let result = unsafe {
            vpx::vpx_codec_dec_init_ver(
                &mut *context,
                vpx::vpx_codec_vp8_dx(),
                &config,
                0,
                vpx::VPX_DECODER_ABI_VERSION as c_int,
            )
        };
        if result != vpx::VPX_CODEC_OK {
            return Err(failed("set-up", result));
        }
        Ok(Self { context, started: false })
    }

    /// Decodes one whole frame into `out`, which takes the stream's size.
    pub fn decode(&mut self, data: &[u8], out: &mut I420) -> Result<Decoded, VideoError> {
        let keyframe = inspect(data)?;
        if !keyframe && !self.started {
            return Ok(Decoded::Damaged);
        }
        // SAFETY: pointer and length are those of a slice; the context is initialised.
        let result = unsafe {
            vpx::vpx_codec_decode(
                &mut *self.context,
                data.as_ptr(),
                data.len() as c_uint,
                ptr::null_mut(),
                0,
            )
        };
        if result != vpx::VPX_CODEC_OK {
            // What libvpx holds now is unknown: only a keyframe starts it again.
            self.started = false;
            return Err(failed("decoding", result));
        }
        let mut corrupted: c_int = 0;
        // SAFETY: this control writes one int through the pointer.
        let result = unsafe {
            vpx::vpx_codec_control_(
                &mut *self.context,
                vpx::vp8_dec_control_id::VP8D_GET_FRAME_CORRUPTED as c_int,
                &mut corrupted as *mut c_int,
            )
        };
        let mut iterator: vpx::vpx_codec_iter_t = ptr::null();
        // SAFETY: the context is initialised; the iterator starts as null, as documented.
        let picture = unsafe { vpx::vpx_codec_get_frame(&mut *self.context, &mut iterator) };
        if result != vpx::VPX_CODEC_OK || corrupted != 0 {
            self.started = false;
            return Ok(Decoded::Damaged);
        }
        self.started = true;
        // SAFETY: a picture that is not null is valid until the next call of the decoder.
        let Some(picture) = (unsafe { picture.as_ref() }) else { return Ok(Decoded::Hidden) };
        copy_out(picture, out)?;
        Ok(Decoded::Whole { keyframe })
    }
}

impl Drop for Vp8Decoder {
    fn drop(&mut self) {
        // SAFETY: the context is initialised and not used again.
        unsafe { vpx::vpx_codec_destroy(&mut *self.context) };
    }
}

/// Looks at the frame tag (RFC 6386, 9.1) before libvpx does: is it a keyframe, and of a size that
/// may be allocated?
fn inspect(data: &[u8]) -> Result<bool, VideoError> {
    let [tag, _, _, rest @ ..] = data else {
        return Err(VideoError::Foreign("shorter than a frame tag"));
    };
    if tag & 1 != 0 {
        return Ok(false);
    }
    let [0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] = *rest else {
        return Err(VideoError::Foreign("a keyframe without its start code"));
    };
    // The two upper bits are a scaling hint for the display.
    let width = u32::from(u16::from_le_bytes([w0, w1]) & 0x3FFF);
    let height = u32::from(u16::from_le_bytes([h0, h1]) & 0x3FFF);
    if !(1..=MAX_LIVE_SIDE).contains(&width) || !(1..=MAX_LIVE_SIDE).contains(&height) {
        return Err(VideoError::Foreign("a keyframe of an impossible size"));
    }
    Ok(true)
}

fn copy_out(picture: &vpx::vpx_image_t, out: &mut I420) -> Result<(), VideoError> {
    let (width, height) = (picture.d_w, picture.d_h);
    if picture.fmt != vpx::vpx_img_fmt::VPX_IMG_FMT_I420
        || !(1..=MAX_LIVE_SIDE).contains(&width)
        || !(1..=MAX_LIVE_SIDE).contains(&height)
    {
        return Err(VideoError::Foreign("not a 4:2:0 picture of a live size"));
    }
    out.resize(width, height);
    let (cw, ch) = (out.chroma_width() as usize, out.chroma_height() as usize);
    let (y, u, v) = out.planes_mut();
    for (index, (plane, w, h)) in
        [(y, width as usize, height as usize), (u, cw, ch), (v, cw, ch)].into_iter().enumerate()
    {
        let stride = picture.stride[index] as isize;
        for (row, target) in plane.chunks_exact_mut(w).take(h).enumerate() {
            // SAFETY: libvpx's plane has at least `h` rows of `stride` bytes, `w` of them picture.
            let source = unsafe {
                std::slice::from_raw_parts(picture.planes[index].offset(row as isize * stride), w)
            };
            target.copy_from_slice(source);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
