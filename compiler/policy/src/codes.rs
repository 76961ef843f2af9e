//! Every code of this crate, with its title. One table, so that the pages of
//! `docs/diagnostics/` can be held against it.
//!
//! P01xx YAML, P02xx kinds and fields, P03xx values of network policy, P04xx
//! inventory, P05xx what is accepted but probably not meant.

use policyc_base::Code;

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*

        /// Every code with its title, in order.
        pub const ALL: &[(Code, &str)] = &[$(($name, $title)),*];
    };
}

codes! {
    YAML_SYNTAX = "P0101", "the text is not YAML";
    YAML_TOO_LARGE = "P0102", "the file is too large";
    YAML_TOO_DEEP = "P0103", "the nesting is too deep";
    YAML_TOO_MANY_NODES = "P0104", "the document has too many values";
    YAML_DUPLICATE_KEY = "P0105", "a key is given twice";
    YAML_KEY = "P0106", "a key is not a string";
    YAML_MERGE = "P0107", "a merge key has nothing to merge";
    YAML_ALIAS = "P0108", "an alias is inside what it names";
    YAML_TAG = "P0109", "a tag has no meaning here";

    KIND_UNKNOWN = "P0201", "the kind is not known";
    KIND_UNSUPPORTED = "P0202", "the kind is not supported yet";
    KIND_MISPLACED = "P0203", "the kind belongs into another kind of file";
    API_VERSION = "P0204", "the API version does not go with the kind";
    FIELD_UNKNOWN = "P0205", "the field is not known";
    FIELD_MISSING = "P0206", "a field is missing";
    FIELD_TYPE = "P0207", "the value has the wrong type";
    FIELD_RANGE = "P0208", "the number is out of range";
}
