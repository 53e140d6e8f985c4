# Redis: BARTIZAN_TEST_REDIS is the address of a server with a password. Sourced by tests/with-servers.

redis_is_installed() { command -v redis-server >/dev/null; }
redis_install() { install_packages redis-server; }

redis_start() {
    local data=$folder/redis
    redis_port=$(free_port)
    mkdir "$data"
    redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$data" --save '' --requirepass test-only >"$data/log" 2>&1 &
    redis_pid=$!
    pids+=("$redis_pid")
    export BARTIZAN_TEST_REDIS="redis://:test-only@127.0.0.1:$redis_port/0"
}

redis_ready() { wait_for redis "$redis_pid" "$folder/redis/log" listens "$redis_port"; }
