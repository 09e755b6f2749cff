//! Addresses, the socket's buffers, the router. Nobody outside is asked: there is no server that
//! could answer.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use super::super::net;
use super::{Finding, Verdict};
use crate::net::CallSocket;
use crate::net::interfaces::{self, Interface};
use crate::net::portmap::{self, Mapping, News, Notes, PortMapper, Reach};
use crate::platform::clock;
use crate::protocol::Scope;

/// The call's port; another where it is taken.
const PORT: u16 = 7000;
/// What a second of three peers' sound and pictures takes; less is a risk when a thread is late.
const ENOUGH_BUFFER: usize = 200_000;
/// What every IPv6 path carries, and the largest packet of a call fits into, bytes (RFC 8200, 5).
const LARGEST_PACKET: u32 = 1_280;
/// No router is waited for longer, microseconds.
const PATIENCE: i64 = 8_000_000;
/// How soon the wait for it is given up.
const LOOK: Duration = Duration::from_millis(50);

pub fn look(port_mapping: bool, found: &mut dyn FnMut(Finding)) {
    let addresses = interfaces::local_addresses();
    found(local(&addresses));
    if let Some(nat) = translation(&addresses) {
        found(nat);
    }
    let interfaces = interfaces::interfaces();
    if !interfaces.is_empty() {
        found(packets(&interfaces));
    }
    if let Some(tunnel) = interfaces.iter().find(|one| one.tunnel && one.default) {
        found(through_a_tunnel(tunnel));
    }
    let socket = CallSocket::bind(None, PORT).or_else(|_| CallSocket::bind(None, 0));
    let socket = match socket {
        Ok(socket) => socket,
        Err(e) => {
            let remedy = "end what holds the ports, or change the firewall's settings";
            return found(Finding::problem("network", "socket", e.to_string(), remedy));
        }
    };
    let port = socket.local_addr().port();
    match socket.buffers() {
        Ok((receive, send)) => found(buffers(port, socket.dual_stack(), receive, send)),
        Err(e) => found(Finding::warning("network", "socket", e.to_string(), "please report this")),
    }
    if port_mapping && !addresses.is_empty() {
        found(router(port, &addresses, ask(port, &AtomicBool::new(false))));
    }
}

fn local(addresses: &[IpAddr]) -> Finding {
    if addresses.is_empty() {
        let remedy = "look at the cable or the Wi-Fi; without one only this machine can be called";
        return Finding::problem("network", "addresses", "no interface has an address", remedy);
    }
    let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    Finding::ok("network", "addresses", list.join(", "))
}

/// What translates addresses between here and the internet, as far as this machine's own tell.
fn translation(addresses: &[IpAddr]) -> Option<Finding> {
    let (fours, sixes): (Vec<&IpAddr>, Vec<&IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv4());
    let has = |wanted| fours.iter().any(|address| portmap::reach(**address) == wanted);
    let open = |address: &&&IpAddr| match address {
        IpAddr::V6(six) => !(six.is_unique_local() || six.is_unicast_link_local()),
        IpAddr::V4(_) => false,
    };
    let six = match sixes.iter().find(open) {
        Some(address) => format!("; IPv6 without any ({address})"),
        None => String::new(),
    };
    Some(if has(Reach::Public) {
        let detail = format!("none: this machine has a public IPv4 address{six}");
        Finding::ok("network", "NAT", detail)
    } else if has(Reach::CarrierNat) {
        Finding::warning(
            "network",
            "NAT",
            format!("the provider's (carrier-grade, 100.64.0.0/10), or a mesh VPN's address{six}"),
            "let somebody else host, use IPv6, or ask the provider for a public address",
        )
    } else if has(Reach::DoubleNat) {
        let detail = format!("a router's, in front of private IPv4 addresses{six}");
        Finding::ok("network", "NAT", detail)
    } else if !six.is_empty() {
        Finding::ok("network", "NAT", format!("no IPv4{six}"))
    } else {
        return None;
    })
}

/// Whether the call's packets fit.
fn packets(interfaces: &[Interface]) -> Finding {
    let list: Vec<String> = interfaces
        .iter()
        .map(|one| match one.mtu {
            Some(mtu) => format!("{} {mtu}", one.name),
            None => format!("{} (not told)", one.name),
        })
        .collect();
    let detail = format!("packets of at most {LARGEST_PACKET} bytes; {}", list.join(", "));
    let small = interfaces.iter().find(|one| one.mtu.is_some_and(|mtu| mtu < LARGEST_PACKET));
    match small {
        None => Finding::ok("network", "MTU", detail),
        Some(one) => Finding::warning(
            "network",
            "MTU",
            format!("{detail}: too small, pictures would be cut up and easily lost"),
            format!("set the MTU of {} to {LARGEST_PACKET} or more (a VPN's settings)", one.name),
        ),
    }
}

