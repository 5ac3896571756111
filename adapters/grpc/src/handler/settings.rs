//! Settings: what a client says it is, and what it has to know of the server in return. Facts of a group come from the group
//! itself, so that nothing depends on a client having said its settings since the server started.

use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{
    Action, Actions, FilterError, GroupName, Hub, HubError, Resource, SqlFilter, Subscription,
    TopicName,
};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::retry_policy::Strategy;
use crossdock_proto_grpc::v2::settings::PubSub;
use crossdock_proto_grpc::v2::{
    Code, CustomizedBackoff, ExponentialBackoff, FilterType, Metric, RetryPolicy, Settings,
};

use super::presence::consume_kind;
use crate::adapter::Door;
use crate::auth;
use crate::call::Call;
use crate::error::Refusal;
use crate::names;
use crate::session::{Role, Session};
use crate::translate::time;

/// Most topics one client may declare.
const TOPICS_MAX: usize = 4096;
/// How often a producer tries.
const SEND_ATTEMPTS: i32 = 3;
const SEND_BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// What clients that read nothing but exponential policies wait between deliveries.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(7200));
const MULTIPLIER: f32 = 2.0;
/// The language of clients that ignore a policy which lists its delays.
const EXPONENTIAL_ONLY: &str = "HTTP";

/// Takes over what the client says and completes it.
pub(crate) async fn settle(
    door: &Arc<Door>,
    call: &Call,
    session: &Arc<Session>,
    mut settings: Settings,
) -> Result<Settings, Refusal> {
    match settings.pub_sub.as_mut() {
        Some(PubSub::Publishing(publishing)) => {
            let topics = published(call, publishing)?;
            let needs: Vec<(Actions, Resource<'_>)> = topics
                .iter()
                .map(|topic| (Action::Pub.into(), Resource::topic(topic.as_str())))
                .collect();
            auth::may(&door.hub, call, &needs)?;
            session.set_role(Role::Producer(topics));
            publishing.max_body_size =
                i32::try_from(door.config.body_bytes_max).unwrap_or(i32::MAX);
            publishing.validate_message_type = true;
            settings.backoff_policy = Some(exponential(SEND_ATTEMPTS, SEND_BACKOFF));
        }
        Some(PubSub::Subscription(subscription)) => {
            let group = names::group(&call.namespace, subscription.group.as_ref())?;
            let kind = consume_kind(settings.client_type.unwrap_or_default())?
                .ok_or_else(|| Refusal::bad("a producer does not subscribe"))?;
            let subscriptions = subscribed(door, call, &subscription.subscriptions)?;
            let mut needs: Vec<(Actions, Resource<'_>)> =
                vec![(Action::Sub.into(), Resource::group(group.as_str()))];
            needs.extend(
                subscriptions
                    .iter()
                    .map(|sub| (Action::Sub.into(), Resource::topic(sub.topic.as_str()))),
            );
            auth::may(&door.hub, call, &needs)?;
            let known = door.hub.group(group.as_str());
            subscription.fifo = Some(known.is_some_and(|group| group.config.is_ordered));
            subscription.receive_batch_size =
                Some(i32::try_from(door.config.receive_batch_max).unwrap_or(i32::MAX));
            subscription.long_polling_timeout = Some(time::duration(whole_seconds(
                door.config.held_poll_time_max,
            )));
            settings.backoff_policy = Some(retry_policy(door, call, &group));
            session.set_role(Role::Consumer {
                group,
                kind,
                subscriptions,
            });
        }
        None => {
            return Err(Refusal::bad(
                "the settings say neither publishing nor subscription",
            ));
        }
    }
    // Not taking it in is no reason not to answer: the next heartbeat tries again.
    if let Err(refusal) = session.beat(&door.hub).await {
        tracing::debug!(client = %call.client, refusal = %refusal.text, "a client was not entered");
    }
    settings.metric = Some(Metric {
        on: false,
        endpoints: None,
    });
    Ok(settings)
}

fn published(call: &Call, publishing: &v2::Publishing) -> Result<Vec<TopicName>, Refusal> {
    check_count(publishing.topics.len())?;
    let topics = publishing.topics.iter();
    topics
        .map(|topic| names::topic(&call.namespace, Some(topic)))
        .collect()
}

fn subscribed(
    door: &Door,
    call: &Call,
    entries: &[v2::SubscriptionEntry],
) -> Result<Vec<Subscription>, Refusal> {
    check_count(entries.len())?;
    // Newer settings win over those of other members.
    let version = door.hub.now_ms();
    let entries = entries.iter();
    entries
        .map(|entry| {
            let topic = names::topic(&call.namespace, entry.topic.as_ref())?;
            subscription(&door.hub, topic, entry.expression.as_ref(), version)
        })
        .collect()
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count > TOPICS_MAX {
        return Err(Refusal::bad(format!(
            "{count} topics are more than {TOPICS_MAX}"
        )));
    }
    Ok(())
}

/// Where filters are compiled.
pub(crate) trait Filters {
    fn compile(&self, text: &str) -> Result<Arc<SqlFilter>, FilterError>;
}

impl Filters for Hub {
    fn compile(&self, text: &str) -> Result<Arc<SqlFilter>, FilterError> {
        self.compile_filter(text)
    }
}

/// A filter expression as the hub takes it. Without one everything is wanted.
pub(crate) fn subscription(
    filters: &impl Filters,
    topic: TopicName,
    expression: Option<&v2::FilterExpression>,
    version: i64,
) -> Result<Subscription, Refusal> {
    let Some(expression) = expression else {
        return Ok(Subscription::parse(topic, "", version)?);
    };
    let text = expression.expression.as_str();
    let parsed = match FilterType::try_from(expression.r#type) {
        Ok(FilterType::Tag | FilterType::Unspecified) => Subscription::parse(topic, text, version),
        Ok(FilterType::Sql) => match filters.compile(text) {
            Ok(filter) => Ok(Subscription::sql(topic, filter, version)),
            Err(error) => {
                let text = error.to_string();
                return Err(Refusal::new(Code::IllegalFilterExpression, text));
            }
        },
        Err(_) => {
            let text = format!("{} is not a type of filter", expression.r#type);
            return Err(Refusal::new(Code::IllegalFilterExpression, text));
        }
    };
    parsed.map_err(|error: HubError| Refusal::new(Code::IllegalFilterExpression, error.to_string()))
}

fn exponential(max_attempts: i32, (initial, max): (Duration, Duration)) -> RetryPolicy {
    RetryPolicy {
        max_attempts,
        strategy: Some(Strategy::ExponentialBackoff(ExponentialBackoff {
            initial: Some(time::duration(initial)),
            max: Some(time::duration(max)),
            multiplier: MULTIPLIER,
        })),
    }
}

/// How the group retries: the first delivery counts as an attempt, too.
fn retry_policy(door: &Door, call: &Call, group: &GroupName) -> RetryPolicy {
    let config = door.hub.config();
    let known = door.hub.group(group.as_str());
    let retry_max = known.map_or(config.retry_max, |group| group.config.retry_max);
    let max_attempts = i32::try_from(retry_max.saturating_add(1)).unwrap_or(i32::MAX);
    if &*call.language == EXPONENTIAL_ONLY {
        return exponential(max_attempts, RETRY_BACKOFF);
    }
    let levels = &config.delay_levels;
    let delays = (1..=levels.last())
        .filter_map(|level| levels.delay_ms(i32::try_from(level).ok()?))
        .filter_map(|ms| u64::try_from(ms).ok());
    let next = delays
        .map(|ms| time::duration(whole_seconds(Duration::from_millis(ms))))
        .collect();
    RetryPolicy {
        max_attempts,
        strategy: Some(Strategy::CustomizedBackoff(CustomizedBackoff { next })),
    }
}

/// Some clients cut fractions of seconds off, and a zero would make them ask without a pause.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Filters for Plain {
        fn compile(&self, text: &str) -> Result<Arc<SqlFilter>, FilterError> {
            SqlFilter::compile(text).map(Arc::new)
        }
    }

    fn parse(kind: i32, text: &str) -> Result<Subscription, Refusal> {
        let expression = v2::FilterExpression {
            r#type: kind,
            expression: text.into(),
        };
        subscription(&Plain, "T".parse().unwrap(), Some(&expression), 1)
    }

    #[test]
    fn filters_of_unknown_types_are_refused() {
        assert!(parse(FilterType::Tag.into(), "a||b").is_ok());
        assert!(parse(0, "*").is_ok());
        assert!(parse(FilterType::Sql.into(), "a > 1").is_ok());
        let unknown = [(9, "*"), (-1, "*"), (FilterType::Tag.into(), "||")];
        for (kind, text) in unknown.into_iter().chain([(FilterType::Sql.into(), "a >")]) {
            let refused = parse(kind, text).unwrap_err();
            assert_eq!(refused.code, Code::IllegalFilterExpression);
        }
    }

    #[test]
    fn times_are_whole_seconds_and_never_zero() {
        assert_eq!(whole_seconds(Duration::from_millis(10)).as_secs(), 1);
        assert_eq!(
            whole_seconds(Duration::from_millis(2_900)),
            Duration::from_secs(2)
        );
    }
}
