//! `/healthz`: whether the broker takes connections. There are no streams yet whose health could
//! be asked for; the parameters that ask for it are checked all the same.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::answer::Answer;
use super::query::{Query, Refusal};
use crate::Shared;

/// What nats-server says when its listener is closed.
const NOT_READY: &str = "failed to be ready for connections after 1ms: server";

/// The page, in the order of nats-server's fields.
#[derive(Serialize)]
struct Healthz<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[HealthError<'a>; 1]>,
}

#[derive(Serialize)]
struct HealthError<'a> {
    r#type: &'static str,
    error: &'a str,
}

/// Something that is wrong.
struct Fault {
    status: u16,
    kind: &'static str,
    text: &'static str,
}

/// Answers a request with these parameters.
///
/// # Errors
///
/// The first one that is wrong.
pub(super) fn answer(shared: &Shared, query: &Query) -> Result<Answer, Refusal> {
    if query.boolean("js-enabled")? {
        tracing::warn!("Healthcheck: js-enabled deprecated, use js-enabled-only instead");
    }
    for name in ["js-enabled-only", "js-server-only", "js-meta-only"] {
        query.boolean(name)?;
    }
    let with_details = query.boolean("details")?;
    let Some(fault) = fault(shared, query) else {
        return Ok(Answer::compact_json(200, &Healthz { status: "ok", error: None, errors: None }));
    };
    tracing::warn!("Healthcheck failed: {:?}", fault.text);
    let error = HealthError { r#type: fault.kind, error: fault.text };
    let page = Healthz {
        status: "error",
        error: (!with_details).then_some(fault.text),
        errors: with_details.then_some([error]),
    };
    Ok(Answer::compact_json(fault.status, &page))
}

/// Whether the broker takes connections.
pub(super) fn is_ready(shared: &Shared) -> bool {
    !shared.lame_duck.load(Ordering::Relaxed)
}

fn fault(shared: &Shared, query: &Query) -> Option<Fault> {
    let is_given = |name| !query.text(name).is_empty();
    let bad_request = |text| Some(Fault { status: 400, kind: "BAD_REQUEST", text });
    if is_given("stream") && !is_given("account") {
        return bad_request(r#""account" must not be empty when checking stream health"#);
    }
    if is_given("consumer") && !is_given("stream") {
        return bad_request(r#""stream" must not be empty when checking consumer health"#);
    }
    (!is_ready(shared)).then_some(Fault { status: 500, kind: "CONNECTION", text: NOT_READY })
}
