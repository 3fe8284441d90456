//! Percentages of gateway.yaml: `10%`, `0.5%`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A share from `0%` to `100%`, with at most two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u16);

impl Percentage {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "percentage";

    /// All, in hundredths of a percent.
    pub const WHOLE: u16 = 10_000;

    /// A fifth of all.
    pub(crate) const FIFTH: Self = Self(Self::WHOLE / 5);

    /// The share in hundredths of a percent: 0 to [`Self::WHOLE`].
    pub const fn hundredths(self) -> u16 {
        self.0
    }
}

impl FromStr for Percentage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a number from 0% to 100% with at most two decimals, such as 10% or 0.5%";
        let number = text.strip_suffix('%').ok_or(EXPECTED)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_plain = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_plain(whole, 3) || !is_plain(decimals, 2) {
            return Err(EXPECTED.to_owned());
        }
        let hundredths = format!("{whole}{decimals:0<2}").parse().map_err(|_| EXPECTED)?;
        if hundredths > Self::WHOLE { Err("more than 100%".to_owned()) } else { Ok(Self(hundredths)) }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 100, self.0 % 100);
        match decimals {
            0 => write!(formatter, "{whole}%"),
            tenths if tenths % 10 == 0 => write!(formatter, "{whole}.{}%", tenths / 10),
            _ => write!(formatter, "{whole}.{decimals:02}%"),
        }
    }
}

impl JsonSchema for Percentage {
    fn schema_name() -> Cow<'static, str> {
        "Percentage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A share from 0% to 100%, with at most two decimals.",
            "type": "string",
            "format": Self::FORMAT,
            "pattern": "^[0-9]{1,3}([.][0-9]{1,2})?%$",
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
        for (text, hundredths) in
            [("0%", 0), ("10%", 1_000), ("0.5%", 50), ("0.05%", 5), ("12.34%", 1_234), ("100%", 10_000)]
        {
            let read: Percentage = text.parse().unwrap();
            assert_eq!((read.hundredths(), &*read.to_string()), (hundredths, text));
        }
        assert_eq!("50.00%".parse::<Percentage>().unwrap().to_string(), "50%");
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "%", "10", "-1%", "101%", "100.01%", "1.%", ".5%", "0.005%", "1e1%", "10 %", "+1%", "1000%"] {
            text.parse::<Percentage>().unwrap_err();
        }
    }
}
