#!/usr/bin/env bash
# Prints tests/support/ollama-routes.tsv: every route of every tagged Ollama from 0.17.0 on.
#
#   scripts/ollama-routes.sh CLONE >tests/support/ollama-routes.tsv
#
# CLONE is a git clone of Ollama's repository with its tags. A route that is registered in a way that this script does not
# know is an error.
set -euo pipefail

[[ $# -eq 1 ]] || { echo "usage: $0 CLONE" >&2; exit 2; }
clone=$1
sources=(server middleware internal ':!*_test.go')

git_in() { git -C "$clone" -c versionsort.suffix=-rc "$@"; }

# versions: prints the tags, oldest first.
versions() {
  git_in tag --list 'v*' --sort=version:refname | awk '/^v0\.17\.0$/ { from = 1 } from'
}

# constant TAG NAME: prints the value of a string constant of Go.
constant() {
  git_in grep -hE "^[[:space:]]*(const )?$2[[:space:]]+= \"" "$1" -- "${sources[@]}" | sed 's/^[^"]*"\([^"]*\)".*/\1/'
}

# routes TAG: prints METHOD and PATH of each route, from lines such as `r.GET("/api/ps", …)`.
routes() {
  local tag=$1 method path name others
  # The last pattern is a call that goes on in the next line; r.Use adds no route.
  others=$(git_in grep -hE '(http\.Handle|HandleFunc|NoRoute|StaticFS?|\.Group|\.Match)\(|net/http/pprof"|[[:space:]]r\.[A-TV-Z][A-Za-z]+\($' \
    "$tag" -- "${sources[@]}" | grep -vF 'http.Handle("/", h)' || true)
  [[ -z $others ]] || { echo "error: $tag registers routes in another way: $others" >&2; return 1; }
  git_in grep -hoE '[[:space:]]r\.(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|Any|Handle)\([^,]*,' "$tag" -- "${sources[@]}" |
    sed 's/^[[:space:]]*r\.//; s/,$//' | while IFS='(' read -r method path; do
    if [[ $path != '"'* ]]; then
      name=${path%%+*}
      path="\"$(constant "$tag" "${name##*.}")${path#*+\"}"
    fi
    [[ $path =~ ^\"/[^\"]*\"$ ]] || { echo "error: $tag has a route with the path $path" >&2; return 1; }
    path=${path//\"/}
    [[ $method != Any ]] || method='*'
    printf '%s\t%s\n' "$method" "$path"
  done
}

read_versions=$(versions)
[[ -n $read_versions ]] || { echo "error: $clone has no tag v0.17.0" >&2; exit 1; }
found=$(for tag in $read_versions; do
  lines=$(routes "$tag" | LC_ALL=C sort -u) || exit 1
  [[ -n $lines ]] || { echo "error: found no route in $tag" >&2; exit 1; }
  printf '%s\n' "$lines" | sed "s/^/${tag#v}	/"
done) || exit 1

cat <<EOF
# The routes of Ollama. scripts/ollama-routes.sh prints this file. To renew it, clone Ollama's repository and run
#
#   scripts/ollama-routes.sh CLONE >tests/support/ollama-routes.tsv
#
# Columns: method (* is any), path, first version, last version (- if the newest version read has the route).
# Read on $(date -u +%Y-%m-%d), in version order:
EOF
printf '%s' "$read_versions" | sed 's/^v//' | tr '\n' ' ' | fold -s -w 120 | sed 's/^/# /; s/ *$//'
echo
printf '%s\n' "$found" | awk -F '\t' '
  $1 != version { version = $1; number++; name[number] = version }
  {
    route = $2 "\t" $3
    if (!(route in last) || last[route] != number - 1) { begun[++rows] = route; first[rows] = version; at[route] = rows }
    last[route] = number
    end[at[route]] = number
  }
  END { for (i = 1; i <= rows; i++) print begun[i] "\t" first[i] "\t" (end[i] == number ? "-" : name[end[i]]) }
' | LC_ALL=C sort -t '	' -k 2,2 -k 1,1
