//! A real Apache RocketMQ 5.3 name server, broker and Proxy, run from Maven artifacts: the peer that our server is mixed with
//! and the reference against which the tests themselves are validated.

mod broker;
mod nameserver;
mod proxy;

use anyhow::Result;

pub use broker::{Broker, BrokerOptions, Flush};
pub use nameserver::NameServer;
pub use proxy::{Proxy, ProxyOptions};

use crate::{java, workspace};

/// The class path of both servers.
fn class_path() -> Result<String> {
    let jars = java::class_path(&workspace::suites().join("java").join("server-5.3"))?;
    Ok(java::join(&[&java::logging(), &jars]))
}
