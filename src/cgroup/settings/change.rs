//! Other values for the files of a cgroup that is in use: only a file whose value changes is written,
//! what the kernel has made of it is read back, and on an error everything becomes what it was.

use super::apply::explain;
use super::held::{holds, undoing};
use super::{Rule, Setting};
use crate::cgroup::dir::DirRef;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::borrow::Cow;

/// What was written so far, and what it has replaced.
#[derive(Default)]
pub(in crate::cgroup) struct Change<'a> {
    written: Vec<Step<'a>>,
}

/// A value on its way into a file.
struct Step<'a> {
    cgroup: DirRef<'a>,
    setting: &'a Setting,
    file: Cow<'a, str>,
    value: Cow<'a, str>,
    /// The file's text before; `None` where it cannot be read.
    before: Option<String>,
}

impl<'a> Change<'a> {
    /// Writes `settings`, in order, to the files of a cgroup; what may be refused only because a
    /// later setting is not yet written is tried again at the end.
    pub(in crate::cgroup) fn write(
        &mut self,
        cgroup: DirRef<'a>,
        settings: impl Iterator<Item = &'a Setting>,
    ) -> Result<()> {
        let mut again = Vec::new();
        for setting in settings {
            let step = Step::new(cgroup, setting)
                .map_err(|e| explain(cgroup, &setting.file, &setting.value, setting, e))?;
            let Some(step) = step else { continue };
            match step.put() {
                Ok(()) => self.written.push(step),
                Err(Errno::EINVAL) if setting.rule == Rule::Retry => again.push(step),
                Err(e) => return Err(step.refused(e)),
            }
        }
        for step in again {
            step.put().map_err(|e| step.refused(e))?;
            self.written.push(step);
        }
        Ok(())
    }

    /// Compares what the kernel has now with what was wanted.
    pub(in crate::cgroup) fn check(&self) -> Result<()> {
        for step in &self.written {
            let now = step.read().map_err(|e| step.cgroup.failed("read", &step.file, e))?;
            let Some(now) = now else { continue };
            if holds(&step.file, &step.value, &now) == Some(false) {
                let detail = format!("wanted {:?}, the kernel has {:?}", step.value, now.trim());
                let error =
                    Error::new(ErrorKind::System, Phase::Cgroup, "the kernel has not taken the limit")
                        .on(step.cgroup.path().join(step.file.as_ref()).display().to_string());
                return Err(error.with_detail(detail).with_pointer(step.setting.pointer.clone()));
            }
        }
        Ok(())
    }

    /// Puts back what was replaced, the last first, and says where that was impossible.
    pub(in crate::cgroup) fn undo(self, error: Error) -> Error {
        let mut stuck = Vec::new();
        for step in self.written.iter().rev() {
            let back = step.before.as_deref().and_then(|before| undoing(&step.file, &step.value, before));
            let done = back.is_some_and(|text| step.cgroup.write(&step.file, text.as_bytes()).is_ok());
            if !done {
                stuck.push(step.file.as_ref());
            }
        }
        if stuck.is_empty() {
            return error;
        }
        let hint = format!("{} could not be set back to what it was", stuck.join(", "));
        error.with_hint(hint)
    }
}

impl<'a> Step<'a> {
    /// What is to be written where; `None` where that is nothing.
    fn new(cgroup: DirRef<'a>, setting: &'a Setting) -> Result<Option<Self>, Errno> {
        let (file, value) = match &setting.rule {
            Rule::IfExists if !cgroup.has(&setting.file)? => return Ok(None),
            Rule::Else(other, value) if !cgroup.has(&setting.file)? => (*other, value.as_str()),
            _ => (setting.file.as_ref(), setting.value.as_str()),
        };
        let (file, value) = (Cow::Borrowed(file), Cow::Borrowed(value));
        let mut step = Self { cgroup, setting, file, value, before: None };
        step.before = step.read()?;
        if setting.rule == Rule::KeepQuota {
            let now = step.before.as_deref().ok_or(Errno::ENOENT)?;
            let quota = now.split_ascii_whitespace().next().unwrap_or("max");
            step.value = Cow::Owned(format!("{quota} {}", setting.value));
        }
        let same =
            step.before.as_deref().is_some_and(|now| holds(&step.file, &step.value, now) == Some(true));
        Ok((!same).then_some(step))
    }

    /// The file's text; `None` if the file does not exist or is write-only.
    fn read(&self) -> Result<Option<String>, Errno> {
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

    fn put(&self) -> Result<(), Errno> {
        match self.cgroup.write(&self.file, self.value.as_bytes()) {
            // The deprecated file that only repeats what is so anyway.
            Err(Errno::EOPNOTSUPP | Errno::EINVAL)
                if self.setting.rule == Rule::IfExists && self.file == "memory.use_hierarchy" =>
            {
                Ok(())
            }
            done => done,
        }
    }

    fn refused(&self, errno: Errno) -> Error {
        explain(self.cgroup, &self.file, &self.value, self.setting, errno)
    }
}
