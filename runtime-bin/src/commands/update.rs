//! `update`

use super::{Failure, Outcome};
use crate::args::Args;
use crate::log::Log;
use orlop::bundle::spec::Resources;
use std::path::Path;

/// Where a text was read, for errors about it.
fn place(file: &Path) -> String {
    if file == Path::new("-") { "on standard input".to_owned() } else { format!("in {}", file.display()) }
}

pub(super) fn update(args: &Args, log: &Log) -> Outcome {
    let container = super::container(args, log)?;
    let flags = &args.update;
    for (flag, value) in
        [("l3-cache-schema", &flags.l3_cache_schema), ("mem-bw-schema", &flags.mem_bw_schema)]
    {
        if value.is_some() {
            return Err(Failure::new(
                format!(
                    "--{flag}: Intel RDT is not supported: a container has no resctrl group to be changed"
                ),
                1,
            ));
        }
    }
    let mut resources = match &flags.resources {
        Some(file) => Resources::from_json(&super::read_input("resources", file)?)
            .map_err(|e| e.in_document("resources", "").on(place(file)))?,
        None => Resources::default(),
    };
    flags.limits.over(&mut resources);
    container.update(&resources)?;
    Ok(0)
}
