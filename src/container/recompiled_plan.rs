//! The plan of an existing container. It is not stored but compiled again, for the words of an error message or for a
//! checkpoint.

use super::container::Container;
use super::plan_options;
use super::store::{StateRecord, config};
use crate::Result;
use crate::bundle::{Bundle, Spec};
use crate::plan::{Host, Plan};

/// Compiles the plan that the container was created from.
pub(super) fn compile(container: &Container, record: &StateRecord) -> Result<Plan> {
    let config = config::read(&container.directory)?;
    let bundle = Bundle {
        path: record.bundle.clone(),
        spec: Spec::from_json(&config)?,
        config,
        rootfs: record.rootfs.clone(),
        warnings: Vec::new(),
    };
    let options = plan_options::for_compiler(&record.options, &container.id, true);
    crate::plan::compile(&bundle, &Host::detect()?, &options)
}
