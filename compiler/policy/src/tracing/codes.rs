//! The codes of tracing policy: P06xx.

use policyc_base::Code;

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*

        /// Every code with its title, in order.
        pub const ALL: &[(Code, &str)] = &[$(($name, $title)),*];
    };
}

codes! {
    UNSUPPORTED = "P0601", "this part of tracing policy is not supported yet";
    MISPLACED = "P0602", "a field stands at the wrong level";
    NAME_UNKNOWN = "P0603", "the operator, action or type is not known";
    HOOK_UNKNOWN = "P0604", "the target has no such tracepoint";
    INDEX = "P0605", "the index names no argument";
    INDEX_AMBIGUOUS = "P0606", "the index can be read in two ways";
    ARGUMENT_TYPE = "P0607", "the type does not fit the tracepoint's field";
    OPERATOR_TYPE = "P0608", "the operator does not fit the argument's type";
    VALUE = "P0609", "the value cannot be read";
    VALUE_RANGE = "P0610", "the value is out of the argument's range";
    VALUE_LENGTH = "P0611", "the value is longer than the text that is read";
    FILTER_CONSTANT = "P0612", "the filter does not depend on the event";
    ACTIONS_CONTRADICT = "P0613", "the actions contradict each other";
    SELECTOR_UNREACHABLE = "P0614", "the selector is never reached";
    TEXT_LIMIT = "P0615", "a message or tag has the wrong length";
    NO_HOOK = "P0616", "the policy has no hook";
}
