//! Commands without a running container: the default state root, `list`, `version`, `help`, `spec`, `features`, `plan`.

use kit::{Case, Test, Value, json};
use std::fs;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        default_state_root_of_root,
        state_root_is_private,
        list_as_table_and_json,
        list_without_containers,
        version_has_the_lines_that_managers_parse,
        help_lists_the_commands,
        spec_is_a_template,
        spec_does_not_overwrite,
        rootless_spec,
        features_describe_the_runtime,
        plan_touches_nothing,
    ]
}

fn list_as_table_and_json(t: &Test) {
    let (first, second) = (t.bundle().probe("sleep"), t.bundle().probe("sleep"));
    let (running, _created) = (first.start(), second.create());
    let all = t.runtime(["list", "--format", "json"]).output().success();
    assert_eq!(all.stdout.trim().lines().count(), 1);
    let all = all.document();
    let of = |n: usize, key: &str| all[n][key].clone();
    assert_eq!((of(0, "id"), of(0, "status")), (json!(first.id()), json!("running")));
    assert_eq!((of(1, "id"), of(1, "status")), (json!(second.id()), json!("created")));
    assert_eq!(of(0, "pid"), json!(running.pid()));
    assert_eq!(of(0, "bundle"), json!(first.dir().to_string_lossy()));
    let table = t.runtime(["list"]).output().success().stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(lines[1][..3], [first.id(), &running.pid().to_string(), "running"]);
    let quiet = t.runtime(["list", "-q"]).output().success().stdout;
    assert_eq!(quiet.lines().collect::<Vec<_>>(), [first.id(), second.id()]);
}

fn list_without_containers(t: &Test) {
    assert_eq!(t.runtime(["list", "-q"]).output().success().stdout, "");
    let table = t.runtime(["list"]).output().success().stdout;
    assert_eq!(table.lines().count(), 1);
}

fn default_state_root_of_root(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    bundle.write();
    let dir = bundle.dir().to_string_lossy().into_owned();
    let pid_file = t.dir().join("pid");
    let words = ["create", "--bundle", &dir, "--pid-file", pid_file.to_str().unwrap(), bundle.id()];
    t.bare(words).env("XDG_RUNTIME_DIR", "").output().success();
    // Root of the initial user namespace: the variable does not matter.
    let seen =
        t.bare(["state", bundle.id()]).env("XDG_RUNTIME_DIR", t.dir().to_str().unwrap()).output().success();
    assert_eq!(seen.document()["status"], "created");
    t.bare(["delete", "--force", bundle.id()]).output().success();
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    kit::sys::reap(pid, Duration::from_secs(5));
}

fn state_root_is_private(t: &Test) {
    use std::os::unix::fs::PermissionsExt;
    let bundle = t.bundle().probe("sleep");
    let _container = bundle.create();
    let mode = fs::metadata(t.root().join(bundle.id())).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "other users may not write into the state");
}

fn version_has_the_lines_that_managers_parse(t: &Test) {
    for flag in ["--version", "-v"] {
        let output = t.bare([flag]).output().success();
        let name = if t.is_orlop() { "orlop version " } else { " version " };
        assert!(output.stdout.lines().next().unwrap().contains(name), "{output}");
        assert!(output.stdout.lines().any(|line| line.starts_with("spec: 1.")), "{output}");
    }
}

fn help_lists_the_commands(t: &Test) {
    for words in [vec!["--help"], vec!["help"], vec!["create", "--help"], vec!["help", "create"]] {
        let output = t.bare(words).output().success();
        assert!(output.stdout.contains("create"), "{output}");
    }
    t.bare(["help", "sail"])
        .output()
        .fails_with(if t.is_orlop() { 1 } else { 3 }, &["No help topic for 'sail'"]);
}

fn spec_is_a_template(t: &Test) {
    let dir = t.dir().join("new");
    fs::create_dir(&dir).unwrap();
    t.runtime(["spec", "--bundle", dir.to_str().unwrap()]).output().success();
    let spec: Value = fs::read_to_string(dir.join("config.json")).unwrap().parse().unwrap();
    assert_eq!(spec["process"]["terminal"], true);
    assert_eq!(spec["process"]["args"], json!(["sh"]));
    assert_eq!(spec["root"]["readonly"], true);
    // The printed configuration runs.
    let bundle = t.bundle();
    let id = bundle.id().to_owned();
    let bundle =
        bundle.set("", spec).set("/process/terminal", false).set("/linux/cgroupsPath", format!("/{id}"));
    bundle.probe("exit 8").try_run().exits(8);
}

fn spec_does_not_overwrite(t: &Test) {
    let bundle = t.bundle();
    bundle.write();
    let output = t.runtime(["spec", "--bundle", bundle.dir().to_str().unwrap()]).output();
    output.refused(&["config.json", "exists"]);
}

fn rootless_spec(t: &Test) {
    t.runtime(["spec", "--rootless"]).cwd(t.dir()).output().success();
    let spec: Value = fs::read_to_string(t.dir().join("config.json")).unwrap().parse().unwrap();
    let kinds: Vec<&Value> =
        spec["linux"]["namespaces"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert!(kinds.contains(&&json!("user")) && !kinds.contains(&&json!("network")), "{kinds:?}");
    assert_eq!(spec["linux"]["uidMappings"][0]["size"], 1);
}

fn features_describe_the_runtime(t: &Test) {
    t.only_orlop("the installed version may lack this command");
    let seen = t.bare(["features"]).output().success().document();
    assert!(seen["ociVersionMin"].as_str().unwrap().starts_with("1."));
    let contains = |list: &Value, word: &str| list.as_array().unwrap().contains(&json!(word));
    for kind in ["mount", "pid", "network", "ipc", "uts", "user", "cgroup", "time"] {
        assert!(contains(&seen["linux"]["namespaces"], kind), "{kind}");
    }
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        assert!(contains(&seen["hooks"], kind), "{kind}");
    }
    for option in ["ro", "rbind", "rro", "nosymfollow"] {
        assert!(contains(&seen["mountOptions"], option), "{option}");
    }
    assert_eq!(seen["linux"]["seccomp"]["enabled"], true);
}

fn plan_touches_nothing(t: &Test) {
    t.only_orlop("it has no such command");
    let bundle = t.bundle();
    bundle.write();
    let call = t.bare(["plan", bundle.dir().to_str().unwrap()]);
    let call = if nix::unistd::geteuid().is_root() { call.wrap("uid=65534") } else { call };
    for dir in [t.dir().parent().unwrap(), t.dir(), bundle.dir()] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = call.output().success();
    for pointer in ["/hostname", "/mounts/0", "/process/args", "/root"] {
        assert!(output.stdout.contains(pointer), "{pointer}: {output}");
    }
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
}
