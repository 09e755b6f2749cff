//! The committed completion scripts in the shells that they are for, asked as a person's key asks them.
//!
//! Elvish has no way to ask but a person's key, and PowerShell is not packaged here: what its script asks the program
//! is asked without it. README says what was tried by hand.

#![cfg(unix)]

use std::process::Command;

/// What a shell prints; the program is in its path.
fn run(shell: &str, arguments: &[&str], script: &str) -> Vec<String> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_hyperzoom"));
    let path = format!("{}:{}", program.parent().expect("a folder").display(), env!("PATH"));
    let output = Command::new(shell)
        .args(arguments)
        .args(["-c", script])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", &path)
        .env("HYPERZOOM_CONFIG", "")
        .output()
        .unwrap_or_else(|e| panic!("{shell}: {e}; scripts/setup build test installs it"));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The offered word of each line, without what is said about it.
#[cfg(target_os = "linux")]
fn words(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn bash_completes_flags_devices_and_codes() {
    let complete = |words: &str, last: usize| {
        run(
            "bash",
            &["--norc"],
            &format!(
                "source completions/hyperzoom.bash; COMP_WORDS=({words}); COMP_CWORD={last}; \
                 _clap_complete_hyperzoom hyperzoom \"${{COMP_WORDS[COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
            ),
        )
    };
    assert!(complete("hyperzoom re", 1).contains(&"record".to_owned()));
    assert!(complete("hyperzoom host --video", 2).iter().any(|word| word == "--video-bitrate"));
    let cameras = complete("hyperzoom record --camera ''", 3);
    assert!(cameras.contains(&"test".to_owned()) && cameras.contains(&"off".to_owned()));
    assert_eq!(complete("hyperzoom explain disk-si", 2), ["disk-silent"]);
}

#[test]
#[cfg(target_os = "linux")]
fn fish_completes_flags_devices_and_codes() {
    let complete = |line: &str| {
        run(
            "fish",
            &["--no-config"],
            &format!("source completions/hyperzoom.fish; complete -C '{line}'"),
        )
    };
    assert_eq!(words(&complete("hyperzoom jo")), ["join"]);
    assert!(words(&complete("hyperzoom host --video")).contains(&"--video-bitrate"));
    let microphones = complete("hyperzoom record --mic ");
    assert!(["test", "off"].iter().all(|id| words(&microphones).contains(id)), "{microphones:?}");
    assert_eq!(words(&complete("hyperzoom explain disk-si")), ["disk-silent"]);
}

/// In a terminal of its own: zsh's completion runs nowhere else. Each step waits for what it makes appear.
#[test]
#[cfg(target_os = "linux")]
fn zsh_completes_commands_and_devices() {
    let lines = run(
        // What never appears is waited for without end.
        "timeout",
        &["60", "zsh", "-f"],
        r#"zmodload zsh/zpty
           zpty z zsh -f -i
           zpty -w z "autoload -Uz compinit; fpath=($PWD/completions \$fpath); compinit -u -D; PS1='ready> '; LISTMAX=0"
           zpty -r z out '*ready> *'
           zpty -w -n z $'hyperzoom jo\t'
           zpty -r z out '*join*' && echo join
           zpty -w -n z $'\C-uhyperzoom record --mic \t\t'
           zpty -r z out '*a test signal*' && echo test
           zpty -d z"#,
    );
    assert_eq!(lines, ["join", "test"]);
}

/// PowerShell splits what is answered at the tab: the word, and what is said about it.
#[test]
fn what_powershell_s_script_asks_is_answered_with_flags_devices_and_codes() {
    let ask = |arguments: &str| {
        run("bash", &["--norc"], &format!("COMPLETE=powershell hyperzoom {arguments}"))
    };
    let script = ask("").join("\n");
    assert!(
        script.contains("-CommandName hyperzoom") && script.contains(".Split(\"`t\")"),
        "{script}"
    );
    // As the script puts it: everything up to the cursor behind two dashes.
    assert!(script.contains(" -- $args\n"), "{script}");
    let words = |arguments: &str| -> Vec<String> {
        let lines = ask(&format!("-- hyperzoom {arguments}"));
        lines.iter().filter_map(|line| Some(line.split('\t').next()?.to_owned())).collect()
    };
    assert_eq!(words("jo"), ["join"]);
    assert!(words("host --video").contains(&"--video-bitrate".to_owned()));
    let microphones = words("record --mic ''");
    assert!(
        ["test", "off"].iter().all(|id| microphones.contains(&(*id).to_owned())),
        "{microphones:?}"
    );
    assert_eq!(words("explain disk-si"), ["disk-silent"]);
}
