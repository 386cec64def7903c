//! Configuration: what was written, what it means.

mod options;

pub use options::{
    Authentication, Limits, LogFormat, LogOptions, Monitoring, Options, Secret, Timers, UserPassword,
};
