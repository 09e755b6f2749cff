//! Port mapping: asks the router to let the others' packets in (PRD 4.1), keeps it asked, and takes
//! the mapping back at the end.
//!
//! Runs on a thread of its own (`hz-portmap`): a call starts without waiting for a router. Dropping
//! the [`PortMapper`] removes the mapping, on every way out that still runs code; after a kill the
//! lease ends by itself, and what has no lease is noted in a file and removed at the next start.

mod epoch;
mod gateway;
mod permanent;
mod policy;
mod router;
mod upnp;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use gateway::default_gateway;
pub use permanent::{Notes, Permanent};
use policy::Port;
pub use policy::{Reach, advice, reach};
use router::{Granted, Router};
pub use router::{Method, RouterError};

/// How long taking mappings back may hold up the end.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// The thread has nothing to do after that but to end; who waits for it goes on in any case.
const THREAD: Duration = Duration::from_secs(2);
/// Who waits for a guest learns within 3 s that the router has not answered; half a second of them
/// is for the devices, which are opened before.
const LATE: Duration = Duration::from_millis(2_500);
/// No further port or router is tried after this long; what is asked already may still answer.
const START: Duration = Duration::from_secs(6);

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
    /// The first asking takes long; it goes on.
    Late,
    /// It is there, or has become another one.
    Mapped(Mapping),
    /// There is none; it is tried again now and then.
    Failed(String),
    /// It was taken back, or stayed behind in a network that this machine has left.
    Removed(Mapping),
    /// It was to be taken back, and the router has not said that it is gone.
    Left(Mapping),
}

/// Keeps a port mapped as long as it lives.
#[derive(Debug)]
pub struct PortMapper {
    stop: watch::Sender<bool>,
    moved: Arc<Notify>,
    /// Nothing ever comes; it closes when the thread is done.
    done: mpsc::Receiver<()>,
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
    /// external ports where the own one is taken, and what a PCP server knows us by: nobody may be
    /// able to guess it.
    pub fn start(
        port: u16,
        notes: Notes,
        mut random: impl FnMut() -> u16 + Send + 'static,
        news: impl FnMut(News) + Send + 'static,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let (closes, done) = mpsc::channel();
        let nonce = std::array::from_fn(|_| (u32::from(random()) << 16) | u32::from(random()));
        let keeper =
            Keeper { port, notes, random, nonce, held: None, gateway: None, asked: Vec::new() };
        let moved = Arc::new(Notify::new());
        let network = moved.clone();
        let thread =
            std::thread::Builder::new().name("hz-portmap".to_owned()).spawn(move || {
                let _closes = closes;
                runtime.block_on(keeper.run(stopped, &network, news));
            })?;
        Ok(Self { stop, moved, done, thread: Some(thread) })
    }

    /// For whoever looks at this machine's interfaces.
    pub fn waker(&self) -> Waker {
        Waker(self.moved.clone())
    }
}

impl Drop for PortMapper {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        // A system call that hangs there must not hang the end of a call.
        let ended = self.done.recv_timeout(THREAD) == Err(mpsc::RecvTimeoutError::Disconnected);
        if let Some(thread) = self.thread.take()
            && ended
        {
            let _ = thread.join();
        }
    }
}

struct Keeper<R> {
    port: u16,
    notes: Notes,
    random: R,
    /// Marks our mappings at a PCP server.
    nonce: [u32; 3],
    /// What a router has granted.
    held: Option<(Router, Mapping)>,
    /// The default route's, when that was asked for.
    gateway: Option<Ipv4Addr>,
    /// Routers, and the port that each was asked for without an answer: it may be there.
    asked: Vec<(Router, u16)>,
}

