//! This machine's addresses, as peers could use them. Sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::mtu;

/// Addresses that a peer may try, the most likely first: the ones that the default route uses,
/// then IPv4, then IPv6. No loopback, no link-local (an invite cannot carry its scope).
pub fn local_addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(if_addrs::Interface::is_oper_up)
        .map(|interface| interface.ip())
        .filter(|ip| usable(*ip))
        .collect();
    let preferred: Vec<IpAddr> = [route_v4(), route_v6()].into_iter().flatten().collect();
    found.sort_by_key(|ip| {
        let rank = preferred.iter().position(|p| p == ip).unwrap_or(preferred.len());
        (rank, ip.is_ipv6())
    });
    found.dedup();
    found
}

/// A way out of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The system's name.
    pub name: String,
    /// Largest packet, bytes with the IP header, where the system tells.
    pub mtu: Option<u32>,
    /// It has one other end only: a VPN's tunnel, a modem's line.
    pub tunnel: bool,
    /// The default route leads through it.
    pub default: bool,
}

/// Interfaces that are up and have an address that a peer may try, each once.
pub fn interfaces() -> Vec<Interface> {
    let preferred: Vec<IpAddr> = [route_v4(), route_v6()].into_iter().flatten().collect();
    let mut found: Vec<Interface> = Vec::new();
    for one in if_addrs::get_if_addrs().unwrap_or_default() {
        if !one.is_oper_up() || !usable(one.ip()) {
            continue;
        }
        let default = preferred.contains(&one.ip());
        match found.iter_mut().find(|seen| seen.name == one.name) {
            Some(seen) => seen.default |= default,
            None => found.push(Interface {
                mtu: mtu::of(&one.name, one.index),
                tunnel: one.is_p2p,
                default,
                name: one.name,
            }),
        }
    }
    found
}

/// The address for the invite when no public one is known: the one that the default route uses,
/// else the first other one; `None` on a machine without any network.
pub fn best_address() -> Option<IpAddr> {
    route_v4().or_else(|| local_addresses().into_iter().next())
}

/// Whether somebody else could reach it.
fn usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified())
                && v6.to_ipv4_mapped().is_none()
        }
    }
}

// Connecting a UDP socket sends nothing: the kernel only looks the route up and picks the source
// address. The targets are documentation addresses (RFC 5737, RFC 3849), so that nobody is meant.
fn route_v4() -> Option<IpAddr> {
    route(
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)),
    )
}

fn route_v6() -> Option<IpAddr> {
    let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    route(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), SocketAddr::from((target, 9)))
}

fn route(from: SocketAddr, to: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    usable(ip).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_others_can_reach_are_offered() {
        for no in ["127.0.0.1", "169.254.3.4", "0.0.0.0", "::1", "fe80::1", "::ffff:10.0.0.1"] {
            assert!(!usable(no.parse().expect("an address")), "{no}");
        }
        for yes in ["192.168.1.4", "10.1.2.3", "2001:db8::5", "fd00::7"] {
            assert!(usable(yes.parse().expect("an address")), "{yes}");
        }
        for ip in local_addresses() {
            assert!(usable(ip), "{ip}");
        }
    }

    #[test]
    fn each_interface_is_told_once_with_what_it_carries() {
        let all = interfaces();
        assert_eq!(all.is_empty(), local_addresses().is_empty());
        for (n, one) in all.iter().enumerate() {
            assert!(all[..n].iter().all(|before| before.name != one.name), "{all:?}");
            // Smaller than IPv4 allows is none (RFC 791, 3.2).
            assert!(one.mtu.is_none_or(|mtu| mtu >= 68), "{all:?}");
            assert!(!cfg!(target_os = "linux") || one.mtu.is_some(), "{all:?}");
        }
    }

    #[test]
    fn the_best_address_is_one_of_this_machine() {
        let Some(best) = best_address() else { return };
        UdpSocket::bind(SocketAddr::new(best, 0)).expect("an address of this machine can be bound");
        assert!(local_addresses().contains(&best), "{best}");
    }
}
