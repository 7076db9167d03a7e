//! Tests of the scripts in `tests/suites`, for the part that needs no root: reasons, record and document.

use std::path::Path;
use std::process::Command;

/// Runs functions of `tests/suites/report.sh` in `tests/suites`, with files that `$1` names.
fn report(script: &str, files: &Path) -> String {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/suites");
    let script = format!("set -euo pipefail; . ./report.sh; {script}");
    let output =
        Command::new("bash").args(["-c", &script, "test"]).arg(files).current_dir(suites).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn judged(joined: &str, reasons: &str) -> Vec<String> {
    let directory = std::env::temp_dir().join(format!("orlop-suites-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("joined"), joined.replace('|', "\t")).unwrap();
    std::fs::write(directory.join("reasons"), reasons.replace('|', "\t")).unwrap();
    let text = report("judged bats \"$1/joined\" \"$1/reasons\" 1", &directory);
    std::fs::remove_dir_all(&directory).unwrap();
    text.lines().map(|line| line.replace('\t', " ")).collect()
}

#[test]
fn a_test_needs_a_reason_exactly_if_it_does_not_pass() {
    let joined = "bats|a|pass|pass|\nbats|b|fail|pass|why\nbats|c|skip|skip|no root\nother|d|fail|pass|\n";
    let reason = "bats|b|to fix|It differs.\n";
    assert_eq!(judged(joined, reason), [""; 0]);
    assert_eq!(judged(joined, ""), ["unexplained b"]);
    assert_eq!(judged(joined, &format!("{reason}bats|a|host|It cannot.\n")), ["stale a"]);
    assert_eq!(judged(joined, &format!("{reason}bats|x|host|It cannot.\n")), ["unknown x"]);
    assert_eq!(judged("bats|c|skip|pass|no root\n", ""), ["unexplained c"]);
}

#[test]
fn the_record_has_a_reason_for_each_test_that_does_not_pass() {
    let rule = "for suite in runtime-tools runc-bats; do judged $suite recorded.tsv reasons.tsv 1; done";
    assert_eq!(report(rule, Path::new("")), "");
}

#[test]
fn the_document_is_what_the_record_and_the_reasons_say() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFORMANCE.md");
    let written = report("write_document recorded.tsv reasons.tsv", Path::new(""));
    let same = written == std::fs::read_to_string(document).unwrap();
    assert!(same, "write it again: tests/suites/run --document");
}
