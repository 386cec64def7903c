//! Configuration: what was written, what it means.
//!
//! ```text
//! arguments --Flags::parse--> Flags.settings --+
//!                                              +--over--> Settings --from_settings--> Options
//! file --Document::read--> Document --read----+
//! ```

pub mod conf;
mod duration;
mod file;
mod flags;
mod meaning;
mod nearest;
mod options;
mod settings;

use conf::{Diagnostic, Document, Severity, Surroundings, in_order};
pub use flags::{FlagError, Flags, Show};
pub use meaning::Contradiction;
pub use options::{
    Authentication, JetStreamOptions, Limits, LogFormat, LogOptions, Monitoring, Options, Secret,
    SyncPolicy, Timers, UserPassword,
};
pub use settings::{JetStreamSettings, Port, Settings};

/// Options, and what their writer should be told.
#[derive(Debug)]
pub struct Loaded {
    /// What the broker runs with.
    pub options: Options,
    /// Warnings and notices.
    pub remarks: Vec<Diagnostic>,
}

/// The options that `flags` and the file they name mean; flags win over the file.
///
/// # Errors
/// Everything that stands in the way, errors first; never an empty list.
pub fn load(flags: &Flags, surroundings: &dyn Surroundings) -> Result<Loaded, Vec<Diagnostic>> {
    let mut settings = flags.settings.clone();
    let mut remarks = Vec::new();
    let mut document = None;
    if let Some(path) = &flags.config {
        let read = Document::read(path, surroundings)?;
        let reading = file::read(&read);
        remarks = in_order(reading.diagnostics);
        // Errors come first in that order.
        if remarks.first().is_some_and(|remark| remark.severity == Severity::Error) {
            return Err(remarks);
        }
        let mut below = reading.settings;
        if settings.token.is_some() {
            // A token on the command line replaces the single user of the file.
            (below.user, below.password) = (None, None);
        }
        settings = settings.over(below);
        document = Some((path, read));
    }
    match Options::from_settings(settings) {
        Ok(mut options) => {
            options.config_file = document.map(|(path, read)| (path.clone(), read.digest()));
            Ok(Loaded { options, remarks })
        }
        Err(Contradiction { option, text }) => {
            let place = document.as_ref().and_then(|(_, read)| {
                Some(read.diagnostic(file::place_of(read, option)?, Severity::Error, &text))
            });
            remarks.insert(0, place.unwrap_or_else(|| Diagnostic::new(Severity::Error, "", text)));
            Err(remarks)
        }
    }
}
