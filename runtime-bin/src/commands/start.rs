//! `start`

use super::open;
use crate::args::ContainerArgs;
use crate::environment::notify_socket;
use crate::failure::Outcome;
use crate::foreground::NotifyForwarder;
use crate::log::Log;

pub(super) fn start(args: &ContainerArgs, log: &Log) -> Outcome {
    let container = open::container(args, log)?;
    let notify = NotifyForwarder::open(&container, notify_socket())?;
    container.start()?;
    if let Some(notify) = notify {
        notify.until_ready(&container, log)?;
    }
    Ok(0)
}
