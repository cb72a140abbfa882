#!/usr/bin/env bash
# Runs a program of tools/requirements.txt: `tools/sam.sh sam …`, `tools/sam.sh cfn-lint …`, or their `python3`. It installs
# them below .local/ when they are missing or the requirements have changed, which takes half a minute.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
list=$root/tools/requirements.txt
venv=$root/.local/sam-tools

ready() { cmp -s "$list" "$venv/installed.txt" && "$venv/bin/python3" -c '' 2>/dev/null; }

install() {
  # Debian's python3 has the module venv, but not the part that installs pip.
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo "installing python3-venv for SAM CLI" >&2
    local sudo=
    [[ $(id -u) == 0 ]] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  fi
  echo "installing SAM CLI and cfn-lint into .local/sam-tools" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$list"
  cp "$list" "$venv/installed.txt" # last, so that an interrupted installation is repeated
}

if ! ready; then
  mkdir -p "$root/.local"
  exec 9>"$root/.local/sam-tools.lock" # one at a time
  flock 9
  ready || install
  exec 9>&-
fi
export SAM_CLI_TELEMETRY=0
export SAM_CLI_ENABLE_LANGUAGE_EXTENSIONS=1 # samconfig.toml sets it too, but not for templates in other folders
export PATH=$venv/bin:$PATH
exec "$@"
