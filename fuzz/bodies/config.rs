//! Any bytes as `config.json`: a configuration or an error, and what was read survives writing.

use orlop::bundle::spec::{Process, Resources};
use orlop::bundle::{Spec, sysctl_path, validate, validate_process, validate_resources};

/// One run of the target `config`.
pub(crate) fn run(data: &[u8]) {
    if let Ok(process) = Process::from_json(data) {
        let _ = validate_process(&process);
    }
    if let Ok(resources) = Resources::from_json(data) {
        let _ = validate_resources(&resources);
    }
    match Spec::from_json(data) {
        Ok(spec) => survives(&spec),
        // Every problem has a JSON pointer (RFC 6901): empty, or beginning with a slash.
        Err(error) => assert!(
            error.problems().iter().all(|p| p.pointer.is_empty() || p.pointer.starts_with('/')),
            "{error}"
        ),
    }
}

fn survives(spec: &Spec) {
    for text in [spec.to_json(), spec.to_json_pretty()] {
        let again = text.and_then(|text| Spec::from_json(&text));
        assert!(again.as_ref().is_ok_and(|again| again == spec), "{again:?}\nis not\n{spec:?}");
    }
    let (errors, _) = validate(spec);
    // An accepted sysctl names a file below /proc/sys and nothing else.
    if errors.is_empty() {
        let names = spec.linux.iter().flat_map(|linux| linux.sysctl.keys());
        for path in names.map(|name| sysctl_path(name)) {
            assert!(
                path.is_some_and(|p| !p.starts_with('/') && p.split('/').all(|part| part != "..")),
                "{spec:?}"
            );
        }
    }
}
