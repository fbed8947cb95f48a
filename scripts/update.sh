#!/usr/bin/env bash
# Updates the dependencies to the newest versions that fit; `make update` calls it. It prints each change, what it left
# and why, and what to run next. A part that fails leaves its files as they were.
#
#   scripts/update.sh           all parts
#   scripts/update.sh PART      one of: crates modules python npm tools
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

all() {
  local name failed=()
  scripts/setup.sh demo # Rust, Go and Python
  need npm "install Node.js with npm"
  for name in crates modules python npm tools; do
    # `step` ends with 130 after Ctrl-C, which bash takes for a failure of this part only.
    scripts/update.sh "$name" || { [ $? -ne 130 ] || exit 130; failed+=("$name"); }
  done
  say "Not looked up: actions in .github/workflows (Dependabot does it), images in packaging/Containerfile, new major versions of Go modules"
  say "Data with a date; renew what is old:"
  git grep -hE '^(date = |# Read on )' -- src/doctor/advisories.toml tests/support/ollama-routes.tsv >&2 || true
  [ "${#failed[@]}" -eq 0 ] || die "not updated: ${failed[*]}; the reasons are above"
  say "Next: make check && make test; scripts/msrv.sh. If benches/ changed, docs/performance.md has figures of old versions."
}

# --- parts: each changes some of `files`, and adds to `left` what it left -----------------------------------------------

# `cargo update` respects the oldest Rust that each Cargo.toml names.
update_crates() {
  local lock
  for lock in "${files[@]}"; do
    step "Updating $lock" "$work/log" cargo update --verbose --manifest-path "${lock%.lock}.toml"
    sed -nE -e 's/^ *Unchanged (.*) \(available: (.*), requires (Rust .*)\)$/\1: \2 needs \3/p' -e t \
      -e 's/^ *Unchanged (.*) \(available: (.*)\)$/\1: \2 needs an edit of Cargo.toml/p' "$work/log" >>"$work/left"
  done
}

# Updates what each go.mod requires itself. Indirect modules get the versions that these ask for, and were tested with.
update_modules() {
  local file folder name newest stable
  local own='=> \.\./' # a module of this repository, whose requirements count here too; so it is updated first
  # Stable versions of Tailscale have an even second number.
  stable=$(cd vendor/libtailscale && go list -m -versions tailscale.com | tr ' ' '\n' |
    grep -E '^v1\.[0-9]*[02468]\.[0-9]+$' | tail -n 1)
  for file in $(git grep -L "$own" '*go.mod') $(git grep -l "$own" '*go.mod'); do
    folder=${file%/go.mod}
    say "Updating $file"
    for name in $(direct_modules "$file"); do
      case $name in
        tailscale.com) go_get "$folder" "$name" "$stable" ;;
        gvisor.dev/gvisor | github.com/gin-gonic/gin)
          newest=$(cd "$folder" && go list -m -f '{{.Version}}' "$name@latest")
          grep -qF "$name $newest" "$file" || echo "$name: $newest exists, but it follows Tailscale or Ollama" >>"$work/left"
          ;;
        *) go_get "$folder" "$name" latest ;;
      esac
    done
    grep -q "$own" "$file" || ! cmp -s "$file" "$work/old/$file" || continue
    attempt_go "$folder" "$work/old/$folder" "all of $file" mod tidy
  done
}

# go_get FOLDER MODULE VERSION
go_get() {
  cp "$1/go.mod" "$1/go.sum" "$work"
  attempt_go "$1" "$work" "$2 $3" get "$2@$3"
}

# attempt_go FOLDER SAVED WHAT ARGUMENT...: runs go in FOLDER. If a module can't be had, it gets back the files in SAVED.
attempt_go() {
  if ! (cd "$1" && go "${@:4}") >"$work/log" 2>&1; then
    cp "$2/go.mod" "$2/go.sum" "$1"
    echo "$3: $(grep -vE '^go: (downloading|.*; switching to)' "$work/log" | head -n 1 |
      sed 's|^.* \([^ ]*@[^ ]*: \)reading [^ ]* |\1|')" >>"$work/left"
  fi
}

