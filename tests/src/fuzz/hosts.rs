//! Readers of what hosts say about themselves.

use std::sync::LazyLock;

use policyc_target::Profile;
use policyc_target::btf::{Btf, TypeId};
use policyc_target::tracepoint::{Format, FormatField};

use super::text;

static HOST: LazyLock<Profile> = LazyLock::new(|| {
    // INVARIANT: the file beside this one is a profile; every seed of `tracing` says so.
    Profile::parse(include_str!("host.yaml")).unwrap_or_default()
});

/// A fixed host.
pub(super) fn host() -> &'static Profile {
    &HOST
}

/// Profiles read back from their print.
pub fn profile(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(profile) = Profile::parse(text) else { return };
    let print = profile.print();
    let again = print.as_deref().map(Profile::parse);
    assert_eq!(again, Ok(Ok(profile)), "{print:?}");
}

/// Formats of tracepoints: each field reads back from its print.
pub fn tracepoint(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(format) = text.parse::<Format>() else { return };
    for field in format.fields {
        let print = field.to_string();
        assert_eq!(print.parse::<FormatField>().as_ref(), Ok(&field), "{print}");
    }
}

/// BTF: every question about every type has an answer.
pub fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for id in (0..=btf.len() as u32).map(TypeId) {
        btf.resolve(id);
        btf.size_of(id);
        btf.c_name(id);
        btf.parameters(id);
        for name in btf.field_names(id) {
            btf.field(id, name);
        }
        let name = btf.type_name(id);
        btf.find_struct(name);
        btf.find_typedef(name);
        btf.find_function(name);
        btf.did_you_mean_struct(name);
    }
}
