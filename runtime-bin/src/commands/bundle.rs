//! Loading a bundle.

use crate::args::BundleArgs;
use crate::environment::absolute;
use crate::failure::Failure;
use orlop::bundle::Bundle;
use std::path::Path;

/// Loads the bundle.
pub(super) fn load(args: &BundleArgs) -> Result<Bundle, Failure> {
    let directory = absolute(args.directory.as_deref().unwrap_or(Path::new(".")))?;
    Ok(match &args.config {
        Some(config) => Bundle::load_config(directory, absolute(config)?)?,
        None => Bundle::load(directory)?,
    })
}

/// Whether the process of the bundle wants a terminal.
pub(super) fn wants_terminal(bundle: &Bundle) -> bool {
    bundle.spec.process.as_ref().is_some_and(|process| process.terminal)
}