# direct_modules FILE: the modules and the tools that it names without `// indirect`.
direct_modules() {
  awk '$1 == "tool" { print $2 } $1 == "require" && $2 != "(" { $1 = ""; $0 = $0 } /\/\/ indirect/ { next }
    NF == 2 && $2 ~ /^v[0-9]/ && $1 !~ /^remote-ollama-proxy\// { print $1 }' "$1"
}

# Each requirements.txt has the newest versions of what requirements.in names, for the oldest Python that
# tests/ollama/lib.sh accepts. uv reads them from wheels, so no code of a package runs.
update_python() {
  local file uv options
  lock
  uv=$(venv scripts/requirements.txt)
  unlock
  uv=${uv%/*}/uv
  mkdir "$work/newest"
  for file in "${files[@]}"; do
    if [ ! -e "${file%.txt}.in" ]; then
      echo "$file: there is no ${file%.txt}.in, which names what is wanted" >>"$work/left"
      continue
    fi
    options=(--quiet --no-header --no-annotate --only-binary :all: "${file%.txt}.in")
    ! grep -q -e --hash= "$file" || options+=(--generate-hashes)
    step "Updating $file" "$work/log" \
      "$uv" pip compile "${options[@]}" --upgrade --python-version 3.11 --output-file "$work/new"
    cat "$work/new" >"$file"
    rm "$work/new" # else uv would prefer the versions in it
    "$uv" pip compile "${options[@]}" --no-deps --python-version 3.14 >"$work/newest/requirements.txt"
    changes "$file" "$work/newest/requirements.txt" |
      sed -n 's/ → \([0-9].*\)/: \1 needs a newer Python, or does not fit another package/p' >>"$work/left"
  done
}

# A package.json names exact versions. The newest that fits this Node replaces them, and a lock file is renewed. npm works
# in a copy, since it formats package.json in its own way.
update_npm() {
  local file folder name newest wanted
  for file in "${files[@]}"; do
    [[ $file = *package.json ]] || continue
    folder=$work/npm/${file%/*} wanted=()
    mkdir -p "$folder"
    cp "${file%.json}"*.json "$folder"
    while IFS= read -r name; do wanted+=("$name"); done < <(newer_npm "$folder")
    step "Updating $file" "$work/log" in_copy "$folder" ${wanted[@]+"${wanted[@]}"}
    for name in "${file%/*}"/package*.json; do
      [ -z "$(changes "$name" "$folder/${name##*/}")" ] || cp "$folder/${name##*/}" "$name"
    done
    for name in $(versions "$file" | cut -d ' ' -f 1); do
      newest=$(npm view "$name" version)
      versions "$file" | grep -qxF "$name $newest" ||
        echo "$name: $newest is not for Node $(node --version), see what it needs: npm view $name engines" >>"$work/left"
    done
  done
}

# newer_npm FOLDER: NAME@VERSION for each package that is newer than package.json says and fits this Node.
newer_npm() {
  (npm outdated --prefix "$1" --json || true) | python3 -c 'import json, re, sys
key = lambda version: [int(number) for number in re.findall(r"\d+", version)]
for name, found in json.load(sys.stdin).items():
    if key(found["latest"]) > key(found["wanted"]):
        print(name + "@" + found["latest"])'
}

# in_copy FOLDER NAME@VERSION...
in_copy() {
  local options=(--prefix "$1" --package-lock-only --omit-lockfile-registry-resolved --save-exact --ignore-scripts --no-audit --no-fund)
  npm install "${options[@]}" "${@:2}" && npm update "${options[@]}"
}

