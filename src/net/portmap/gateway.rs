//! The address of this machine's default gateway: NAT-PMP and PCP are asked for there. Sends
//! nothing.

use std::net::Ipv4Addr;

/// The IPv4 gateway of the default route; `None` where there is none.
#[cfg(target_os = "linux")]
pub fn default_gateway() -> Option<Ipv4Addr> {
    parse_routes(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// The IPv4 gateway of the default route; `None` where there is none.
#[cfg(target_os = "macos")]
pub fn default_gateway() -> Option<Ipv4Addr> {
    // The routing socket's messages are no stable interface; the system's own tool is.
    let output = std::process::Command::new("/sbin/route")
        .args(["-n", "get", "default"])
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.trim().strip_prefix("gateway:")?.trim().parse().ok())
}

/// The IPv4 gateway of the default route; `None` where there is none.
#[cfg(windows)]
pub fn default_gateway() -> Option<Ipv4Addr> {
    use windows_sys::Win32::NetworkManagement::IpHelper::{GetBestRoute, MIB_IPFORWARDROW};
    // SAFETY: a plain structure of integers; all zeros is one of its values.
    let mut row: MIB_IPFORWARDROW = unsafe { std::mem::zeroed() };
    // A documentation address (RFC 5737) that only the default route leads to.
    let target = u32::from_ne_bytes(Ipv4Addr::new(192, 0, 2, 1).octets());
    // SAFETY: `row` is valid for writing during the call.
    let failed = unsafe { GetBestRoute(target, 0, &mut row) };
    let gateway = Ipv4Addr::from(row.dwForwardNextHop.to_ne_bytes());
    (failed == 0 && !gateway.is_unspecified()).then_some(gateway)
}

/// The IPv4 gateway of the default route; `None` where there is none.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub fn default_gateway() -> Option<Ipv4Addr> {
    None
}

/// Reads Linux's table of IPv4 routes (proc(5)): the default route with the least metric. The
/// addresses are the kernel's 32-bit words in hexadecimal, in this machine's byte order.
#[cfg(any(target_os = "linux", test))]
fn parse_routes(table: &str) -> Option<Ipv4Addr> {
    const UP_AND_GATEWAY: u32 = 0x1 | 0x2;
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let field: Vec<&str> = line.split_whitespace().collect();
            let hex = |i: usize| u32::from_str_radix(field.get(i)?, 16).ok();
            let metric: u32 = field.get(6)?.parse().ok()?;
            let usable = hex(3)? & UP_AND_GATEWAY == UP_AND_GATEWAY;
            (usable && hex(1)? == 0 && hex(7)? == 0)
                .then(|| Some((metric, Ipv4Addr::from(hex(2)?.to_ne_bytes()))))?
        })
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_with_the_least_metric_is_taken() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n";
        assert_eq!(parse_routes(table), Some(Ipv4Addr::new(192, 168, 1, 1)));
        assert_eq!(parse_routes("Iface\tDestination\n"), None);
        assert_eq!(parse_routes("x\nnonsense line\n\n"), None);
    }
}
