# PostgreSQL: BARTIZAN_TEST_POSTGRES is the address of a database whose user may make others. Sourced by tests/with-servers.

postgres_programs() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
postgres_is_installed() { [[ -n $(postgres_programs) ]]; }
postgres_install() { install_packages postgresql; }

# initdb and postgres refuse to run as root. `exec` in the background, so that the pid is the server's own.
as_postgres() { if [[ $EUID -eq 0 ]]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi; }

# Makes a server's folder, with its configuration: postgres_make FOLDER PORT
postgres_make() {
    local data=$1 port=$2
    mkdir -m 700 "$data"
    echo test-only >"$data/password"
    if [[ $EUID -eq 0 ]]; then chown -R postgres "$data"; fi
    as_postgres "$(postgres_programs)/initdb" -D "$data/data" -U bartizan --pwfile="$data/password" -A scram-sha-256 -E UTF8 \
        --locale=C --no-instructions -N >/dev/null
    cat >>"$data/data/postgresql.conf" <<C
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
shared_buffers = 64MB
max_connections = 200
recovery_init_sync_method = syncfs
C
}

# Makes a standby's folder, a copy of the server of another port: postgres_copy FOLDER PORT PRIMARY_PORT
postgres_copy() {
    local data=$1 port=$2 primary_port=$3
    mkdir -m 700 "$data"
    if [[ $EUID -eq 0 ]]; then chown postgres "$data"; fi
    as_postgres env PGPASSWORD=test-only "$(postgres_programs)/pg_basebackup" -h 127.0.0.1 -p "$primary_port" -U bartizan \
        -D "$data/data" --write-recovery-conf --wal-method=stream --checkpoint=fast --no-sync
    echo "port = $port" >>"$data/data/postgresql.conf"
}

# Becomes the server of a folder: postgres_become FOLDER
postgres_become() {
    local programs
    programs=$(postgres_programs)
    cd "$1"
    if [[ $EUID -eq 0 ]]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$programs/postgres" -D "$1/data"
    else
        exec "$programs/postgres" -D "$1/data"
    fi
}

postgres_start() {
    local data=$folder/postgres
    postgres_port=$(free_port)
    postgres_make "$data" "$postgres_port"
    (postgres_become "$data") >"$data/log" 2>&1 &
    postgres_pid=$!
    pids+=("$postgres_pid")
    export BARTIZAN_TEST_POSTGRES="postgres://bartizan:test-only@127.0.0.1:$postgres_port/postgres"
}

postgres_ready() {
    wait_for postgres "$postgres_pid" "$folder/postgres/log" \
        "$(postgres_programs)/pg_isready" -q -h 127.0.0.1 -p "$postgres_port" -U bartizan -d postgres
}
