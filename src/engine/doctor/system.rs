//! Priorities, the clock, the terminal.

use std::io::IsTerminal;

use super::Finding;
use crate::platform::priority::{self, Grant, Role};
use crate::ui::palette::Abilities;

/// On a thread of its own, because the class stays with the thread.
fn ask(role: Role) -> Grant {
    std::thread::spawn(move || priority::ask(role)).join().unwrap_or_else(|_| Grant::unknown())
}

pub fn priority(found: &mut dyn FnMut(Finding)) {
    let grants = [Role::Capture, Role::Talk, Role::Playback, Role::Receive].map(ask);
    found(match grants.iter().find(|grant| !grant.granted) {
        None => {
            let texts = grants.map(|grant| grant.text);
            let mut kinds: Vec<&str> = texts.iter().map(String::as_str).collect();
            kinds.dedup();
            Finding::ok("system", "priority", format!("real time granted: {}", kinds.join(", ")))
        }
        Some(grant) => {
            let text = grant.text.strip_prefix("refused: ").unwrap_or(&grant.text);
            let (why, remedy) = text.split_once("; ").unwrap_or((text, "run it as another user"));
            Finding::warning(
                "system",
                "priority",
                format!("real time is refused ({why}); sound drops out when the machine is busy"),
                remedy,
            )
        }
    });
}

/// The kernel's clock source: the slow ones cost a system call and microseconds at each look.
#[cfg(target_os = "linux")]
pub fn clock_source(found: &mut dyn FnMut(Finding)) {
    const PATH: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let Ok(text) = std::fs::read_to_string(PATH) else { return };
    let name = text.trim();
    found(match name {
        "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" => Finding::warning(
            "system",
            "clock",
            format!("the kernel's clock is {name}: coarse or slow to read"),
            "look at the kernel's messages about tsc (dmesg | grep -i tsc) and the firmware's settings",
        ),
        _ => Finding::ok("system", "clock", format!("the kernel's clock is {name}")),
    });
}

#[cfg(not(target_os = "linux"))]
pub fn clock_source(_: &mut dyn FnMut(Finding)) {}

pub fn terminal(found: &mut dyn FnMut(Finding)) {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    found(if std::io::stdout().is_terminal() {
        of_terminal(crossterm::terminal::size().ok(), &var)
    } else {
        let detail = "standard output is no terminal: plain lines instead of the dashboard";
        Finding::ok("terminal", "terminal", detail)
    });
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        found(of_keys(tells_releases()));
    }
}

/// Whether the terminal tells of keys that are let go: it is asked (kitty's keyboard protocol), and
/// one that does not answer at all is waited for two seconds.
fn tells_releases() -> bool {
    // Windows' own console tells without being asked.
    cfg!(windows) || crossterm::terminal::supports_keyboard_enhancement().unwrap_or(false)
}

fn of_keys(releases: bool) -> Finding {
    let detail = match releases {
        true => "it tells when a key is let go: push-to-talk is holding the space bar",
        false => {
            "it does not tell when a key is let go: push-to-talk is pressing the space bar twice"
        }
    };
    Finding::ok("terminal", "keys", detail)
}

fn of_terminal(size: Option<(u16, u16)>, var: &dyn Fn(&str) -> Option<String>) -> Finding {
    let term = var("TERM").unwrap_or_else(|| "unknown".to_owned());
    let abilities = Abilities::of(var);
    let Some((columns, rows)) = size else {
        let remedy = "use another terminal, or --no-tui for plain lines";
        return Finding::warning("terminal", "terminal", "its size is not known", remedy);
    };
    let detail = format!("{term}, {columns}x{rows}, {}", abilities.colours);
    if !abilities.unicode {
        let detail = format!("{detail}; its locale is not UTF-8: ASCII alone is shown");
        return Finding::warning("terminal", "terminal", detail, "set LANG=C.UTF-8");
    }
    if columns < 80 || rows < 24 {
        let detail = format!("{detail}; the dashboard wants 80x24 to show everything");
        return Finding::warning(
            "terminal",
            "terminal",
            detail,
            "make the window larger or the letters smaller",
        );
    }
    Finding::ok("terminal", "terminal", detail)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_terminal_is_judged_by_its_size_and_its_words() {
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let good = with(&[("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")]);
        let finding = of_terminal(Some((80, 24)), &good);
        assert_eq!(
            (finding.state, &*finding.detail),
            (Verdict::Ok, "xterm-256color, 80x24, 256 colours")
        );
        assert_eq!(of_terminal(Some((60, 18)), &good).state, Verdict::Warning);
        assert_eq!(of_terminal(None, &good).state, Verdict::Warning);
        #[cfg(not(windows))]
        assert_eq!(
            of_terminal(Some((200, 60)), &with(&[("LANG", "C"), ("NO_COLOR", "1")])).state,
            Verdict::Warning
        );
    }

    #[test]
    fn push_to_talk_is_told_as_the_terminal_has_it() {
        assert!(of_keys(true).detail.contains("holding"));
        assert!(of_keys(false).detail.contains("pressing the space bar twice"));
    }

    #[test]
    fn a_refused_priority_says_what_to_do() {
        let mut findings = Vec::new();
        priority(&mut |finding| findings.push(finding));
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.state == Verdict::Ok, finding.remedy.is_none());
        assert!(!finding.detail.contains("refused: "), "{}", finding.detail);
    }
}
