//! `start`

use super::Outcome;
use crate::args::Args;
use crate::environment::notify_socket;
use crate::foreground::Notify;
use crate::log::Log;

pub(super) fn start(args: &Args, log: &Log) -> Outcome {
    let container = super::container(args, log)?;
    let notify = Notify::open(&container, notify_socket())?;
    container.start()?;
    if let Some(notify) = notify {
        notify.until_ready(&container, log)?;
    }
    Ok(0)
}
