//! Write permission of a broker, taken away before maintenance and given back after it. For the
//! hub itself this is a matter of what routes show.

use std::sync::atomic::Ordering;

use crossdock_hub::Action;
use crossdock_proto_remoting::header::namesrv::{
    AddWritePermResponse, WipeWritePermResponse, WritePerm,
};

use super::NameServer;
use crate::auth;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

impl NameServer {
    fn is_own(&self, broker: &str) -> bool {
        self.advertise.is_some() && self.hub.config().node == broker
    }

    /// Topics touched, as answers count them.
    fn change_write(&self, call: &Call, is_wiped: bool) -> Result<i32, Refusal> {
        let header = WritePerm::parse(&call.command.ext)?;
        auth::may_cluster(&self.hub, call, Action::Update)?;
        let touched = if self.is_own(header.broker_name) {
            self.is_own_write_wiped.store(is_wiped, Ordering::Release);
            self.hub.topic_count()
        } else if is_wiped {
            self.table.wipe_write(header.broker_name)
        } else {
            self.table.add_write(header.broker_name)
        };
        Ok(i32::try_from(touched).unwrap_or(i32::MAX))
    }
}

/// WIPE_WRITE_PERM_OF_BROKER.
pub(super) fn wipe(door: &NameServer, call: &Call) -> Answer {
    let wipe_topic_count = door.change_write(call, true)?;
    Ok(Reply::ok().with_header(&WipeWritePermResponse { wipe_topic_count }))
}

/// ADD_WRITE_PERM_OF_BROKER.
pub(super) fn add(door: &NameServer, call: &Call) -> Answer {
    let add_topic_count = door.change_write(call, false)?;
    Ok(Reply::ok().with_header(&AddWritePermResponse { add_topic_count }))
}
