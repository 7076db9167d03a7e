//! What a release consists of: the binary, its manual pages and completions, the licence, and their checksums.

use crate::program::{Failure, cargo, named};
use std::fs;
use std::path::{Path, PathBuf};

/// Builds a release into an empty directory.
pub(crate) fn run(directory: &str) -> Result<(), Failure> {
    let directory = Path::new(directory);
    if directory.exists() {
        return Err(format!("{} exists; a release is built into a new directory", directory.display()).into());
    }
    cargo(&["build", "--release", "--locked", "-p", "orlop-runtime"]).run()?;
    let program = built()?;
    let create =
        |path: &Path| fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()));
    create(&directory.join("man"))?;
    create(&directory.join("completions"))?;
    let orlop = program.to_string_lossy().into_owned();
    let pages = directory.join("man").to_string_lossy().into_owned();
    named(&orlop).arguments(&["man", "--directory", &pages]).run()?;
    for shell in ["bash", "zsh", "fish"] {
        let text = named(&orlop).arguments(&["completion", shell]).output()?;
        write(&directory.join("completions").join(format!("orlop.{shell}")), text.as_bytes())?;
    }
    for (from, to) in [
        (program.as_path(), "orlop"),
        (Path::new("LICENSE"), "LICENSE"),
        (Path::new("CHANGELOG.md"), "CHANGELOG.md"),
    ] {
        fs::copy(from, directory.join(to)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let mut files = Vec::new();
    list(directory, directory, &mut files)?;
    files.sort();
    let sums = named("sha256sum").arguments(&files).inside(&directory.to_string_lossy()).output()?;
    write(&directory.join("SHA256SUMS"), sums.as_bytes())?;
    println!("{sums}");
    Ok(())
}

/// The binary of the last release build, wherever the target's name has put it.
fn built() -> Result<PathBuf, Failure> {
    let host = named("rustc").arguments(&["-vV"]).output()?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc -vV names no host")?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let program = Path::new(&target).join(host).join("release/orlop");
    let program = program.canonicalize().map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(program)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn list(top: &Path, directory: &Path, files: &mut Vec<String>) -> Result<(), Failure> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            list(top, &path, files)?;
        } else {
            files.push(path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned());
        }
    }
    Ok(())
}
