//! The configurations that real managers wrote, run with the probe as the program, and without what does not exist
//! on this machine (sources of binds, namespaces of other containers).

use kit::{Bundle, Case, Test, Value, json};
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/managers")
}

pub(crate) fn cases() -> Vec<Case> {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| Case::new(format!("runtime::managers::{name}"), move |t| check(t, &name)))
        .collect()
}

/// The recording, changed so that it can run here.
fn here<'t>(t: &'t Test, text: &str) -> Bundle<'t> {
    let mut spec: Value = text.parse().unwrap();
    let bundle = t.bundle();
    spec["root"]["path"] = json!("rootfs");
    spec["linux"]["cgroupsPath"] = json!(format!("/{}", bundle.id()));
    let process = spec["process"].as_object_mut().unwrap();
    process.insert("args".into(), json!(["/probe", "report"]));
    process.insert("terminal".into(), json!(false));
    // Root may lack CAP_SYS_RESOURCE here, which raises limits and lowers scores.
    process.remove("rlimits");
    process.remove("oomScoreAdj");
    let own: Vec<String> = capabilities();
    if let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.retain(|name| own.iter().any(|held| name == held));
        }
    }
    spec.as_object_mut().unwrap().remove("hooks");
    for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
        namespace.as_object_mut().unwrap().remove("path");
    }
    let is_bind = |mount: &Value| {
        let words = mount["options"].as_array().map(Vec::as_slice).unwrap_or_default();
        mount["type"] == "bind" || words.iter().any(|word| word == "bind" || word == "rbind")
    };
    let there = |mount: &Value| Path::new(mount["source"].as_str().unwrap_or("")).exists();
    spec["mounts"].as_array_mut().unwrap().retain(|mount| {
        (!is_bind(mount) || (there(mount) && mount["source"].as_str().unwrap().starts_with("/sys/fs/cgroup")))
            && mount["type"] != "overlay"
    });
    spec["linux"]["resources"].as_object_mut().map(|resources| resources.remove("blockIO"));
    let owner = spec["linux"]["uidMappings"][0]["hostID"].as_u64();
    let bundle = bundle.set("", spec);
    match owner {
        Some(host) => bundle.owned_by(host as u32),
        None => bundle,
    }
}

/// The names of the capabilities that this process can pass on.
fn capabilities() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    let bits = u64::from_str_radix(line.trim(), 16).unwrap();
    kit::probe::capability_names(bits)
}

fn check(t: &Test, name: &str) {
    t.only_orlop("the recordings come from newer managers");
    let text = std::fs::read_to_string(directory().join(format!("{name}.json"))).unwrap();
    let mut bundle = here(t, &text);
    if name.ends_with("cgroups-disabled") {
        bundle = bundle.global("--cgroup-manager=disabled");
    }
    let call = bundle.command("run", &[]);
    let call = if name.contains("v2") { call.wrap("cgroup2") } else { call };
    let output = call.output();
    if output.stderr.contains("not built yet") {
        output.refused(&["config.json /"]);
        kit::skip("one of its fields is not implemented");
    }
    let spec = bundle.spec();
    if output.code() == 1 && output.stderr.contains("controller") && name.contains("v2") {
        kit::skip("this host's cgroup2 has no controllers");
    }
    if output.code() == 1 && output.stderr.contains("cgroup v2") && !name.contains("v2") {
        output.refused(&["not supported", "config.json /linux/resources/"]);
        kit::skip("one of its limits exists on cgroup v1 alone");
    }
    let seen = output.success().json();
    let user = &spec["process"]["user"];
    assert_eq!(seen["uid"][0], user["uid"]);
    assert_eq!(seen["gid"][0], user["gid"]);
    assert_eq!(seen["cwd"], spec["process"]["cwd"]);
    assert_eq!(
        seen["no_new_privileges"].as_bool(),
        spec["process"]["noNewPrivileges"].as_bool().or(Some(false))
    );
    assert_eq!(seen["seccomp"], if spec["linux"].get("seccomp").is_some() { "2" } else { "0" });
    if let Some(hostname) = spec.get("hostname").filter(|name| *name != "") {
        assert_eq!(seen["hostname"], *hostname);
    }
    let mut wanted: Vec<&str> = spec["process"]["capabilities"]["bounding"]
        .as_array()
        .map_or(Vec::new(), |all| all.iter().map(|name| name.as_str().unwrap()).collect());
    let mut found: Vec<&str> =
        seen["caps"]["bounding"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
    for mount in spec["mounts"].as_array().unwrap() {
        let point = mount["destination"].as_str().unwrap();
        assert!(seen["mounts"].as_array().unwrap().iter().any(|one| one["point"] == point), "{point}");
    }
    let root = seen["mounts"].as_array().unwrap().iter().find(|one| one["point"] == "/").unwrap();
    let read_only = spec["root"]["readonly"].as_bool().unwrap_or(false);
    assert_eq!(root["options"].as_array().unwrap().iter().any(|word| word == "ro"), read_only);
    // An empty HOME counts as none: the image's passwd file decides.
    for variable in spec["process"]["env"].as_array().unwrap().iter().filter(|one| *one != "HOME=") {
        assert!(seen["env"].as_array().unwrap().contains(variable), "{variable}");
    }
}
