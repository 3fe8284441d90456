//! Percentages of gateway.yaml: `10%`, `0.5%`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A share from `0%` to `100%`, with at most four decimals: millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u32);

impl Percentage {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "percentage";

    /// All, in millionths.
    pub const WHOLE: u32 = 1_000_000;

    /// A fifth of all.
    pub(crate) const FIFTH: Self = Self(Self::WHOLE / 5);

    /// The share in millionths: 0 to [`Self::WHOLE`].
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl Default for Percentage {
    fn default() -> Self {
        Self(Self::WHOLE)
    }
}

impl FromStr for Percentage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a number from 0% to 100% with at most four decimals, such as 10% or 0.5%";
        let number = text.strip_suffix('%').ok_or(EXPECTED)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_plain = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_plain(whole, 3) || !is_plain(decimals, 4) {
            return Err(EXPECTED.to_owned());
        }
        let millionths = format!("{whole}{decimals:0<4}").parse().map_err(|_| EXPECTED)?;
        if millionths > Self::WHOLE { Err("more than 100%".to_owned()) } else { Ok(Self(millionths)) }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 10_000, format!("{:04}", self.0 % 10_000));
        match decimals.trim_end_matches('0') {
            "" => write!(formatter, "{whole}%"),
            decimals => write!(formatter, "{whole}.{decimals}%"),
        }
    }
}

impl JsonSchema for Percentage {
    fn schema_name() -> Cow<'static, str> {
        "Percentage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A share from 0% to 100%, with at most four decimals.",
            "type": "string",
            "format": Self::FORMAT,
            "pattern": "^[0-9]{1,3}([.][0-9]{1,4})?%$",
            "examples": ["10%", "0.5%", "100%"],
        })
    }
}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_and_written_in_the_same_words() {
        for (text, millionths) in
            [("0%", 0), ("10%", 100_000), ("0.5%", 5_000), ("0.0001%", 1), ("12.34%", 123_400), ("100%", 1_000_000)]
        {
            let read: Percentage = text.parse().unwrap();
            assert_eq!((read.millionths(), &*read.to_string()), (millionths, text));
        }
        assert_eq!("50.00%".parse::<Percentage>().unwrap().to_string(), "50%");
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "%", "10", "-1%", "101%", "100.01%", "1.%", ".5%", "0.00005%", "1e1%", "10 %", "+1%", "1000%"]
        {
            text.parse::<Percentage>().unwrap_err();
        }
    }
}
