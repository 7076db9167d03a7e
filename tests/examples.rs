//! Every example runs to a good end, prints something, and leaves nothing in the temporary directory.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may.

use std::path::Path;
use std::process::Command;

#[test]
fn every_example_runs() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(top.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let temporary = std::env::temp_dir().join(format!("orlop-examples-{}", std::process::id()));
    std::fs::create_dir(&temporary).unwrap();
    for name in names {
        // Through cargo: it knows where the program is, and that it is not an old one.
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "--package", "orlop", "--example", &name]);
        let output = command.current_dir(top).env("TMPDIR", &temporary).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {}\n{text}\n{error}", output.status);
        assert!(!text.trim().is_empty(), "{name} prints nothing");
        let left: Vec<_> =
            std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{name} leaves {left:?}");
    }
    std::fs::remove_dir(temporary).unwrap();
}
