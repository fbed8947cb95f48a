#!/usr/bin/env bash
# Prepares a machine to build and test: installs missing tools with the system's package manager, and prints one line for
# each other missing tool, with the command that installs it. If nothing is missing, it takes less than a second.
#
#   scripts/setup.sh         for make build and fuzz
#   scripts/setup.sh demo    for make demo and pictures: Ollama and its toy models are made
#   scripts/setup.sh test    for make test, thorough, torture and soak too
#   scripts/setup.sh clients for make test-clients
#   scripts/setup.sh check   for make check too
#   scripts/setup.sh bench   for make bench
#   scripts/setup.sh release for make release
#   scripts/setup.sh test-release for make test-release
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

what=${1:-}
case $what in
  '' | demo | test | clients | check | bench | release | test-release) ;;
  *)
    say "usage: setup.sh [demo | test | clients | check | bench | release | test-release]"
    exit 2
    ;;
esac

main() {
  case $(uname -s) in
    Darwin) macos ;;
    Linux) linux ;;
  esac
  rust
  go_toolchain
  case $what in demo | test | clients | check | release | test-release) python ;; esac
  [ "${#missing[@]}" -eq 0 ] || refuse
  case $what in
    check) tool "$cargo_deny" && tool "$actionlint" ;;
    release)
      tool "$cargo_auditable"
      [ "$(uname -s)" != Linux ] || tool "$cargo_deb"
      ;;
  esac
}

missing=() # one line for each tool that this script can't install

has() { command -v "$1" >/dev/null 2>&1; }

refuse() {
  say "Install these by hand:"
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
}

# --- from a package manager -------------------------------------------------------------------------------------------

# Installs missing tools by their Debian package names.
linux() {
  local packages=()
  has cc || packages+=(gcc libc6-dev)
  has g++ || packages+=(g++)
  has git || packages+=(git)
  has make || packages+=(make)
  has curl || packages+=(curl ca-certificates)
  has hostname || packages+=(hostname)
  has lsof || packages+=(lsof)
  libclang || packages+=(libclang-dev)
  case $what in
    demo | test | clients | check | release | test-release)
      has python3 || packages+=(python3)
      python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
      ;;
  esac
  case $what in
    test | clients)
      has node || packages+=(nodejs)
      has npm || packages+=(npm)
      ;;
  esac
  case $what in
    test)
      has strace || packages+=(strace)
      has slowhttptest || packages+=(slowhttptest)
      has prometheus || packages+=(prometheus)
      has systemd-analyze || packages+=(systemd) # for the tests of the units
      has jq || packages+=(jq)                   # for the recipes of packaging/events
      # Debian's names.
      has chromedriver || packages+=(chromium chromium-driver)
      ;;
    check)
      has shellcheck || packages+=(shellcheck)
      has ruby || packages+=(ruby)
      has wget || packages+=(wget)
      has promtool || packages+=(prometheus)
      ;;
    bench)
      # Only what the selected measurements need; make passes these variables on.
      [[ ${only:-haproxy} != *haproxy* ]] || PATH=$PATH:/usr/sbin has haproxy || packages+=(haproxy)
      # Ubuntu's perf is in the kernel's package. Without it there is no profile.
      [[ ${parts:-profile} != *profile* ]] || has perf || packages+=(linux-perf)
      ;;
    test-release)
      has mmdebstrap || packages+=(mmdebstrap)
      [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages+=(debian-archive-keyring) # Ubuntu
      has qemu-aarch64-static || packages+=(qemu-user-static)
      has systemd-nspawn || packages+=(systemd-container)
      has podman || packages+=(podman)
      PATH=$PATH:/usr/sbin has runc || packages+=(runc)
      ;;
  esac
  [ "${#packages[@]}" -eq 0 ] || install "${packages[@]}"
}

