//! From where an address can be reached: what an invite may promise.

use std::net::IpAddr;

use super::invite::{self, Invite};

/// Who can send to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole internet, as far as the address tells.
    Anywhere,
    /// Who is in the same home or office.
    Home,
    /// Who is behind the same provider's translation (RFC 6598, 100.64.0.0/10), or in the same mesh VPN,
    /// which borrows those addresses.
    Carrier,
}

impl Scope {
    /// An address's.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() || ip.is_loopback() => {
                Self::Home
            }
            IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64 => Self::Carrier,
            IpAddr::V6(ip)
                if ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback() =>
            {
                Self::Home
            }
            _ => Self::Anywhere,
        }
    }

    /// That of the invite in a line that guests type. A name may lead anywhere.
    pub fn of_line(line: &str) -> Self {
        let address =
            invite::in_line(line).parse().ok().and_then(|i: Invite| i.address.parse().ok());
        address.map_or(Self::Anywhere, Self::of)
    }

    /// Whom an invite with such an address lets in, in words.
    pub fn guests(self) -> &'static str {
        match self {
            Self::Anywhere => "guests",
            Self::Home => "guests in this network",
            Self::Carrier => "only guests behind the same provider or VPN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_promises_no_more_than_its_address_can_hold() {
        for (address, scope) in [
            ("203.0.113.9:7000", Scope::Anywhere),
            ("[2001:db8::1]:7000", Scope::Anywhere),
            ("studio.example:7000", Scope::Anywhere),
            ("100.63.255.255:7000", Scope::Anywhere),
            ("100.64.0.1:7000", Scope::Carrier),
            ("100.127.255.254:7000", Scope::Carrier),
            ("100.128.0.1:7000", Scope::Anywhere),
            ("192.168.1.10:7000", Scope::Home),
            ("10.0.0.2:7000", Scope::Home),
            ("169.254.1.1:7000", Scope::Home),
            ("127.0.0.1:7000", Scope::Home),
            ("[fd00::7]:7000", Scope::Home),
        ] {
            let line = format!("hyperzoom join '{address}#AAAQEAYEAUDAOCAJBIFQYDIOB4'");
            assert_eq!(Scope::of_line(&line), scope, "{address}");
        }
    }
}
