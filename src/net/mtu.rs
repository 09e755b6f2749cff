//! How large a packet an interface takes whole (its MTU). One question to the system.

/// Bytes, IP header included; `None` where the system does not tell. `index` is the interface's
/// number, which Windows asks by; the others ask by name.
#[cfg(target_os = "linux")]
pub fn of(name: &str, _index: Option<u32>) -> Option<u32> {
    let path = std::path::Path::new("/sys/class/net").join(name).join("mtu");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// See the one for Linux.
#[cfg(target_os = "macos")]
pub fn of(name: &str, _index: Option<u32>) -> Option<u32> {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").ok()?;
    // SAFETY: numbers and a union of such; zero is a value of each.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = byte.cast_signed();
    }
    // SAFETY: the request's own structure, ours for the time of the call; it fills in the number.
    let mtu = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) != 0 {
            return None;
        }
        request.ifr_ifru.ifru_mtu
    };
    u32::try_from(mtu).ok()
}

/// See the one for Linux.
#[cfg(windows)]
pub fn of(_name: &str, index: Option<u32>) -> Option<u32> {
    use windows_sys::Win32::NetworkManagement::IpHelper::{GetIfEntry2, MIB_IF_ROW2};
    let mut row = MIB_IF_ROW2 { InterfaceIndex: index?, ..Default::default() };
    // SAFETY: the row is ours for the time of the call; it is looked up by the index.
    let failed = unsafe { GetIfEntry2(&raw mut row) };
    // Loopback tells the largest number there is.
    (failed == 0 && row.Mtu != u32::MAX).then_some(row.Mtu)
}

/// See the one for Linux.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub fn of(_name: &str, _index: Option<u32>) -> Option<u32> {
    None
}
