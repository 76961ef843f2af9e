//! Profiles and tracepoint formats as texts.

#![allow(clippy::unwrap_used, reason = "a test")]

use policyc_target::tracepoint::{FieldError, Format, FormatError, FormatField};
use policyc_target::{Feature, HostFacts, HostProblem, Isa, Profile, ProfileError};
use proptest::prelude::*;

const EXEC: &str = "name: sched_process_exec
ID: 365
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;
\tfield:pid_t  old_pid;\toffset:16;\tsize:4;\tsigned:1;
\tfield:char comm[16];\toffset:20;\tsize:16;\tsigned:0;

print fmt: \"filename=%s\", __get_str(filename)
field:this is not one
";

#[test]
fn formats_are_read_in_the_kernels_order() {
    let format: Format = EXEC.parse().unwrap();
    assert_eq!(format.event, "sched_process_exec");
    let fields: Vec<_> =
        format.fields.iter().map(|f| (f.type_name.as_str(), f.name.as_str(), f.offset)).collect();
    let expected = [
        ("unsigned short", "common_type", 0),
        ("int", "common_pid", 4),
        ("__data_loc char[]", "filename", 8),
        ("pid_t", "old_pid", 16),
        ("char[16]", "comm", 20),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn fields_print_as_lines_that_read_back() {
    for field in EXEC.parse::<Format>().unwrap().fields {
        assert_eq!(field.to_string().parse(), Ok(field));
    }
}

#[test]
fn what_is_no_format_is_refused() {
    let field = |line: &str| line.parse::<FormatField>().unwrap_err();
    assert_eq!(field("field:int a; size:4; signed:1;"), FieldError::Missing("offset"));
    assert_eq!(field("field:int a; offset:x; size:4;"), FieldError::Number("offset"));
    assert_eq!(field("field:int; offset:0; size:4;"), FieldError::Declaration("int".into()));
    assert_eq!(field("field:int a; offset:4294967295; size:4;"), FieldError::TooFar);
    assert_eq!("".parse::<Format>(), Err(FormatError::NoName));
    assert_eq!("name: x\nformat:\n".parse::<Format>(), Err(FormatError::NoFields));
}

#[test]
fn profiles_read_back() {
    let facts = HostFacts {
        kernel: "6.18.0",
        architecture: "x86_64",
        features: [Feature::IsaV3, Feature::AttachTcx, Feature::IsaV2].into(),
        btf: None,
        tracepoints: vec![("sched", EXEC), ("sched", "junk")],
    };
    let (profile, problems) = Profile::from_host(&facts);
    assert!(matches!(problems[..], [HostProblem::NoBtf, HostProblem::Format { index: 1, .. }]));
    assert_eq!(profile.isa(), Isa::V3);
    assert!(profile.tracepoints.contains_key("sched/sched_process_exec"));
    let text = profile.print().unwrap();
    assert_eq!(Profile::parse(&text).unwrap(), profile);
    assert_eq!(Profile::parse(&text).unwrap().print().unwrap(), text);
    let json: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let json = serde_json::to_string(&json).unwrap();
    assert_eq!(Profile::parse(&json).unwrap(), profile);
}

#[test]
fn documents_that_are_no_profile_are_refused() {
    let head = "apiVersion: policyc.io/v1alpha1\nkind: Profile\nkernel: a\narchitecture: b\n";
    assert!(Profile::parse(head).is_ok());
    for more in ["colour: red", "features: [attach/warp]", "tracepoints: {a/b: [nonsense]}"] {
        let error = Profile::parse(&format!("{head}{more}\n")).unwrap_err();
        assert!(matches!(error, ProfileError::Shape(_)), "{more}: {error}");
    }
    let other = head.replace("Profile", "Inventory");
    assert!(matches!(Profile::parse(&other), Err(ProfileError::Kind { .. })));
}

#[test]
fn feature_names_are_unique_and_read_back() {
    for feature in Feature::ALL {
        assert_eq!(feature.name().parse(), Ok(*feature));
    }
    assert!("attach/warp".parse::<Feature>().is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(name: x\n)?(field:)?[a-z *\\[\\]_;:0-9é\n]{0,80}") {
        let _ = text.parse::<Format>();
        let _ = text.parse::<FormatField>();
        let _ = Profile::parse(&text);
    }
}
