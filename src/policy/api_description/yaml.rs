//! YAML of OpenAPI documents, within bounds.

use serde_json::Value;

/// The most values of one document.
const MOST_NODES: usize = 2_000_000;
/// The deepest nesting, as of JSON.
const DEEPEST: usize = 128;
/// The most that aliases may repeat.
const MOST_REPEATED: usize = 200_000;

/// The value of a YAML document.
///
/// # Errors
/// It is not YAML, too large or too deep.
pub(super) fn value(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_nodes: MOST_NODES,
            max_events: 4 * MOST_NODES,
            max_documents: 2,
            max_recorded_anchor_events: MOST_REPEATED,
            max_total_scalar_bytes: 32 << 20,
            max_inclusion_depth: 0,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_REPEATED,
            max_replay_stack_depth: DEEPEST,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_as_names_are_texts() {
        let text = "responses:\n  200: {description: no}\n  \"404\": {x: 1.0, y: 12, z: '012'}\n";
        let expected = json!({"responses": {"200": {"description": "no"}, "404": {"x": 1.0, "y": 12, "z": "012"}}});
        assert_eq!(value(text).unwrap(), expected);
    }
}
