//! OpenH264 through its C++ vtable, for what its safe wrapper does not reach: several slices with
//! a thread each, no frame skipping, no scene-change IDRs, switching the effort while it runs.
//!
//! The encode happens inside `submit`, on the caller's thread and the library's own. The only
//! room with foreign memory: every pointer is used within one call.
//!
//! The library's threads are one pool for the whole process, and an encoder that ends frees what a
//! thread of the pool may still be at (heap corruption that valgrind and glibc's `malloc.check`
//! show). So only one encoder at a time has threads, calls into the library are made one after the
//! other, and the end of an encoder with threads gives them time first.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openh264_sys2 as sys;
use sys::source::APILoader;

use super::{Effort, EncodedSample, EncoderError, Planes, VideoEncoder, VideoParameters, sps};

/// Most slices a picture is cut into, and threads that work on them: a slice boundary costs
/// about 0.3 % of the bits, and the live encoder and the audio need cores too.
const MAX_SLICES: u32 = 4;
/// Fewest macroblocks worth a slice of their own: 640x360 is 920, two slices of 460.
const MACROBLOCKS_PER_SLICE: u32 = 400;

/// Error code of ours for a call that the library's table lacks.
const NO_SUCH_CALL: i32 = -1;

// nal_unit_type (ITU-T H.264, table 7-1).
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// How long the pool's threads get to leave an encoder that ends. They tell of a picture's last slice
/// some lines before they are done with the encoder's memory, and its end does not wait for all of
/// them; nothing tells from outside when they are.
const LAST_LINES: Duration = Duration::from_millis(50);

/// Held around each call that the library works in.
static LIBRARY: Mutex<()> = Mutex::new(());

fn library() -> MutexGuard<'static, ()> {
    // It guards no data of ours that a panic could have left half written.
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library's pool of threads, which one encoder at a time has.
struct Pool;

static POOL_TAKEN: AtomicBool = AtomicBool::new(false);

impl Pool {
    fn take() -> Option<Self> {
        (!POOL_TAKEN.swap(true, Ordering::AcqRel)).then_some(Self)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        POOL_TAKEN.store(false, Ordering::Release);
    }
}

/// See the module.
pub struct OpenH264 {
    encoder: NonNull<sys::ISVCEncoder>,
    /// Fields are dropped after `drop`: given back when the encoder is gone.
    pool: Option<Pool>,
    parameters: VideoParameters,
    effort: Effort,
    /// What the library fills per picture; 7 KiB, so not on the stack each time.
    info: Box<sys::SFrameBSInfo>,
    /// The SPS as the library wrote it, to notice a change.
    original_sps: Vec<u8>,
    sps: Vec<u8>,
    pps: Vec<u8>,
    done: VecDeque<EncodedSample>,
}

// SAFETY: the library's encoder has no affinity to the thread that made it; `&mut self` on every
// call keeps it with one thread at a time.
unsafe impl Send for OpenH264 {}

impl OpenH264 {
    /// The value of `--encoder` that means this one.
    pub const NAME: &'static str = "openh264";

    /// Starts it with at most that many slices, each with a thread where no other encoder of this
    /// process has threads; one thread does all of them otherwise.
    pub fn with_threads(parameters: &VideoParameters, threads: u32) -> Result<Self, EncoderError> {
        parameters.check()?;
        let slices = threads.min(MAX_SLICES).min(macroblocks(parameters) / MACROBLOCKS_PER_SLICE);
        // It refuses some pairs of size and slice number; every size works in one slice.
        match Self::with_slices(parameters, slices.max(1) as u16) {
            Err(_) if slices > 1 => Self::with_slices(parameters, 1),
            result => result,
        }
    }

