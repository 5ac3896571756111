//! The start-up banner on standard output. It says what is listening, what an acknowledgement
//! promises, and ends with the line that begins with `ready`, which scripts wait for.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A row of the table of listeners.
#[derive(Debug, Clone)]
pub struct Row {
    pub protocol: &'static str,
    pub address: SocketAddr,
    /// What an acknowledgement promises, or what the listener is for.
    pub promise: &'static str,
    /// Something to try.
    pub hint: String,
}

/// All that is printed.
#[derive(Debug, Clone)]
pub struct Banner {
    pub node: String,
    pub cluster: String,
    pub data: PathBuf,
    pub config: Option<PathBuf>,
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
    pub elapsed: Duration,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, cluster, .. } = self;
        writeln!(
            f,
            "crossdock {}  node {node}  cluster {cluster}",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(f, "data    {}", self.data.display())?;
        match &self.config {
            Some(path) => writeln!(f, "config  {}", path.display())?,
            None => writeln!(f, "config  none, defaults are in force")?,
        }
        if !self.rows.is_empty() {
            let address = |row: &Row| row.address.to_string();
            let widest = |cell: &dyn Fn(&Row) -> usize, head: &str| {
                self.rows
                    .iter()
                    .map(cell)
                    .max()
                    .unwrap_or(0)
                    .max(head.len())
            };
            let protocol_width = widest(&|row| row.protocol.len(), "protocol");
            let address_width = widest(&|row| address(row).len(), "address");
            let promise_width = widest(&|row| row.promise.len(), "ack");
            writeln!(f)?;
            let mut line = |protocol: &str, address: &str, promise: &str, hint: &str| {
                let line = format!(
                    "  {protocol:protocol_width$}  {address:address_width$}  \
                     {promise:promise_width$}  {hint}"
                );
                writeln!(f, "{}", line.trim_end())
            };
            line("protocol", "address", "ack", "try")?;
            for row in &self.rows {
                line(row.protocol, &address(row), row.promise, &row.hint)?;
            }
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(f, "\nready in {:.3} s", self.elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_ready() {
        let banner = Banner {
            node: "n1".to_owned(),
            cluster: "c1".to_owned(),
            data: "/data".into(),
            config: None,
            rows: vec![Row {
                protocol: "remoting",
                address: ([127, 0, 0, 1], 10911).into(),
                promise: "durable",
                hint: "mqadmin".to_owned(),
            }],
            notes: vec!["first".to_owned()],
            elapsed: Duration::from_micros(12_345),
        };
        let text = banner.to_string();
        assert_eq!(text.lines().last(), Some("ready in 0.012 s"));
        assert!(
            text.contains("  remoting  127.0.0.1:10911  durable  mqadmin\n"),
            "{text}"
        );
        assert!(text.contains("note: first\n"));
    }
}
