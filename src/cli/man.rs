//! `hyperzoom man`: the man pages, made from the command line's own description.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;

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

fn page(name: &str, command: clap::Command) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .source(concat!("hyperzoom ", env!("CARGO_PKG_VERSION")))
        .manual("HyperZoom manual")
        .render(&mut bytes)
        .expect("writing to memory does not fail");
    (format!("{name}.1"), bytes)
}

/// Runs the subcommand.
pub fn run(args: &ManArgs) -> Result<ExitCode, CliError> {
    write_all(&args.dir, &pages())
}

/// Writes files into a folder, making it where it lacks.
pub fn write_all(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<ExitCode, CliError> {
    let failed = |path: &Path, e: std::io::Error| {
        CliError::new(1, format!("cannot write {}: {e}; try another folder", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|e| failed(&path, e))?;
    }
    Ok(ExitCode::SUCCESS)
}
