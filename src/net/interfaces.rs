//! This machine's addresses, as peers could use them. Sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::mtu;
use crate::protocol::Scope;

/// Addresses that a peer may try, the most likely first, since only some can be offered: the ones that
/// the default routes use, then one of either family of each interface, then all others. No loopback,
/// no link-local (an invite cannot carry its scope).
pub fn local_addresses() -> Vec<IpAddr> {
    let found: Vec<(String, IpAddr)> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(if_addrs::Interface::is_oper_up)
        .map(|interface| (interface.name.clone(), interface.ip()))
        .filter(|(_, ip)| usable(*ip))
        .collect();
    let preferred: Vec<IpAddr> = [route_v4(), route_v6()].into_iter().flatten().collect();
    ordered(&found, &preferred)
}

/// Interfaces' names and addresses in the order of [`local_addresses`], each address once.
fn ordered(found: &[(String, IpAddr)], preferred: &[IpAddr]) -> Vec<IpAddr> {
    let rank = |at: usize| {
        let (name, ip) = &found[at];
        let route = preferred.iter().position(|p| p == ip).unwrap_or(preferred.len());
        // Privacy extensions give an interface several IPv6 addresses: one of them must not keep
        // another interface's only one from being offered.
        let alike = |(n, (other, o)): (usize, &(String, IpAddr))| {
            n != at
                && other == name
                && o.is_ipv4() == ip.is_ipv4()
                && (n < at || preferred.contains(o))
        };
        let before = found.iter().enumerate().filter(|one| alike(*one)).count();
        let interface = found.iter().position(|(other, _)| other == name);
        (route, before, interface, ip.is_ipv6(), at)
    };
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_key(|&at| rank(at));
    let mut addresses = Vec::with_capacity(order.len());
    for at in order {
        if !addresses.contains(&found[at].1) {
            addresses.push(found[at].1);
        }
    }
    addresses
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
    best(route_v4().into_iter().chain(local_addresses()))
}

/// The first; one that a provider shares among its customers only where there is no other: it lets
/// nobody in, while a home's own does at home.
fn best(addresses: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    addresses.min_by_key(|ip| Scope::of(*ip) == Scope::Carrier)
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
    fn each_interface_comes_with_both_families_before_any_comes_again() {
        let found = [
            ("wlan0", "192.168.1.7"),
            ("wlan0", "2001:db8:1::a"),
            ("wlan0", "2001:db8:1::b"),
            ("docker0", "172.17.0.1"),
            ("wwan0", "100.64.0.9"),
            ("wwan0", "2001:db8:2::a"),
            ("tun0", "10.8.0.2"),
            ("tun0", "10.8.0.2"),
        ];
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let found = found.map(|(name, address)| (name.to_owned(), ip(address)));
        let order = |preferred: &[&str]| -> Vec<String> {
            let preferred: Vec<IpAddr> = preferred.iter().map(|p| ip(p)).collect();
            ordered(&found, &preferred).iter().map(ToString::to_string).collect()
        };
        let others = ["172.17.0.1", "100.64.0.9", "2001:db8:2::a", "10.8.0.2"];
        let wifi = [&["192.168.1.7", "2001:db8:1::b"][..], &others, &["2001:db8:1::a"]].concat();
        assert_eq!(order(&["192.168.1.7", "2001:db8:1::b"]), wifi);
        let home = ["192.168.1.7", "2001:db8:1::a"];
        let rest = ["172.17.0.1", "2001:db8:2::a", "10.8.0.2", "2001:db8:1::b"];
        assert_eq!(order(&["100.64.0.9"]), [&["100.64.0.9"][..], &home, &rest].concat());
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
    fn an_address_that_a_provider_shares_is_the_last_choice() {
        let best = |list: &[&str]| {
            best(list.iter().map(|ip| ip.parse().expect("an address"))).map(|ip| ip.to_string())
        };
        let modem_first = ["100.64.0.9", "192.168.1.7", "2001:db8::9"];
        assert_eq!(best(&modem_first).as_deref(), Some("192.168.1.7"));
        assert_eq!(best(&["10.0.0.4", "100.64.0.9"]).as_deref(), Some("10.0.0.4"));
        assert_eq!(best(&["100.64.0.9"]).as_deref(), Some("100.64.0.9"));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn the_best_address_is_one_of_this_machine() {
        let Some(best) = best_address() else { return };
        UdpSocket::bind(SocketAddr::new(best, 0)).expect("an address of this machine can be bound");
        assert!(local_addresses().contains(&best), "{best}");
    }
}