# Looks where clang-sys does, which loads libclang during the build.
libclang() {
  local found
  [ -z "${LIBCLANG_PATH:-}" ] || return 0
  for found in /usr/lib/llvm-*/lib /usr/lib64 /usr/lib /usr/lib/*-linux-gnu /usr/local/lib; do
    # Not libclang-cpp, which other packages install and bindgen can't use.
    ! compgen -G "$found/libclang.so*" >/dev/null || return 0
    ! compgen -G "$found/libclang-[0-9]*.so*" >/dev/null || return 0
  done
  return 1
}

install() {
  local as_root=()
  if ! has apt-get; then
    missing+=("with the system's package manager, what Debian calls: $*")
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
      missing+=("as root: apt-get update && apt-get install $*")
      return
    fi
    as_root=(sudo)
  fi
  say "Installing with apt-get: $*"
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  # Update the lists first: with missing or old lists, packages are not found.
  if ! "${as_root[@]}" apt-get update -qq >&2 ||
    ! "${as_root[@]}" apt-get install -qq --yes --no-install-recommends "$@" >&2 </dev/null; then
    missing+=("what apt-get says above; it was to install: $*")
  fi
  # Only the programs are needed, not their services.
  local service
  for service in haproxy prometheus; do
    case " $* " in
      *" $service "*) ! has systemctl || "${as_root[@]}" systemctl disable --quiet --now "$service" >&2 || true ;;
    esac
  done
}

macos() {
  xcode-select -p >/dev/null 2>&1 || missing+=("a C compiler and libclang: xcode-select --install")
  [ "$what" != test ] || has slowhttptest || missing+=("slowhttptest: brew install slowhttptest")
  [ "$what" != test ] || has chromedriver ||
    missing+=("Chrome and its driver: brew install --cask google-chrome chromedriver")
  [ "$what" != test ] || has jq || missing+=("jq: brew install jq")
  [[ $what != test && $what != clients ]] || has npm || missing+=("Node.js with npm: brew install node")
  case $what in test | check) has promtool || missing+=("Prometheus: brew install prometheus") ;; esac
  [ "$what" != check ] || has wget || missing+=("wget: brew install wget")
  [ "$what" != check ] || has shellcheck || missing+=("shellcheck: brew install shellcheck")
}

# --- installed by hand ------------------------------------------------------------------------------------------------

rust() {
  local wanted found way_out
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
  way_out="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
  if ! has cargo || ! found=$(cd "$root" && rustc --version 2>&1); then
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
      missing+=("Rust is there, but not in PATH: . ~/.cargo/env")
    else
      missing+=("Rust $wanted or newer: $way_out")
    fi
    return
  fi
  found=$(version "$found")
  if ! at_least "$wanted" "$found"; then
    ! has rustup || way_out="rustup update"
    missing+=("Rust $wanted or newer, since this is $found: $way_out")
  elif [ "$what" = check ]; then
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
      missing+=("rustfmt and clippy: rustup component add rustfmt clippy")
  fi
}

# Go 1.21 and newer download the version that a module requires, so the check runs within the module. The first run takes
# as long as that download.
go_toolchain() {
  local module=$root/vendor/libtailscale oldest=1.21 wanted found way_out
  wanted=$(sed -n 's/^go \([0-9.]*\).*/\1/p' "$module/go.mod")
  way_out=$(go_way_out "$wanted")
  if ! has go; then
    if [ -x /usr/local/go/bin/go ]; then
      missing+=("Go is there, but not in PATH: export PATH=\$PATH:/usr/local/go/bin")
    else
      missing+=("Go $oldest or newer, which downloads Go $wanted itself: $way_out")
    fi
    return
  fi
  if ! found=$(cd "$module" && go version 2>&1); then
    missing+=("Go $wanted, since go version says \"${found##*$'\n'}\": check the network and go env GOPROXY, or: $way_out")
    return
  fi
  found=$(version "${found##*$'\n'}") # after a line about the download
  if at_least "$wanted" "$found"; then
    return
  fi
  if at_least "$oldest" "$found"; then
    missing+=("Go $wanted, since this is $found, and GOTOOLCHAIN=$GOTOOLCHAIN prevents the download: unset GOTOOLCHAIN, or: $way_out")
  else
    missing+=("Go $oldest or newer, which downloads Go $wanted itself, since this is $found: $way_out")
  fi
}

go_way_out() {
  local arch
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) arch= ;;
  esac
  if [ "$(uname -s)" = Darwin ]; then
    if has brew; then printf 'brew install go'; else printf 'install it from https://go.dev/dl'; fi
  elif [ -n "$arch" ]; then
    # shellcheck disable=SC2016 # the reader's PATH
    printf 'curl -fsSL https://go.dev/dl/go%s.linux-%s.tar.gz | sudo tar -C /usr/local -xz && export PATH=$PATH:/usr/local/go/bin' \
      "$1" "$arch"
  else
    printf 'install it from https://go.dev/dl'
  fi
}

# For the tests of the clients and for making the test models.
python() {
  local found
  found=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=
  if [ -z "$found" ]; then
    [ "$(uname -s)" = Linux ] || missing+=("Python 3.11 or newer: brew install python3")
  elif ! at_least 3.11 "$found"; then
    missing+=("Python 3.11 or newer, first in PATH as python3, since this is $found: https://www.python.org/downloads")
  fi
}

# version TEXT: the first version number in it.
version() { printf '%s\n' "$1" | sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9.]*\).*/\1/p' | head -n 1; }

# at_least WANTED FOUND
at_least() {
  local IFS=. i
  # shellcheck disable=SC2206 # split at the dots
  local wanted=($1) found=($2)
  for i in 0 1 2; do
    [ "${found[i]:-0}" -le "${wanted[i]:-0}" ] || return 0
    [ "${found[i]:-0}" -ge "${wanted[i]:-0}" ] || return 1
  done
}

# --- compiled once for all clones -------------------------------------------------------------------------------------

# tool PROGRAM: compiles it if it is missing. Its folder's name has its name and version.
tool() {
  [ ! -x "$1" ] || return 0
  lock
  if [ ! -x "$1" ]; then compile "$1"; fi # another process may have compiled it during the wait
  unlock
}

# It runs for a second, so a fast build matters more than a fast program.
compile() {
  local work=$cache_root/tools/building folder=${1%/bin/*} name=${1##*/} how
  rm -rf "$work"
  mkdir -p "$work"
  case $name in
    actionlint) how=(env "GOBIN=$work/root/bin" go install "github.com/rhysd/actionlint/cmd/actionlint@v${folder##*-}") ;;
    *) how=(cargo install --locked --version "${folder##*-}" --root "$work/root" "$name") ;;
  esac
  step "Compiling ${folder##*/}, once for all clones (some minutes on two cores)" "$work/log" \
    env CARGO_TARGET_DIR="$work/target" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
    "${how[@]}"
  rm -rf "$folder"
  mv "$work/root" "$folder"
  rm -rf "$work"
}

main
