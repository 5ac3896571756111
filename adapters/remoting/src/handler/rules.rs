//! Rules of users, as access control lists of this protocol show them: one list per user, one entry per resource.

use std::sync::Arc;

use crossdock_hub::{Action, Actions, Decision, Pattern, Rule};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::auth::{AclEntry, AclInfo, AclPolicy};
use crossdock_proto_remoting::header::auth::{AclSubject, DeleteAcl, ListAcls};

use super::users::refused;
use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

const USER: &str = "User:";
/// The only kind of policy there is.
const CUSTOM: &str = "Custom";

fn user(subject: &str) -> Result<&str, Refusal> {
    let name = subject.strip_prefix(USER).unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::denied("the subject is not User:name"));
    }
    Ok(name)
}

fn entry(rule: &Rule) -> AclEntry {
    let actions = if rule.actions == Actions::ALL {
        vec!["All".to_owned()]
    } else {
        rule.actions.names().map(str::to_owned).collect()
    };
    let decision = match rule.decision {
        Decision::Allow => "Allow",
        Decision::Deny => "Deny",
    };
    AclEntry {
        actions,
        decision: decision.to_owned(),
        resource: rule.pattern.to_string(),
        source_ips: Vec::new(),
    }
}

fn acl(name: &str, rules: &[Rule]) -> AclInfo {
    AclInfo {
        policies: vec![AclPolicy {
            entries: rules.iter().map(entry).collect(),
            policy_type: Some(CUSTOM.to_owned()),
        }],
        subject: Some(format!("{USER}{name}")),
    }
}

fn rule(entry: &AclEntry) -> Result<Rule, Refusal> {
    if entry.source_ips.iter().any(|ip| !ip.trim().is_empty()) {
        return Err(Refusal::denied(
            "rules for source addresses are not supported",
        ));
    }
    let mut actions: Option<Actions> = None;
    for name in &entry.actions {
        let action = Actions::parse(name.trim()).map_err(refused)?;
        actions = Some(actions.map_or(action, |known| known | action));
    }
    Ok(Rule {
        pattern: Pattern::parse(entry.resource.trim()).map_err(refused)?,
        actions: actions.ok_or_else(|| Refusal::denied("the entry names no action"))?,
        decision: if entry.decision.eq_ignore_ascii_case("Allow") {
            Decision::Allow
        } else if entry.decision.eq_ignore_ascii_case("Deny") {
            Decision::Deny
        } else {
            return Err(Refusal::denied("the decision is neither Allow nor Deny"));
        },
    })
}

fn is_custom(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| kind.is_empty() || kind.eq_ignore_ascii_case(CUSTOM))
}

fn rules_of(body: &AclInfo) -> Result<Vec<Rule>, Refusal> {
    let mut rules = Vec::new();
    for policy in &body.policies {
        if !is_custom(policy.policy_type.as_deref()) {
            return Err(Refusal::denied("only custom policies are supported"));
        }
        for entry in &policy.entries {
            rules.push(rule(entry)?);
        }
    }
    if rules.is_empty() {
        return Err(Refusal::denied("the list of rules is empty"));
    }
    Ok(rules)
}

/// AUTH_CREATE_ACL and AUTH_UPDATE_ACL: an entry takes the place of those for the same resource.
pub(crate) fn put(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = AclSubject::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Create | Action::Update)?;
        let name = user(header.subject)?;
        let body: AclInfo = body::parse(&call.command.body)?;
        let new = rules_of(&body)?;
        let edit = move |rules: &mut Vec<Rule>| {
            rules.retain(|old| new.iter().all(|rule| rule.pattern != old.pattern));
            rules.extend(new);
        };
        door.hub.edit_rules(name, edit).await.map_err(refused)?;
        Ok(Reply::ok())
    })
}

/// AUTH_DELETE_ACL: the entries of one resource, or all.
pub(crate) fn delete(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = DeleteAcl::parse(&call.command.ext)?;
        auth::may_cluster(&door.hub, &call, Action::Delete)?;
        let name = user(header.subject)?;
        if !is_custom(header.policy_type) {
            return Err(Refusal::denied("only custom policies are supported"));
        }
        let resource = header.resource.filter(|resource| !resource.is_empty());
        let pattern = resource.map(Pattern::parse).transpose().map_err(refused)?;
        if door.hub.user(name).is_none() {
            // Deleting what is not there is what was asked for.
            return Ok(Reply::ok());
        }
        let edit = move |rules: &mut Vec<Rule>| match &pattern {
            Some(pattern) => rules.retain(|rule| rule.pattern != *pattern),
            None => rules.clear(),
        };
        door.hub.edit_rules(name, edit).await.map_err(refused)?;
        Ok(Reply::ok())
    })
}

/// AUTH_GET_ACL: nothing for a user without rules.
pub(crate) fn get(door: &Broker, call: &Call) -> Answer {
    let header = AclSubject::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let name = user(header.subject)?;
    match door.hub.rules(name).filter(|rules| !rules.is_empty()) {
        Some(rules) => Ok(Reply::ok().with_body(body::write(&acl(name, &rules))?)),
        None => Ok(Reply::ok()),
    }
}

/// AUTH_LIST_ACL.
pub(crate) fn list(door: &Broker, call: &Call) -> Answer {
    let header = ListAcls::parse(&call.command.ext)?;
    auth::may_cluster(&door.hub, call, Action::List)?;
    let (subject, resource) = (header.subject_filter, header.resource_filter);
    let mut found = Vec::new();
    for user in door.hub.users() {
        let Some(rules) = door.hub.rules(&user.name) else {
            continue;
        };
        let mut shown = acl(&user.name, &rules);
        let name = shown.subject.as_deref().unwrap_or_default();
        if !name.contains(subject.unwrap_or_default()) {
            continue;
        }
        for policy in &mut shown.policies {
            let wanted = resource.unwrap_or_default();
            policy
                .entries
                .retain(|entry| entry.resource.contains(wanted));
        }
        if shown
            .policies
            .iter()
            .any(|policy| !policy.entries.is_empty())
        {
            found.push(shown);
        }
    }
    Ok(Reply::ok().with_body(body::write(&found)?))
}
