//! Follows this machine's interfaces: a call that begins in a Wi-Fi goes on in a phone's network.
//!
//! On a thread of its own (`hz-addresses`): asking the system takes milliseconds on some machines, and
//! the control thread has heartbeats to send.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::EngineError;
use super::threads::spawn;
use crate::net::interfaces;
use crate::platform::priority::Role;

/// How often the interfaces are looked at. The way in use does not wait for it: what is sent leaves by
/// whatever interface there is, and the others follow where they hear us.
const EVERY: Duration = Duration::from_secs(1);

/// Looks at the interfaces as long as it lives.
pub struct AddressWatch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AddressWatch {
    /// Begins to look, for a socket that listens there; `None` for one that has a single address,
    /// whatever interfaces come. `changed` is told all addresses, the most likely first, and whether
    /// they are the first ones.
    pub fn start(
        listen: SocketAddr,
        mut changed: impl FnMut(Vec<SocketAddr>, bool) + Send + 'static,
    ) -> Result<Option<Self>, EngineError> {
        if !listen.ip().is_unspecified() {
            return Ok(None);
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let look = move || {
            let mut seen = Seen::default();
            loop {
                if let Some((addresses, first)) = seen.look(interfaces::local_addresses()) {
                    let port = listen.port();
                    let all = addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                    changed(all, first);
                }
                if stopped.recv_timeout(EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
        };
        let thread = spawn("hz-addresses", Role::Low, look)?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What was seen of the interfaces last.
#[derive(Default)]
struct Seen {
    addresses: Vec<IpAddr>,
    /// There was none since then.
    gap: bool,
}

impl Seen {
    /// All addresses, where there is news in them, and whether they are the first ones.
    fn look(&mut self, found: Vec<IpAddr>) -> Option<(Vec<IpAddr>, bool)> {
        // Between two networks there is none, and nobody who could be told.
        if found.is_empty() {
            self.gap = !self.addresses.is_empty();
            return None;
        }
        // Two homes may well have given us the same address.
        let gap = std::mem::take(&mut self.gap);
        if found == self.addresses && !gap {
            return None;
        }
        let first = self.addresses.is_empty();
        self.addresses.clone_from(&found);
        Some((found, first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_news_once_and_a_gap_is_none_until_it_is_over() {
        let list = |text: &[&str]| -> Vec<IpAddr> {
            text.iter().map(|ip| ip.parse().expect("an address")).collect()
        };
        let (home, phone) = (list(&["192.168.1.10"]), list(&["100.64.0.9", "2001:db8::9"]));
        let mut seen = Seen::default();
        assert_eq!(seen.look(Vec::new()), None);
        assert_eq!(seen.look(home.clone()), Some((home.clone(), true)));
        assert_eq!(seen.look(home), None);
        assert_eq!(seen.look(phone.clone()), Some((phone.clone(), false)));
        assert_eq!(seen.look(Vec::new()), None);
        assert_eq!(seen.look(phone.clone()), Some((phone.clone(), false)), "another home, perhaps");
        assert_eq!(seen.look(phone), None);
    }
}
