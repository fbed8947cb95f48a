//! What the values of our capability come to, once they are merged. This is the only place here
//! that knows what a value may say.

use serde_json::Value;

/// Why each of the values that can't be read is none, in their order.
pub(super) fn faults(values: &[Value]) -> Vec<String> {
    values
        .iter()
        .filter(|value| !value.is_object())
        .map(|value| format!("{value}: want an object such as {{\"endpoints\": [\"v1_models\"]}}"))
        .collect()
}
