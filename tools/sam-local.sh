#!/usr/bin/env bash
# Serves the built functions under `sam local start-api` on ADDR, with the database and the cache of MYSQL_DSN and
# CACHE_ADDR, until Ctrl-C. `make sam-local` runs it under `flashsale with-servers`, `make sam-local-test` buys through it.
#
#   client -> sam local (ADDR) -> a container for each function -> socat on the bridge's address -> servers on 127.0.0.1
#
# Everything that it starts ends with it. Without Docker it prints one line with the reason, and exits with status 75.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
: "${MYSQL_DSN:?}" "${CACHE_ADDR:?}" # flashsale with-servers sets them
addr=${ADDR:-127.0.0.1:3000}
flashsale=$root/.local/bin/flashsale
sam=$root/tools/sam.sh
built=$root/.local/sam-local/build # not .aws-sam, where a build for Lambda's own processors may lie
arch=$(uname -m)                   # Lambda's names: x86_64, arm64
arch=${arch/aarch64/arm64}
image=flashsale-lambda:$arch

say() { echo "sam local: $*" >&2; }
leave_out() { say "left out, because $*"; exit 75; }
fail() { say "$*"; exit 1; }

work=$(mktemp -d)
started=() # process ids, stopped in reverse order
docker_is_ours=""
bridge_is_ours=""
stop() {
  trap '' INT TERM
  local i
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do
    kill "${started[i]}" 2>/dev/null || true
    wait "${started[i]}" 2>/dev/null || true
  done
  [[ -z $bridge_is_ours ]] || ip link delete docker0 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 0' INT
trap 'exit 143' TERM

# start runs a program in the background. Ctrl-C does not reach it, so that stop decides the order; if this script is killed,
# the kernel ends it.
start() {
  setsid setpriv --pdeathsig TERM "$@" &
  started+=($!)
}

# until_it_works NAME SECONDS PID COMMAND… waits until COMMAND succeeds, as long as the process PID runs.
until_it_works() {
  local what=$1 end=$((SECONDS + $2)) pid=$3
  shift 3
  until "$@" >"$work/tried" 2>&1; do
    kill -0 "$pid" 2>/dev/null || { say "$what ended"; return 1; }
    ((SECONDS < end)) || { say "$what does not work: $(tail -n 1 "$work/tried")"; return 1; }
    sleep 0.5
  done
}

# packages PROGRAM PACKAGE installs a program that is missing.
packages() {
  ! command -v "$1" >/dev/null || return 0
  say "installing $2"
  local sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

# docker_runs finds a running Docker. Otherwise, as root, it starts one for the life of this script. That one needs no
# firewall rules and no forwarding, because the functions connect to this machine only.
docker_runs() {
  if command -v docker >/dev/null; then
    # SAM CLI does not know docker's contexts.
    DOCKER_HOST=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)}
    export DOCKER_HOST
    ! docker version >/dev/null 2>&1 || return 0
  fi
  [[ $(id -u) == 0 ]] || leave_out "Docker is not running, or $(id -un) may not use it, and only root can start it"
  packages dockerd docker.io || leave_out "Docker cannot be installed"
  exec 9<"$(command -v dockerd)" # one dockerd at a time may own the bridge
  flock --wait 300 9 || leave_out "another process has been using Docker's bridge for 5 minutes"
  [[ -e /sys/class/net/docker0 ]] || bridge_is_ours=yes
  docker_is_ours=yes
  export DOCKER_HOST=unix://$work/docker.sock
  start dockerd --host "$DOCKER_HOST" --data-root "$root/.local/docker" --exec-root "$work/docker" --pidfile "$work/docker.pid" \
    --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false >"$work/docker.log" 2>&1
  until_it_works dockerd 60 "${started[-1]}" docker version ||
    leave_out "dockerd cannot start: $(grep -v level=info "$work/docker.log" | tail -n 1)"
}

# base_image makes the image that SAM adds its emulator to. The functions are static. SAM's Dockerfile needs a shell, mv and
# chmod; they are copied from this machine with their libraries, so no registry is needed. If Amazon's own image has been
# pulled already, it is used instead.
base_image() {
  local amazons=public.ecr.aws/lambda/provided:al2023-$arch
  local programs=(/bin/sh /bin/mv /bin/chmod)
  if docker image inspect "$amazons" >/dev/null 2>&1; then
    image=$amazons
  elif ! docker image inspect "$image" >/dev/null 2>&1; then
    mkdir -p "$work"/image/{tmp,opt,var/task,var/runtime}
    chmod 1777 "$work/image/tmp"
    { printf '%s\n' "${programs[@]}" && ldd "${programs[@]}" | grep -o '[[:space:]]/[^ ]*' | tr -d '[:blank:]'; } |
      sort -u | xargs cp --dereference --parents --target-directory "$work/image"
    tar -C "$work/image" -c . | docker import - "$image" >/dev/null
  fi
}

# bridge_address sets bridge to this machine's address on Docker's bridge. It reads a container's default route, which has the
# address in hex and in this machine's byte order; `docker network inspect` does not always show it.
bridge_address() {
  local hex
  # shellcheck disable=SC2016 # for the container's shell
  if ! hex=$(docker run --rm --entrypoint /bin/sh "$image" -c \
    'while read -r _ to by _; do [ "$to" != 00000000 ] || echo "$by"; done </proc/net/route' 2>"$work/tried"); then
    [[ -z $docker_is_ours ]] || leave_out "dockerd cannot run a container here: $(tail -n 1 "$work/tried")"
    fail "Docker cannot run a container: $(tail -n 1 "$work/tried")"
  fi
  [[ $hex =~ ^(..)(..)(..)(..)$ ]] || fail "a container has no default route to this machine"
  printf -v bridge '%d.%d.%d.%d' "0x${hex:6:2}" "0x${hex:4:2}" "0x${hex:2:2}" "0x${hex:0:2}"
}

