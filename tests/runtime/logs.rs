//! The log contract: what managers read out of `--log`.

use kit::{Case, Test, Value, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        json_error_line,
        text_error_line,
        log_is_appended_to,
        nothing_is_logged_on_success,
        debug_lines_are_complete_and_below_error_level,
        errors_are_printed_on_standard_error_as_well,
        an_unusable_log_is_an_error,
    ]
}

fn failing(t: &Test, globals: &[&str]) -> kit::Output {
    let mut call = t.bundle().set("/process/args", json!(["/no/such"])).command("run", &[]);
    for word in globals {
        call = call.global(word);
    }
    call.output().refused(&["/no/such"])
}

fn json_error_line(t: &Test) {
    let log = t.dir().join("log.json");
    failing(t, &["--log", log.to_str().unwrap(), "--log-format", "json"]);
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = text.parse().unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("no such file or directory"), "{line}");
    let time = line["time"].as_str().unwrap();
    // RFC 3339: date, T, time, zone.
    assert!(
        time.len() >= 20 && &time[10..11] == "T" && (time.ends_with('Z') || time.contains('+')),
        "{time}"
    );
    assert!(!text.contains(": \"") || !text.contains("{ "), "compact: {text}");
}

fn text_error_line(t: &Test) {
    let log = t.dir().join("log.txt");
    failing(t, &["--log", log.to_str().unwrap()]);
    let text = fs::read_to_string(log).unwrap();
    assert!(text.starts_with("time=\"") && text.contains("level=error msg="), "{text}");
}

fn log_is_appended_to(t: &Test) {
    let log = t.dir().join("log.json");
    fs::write(&log, "{\"level\":\"info\",\"msg\":\"before\"}\n").unwrap();
    for _ in 0..2 {
        failing(t, &["--log", log.to_str().unwrap(), "--log-format=json"]);
    }
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("{\"level\":\"info\""));
}

fn nothing_is_logged_on_success(t: &Test) {
    let log = t.dir().join("log.json");
    let call = t.bundle().probe("exit 3").command("run", &[]);
    let output =
        call.global("--log").global(log.to_str().unwrap()).global("--log-format").global("json").output();
    assert_eq!(output.exits(3).stderr, "");
    let text = fs::read_to_string(log).unwrap_or_default();
    assert!(!text.contains("\"error\""), "{text}");
}

fn debug_lines_are_complete_and_below_error_level(t: &Test) {
    let log = t.dir().join("log.json");
    let call = t.bundle().probe("exit 0").command("run", &[]).global("--debug");
    call.global("--log")
        .global(log.to_str().unwrap())
        .global("--log-format")
        .global("json")
        .output()
        .success();
    for line in fs::read_to_string(log).unwrap_or_default().lines() {
        let line: Value = line.parse().unwrap();
        assert_ne!(line["level"], "error");
    }
}

fn errors_are_printed_on_standard_error_as_well(t: &Test) {
    let log = t.dir().join("log.json");
    let output = failing(t, &["--log", log.to_str().unwrap(), "--log-format", "json"]);
    assert!(output.stderr.contains("no such file or directory"), "{output}");
}

fn an_unusable_log_is_an_error(t: &Test) {
    let output = t.runtime(["list"]).global("--log").global("/no/such/dir/log").output();
    assert_ne!(output.code(), 0);
    assert!(output.stderr.contains("/no/such/dir/log"), "{output}");
}