fn through_a_tunnel(one: &Interface) -> Finding {
    let detail = format!("the way out leads through the tunnel {}", one.name);
    Finding::warning(
        "network",
        "VPN",
        format!("{detail}: more delay, and guests cannot reach you as a host"),
        "switch a VPN off for the call; a mobile modem's line looks the same and is what there is",
    )
}

fn buffers(port: u16, dual: bool, receive: usize, send: usize) -> Finding {
    let families = if dual { "IPv4 and IPv6" } else { "IPv4 alone" };
    let detail = format!(
        "UDP port {port}, {families}, buffers {} kB in and {} kB out",
        receive / 1000,
        send / 1000
    );
    if receive >= ENOUGH_BUFFER {
        return Finding::ok("network", "socket", detail);
    }
    let remedy = if cfg!(target_os = "macos") {
        "run sudo sysctl -w kern.ipc.maxsockbuf=2097152"
    } else {
        "run sudo sysctl -w net.core.rmem_max=1048576"
    };
    Finding::warning("network", "socket", format!("{detail}: little for a late moment"), remedy)
}

/// Asks the router about a port of this moment; `None` when nobody wants to know any more.
fn ask_for_any(stop: &AtomicBool) -> Option<Result<Mapping, String>> {
    let socket = CallSocket::bind(None, 0).ok()?;
    let answer = ask(socket.local_addr().port(), stop);
    (!stop.load(Relaxed)).then_some(answer)
}

fn letting_in(whom: &str, mapping: &Mapping) -> String {
    let (address, method) = (mapping.external.ip(), mapping.method.name());
    format!("the router lets {whom} in, by {method} ({address})")
}

/// See [`super::opens`].
pub fn opens(stop: &AtomicBool) -> Option<Result<Finding, String>> {
    let found = local(&interfaces::local_addresses());
    if found.state != Verdict::Ok {
        return Some(Ok(found));
    }
    Some(
        ask_for_any(stop)?
            .map(|mapping| Finding::ok("network", "router", letting_in("the others", &mapping))),
    )
}

/// See [`super::reachable`].
pub fn reachable(port: u16, stop: &AtomicBool) -> Option<Finding> {
    let addresses = interfaces::local_addresses();
    let found = local(&addresses);
    if found.state != Verdict::Ok {
        return Some(found);
    }
    let answer = ask_for_any(stop)?;
    let letting = answer.as_ref().ok().map(|mapping| letting_in("guests", mapping));
    let found = router(port, &addresses, answer);
    Some(match letting {
        Some(detail) if found.state == Verdict::Ok => Finding { detail, ..found },
        _ => found,
    })
}

/// What the router says of a port, which is given back at once.
fn ask(port: u16, stop: &AtomicBool) -> Result<Mapping, String> {
    let (tell, told) = mpsc::channel();
    let random = || u16::from_be_bytes(net::random());
    let mapper = PortMapper::start(port, Notes::here(), random, move |news| {
        // Nobody waits any more after the first.
        let _ = tell.send(news);
    });
    let mapper = mapper.map_err(|e| e.to_string())?;
    let start = clock::now();
    let news = loop {
        match told.recv_timeout(LOOK) {
            Err(mpsc::RecvTimeoutError::Timeout)
                if !stop.load(Relaxed) && clock::now().since(start) < PATIENCE => {}
            // Who asks the doctor can wait for the answer itself.
            Ok(News::Late) => {}
            news => break news,
        }
    };
    drop(mapper);
    match news {
        Ok(News::Mapped(mapping) | News::Removed(mapping) | News::Left(mapping)) => Ok(mapping),
        Ok(News::Failed(why)) => Err(why),
        Ok(News::Late) | Err(_) => Err("the router does not answer".to_owned()),
    }
}

