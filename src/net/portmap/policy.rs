//! What to ask a router for, and what its answers mean. Pure: no socket, no clock.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::protocol::Scope;

/// Lease asked for, seconds: after a kill nothing of ours stays on the router for longer. It is renewed
/// at half of it.
pub const LEASE_SECONDS: u32 = 600;
/// How our mappings are called on the router: how we know them again.
pub const DESCRIPTION: &str = "HyperZoom";
/// External ports tried before giving up: the own one and random ones.
pub const TRIES: usize = 8;
/// Pause before a renewal that failed is tried again.
pub const RETRY: Duration = Duration::from_secs(30);
/// The first pause after the network has changed, doubled from then on: the address often comes before
/// the route.
pub const RETRY_MOVED: Duration = Duration::from_secs(1);
/// How often a router is asked whether it still has what it granted: after its restart nobody new gets
/// in, and the lease may have minutes to go. Two small requests do not burden the poorest one.
pub const CHECK: Duration = Duration::from_secs(30);

/// What a router has at one of its UDP ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The machine it leads to, as the router writes it.
    pub client: String,
    /// The port there.
    pub internal_port: u16,
    /// Its name.
    pub description: String,
    /// What is left of its time, seconds; 0 is no end, `None` not told.
    pub lease_seconds: Option<u32>,
}

impl Entry {
    /// The same but for the time that is left.
    pub fn names_the_same(&self, other: &Self) -> bool {
        let of = |e: &Self| (e.client.clone(), e.internal_port, e.description.clone());
        of(self) == of(other)
    }
}

/// Whether an entry can be what a router has just mapped for `client`'s socket on `internal`: it may
/// write a machine's name for its address, and any description.
pub fn may_show(entry: &Entry, client: Ipv4Addr, internal: u16) -> bool {
    let machine = entry.client == client.to_string() || entry.client.parse::<IpAddr>().is_err();
    machine && entry.internal_port == internal
}

/// Whether an external port may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nobody has it.
    Free,
    /// An earlier run of ours has it for the same socket: asking again renews it.
    Ours,
    /// Another program's: UPnP would let the same machine overwrite it, so it is not asked for.
    Taken,
}

/// Whose a port with that entry is, seen from `client`'s socket on `internal`.
pub fn port(entry: Option<&Entry>, client: Ipv4Addr, internal: u16) -> Port {
    let Some(entry) = entry else { return Port::Free };
    let same = entry.client == client.to_string() && entry.internal_port == internal;
    if same && entry.description == DESCRIPTION { Port::Ours } else { Port::Taken }
}

