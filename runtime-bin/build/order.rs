//! The functions which every command runs are put side by side.
//!
//! The kernel maps a program's file in windows of 64 KiB around what it touches. The functions that a `run` goes through are
//! a third of the program, but without an order they are in all of its windows, and all of it becomes resident.
//! `order/functions` names them (`order/record` writes it); from it comes a script that augments the linker's own one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// A linker script which puts the sections of `list` before all other code, in its order.
///
/// A line of the list is the name of a section, or a member of an archive (`libc.a:malloc.o`) and the name of its section;
/// `*` stands for what differs from build to build. Lines with `#` at their beginning are comments.
pub(crate) fn script(list: &str) -> String {
    let mut text = String::from("SECTIONS {\n  .text.hot : {\n");
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let _ = match line.split_once(' ') {
            Some((member, section)) => writeln!(text, "    *{member}({section})"),
            None => writeln!(text, "    *({line})"),
        };
    }
    text + "  }\n} INSERT BEFORE .text;\n"
}

/// Has the binary linked in that order, where it is optimized and the linker knows how.
pub(crate) fn apply() {
    println!("cargo::rerun-if-changed=order/functions");
    if env::var_os("OPT_LEVEL").is_none_or(|level| level == "0") {
        return;
    }
    match write_script() {
        Ok(script) if links(&script) => {
            println!("cargo::rustc-link-arg-bins={}", argument(&script));
        }
        // A program with its functions in another order is the same program.
        Ok(_) => {}
        Err(error) => println!("cargo::warning=functions are not ordered: {error}"),
    }
}

fn argument(script: &Path) -> String {
    format!("-Wl,-T,{}", script.display())
}

fn write_script() -> io::Result<PathBuf> {
    let path = variable("OUT_DIR").map(PathBuf::from)?.join("order.ld");
    fs::write(&path, script(&fs::read_to_string("order/functions")?))?;
    Ok(path)
}

/// Whether a small program can be linked with it: not every linker can insert sections into its own script.
fn links(script: &Path) -> bool {
    trial(script).unwrap_or(false)
}

fn trial(script: &Path) -> io::Result<bool> {
    let out = variable("OUT_DIR").map(PathBuf::from)?;
    let source = out.join("trial.rs");
    fs::write(&source, "fn main() {}\n")?;
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.arg("--target").arg(variable("TARGET")?).arg("-o").arg(out.join("trial"));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.arg("-C").arg(format!("link-arg={}", argument(script))).arg(&source);
    Ok(rustc.output()?.status.success())
}

fn variable(name: &str) -> io::Result<OsString> {
    env::var_os(name).ok_or_else(|| io::Error::other(format!("cargo did not set {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_members_become_patterns() {
        let list = "# why\n.text._ZN4core3fmt5write17h*\n\nlibc.a:malloc.o .text\n";
        let want = "SECTIONS {\n  .text.hot : {\n    *(.text._ZN4core3fmt5write17h*)\n    *libc.a:malloc.o(.text)\n  }\n} INSERT \
                    BEFORE .text;\n";
        assert_eq!(script(list), want);
    }

    #[test]
    fn the_list_holds_for_other_builds_too() {
        let list = include_str!("../order/functions");
        let lines: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.iter().any(|line| line.contains("orlop")), "nothing of ours is in it");
        for line in lines {
            let section = line.rsplit(' ').next().unwrap_or(line);
            assert!(section.starts_with(".text"), "{line}: no section of code");
            // A hash, or the number of a crate: record stars them.
            assert!(!section.contains("17h") || section.ends_with("17h*"), "{line}: this build's hash");
            assert!(!line.contains(['{', '}', '(', ')', ';', '"']), "{line}: no pattern of a linker script");
        }
    }
}
