//! The text that is scraped.
//!
//! Source: Prometheus' text-based exposition format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::families::{Family, Kind};

/// Names and values of labels, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A page that grows.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// A metric with its samples; nothing if there are none. Samples of equal labels
    /// are added, because a page must not have two of them.
    pub(super) fn family(
        &mut self,
        family: Family,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let mut sums = BTreeMap::<Labels, u64>::new();
        for (labels, value) in samples {
            let sum = sums.entry(labels).or_default();
            *sum = sum.wrapping_add(value);
        }
        if sums.is_empty() {
            return;
        }
        let Family { name, kind, help } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in sums {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
                .collect();
            let labels = match &labels[..] {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// A metric without labels.
    pub(super) fn number(&mut self, family: Family, value: u64) {
        self.family(family, [(Labels::new(), value)]);
    }

    /// The text.
    pub(super) fn end(self) -> String {
        self.0
    }
}

/// The value of a label between its quotes.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
