//! The commands with few flags.

use super::Effect;
use kit::{Test, Value, json};
use std::fs;

pub(super) const EFFECTS: &[Effect] = &[
    ("kill", "all", kill_all),
    ("kill", "regex", kill_regex),
    ("delete", "force", delete_force),
    ("delete", "regex", delete_regex),
    ("list", "format", list_format),
    ("list", "quiet", list_quiet),
    ("ps", "format", ps_format),
    ("spec", "bundle", spec_bundle),
    ("spec", "rootless", spec_rootless),
    ("plan", "config", plan_config),
    ("man", "directory", man_directory),
];

fn kill_all(t: &Test) {
    let container = t.bundle().probe("exit 0").start();
    container.wait();
    container.command("kill", &["KILL"]).output().refused(&["container not running"]);
    t.runtime(["kill", "--all", container.id(), "KILL"]).output().success();
}

fn delete_force(t: &Test) {
    t.runtime(["delete", "no-such-container"]).output().refused(&["does not exist"]);
    t.runtime(["delete", "--force", "no-such-container"]).output().success();
    let container = t.bundle().probe("sleep").start();
    container.command("delete", &[]).output().refused(&["running"]);
    container.command("delete", &["--force"]).output().success();
}

fn list_format(t: &Test) {
    assert_eq!(t.runtime(["list", "--format", "json"]).output().success().json(), json!([]));
    assert!(t.runtime(["list", "--format", "table"]).output().success().stdout.starts_with("ID "));
}

fn list_quiet(t: &Test) {
    let container = t.bundle().probe("sleep").create();
    assert_eq!(t.runtime(["list", "--quiet"]).output().success().stdout, format!("{}\n", container.id()));
}

fn ps_format(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let output = t.runtime(["ps", "--format", "json", container.id()]).output().success();
    assert_eq!(output.json(), json!([container.pid()]));
}

/// `spec` with these flags, in a directory of its own.
fn spec(t: &Test, flags: &[&str]) -> Value {
    let dir = t.dir().join(format!("spec-{}", flags.len()));
    fs::create_dir(&dir).unwrap();
    let call = t.runtime(["spec", "--bundle", dir.to_str().unwrap()]).args(flags.iter().copied());
    call.output().success();
    fs::read_to_string(dir.join("config.json")).unwrap().parse().unwrap()
}

fn spec_bundle(t: &Test) {
    assert_eq!(spec(t, &[])["root"]["path"], "rootfs");
    assert!(!t.dir().join("config.json").exists());
}

fn spec_rootless(t: &Test) {
    let has_user = |spec: &Value| spec["linux"]["namespaces"].to_string().contains("\"user\"");
    assert!(has_user(&spec(t, &["--rootless"])));
    assert!(!has_user(&spec(t, &[])));
}

fn plan_config(t: &Test) {
    let bundle = t.bundle();
    bundle.write();
    let mut other = bundle.spec().clone();
    other["hostname"] = json!("another-name");
    fs::write(t.dir().join("other.json"), other.to_string()).unwrap();
    let plan = |flags: &[&str]| {
        let call = t.runtime(["plan"]).args(flags.iter().copied()).arg(bundle.dir().to_str().unwrap());
        call.output().success().stdout
    };
    assert!(plan(&["--config", "other.json"]).contains("another-name"));
    assert!(!plan(&[]).contains("another-name"));
}

fn man_directory(t: &Test) {
    t.runtime(["man", "--directory", t.dir().to_str().unwrap()]).output().success();
    assert!(t.dir().join("orlop-run.8").exists());
}

fn kill_regex(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    t.runtime(["kill", ".*", "KILL"]).output().refused(&[]);
    t.runtime(["kill", "--regex", ".*", "KILL"]).output().success();
    assert_eq!(container.wait(), 137);
}

fn delete_regex(t: &Test) {
    let container = t.bundle().create();
    t.runtime(["delete", "^orlop"]).output().refused(&[]);
    t.runtime(["delete", "--regex", "^orlop"]).output().success();
    container.command("state", &[]).output().refused(&["does not exist"]);
}
