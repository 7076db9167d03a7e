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
    let mut resources = match &flags.resources {
        Some(file) => Resources::from_json(&super::read_input("resources", file)?)
            .map_err(|e| e.in_document("resources", "").on(place(file)))?,
        None => Resources::default(),
    };
    flags.limits.over(&mut resources);
    let schemata = [("l3-cache-schema", &flags.l3_cache_schema), ("mem-bw-schema", &flags.mem_bw_schema)];
    for (flag, schema) in schemata {
        if let Some(schema) = schema {
            let refused = |e| Failure::new(format!("--{flag}: {e}"), 1);
            container.update_schemata(&[schema.as_str()]).map_err(refused)?;
        }
    }
    container.update(&resources)?;
    Ok(0)
}
