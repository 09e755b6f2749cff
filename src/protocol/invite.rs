//! The invite `ADDRESS[:PORT][#KEY]` and its key (DESIGN section 5).
//!
//! Pure text. A key is never shown by `Debug`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
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
        // What a double click takes of an invite: a host of that name is less likely.
        if key.is_none() && port.is_none() && address.parse::<InviteKey>().is_ok() {
            return Err(MalformedInvite::NoAddress("#KEY".to_owned()));
        }
        if !is_ipv6(address) && !is_host(address) {
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

/// The program's flags that stand alone; all others have a word behind them (`--no-…` stands alone).
const SWITCHES: [&str; 9] = [
    "--yes",
    "--json",
    "--window",
    "--mute",
    "--camera-off",
    "--raw-audio",
    "--loop-files",
    "--record-while-muted",
    "--help",
];
/// Quotes that open. Word processors put their own in the place of plain ones.
const OPENING: [char; 5] = ['\'', '"', '`', '\u{2018}', '\u{201c}'];
/// Quotes that close.
const CLOSING: [char; 5] = ['\'', '"', '`', '\u{2019}', '\u{201d}'];
/// What a sentence has behind a word.
const PUNCTUATION: [char; 6] = ['.', ',', ';', ')', '!', '?'];

/// A word of what was copied.
struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    /// A flag of a command; chats make one dash of two.
    fn is_flag(&self) -> bool {
        !self.quoted && self.text.starts_with(['-', '\u{2013}', '\u{2014}'])
    }

    /// The word behind it belongs to it.
    fn takes_a_value(&self) -> bool {
        let alone = self.text.starts_with("--no-") || SWITCHES.contains(&&*self.text);
        self.is_flag() && !alone && !self.text.contains('=')
    }

    /// Without the end of a sentence.
    fn bare(&self) -> &str {
        if self.quoted { &self.text } else { self.text.trim_end_matches(PUNCTUATION) }
    }

    /// An address with a key, an IP address, or a name with a port: no word of a sentence is one.
    fn is_place(&self) -> bool {
        let text = self.bare();
        let keyed = text
            .split_once('#')
            .is_some_and(|(place, key)| !key.is_empty() && place.parse::<Invite>().is_ok());
        keyed
            || text.parse::<Invite>().is_ok_and(|invite| {
                let with_port = text.ends_with(&format!(":{}", invite.port));
                with_port || invite.address.parse::<std::net::IpAddr>().is_ok()
            })
    }
}

/// What stands between spaces, line ends or quotes. `command`: quotes may hold spaces; in a chat they
/// may be apostrophes.
fn words(text: &str, command: bool) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if OPENING.contains(&first) {
            let inside = &rest[first.len_utf8()..];
            if let Some((within, behind)) = quoted(inside)
                && (command || !within.contains(char::is_whitespace))
            {
                words.push(Word { text: within, quoted: true });
                rest = behind.trim_start();
                continue;
            }
            rest = inside;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        words.push(Word { text: rest[..end].to_owned(), quoted: false });
        rest = rest[end..].trim_start();
    }
    words
}

/// What is in quotes, and what is behind them. A single word may be in several lines: so it is copied
/// from a terminal that is too narrow for it.
fn quoted(inside: &str) -> Option<(String, &str)> {
    let end = inside.find(CLOSING)?;
    let within = inside[..end].trim();
    let behind = inside[end..].trim_start_matches(CLOSING);
    match within.contains([' ', '\t']) {
        true => Some((within.to_owned(), behind)),
        false => Some((within.replace(['\r', '\n'], ""), behind)),
    }
}

