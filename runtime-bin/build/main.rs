//! Tells the binary the commit that it is built from, for `--version`, and the linker which functions belong together.

mod order;

use std::path::Path;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-env-changed=ORLOP_COMMIT");
    // The log of HEAD changes with every commit. Without a repository the commit is unknown.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|p| Path::new(p).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = std::env::var("ORLOP_COMMIT").ok().or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=ORLOP_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    order::apply();
}
