//! Requests to the JetStream API, one at a time: streams and consumers are made, looked at and
//! removed with it. Not for what is measured.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::connection::Connection;
use super::frames::publish_frame;
use super::messages::Messages;

const INBOX: &str = "_INBOX.api";

/// A connection that asks.
#[derive(Debug)]
pub struct Api {
    messages: Messages,
    next: u64,
}

/// What a stream holds, as the server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Messages that are there.
    pub messages: u64,
    /// Sequence of the last message.
    pub last_sequence: u64,
    /// Different subjects of these messages.
    pub subjects: u64,
}

/// How far a consumer is, as the server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// Stream sequence of the last message that was delivered.
    pub delivered: u64,
    /// Stream sequence up to which everything is acknowledged.
    pub ack_floor: u64,
    /// Messages delivered and not acknowledged.
    pub ack_pending: u64,
    /// Messages not delivered yet.
    pub pending: u64,
}

impl Api {
    /// Connects.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let mut connection = Connection::open(address).context("cannot connect")?;
        connection.send(format!("SUB {INBOX}.* 1\r\n").as_bytes())?;
        connection.confirm()?;
        Ok(Self { messages: Messages::on(connection), next: 0 })
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_stream(&mut self, name: &str, config: &Value) -> Result<()> {
        let mut config = config.clone();
        config["name"] = name.into();
        self.ask(&format!("STREAM.CREATE.{name}"), &config).map(drop)
    }

    /// What a stream holds.
    ///
    /// # Errors
    /// When the server does not know it, or does not serve streams yet.
    pub fn stream_state(&mut self, name: &str) -> Result<StreamState> {
        let info = self.ask(&format!("STREAM.INFO.{name}"), &Value::Null)?;
        let state = &info["state"];
        Ok(StreamState {
            messages: number(state, "messages")?,
            last_sequence: number(state, "last_seq")?,
            // Absent for a stream without messages.
            subjects: state["num_subjects"].as_u64().unwrap_or(0),
        })
    }

    /// Makes a consumer, and says where it stands.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_consumer(
        &mut self,
        stream: &str,
        name: &str,
        config: &Value,
    ) -> Result<ConsumerState> {
        let mut config = config.clone();
        config["name"] = name.into();
        let mut subject = format!("CONSUMER.CREATE.{stream}.{name}");
        if let Some(filter) = config["filter_subject"].as_str() {
            subject = format!("{subject}.{filter}");
        }
        let request = json!({ "stream_name": stream, "config": config });
        consumer_state(&self.ask(&subject, &request)?)
    }

    /// How far a consumer is.
    ///
    /// # Errors
    /// When the server does not know it.
    pub fn consumer_state(&mut self, stream: &str, name: &str) -> Result<ConsumerState> {
        consumer_state(&self.ask(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null)?)
    }

    /// Removes a consumer.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn delete_consumer(&mut self, stream: &str, name: &str) -> Result<()> {
        self.ask(&format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).map(drop)
    }

    /// Sends a request and returns its answer, which is no error.
    fn ask(&mut self, what: &str, body: &Value) -> Result<Value> {
        self.next += 1;
        let reply = format!("{INBOX}.{}", self.next);
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        self.messages.send(&publish_frame(&format!("$JS.API.{what} {reply}"), &body))?;
        let mut answer = None;
        while answer.is_none() {
            self.messages
                .read(|message| {
                    // The answer to an earlier request that was given up.
                    if message.subject != reply.as_bytes() {
                        return Ok(());
                    }
                    answer = Some(if message.payload.is_empty() {
                        Err(anyhow!("nobody answers"))
                    } else {
                        serde_json::from_slice::<Value>(message.payload).context("no JSON")
                    });
                    Ok(())
                })
                .with_context(|| format!("{what} was not answered"))?;
        }
        let answer = answer.context("the loop ends with an answer")?.with_context(|| {
            format!("{what} was not answered: does the server have JetStream enabled?")
        })?;
        if let Some(error) = answer.get("error") {
            bail!("{what} was answered with {error}");
        }
        ensure!(answer.is_object(), "{what} was answered with {answer}");
        Ok(answer)
    }
}

fn consumer_state(info: &Value) -> Result<ConsumerState> {
    Ok(ConsumerState {
        delivered: number(&info["delivered"], "stream_seq")?,
        ack_floor: number(&info["ack_floor"], "stream_seq")?,
        ack_pending: number(info, "num_ack_pending")?,
        pending: number(info, "num_pending")?,
    })
}

fn number(object: &Value, name: &str) -> Result<u64> {
    object[name].as_u64().with_context(|| format!("no number {name:?} in {object}"))
}