/// What follows `hyperzoom join`.
fn behind_the_command(text: &str) -> Option<&str> {
    text.match_indices("hyperzoom").find_map(|(at, name)| {
        let rest = &text[at + name.len()..];
        let rest = rest.strip_prefix(".exe").unwrap_or(rest);
        let rest = rest
            .trim_start()
            .strip_prefix("join")
            .filter(|_| rest.starts_with(char::is_whitespace))?;
        (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
    })
}

/// The invite in what was copied: alone, in quotes, or in the whole `hyperzoom join '…'` that a host
/// shows, with whatever flags it has and the chat put around it. The whole text where there is none:
/// what is wrong with it is told of that.
pub fn in_line(text: &str) -> String {
    let text = text.trim();
    if let Some(rest) = behind_the_command(text) {
        let mut value = false;
        let found = words(rest, true).into_iter().find(|word| {
            let skipped = std::mem::replace(&mut value, word.takes_a_value());
            !skipped && !word.is_flag()
        });
        let first = |word: &Word| word.bare().split_whitespace().next().map(str::to_owned);
        return found.as_ref().and_then(first).unwrap_or_else(|| text.to_owned());
    }
    let words = words(text, false);
    match &words[..] {
        [] => String::new(),
        [alone] => alone.text.clone(),
        _ => words
            .iter()
            .find(|word| word.is_place())
            .map_or_else(|| text.to_owned(), |word| word.bare().to_owned()),
    }
}

/// A host's name or address, as far as its letters tell: RFC 1123, section 2.1, but for underscores.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let dotless = text.strip_suffix('.').unwrap_or(text);
    let labels = || dotless.split('.');
    // As browsers see it: a name whose last part is a number is an IPv4 address or nothing.
    let number = labels().next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.chars().all(plain)
        && labels().all(|label| !label.is_empty() && !label.starts_with('-'))
        && (!number || text.parse::<Ipv4Addr>().is_ok())
        // The program's own name, of a line that was copied in part.
        && !text.eq_ignore_ascii_case("hyperzoom")
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
        assert!(text("AAAQEAYEAUDAOCAJBIFQYDIOB4").contains("'#KEY' has no address"));
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
            "--name",
            "-v",
            "a.-b",
            "a..b",
            "300.1.1.1",
            "1.2.3",
            "7000",
            "01.2.3.4",
            "1.2.3.4.5:7000",
            "hyperzoom",
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
        assert_eq!(in_line("hyperzoom join --name Bob"), "hyperzoom join --name Bob");
        assert_eq!(in_line("'"), "");
    }

    #[test]
    fn flags_and_what_the_chat_put_around_are_passed_over() {
        for line in [
            "hyperzoom join --name Bob 1.2.3.4:7000#KEY",
            "hyperzoom join --name 'Bob the 2nd' 1.2.3.4:7000#KEY --mute",
            "hyperzoom  join --yes --no-window '1.2.3.4:7000#KEY'",
            "hyperzoom join --name=Bob --listen 0.0.0.0:7001 1.2.3.4:7000#KEY",
            "hyperzoom.exe join \u{2014}name Bob 1.2.3.4:7000#KEY",
            "hyperzoom join\n1.2.3.4:7000#KEY\nsee you",
            "1.2.3.4:7000#KEY\nsee you at 8:30",
            "here it is:\r\n1.2.3.4:7000#KEY\r\nsee you",
            "it's #podcast time: '1.2.3.4:7000#KEY'",
            "we are at 1.2.3.4:7000#KEY.",
            // Copied from a terminal that is too narrow for it.
            "hyperzoom join '1.2.3.4:70\n00#KEY'",
            "hyperzoom join '1.2.3.4:7000#KEY see you",
            "hyperzoom join '1.2.3.4:7000#KEY\nsee you, it's late",
        ] {
            assert_eq!(in_line(line), "1.2.3.4:7000#KEY", "{line}");
        }
        assert_eq!(in_line("hyperzoom join --yes studio"), "studio");
        assert_eq!(in_line("call me at studio.example:7001, ok"), "studio.example:7001");
        assert_eq!(in_line("see you\nlater"), "see you\nlater");
    }

    /// Words of a chat that are no addresses.
    fn chat() -> impl Strategy<Value = Vec<&'static str>> {
        let words = ["see", "you", "it's", "#podcast", "8:30", "--", "ok,", "300.1.1.1", "(now)"];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..4)
    }

    /// Flags of the program, with their values.
    fn flags() -> impl Strategy<Value = Vec<&'static str>> {
        let flags = [
            "--name Bob",
            "--name 'Ann Lee'",
            "--mic hw:1",
            "--listen 0.0.0.0:7001",
            "--duration=5m",
            "--yes",
            "--no-window",
            "--output /tmp/a.b",
        ];
        prop::collection::vec(prop::sample::select(flags.to_vec()), 0..4)
    }

    proptest! {
        #[test]
        fn an_invite_is_found_among_flags_and_chat(
            key: [u8; 16],
            port in 1u16..,
            place in prop::sample::select(&["203.0.113.5", "studio.example", "2001:db8::7"][..]),
            (before, after) in (chat(), chat()),
            (left, right) in (flags(), flags()),
            quote in prop::sample::select(&["", "'", "\""][..]),
            end in prop::sample::select(&[" ", "\n", "\r\n"][..]),
        ) {
            let address = place.to_owned();
            let invite = Invite { address, port, key: Some(InviteKey(key)) };
            let alone = format!("{quote}{invite}{quote}");
            let words = [&["hyperzoom join"][..], &left, &[&alone], &right].concat();
            for core in [&alone, &words.join(" ")] {
                let text = [&before[..], &[core], &after].concat().join(end);
                prop_assert_eq!(in_line(&text).parse(), Ok(invite.clone()), "{}", text);
            }
        }

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
