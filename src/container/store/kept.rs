//! The configuration that a container was made from, and the limits that updates have made of its.

use super::{Directory, Record, STATE, cannot_encode, journal};
use crate::bundle::spec::{Resources, Spec};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};

/// How long `state.json` may get beyond the configuration before updates that no longer count go.
const ROOM_FOR_UPDATES: usize = 64 * 1024;

/// A journal as it was read.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
}

impl Kept {
    /// The policy, encoded.
    pub(crate) fn policy(&self) -> Option<&[u8]> {
        journal::read(&self.bytes).policy
    }
}

impl Directory {
    /// The record, and all that is kept with it.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub(crate) fn read_kept(&self) -> Result<Option<(Record, Kept)>> {
        let Some(bytes) = self.found(self.journal())? else { return Ok(None) };
        let record = match journal::read(&bytes).record {
            Some(record) => self.decode(record)?,
            None => None,
        };
        Ok(record.map(|record| (record, Kept { bytes })))
    }

    /// Keeps the configuration as it was read, for `exec` and the hooks of later commands.
    /// `policy` is what [`exec`](super::Container::exec) needs of it, encoded; empty where that is not known.
    pub(crate) fn write_config(&self, bytes: &[u8], policy: &[u8]) -> Result<()> {
        self.append(&journal::config_entry(bytes, policy))
    }

    /// The configuration kept by [`write_config`](Self::write_config).
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where a `create` that was cut short has kept none.
    pub(crate) fn read_config(&self) -> Result<Vec<u8>> {
        let bytes = self.journal().map_err(|e| self.error("read state.json", e))?;
        journal::read(&bytes).config.map(<[u8]>::to_vec).ok_or_else(|| self.no_config())
    }

    /// Keeps the limits that an update has made of the configuration's.
    pub(crate) fn write_resources(&self, resources: &Resources) -> Result<()> {
        let json = serde_json::to_vec(resources).map_err(|e| cannot_encode(&e))?;
        let entry = journal::limits_entry(&json);
        let bytes = self.journal().map_err(|e| self.error("read state.json", e))?;
        let held = journal::read(&bytes);
        let (Some(record), Some(config)) = (held.record, held.config) else { return self.append(&entry) };
        if bytes.len() < config.len() + held.policy.map_or(0, <[u8]>::len) + ROOM_FOR_UPDATES {
            return self.append(&entry);
        }
        // After very many updates: the same without those that no longer count.
        let mut all = journal::record_entry(record.to_vec());
        all.extend(journal::config_entry(config, held.policy.unwrap_or_default()));
        all.extend(entry);
        sys::fs::replace_at(&self.fd, STATE, &all, 0o600).map_err(|e| self.error("write state.json", e))
    }

    /// The limits kept by [`write_resources`](Self::write_resources), with the configuration.
    pub(crate) fn read_spec(&self) -> Result<Spec> {
        let bytes = self.journal().map_err(|e| self.error("read state.json", e))?;
        let held = journal::read(&bytes);
        let mut spec = Spec::from_json(held.config.ok_or_else(|| self.no_config())?)?;
        if let Some(limits) = held.limits {
            spec.linux.get_or_insert_default().resources = Some(Resources::from_json(limits)?);
        }
        Ok(spec)
    }

    fn no_config(&self) -> Error {
        Error::new(ErrorKind::Corrupt, Phase::State, "no configuration is kept of container")
            .on(self.id.as_str())
    }
}
