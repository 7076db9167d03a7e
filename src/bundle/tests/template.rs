//! The templates that `spec` prints.

use crate::bundle::Spec;

#[test]
fn the_template_is_written_like_that_of_runc() {
    let text = String::from_utf8(Spec::template(false).to_json_pretty().unwrap()).unwrap();
    assert_eq!(text, include_str!("template.json").trim_end());
}

#[test]
fn the_rootless_template_maps_the_user_to_root() {
    let spec = Spec::rootless_template(true, 1000, 100);
    let linux = spec.linux.unwrap();
    let kinds: Vec<_> = linux.namespaces.iter().map(|ns| ns.kind.as_str()).collect();
    assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "cgroup", "user"]);
    assert_eq!((linux.uid_mappings[0].host_id, linux.gid_mappings[0].host_id), (1000, 100));
    assert_eq!(linux.resources, None);
    let options: Vec<_> = spec.mounts.iter().flat_map(|m| &m.options).collect();
    assert!(!options.iter().any(|o| o.starts_with("gid=")));
    assert!(spec.mounts.iter().any(|m| m.destination == "/sys" && m.options[0] == "rbind"));
}
