//! One connection to the database, with the statements that it has prepared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use tokio::task::AbortHandle;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, Row, RowStream, Statement};

use super::error::Fault;
use super::text;
use crate::store::StoreError;

/// How many statements a connection keeps prepared; there are some seventy, and those of lists by what is asked for. Beyond
/// it all are forgotten and prepared anew as they come.
const STATEMENTS_MAX: usize = 300;

/// What a statement is given.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection.
pub(super) struct Session {
    client: Client,
    statements: RefCell<HashMap<String, Statement>>,
    /// The task that moves the bytes; without it the connection ends at once, whatever is still on its way.
    driver: AbortHandle,
    server: Option<String>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    pub(super) fn new(client: Client, driver: AbortHandle) -> Self {
        Self { client, statements: RefCell::default(), driver, server: None }
    }

    /// Asks which server is at the other end; before the first transaction.
    ///
    /// The timeline is that of now, also right after a standby was promoted: what is in the control file is only that of
    /// the last checkpoint.
    pub(super) async fn meet(&mut self) -> Result<(), Fault> {
        let sql = "SELECT system_identifier::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) \
             FROM pg_control_system()";
        self.server = match self.row(sql, &[]).await {
            Ok(Some(row)) => Some(cell(&row, 0)?),
            Err(Fault::Lost(error)) => return Err(Fault::Lost(error)),
            // Some that are only like PostgreSQL do not say.
            Ok(None) | Err(_) => None,
        };
        Ok(())
    }

    /// Which server is at the other end: the number of its cluster and its timeline, which begins anew when a standby is
    /// promoted. Numbers of transactions mean something only together with it. `None` for one that does not say.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Whether the connection is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.borrow_mut();
        if STATEMENTS_MAX <= statements.len() {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a statement without values, or several.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Fault> {
        Ok(self.client.execute(&self.prepared(sql).await?, values).await?)
    }

    /// Runs a query; returns its rows.
    pub(super) async fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query(&self.prepared(sql).await?, values).await?)
    }

    /// Runs a query of at most one row.
    pub(super) async fn row(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.client.query_opt(&self.prepared(sql).await?, values).await?)
    }

    /// Runs a query of one value.
    pub(super) async fn value<T: FromSqlOwned>(&self, sql: &str, values: Values<'_>) -> Result<T, Fault> {
        let row = self.row(sql, values).await?.ok_or(StoreError::broken("answer"))?;
        cell(&row, 0)
    }

    /// Begins a query whose rows are read one by one.
    pub(super) async fn stream(&self, sql: &str, values: Values<'_>) -> Result<Rows, Fault> {
        let statement = self.prepared(sql).await?;
        let rows = self.client.query_raw(&statement, values.iter().copied()).await?;
        Ok(Rows(Box::pin(rows)))
    }
}

/// Rows that are read one by one; the connection waits meanwhile.
pub(super) struct Rows(Pin<Box<RowStream>>);

impl Rows {
    /// The next row.
    pub(super) async fn next(&mut self) -> Result<Option<Row>, Fault> {
        Ok(poll_fn(|context| self.0.as_mut().poll_next(context)).await.transpose()?)
    }
}

/// Reads a cell.
pub(super) fn cell<T: FromSqlOwned>(row: &Row, column: usize) -> Result<T, Fault> {
    row.try_get(column).map_err(|error| Fault::Store(StoreError::Corrupt { what: "row", source: Some(error.into()) }))
}

/// Reads a text.
pub(super) fn text_of(row: &Row, column: usize) -> Result<String, Fault> {
    Ok(text::told(cell(row, column)?))
}

/// Reads an unsigned number, which lies in a signed one bit by bit.
pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Fault> {
    Ok(cell::<i64>(row, column)?.cast_unsigned())
}

/// Reads an id.
pub(super) fn id_of(row: &Row, column: usize) -> Result<u128, Fault> {
    let bytes: Vec<u8> = cell(row, column)?;
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| StoreError::broken("id"))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Writes an id, the highest byte first, so that the order of the bytes is that of the numbers.
pub(super) fn key_of(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}
