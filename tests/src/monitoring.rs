//! A page of the monitoring listener, as an HTTP client sees it.

use std::time::Duration;

use serde_json::Value;

use crate::DEADLINE;

/// The answer to a GET request.
#[derive(Debug)]
pub struct Page {
    /// The HTTP status, for instance 200.
    pub status: u16,
    /// The Content-Type header, empty when there is none.
    pub content_type: String,
    /// The Access-Control-Allow-Origin header, empty when there is none.
    pub allow_origin: String,
    /// The body.
    pub body: String,
}

impl Page {
    /// Gets the page at `url`.
    ///
    /// # Panics
    ///
    /// When there is no answer within [`DEADLINE`].
    #[track_caller]
    pub fn get(url: &str) -> Self {
        match Self::try_get(url, DEADLINE) {
            Ok(page) => page,
            Err(error) => panic!("GET {url}: {error}"),
        }
    }

    /// Gets the page at `url`, or says why not.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or does not answer in time.
    pub fn try_get(url: &str, timeout: Duration) -> Result<Self, Box<ureq::Error>> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            // A status such as 400 is an answer to look at, not a failure of the question.
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            // Loopback is never reached through a proxy, whatever the environment says.
            .proxy(None)
            .build()
            .into();
        let mut response = agent.get(url).call()?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Self {
            status: response.status().as_u16(),
            content_type: header("content-type"),
            allow_origin: header("access-control-allow-origin"),
            body: response.body_mut().read_to_string()?,
        })
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When the status is not 200 or the body is no JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }
}
