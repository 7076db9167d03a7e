//! A bundle: its directory, its validated configuration and its root file system.

use super::findings::{Findings, Pointer};
use super::read;
use super::spec::{Mount, Mounts, Spec};
use super::validate;
use crate::{Error, ErrorKind, Phase, Problem, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The name of the configuration in a bundle.
pub const CONFIG: &str = "config.json";

/// No configuration is that long. The limit keeps a device file or a mistake from filling the memory.
const MAX_CONFIG: u64 = 16 << 20;

/// A directory with a validated configuration and an existing root file system.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The bundle's directory: an absolute path without symbolic links.
    pub path: PathBuf,
    /// The configuration, which is valid.
    pub spec: Spec,
    /// The text of the configuration as it was read; for a bundle that was created in memory, an equivalent
    /// text.
    pub config: Vec<u8>,
    /// The root file system's directory: an absolute path without symbolic links.
    pub rootfs: PathBuf,
    /// What the spec wants to be logged as warnings.
    pub warnings: Vec<Problem>,
}

impl Bundle {
    /// Reads `config.json` of the bundle in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a relative path, because the library does not use the caller's working
    /// directory; a system error that names the path if the bundle, its configuration or its root is missing or of
    /// the wrong type; [`ErrorKind::InvalidConfig`] with line and column, or with every [`Problem`].
    pub fn load(directory: impl AsRef<Path>) -> Result<Self> {
        Self::load_config(directory, CONFIG)
    }

    /// Reads another configuration of the bundle in `directory`. `config_file` is absolute, or relative to the bundle.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn load_config(directory: impl AsRef<Path>, config_file: impl AsRef<Path>) -> Result<Self> {
        let path = open_directory(directory.as_ref())?;
        let file = path.join(config_file.as_ref());
        let config = read_config(&file)?;
        let (spec, warnings) = parse(&config).map_err(|e| match e.problems() {
            // The line and the column of a syntax error refer to this file.
            [] => e.on(file.display().to_string()),
            _ => e,
        })?;
        Self::assemble(Some(path), spec, config, warnings)
    }

    /// Creates a bundle from a configuration in memory. Without a directory, `root.path` and the sources of bind mounts
    /// must be absolute, and the bundle's path is the parent directory of the root.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn from_spec(directory: Option<&Path>, spec: Spec) -> Result<Self> {
        let path = directory.map(open_directory).transpose()?;
        let config = spec.to_json()?;
        // The reader refuses NUL, because it ends the kernel's strings. JSON can only write it as `\u0000`.
        if config.windows(6).any(|w| w == b"\\u0000") {
            read::document::<Spec>(&config)?;
        }
        let mut found = Findings::default();
        validate::check(&spec, &mut found);
        if path.is_none() {
            relative_sources(&spec, &mut found);
        }
        if !found.errors.is_empty() {
            return Err(Error::invalid(found.errors));
        }
        Self::assemble(path, spec, config, found.warnings)
    }

    fn assemble(path: Option<PathBuf>, spec: Spec, config: Vec<u8>, warnings: Vec<Problem>) -> Result<Self> {
        let root = Path::new(spec.root.as_ref().map_or("", |root| root.path.as_str()));
        let full = match &path {
            Some(path) => path.join(root),
            None if root.is_absolute() => root.to_owned(),
            None => {
                return Err(Error::new(ErrorKind::InvalidArgument, Phase::Config, "resolve rootfs")
                    .on(root.display().to_string())
                    .with_detail("a relative root path needs a bundle directory")
                    .with_pointer("/root/path"));
            }
        };
        let rootfs = canonical_directory(&full, "rootfs").map_err(|e| e.with_pointer("/root/path"))?;
        let path = path.unwrap_or_else(|| rootfs.parent().unwrap_or(&rootfs).to_owned());
        Ok(Self { path, spec, config, rootfs, warnings })
    }
}

