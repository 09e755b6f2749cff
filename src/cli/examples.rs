//! An example or two of each command, as `--help` and the man pages show them: each is a line that the
//! program takes.

use std::fmt::Write as _;

/// A line to type, and what it is for.
type Example = (&'static str, &'static str);

/// By the command's name; without one, the program's own.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            ("hyperzoom", "asks for devices, then hosts a call or joins one"),
            (
                "hyperzoom doctor",
                "before the first call: what works on this machine, and what to do",
            ),
            ("hyperzoom host --name Ana", "waits for guests, and shows the line that they type"),
            (
                "hyperzoom join 'studio.example:7000#AEBAGBAFAYDQQCIKBMGA2DQPCA' --name Ben",
                "joins with that line (the quotes keep the shell from reading # as a comment)",
            ),
            (
                "hyperzoom record --duration 10m",
                "ten minutes of camera and microphone, without a call",
            ),
        ],
    ),
    (
        "host",
        &[
            (
                "hyperzoom host --name Ana --session 'Episode 12'",
                "a call; recorded from the first guest on",
            ),
            (
                "hyperzoom host --mic Shure:2 --camera BRIO --audio-format flac",
                "the second channel of an interface, a camera by a part of its name, lossless sound",
            ),
            (
                "hyperzoom host --listen 0.0.0.0:9000 --public studio.example:9000",
                "another port, forwarded on the router by hand; the invite shows that address",
            ),
            (
                "hyperzoom host --admit key --yes --json --record-now",
                "for a script: events come as JSON lines, commands go to standard input",
            ),
            (
                "hyperzoom host --mic test --camera test --speaker off --no-port-mapping",
                "a dry run with a test sound and a test picture",
            ),
        ],
    ),
    (
        "join",
        &[
            (
                "hyperzoom join 'studio.example:7000#AEBAGBAFAYDQQCIKBMGA2DQPCA' --name Ben",
                "with the line that the host's dashboard shows",
            ),
            ("hyperzoom join 192.0.2.7", "without a key: knocks, and a person there decides"),
            (
                "wl-paste | hyperzoom join - --name Ben --yes",
                "the invite from the clipboard, straight into the call",
            ),
            (
                "hyperzoom join 'studio.example#AEBAGBAFAYDQQCIKBMGA2DQPCA' --mute --camera-off",
                "to listen first",
            ),
        ],
    ),
    (
        "record",
        &[
            ("hyperzoom record", "until q is pressed"),
            (
                "hyperzoom record --duration 1h30m --output /mnt/ssd/takes --yes",
                "ends by itself; nothing is asked",
            ),
            (
                "hyperzoom record --camera off --audio-format flac --raw-audio",
                "sound alone, lossless",
            ),
            ("hyperzoom record --json --duration 5s --yes | jq .event", "what a script sees"),
        ],
    ),
    (
        "devices",
        &[
            ("hyperzoom devices", "ids and names; * is used without a flag"),
            ("hyperzoom devices --json | jq -r '.cameras[].id'", "for a script"),
        ],
    ),
    (
        "doctor",
        &[
            ("hyperzoom doctor", "everything, in some ten seconds"),
            (
                "hyperzoom doctor --mic Shure --output /mnt/ssd/takes",
                "with the devices of the evening",
            ),
            ("hyperzoom doctor --clap --camera BRIO", "measures the camera's delay and keeps it"),
            (
                "hyperzoom doctor --json | jq -r '.findings[] | select(.state != \"ok\") | .try'",
                "what is left to do",
            ),
        ],
    ),
    (
        "recover",
        &[
            ("hyperzoom recover ~/HyperZoom/recordings", "everything that was interrupted"),
            (
                "hyperzoom recover damaged/local_recording.mp4 --to saved.mp4",
                "a whole copy; the recording stays as it is",
            ),
        ],
    ),
    (
        "render",
        &[
            ("hyperzoom render remote_audio_Ben.mp4", "remote_audio_Ben.wav beside it, from T0 on"),
            ("hyperzoom render remote_audio_Ben.mp4 --to /tmp/ben.wav --force", "elsewhere, again"),
        ],
    ),
    (
        "verify",
        &[
            ("hyperzoom verify ~/HyperZoom/recordings/2026-05-04_12-00-00_session", "a session"),
            ("hyperzoom verify --json local_recording.mp4 | jq .ok", "true or false, for a script"),
        ],
    ),
    (
        "config",
        &[
            ("hyperzoom config", "what a host is started with, and where each value comes from"),
            ("hyperzoom config --init", "writes a file to fill in"),
            ("hyperzoom config record --json", "the recorder's values, for a script"),
        ],
    ),
    (
        "explain",
        &[
            ("hyperzoom explain firewall", "one entry"),
            ("hyperzoom explain | less", "all of them"),
            ("hyperzoom explain --json | jq -r .code", "their names"),
        ],
    ),
];

/// What stands above the examples.
pub const HEADING: &str = "Examples:";

/// The examples of a command, and what else its help ends with.
pub fn and(command: &str, more: &str) -> String {
    let mut text = format!("{HEADING}\n");
    for (line, what) in of(command) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {line}\n      {what}");
    }
    match more {
        "" => text.trim_end().to_owned(),
        more => format!("{text}\n{more}"),
    }
}

/// The examples of a command.
pub fn of(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| *examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory as _, Parser as _};

    /// The words of the first program of a line that is ours, as a shell makes them.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars() {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => quote = Some(c),
                (' ', None) => words.push(std::mem::take(&mut word)),
                (c, _) => word.push(c),
            }
        }
        words.push(word);
        assert_eq!(quote, None, "{line}");
        let ours = words.split(|word| word == "|").find(|words| words[0] == "hyperzoom");
        ours.unwrap_or_else(|| panic!("no hyperzoom in {line}")).to_vec()
    }

    #[test]
    fn every_example_is_taken_by_the_program_and_stands_at_its_command() {
        for (command, examples) in EXAMPLES {
            for (line, what) in *examples {
                let words = words(line);
                Cli::try_parse_from(&words).unwrap_or_else(|e| panic!("{line}: {e}"));
                let named = words.get(1).map_or("", String::as_str);
                assert!(command.is_empty() || named == *command, "{line}");
                assert!(!what.is_empty() && line.len() < 90 && what.len() < 90, "{line}");
            }
        }
    }

    #[test]
    fn every_command_has_examples_and_shows_them() {
        let root = Cli::command();
        let shown = root.get_subcommands().filter(|sub| !sub.is_hide_set());
        for command in shown.chain([&root]) {
            let name = if command.get_name() == "hyperzoom" { "" } else { command.get_name() };
            assert!(of(name).len() >= 2, "{name}");
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            for (line, what) in of(name) {
                assert!(help.contains(line) && help.contains(what), "{name}: {help}");
            }
        }
    }
}
