//! Cameras of macOS (AVFoundation) and Windows (Media Foundation), through nokhwa.
//!
//! Runs on the camera's thread. nokhwa gives no capture stamps: pictures carry the moment of their
//! arrival.

use std::sync::Arc;

use nokhwa::pixel_format::RgbFormat;
use nokhwa::utils::{
    ApiBackend, CameraFormat as NativeFormat, CameraIndex, FrameFormat, RequestedFormat,
    RequestedFormatType, Resolution,
};
use nokhwa::{NokhwaError, query};

use super::End;
use super::choice::{Mode, choose};
use crate::devices::list::{CameraDevice, CameraFormat};
use crate::devices::supervise::Stop;
use crate::devices::{CameraInfo, CameraSink, DeviceError, What};
use crate::platform::clock;
use crate::video::frame::{ColorRange, Frame, PixelFormat};
