//! Port mapping: asks the router to let the others' packets in (PRD 4.1), keeps it asked, and takes
//! the mapping back at the end.
//!
//! Runs on a thread of its own (`hz-portmap`): a call starts without waiting for a router. Dropping
//! the [`PortMapper`] removes the mapping, on every way out that still runs code; after a kill the
//! lease ends by itself, and what has no lease is noted in a file and removed at the next start.

mod gateway;
mod permanent;
mod policy;
mod router;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};

pub use gateway::default_gateway;
pub use permanent::{Notes, Permanent};
pub use policy::{Reach, advice, reach};
use router::{Granted, Router};
pub use router::{Method, RouterError};

/// How long taking a mapping back may hold up the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// No further port is tried after this long: who waits for a guest learns it within 3 s.
const START: Duration = Duration::from_millis(1_800);

/// A port of the router that leads to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// How it was asked for.
    pub method: Method,
    /// The router's address and port; the address may be unspecified where it does not tell it.
    pub external: SocketAddr,
    /// It stays after a kill.
    pub permanent: bool,
}

/// What becomes of the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is there, or has become another one.
    Mapped(Mapping),
    /// There is none; it is tried again now and then.
    Failed(String),
    /// It was taken back, or stayed behind in a network that this machine has left.
    Removed(Mapping),
}

/// Keeps a port mapped as long as it lives.
#[derive(Debug)]
pub struct PortMapper {
    stop: watch::Sender<bool>,
    moved: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// Tells a [`PortMapper`] that this machine's network has changed. Outlives it without harm.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Another router may be there now: it is asked at once, not when the old one's lease is due.
    pub fn network_changed(&self) {
        self.0.notify_one();
    }
}

impl PortMapper {
    /// Begins to ask for UDP `port`; `news` is called on the mapper's thread. `random` gives
    /// external ports where the own one is taken.
    pub fn start(
        port: u16,
        notes: Notes,
        random: impl FnMut() -> u16 + Send + 'static,
        news: impl FnMut(News) + Send + 'static,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let moved = Arc::new(Notify::new());
        let network = moved.clone();
        let keeper = Keeper { port, notes, random, news, current: None, gateway: None };
        let thread = std::thread::Builder::new()
            .name("hz-portmap".to_owned())
            .spawn(move || runtime.block_on(keeper.run(stopped, &network)))?;
        Ok(Self { stop, moved, thread: Some(thread) })
    }

    /// For whoever looks at this machine's interfaces.
    pub fn waker(&self) -> Waker {
        Waker(self.moved.clone())
    }
}

impl Drop for PortMapper {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Keeper<R, N> {
    port: u16,
    notes: Notes,
    random: R,
    news: N,
    current: Option<(Router, Mapping)>,
    /// The default route's, when `current` was asked for.
    gateway: Option<Ipv4Addr>,
}

impl<R: FnMut() -> u16, N: FnMut(News)> Keeper<R, N> {
    async fn run(mut self, mut stopped: watch::Receiver<bool>, moved: &Notify) {
        let mut told = None;
        loop {
            // Asking is never cut short: a mapping that nobody knows of would stay behind.
            let wait = self.keep(&mut told).await;
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                () = moved.notified() => self.look_around(&mut told),
                () = tokio::time::sleep(wait) => {}
            }
        }
        let _ = tokio::time::timeout(FAREWELL, self.take_back()).await;
    }

    /// The network has changed: a router that is not ours any more leads nobody to us. One that still
    /// is keeps its mapping, which is renewed.
    fn look_around(&mut self, told: &mut Option<News>) {
        let gateway = self.gateway;
        let strange =
            |(router, _): &mut (Router, Mapping)| !router.sees_us() || default_gateway() != gateway;
        if let Some((_, mapping)) = self.current.take_if(strange) {
            self.tell(News::Removed(mapping), told);
        }
    }