fn router(port: u16, addresses: &[IpAddr], answer: Result<Mapping, String>) -> Finding {
    let public = addresses.iter().find(|ip| Scope::of(**ip) == Scope::Anywhere);
    // The way out begins behind the provider: there is no router here whose settings would help.
    let first = addresses.first().map(|ip| portmap::reach(*ip));
    let carrier = first.filter(|reach| *reach == Reach::CarrierNat);
    match answer {
        Ok(mapping) => {
            let reach = portmap::reach(mapping.external.ip());
            let detail = format!("{} leads here, by {}", mapping.external, mapping.method.name());
            match portmap::advice(reach, port) {
                None => Finding::ok("network", "router", format!("{detail}; you can host")),
                Some((what, remedy)) => {
                    Finding::warning("network", "router", format!("{detail}; {what}"), remedy)
                }
            }
        }
        // A machine with a public address of its own needs no router's help.
        Err(_) if public.is_some() => {
            let detail = "no port mapping, but this machine has a public address; a firewall must \
                          let UDP in for you to host";
            Finding::ok("network", "router", detail)
        }
        Err(why) => {
            let (what, remedy) =
                carrier.and_then(|reach| portmap::advice(reach, port)).unwrap_or_else(|| {
                    let remedy = format!(
                        "let another one host, or forward UDP port {port} on the router to this \
                         computer and start with --public ADDRESS"
                    );
                    ("guests from outside cannot reach you as a host".to_owned(), remedy)
                });
            Finding::warning("network", "router", format!("{why}; {what}"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_routers_answer_is_put_into_words_that_help() {
        let mapped = |external: &str| {
            Ok(Mapping {
                method: portmap::Method::NatPmp,
                external: external.parse().expect("an address"),
                permanent: false,
            })
        };
        let home = [ip("192.168.1.4")];
        let at = |answer| router(7000, &home, answer);
        let fine = at(mapped("203.0.113.5:7000"));
        assert_eq!(fine.state, Verdict::Ok, "{fine:?}");
        assert!(fine.detail.contains("203.0.113.5:7000"));
        assert!(at(mapped("100.64.3.4:7000")).detail.contains("carrier-grade"));
        assert!(at(mapped("10.0.0.4:7000")).detail.contains("another router"));
        let none = at(Err("no router answered".into()));
        assert_eq!(none.state, Verdict::Warning);
        assert!(none.remedy.is_some_and(|remedy| remedy.contains("--public")));
        let own = [ip("192.168.1.4"), ip("fd00::4")];
        assert_eq!(router(7000, &own, Err("silent".into())).state, Verdict::Warning);
        let modem = router(7000, &[ip("100.64.3.4")], Err("no router answered".into()));
        assert!(modem.remedy.is_some_and(|remedy| remedy.contains("ask the provider")));
        let server = router(7000, &[ip("2001:db8::5")], Err("no router answered".into()));
        assert_eq!(server.state, Verdict::Ok, "{server:?}");
    }

    #[test]
    fn the_own_addresses_tell_what_translates_them() {
        let at = |list: &[&str]| {
            let addresses: Vec<IpAddr> = list.iter().map(|text| ip(text)).collect();
            translation(&addresses).map(|found| (found.state, found.detail))
        };
        let home = "a router's, in front of private IPv4 addresses";
        for (list, state, detail) in [
            (&["192.168.1.4", "fe80::1", "fd00::1"][..], Verdict::Ok, home.to_owned()),
            (
                &["192.168.1.4", "2001:db8::5"],
                Verdict::Ok,
                format!("{home}; IPv6 without any (2001:db8::5)"),
            ),
            (
                &["203.0.113.5", "10.0.0.1"],
                Verdict::Ok,
                "none: this machine has a public IPv4 address".to_owned(),
            ),
            (
                &["100.70.0.2"],
                Verdict::Warning,
                "the provider's (carrier-grade, 100.64.0.0/10), or a mesh VPN's address".to_owned(),
            ),
            (&["2001:db8::5"], Verdict::Ok, "no IPv4; IPv6 without any (2001:db8::5)".to_owned()),
        ] {
            assert_eq!(at(list), Some((state, detail)), "{list:?}");
        }
        assert_eq!(at(&["fe80::1"]), None);
    }

    #[test]
    fn an_interface_that_cuts_packets_up_and_a_tunnel_are_told() {
        let at = |name: &str, mtu, tunnel| Interface {
            name: name.to_owned(),
            mtu,
            tunnel,
            default: true,
        };
        let fine = packets(&[at("eth0", Some(1_500), false), at("wlan0", None, false)]);
        assert_eq!(fine.state, Verdict::Ok, "{fine:?}");
        assert!(fine.detail.contains("eth0 1500"), "{fine:?}");
        let small = packets(&[at("eth0", Some(1_500), false), at("tun0", Some(1_000), true)]);
        assert_eq!(small.state, Verdict::Warning, "{small:?}");
        assert!(small.remedy.is_some_and(|remedy| remedy.contains("tun0")));
        assert_eq!(through_a_tunnel(&at("wg0", None, true)).state, Verdict::Warning);
    }

    #[test]
    fn small_buffers_and_no_address_are_told() {
        assert_eq!(buffers(7000, true, 1 << 20, 1 << 18).state, Verdict::Ok);
        assert_eq!(buffers(7000, false, 100_000, 1 << 18).state, Verdict::Warning);
        assert_eq!(local(&[]).state, Verdict::Problem);
    }
}
