//! What long work is doing, on a terminal.
//!
//! Nothing is written where standard error is no terminal, and nothing stays on
//! the screen when the work is done.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line on standard error that says what is being done, and for how long.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Says nothing yet.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// What is being done from now on.
    pub(super) fn say(&self, step: &str) {
        self.bar.reset_elapsed();
        self.bar.set_message(step.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(120));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
