//! What the process uses: CPU time, memory, and on Linux the CPU time of each thread.
//!
//! Reads files and asks the system; for statistics once a second, not for real-time threads.

/// CPU time of the whole process since it started, seconds; 0 where the system does not tell.
pub fn cpu_seconds() -> f64 {
    cpu_time::ProcessTime::try_now().map_or(0.0, |t| t.as_duration().as_secs_f64())
}

/// Resident memory in bytes, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    memory_stats::memory_stats().map(|m| m.physical_mem as u64)
}

/// One thread's share.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadUsage {
    /// The system's number of the thread.
    pub id: u32,
    /// Name as `ps -L` shows it, at most 15 bytes on Linux.
    pub name: String,
    /// CPU time since the thread started, seconds, to the system's tick (10 ms on Linux).
    pub seconds: f64,
}

/// CPU time per thread, by thread number; empty where the system offers no cheap way to ask.
pub fn threads() -> Vec<ThreadUsage> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a plain query.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
        let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
        let mut threads: Vec<_> = tasks
            .flatten()
            // A thread that ended since the listing has no file any more.
            .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
            .filter_map(|stat| parse_stat(&stat, ticks))
            .collect();
        threads.sort_by_key(|t| t.id);
        threads
    }
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// One line of `/proc/PID/task/TID/stat` (proc_pid_stat(5)). The name stands in parentheses and may
/// itself hold spaces and parentheses, so the last closing one ends it.
#[cfg(target_os = "linux")]
fn parse_stat(stat: &str, ticks_per_second: f64) -> Option<ThreadUsage> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, fields) = rest.rsplit_once(") ")?;
    // Behind the name comes field 3; user time is field 14, system time field 15.
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(ThreadUsage {
        id: id.trim().parse().ok()?,
        name: name.to_owned(),
        seconds: (user + system) / ticks_per_second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stat_line_is_read_past_a_name_with_spaces_and_parentheses() {
        let line =
            "4711 (odd) name (x) S 1 4711 4711 0 -1 4194304 10 0 0 0 250 50 0 0 20 0 5 0 99 1 2";
        let read = parse_stat(line, 100.0).expect("the line is whole");
        assert_eq!(read, ThreadUsage { id: 4711, name: "odd) name (x".into(), seconds: 3.0 });
        for cut in 0..line.find("50 0 0 20").expect("in the line") {
            assert_eq!(parse_stat(&line[..cut], 100.0), None, "cut at {cut}");
        }
    }

    #[test]
    fn work_shows_in_the_process_time_and_memory_is_not_zero() {
        let before = cpu_seconds();
        let mut x = 1u64;
        // Bounded by the CPU time itself: ends as soon as the clock has moved.
        while cpu_seconds() == before {
            for _ in 0..10_000 {
                x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
            }
        }
        assert!(cpu_seconds() > before);
        assert!(resident_bytes().is_none_or(|b| b > 100_000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_found_by_its_name() {
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let worker = std::thread::Builder::new()
            .name("usage-probe".into())
            .spawn(move || {
                ready.send(()).expect("the test waits");
                asked.recv().ok();
            })
            .expect("a thread can be started");
        is_ready.recv().expect("the thread runs");
        let found = threads();
        assert!(found.iter().any(|t| t.name == "usage-probe"), "{found:?}");
        drop(ask);
        worker.join().expect("it ends");
    }
}
