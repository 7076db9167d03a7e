//! The configuration that a container was created from, the policy compiled from it, and the limits that updates have set.

use super::directory::StateDirectory;
use super::error::cannot_encode;
use super::journal;
use super::record::StateRecord;
use crate::bundle::spec::{Resources, Spec};
use crate::{Error, ErrorKind, Phase, Result};

/// How many bytes of updated limits the journal may have before those that no longer count are removed.
const LIMITS_SIZE_LIMIT: usize = 64 * 1024;

/// The content of a journal.
#[derive(Debug)]
pub(crate) struct JournalContent {
    bytes: Vec<u8>,
}

impl JournalContent {
    /// The encoded policy.
    pub(crate) fn policy(&self) -> Option<&[u8]> {
        journal::parse(&self.bytes).policy
    }
}

/// Reads the record and the whole journal.
///
/// # Errors
/// As [`StateDirectory::read`].
pub(crate) fn read_with_record(directory: &StateDirectory) -> Result<Option<(StateRecord, JournalContent)>> {
    let Some(bytes) = directory.none_if_missing(directory.read_journal())? else { return Ok(None) };
    let record = match journal::parse(&bytes).record {
        Some(record) => directory.decode(record)?,
        None => None,
    };
    Ok(record.map(|record| (record, JournalContent { bytes })))
}

/// Stores the configuration byte for byte, for `exec` and for the hooks of later commands. `policy` is what `exec` needs
/// of it, encoded; empty if it is not known.
pub(crate) fn write(directory: &StateDirectory, config: &[u8], policy: &[u8]) -> Result<()> {
    directory.append(&journal::config_entry(config, policy))
}

/// Reads the configuration.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if an interrupted `create` has not stored it.
pub(crate) fn read(directory: &StateDirectory) -> Result<Vec<u8>> {
    let bytes = directory.read_journal().map_err(|e| directory.error("read journal", e))?;
    journal::parse(&bytes).config.map(<[u8]>::to_vec).ok_or_else(|| missing(directory))
}

/// Stores the limits that replace those of the configuration.
pub(crate) fn write_resources(directory: &StateDirectory, resources: &Resources) -> Result<()> {
    let json = serde_json::to_vec(resources).map_err(|e| cannot_encode(&e))?;
    let entry = journal::limits_entry(&json);
    let bytes = directory.read_journal().map_err(|e| directory.error("read journal", e))?;
    let current = journal::parse(&bytes);
    let (Some(record), Some(config)) = (current.record, current.config) else {
        return directory.append(&entry);
    };
    if bytes.len() < config.len() + current.policy.map_or(0, <[u8]>::len) + LIMITS_SIZE_LIMIT {
        return directory.append(&entry);
    }
    // After very many updates, the journal is rewritten without the entries that no longer count.
    let mut all = journal::record_entry(record.to_vec());
    all.extend(journal::config_entry(config, current.policy.unwrap_or_default()));
    all.extend(entry);
    directory.replace_journal(&all)
}

/// Reads the configuration with the limits of the last [`write_resources`].
pub(crate) fn read_spec(directory: &StateDirectory) -> Result<Spec> {
    let bytes = directory.read_journal().map_err(|e| directory.error("read journal", e))?;
    let current = journal::parse(&bytes);
    let mut spec = Spec::from_json(current.config.ok_or_else(|| missing(directory))?)?;
    if let Some(limits) = current.limits {
        spec.linux.get_or_insert_default().resources = Some(Resources::from_json(limits)?);
    }
    Ok(spec)
}

fn missing(directory: &StateDirectory) -> Error {
    Error::new(ErrorKind::Corrupt, Phase::State, "no configuration is stored for container")
        .on(directory.id())
}
