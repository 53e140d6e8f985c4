# A port that nobody has now, below those that the kernel gives out by itself. Sourced by what starts servers.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null || { echo "$port" && return; }
    done
}
