//! Changes the limits of a cgroup in use.
//!
//! Only files whose value changes are written. The values are then read back. If anything fails, all files get their
//! previous values.

use super::compare::{has_value, restoring_value};
use super::setting::{MissingFile, Setting};
use super::write::{in_order, refused, write_value};
use crate::cgroup::dir::DirRef;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::borrow::Cow;

/// The changes so far, with the previous values.
#[derive(Default)]
pub(in crate::cgroup) struct LimitTransaction<'a> {
    changes: Vec<FileChange<'a>>,
}

/// A file, and the value that it gets.
pub(super) struct FileChange<'a> {
    pub(super) cgroup: DirRef<'a>,
    pub(super) setting: &'a Setting,
    pub(super) file: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    /// The file's text before; `None` if it cannot be read.
    pub(super) before: Option<String>,
}

impl<'a> LimitTransaction<'a> {
    /// Writes `settings` to the files of a cgroup.
    pub(in crate::cgroup) fn write(
        &mut self,
        cgroup: DirRef<'a>,
        settings: impl Iterator<Item = &'a Setting>,
    ) -> Result<()> {
        in_order(settings, |setting| {
            let change = FileChange::of(cgroup, setting)
                .map_err(|e| refused(cgroup, &setting.file, &setting.value, setting, e))?;
            let Some(change) = change else { return Ok(()) };
            let taken = write_value(cgroup, setting, &change.file, &change.value)
                .map_err(|e| refused(cgroup, &change.file, &change.value, setting, e))?;
            if taken {
                self.changes.push(change);
            }
            Ok(())
        })
    }

    /// Compares the values that the kernel has now with those that were written.
    pub(in crate::cgroup) fn verify(&self) -> Result<()> {
        for change in &self.changes {
            let now = change.read().map_err(|e| change.cgroup.failed("read", &change.file, e))?;
            let Some(now) = now else { continue };
            if has_value(&change.file, &change.value, &now) == Some(false) {
                let detail = format!("wanted {:?}, the kernel has {:?}", change.value, now.trim());
                let error =
                    Error::new(ErrorKind::System, Phase::Cgroup, "the kernel has not taken the limit")
                        .on(change.cgroup.path().join(change.file.as_ref()).display().to_string());
                return Err(error.with_detail(detail).with_pointer(change.setting.pointer.clone()));
            }
        }
        Ok(())
    }

    /// Restores the previous values, the last change first. Returns `error`, with the files that could not be restored.
    pub(in crate::cgroup) fn undo(self, error: Error) -> Error {
        let mut unrestored = Vec::new();
        for change in self.changes.iter().rev() {
            let previous = change
                .before
                .as_deref()
                .and_then(|before| restoring_value(&change.file, &change.value, before));
            let restored =
                previous.is_some_and(|text| change.cgroup.write(&change.file, text.as_bytes()).is_ok());
            if !restored {
                unrestored.push(change.file.as_ref());
            }
        }
        if unrestored.is_empty() {
            return error;
        }
        error.with_hint(format!("{} could not be set back to what it was", unrestored.join(", ")))
    }
}

impl<'a> FileChange<'a> {
    /// The change that enforces the setting; `None` if nothing has to be written.
    fn of(cgroup: DirRef<'a>, setting: &'a Setting) -> Result<Option<Self>, Errno> {
        let change = Self::with_text(cgroup, setting)?;
        let is_needed = |change: &Self| {
            let now = change.before.as_deref();
            now.and_then(|now| has_value(&change.file, &change.value, now)) != Some(true)
        };
        Ok(change.filter(is_needed))
    }

    /// The file of the setting with its text; `None` if the setting is ignored.
    pub(super) fn with_text(cgroup: DirRef<'a>, setting: &'a Setting) -> Result<Option<Self>, Errno> {
        let (file, value) = match setting.missing_file() {
            MissingFile::IsIgnored if !cgroup.has(&setting.file)? => return Ok(None),
            MissingFile::Substitute(file, value) if !cgroup.has(&setting.file)? => (file, value),
            _ => (setting.file.as_ref(), setting.value.as_str()),
        };
        let (file, value) = (Cow::Borrowed(file), Cow::Borrowed(value));
        let mut change = Self { cgroup, setting, file, value, before: None };
        change.before = change.read()?;
        if setting.keeps_quota() {
            let now = change.before.as_deref().ok_or(Errno::ENOENT)?;
            change.value = Cow::Owned(setting.after_quota(now));
        }
        Ok(Some(change))
    }

    /// The file's text; `None` if the file does not exist or is write-only.
    pub(super) fn read(&self) -> Result<Option<String>, Errno> {
        match self.cgroup.read(&self.file) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(
                Errno::ENOENT
                | Errno::ENODEV
                | Errno::EOPNOTSUPP
                | Errno::EINVAL
                | Errno::EACCES
                | Errno::EPERM,
            ) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
