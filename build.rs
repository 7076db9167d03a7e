//! Compiles the init stub, a freestanding program, with the compiler that compiles the library, and
//! leaves it in `OUT_DIR` for `include_bytes!`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")));
    let source = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("src/init/stub/main.rs");
    let out = PathBuf::from(var("OUT_DIR")).join("stub");
    println!("cargo::rerun-if-changed=src/init/stub");
    println!("cargo::rerun-if-changed=src/plan/machine.rs");
    println!("cargo::rerun-if-changed=src/sys/raw.rs");
    println!("cargo::rerun-if-changed=src/mount/walk.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let mut rustc = Command::new(var("RUSTC"));
    rustc.arg(&source).arg("-o").arg(&out).args(["--edition", "2024", "--crate-type", "bin", "--target"]);
    rustc.arg(var("TARGET"));
    // The largest pages that a kernel for this processor may have.
    let page_size = match var("CARGO_CFG_TARGET_ARCH").as_str() {
        "aarch64" => "link-arg=-Wl,-z,max-page-size=65536",
        _ => "link-arg=-Wl,-z,max-page-size=4096",
    };
    for option in [
        "panic=abort",
        "opt-level=s",
        "codegen-units=1",
        "lto=fat",
        "strip=symbols",
        "relocation-model=static",
        "target-feature=-crt-static",
        "force-unwind-tables=no",
        "default-linker-libraries=no",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-no-pie",
        "link-arg=-Wl,--build-id=none,-z,norelro,-z,noseparate-code,--no-eh-frame-hdr",
        page_size,
    ] {
        rustc.args(["-C", option]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("compiling the init stub failed: {status}")),
        Err(error) => fail(&format!("cannot run rustc for the init stub: {error}")),
    }
    match std::fs::metadata(&out) {
        Ok(m) if m.len() <= 64 << 10 => {}
        Ok(m) => fail(&format!("the init stub has {} bytes; 64 KiB is the limit", m.len())),
        Err(error) => fail(&format!("the init stub was not written: {error}")),
    }
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1)
}
