//! What the program needs at run time, and the release binary's size.
//!
//! The release binary is `HYPERZOOM_RELEASE_BINARY`, else `target/release/hyperzoom` where it has
//! been built: a second cold build would double the time of the tests, so `make release` itself
//! holds it to the same lines (`scripts/check-release`).

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

/// Libraries of the system; everything else is linked in (PRD section 3).
const NEEDED: &[&str] = &[
    "libc.so.",
    "libm.so.",
    "libgcc_s.so.",
    "libstdc++.so.",
    "libasound.so.",
    // The loader, and what libc was made of before glibc 2.34.
    "ld-linux",
    "libpthread.so.",
    "libdl.so.",
    "librt.so.",
];

/// What a podcaster's guest downloads, and half of what PRD section 9 allows.
const LARGEST: u64 = 15_000_000;

/// What `HYPERZOOM_RELEASE_BINARY` names, else what `make release` built beside the debug build.
fn release_binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HYPERZOOM_RELEASE_BINARY") {
        return Some(path.into());
    }
    let built = Path::new(env!("CARGO_BIN_EXE_hyperzoom"));
    let target = built.ancestors().nth(2).expect("the program lies in TARGET/PROFILE");
    Some(target.join("release").join("hyperzoom")).filter(|path| path.exists())
}

fn assert_stands_alone(path: &Path) {
    let bytes = std::fs::read(path).expect("the program was built");
    let elf = goblin::elf::Elf::parse(&bytes).expect("it is an ELF file");
    let strangers: Vec<&str> = elf
        .libraries
        .iter()
        .copied()
        .filter(|library| !NEEDED.iter().any(|needed| library.starts_with(needed)))
        .collect();
    assert!(strangers.is_empty(), "{} needs {strangers:?}", path.display());
}

#[test]
fn the_program_stands_alone() {
    // As `make` links it; plain cargo takes the system's libvpx, which may be a shared one.
    if std::env::var_os("VPX_STATIC").is_some() {
        assert_stands_alone(Path::new(env!("CARGO_BIN_EXE_hyperzoom")));
    }
}

#[test]
fn the_release_binary_stands_alone_and_is_small() {
    let Some(path) = release_binary() else {
        eprintln!("no release binary here: `make release` builds and checks it");
        return;
    };
    assert_stands_alone(&path);
    let size = std::fs::metadata(&path).expect("it is there").len();
    assert!(size < LARGEST, "{} has {size} bytes", path.display());
}
