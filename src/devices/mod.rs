//! Devices, shell: microphone, speaker and camera; each real, synthetic, from or to a file, or off.

pub mod spec;

/// What this machine has.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct DeviceList {
    /// Inputs.
    pub microphones: Vec<DeviceInfo>,
    /// Outputs.
    pub speakers: Vec<DeviceInfo>,
    /// Cameras.
    pub cameras: Vec<DeviceInfo>,
}

/// One device.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct DeviceInfo {
    /// What a flag takes.
    pub id: String,
    /// What a person reads.
    pub name: String,
    /// Used when no flag says otherwise.
    pub default: bool,
}

/// Lists the devices.
pub fn list() -> DeviceList {
    DeviceList::default()
}
