//! `hyperzoom man`: the man pages, made from the command line's own description.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{Resettable, StyledStr};
use clap_mangen::roff::{Roff, bold, roman};

use super::error::{CliError, Problem};
use super::examples::HEADING;

/// Flags of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write to
    #[arg(value_name = "DIR", default_value = "man")]
    pub dir: PathBuf,
}

/// Every page as file name and content.
pub fn pages() -> Vec<(String, Vec<u8>)> {
    let root = super::command();
    let mut pages = vec![page("hyperzoom", root.clone().disable_help_subcommand(true))];
    for sub in root.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("hyperzoom-{}", sub.get_name());
        let usage = format!("hyperzoom {}", sub.get_name());
        let sub = sub
            .clone()
            .display_name(name.clone())
            .bin_name(usage)
            .version(env!("CARGO_PKG_VERSION"))
            .disable_version_flag(true);
        pages.push(page(&name, sub));
    }
    pages
}

/// What stands above the exit codes in the help.
const EXIT_CODES: &str = "Exit codes:";

fn page(name: &str, command: clap::Command) -> (String, Vec<u8>) {
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let man = clap_mangen::Man::new(command.after_long_help(Resettable::<StyledStr>::Reset))
        .title(name)
        .source(concat!("hyperzoom ", env!("CARGO_PKG_VERSION")))
        .manual("HyperZoom manual");
    let page = written(|out| man.render(out));
    let ours = written(|mut out| sections(&after).to_writer(&mut out));
    // Each piece begins with what makes apostrophes straight: once is enough.
    let nothing = written(|mut out| Roff::new().to_writer(&mut out));
    let ours = ours.strip_prefix(nothing.as_str()).unwrap_or(&ours);
    let page = page.replacen(".SH VERSION\n", &format!("{ours}.SH VERSION\n"), 1);
    (format!("{name}.1"), page.into_bytes())
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("it is made of text")
}

/// What the help ends with, under the names that such sections have: each paragraph begins with its
/// own, or is a note.
fn sections(after: &str) -> Roff {
    let mut roff = Roff::new();
    // In the order of man-pages(7).
    for (heading, title) in [(EXIT_CODES, "EXIT STATUS"), ("", "NOTES"), (HEADING, "EXAMPLES")] {
        let mine = |text: &&str| match heading {
            "" => ![EXIT_CODES, HEADING].iter().any(|other| text.starts_with(other)),
            heading => text.starts_with(heading),
        };
        let Some(text) = after.split("\n\n").filter(|text| !text.is_empty()).find(mine) else {
            continue;
        };
        roff.control("SH", [title]);
        if heading.is_empty() {
            roff.text([roman(text)]);
            continue;
        }
        let mut lines = text.lines().skip(1);
        while let Some(line) = lines.next() {
            let line = line.trim();
            roff.control("TP", []);
            if heading == HEADING {
                roff.text([bold(line)]);
                roff.text([roman(lines.next().unwrap_or_default().trim())]);
            } else {
                let (code, what) = line.split_once("  ").unwrap_or((line, ""));
                roff.text([bold(code)]);
                roff.text([roman(what.trim())]);
            }
        }
    }
    roff
}

/// Runs the subcommand.
pub fn run(args: &ManArgs) -> Result<ExitCode, CliError> {
    write_all(&args.dir, &pages())
}

/// Writes files into a folder, making it where it lacks.
pub fn write_all(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<ExitCode, CliError> {
    let failed = |path: &Path, e: std::io::Error| {
        let path = path.display().to_string();
        CliError::from(Problem::Unwritable { path, why: e.to_string(), remedy: "another folder" })
    };
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|e| failed(&path, e))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_examples_and_exit_codes_stand_where_people_look() {
        for (name, bytes) in pages() {
            let page = String::from_utf8(bytes).expect("text");
            assert!(page.contains("\n.SH EXAMPLES\n.TP\n\\fBhyperzoom"), "{name}: {page}");
            assert!(!page.contains(".SH EXTRA") && page.ends_with("\n"), "{name}: {page}");
            assert_eq!(page.matches(".ds Aq ").count(), 2, "{name}");
        }
        let page = &pages()[1];
        let text = String::from_utf8_lossy(&page.1).into_owned();
        let status = "\n.SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\nended;";
        assert!(page.0 == "hyperzoom-host.1" && text.contains(status), "{text}");
        assert!(text.contains("\\fB130\\fR\n"), "{text}");
    }
}
