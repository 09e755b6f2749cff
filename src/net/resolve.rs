//! A host name's addresses, within a time limit.
//!
//! The system's resolver cannot be told when to give up, so it runs on a thread of its own that
//! is left behind when the time is over.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

/// Why a name gives no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
pub enum ResolveError {
    /// The resolver said no.
    #[error("the name '{host}' has no address ({why}); check the spelling or use an IP address")]
    NotFound {
        /// As typed.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// The resolver said nothing.
    #[error(
        "the name '{host}' was not resolved within {seconds} s; check the network connection or \
         use an IP address"
    )]
    TimedOut {
        /// As typed.
        host: String,
        /// The limit.
        seconds: u64,
    },
}

/// All addresses of `host` with `port`, the resolver's order kept, none twice. Addresses as text
/// (also IPv6 in brackets) need no resolver.
pub fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let not_found = |why: String| ResolveError::NotFound { host: host.to_owned(), why };
    let (sender, answer) = mpsc::channel();
    let name = bare.to_owned();
    std::thread::Builder::new()
        .name("resolve".into())
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Nobody listens any more once the limit is over.
            let _ = sender.send(found);
        })
        .map_err(|e| not_found(e.to_string()))?;
    match answer.recv_timeout(limit) {
        Ok(Ok(found)) => {
            let mut unique: Vec<SocketAddr> = Vec::with_capacity(found.len());
            for address in found {
                if !unique.contains(&address) {
                    unique.push(address);
                }
            }
            if unique.is_empty() {
                return Err(not_found("no address behind it".into()));
            }
            Ok(unique)
        }
        Ok(Err(e)) => {
            let why = e.to_string();
            let why = why.trim_start_matches("failed to lookup address information: ");
            Err(not_found(why.to_owned()))
        }
        Err(_) => Err(ResolveError::TimedOut { host: host.to_owned(), seconds: limit.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn an_address_as_text_needs_no_resolver() {
        let at = |s: &str| vec![s.parse::<SocketAddr>().expect("an address")];
        assert_eq!(resolve("192.0.2.7", 7000, Duration::ZERO), Ok(at("192.0.2.7:7000")));
        assert_eq!(resolve("[2001:db8::1]", 7, Duration::ZERO), Ok(at("[2001:db8::1]:7")));
        assert_eq!(resolve("2001:db8::1", 7, Duration::ZERO), Ok(at("[2001:db8::1]:7")));
    }

    #[test]
    fn localhost_is_the_loopback_address() {
        let found = resolve("localhost", 7000, LIMIT).expect("every system knows it");
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7000), "{found:?}");
    }

    #[test]
    fn a_name_that_cannot_exist_is_an_error_that_repeats_it() {
        // RFC 6761 reserves `.invalid`; without a network the resolver may also just run out of
        // time.
        let error = resolve("nobody.invalid", 7000, Duration::from_secs(3)).unwrap_err();
        assert!(error.to_string().contains("nobody.invalid"), "{error}");
        // A space is no part of any name; must not panic.
        assert!(resolve("no such host", 1, Duration::from_secs(3)).is_err());
    }
}
