//! Builds the tailnet node (vendor/libtailscale, Go) as a C archive for the target, and binds its header.
//! Cargo reruns this only if the Go module has changed.

#[cfg(feature = "tailnet")]
#[path = "build/go.rs"]
mod go;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "tailnet")]
    if let Err(error) = tailnet::build() {
        println!("cargo::error={error}");
    }
}

#[cfg(feature = "tailnet")]
mod tailnet {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    use crate::go;

    const WITHOUT: &str = "or build without the node: --no-default-features";
    /// The first Go that downloads the version that a module requires.
    const OLDEST: &str = "1.21";

    pub(super) fn build() -> Result<(), String> {
        let module = PathBuf::from(var("CARGO_MANIFEST_DIR")?).join("vendor/libtailscale");
        let out = PathBuf::from(var("OUT_DIR")?);
        watch(&module)?;
        println!("cargo::rustc-env=TAILSCALE_VERSION={}", tailscale_version(&module));
        bind(&module.join("tailscale.h"), &out.join("tailscale.rs"))?;
        archive(&module, &out.join("libtailscale.a"))?;
        link(&out)
    }

    /// Reruns this script if a file of the archive changes; tests are not part of it.
    fn watch(folder: &Path) -> Result<(), String> {
        let read = |e: std::io::Error| format!("{}: {e}", folder.display());
        for entry in fs::read_dir(folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path.is_dir() {
                if !path.ends_with("testdata") {
                    watch(&path)?;
                }
            } else if !path.to_string_lossy().ends_with("_test.go") {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        Ok(())
    }

    fn bind(header: &Path, to: &Path) -> Result<(), String> {
        clang_sys::load().map_err(|_| {
            format!(
                "libclang is missing, bindgen needs it: Debian and Ubuntu: sudo apt-get install libclang-dev; \
                 macOS: xcode-select --install; elsewhere set LIBCLANG_PATH ({WITHOUT})"
            )
        })?;
        bindgen::Builder::default()
            .header(header.to_string_lossy())
            .allowlist_item("(tailscale|TAILSCALE)_.*")
            .default_enum_style(bindgen::EnumVariation::ModuleConsts)
            .generate_comments(false)
            .formatter(bindgen::Formatter::None)
            .generate()
            .and_then(|bindings| {
                bindings.write_to_file(to).map_err(|e| bindgen::BindgenError::ClangDiagnostic(e.to_string()))
            })
            .map_err(|e| format!("bindgen on {}: {e}", header.display()))
    }

    fn archive(module: &Path, to: &Path) -> Result<(), String> {
        let tags =
            fs::read_to_string(module.join("build-tags.txt")).map_err(|e| format!("build-tags.txt: {e}"))?;
        let tags: Vec<&str> =
            tags.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        let (os, arch) = (go_os()?, go_arch()?);
        let mut go = go::go();
        go.current_dir(module)
            .args(["build", "-buildmode=c-archive", "-trimpath", "-mod=readonly", "-ldflags", "-w", "-tags"])
            .arg(tags.join(","))
            .arg("-o")
            .arg(to)
            .arg(".")
            .envs([("CGO_ENABLED", "1"), ("GOOS", os), ("GOARCH", arch), ("GOFLAGS", "")]);
        if let Some(compiler) = c_compiler()? {
            go.env("CC", compiler);
        }
        if os == "darwin" && env::consts::OS == "macos" {
            // Apple's compiler builds for its own architecture by default.
            let arch = if arch == "amd64" { "x86_64" } else { arch };
            go.envs([("CGO_CFLAGS", format!("-arch {arch}")), ("CGO_LDFLAGS", format!("-arch {arch}"))]);
        }
        let output = go.output().map_err(|e| {
            format!(
                "run go: {e}: install Go {OLDEST} or newer, which downloads Go {} itself, from https://go.dev/dl and \
                 put it in PATH ({WITHOUT})",
                wanted(module)
            )
        })?;
        if output.status.success() {
            return Ok(());
        }
        Err(explain(module, String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// The C compiler for the target, if the environment names one, under the names that the crate `cc` reads.
    fn c_compiler() -> Result<Option<String>, String> {
        let target = var("TARGET")?;
        let names = [format!("CC_{target}"), format!("CC_{}", target.replace('-', "_")), "CC".to_owned()];
        for name in &names {
            println!("cargo::rerun-if-env-changed={name}");
        }
        Ok(names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty())))
    }

    /// Turns the errors of go into one line with the way out.
    fn explain(module: &Path, stderr: &str) -> String {
        let one_line = stderr.lines().last().unwrap_or("go build failed without a message");
        let has = |needles: &[&str]| needles.iter().any(|n| stderr.contains(n));
        if let Some(problem) = toolchain_problem(stderr, &wanted(module), go::chosen_toolchain().as_deref()) {
            return format!("{problem} ({WITHOUT}): {one_line}");
        }
        if has(&[
            "dial tcp",
            "no such host",
            "i/o timeout",
            "TLS handshake",
            "connection refused",
            "module lookup disabled",
            "GOPROXY",
        ]) {
            return format!(
                "Go modules can't be downloaded: check the network and `go env GOPROXY`, or run `go mod download` in \
                 vendor/libtailscale on a connected machine ({WITHOUT}): {one_line}"
            );
        }
        if has(&["C compiler", "exec: \"gcc\"", "exec: \"cc\"", "exec: \"clang\""]) {
            return format!(
                "a C compiler is missing, cgo needs it: Debian and Ubuntu: sudo apt-get install gcc libc6-dev; macOS: xcode-select --install: {one_line}"
            );
        }
        format!("go build in vendor/libtailscale failed: {}", stderr.replace('\n', " | "))
    }

    /// Why Go does not use the version that the module requires, and the way out.
    fn toolchain_problem(stderr: &str, wanted: &str, chosen: Option<&str>) -> Option<String> {
        let has = |needle| stderr.contains(needle);
        if has("requires go >=") || has("invalid GOTOOLCHAIN") || has("in PATH") && chosen.is_some() {
            let chosen = chosen.unwrap_or("auto");
            return Some(format!(
                "Go {wanted} or newer is needed, and the environment variable GOTOOLCHAIN={chosen} prevents its download \
                 (official container images of Go set `local`): unset GOTOOLCHAIN, or set it to `auto`, or install Go \
                 {wanted} or newer from https://go.dev/dl"
            ));
        }
        if has("toolchain not available") || has(": download go1") {
            return Some(format!(
                "Go {wanted} can't be downloaded: check the network and `go env GOPROXY`, or install Go {wanted} or \
                 newer from https://go.dev/dl"
            ));
        }
        has("invalid go version").then(|| {
            format!(
                "Go is too old: install Go {OLDEST} or newer, which downloads Go {wanted} itself, from https://go.dev/dl"
            )
        })
    }

    /// The Go version that the module requires.
    fn wanted(module: &Path) -> String {
        let text = fs::read_to_string(module.join("go.mod")).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix("go ")).unwrap_or("1.27").to_owned()
    }

    /// The version of tailscale.com in the module.
    fn tailscale_version(module: &Path) -> String {
        let text = fs::read_to_string(module.join("go.mod")).unwrap_or_default();
        let mut lines = text.lines().filter_map(|l| l.trim().strip_prefix("tailscale.com "));
        lines.next().unwrap_or("unknown").to_owned()
    }

    fn link(out: &Path) -> Result<(), String> {
        println!("cargo::rustc-link-search=native={}", out.display());
        println!("cargo::rustc-link-lib=static=tailscale");
        if go_os()? == "darwin" {
            for framework in ["CoreFoundation", "IOKit", "Security", "SystemConfiguration"] {
                println!("cargo::rustc-link-lib=framework={framework}");
            }
            println!("cargo::rustc-link-lib=resolv");
        }
        Ok(())
    }

    fn go_os() -> Result<&'static str, String> {
        match var("CARGO_CFG_TARGET_OS")?.as_str() {
            "macos" => Ok("darwin"),
            "linux" => Ok("linux"),
            "freebsd" => Ok("freebsd"),
            other => Err(format!(
                "target system {other} is not supported: use macos, linux or freebsd ({WITHOUT})"
            )),
        }
    }

    fn go_arch() -> Result<&'static str, String> {
        match var("CARGO_CFG_TARGET_ARCH")?.as_str() {
            "x86_64" => Ok("amd64"),
            "aarch64" => Ok("arm64"),
            "arm" => Ok("arm"),
            "riscv64" => Ok("riscv64"),
            other => Err(format!("target architecture {other} is not supported ({WITHOUT})")),
        }
    }

    fn var(name: &str) -> Result<String, String> {
        env::var(name).map_err(|e| format!("{name}: {e}"))
    }
}
