//! Which brokers there are: of all clusters, and under one name.

use std::collections::BTreeMap;

use crossdock_hub::Action;
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::route::{
    BrokerMemberGroup, BrokerMemberGroupBody, ClusterInfo,
};
use crossdock_proto_remoting::header::namesrv::GetBrokerMemberGroup;

use super::NameServer;
use crate::auth;
use crate::dispatch::Call;
use crate::reply::{Answer, Reply};

/// GET_BROKER_CLUSTER_INFO.
pub(super) fn info(door: &NameServer, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let mut info = ClusterInfo::default();
    for broker in door
        .own_broker(call)
        .into_iter()
        .chain(door.table.brokers())
    {
        let names = info
            .cluster_addr_table
            .entry(broker.cluster.clone())
            .or_default();
        names.push(broker.broker_name.clone());
        info.broker_addr_table
            .insert(broker.broker_name.clone(), broker);
    }
    Ok(Reply::ok().with_body(body::write(&info)?))
}

/// GET_BROKER_MEMBER_GROUP.
pub(super) fn members(door: &NameServer, call: &Call) -> Answer {
    let header = GetBrokerMemberGroup::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let own = door.own_broker(call).filter(|broker| {
        broker.broker_name == header.broker_name && broker.cluster == header.cluster_name
    });
    let found = own.or_else(|| door.table.broker(header.cluster_name, header.broker_name));
    let body = BrokerMemberGroupBody {
        broker_member_group: BrokerMemberGroup {
            broker_addrs: found.map_or_else(BTreeMap::new, |broker| broker.broker_addrs),
            broker_name: header.broker_name.to_owned(),
            cluster: header.cluster_name.to_owned(),
        },
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}
