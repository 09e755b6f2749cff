//! What the release binary needs at run time, and its size.
//!
//! Reads `HYPERZOOM_RELEASE_BINARY`, else `target/release/hyperzoom`, which is built where it lacks.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

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

/// PRD section 9.
const LARGEST: u64 = 30_000_000;

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HYPERZOOM_RELEASE_BINARY") {
        return path.into();
    }
    // Beside the debug build, wherever that is.
    let built = Path::new(env!("CARGO_BIN_EXE_hyperzoom"));
    let target = built.ancestors().nth(2).expect("the program lies in TARGET/PROFILE");
    let path = target.join("release").join("hyperzoom");
    if !path.exists() {
        let status = Command::new("make")
            .args(["--no-print-directory", "release"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", target)
            .status()
            .expect("make is installed");
        assert!(status.success(), "the release build failed");
    }
    path
}

#[test]
fn the_release_binary_stands_alone_and_is_small() {
    let path = binary();
    let bytes = std::fs::read(&path).expect("the release binary was built");
    let elf = goblin::elf::Elf::parse(&bytes).expect("it is an ELF file");
    let strangers: Vec<&str> = elf
        .libraries
        .iter()
        .copied()
        .filter(|library| !NEEDED.iter().any(|needed| library.starts_with(needed)))
        .collect();
    assert!(strangers.is_empty(), "{} needs {strangers:?}", path.display());
    let size = bytes.len() as u64;
    assert!(size < LARGEST, "{} has {size} bytes", path.display());
}
