//! `hyperzoom render`: a safety track as a WAV file that begins at T0.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::error::{CliError, Problem};
use super::recover::Bar;
use super::report::{self, Report, Told};
use crate::engine::recovery::metadata_beside;
use crate::recording::mp4::Index;
use crate::recording::render::{RenderError, Rendered, end, packets, render};
use crate::recording::wav;
use crate::ui::format;

const AFTER: &str = "\
The file has 48 kHz, 24 bits, one channel, begins at T0 as the host's recording does, and carries \
its timecode (Broadcast Wave). It is as long as the session, by the session_metadata.json beside \
the track, or without one as the track. Loss of up to 60 ms is concealed; what is missing for \
longer is silence.

Exit codes:
  0  it is written
  1  the track cannot be read, or the file cannot be written
  2  usage";

/// Flags of `render`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("render", AFTER))]
pub struct RenderArgs {
    /// A safety track: remote_audio_NAME.mp4 in a session's folder, also of an interrupted session
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// The file to write (default: beside the track, with its name)
    #[arg(long, value_name = "OUT.wav", value_hint = ValueHint::FilePath)]
    pub to: Option<PathBuf>,

    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,

    /// One JSON object instead of a line
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
pub fn run(args: &RenderArgs) -> Result<ExitCode, CliError> {
    let to = args.to.clone().unwrap_or_else(|| args.file.with_extension("wav"));
    let mut bar = Bar::new(&args.file);
    let made = make(&args.file, &to, args.force, &mut |done, total| bar.show(done, total));
    bar.clear();
    let made = made?;
    let line = if args.json {
        let rendered = report::Rendered {
            path: report::text(&args.file),
            to: report::text(&to),
            samples: made.samples,
            seconds: made.samples as f64 / 48_000.0,
            packets: made.packets,
            damaged: made.damaged,
            concealed_ms: made.concealed as f64 / 48.0,
            silence_ms: made.silence as f64 / 48.0,
        };
        Report::Told(Told::Rendered(rendered)).line()
    } else {
        let damaged = match made.damaged {
            0 => String::new(),
            n => format!(", {n} packets damaged"),
        };
        format!(
            "{}: {}, {} packets; {:.1} s silent where nothing came, {:.0} ms concealed{damaged}\n",
            to.display(),
            format::clock_frames(made.samples as f64 / 48_000.0),
            format::grouped(made.packets),
            made.silence as f64 / 48_000.0,
            made.concealed as f64 / 48.0,
        )
    };
    // A closed pipe is no error of ours.
    let _ = io::stdout().write_all(line.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn make(
    path: &Path,
    to: &Path,
    force: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Rendered, CliError> {
    let failed = |e: RenderError| CliError::new(1, format!("{}: {e}", path.display()));
    let unread = |e: io::Error| {
        CliError::from(Problem::Unreadable { path: report::text(path), why: e.to_string() })
    };
    let mut reader = BufReader::new(File::open(path).map_err(unread)?);
    let index = Index::read(&mut reader).map_err(|e| failed(e.into()))?;
    let all = packets(&index).ok_or_else(|| failed(RenderError::Foreign))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let metadata = metadata_beside(path);
    let own = end(&all);
    let length = match &metadata {
        // Of a session that was interrupted, the last word is older than the track.
        Some(metadata) if metadata.hyperzoom.finalised => metadata.samples_from_t0(),
        Some(metadata) => metadata.samples_from_t0().max(own),
        None => own,
    };
    let timecode = index.summary.timecode.map(|code| code.start).unwrap_or_default();
    let origin = wav::Origin {
        description: &format!("{name}, begins at T0, timecode {timecode}"),
        utc_seconds: index.summary.created_utc_seconds,
        timecode,
    };
    // What is there is replaced only by a whole file.
    let place = if force { scratch(to) } else { to.to_owned() };
    let unwritten = |e: io::Error| {
        let (why, remedy) = match e.kind() {
            io::ErrorKind::AlreadyExists => {
                ("it exists already".to_owned(), "--force or another --to")
            }
            _ => (e.to_string(), "another --to"),
        };
        CliError::from(Problem::Unwritable { path: report::text(to), why, remedy })
    };
    let file = match force {
        true => File::create(&place),
        false => File::create_new(&place),
    };
    let mut out = BufWriter::new(file.map_err(unwritten)?);
    let write = || -> Result<Rendered, RenderError> {
        out.write_all(&wav::header(length, &origin)).map_err(RenderError::Write)?;
        let mut sink = |pcm: &[f32]| pcm.iter().try_for_each(|s| out.write_all(&wav::sample(*s)));
        let made = render(&mut reader, &index, length, progress, &mut sink)?;
        out.write_all(wav::padding(length)).map_err(RenderError::Write)?;
        let file = out.into_inner().map_err(|e| RenderError::Write(e.into_error()))?;
        file.sync_all().map_err(RenderError::Write)?;
        drop(file);
        if place != to {
            fs::rename(&place, to).map_err(RenderError::Write)?;
        }
        Ok(made)
    };
    write().map_err(|e| {
        // Half a file helps nobody.
        let _ = fs::remove_file(&place);
        failed(e)
    })
}

fn scratch(to: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(".new");
    to.with_file_name(name)
}
