//! The runtime or the container that the arguments name.

use crate::args::{ContainerArgs, RuntimeArgs};
use crate::environment;
use crate::failure::Failure;
use crate::log::Log;
use orlop::container::{Container, Runtime};

/// The runtime of the state root, whose warnings are logged.
pub(super) fn runtime(args: &RuntimeArgs, log: &Log) -> Result<Runtime, Failure> {
    let log = log.clone();
    let mut runtime = Runtime::new(environment::state_root(args.root.as_deref())?)?;
    for name in &args.allowed_annotations {
        runtime = runtime.with_allowed_annotation(name)?;
    }
    Ok(runtime.dedicated_process().with_warnings(move |warning| log.warning(&warning.to_string())))
}

/// The container with the id.
pub(super) fn container(args: &ContainerArgs, log: &Log) -> Result<Container, Failure> {
    Ok(runtime(&args.runtime, log)?.load(&args.id)?)
}
