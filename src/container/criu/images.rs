//! The directories of images and logs, and the files that the library adds to criu's images.

use super::options::Criu;
use crate::bundle::annotations::{Annotations, CRIU_CONFIG};
use crate::container::options::require_absolute;
use crate::container::runtime::Runtime;
use crate::container::trusted_directory;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The file with the standard descriptors, as runc writes it.
pub(super) const DESCRIPTORS: &str = "descriptors.json";
/// The file with the options of the checkpoint that the restore needs.
pub(super) const CHECKPOINT_OPTIONS: &str = "orlop.json";
/// The maximum size in bytes of the files that are read.
const MAX_FILE_SIZE: usize = 64 << 10;

/// The options of a checkpoint that also apply to the restore.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StoredOptions {
    pub(super) empty_network: bool,
}

/// The open directories of images and logs.
pub(super) struct ImageDirectories {
    pub(super) images: OwnedFd,
    pub(super) work: OwnedFd,
    images_path: PathBuf,
    work_path: PathBuf,
}

impl ImageDirectories {
    /// Opens the directories. A missing work directory is created; a missing image directory only with `create_images`.
    pub(super) fn open(images: &Path, work: Option<&Path>, create_images: bool) -> Result<Self> {
        if create_images {
            create_directory(images, "image path")?;
        }
        if let Some(work) = work {
            create_directory(work, "work path")?;
        }
        let work_path = work.unwrap_or(images).to_owned();
        Ok(Self {
            images: open_directory(images, "image path")?,
            work: open_directory(&work_path, "work path")?,
            images_path: images.to_owned(),
            work_path,
        })
    }

    /// The path of a log.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.work_path.join(name)
    }

    /// Writes a file that the library adds to the images.
    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        serde_json::to_vec(value)
            .map_err(|_| Errno::EINVAL)
            .and_then(|text| sys::fs::replace_at(&self.images, &sys::fs::cstring(name)?, &text, 0o600))
            .map_err(|e| Error::sys(Phase::Lifecycle, "write", e).on(name))
    }

    /// Reads a file that the library has added to the images; `None` if it does not exist.
    pub(super) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.images_path.join(name).display().to_string();
        let text = match sys::fs::cstring(name)
            .and_then(|name| sys::fs::read_plain_at(&self.images, &name, MAX_FILE_SIZE))
        {
            Ok(text) => text,
            Err(Errno::ENOENT) => return Ok(None),
            Err(e) => return Err(Error::sys(Phase::Lifecycle, "read", e).on(path)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, "cannot read")
                .on(path)
                .with_detail(e.to_string())
        })
    }
}

/// The path of criu's configuration file, whose options override those of a request.
///
/// # Errors
/// If an annotation of the container names another file, and the caller does not permit that.
pub(super) fn config_file(
    runtime: &Runtime,
    criu: &Criu,
    annotations: &Annotations,
) -> Result<Option<String>> {
    Ok(match annotations.guarded(&CRIU_CONFIG, runtime.permissions())? {
        Some(file) => Some(file.to_owned()).filter(|file| !file.is_empty()),
        None => criu.config.as_ref().map(|file| file.display().to_string()),
    })
}

/// Opens a directory at an absolute path. It must be trusted, because criu follows links in it and restores what it reads.
fn open_directory(path: &Path, what: &'static str) -> Result<OwnedFd> {
    require_absolute(path, what)?;
    let opened = sys::fs::cstring(path)
        .and_then(|path| sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0))
        .map_err(|e| Error::sys(Phase::Lifecycle, "open", e).on(format!("{what} {}", path.display())))?;
    trusted_directory::require(&opened, Phase::Lifecycle, what, path)?;
    Ok(opened)
}

/// Creates a directory and its parents, for their owner alone.
fn create_directory(path: &Path, what: &'static str) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    require_absolute(path, what)?;
    let done = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    match done.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))) {
        // If it is not a directory, or cannot be accessed, opening it fails.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(Error::sys(Phase::Lifecycle, "mkdir", e).on(format!("{what} {}", path.display()))),
    }
}
