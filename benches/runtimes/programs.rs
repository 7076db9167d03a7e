//! Builds the programs that are run: the bench's own C programs and this project's runtime.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;

/// The bench's own programs; `benches/floor` says what each does.
pub(crate) struct Programs {
    pub(crate) floor: PathBuf,
    pub(crate) witness: PathBuf,
    pub(crate) leave: PathBuf,
    pub(crate) peak: PathBuf,
    pub(crate) stopwatch: PathBuf,
}

impl Programs {
    /// Compiles the C files in `sources` into `out`, statically: a dynamic loader would be measured as well.
    pub(crate) fn build(sources: &Path, out: &Path) -> Result<Self> {
        const WITH_LIBC: &[&str] = &[];
        const BARE: &[&str] = &["-nostdlib", "-ffreestanding"];
        fs::create_dir_all(out)?;
        let compile = |name: &str, files: &[&str], flags: &[&str]| {
            let program = out.join(name);
            let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
            let status = Command::new(&compiler)
                .args(["-O2", "-static"])
                .args(flags)
                .arg("-o")
                .arg(&program)
                .args(files.iter().map(|file| sources.join(file)))
                .status()
                .map_err(|error| format!("{compiler}: {error} (a C compiler is needed)"))?;
            if !status.success() {
                return Err(format!("{compiler} could not build {name}"));
            }
            // Dirty pages of a new file would count as memory of the process that runs it.
            File::open(&program).and_then(|file| file.sync_all()).map_err(|error| error.to_string())?;
            Ok(program)
        };
        Ok(Self {
            floor: compile("floor", &["floor.c", "base.c", "cgroup.c", "rootfs.c", "process.c"], WITH_LIBC)?,
            witness: compile("witness", &["witness.c"], WITH_LIBC)?,
            stopwatch: compile("stopwatch", &["stopwatch.c"], WITH_LIBC)?,
            leave: compile("leave", &["leave.c"], BARE)?,
            peak: compile("peak", &["peak.c"], BARE)?,
        })
    }
}

/// Copies a program into `directory`, as a package manager does: written sequentially, and flushed to the disk. A
/// linker leaves many small folios in the page cache, which are mapped one by one.
pub(crate) fn install(program: &Path, directory: &Path) -> Result<PathBuf> {
    let name = program.file_name().ok_or_else(|| format!("{} has no name", program.display()))?;
    let installed = directory.join(name);
    fs::create_dir_all(directory)?;
    // A new file: one that is overwritten keeps its folios.
    match fs::remove_file(&installed) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o755).open(&installed)?;
    file.write_all(&fs::read(program)?)?;
    file.sync_all()?;
    Ok(installed)
}

/// Builds the runtime as it is released and returns its path.
pub(crate) fn build_orlop() -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--release", "-p", "orlop-runtime", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the runtime could not be built".into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "orlop")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo did not build a program called orlop".into())
}
