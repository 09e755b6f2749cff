//! Parses, runs, prints the error, chooses the exit code. The only place that ends the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    hyperzoom::cli::main()
}
