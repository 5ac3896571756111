//! The name server's configuration as properties text: what is really in force. It is that of the process, and cannot be
//! changed over the wire.

use crossdock_hub::Action;

use super::{NameServer, SCAN};
use crate::auth;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::properties;
use crate::reply::{Answer, Reply};

impl NameServer {
    fn entries(&self, call: &Call) -> [(&'static str, String); 8] {
        let yes = || "true".to_owned();
        let no = || "false".to_owned();
        [
            ("listenPort", call.peer.local.port().to_string()),
            ("enableTopicList", yes()),
            ("enableAllTopicList", yes()),
            ("returnOrderTopicConfigToBroker", yes()),
            ("orderMessageEnable", no()),
            ("deleteTopicWithBrokerRegistration", no()),
            ("supportActingMaster", no()),
            ("scanNotActiveBrokerInterval", SCAN.as_millis().to_string()),
        ]
    }
}

/// GET_NAMESRV_CONFIG.
pub(super) fn get(door: &NameServer, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let text = properties::write(door.entries(call));
    Ok(Reply::ok().with_body(text.into_bytes()))
}

/// UPDATE_NAMESRV_CONFIG: what already is as asked for is fine, everything else is refused.
pub(super) fn update(door: &NameServer, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Update)?;
    let known = door.entries(call);
    for (key, value) in properties::read(&call.command.body)? {
        match known.iter().find(|(name, _)| *name == key) {
            Some((_, now)) if *now == value => {}
            Some(_) => {
                return Err(Refusal::denied(format!(
                    "{key} cannot be changed at run time"
                )));
            }
            None => {
                return Err(Refusal::denied(format!(
                    "{key} is not a setting of this name server"
                )));
            }
        }
    }
    Ok(Reply::ok())
}