/// Reads and validates a text. The error has the problems of both.
fn parse(text: &[u8]) -> Result<(Spec, Vec<Problem>)> {
    let (spec, mut found) = read::collect::<Spec>(text)?;
    let mut validated = Findings::default();
    validate::check(&spec, &mut validated);
    // Problems of the validator are dropped if the value, a part of it, or what it is a part of could not be read.
    let unread: BTreeSet<String> = found.errors.iter().map(|problem| problem.pointer.clone()).collect();
    found.errors.extend(validated.errors.into_iter().filter(|problem| !related(&unread, &problem.pointer)));
    found.warnings.append(&mut validated.warnings);
    if found.errors.is_empty() { Ok((spec, found.warnings)) } else { Err(Error::invalid(found.errors)) }
}

/// Whether one of `pointers` is `pointer`, contains it, or is contained in it.
fn related(pointers: &BTreeSet<String>, pointer: &str) -> bool {
    let holds = |end: usize| pointers.contains(&pointer[..end]);
    let inside = format!("{pointer}/");
    pointer.match_indices('/').any(|(end, _)| holds(end))
        || holds(pointer.len())
        || pointers.range(inside.clone()..).next().is_some_and(|other| other.starts_with(&inside))
}

fn relative_sources(spec: &Spec, found: &mut Findings) {
    let at = Pointer::ROOT;
    let mounts = at.key("mounts");
    for (i, mount) in spec.mounts.iter().enumerate() {
        let bind = mount.options.iter().any(|option| option == "bind" || option == "rbind");
        if bind && mount.source.as_ref().is_some_and(|source| !source.starts_with('/')) {
            let message = "a relative source needs a bundle directory";
            found.error(&mounts.index(i).key("source"), "config.md#mounts", message);
        }
    }
}

fn open_directory(path: &Path) -> Result<PathBuf> {
    if !path.is_absolute() {
        return Err(Error::new(ErrorKind::InvalidArgument, Phase::Config, "open bundle")
            .on(path.display().to_string())
            .with_detail("the path of a bundle must be absolute"));
    }
    canonical_directory(path, "bundle")
}

fn canonical_directory(path: &Path, what: &'static str) -> Result<PathBuf> {
    let fail = |e: &std::io::Error| system_error(&format!("open {what}"), path, e);
    let canonical = path.canonicalize().map_err(|e| fail(&e))?;
    let metadata = canonical.metadata().map_err(|e| fail(&e))?;
    if metadata.is_dir() { Ok(canonical) } else { Err(fail(&std::io::Error::from(Errno::ENOTDIR))) }
}

fn read_config(path: &Path) -> Result<Vec<u8>> {
    let fail = |e: &std::io::Error| system_error("read config", path, e);
    let file = File::open(path).map_err(|e| fail(&e))?;
    let metadata = file.metadata().map_err(|e| fail(&e))?;
    let mut text = Vec::with_capacity(metadata.len().min(MAX_CONFIG) as usize + 1);
    file.take(MAX_CONFIG + 1).read_to_end(&mut text).map_err(|e| fail(&e))?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(Error::new(ErrorKind::InvalidConfig, Phase::Config, "read config")
            .on(path.display().to_string())
            .with_detail(format!("longer than {MAX_CONFIG} bytes")));
    }
    Ok(text)
}

fn system_error(operation: &str, path: &Path, e: &std::io::Error) -> Error {
    let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    Error::sys(Phase::Config, operation.to_owned(), errno).on(path.display().to_string())
}

/// Reads mounts on their own: an array like `mounts` of a configuration, or an object with that property alone.
///
/// # Errors
/// A syntax error with line and column, or every problem found, each with its JSON pointer.
pub fn mounts_from_json(text: &[u8]) -> Result<Vec<Mount>> {
    if text.trim_ascii_start().starts_with(b"[") {
        return read::document(text);
    }
    Mounts::from_json(text).map(|section| section.mounts)
}
