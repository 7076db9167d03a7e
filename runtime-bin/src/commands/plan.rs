//! `plan`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;
use crate::output;
use orlop::plan::{Host, Options, compile};
use std::path::Path;

pub(super) fn plan(args: &Args, log: &Log) -> Outcome {
    let directory = args.words.first().map(Path::new);
    let bundle = super::new::bundle(directory, args.config.as_deref())?;
    // What `create` would do; whoever takes the terminal makes no difference.
    let console = bundle.spec.process.as_ref().is_some_and(|process| process.terminal);
    let options = Options {
        id: "ID".to_owned(),
        wait_for_start: true,
        console,
        cgroup_manager: args.cgroup_manager.unwrap_or_default(),
        ..Options::default()
    };
    let mut host = Host::detect()?;
    // Without a user namespace only root can run it, be it of a namespace of its own: that is whose plan it is.
    let user_namespace = bundle.spec.linux.iter().flat_map(|l| &l.namespaces).any(|ns| ns.kind == "user");
    if !user_namespace && !host.makes_namespaces {
        host.privileged = true;
        host.makes_namespaces = true;
    }
    let plan = compile(&bundle, &host, &options)?;
    for warning in plan.warnings() {
        log.warning(&format!("config.json: {warning}"));
    }
    output::print(&plan.to_string())
}
