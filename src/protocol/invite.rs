//! The invite `ADDRESS[:PORT][#KEY]` and its key (DESIGN section 5).
//!
//! Pure text. A key is never shown by `Debug`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};

/// UDP port where an invite names none.
pub const DEFAULT_PORT: u16 = 7000;
/// Characters of a written key: 128 bits in groups of 5.
const KEY_CHARACTERS: usize = 26;

/// The 128 random bits that let a guest in. Written as 26 base32 characters (RFC 4648, 6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InviteKey(pub [u8; 16]);

/// Text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
pub enum MalformedKey {
    /// Too short or too long.
    #[error("a key has 26 characters, this one {0}; try copying the invite again, up to its end")]
    Length(usize),
    /// A character that base32 does not have, or spare bits that are not 0.
    #[error(
        "a key has only the letters A to Z and the digits 2 to 7; try copying the invite again"
    )]
    Characters,
}

impl fmt::Display for InviteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for InviteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteKey(..)")
    }
}

impl FromStr for InviteKey {
    type Err = MalformedKey;

    fn from_str(s: &str) -> Result<Self, MalformedKey> {
        let characters = s.chars().count();
        if characters != KEY_CHARACTERS {
            return Err(MalformedKey::Length(characters));
        }
        let bytes =
            BASE32_NOPAD_NOCASE.decode(s.as_bytes()).map_err(|_| MalformedKey::Characters)?;
        bytes.try_into().map(Self).map_err(|_| MalformedKey::Characters)
    }
}

/// Where a host is and what lets one in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// A host name or an IP address, without brackets.
    pub address: String,
    /// UDP port.
    pub port: u16,
    /// The key; without one only `--admit all` lets in.
    pub key: Option<InviteKey>,
}

/// Text that is no invite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
pub enum MalformedInvite {
    /// Nothing before the port or the key.
    #[error("'{0}' has no address; try ADDRESS[:PORT][#KEY], such as 203.0.113.5:7000")]
    NoAddress(String),
    /// Not a port.
    #[error("'{0}' is not a port; try a number from 1 to 65535")]
    Port(String),
    /// A bracket that does not close, or is not around an IPv6 address.
    #[error("'{0}' is not an IPv6 address in brackets; try [2001:db8::1]:7000")]
    Brackets(String),
    /// Characters that no address has.
    #[error("'{0}' is neither a host name nor an IP address; try ADDRESS[:PORT][#KEY]")]
    Address(String),
    /// The part behind `#`.
    #[error("the invite's key is malformed: {0}")]
    Key(#[from] MalformedKey),
}

impl FromStr for Invite {
    type Err = MalformedInvite;

    fn from_str(s: &str) -> Result<Self, MalformedInvite> {
        let s = s.trim();
        let (place, key) = match s.split_once('#') {
            Some((place, key)) => (place, Some(key.parse()?)),
            None => (s, None),
        };
        let (address, port) = if let Some(inner) = place.strip_prefix('[') {
            let brackets = || MalformedInvite::Brackets(place.to_owned());
            let (address, rest) = inner.split_once(']').ok_or_else(brackets)?;
            if !is_ipv6(address) {
                return Err(brackets());
            }
            match rest {
                "" => (address, None),
                _ => (address, Some(rest.strip_prefix(':').ok_or_else(brackets)?)),
            }
        } else if is_ipv6(place) {
            // Bare: its colons are its own, so no port can follow.
            (place, None)
        } else {
            match place.rsplit_once(':') {
                Some((address, port)) => (address, Some(port)),
                None => (place, None),
            }
        };
        if address.is_empty() {
            return Err(MalformedInvite::NoAddress(place.to_owned()));
        }
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !is_ipv6(address) && !address.chars().all(plain) {
            return Err(MalformedInvite::Address(address.to_owned()));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 && !port.starts_with('+') => number,
                _ => return Err(MalformedInvite::Port(port.to_owned())),
            },
        };
        Ok(Self { address: address.to_owned(), port, key })
    }
}

/// The invite in what was copied: alone, in quotes, or in the whole `hyperzoom join '…'` that a host
/// shows, with whatever the chat put in front of it.
pub fn in_line(text: &str) -> &str {
    let text = text.trim();
    let place = match text.find("hyperzoom join ") {
        Some(at) => text[at + "hyperzoom join ".len()..].trim_start(),
        None => text,
    };
    for quote in ['\'', '"', '`', '\u{2018}', '\u{201c}'] {
        if let Some(rest) = place.strip_prefix(quote) {
            // Word processors put their own quotes in the place of plain ones.
            let end = rest.find(['\'', '"', '`', '\u{2019}', '\u{201d}']).unwrap_or(rest.len());
            return rest[..end].trim();
        }
    }
    match place.len() == text.len() {
        true => text,
        // Flags follow.
        false => place.split_whitespace().next().unwrap_or(""),
    }
}

