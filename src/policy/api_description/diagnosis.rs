//! Keywords by which the place of a misfit is found within a bound of steps.

use std::cell::Cell;
use std::sync::Arc;

use jsonschema::{Keyword, ValidationError, ValidationOptions, Validator};
use serde_json::{Map, Value};

/// Counts the steps of a search.
pub(super) const COUNT: &str = "x-wicketgate-count";
/// A combination of schemas, by its key among the whole schemas.
pub(super) const PART: &str = "x-wicketgate-part";
/// Schemas below one node: the validator looks for each of them in a value.
const GROUP: u32 = 64;
/// The most steps of one search; what is not found until then is told without its place.
const MOST_STEPS: u32 = 100_000;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Begins a search.
pub(super) fn begin() {
    LEFT.set(MOST_STEPS);
}

/// The group and the name of a key below `properties`.
pub(super) fn names(key: u32) -> (String, String) {
    ((key / GROUP).to_string(), key.to_string())
}

/// A value under its key.
pub(super) fn keyed(key: u32, value: Value) -> Value {
    let (group, member) = names(key);
    Value::Object(Map::from_iter([(group, Value::Object(Map::from_iter([(member, value)])))]))
}

/// Adds the keywords.
pub(super) fn with_keywords<'i>(options: ValidationOptions<'i>, whole: &Arc<Validator>) -> ValidationOptions<'i> {
    let whole = Arc::clone(whole);
    options.with_keyword(COUNT, |_, _, _| Ok(Box::new(StepCount))).with_keyword(PART, move |_, value, _| {
        let key = value["key"].as_u64().and_then(|key| u32::try_from(key).ok()).unwrap_or(u32::MAX);
        let keywords = value["keywords"].as_str().unwrap_or_default().to_owned();
        Ok(Box::new(CombinationPart { whole: Arc::clone(&whole), key, keywords }))
    })
}

struct StepCount;

impl<'i> Keyword<'i> for StepCount {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        match LEFT.get().checked_sub(1) {
            Some(left) => {
                LEFT.set(left);
                Ok(())
            }
            None => Err(ValidationError::custom("the search for the place has taken too long")),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        Keyword::validate(self, instance).is_ok()
    }
}

struct CombinationPart {
    whole: Arc<Validator>,
    key: u32,
    keywords: String,
}

impl<'i> Keyword<'i> for CombinationPart {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            return Ok(());
        }
        Err(ValidationError::custom(format!("does not meet {}", self.keywords)))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.whole.is_valid(&keyed(self.key, instance.clone()))
    }
}
