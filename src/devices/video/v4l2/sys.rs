//! The part of Linux' videodev2.h that a camera needs: its structures, numbers and requests.
//!
//! Names and order of the fields are the header's. Reserved fields are there for the size, which is
//! part of a request's number: the kernel refuses a request whose structure is not as long as its.

use std::ffi::{c_int, c_ulong};

/// V4L2_CAP_VIDEO_CAPTURE.
pub const CAP_VIDEO_CAPTURE: u32 = 0x1;
/// V4L2_CAP_STREAMING.
pub const CAP_STREAMING: u32 = 0x0400_0000;
/// V4L2_CAP_DEVICE_CAPS: `device_caps` is filled in.
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
/// V4L2_BUF_TYPE_VIDEO_CAPTURE.
pub const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
/// V4L2_MEMORY_MMAP.
pub const MEMORY_MMAP: u32 = 1;
/// V4L2_BUF_FLAG_ERROR.
pub const BUF_FLAG_ERROR: u32 = 0x40;
/// V4L2_BUF_FLAG_TIMESTAMP_MASK.
pub const BUF_FLAG_TIMESTAMP_MASK: u32 = 0xE000;
/// V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC.
pub const BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x2000;
/// V4L2_FRMSIZE_TYPE_DISCRETE, V4L2_FRMIVAL_TYPE_DISCRETE.
pub const TYPE_DISCRETE: u32 = 1;
/// V4L2_PIX_FMT_PRIV_MAGIC, which says that the fields from `flags` on mean something.
pub const PIX_FMT_PRIV_MAGIC: u32 = 0xFEED_CAFE;

/// struct v4l2_capability.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

/// struct v4l2_fmtdesc.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FmtDesc {
    pub index: u32,
    pub type_: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixelformat: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

/// struct v4l2_fract, seconds for each picture.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Fract {
    pub numerator: u32,
    pub denominator: u32,
}

/// struct v4l2_frmsize_discrete and, behind it, the rest of v4l2_frmsize_stepwise: where the sizes
/// are a list, `min_width` and `max_width` are width and height.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FrmSize {
    pub min_width: u32,
    pub max_width: u32,
    pub step_width: u32,
    pub min_height: u32,
    pub max_height: u32,
    pub step_height: u32,
}

/// struct v4l2_frmsizeenum.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FrmSizeEnum {
    pub index: u32,
    pub pixel_format: u32,
    pub type_: u32,
    pub size: FrmSize,
    pub reserved: [u32; 2],
}

/// struct v4l2_frmivalenum; where the intervals are a list, `min` is the one.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FrmIvalEnum {
    pub index: u32,
    pub pixel_format: u32,
    pub width: u32,
    pub height: u32,
    pub type_: u32,
    pub min: Fract,
    pub max: Fract,
    pub step: Fract,
    pub reserved: [u32; 2],
}

/// struct v4l2_pix_format.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PixFormat {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub bytesperline: u32,
    pub sizeimage: u32,
    pub colorspace: u32,
    pub priv_: u32,
    pub flags: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub xfer_func: u32,
}

/// The union in struct v4l2_format; another member of it holds pointers, so it is aligned to them.
#[derive(Clone, Copy)]
#[repr(C)]
pub union FormatUnion {
    pub pix: PixFormat,
    pub raw_data: [u8; 200],
    pub aligned: *mut u8,
}

/// struct v4l2_format.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Format {
    pub type_: u32,
    pub fmt: FormatUnion,
}

/// struct v4l2_captureparm.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CaptureParm {
    pub capability: u32,
    pub capturemode: u32,
    pub timeperframe: Fract,
    pub extendedmode: u32,
    pub readbuffers: u32,
    pub reserved: [u32; 4],
}

/// The union in struct v4l2_streamparm.
#[derive(Clone, Copy)]
#[repr(C)]
pub union ParmUnion {
    pub capture: CaptureParm,
    pub raw_data: [u8; 200],
}

/// struct v4l2_streamparm.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct StreamParm {
    pub type_: u32,
    pub parm: ParmUnion,
}

/// struct v4l2_requestbuffers.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RequestBuffers {
    pub count: u32,
    pub type_: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u8,
    pub reserved: [u8; 3],
}

/// struct v4l2_timecode.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Timecode {
    pub type_: u32,
    pub flags: u32,
    pub frames: u8,
    pub seconds: u8,
    pub minutes: u8,
    pub hours: u8,
    pub userbits: [u8; 4],
}

