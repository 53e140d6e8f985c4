# RabbitMQ: BARTIZAN_TEST_RABBITMQ is the address of a broker with one user that may do everything. Sourced by tests/with-servers.

rabbitmq_is_installed() { [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; }
rabbitmq_install() { install_packages rabbitmq-server; }

# Makes a broker's folder, with its configuration and its ports: rabbitmq_make FOLDER PORT
rabbitmq_make() {
    local data=$1 port=$2
    mkdir "$data"
    printf bartizantest >"$data/.erlang.cookie"
    chmod 400 "$data/.erlang.cookie"
    cat >"$data/rabbitmq.conf" <<C
default_user = bartizan
default_pass = test-only
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 50MB
C
    echo "[]." >"$data/plugins"
    echo "$port $(free_port) $(free_port)" >"$data/ports"
}

# Sets what the programs of a broker's folder need to know of it: rabbitmq_know FOLDER
rabbitmq_know() {
    local data=$1 port epmd_port dist_port
    read -r port epmd_port dist_port <"$data/ports"
    # RUNNING_UNDER_SYSTEMD has the script `exec` the broker, so that the pid is its own.
    export HOME="$data" RUNNING_UNDER_SYSTEMD=1 ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME="bartizan$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT="$dist_port" \
        RABBITMQ_MNESIA_BASE="$data/mnesia" RABBITMQ_LOG_BASE="$data/logs" RABBITMQ_PID_FILE="$data/pid" \
        RABBITMQ_CONFIG_FILE="$data/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$data/none" RABBITMQ_CONF_ENV_FILE=/dev/null \
        RABBITMQ_ENABLED_PLUGINS_FILE="$data/plugins" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
}

# Becomes the broker of a folder: rabbitmq_become FOLDER. The script in /usr/sbin drops the environment.
rabbitmq_become() {
    rabbitmq_know "$1"
    exec /usr/lib/rabbitmq/bin/rabbitmq-server </dev/null
}

# Tells the broker of a folder: rabbitmq_control FOLDER COMMAND...
rabbitmq_control() {
    (rabbitmq_know "$1" && exec /usr/lib/rabbitmq/bin/rabbitmqctl "${@:2}" </dev/null)
}

# The port mapper of Erlang outlives its nodes: rabbitmq_end FOLDER
rabbitmq_end() {
    (rabbitmq_know "$1" && epmd -kill) >/dev/null 2>&1 || true
}

rabbitmq_start() {
    rabbitmq_port=$(free_port)
    rabbitmq_make "$folder/rabbitmq" "$rabbitmq_port"
    (rabbitmq_become "$folder/rabbitmq") >"$folder/rabbitmq/log" 2>&1 &
    rabbitmq_pid=$!
    pids+=("$rabbitmq_pid")
    stops+=(rabbitmq_stop)
    export BARTIZAN_TEST_RABBITMQ="amqp://bartizan:test-only@127.0.0.1:$rabbitmq_port/%2f"
}

# The AMQP port opens last.
rabbitmq_ready() { wait_for rabbitmq "$rabbitmq_pid" "$folder/rabbitmq/log" listens "$rabbitmq_port"; }

rabbitmq_stop() { rabbitmq_end "$folder/rabbitmq"; }
