//! This machine's addresses, as peers could use them. Sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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
    fn the_best_address_is_one_of_this_machine() {
        let Some(best) = best_address() else { return };
        UdpSocket::bind(SocketAddr::new(best, 0)).expect("an address of this machine can be bound");
        assert!(local_addresses().contains(&best), "{best}");
    }
}
