//! `ADDRESS[:PORT][#KEY]` and `KEY` as typed.

use data_encoding::BASE32_NOPAD;

/// Port where a host listens when none is named.
pub const DEFAULT_PORT: u16 = 7000;

/// Characters of a key: 128 bits in base32 (RFC 4648, section 6) without padding.
const KEY_LENGTH: usize = 26;

/// Where to join, and with which key.
#[derive(Debug, PartialEq, Eq)]
pub struct InviteArg {
    /// Host name or address, an IPv6 one without its brackets.
    pub address: String,
    /// UDP port.
    pub port: u16,
    /// The invite's key.
    pub key: Option<[u8; 16]>,
}

/// Reads `ADDRESS[:PORT][#KEY]`; an IPv6 address with a port stands in brackets.
pub fn parse_invite(text: &str) -> Result<InviteArg, String> {
    let text = text.trim();
    let (place, key) = match text.split_once('#') {
        Some((place, key)) => (place, Some(parse_key(key)?)),
        None => (text, None),
    };
    let wrong = |what: &str| format!("'{place}' {what}; try ADDRESS:PORT#KEY as the host shows it");
    let (address, port) = if let Some(rest) = place.strip_prefix('[') {
        let (address, rest) =
            rest.split_once(']').ok_or_else(|| wrong("has no closing bracket"))?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(wrong("has no IPv6 address in its brackets"));
        }
        match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if rest.is_empty() => (address, None),
            None => return Err(wrong("goes on after its bracket")),
        }
    } else if place.parse::<std::net::Ipv6Addr>().is_ok() {
        (place, None)
    } else {
        match place.rsplit_once(':') {
            Some((address, port)) => (address, Some(port)),
            None => (place, None),
        }
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port != 0 => port,
            _ => return Err(wrong("has no port between 1 and 65535")),
        },
    };
    let named = !address.is_empty()
        && !address.chars().any(|c| c.is_whitespace() || c.is_control() || "/@'\"".contains(c))
        && (!address.contains(':') || address.parse::<std::net::Ipv6Addr>().is_ok());
    if !named {
        return Err(wrong("is no address"));
    }
    Ok(InviteArg { address: address.to_owned(), port, key })
}

/// Reads a key: 26 base32 characters, either case.
pub fn parse_key(text: &str) -> Result<[u8; 16], String> {
    let wrong =
        || format!("a key is {KEY_LENGTH} letters A-Z and digits 2-7; try copying it whole");
    let upper = text.to_ascii_uppercase();
    let bytes = BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| wrong())?;
    bytes.try_into().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAQEAYEAUDAOCAJBIFQYDIOB4";
    const BYTES: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn invite(address: &str, port: u16, key: Option<[u8; 16]>) -> Result<InviteArg, String> {
        Ok(InviteArg { address: address.to_owned(), port, key })
    }

    #[test]
    fn a_key_reads_in_either_case() {
        assert_eq!(parse_key(KEY), Ok(BYTES));
        assert_eq!(parse_key(&KEY.to_lowercase()), Ok(BYTES));
        for wrong in ["", "AAAQ", "AAAQEAYEAUDAOCAJBIFQYDIOB1", &format!("{KEY}A"), "ÄAAQ"] {
            assert!(parse_key(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn port_and_key_may_be_left_out() {
        assert_eq!(parse_invite("1.2.3.4"), invite("1.2.3.4", 7000, None));
        assert_eq!(parse_invite("1.2.3.4:7001"), invite("1.2.3.4", 7001, None));
        assert_eq!(
            parse_invite(&format!("ana.example#{KEY}\n")),
            invite("ana.example", 7000, Some(BYTES))
        );
        assert_eq!(parse_invite(&format!("[::1]:9#{KEY}")), invite("::1", 9, Some(BYTES)));
        assert_eq!(parse_invite("2001:db8::1"), invite("2001:db8::1", 7000, None));
        assert_eq!(parse_invite("[::1]"), invite("::1", 7000, None));
    }

    #[test]
    fn what_is_no_invite_is_said_so() {
        for wrong in [
            "",
            ":7000",
            "a:0",
            "a:70000",
            "a:x",
            "[::1",
            "[::1]x",
            "[a]:1",
            "a b",
            "1.2.3.4#",
            "1.2.3.4#KEY",
            "1:2:3",
            "http://a",
        ] {
            let message = parse_invite(wrong).expect_err(wrong);
            assert!(message.contains("; try "), "{message}");
        }
    }
}