/// The union in struct v4l2_buffer.
#[derive(Clone, Copy)]
#[repr(C)]
pub union BufferMemory {
    pub offset: u32,
    pub userptr: c_ulong,
}

/// struct v4l2_buffer.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Buffer {
    pub index: u32,
    pub type_: u32,
    pub bytesused: u32,
    pub flags: u32,
    pub field: u32,
    pub timestamp: libc::timeval,
    pub timecode: Timecode,
    pub sequence: u32,
    pub memory: u32,
    pub m: BufferMemory,
    pub length: u32,
    pub reserved2: u32,
    pub request_fd: i32,
}

nix::ioctl_read!(querycap, b'V', 0, Capability);
nix::ioctl_readwrite!(enum_fmt, b'V', 2, FmtDesc);
nix::ioctl_readwrite!(s_fmt, b'V', 5, Format);
nix::ioctl_readwrite!(reqbufs, b'V', 8, RequestBuffers);
nix::ioctl_readwrite!(querybuf, b'V', 9, Buffer);
nix::ioctl_readwrite!(qbuf, b'V', 15, Buffer);
nix::ioctl_readwrite!(dqbuf, b'V', 17, Buffer);
nix::ioctl_write_ptr!(streamon, b'V', 18, c_int);
nix::ioctl_write_ptr!(streamoff, b'V', 19, c_int);
nix::ioctl_readwrite!(s_parm, b'V', 22, StreamParm);
nix::ioctl_readwrite!(enum_framesizes, b'V', 74, FrmSizeEnum);
nix::ioctl_readwrite!(enum_frameintervals, b'V', 75, FrmIvalEnum);

/// A structure of this module with zero in all of its fields.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` says that zero is a value of each field.
    unsafe { std::mem::zeroed() }
}

/// The structures that are numbers only, or unions of such.
pub trait Plain: Copy {}
impl Plain for Capability {}
impl Plain for FmtDesc {}
impl Plain for FrmSizeEnum {}
impl Plain for FrmIvalEnum {}
impl Plain for PixFormat {}
impl Plain for Format {}
impl Plain for StreamParm {}
impl Plain for RequestBuffers {}
impl Plain for Buffer {}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    // A C program that includes linux/videodev2.h printed these numbers (x86-64, Linux 6.1).
    #[test]
    fn structures_lie_in_memory_as_the_kernels_header_has_them() {
        assert_eq!(size_of::<Capability>(), 104);
        assert_eq!(offset_of!(Capability, card), 16);
        assert_eq!(offset_of!(Capability, capabilities), 84);
        assert_eq!(offset_of!(Capability, device_caps), 88);
        assert_eq!(size_of::<FmtDesc>(), 64);
        assert_eq!(offset_of!(FmtDesc, pixelformat), 44);
        assert_eq!(size_of::<FrmSizeEnum>(), 44);
        assert_eq!(offset_of!(FrmSizeEnum, type_), 8);
        assert_eq!(offset_of!(FrmSizeEnum, size), 12);
        assert_eq!(size_of::<FrmIvalEnum>(), 52);
        assert_eq!(offset_of!(FrmIvalEnum, type_), 16);
        assert_eq!(offset_of!(FrmIvalEnum, min), 20);
        assert_eq!(size_of::<PixFormat>(), 48);
        assert_eq!(offset_of!(PixFormat, bytesperline), 16);
        assert_eq!(offset_of!(PixFormat, colorspace), 24);
        assert_eq!(offset_of!(PixFormat, priv_), 28);
        assert_eq!(offset_of!(PixFormat, ycbcr_enc), 36);
        assert_eq!(offset_of!(PixFormat, quantization), 40);
        assert_eq!(size_of::<Format>(), 208);
        assert_eq!(offset_of!(Format, fmt), 8);
        assert_eq!(size_of::<StreamParm>(), 204);
        assert_eq!(offset_of!(StreamParm, parm), 4);
        assert_eq!(offset_of!(CaptureParm, timeperframe), 8);
        assert_eq!(size_of::<RequestBuffers>(), 20);
        assert_eq!(size_of::<Buffer>(), 88);
        assert_eq!(offset_of!(Buffer, flags), 12);
        assert_eq!(offset_of!(Buffer, timestamp), 24);
        assert_eq!(offset_of!(Buffer, sequence), 56);
        assert_eq!(offset_of!(Buffer, memory), 60);
        assert_eq!(offset_of!(Buffer, m), 64);
        assert_eq!(offset_of!(Buffer, length), 72);
    }
}
