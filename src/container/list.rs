//! The states of all containers of a state root.

use super::runtime::Runtime;
use super::state::{State, Status};
use super::status;
use super::store::{OpenStateRoot, Stage, StateDirectory, StateRecord, read_ordinary_record};
use crate::{ErrorKind, Result};

/// The state of every container, sorted by id. A container that is deleted in the meantime is left out.
pub(super) fn list(runtime: &Runtime) -> Result<Vec<State>> {
    let Some((root, ids)) = runtime.state_root().scan()? else { return Ok(Vec::new()) };
    let (mut states, mut buffer) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        if let Some(state) = ordinary_state(&root, &id, &mut buffer) {
            states.push(state);
            continue;
        }
        let directory = match StateDirectory::open_found(&root, &id) {
            Ok(Some(directory)) => directory,
            Ok(None) => continue,
            // In a shared root, any user may have created it.
            Err(e) if e.kind() == ErrorKind::Untrusted => {
                runtime.warn(&e);
                continue;
            }
            Err(e) => return Err(e),
        };
        match status::state(&directory) {
            Ok(state) => states.push(state),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                // One unreadable record does not make the whole query fail; delete --force removes the container.
                runtime.warn(&e);
                states.push(status::describe(&id, StateRecord::new(&id), Status::Stopped));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(states)
}

/// The state of a container without opening its directory; `None` in every unusual case.
fn ordinary_state(root: &OpenStateRoot, id: &str, buffer: &mut Vec<u8>) -> Option<State> {
    let record = read_ordinary_record(root, id, buffer)?;
    let status = match record.init_state_if_alive().ok()? {
        Some(state) => status::of_alive_in_state(&record, state).ok()?,
        None if record.stage > Stage::Creating => Status::Stopped,
        None => return None,
    };
    Some(status::describe(id, record, status))
}
