//! Places the functions that every command runs side by side.
//!
//! The kernel maps a program's file in windows of 64 KiB around the pages that it touches. A `run` executes a third of the
//! functions; without an order they are spread over all windows, and the whole program becomes resident.
//! `order/functions` lists them (`order/record` writes it). A linker script made from it augments the linker's own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// A linker script that places the sections of `list` before all other code, in this order.
///
/// A line is the name of a section, or a member of an archive (`libc.a:malloc.o`) and the name of its section. `*` stands
/// for the parts that differ between builds. Lines that begin with `#` are comments.
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

/// Links the binary in that order, if it is optimized and the linker supports it.
pub(crate) fn apply() {
    println!("cargo::rerun-if-changed=order/functions");
    if env::var_os("OPT_LEVEL").is_none_or(|level| level == "0") {
        return;
    }
    match write_script() {
        Ok(script) if links(&script) => {
            println!("cargo::rustc-link-arg-bins={}", argument(&script));
        }
        // The order is only an optimization.
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

/// Whether a small program can be linked with the script: not every linker can insert sections into its own script.
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
    fn the_list_has_nothing_specific_to_one_build() {
        let list = include_str!("../order/functions");
        let lines: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.iter().any(|line| line.contains("orlop")), "no function of this crate is in it");
        for line in lines {
            let section = line.rsplit(' ').next().unwrap_or(line);
            assert!(section.starts_with(".text"), "{line}: not a section of code");
            // `record` replaces hashes and crate numbers by stars.
            assert!(!section.contains("17h") || section.ends_with("17h*"), "{line}: this build's hash");
            assert!(
                !line.contains(['{', '}', '(', ')', ';', '"']),
                "{line}: not a pattern of a linker script"
            );
        }
    }
}