# The programs that scripts/tools.sh and scripts/advisories.sh name with a version.
update_tools() {
  local name newest
  for name in cargo-deny cargo-deb cargo-auditable; do
    newest=$(cargo info --quiet "$name" | sed -nE 's/^version: ([0-9.]+).*/\1/p')
    replace scripts/tools.sh "$name-[0-9.]*" "$name-${newest:?}"
  done
  newest=$(cd vendor/libtailscale && go list -m -f '{{.Version}}' github.com/rhysd/actionlint@latest)
  replace scripts/tools.sh 'actionlint-[0-9.]*' "actionlint-${newest#v}"
  newest=$(cd vendor/libtailscale && go list -m -f '{{.Version}}' golang.org/x/vuln@latest)
  replace scripts/advisories.sh 'govulncheck@v[0-9.]*' "govulncheck@${newest:?}"
}

# replace FILE PATTERN TEXT
replace() {
  sed "s/$2/$3/" "$1" >"$work/new"
  cat "$work/new" >"$1" # keeps its mode
}

# --- what changed -----------------------------------------------------------------------------------------------------

# versions FILE: prints a name and a version for each dependency in it.
versions() {
  case $1 in
    *Cargo.lock) awk -F '"' '/^name = / { name = $2 } /^version = / && name { print name, $2 }' "$1" ;;
    *go.mod) awk '{ sub(/^require /, "") } $1 == "go" || NF >= 2 && $2 ~ /^v[0-9]/ { print $1, $2 }' "$1" ;;
    *requirements.txt) sed -nE 's/^([A-Za-z0-9._-]+)[^=]*==([^ ;]+).*/\1 \2/p' "$1" ;;
    *package-lock.json) python3 -c 'import json, sys
for path, found in json.load(open(sys.argv[1]))["packages"].items():
    if path:
        print(path.split("node_modules/")[-1], found["version"])' "$1" ;;
    *package.json) python3 -c 'import json, sys
for name, version in json.load(open(sys.argv[1])).get("dependencies", {}).items():
    print(name, version)' "$1" ;;
    *.sh) sed -nE 's/.*[/=]([a-z./-]+)[-@]v?([0-9.]+)(\/.*|$)/\1 \2/p' "$1" ;;
  esac
}

# changes OLD NEW: one line for each name whose versions differ.
changes() {
  comm -3 <(versions "$1" | sort -u) <(versions "$2" | sort -u) | awk -F '\t' '
    { side = NF; split($side, word, " "); names[word[1]] = 1; at[word[1], side] = at[word[1], side] " " word[2] }
    END {
      for (name in names) print name ((name, 1) in at ? at[name, 1] : " new") " →" ((name, 2) in at ? at[name, 2] : " gone")
    }' | sort
}

# --- one part ---------------------------------------------------------------------------------------------------------

# restore: gives `files` back what they had; the trap of a part that failed or was interrupted.
restore() {
  local file
  for file in "${files[@]}"; do cat "$work/old/$file" >"$file"; done
  rm -rf "$work"
  say "$part: failed; its files are as they were"
}

# part NAME PATHSPEC...: runs the function NAME on the files that match, and reports.
part() {
  local file
  part=$1 files=()
  while IFS= read -r file; do files+=("$file"); done < <(git ls-files -- "${@:2}")
  work=$(mktemp -d)
  : >"$work/left"
  for file in "${files[@]}"; do
    mkdir -p "$work/old/$(dirname "$file")"
    cp "$file" "$work/old/$file"
  done
  trap restore EXIT
  trap 'exit 130' INT TERM HUP
  "update_$part"
  trap - EXIT
  for file in "${files[@]}"; do changes "$work/old/$file" "$file" | sed "s|^|$file: |"; done
  sort -u "$work/left" | sed 's/^/left: /'
  rm -rf "$work"
}

case ${1:-} in
  '') all ;;
  crates) part crates '*Cargo.lock' ;;
  modules) part modules '*go.mod' '*go.sum' ;;
  python) part python '*requirements.txt' ;;
  npm) part npm '*package.json' '*package-lock.json' ;;
  tools) part tools scripts/tools.sh scripts/advisories.sh ;;
  *) die "$1: no part; one of: crates modules python npm tools" ;;
esac