/// An IPv6 address, with or without a zone (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let zoned = |z: &str| !z.is_empty() && z.chars().all(|c| c.is_ascii_graphic() && c != ']');
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(zoned)
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.contains(':') {
            write!(f, "[{}]:{}", self.address, self.port)?;
        } else {
            write!(f, "{}:{}", self.address, self.port)?;
        }
        match &self.key {
            Some(key) => write!(f, "#{key}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // RFC 4648, section 10: BASE32("foobar") = "MZXW6YTBOI======".
    #[test]
    fn a_key_is_rfc_4648_base32_in_either_case() {
        let key = InviteKey(*b"foobar\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(key.to_string(), "MZXW6YTBOIAAAAAAAAAAAAAAAA");
        assert_eq!("mzxw6ytboiaaaaaaaaaaaaaaaa".parse(), Ok(key));
        assert_eq!("MZXW6".parse::<InviteKey>(), Err(MalformedKey::Length(5)));
        for wrong in ["MZXW6YTBOIAAAAAAAAAAAAAAA1", "MZXW6YTBOIAAAAAAAAAAAAAAAB"] {
            assert_eq!(wrong.parse::<InviteKey>(), Err(MalformedKey::Characters), "{wrong}");
        }
    }

    #[test]
    fn a_key_does_not_leak_into_debug_output() {
        assert_eq!(format!("{:?}", InviteKey([7; 16])), "InviteKey(..)");
    }

    #[test]
    fn every_way_to_write_an_address_is_understood() {
        let place = |s: &str| s.parse::<Invite>().map(|i| (i.address, i.port));
        let is = |address: &str, port| Ok((address.to_owned(), port));
        assert_eq!(place("1.2.3.4"), is("1.2.3.4", 7000));
        assert_eq!(place(" 1.2.3.4:9 \n"), is("1.2.3.4", 9));
        assert_eq!(place("studio.example:7001"), is("studio.example", 7001));
        assert_eq!(place("2001:db8::1"), is("2001:db8::1", 7000));
        assert_eq!(place("[2001:db8::1]"), is("2001:db8::1", 7000));
        assert_eq!(place("[2001:db8::1]:5"), is("2001:db8::1", 5));
        assert_eq!(place("[fe80::1%eth0]:5"), is("fe80::1%eth0", 5));
    }

    #[test]
    fn a_wrong_invite_says_what_is_wrong() {
        let text = |s: &str| s.parse::<Invite>().unwrap_err().to_string();
        assert!(text("").contains("no address"));
        assert!(text(":7000").contains("no address"));
        assert!(text("host:0").contains("'0' is not a port"));
        assert!(text("host:70000").contains("'70000' is not a port"));
        assert!(text("[::1").contains("in brackets"));
        assert!(text("[host]:1").contains("in brackets"));
        assert!(text("a b").contains("neither a host name"));
        assert!(text("host#abc").contains("26 characters, this one 3"));
        for wrong in [
            "",
            ":7000",
            "a:0",
            "a:70000",
            "a:x",
            "a:+5",
            "[::1",
            "[::1]x",
            "[a]:1",
            "a b",
            "1:2:3",
            "1.2.3.4#",
            "1.2.3.4#KEY",
            "http://a",
            "me@host",
            "'host'",
            "a\u{7}b",
            "host#ÄAAQ",
        ] {
            assert!(text(wrong).contains("; try "), "{wrong}: {}", text(wrong));
        }
    }

    #[test]
    fn an_invite_is_found_in_the_line_that_was_copied() {
        for line in [
            "1.2.3.4:7000#KEY",
            "  1.2.3.4:7000#KEY\n",
            "'1.2.3.4:7000#KEY'",
            "hyperzoom join '1.2.3.4:7000#KEY'",
            "$ hyperzoom join \"1.2.3.4:7000#KEY\" --name Bob",
            "come: hyperzoom join 1.2.3.4:7000#KEY --name Bob",
            "\u{2018}1.2.3.4:7000#KEY\u{2019}",
            "hyperzoom join '1.2.3.4:7000#KEY",
        ] {
            assert_eq!(in_line(line), "1.2.3.4:7000#KEY", "{line}");
        }
        assert_eq!(in_line("hyperzoom join "), "hyperzoom join");
        assert_eq!(in_line("a b"), "a b", "what is wrong with it is told of the whole");
        assert_eq!(in_line("'"), "");
    }

    proptest! {
        #[test]
        fn an_invite_comes_back_from_its_text(bytes: [u8; 16], port in 1u16.., v6: bool, with_key: bool) {
            let invite = Invite {
                address: if v6 { "2001:db8::7".into() } else { "host.example".into() },
                port,
                key: with_key.then_some(InviteKey(bytes)),
            };
            prop_assert_eq!(invite.to_string().parse(), Ok(invite));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = in_line(&text).parse::<Invite>();
        }
    }
}
