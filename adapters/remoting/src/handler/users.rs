//! Users: creating, changing, removing, showing. Their passwords are never shown; a user of this protocol signs with its
//! password.

use std::sync::Arc;

use crossdock_hub::{Action, HubError, User, UserChange};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::auth::UserInfo;
use crossdock_proto_remoting::header::auth::{ListUsers, UserName};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

const SUPER: &str = "Super";
const NORMAL: &str = "Normal";
const ENABLED: &str = "enable";
const DISABLED: &str = "disable";

/// What tools expect where users and their rules break a rule.
pub(super) fn refused(error: HubError) -> Refusal {
    match error {
        HubError::Invalid(_)
        | HubError::NoUser(_)
        | HubError::UserExists(_)
        | HubError::Limit { .. } => Refusal::denied(error.to_string()),
        other => other.into(),
    }
}

fn info(user: &User) -> UserInfo {
    let status = if user.is_enabled { ENABLED } else { DISABLED };
    UserInfo {
        password: None,
        user_status: Some(status.to_owned()),
        user_type: Some(if user.is_admin { SUPER } else { NORMAL }.to_owned()),
        username: Some(user.name.to_string()),
    }
}

fn name<'a>(header: &UserName<'a>) -> Result<&'a str, Refusal> {
    let name = header.username.unwrap_or_default().trim();
    if name.is_empty() {
        return Err(Refusal::invalid("The username is blank"));
    }
    Ok(name)
}

fn one_of(what: &str, text: Option<&str>, yes: &str, no: &str) -> Result<Option<bool>, Refusal> {
    match text.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case(yes) => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case(no) => Ok(Some(false)),
        Some(_) => Err(Refusal::denied(format!(
            "the {what} is neither {yes} nor {no}"
        ))),
    }
}

fn wanted(body: &UserInfo) -> Result<UserChange, Refusal> {
    let password = body.password.clone().filter(|text| !text.is_empty());
    Ok(UserChange {
        // Protocols that sign use the same word as those that send it.
        secret: password.clone(),
        password,
        access_key: None,
        is_admin: one_of("user type", body.user_type.as_deref(), SUPER, NORMAL)?,
        is_enabled: one_of(
            "user status",
            body.user_status.as_deref(),
            ENABLED,
            DISABLED,
        )?,
    })
}

/// Administrators are the business of administrators.
fn may_touch_admins(door: &Broker, call: &Call) -> Result<(), Refusal> {
    let Some(name) = call.identity.name() else {
        return Ok(());
    };
    if door.hub.user(name).is_some_and(|user| user.is_admin) {
        return Ok(());
    }
    Err(Refusal::system(
        "The super user can only be changed by super user",
    ))
}

/// AUTH_CREATE_USER.
pub(crate) fn create(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = UserName::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Create)?;
        let name = name(&header)?;
        let body: UserInfo = body::parse(&call.command.body)?;
        let change = wanted(&body)?;
        if change.password.is_none() {
            return Err(Refusal::denied("password can not be blank"));
        }
        if change.is_admin == Some(true) {
            may_touch_admins(&door, &call)?;
        }
        door.hub.create_user(name, change).await.map_err(refused)?;
        Ok(Reply::ok())
    })
}

/// AUTH_UPDATE_USER: what the request does not say stays as it is.
pub(crate) fn update(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = UserName::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Update)?;
        let name = name(&header)?;
        let body: UserInfo = body::parse(&call.command.body)?;
        let change = wanted(&body)?;
        let is_admin = door.hub.user(name).is_some_and(|user| user.is_admin);
        if is_admin || change.is_admin == Some(true) {
            may_touch_admins(&door, &call)?;
        }
        door.hub.update_user(name, change).await.map_err(refused)?;
        Ok(Reply::ok())
    })
}

/// AUTH_DELETE_USER.
pub(crate) fn delete(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = UserName::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Delete)?;
        let name = name(&header)?;
        if door.hub.user(name).is_some_and(|user| user.is_admin) {
            may_touch_admins(&door, &call)?;
        }
        // Deleting who is not there is what was asked for.
        door.hub.delete_user(name).await.map_err(refused)?;
        Ok(Reply::ok())
    })
}

/// AUTH_GET_USER: nothing for one that does not exist.
pub(crate) fn get(door: &Broker, call: &Call) -> Answer {
    let header = UserName::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    match door.hub.user(name(&header)?) {
        Some(user) => Ok(Reply::ok().with_body(body::write(&info(&user))?)),
        None => Ok(Reply::ok()),
    }
}

/// AUTH_LIST_USER.
pub(crate) fn list(door: &Broker, call: &Call) -> Answer {
    let header = ListUsers::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::List)?;
    let part = header.filter.unwrap_or_default();
    let users = door.hub.users();
    let found: Vec<UserInfo> = users
        .iter()
        .filter(|user| user.name.contains(part))
        .map(info)
        .collect();
    Ok(Reply::ok().with_body(body::write(&found)?))
}