    fn with_slices(parameters: &VideoParameters, slices: u16) -> Result<Self, EncoderError> {
        let pool = if slices > 1 { Pool::take() } else { None };
        let calls = library();
        let mut raw: *mut sys::ISVCEncoder = std::ptr::null_mut();
        // SAFETY: the library writes one pointer, and only on success (0).
        let code = unsafe { APILoader::WelsCreateSVCEncoder(&raw mut raw) };
        let encoder = NonNull::new(raw)
            .filter(|_| code == 0)
            .ok_or(EncoderError::Start { name: Self::NAME, code })?;
        let mut this = Self {
            encoder,
            pool,
            parameters: *parameters,
            effort: Effort::Medium,
            info: Box::default(),
            original_sps: Vec::new(),
            sps: Vec::new(),
            pps: Vec::new(),
            done: VecDeque::new(),
        };
        let started = this.initialise(slices);
        // One that did not start is dropped, and that takes it again.
        drop(calls);
        started.map_err(|code| EncoderError::Start { name: Self::NAME, code })?;
        Ok(this)
    }

    fn table(&self) -> &sys::ISVCEncoderVtbl {
        // SAFETY: the object begins with the pointer to its table; both live until it is
        // destroyed in `drop`.
        unsafe { &**self.encoder.as_ptr() }
    }

    fn set_option(&mut self, option: sys::ENCODER_OPTION, mut value: i32) -> Result<(), i32> {
        let set = self.table().SetOption.ok_or(NO_SUCH_CALL)?;
        // SAFETY: the options used here are ints, read during the call.
        let code = unsafe { set(self.encoder.as_ptr(), option, (&raw mut value).cast::<c_void>()) };
        if code == 0 { Ok(()) } else { Err(code) }
    }

    fn initialise(&mut self, slices: u16) -> Result<(), i32> {
        // It would print to standard error otherwise.
        self.set_option(sys::ENCODER_OPTION_TRACE_LEVEL, sys::WELS_LOG_QUIET)?;
        let defaults = self.table().GetDefaultParams.ok_or(NO_SUCH_CALL)?;
        let mut ext = sys::SEncParamExt::default();
        // SAFETY: the library fills the structure during the call.
        let code = unsafe { defaults(self.encoder.as_ptr(), &raw mut ext) };
        if code != 0 {
            return Err(code);
        }
        self.configure(&mut ext, slices);
        let start = self.table().InitializeExt.ok_or(NO_SUCH_CALL)?;
        // SAFETY: the library reads (and copies) the structure during the call.
        let code = unsafe { start(self.encoder.as_ptr(), &raw const ext) };
        if code != 0 {
            return Err(code);
        }
        self.set_option(sys::ENCODER_OPTION_DATAFORMAT, sys::videoFormatI420)
    }

    fn configure(&self, ext: &mut sys::SEncParamExt, slices: u16) {
        let VideoParameters { width, height, fps, bitrate_bps, gop } = self.parameters;
        ext.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
        ext.iPicWidth = width as i32;
        ext.iPicHeight = height as i32;
        ext.iTargetBitrate = bitrate_bps as i32;
        ext.iMaxBitrate = sys::UNSPECIFIED_BIT_RATE as i32;
        ext.iRCMode = sys::RC_BITRATE_MODE;
        // Its default lost 9 of 150 frames; no recorded frame may be lost.
        ext.bEnableFrameSkip = false;
        ext.fMaxFrameRate = fps as f32;
        ext.uiIntraPeriod = gop;
        ext.bEnableSceneChangeDetect = false;
        // Copies what it takes for background from the last picture: smears in a master.
        ext.bEnableBackgroundDetection = false;
        ext.bEnableDenoise = false;
        ext.bEnableLongTermReference = false;
        ext.iNumRefFrame = 1;
        ext.iTemporalLayerNum = 1;
        ext.iSpatialLayerNum = 1;
        ext.eSpsPpsIdStrategy = sys::CONSTANT_ID;
        ext.bPrefixNalAddingCtrl = false;
        ext.bEnableSSEI = false;
        // CABAC costs 30 % more time for 0.13 dB.
        ext.iEntropyCodingModeFlag = 0;
        ext.iMultipleThreadIdc = if self.pool.is_some() { slices } else { 1 };
        // Would move the slice boundaries from picture to picture by measured time: the same
        // input has to give the same file.
        ext.bUseLoadBalancing = false;
        ext.iComplexityMode = complexity(self.effort);
        ext.bEnableFrameCroppingFlag = true;
        let layer = &mut ext.sSpatialLayers[0];
        layer.iVideoWidth = width as i32;
        layer.iVideoHeight = height as i32;
        layer.fFrameRate = fps as f32;
        layer.iSpatialBitrate = bitrate_bps as i32;
        layer.iMaxSpatialBitrate = sys::UNSPECIFIED_BIT_RATE as i32;
        layer.uiProfileIdc = sys::PRO_HIGH;
        layer.uiLevelIdc = sys::LEVEL_4_1;
        if slices > 1 {
            layer.sSliceArgument.uiSliceMode = sys::SM_FIXEDSLCNUM_SLICE;
            layer.sSliceArgument.uiSliceNum = u32::from(slices);
        } else {
            layer.sSliceArgument.uiSliceMode = sys::SM_SINGLE_SLICE;
        }
    }

