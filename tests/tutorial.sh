#!/usr/bin/env bash
# Runs the commands of docs/tutorial.md as they stand there, with a stock nginx and a stock bouncer, in namespaces of its own: an
# attack by curl ends in packets that the kernel drops. Prints how long it took.
#
#   tests/tutorial.sh BINARY
#
# Needs root, nginx, nftables, iproute2, curl and crowdsec-firewall-bouncer. Exits with 0 when all of it holds.
set -euo pipefail

LIMIT_S=300
ATTACKER=203.0.113.77
NEIGHBOUR=203.0.113.78
export SITE=203.0.113.1

if [[ ${1:-} != --inside ]]; then
    binary=$(realpath "${1:?name the binary of bartizan}")
    tutorial=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../docs/tutorial.md")
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    # Whatever runs in the namespace of processes ends with it.
    unshare --net --mount --pid --fork --kill-child --mount-proc -- "${BASH_SOURCE[0]}" --inside "$binary" "$tutorial" "$folder"
    exit
fi
binary=$2 tutorial=$3 folder=$4
cd "$folder"

fail() {
    echo "tests/tutorial.sh: $1" >&2
    tail -n 20 up.log bouncer.log >&2 || true
    exit 1
}

# A site and somebody else, each with a network of its own.
mount -t tmpfs none /run
mount -t tmpfs none /var/log/nginx
unshare --net sleep infinity &
outside=$!
until [[ $(readlink "/proc/$outside/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.05; done
ip link set lo up
ip link add site type veth peer name outside netns "$outside"
ip address add "$SITE/24" dev site
ip link set site up
from_outside() { nsenter --net="/proc/$outside/ns/net" "$@"; }
from_outside ip address add "$ATTACKER/24" dev outside
from_outside ip address add "$NEIGHBOUR/24" dev outside
from_outside ip link set outside up
nginx
is_served_to() { from_outside curl -s -o /dev/null --max-time 2 --interface "$1" "http://$SITE/"; }
for _ in $(seq 50); do is_served_to "$ATTACKER" && break; sleep 0.1; done
is_served_to "$ATTACKER" || fail "nginx does not answer"

# The blocks of the tutorial, a file each, in order; those of somebody else end in .outside.
awk '/^```sh/ { name = sprintf("block%02d.%s", ++number, $2 == "outside" ? "outside" : "site"); next }
     /^```/ { name = "" }
     name { print > name }' "$tutorial"
mkdir bin
ln -s "$binary" bin/bartizan
PATH=$PWD/bin:$PATH
unset "${!BARTIZAN@}"

blocks=(block*)
[[ ${#blocks[@]} -eq 6 ]] || fail "the tutorial has ${#blocks[@]} blocks of commands, not 6"
trap 'fail "this failed: $(cat "$block")"' ERR
started=$(date +%s.%N)
for block in "${blocks[@]}"; do
    echo "-- $(head -n 1 "$block")"
    if [[ $block == *.outside ]]; then
        attacked=$(date +%s.%N)
        from_outside timeout "$LIMIT_S" bash "$block" || true
        blocked=$(date +%s.%N)
        if is_served_to "$ATTACKER"; then fail "the attacker is still served"; fi
        is_served_to "$NEIGHBOUR" || fail "somebody else is blocked, too"
    else
        # shellcheck disable=SC1090
        source "$block" >"$block.out"
        cat "$block.out"
    fi
done

grep -q "$ATTACKER" block05.site.out || fail "nothing is told of the attacker"
grep -q 'elements = .*203.0.113.77\|203.0.113.77 ' block05.site.out || fail "the kernel does not have the attacker"
for _ in $(seq 100); do is_served_to "$ATTACKER" && break; sleep 0.1; done
is_served_to "$ATTACKER" || fail "the attacker is not let in again"
awk -v a="$started" -v b="$attacked" -v c="$blocked" \
    'BEGIN { printf "the tutorial took %.1f s up to the block, %.1f s of it from the attack to the first dropped packet\n", c - a, c - b }'
awk -v a="$started" -v c="$blocked" -v limit="$LIMIT_S" 'BEGIN { exit !(c - a < limit) }' || fail "that is more than $LIMIT_S s"