# forward HOST:PORT starts a forwarder to that server on the bridge, and sets forwarded to its address. Containers reach no
# other address: they do not share this machine's loopback, and our Docker forwards nothing.
forward() {
  local port
  port=$("$sam" python3 -c 'import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])' "$bridge") ||
    fail "Docker's bridge $bridge is not on this machine: sam local needs Docker Engine here, not Docker Desktop or rootless Docker"
  forwarded=$bridge:$port
  start socat "TCP-LISTEN:$port,bind=$bridge,fork,backlog=512" "TCP:$1" 2>>"$work/socat.log"
}

# webhook_secret prints the secret that the functions accept and `flashsale webhook send` signs with: WEBHOOK_SECRETS, or
# else this directory's development secret, which `make run` shares.
webhook_secret() {
  local file=.local/webhook-secret
  if [[ -n ${WEBHOOK_SECRETS:-} ]]; then
    echo "$WEBHOOK_SECRETS"
    return
  fi
  [[ -s $file ]] || (umask 077 && echo "whsec_$(head -c 24 /dev/urandom | base64)" >"$file")
  cat "$file"
}

# functions_environment writes the values that replace those of the template in every function.
functions_environment() {
  local dsn
  [[ $MYSQL_DSN =~ ^(.*@)tcp\((.*)\)(/.*)$ ]] || fail "MYSQL_DSN must contain its server as tcp(host:port)"
  local before=${BASH_REMATCH[1]} server=${BASH_REMATCH[2]} after=${BASH_REMATCH[3]}
  forward "$server"
  dsn="${before}tcp($forwarded)$after"
  forward "$CACHE_ADDR"
  (
    umask 077
    MYSQL_DSN=$dsn CACHE_ADDR=$forwarded WEBHOOK_SECRETS=$(webhook_secret) STRIPE_WEBHOOK_SECRETS=${STRIPE_WEBHOOK_SECRETS:-} \
      WEBHOOK_SECRET_ARN='' STRIPE_WEBHOOK_SECRET_ARN='' \
      STRIPE_LIVEMODE=${STRIPE_LIVEMODE:-} STRIPE_ACCOUNT=${STRIPE_ACCOUNT:-} \
      "$sam" python3 -c 'import json, os, sys
json.dump({"Parameters": {name: os.environ[name] for name in sys.argv[1:]}}, sys.stdout)' \
      MYSQL_DSN CACHE_ADDR WEBHOOK_SECRETS STRIPE_WEBHOOK_SECRETS WEBHOOK_SECRET_ARN STRIPE_WEBHOOK_SECRET_ARN \
      STRIPE_LIVEMODE STRIPE_ACCOUNT >"$work/env.json"
  )
}

# put_demo adds a product to an empty catalogue.
put_demo() {
  "$flashsale" migrate >/dev/null
  (($("$flashsale" product list | wc -l) > 1)) || # the first line is the heading
    "$flashsale" product put demo --name 'Demo sneaker' --price 49.99 --currency USD --stock 100 --max-qty-per-hold 5
}

responds() { "$sam" python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=20)' "http://$addr/v1/products"; }

docker_runs
base_image
bridge_address
packages socat socat
"$sam" true # installs it, and says so; the build below is silent
say "building the functions for $arch"
"$sam" sam build --build-dir "$built" --parameter-overrides "Architecture=$arch" >"$work/build.log" 2>&1 ||
  { cat "$work/build.log" >&2; fail "the build has failed"; }
put_demo
functions_environment
# Not --warm-containers EAGER: that would also start the functions that have no URL.
start "$sam" sam local start-api --template "$built/template.yaml" --parameter-overrides "Architecture=$arch" \
  --host "${addr%:*}" --port "${addr##*:}" --env-vars "$work/env.json" \
  --skip-pull-image --invoke-image "$image" --warm-containers LAZY
until_it_works "sam local" 60 "${started[-1]}" responds ||
  fail "is a firewall between Docker's bridge ($bridge) and this machine?"
cat <<EOF

The functions listen on http://$addr, each in a container. Buy something (in another terminal, in this directory):

  curl -s http://$addr/v1/products
  HOLD=\$(curl -s http://$addr/v1/holds -H 'Content-Type: application/json' -d '{"product_id":"demo","qty":1}' | tee /dev/stderr | grep -o 'hold_[0-9a-z]\{26\}') &&
  ORDER=\$(curl -s http://$addr/v1/orders -H 'Content-Type: application/json' -d "{\"hold_id\":\"\$HOLD\"}" | tee /dev/stderr | grep -o 'ord_[0-9a-z]\{26\}') &&
  ADDR=$addr .local/bin/flashsale webhook send --type payment.succeeded --order \$ORDER &&
  curl -s http://$addr/v1/orders/\$ORDER

There is no schedule here: \`make run\` beside it sweeps the same database. Ctrl-C stops all of it.

EOF
wait "${started[-1]}"
