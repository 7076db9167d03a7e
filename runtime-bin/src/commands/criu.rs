//! Finding criu(8) and its configuration.

use crate::failure::Failure;
use nix::libc;
use nix::unistd::{AccessFlags, access};
use orlop::container::Criu;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The search path if `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// criu from `PATH`, with this program's own environment.
pub(super) fn find(program: &str) -> Result<Criu, Failure> {
    let path =
        std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into());
    let Some(found) = executable(&path, "criu")? else {
        return Err(Failure::new(
            "checkpoint and restore need criu: exec: \"criu\": executable file not found in $PATH; \
             hint: install the package criu",
        ));
    };
    let utf8 =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let mut env: Vec<(String, String)> = std::env::vars_os().filter_map(utf8).collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    // Engines configure criu for runc, and that file suits this runtime too.
    let configs = [program, "runc"].map(|name| PathBuf::from(format!("/etc/criu/{name}.conf")));
    let mut config = None;
    for file in configs {
        if config.is_none() && existing(&file, std::fs::metadata(&file))?.is_some() {
            config = Some(file);
        }
    }
    Ok(Criu { program: found, env, config })
}

/// The first executable file of this name in the directories of a `PATH`.
fn executable(path: &OsStr, name: &str) -> Result<Option<PathBuf>, Failure> {
    for file in std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)) {
        let is_file = existing(&file, std::fs::metadata(&file))?.is_some_and(|metadata| metadata.is_file());
        let is_executable =
            || existing(&file, access(&file, AccessFlags::X_OK).map_err(std::io::Error::from));
        if is_file && is_executable()?.is_some() {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The result of a call on a file, or `None` if it does not exist or this user may not access it.
fn existing<T>(file: &Path, result: std::io::Result<T>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)) => Ok(None),
        Err(e) => Err(Failure::io("look at", file, &e)),
    }
}