    fn check_planes(&self, picture: &Planes<'_>) -> Result<(), EncoderError> {
        let (w, h) = (self.parameters.width as usize, self.parameters.height as usize);
        // The last row need not be padded to its stride.
        let long_enough = |plane: &[u8], stride: usize, w: usize, h: usize| {
            let size = stride.checked_mul(h - 1).and_then(|n| n.checked_add(w));
            stride >= w && i32::try_from(stride).is_ok() && size.is_some_and(|n| plane.len() >= n)
        };
        let chroma = |plane| long_enough(plane, picture.stride_uv, w / 2, h / 2);
        if long_enough(picture.y, picture.stride_y, w, h) && chroma(picture.u) && chroma(picture.v)
        {
            return Ok(());
        }
        let VideoParameters { width, height, .. } = self.parameters;
        Err(EncoderError::Picture { width, height })
    }

    /// Sorts what the library has just written into parameter sets and the picture's own units.
    fn collect(&mut self, pts: i64) -> Result<(), EncoderError> {
        let stream = |what| EncoderError::Stream { name: Self::NAME, what };
        let keyframe = self.info.eFrameType == sys::videoFrameTypeIDR;
        let size = usize::try_from(self.info.iFrameSizeInBytes).unwrap_or(0);
        let mut data = Vec::with_capacity(size);
        let layers = usize::try_from(self.info.iLayerNum).unwrap_or(0);
        let mut parameters: [Option<Vec<u8>>; 2] = [None, None];
        for layer in self.info.sLayerInfo.iter().take(layers) {
            for nal in units(layer) {
                let nal = without_start_code(nal).ok_or(stream("no start code"))?;
                match nal[0] & 0x1F {
                    NAL_SPS => parameters[0] = Some(nal.to_vec()),
                    NAL_PPS => parameters[1] = Some(nal.to_vec()),
                    NAL_SLICE | NAL_IDR | NAL_SEI => {
                        let length = u32::try_from(nal.len()).map_err(|_| stream("too long"))?;
                        data.extend_from_slice(&length.to_be_bytes());
                        data.extend_from_slice(nal);
                    }
                    _ => {}
                }
            }
        }
        if let [Some(sps), Some(pps)] = parameters {
            self.keep_parameter_sets(sps, pps).map_err(stream)?;
        }
        if data.is_empty() {
            return Err(stream("an empty picture"));
        }
        self.done.push_back(EncodedSample { pts, keyframe, data });
        Ok(())
    }

    fn keep_parameter_sets(&mut self, sps: Vec<u8>, pps: Vec<u8>) -> Result<(), &'static str> {
        if self.original_sps.is_empty() {
            self.sps = sps::rewrite(&sps, self.parameters.fps)?;
            self.original_sps = sps;
            self.pps = pps;
            return Ok(());
        }
        // The file's header holds them once, for all pictures.
        if self.original_sps != sps || self.pps != pps {
            return Err("its parameters changed on the way");
        }
        Ok(())
    }
}

fn macroblocks(parameters: &VideoParameters) -> u32 {
    parameters.width.div_ceil(16) * parameters.height.div_ceil(16)
}

