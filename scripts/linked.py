"""What is linked into the binary: Rust crates, Go modules and both standard libraries. For notices.py and sbom.py."""

import json
import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "vendor/libtailscale"

# As in tests/ollama/lib.sh: these scripts also run on their own.
if not os.environ.get("GOTOOLCHAIN"):
    os.environ["GOTOOLCHAIN"] = "auto"


@dataclass(frozen=True)
class Part:
    """A crate or a module. `licence` is an SPDX expression; Go modules have only a file. `sha256` is that of the crate's file.
    `inner` are the folders in `folder` that count: those of code from elsewhere have a licence of their own."""

    name: str
    version: str
    folder: Path
    inner: tuple[Path, ...]
    licence: str | None = None
    sha256: str | None = None


def output(*command, folder=ROOT, env=None):
    """What the command prints."""
    env = os.environ | (env or {})
    return subprocess.run(command, cwd=folder, env=env, check=True, text=True, stdout=subprocess.PIPE).stdout


def host():
    """The target that cargo builds for by default."""
    lines = output("rustc", "--version", "--verbose").splitlines()
    return next(line.removeprefix("host: ") for line in lines if line.startswith("host: "))


def crates(target):
    """The crates with their procedural macros, and which of them each one uses, by name and version. Ours has no sha256."""
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))
    packages = {(p["name"], p["version"]): p for p in metadata["packages"]}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(p["name"], p["version"]): p.get("checksum") for p in lock}
    # `cargo metadata` also has what only tests switch on. The tree has only what is built; each line is `depth name version`.
    form = ["--edges", "normal", "--prefix", "depth", "--format", " {p}"]
    uses, above = {}, []
    for line in output("cargo", "tree", "--locked", "--target", target, *form).splitlines():
        depth, name, version = line.split()[:3]
        crate = name, version.removeprefix("v")
        uses.setdefault(crate, set())
        above[int(depth) :] = [crate]
        if len(above) > 1:
            uses[above[-2]].add(crate)
    parts = []
    for crate in sorted(uses):
        folder = Path(packages[crate]["manifest_path"]).parent
        # Ours has no checksum, and its folder also has what is built here.
        inner = tuple(sorted(path for path in folder.rglob("*") if path.is_dir())) if sums[crate] else ()
        parts.append(Part(*crate, folder, inner, packages[crate]["license"], sums[crate]))
    return parts, uses


def library():
    """Rust's standard library, with the crates that it is built from. The compiler brings it and the documents in `folder`."""
    version = output("rustc", "--version").split()[1]
    folder = Path(output("rustc", "--print", "sysroot").strip(), "share/doc/rust")
    return Part("Rust standard library", version, folder, (), "MIT OR Apache-2.0")


def modules(target):
    """The Go modules in the node, and Go's standard library."""
    system = "darwin" if "darwin" in target else "linux"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[target.split("-")[0]]
    env = {"GOOS": system, "GOARCH": machine, "CGO_ENABLED": "1"}
    tags = ",".join((NODE / "build-tags.txt").read_text().split())
    version, root = output("go", "env", "GOVERSION", "GOROOT", folder=NODE).split()
    form = "{{.Dir}}\t{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}{{if .Standard}}stdlib{{end}}"
    packages = {}
    for line in output("go", "list", "-deps", "-tags", tags, "-f", form, ".", folder=NODE, env=env).splitlines():
        package, *module = line.split("\t")
        if module != [""]:
            packages.setdefault(tuple(module), []).append(Path(package))
    standard = packages.pop(("stdlib",))
    for (name, number, folder), used in [*sorted(packages.items()), (("stdlib", version.removeprefix("go"), root), standard)]:
        folder = Path(folder)
        above = {path for package in used for path in (package, *package.parents) if folder in path.parents}
        yield Part(name, number, folder, tuple(sorted(above)))
