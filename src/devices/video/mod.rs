//! Real cameras behind one interface: V4L2 on Linux, AVFoundation and Media Foundation elsewhere.

pub mod choice;
#[cfg(not(target_os = "linux"))]
mod native;
mod pictures;
#[cfg(target_os = "linux")]
mod v4l2;
pub mod y4m;

#[cfg(not(target_os = "linux"))]
use native as system;
#[cfg(target_os = "linux")]
use v4l2 as system;

use super::list::CameraDevice;
use super::supervise::Stop;
use super::{CameraInfo, CameraSink, DeviceError};

/// All cameras, in the system's order.
pub fn cameras() -> Vec<CameraDevice> {
    system::cameras()
}

/// How a running camera ended.
pub enum End {
    /// It was asked to.
    Stopped,
    /// The device is gone or stuck.
    Lost(String),
}

/// A camera that is open and delivers.
pub struct Open {
    /// What was got.
    pub info: CameraInfo,
    inner: system::Camera,
}

impl Open {
    /// Opens the camera with that id in its best format.
    pub fn new(id: &str, name: &str) -> Result<Self, DeviceError> {
        let (info, inner) = system::Camera::open(id, name)?;
        Ok(Self { info, inner })
    }

    /// Delivers until it is lost or asked to stop. Frame numbers go on from `next_number`, so that
    /// they rise across a loss.
    pub fn run(self, sink: &mut dyn CameraSink, next_number: &mut u64, stop: &Stop) -> End {
        self.inner.run(sink, next_number, stop)
    }
}

/// Which camera a flag means; without a name the first.
pub fn resolve(wanted: Option<&str>) -> Result<(String, String), DeviceError> {
    use super::{What, matching};
    let list = cameras();
    let found = match wanted {
        None => list.first().ok_or(DeviceError::None { what: What::Camera })?,
        Some(wanted) => {
            let fits = matching::find(What::Camera, wanted, &list)?;
            // Two cameras of one model have one name: they differ by their ids only.
            if fits.len() > 1 {
                let fits = fits.iter().map(|c| format!("{} ({})", c.name, c.id)).collect();
                let wanted = wanted.to_owned();
                return Err(DeviceError::Ambiguous { what: What::Camera, wanted, fits });
            }
            fits[0]
        }
    };
    Ok((found.id.clone(), found.name.clone()))
}