fn complexity(effort: Effort) -> sys::ECOMPLEXITY_MODE {
    match effort {
        Effort::Low => sys::LOW_COMPLEXITY,
        Effort::Medium => sys::MEDIUM_COMPLEXITY,
    }
}

/// The NAL units of a layer, each with its start code.
fn units(layer: &sys::SLayerBSInfo) -> impl Iterator<Item = &[u8]> {
    let count = usize::try_from(layer.iNalCount).unwrap_or(0);
    let mut at = 0;
    (0..count).map(move |i| {
        // SAFETY: the library promises `iNalCount` lengths, and that many bytes behind `pBsBuf`,
        // valid until the next call; the borrow of `layer` ends before that.
        unsafe {
            let length = usize::try_from(*layer.pNalLengthInByte.add(i)).unwrap_or(0);
            let nal = std::slice::from_raw_parts(layer.pBsBuf.add(at), length);
            at += length;
            nal
        }
    })
}

/// The unit behind its 3- or 4-byte start code; `None` if there is none or nothing behind it.
fn without_start_code(nal: &[u8]) -> Option<&[u8]> {
    let unit = nal.strip_prefix(&[0, 0, 0, 1]).or_else(|| nal.strip_prefix(&[0, 0, 1]))?;
    (!unit.is_empty()).then_some(unit)
}

impl VideoEncoder for OpenH264 {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn submit(&mut self, picture: Planes<'_>, pts: i64) -> Result<(), EncoderError> {
        self.check_planes(&picture)?;
        let failed = |code| EncoderError::Encode { name: Self::NAME, pts, code };
        let encode = self.table().EncodeFrame.ok_or(failed(NO_SUCH_CALL))?;
        let VideoParameters { width, height, fps, .. } = self.parameters;
        let source = sys::SSourcePicture {
            iColorFormat: sys::videoFormatI420,
            iStride: [
                picture.stride_y as i32,
                picture.stride_uv as i32,
                picture.stride_uv as i32,
                0,
            ],
            pData: [
                picture.y.as_ptr().cast_mut(),
                picture.u.as_ptr().cast_mut(),
                picture.v.as_ptr().cast_mut(),
                std::ptr::null_mut(),
            ],
            iPicWidth: width as i32,
            iPicHeight: height as i32,
            // Milliseconds.
            uiTimeStamp: pts * 1_000 / i64::from(fps),
            ..Default::default()
        };
        let code = {
            let _calls = library();
            // SAFETY: the planes hold the whole picture (checked above) and are only read, during
            // the call; `info` is the library's to fill.
            unsafe { encode(self.encoder.as_ptr(), &raw const source, &raw mut *self.info) }
        };
        if code != 0 {
            return Err(failed(code));
        }
        if self.info.eFrameType == sys::videoFrameTypeSkip {
            return Err(EncoderError::Stream { name: Self::NAME, what: "a skipped picture" });
        }
        self.collect(pts)
    }

    fn poll(&mut self) -> Option<EncodedSample> {
        self.done.pop_front()
    }

    fn finish(&mut self) -> Result<(), EncoderError> {
        Ok(())
    }

    fn parameter_sets(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        (!self.sps.is_empty()).then(|| (self.sps.clone(), self.pps.clone()))
    }

    fn set_effort(&mut self, effort: Effort) {
        let _calls = library();
        if effort != self.effort
            && self.set_option(sys::ENCODER_OPTION_COMPLEXITY, complexity(effort)).is_ok()
        {
            self.effort = effort;
        }
    }
}

impl Drop for OpenH264 {
    fn drop(&mut self) {
        if self.pool.is_some() {
            std::thread::sleep(LAST_LINES);
        }
        let _calls = library();
        // SAFETY: the encoder is ours and is not used afterwards; uninitialising one that was
        // never initialised does nothing.
        unsafe {
            if let Some(end) = self.table().Uninitialize {
                end(self.encoder.as_ptr());
            }
            APILoader::WelsDestroySVCEncoder(self.encoder.as_ptr());
        }
    }
}
