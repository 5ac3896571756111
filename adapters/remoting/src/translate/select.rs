//! Filters over stored messages: their property text is read in place, without a map and, unless it begins in one record
//! and ends in another, without a copy.

use crossdock_hub::{Flavour, Message, SqlFilter};
use crossdock_proto_remoting::record::properties::Properties;

use crossdock_hub::rmq4::tail::{Joined, Parts};

/// True if the message is one this protocol can show and its properties satisfy the filter.
pub(crate) fn wants(filter: &SqlFilter, message: &Message) -> bool {
    if message.record.flavour != Flavour::Rmq4 {
        return false;
    }
    let prefix = message.prefix.as_deref().unwrap_or_default();
    let tail = Joined(prefix, &message.record.tail);
    match Parts::of(tail).map(|parts| parts.properties(tail)) {
        None => false,
        Some((text, [])) | Some(([], text)) => matches(filter, text),
        Some((first, second)) => matches(filter, &[first, second].concat()),
    }
}

fn matches(filter: &SqlFilter, text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| filter.matches(Properties::new(text).iter()))
}
