//! Listening for the program's messages to the service manager.

use super::container::Container;
use super::notify::inbox::Inbox;
use super::notify::relay::Notifications;
use super::store::{StateRecord, sockets};
use crate::Result;

/// Listens in place of an earlier listener; `None` if the container was created without a notify socket.
pub(super) fn listen(container: &Container) -> Result<Option<Notifications>> {
    if let Some(inbox) = container.notify.lock().ok().and_then(|mut inbox| inbox.take()) {
        return Notifications::new(inbox).map(Some);
    }
    match container.directory.read()? {
        Some(record) if record.options.notify.is_some() => Notifications::new(bind(container)?).map(Some),
        _ => Ok(None),
    }
}

/// Creates the socket of a new container. Its program may send messages before the caller has the [`Container`].
pub(super) fn create_socket(container: &Container, record: &StateRecord) -> Result<()> {
    if record.options.notify.is_none() {
        return Ok(());
    }
    sockets::create_notify_directory(&container.directory, &container.id)?;
    let inbox = bind(container)?;
    if let Ok(mut slot) = container.notify.lock() {
        *slot = Some(inbox);
    }
    Ok(())
}

fn bind(container: &Container) -> Result<Inbox> {
    sockets::bind_notify_socket(&container.directory, &container.id).map(Inbox::new)
}