    /// Renews or asks anew; returns how long that is good for.
    async fn keep(&mut self, told: &mut Option<News>) -> Duration {
        if let Some((router, mapping)) = &mut self.current {
            let (port, external) = (self.port, mapping.external.port());
            let mut noting = noting(&self.notes, router, port, external);
            if let Ok(granted) = router.map(port, external, &mut noting).await {
                mapping.external = granted.external;
                let news = News::Mapped(*mapping);
                self.tell(news, told);
                return good_for(&granted);
            }
            // It was restarted, replaced, or another network is there now.
            self.current = None;
        }
        self.gateway = default_gateway();
        match self.ask().await {
            Ok((router, granted)) => {
                let mapping = Mapping {
                    method: router.method(),
                    external: granted.external,
                    permanent: granted.lease_seconds == 0,
                };
                self.current = Some((router, mapping));
                self.tell(News::Mapped(mapping), told);
                good_for(&granted)
            }
            Err(e) => {
                self.tell(News::Failed(e.to_string()), told);
                policy::RETRY
            }
        }
    }

    fn tell(&mut self, news: News, told: &mut Option<News>) {
        if told.as_ref() != Some(&news) {
            *told = Some(news.clone());
            (self.news)(news);
        }
    }

    fn note(&self, router: &Router, mapping: &Mapping) -> Permanent {
        Permanent {
            router: router.address(),
            external_port: mapping.external.port(),
            internal_port: self.port,
        }
    }

    /// Asks each router that answers, the best way first.
    async fn ask(&mut self) -> Result<(Router, Granted), RouterError> {
        let mut error = RouterError::Failed("no router answers UPnP, NAT-PMP or PCP".to_owned());
        let began = tokio::time::Instant::now();
        for mut router in router::find().await {
            self.clear_leftovers(&mut router).await;
            for external in policy::candidates(self.port, &mut self.random) {
                if began.elapsed() > START {
                    return Err(error);
                }
                let mut noting = noting(&self.notes, &router, self.port, external);
                match router.map(self.port, external, &mut noting).await {
                    Ok(granted) => return Ok((router, granted)),
                    Err(RouterError::PortTaken) => error = RouterError::PortTaken,
                    Err(e) => {
                        error = e;
                        break;
                    }
                }
            }
        }
        Err(error)
    }

    /// Removes permanent mappings that a killed run has left on this router. One whose port is in
    /// use here belongs to a run that still lives.
    async fn clear_leftovers(&mut self, router: &mut Router) {
        let notes = self.notes.read();
        if notes.is_empty() {
            return;
        }
        let Some(entries) = router.entries().await else { return };
        let here = router.address();
        for note in notes.iter().filter(|n| n.router == here) {
            if note.internal_port == self.port || !port_is_free(note.internal_port) {
                continue;
            }
            let ours = entries.iter().any(|e| {
                e.udp
                    && e.external_port == note.external_port
                    && e.internal_port == note.internal_port
                    && e.description == policy::DESCRIPTION
            });
            if !ours || router.unmap(note.external_port).await.is_ok() {
                let _ = self.notes.remove(note);
            }
        }
    }

    async fn take_back(&mut self) {
        let Some((mut router, mapping)) = self.current.take() else { return };
        if router.unmap(mapping.external.port()).await.is_ok() {
            if mapping.permanent {
                let _ = self.notes.remove(&self.note(&router, &mapping));
            }
            (self.news)(News::Removed(mapping));
        }
    }
}

/// Writes the note about a mapping without an end, before it is asked for: whatever happens then, the
/// next start knows what to look for.
fn noting(
    notes: &Notes,
    router: &Router,
    internal_port: u16,
    external_port: u16,
) -> impl FnMut() + use<> {
    let (notes, router) = (notes.clone(), router.address());
    move || {
        let _ = notes.add(Permanent { router, external_port, internal_port });
    }
}

/// How long what was granted may be left alone.
fn good_for(granted: &Granted) -> Duration {
    policy::renew_after(match granted.lease_seconds {
        0 => policy::LEASE_SECONDS,
        lease => lease,
    })
}

fn port_is_free(port: u16) -> bool {
    UdpSocket::bind(("0.0.0.0", port)).is_ok()
}