/// The external ports to try, the own one first; `random` gives the others (49152 to 65535, the
/// dynamic ports of RFC 6335).
pub fn candidates(own: u16, mut random: impl FnMut() -> u16) -> Vec<u16> {
    let mut ports = vec![own];
    while ports.len() < TRIES {
        let port = 49_152 | (random() & 0x3fff);
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

/// When to renew a lease.
pub fn renew_after(lease_seconds: u32) -> Duration {
    // A router may grant seconds only; asking more often than this is no better.
    Duration::from_secs(u64::from(lease_seconds / 2).clamp(10, u64::from(LEASE_SECONDS / 2)))
}

/// Whether a router has lost its state since it said `before`, seconds of its epoch, `elapsed` ago: it
/// says less now than the slowest clock would (RFC 6886, section 3.6; RFC 6887, section 8.5, is near
/// enough).
pub fn began_anew(before: u32, elapsed: Duration, now: u32) -> bool {
    f64::from(now) + 2.0 < f64::from(before) + elapsed.as_secs_f64() * 7.0 / 8.0
}

/// What an external address says of the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The whole world's.
    Public,
    /// Another router stands behind the one that answered.
    DoubleNat,
    /// The provider's own translation (RFC 6598, 100.64.0.0/10): no mapping helps.
    CarrierNat,
    /// The router does not know it.
    Unknown,
}

/// Classifies the address that the router calls its external one.
pub fn reach(external: IpAddr) -> Reach {
    match external {
        ip if ip.is_unspecified() => Reach::Unknown,
        IpAddr::V6(_) => Reach::Public,
        IpAddr::V4(_) => match Scope::of(external) {
            Scope::Anywhere => Reach::Public,
            Scope::Home => Reach::DoubleNat,
            Scope::Carrier => Reach::CarrierNat,
        },
    }
}

/// What a person can do about it; `None` when there is nothing to do.
pub fn advice(reach: Reach, port: u16) -> Option<(String, String)> {
    let (what, remedy) = match reach {
        Reach::Public => return None,
        Reach::DoubleNat => (
            "the router's own address is a private one: another router stands in front of it",
            format!(
                "forward UDP port {port} on the outer router, too, or switch the inner one to bridge mode"
            ),
        ),
        Reach::CarrierNat => (
            "the provider shares one public address among many customers (carrier-grade NAT)",
            "let somebody else host, use IPv6, or ask the provider for a public address".to_owned(),
        ),
        Reach::Unknown => (
            "the router does not tell its public address",
            format!("look it up and start with --public ADDRESS:{port}"),
        ),
    };
    Some((what.to_owned(), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);

    #[test]
    fn only_a_free_port_or_our_own_is_asked_for() {
        let whose = |client: &str, internal_port: u16, description: &str| {
            let (client, description) = (client.to_owned(), description.to_owned());
            let entry = Entry { client, internal_port, description, lease_seconds: None };
            port(Some(&entry), ME, 7000)
        };
        assert_eq!(port(None, ME, 7000), Port::Free);
        assert_eq!(whose("192.168.1.20", 7000, DESCRIPTION), Port::Ours);
        assert_eq!(whose("192.168.1.20", 7001, DESCRIPTION), Port::Taken, "another socket's");
        assert_eq!(whose("192.168.1.20", 7000, "Game"), Port::Taken, "another program's");
        assert_eq!(whose("192.168.1.30", 7000, DESCRIPTION), Port::Taken, "another machine's");
    }

    #[test]
    fn what_a_router_shows_of_our_mapping_is_known_again_in_its_own_words() {
        let shown = |client: &str, internal_port, description: &str, lease| Entry {
            client: client.to_owned(),
            internal_port,
            description: description.to_owned(),
            lease_seconds: Some(lease),
        };
        let ours = shown("laptop.lan", 7000, "hyper", 600);
        assert!(may_show(&ours, ME, 7000));
        assert!(may_show(&shown("192.168.1.20", 7000, "", 600), ME, 7000));
        assert!(!may_show(&shown("192.168.1.30", 7000, DESCRIPTION, 600), ME, 7000));
        assert!(!may_show(&shown("192.168.1.20", 7777, DESCRIPTION, 600), ME, 7000));
        assert!(ours.names_the_same(&shown("laptop.lan", 7000, "hyper", 300)));
        assert!(!ours.names_the_same(&shown("laptop.lan", 7000, "Game", 600)));
        assert!(!ours.names_the_same(&shown("desktop.lan", 7000, "hyper", 600)));
    }

    #[test]
    fn the_own_port_is_tried_first_and_then_dynamic_ones() {
        let mut n = 0u16;
        let ports = candidates(7000, || {
            n += 1;
            n / 2
        });
        assert_eq!((ports[0], ports.len()), (7000, TRIES));
        assert!(ports[1..].iter().all(|p| *p >= 49_152));
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), TRIES);
    }

    #[test]
    fn a_lease_is_renewed_at_half_its_time_within_reason() {
        assert_eq!(renew_after(600), Duration::from_secs(300));
        assert_eq!(renew_after(120), Duration::from_secs(60));
        assert_eq!(renew_after(1), Duration::from_secs(10));
        assert_eq!(renew_after(604_800), Duration::from_secs(300), "it may forget us meanwhile");
    }

    #[test]
    fn a_restart_is_told_from_a_slow_clock() {
        let after = |seconds, before, now| began_anew(before, Duration::from_secs(seconds), now);
        assert!(!after(30, 1_000, 1_030));
        assert!(!after(30, 1_000, 1_025), "a clock that loses an eighth, and a second of rounding");
        assert!(!after(30, 1_000, 9_000), "a clock that was set right");
        assert!(after(30, 1_000, 1_000), "a restart after another one");
        assert!(after(30, 1_000, 3));
        assert!(after(30, 20, 3), "it had not run for long before");
        assert!(!after(1, 0, 0));
    }

    #[test]
    fn addresses_that_nobody_can_reach_are_known() {
        for (ip, expected) in [
            ("203.0.113.9", Reach::Public),
            ("2001:db8::1", Reach::Public),
            ("192.168.0.2", Reach::DoubleNat),
            ("10.1.2.3", Reach::DoubleNat),
            ("172.20.0.1", Reach::DoubleNat),
            ("100.64.0.1", Reach::CarrierNat),
            ("100.127.255.254", Reach::CarrierNat),
            ("100.128.0.1", Reach::Public),
            ("100.63.255.255", Reach::Public),
            ("0.0.0.0", Reach::Unknown),
        ] {
            let found = reach(ip.parse().expect("an address"));
            assert_eq!(found, expected, "{ip}");
            assert_eq!(advice(found, 7000).is_none(), expected == Reach::Public);
        }
    }
}
