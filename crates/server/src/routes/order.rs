//! A job to create, as it comes in.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{NewJob, Priority};
use reclaimer_domain::name::{AccountId, Command, QueueName, UniqueKey};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::code;
use crate::extract::{Document, Objects, document, moment, parse, whole};
use crate::problem::Problem;

/// The limits of the domain, as bounds of fields.
const MOST_ATTEMPTS: i64 = NewJob::MOST_ATTEMPTS as i64;
const LONGEST_TIMEOUT: i64 = NewJob::LONGEST_TIMEOUT.cast_signed();

/// A job to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Order {
    /// What to do.
    #[schema(value_type = String)]
    command: Command,
    /// Which workers may take it.
    #[schema(value_type = Option<String>, default = "default")]
    queue: Option<QueueName>,
    /// What it is about.
    full_path: Option<String>,
    /// Whose credentials it needs.
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// Its arguments.
    #[serde(default, deserialize_with = "document")]
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// How soon it runs: -20 (soonest) to 19.
    #[schema(value_type = Option<i8>, minimum = -20, maximum = 19)]
    priority: Option<Priority>,
    /// Not handed out before this moment.
    #[serde(default, deserialize_with = "moment")]
    run_at: Option<DateTime<Utc>>,
    /// Failed attempts until it is quarantined.
    #[serde(default, deserialize_with = "whole::<_, _, 1, MOST_ATTEMPTS>")]
    #[schema(minimum = 1, maximum = 10_000, default = 5)]
    max_attempts: Option<u32>,
    /// A run longer than this is stuck.
    #[serde(default, deserialize_with = "whole::<_, _, 1, LONGEST_TIMEOUT>")]
    #[schema(minimum = 1, maximum = 31_536_000)]
    timeout_seconds: Option<u64>,
    /// At most one live job has this key.
    #[schema(value_type = Option<String>)]
    unique_key: Option<UniqueKey>,
    /// The job it comes from.
    #[schema(value_type = Option<String>)]
    spawned_from: Option<JobId>,
}

/// What a producer asks for.
#[derive(Debug)]
pub(super) enum Placed {
    /// One job.
    One(Box<NewJob>),
    /// Several.
    Many(Vec<NewJob>),
}

impl Placed {
    /// Reads a body. Nearly every one is as it should be; of one that is not, it is said which job and which field.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_slice(body);
        match Self::deserialize(&mut json) {
            Ok(ordered) if json.end().is_ok() => Ok(ordered),
            Ok(_) | Err(_) => match parse(body)? {
                Document(Value::Array(items)) => {
                    let orders = items.into_iter().enumerate().map(|(index, item)| order(item, Some(index)));
                    orders.collect::<Result<_, _>>().map(Self::Many)
                }
                Document(item) => order(item, None).map(|order| Self::One(Box::new(order))),
            },
        }
    }
}

/// Reads one job, or says what is wrong with it.
fn order(item: Value, index: Option<usize>) -> Result<NewJob, Problem> {
    serde_path_to_error::deserialize::<_, Order>(Objects(item)).map(NewJob::from).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("`{path}`: ") };
        let job = index.map(|index| format!("job {index}: ")).unwrap_or_default();
        Problem::bad_request(code::INVALID_REQUEST, format!("{job}{place}{}", error.inner()))
    })
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Placed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job or an array of jobs")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Placed, A::Error> {
        let order = Order::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(Placed::One(Box::new(order.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Placed, A::Error> {
        let mut orders = Vec::new();
        while let Some(Item(order)) = list.next_element()? {
            orders.push(order);
        }
        Ok(Placed::Many(orders))
    }
}

/// A job among several.
struct Item(NewJob);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Order::deserialize(Objects(deserializer)).map(|order| Self(order.into()))
    }
}

impl From<Order> for NewJob {
    fn from(order: Order) -> Self {
        let blank = Self::of(order.command);
        Self {
            queue: order.queue.unwrap_or_default(),
            full_path: order.full_path,
            account_id: order.account_id,
            spawned_from: order.spawned_from,
            payload: order.payload.unwrap_or_else(|| blank.payload.clone()),
            priority: order.priority.unwrap_or_default(),
            run_at: order.run_at,
            max_attempts: order.max_attempts.unwrap_or(blank.max_attempts),
            timeout: order.timeout_seconds.map(Duration::from_secs),
            unique_key: order.unique_key,
            ..blank
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_in_each_of_its_forms() {
        let one = |body: &str| matches!(Placed::read(body.as_bytes()), Ok(Placed::One(_)));
        assert!(one(r#"{"command":"X"}"#) && one(r#"{"command":"X","payload":null} "#));
        let many = Placed::read(br#"[{"command":"X"},{"command":"Y","payload":{"a":[1]}}]"#).unwrap();
        let Placed::Many(orders) = many else { panic!("{many:?}") };
        assert_eq!((orders.len(), &orders[1].payload["a"][0]), (2, &1.into()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (body, said) in [
            (r#"{"command":"X","payload":{"a":{"b":1,"b":2}}}"#, "`b` is there twice"),
            (r#"{"command":"X","command":"Y"}"#, "`command` is there twice"),
            (r#"[{"command":"X"},{"command":"Y","priority":true}]"#, "job 1: `priority`: "),
            (r#"[["X"]]"#, "job 0: "),
            (r#"{"command":"X"} 1"#, "not JSON"),
            (r#""X""#, "an object with"),
        ] {
            let problem = Placed::read(body.as_bytes()).unwrap_err();
            assert!(problem.detail.contains(said), "{body}: {}", problem.detail);
        }
    }
}