impl<R: FnMut() -> u16> Keeper<R> {
    async fn run(
        mut self,
        mut stopped: watch::Receiver<bool>,
        moved: &Notify,
        mut news: impl FnMut(News),
    ) {
        let mut told = None;
        let mut tell = |what: News| {
            if told.as_ref() != Some(&what) {
                told = Some(what.clone());
                news(what);
            }
        };
        let late = tokio::time::sleep(LATE);
        tokio::pin!(late);
        let mut first = true;
        let mut retry = policy::RETRY;
        'call: loop {
            let (what, good_for) = {
                let keep = self.keep();
                tokio::pin!(keep);
                loop {
                    tokio::select! {
                        biased;
                        _ = stopped.wait_for(|stop| *stop) => break 'call,
                        kept = &mut keep => break kept,
                        () = &mut late, if first => {
                            first = false;
                            tell(News::Late);
                        }
                    }
                }
            };
            first = false;
            tell(what);
            let wait = good_for.unwrap_or(retry);
            // A network that is just coming up is there in a moment; who has none is asked now and then.
            retry = (2 * retry).min(policy::RETRY);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                () = moved.notified() => {
                    if let Some(mapping) = self.leave_behind() {
                        tell(News::Removed(mapping));
                    }
                    retry = policy::RETRY_MOVED;
                }
                () = self.is_due(wait) => {}
            }
        }
        if let Some(what) = self.take_back().await {
            tell(what);
        }
    }

    /// The network has changed: a router that is not ours any more leads nobody to us. One that still
    /// is keeps its mapping, which is renewed.
    fn leave_behind(&mut self) -> Option<Mapping> {
        let gateway = self.gateway;
        let strange =
            |(router, _): &mut (Router, Mapping)| !router.sees_us() || default_gateway() != gateway;
        self.held.take_if(strange).map(|(_, mapping)| mapping)
    }

    /// Until what is held has to be renewed, after `wait` or when the router has lost it.
    async fn is_due(&self, wait: Duration) {
        let due = Instant::now() + wait;
        while let Some((router, mapping)) = &self.held
            && Instant::now() + policy::CHECK < due
        {
            tokio::time::sleep(policy::CHECK).await;
            if router.lost(self.port, mapping.external).await {
                return;
            }
        }
        tokio::time::sleep_until(due).await;
    }

    /// Renews or asks anew; what there is then, and how long that is good for, if anything. May be cut
    /// short.
    async fn keep(&mut self) -> (News, Option<Duration>) {
        if let Some((router, mapping)) = &mut self.held {
            let (port, external) = (self.port, mapping.external);
            let mut noting = noting(&self.notes, router, port, external.port());
            if let Ok(granted) = router.map(port, external.port(), &mut noting).await {
                mapping.external = granted.external;
                if granted.external.ip().is_unspecified() {
                    // It does not tell this time; that it has another one now is less likely.
                    mapping.external.set_ip(external.ip());
                }
                mapping.permanent = granted.lease_seconds == 0;
                return (News::Mapped(*mapping), Some(good_for(&granted)));
            }
            // It was restarted or replaced, another network is there now, or one answer was lost.
        }
        self.gateway = default_gateway();
        match self.ask().await {
            Ok((router, granted)) => {
                let mapping = Mapping {
                    method: router.method(),
                    external: granted.external,
                    permanent: granted.lease_seconds == 0,
                };
                let before = self.held.replace((router, mapping));
                // It may have been the answer alone that was lost.
                self.asked.extend(before.map(|(router, m)| (router, m.external.port())));
                (News::Mapped(mapping), Some(good_for(&granted)))
            }
            // What was held is tried again, and taken back in the end: it may still be there.
            Err(e) => (News::Failed(e.to_string()), None),
        }
    }

    /// Asks each router that answers, the best way first; the first one's error is told.
    async fn ask(&mut self) -> Result<(Router, Granted), RouterError> {
        let began = Instant::now();
        let found = router::find(self.nonce).await;
        self.asked.clear();
        let mut error = None;
        for router in found {
            clear_leftovers(&self.notes, self.port, &router).await;
            self.asked.push((router, self.port));
            let answer = self.try_ports(began).await;
            // What was asked of a silent one may come to be all the same.
            let asked = match &answer {
                Err(RouterError::Silent) => None,
                _ => self.asked.pop(),
            };
            match (answer, asked) {
                (Ok(granted), Some((router, _))) => return Ok((router, granted)),
                (Ok(_), None) => {}
                (Err(e), _) => error = error.or(Some(e)),
            }
        }
        let nobody = || "no router answers UPnP, NAT-PMP or PCP".to_owned();
        Err(error.unwrap_or_else(|| RouterError::Failed(nobody())))
    }

    /// Asks the last router of `asked` for one port after the other.
    async fn try_ports(&mut self, began: Instant) -> Result<Granted, RouterError> {
        let mut answer = Err(RouterError::Silent);
        for external in policy::candidates(self.port, &mut self.random) {
            let Some((router, asked)) = self.asked.last_mut() else { break };
            if began.elapsed() > START {
                break;
            }
            *asked = external;
            let mut noting = noting(&self.notes, router, self.port, external);
            answer = router.map(self.port, external, &mut noting).await;
            // UPnP 2 refuses to tell of another machine's port; another port may be free.
            let again = match answer {
                Err(RouterError::PortTaken) => true,
                Err(RouterError::Refused(_)) => router.method() == Method::Upnp,
                _ => false,
            };
            if !again {
                break;
            }
        }
        answer
    }

    /// Takes back what was granted, and what may have been.
    async fn take_back(&self) -> Option<News> {
        let until = Instant::now() + FAREWELL;
        let forget = |router: &Router, external_port: u16| {
            let (router, internal_port) = (router.address(), self.port);
            let _ = self.notes.remove(&Permanent { router, external_port, internal_port });
        };
        let mut news = None;
        if let Some((router, mapping)) = &self.held {
            let external = mapping.external.port();
            let removed = router.unmap(self.port, external);
            news = match tokio::time::timeout_at(until, removed).await {
                Ok(Ok(())) => {
                    forget(router, external);
                    Some(News::Removed(*mapping))
                }
                _ => Some(News::Left(*mapping)),
            };
        }
        for (router, external) in &self.asked {
            let removed = async {
                // Another program may have got it meanwhile.
                match router.port(*external, self.port).await? {
                    Port::Ours => router.unmap(self.port, *external).await,
                    Port::Free | Port::Taken => Ok(()),
                }
            };
            if let Ok(Ok(())) = tokio::time::timeout_at(until, removed).await {
                forget(router, *external);
            }
        }
        news
    }
}

/// Removes permanent mappings that a killed run has left on this router. One whose port is in use
/// here belongs to a run that still lives.
async fn clear_leftovers(notes: &Notes, port: u16, router: &Router) {
    // The other languages have no mappings without an end.
    if router.method() != Method::Upnp {
        return;
    }
    let here = router.address();
    for note in notes.read().iter().filter(|n| n.router == here) {
        let (external, internal) = (note.external_port, note.internal_port);
        if internal == port || !port_is_free(internal) {
            continue;
        }
        let gone = match router.port(external, internal).await {
            Ok(Port::Ours) => router.unmap(internal, external).await.is_ok(),
            Ok(Port::Free | Port::Taken) => true,
            Err(_) => false,
        };
        if gone {
            let _ = notes.remove(note);
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
