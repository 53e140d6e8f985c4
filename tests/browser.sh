#!/usr/bin/env bash
# Loads the page in a real browser, over data that an attacker wrote: no script of his runs, nothing violates the page's
# Content Security Policy, nothing is loaded from elsewhere, and the alerts are there.
#
#   tests/browser.sh BINARY
#
# Needs chromium and curl. Exits with 0 when all of it holds.
set -euo pipefail

binary=$(realpath "${1:?name the binary of bartizan}")
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
folder=$(mktemp -d)
server=
finish() {
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"

fail() {
    echo "tests/browser.sh: $1" >&2
    exit 1
}

"$binary" up --data data --listen 127.0.0.1:0 >out 2>err &
server=$!
for _ in $(seq 100); do
    grep -q 'listening on ' out && break
    sleep 0.1
done
address=$(sed -n 's/^listening on //p' out)
[[ -n $address ]] || fail "the server did not start: $(cat err)"
key=$(cat data/admin.key)

# What an attacker writes into every field that the page may show. A script that runs renames the page.
payloads=(
    "<script>document.title='OWNED'</script>"
    "<img src=x onerror=document.title='OWNED'>"
    "\\\"><svg onload=document.title='OWNED'>"
    "javascript:document.title='OWNED'"
    "</title></textarea><iframe srcdoc=\\\"<script>parent.document.title='OWNED'</script>\\\">"
    "{{constructor.constructor('document.title=1')()}}"
)
number=0
for payload in "${payloads[@]}"; do
    number=$((number + 1))
    event="{\"client_ip\":\"203.0.113.$number\",\"user\":\"$payload\",\"source\":\"$payload\",\"path\":\"/.env?$payload\",\"user_agent\":\"$payload\",\"country\":\"$payload\",\"message\":\"failed login, brute force, union select password from users; $payload\",\"logsource\":{\"category\":\"webserver\"}}"
    user="{\"user\":\"$payload\",\"source\":\"$payload\",\"message\":\"multiple failed login attempts, brute force\",\"logsource\":{\"category\":\"application\"}}"
    for body in "$event" "$user"; do
        curl -sSf -o /dev/null -H "Authorization: Bearer $key" -d "$body" "$address/v1/events" || fail "an event was refused: $body"
    done
done
for _ in $(seq 100); do
    curl -sSf -H "Authorization: Bearer $key" "$address/v1/ledger" | grep -q '"lag_events":0' && break
    sleep 0.1
done
# Into one that waits for a person, with more newer ones than the page reads of all of them.
post() {
    curl -sSf -o /dev/null -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d "$2" "$address$1" || fail "$1 was refused"
}
post /v1/decisions/switches '{"mode":"live","paused":true,"reason":"a test"}'
for _ in 1 2 3 4 5; do
    post /logs "{\"timestamp\":\"$(date -u +%FT%TZ)\",\"client_ip\":\"192.0.2.77\",\"endpoint\":\"/login\",\"method\":\"POST\",\"status_code\":401}"
done
for _ in $(seq 100); do
    curl -sSf -H "Authorization: Bearer $key" "$address/v1/decisions?state=held" | grep -q '192\.0\.2\.77' && break
    sleep 0.1
done
for other in $(seq 60); do
    post /v1/decisions "{\"ip\":\"198.18.7.$other\",\"reason\":\"one of many\"}"
done
# And into decisions: one of a person, one of a list.
for payload in "${payloads[@]:0:3}"; do
    number=$((number + 1))
    curl -sSf -o /dev/null -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
        -d "{\"ip\":\"198.51.100.$number\",\"reason\":\"$payload\"}" "$address/v1/decisions" || fail "a decision was refused"
done
alerts=$(curl -sSf -H "Authorization: Bearer $key" "$address/v1/alerts?limit=100" | grep -o '"rule_id"' | wc -l)
[[ $alerts -ge 6 ]] || fail "only $alerts alerts were raised"

# Loads the overview over a fresh login link; prints the page as it is after its scripts ran.
load() {
    "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$folder/profile" --no-first-run \
        --disable-background-networking --enable-logging=stderr --v=0 --virtual-time-budget=8000 \
        --dump-dom "$1" 2>"$folder/console"
}
link=$("$binary" login-link --data data | grep -oE 'http[^ ]+/login/[0-9a-f]+')
load "$link" >page

grep -q 'OWNED' <(grep -o '<title>[^<]*</title>' page) && fail "a script of an attacker ran"
grep -qiE '<(img|svg|iframe)[^>]*(onerror|onload|srcdoc)=' page && fail "an attacker's markup became elements"
grep -qiE 'content.security.policy|refused to' console && fail "the page violates its own policy: $(grep -iE 'policy|refused' console | head -3)"
grep -qE 'Uncaught|TypeError|ReferenceError' console && fail "a script of the page failed: $(grep -E 'Uncaught|Error' console | head -3)"
grep -qiE '(src|href)="(https?:)?//' page && fail "the page loads something from elsewhere"
grep -q '203\.0\.113\.1' page || fail "the page does not show the alerts"
grep -q '&lt;img src=x' page || fail "the page does not show what the attacker wrote, as text"
grep -q '198\.51\.100\.' page || fail "the page does not show the decisions"
grep -q 'bartizan decisions release' page || fail "the page does not show what waits for a person"
grep -q 'bartizan decisions remove --id' page || fail "the page does not say how a decision is removed"
echo "the page shows $alerts alerts with hostile contents, and nothing of it ran"
