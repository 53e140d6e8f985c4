//! Names that databases give to what attackers ask for.

/// How telling a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// No application is called so in a request: a function, with its bracket, is an attack wherever it stands.
    Alone,
    /// An attack inside SQL; elsewhere it may be code of another language.
    InSql,
}

/// Functions that wait, read files, fetch addresses or make errors that tell secrets.
pub(super) fn function(name: &[u8]) -> Option<Telling> {
    if [
        &b"dbms_"[..],
        b"user_lock.",
        b"utl_",
        b"ctxsys.",
        b"xp_",
        b"sp_oa",
        b"fn_varbin",
        b"master.",
        b"sys.fn_",
        b"pg_read_",
        b"lo_",
    ]
    .iter()
    .any(|it| name.starts_with(it))
    {
        return Some(Telling::Alone);
    }
    match name {
        b"pg_sleep" | b"extractvalue" | b"updatexml" | b"load_file" | b"sys_eval" | b"sys_exec" | b"randomblob"
        | b"gtid_subset" | b"gtid_subtract" | b"regexp_substring" | b"crypt_key" | b"sp_executesql"
        | b"sp_password" | b"xmltype" | b"current_setting" | b"database_to_xml" | b"query_to_xml" | b"openrowset"
        | b"opendatasource" | b"load_extension" | b"bulkcolumn" | b"group_concat" | b"string_agg"
        | b"procedure_analyse" | b"analyse" | b"generate_series" | b"st_latfromgeohash" | b"name_const"
        | b"json_depth" | b"unhex" | b"sqlite_version" | b"system_user" | b"session_user" | b"current_user"
        | b"pg_ls_dir" | b"httpuritype" | b"uridecode" => Some(Telling::Alone),
        b"sleep" | b"benchmark" | b"exp" | b"elt" | b"make_set" | b"char" | b"chr" | b"ascii" | b"substr"
        | b"substring" | b"mid" | b"md5" | b"concat" | b"concat_ws" | b"version" | b"database" | b"user" | b"if"
        | b"iif" | b"cast" | b"convert" | b"hex" | b"length" | b"count" | b"floor" | b"rand" | b"ifnull"
        | b"nullif" | b"coalesce" | b"lower" | b"upper" | b"ord" | b"json_keys" | b"row" | b"sysdate" | b"now"
        | b"strcmp" | b"bin" | b"quarter" | b"upper(hex" | b"to_char" | b"repeat" | b"power" | b"pow" | b"left"
        | b"right" | b"last_insert_id" | b"linestring" | b"polygon" | b"multipoint" | b"instr" | b"locate"
        | b"greatest" | b"least" | b"sha1" => Some(Telling::InSql),
        _ => None,
    }
}

/// Functions that make a database wait.
pub(super) fn waits(name: &[u8]) -> bool {
    matches!(name, b"sleep" | b"benchmark" | b"pg_sleep" | b"dbms_lock.sleep" | b"dbms_pipe.receive_message")
}

/// Tables of the database `mysql`; hosts of it are spoken of in sentences (`from mysql.example`).
///
/// Source: MySQL 8.0 Reference Manual, section 5.3; `MariaDB` has `global_priv` and `roles_mapping`.
fn is_table_of_mysql(name: &[u8]) -> bool {
    const STARTS: [&[u8]; 11] = [
        b"column",
        b"db",
        b"func",
        b"global_",
        b"help_",
        b"innodb_",
        b"plugin",
        b"proc",
        b"role",
        b"tables_priv",
        b"user",
    ];
    STARTS.iter().any(|it| name.starts_with(it))
        || matches!(
            name,
            b"component" | b"event" | b"general_log" | b"host" | b"password_history" | b"servers" | b"slow_log"
        )
}

/// Tables and variables that tell of the database itself.
pub(super) fn catalogue(name: &[u8]) -> bool {
    let starts = [
        &b"information_schema"[..],
        b"pg_catalog",
        b"performance_schema",
        b"master..",
        b"master.dbo",
        b"sys.",
        b"@@",
        b"rdb$",
        b"v$",
        b"sysibm",
        b"domain.",
        b"msdb.",
    ];
    starts.iter().any(|it| name.starts_with(it))
        || name.strip_prefix(b"mysql.").is_some_and(is_table_of_mysql)
        || matches!(
            name,
            b"sysobjects"
                | b"syscolumns"
                | b"sysusers"
                | b"sysdatabases"
                | b"sqlite_master"
                | b"sqlite_schema"
                | b"all_tables"
                | b"all_users"
                | b"all_tab_columns"
                | b"user_tables"
                | b"dual"
                | b"pg_shadow"
                | b"pg_user"
                | b"pg_tables"
                | b"pg_database"
                | b"msysaccessobjects"
                | b"dba_users"
                | b"syscat.tables"
                | b"mysql"
        )
}
