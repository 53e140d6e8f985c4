# RabbitMQ: BARTIZAN_TEST_RABBITMQ is the address of a broker with one user that may do everything. Sourced by tests/with-servers.

rabbitmq_is_installed() { [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; }
rabbitmq_install() { install_packages rabbitmq-server; }

rabbitmq_start() {
    local data=$folder/rabbitmq
    rabbitmq_port=$(free_port)
    rabbitmq_epmd_port=$(free_port)
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
    # The script in /usr/sbin drops the environment. RUNNING_UNDER_SYSTEMD has it `exec` the broker, so that the pid is its own.
    env HOME="$data" RUNNING_UNDER_SYSTEMD=1 ERL_EPMD_PORT="$rabbitmq_epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME="bartizan$rabbitmq_port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_NODE_PORT="$rabbitmq_port" RABBITMQ_DIST_PORT="$(free_port)" \
        RABBITMQ_MNESIA_BASE="$data/mnesia" RABBITMQ_LOG_BASE="$data/logs" RABBITMQ_PID_FILE="$data/pid" \
        RABBITMQ_CONFIG_FILE="$data/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$data/none" RABBITMQ_CONF_ENV_FILE=/dev/null \
        RABBITMQ_ENABLED_PLUGINS_FILE="$data/plugins" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
        /usr/lib/rabbitmq/bin/rabbitmq-server </dev/null >"$data/log" 2>&1 &
    rabbitmq_pid=$!
    pids+=("$rabbitmq_pid")
    stops+=(rabbitmq_stop)
    export BARTIZAN_TEST_RABBITMQ="amqp://bartizan:test-only@127.0.0.1:$rabbitmq_port/%2f"
}

# The AMQP port opens last.
rabbitmq_ready() { wait_for rabbitmq "$rabbitmq_pid" "$folder/rabbitmq/log" listens "$rabbitmq_port"; }

# The port mapper of Erlang outlives its nodes.
rabbitmq_stop() { ERL_EPMD_PORT="$rabbitmq_epmd_port" epmd -kill >/dev/null 2>&1 || true; }
