//! Lines on standard output, written by a thread of its own (`output`), so that a reader that has
//! stopped reading, or is gone, cannot keep a call from ending or a recording from going on.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that wait at most before figures are left out: some 15 minutes of statistics.
const CROWDED: usize = 1_000;
/// Lines that wait at most before anything is left out.
const FULL: usize = 20_000;
/// How long the end waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    /// The writer has lines in hand that it has not written yet.
    writing: bool,
    closed: bool,
    /// Writing failed: nobody reads any more.
    broken: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A queue of lines cannot be left half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue in front of a writer that may block or break.
pub struct LineOutput {
    shared: Arc<Shared>,
}

impl LineOutput {
    /// Lines to standard output.
    pub fn stdout() -> Self {
        Self::new(std::io::stdout())
    }

    /// Lines to any writer.
    pub fn new(mut writer: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let spawned = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || write_lines(&theirs, &mut writer));
        if spawned.is_err() {
            shared.lock().broken = true;
        }
        Self { shared }
    }

    /// Adds a line that matters.
    pub fn line(&self, line: String) {
        self.push(line, FULL);
    }

    /// Adds a line that may be left out when the reader is slow: the next one tells more.
    pub fn figures(&self, line: String) {
        self.push(line, CROWDED);
    }

    fn push(&self, line: String, limit: usize) {
        let mut queue = self.shared.lock();
        if !queue.broken && queue.lines.len() < limit {
            queue.lines.push_back(line);
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for LineOutput {
    /// Waits until everything is written, though not for ever.
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.changed.notify_all();
        let waiting = |q: &mut Queue| !q.broken && (q.writing || !q.lines.is_empty());
        drop(self.shared.changed.wait_timeout_while(queue, PATIENCE, waiting));
    }
}

fn write_lines(shared: &Shared, writer: &mut impl Write) {
    loop {
        let mut batch = String::new();
        {
            let mut queue = shared.lock();
            queue.writing = false;
            shared.changed.notify_all();
            while queue.lines.is_empty() {
                if queue.closed {
                    return;
                }
                queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.writing = true;
            for line in queue.lines.drain(..) {
                batch.push_str(&line);
                batch.push('\n');
            }
        }
        if writer.write_all(batch.as_bytes()).and_then(|()| writer.flush()).is_err() {
            let mut queue = shared.lock();
            queue.broken = true;
            queue.lines.clear();
            shared.changed.notify_all();
            tracing::warn!("standard output is closed; the call goes on without it");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::fake::Memory;
    use std::io;
    use std::sync::mpsc;

    #[test]
    fn every_line_is_written_before_the_output_is_gone() {
        let memory = Memory::default();
        let output = LineOutput::new(memory.clone());
        for n in 0..500 {
            output.line(n.to_string());
        }
        drop(output);
        let text = memory.text();
        assert_eq!(text.lines().count(), 500);
        assert_eq!(text.lines().last(), Some("499"));
    }

    #[test]
    fn a_broken_pipe_is_no_error_of_the_call() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = LineOutput::new(Broken);
        for _ in 0..10_000 {
            output.line("x".to_owned());
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_figures_before_events() {
        struct Stuck(mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = mpsc::channel();
        let output = LineOutput::new(Stuck(stuck));
        for n in 0..5_000 {
            output.figures(n.to_string());
        }
        output.line("an event".to_owned());
        let waiting = output.shared.lock().lines.clone();
        assert!(waiting.len() <= CROWDED + 1);
        assert_eq!(waiting.back().map(String::as_str), Some("an event"));
        drop(release);
    }
}
