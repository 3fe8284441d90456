//! Scalars of gateway.yaml: `10s`, `64KiB`, `100/s`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Ten years: longer than any of these can mean anything, and far from overflowing a clock.
const LONGEST: StdDuration = StdDuration::from_secs(3_650 * 86_400);
/// 1 TiB.
const LARGEST: u64 = 1 << 40;

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
const RATE_UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

/// A length of time, written as `500ms`, `10s`, `5m`, `8h` or `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(StdDuration);

impl Duration {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "time-span";

    /// This many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(StdDuration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(StdDuration::from_millis(millis))
    }

    /// The length of time.
    pub const fn get(self) -> StdDuration {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }

    /// Returns whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a whole number with ms, s, m, h or d, such as 500ms, 10s or 8h";
        let (number, unit) = split_amount(text).ok_or(EXPECTED)?;
        let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        number
            .checked_mul(*factor)
            .map(StdDuration::from_millis)
            .filter(|duration| *duration <= LONGEST)
            .map(Self)
            .ok_or_else(|| "longer than ten years".to_owned())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, factor) = DURATION_UNITS
            .iter()
            .rev()
            .find(|(_, factor)| milliseconds != 0 && milliseconds.is_multiple_of(*factor))
            .unwrap_or(&("s", 1_000));
        write!(formatter, "{}{unit}", milliseconds / factor)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time: a whole number and ms, s, m, h or d.",
            "type": "string",
            "format": Self::FORMAT,
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["500ms", "10s", "5m", "8h"],
        })
    }
}

/// A number of bytes, written as `512B`, `64KiB`, `1MiB`, `1GiB` or a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(usize);

impl Size {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "byte-size";

    /// This many units of 1,024 bytes.
    pub const fn kib(kib: usize) -> Self {
        Self(kib << 10)
    }

    /// This many units of 1,048,576 bytes.
    pub const fn mib(mib: usize) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }

    fn from_bytes(bytes: u64) -> Result<Self, String> {
        Some(bytes)
            .filter(|bytes| *bytes <= LARGEST)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| "larger than 1 TiB".to_owned())
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a whole number with B, KiB, MiB or GiB, such as 64KiB or 1MiB";
        let (number, unit) = split_amount(text).ok_or(EXPECTED)?;
        let factor = match unit {
            "" => 1,
            unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?.1,
        };
        Self::from_bytes(number.saturating_mul(factor))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        let (unit, factor) = [SIZE_UNITS[2], SIZE_UNITS[1], SIZE_UNITS[0]]
            .into_iter()
            .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(formatter, "{}{unit}", bytes / factor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: a whole number and B, KiB, MiB or GiB; without a unit, bytes.",
            "type": ["string", "integer"],
            "format": Self::FORMAT,
            "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$",
            "minimum": 0,
            "examples": ["64KiB", "1MiB"],
        })
    }
}

/// Rate limit, written as `100/s`, `30/m` or `1000/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    period: StdDuration,
}

impl Rate {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "rate";

    /// This often in each second.
    pub const fn per_second(count: u32) -> Self {
        Self { count, period: StdDuration::from_secs(1) }
    }

    /// This often in each minute.
    pub const fn per_minute(count: u32) -> Self {
        Self { count, period: StdDuration::from_secs(60) }
    }

    /// Count in each period; at least one.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The period: a second, a minute or an hour.
    pub const fn period(self) -> StdDuration {
        self.period
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a whole number per s, m or h, such as 100/s or 30/m";
        let (count, unit) = text.split_once('/').ok_or(EXPECTED)?;
        let (count, "") = split_amount(count).ok_or(EXPECTED)? else {
            return Err(EXPECTED.to_owned());
        };
        let (_, seconds) = RATE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        match u32::try_from(count) {
            Ok(0) => Err("a rate of zero lets nothing through".to_owned()),
            Ok(count) => Ok(Self { count, period: StdDuration::from_secs(*seconds) }),
            Err(_) => Err("more than 4294967295".to_owned()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs();
        let (unit, _) = RATE_UNITS.iter().find(|(_, unit)| *unit == seconds).unwrap_or(&RATE_UNITS[0]);
        write!(formatter, "{}/{unit}", self.count)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How often: a whole number per s, m or h.",
            "type": "string",
            "format": Self::FORMAT,
            "pattern": "^[0-9]+/(s|m|h)$",
            "examples": ["100/s", "30/m", "1000/h"],
        })
    }
}

/// Stands for `ipnet::IpNet` in the schema.
pub(crate) struct Network;

impl Network {
    pub(crate) const FORMAT: &str = "network";

    /// The network that is written here. IPv4-mapped ones (RFC 4291 section 2.5.5.2) are IPv4, as addresses of callers are.
    ///
    /// # Errors
    /// What to write instead.
    pub(crate) fn parse(text: &str) -> Result<IpNet, String> {
        let network: IpNet = text.parse().map_err(|_| match text.parse::<IpAddr>() {
            Ok(address) => format!("write {}", IpNet::from(address.to_canonical())),
            Err(_) => "expected one such as 203.0.113.0/24".to_owned(),
        })?;
        let network = without_mapping(network)?;
        if network != network.trunc() {
            let alone = IpNet::from(network.addr());
            return Err(format!(
                "bits behind the prefix are set: write {}, or {alone} for that address",
                network.trunc()
            ));
        }
        Ok(network)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A network: an address and a prefix length.",
            "type": "string",
            "format": Self::FORMAT,
            "examples": ["203.0.113.0/24", "2001:db8::/32"],
        })
    }
}

/// An IPv4-mapped network as IPv4. All of IPv6 is left alone: it is not meant for IPv4.
fn without_mapping(network: IpNet) -> Result<IpNet, String> {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else { return Ok(network) };
    if v6.prefix_len() >= MAPPED
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Ok(v4) = Ipv4Net::new(address, v6.prefix_len() - MAPPED)
    {
        return Ok(IpNet::V4(v4));
    }
    let mapped = Ipv6Net::new(std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), MAPPED);
    if v6.prefix_len() > 0 && mapped.is_ok_and(|mapped| v6.contains(&mapped)) {
        let help =
            "IPv4 is not matched by it: write IPv4 networks such as 0.0.0.0/0, and IPv6 ones without ::ffff:0:0/96";
        return Err(help.to_owned());
    }
    Ok(network)
}

/// Stands for `std::net::SocketAddr` in the schema.
pub(crate) struct SocketAddress;

impl SocketAddress {
    pub(crate) const FORMAT: &str = "socket-address";
}

impl JsonSchema for SocketAddress {
    fn schema_name() -> Cow<'static, str> {
        "SocketAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IP address and a port.",
            "type": "string",
            "format": Self::FORMAT,
            "examples": ["0.0.0.0:8443", "[::]:8443"],
        })
    }
}

/// Splits `10s` into 10 and `s`. `None` where no plain number stands at the start.
fn split_amount(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

macro_rules! serde_as_text {
    ($($scalar:ty),*) => {$(
        impl Serialize for $scalar {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

serde_as_text!(Duration, Size, Rate);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Self::from_bytes(bytes),
            Written::Text(text) => text.parse(),
        }
        .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn amounts_are_read_and_written_in_the_same_words() {
        for text in ["500ms", "10s", "90s", "5m", "8h", "30d", "0s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        for text in ["512B", "64KiB", "1MiB", "3GiB", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["100/s", "30/m", "1000/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn amounts_have_the_value_that_they_say() {
        assert_eq!("8h".parse(), Ok(Duration::seconds(8 * 3600)));
        assert_eq!("1500ms".parse::<Duration>().unwrap().as_secs(), 1);
        assert_eq!("64KiB".parse(), Ok(Size::kib(64)));
        assert_eq!(serde_json::from_str::<Size>("4096").unwrap().bytes(), 4096);
        assert_eq!(serde_json::from_str::<Size>("\"1MiB\"").unwrap(), Size::mib(1));
        assert_eq!("30/m".parse(), Ok(Rate::per_minute(30)));
        assert_eq!(Rate::per_second(7).count(), 7);
        assert_eq!("9/h".parse::<Rate>().unwrap().period(), StdDuration::from_secs(3600));
    }

    #[test]
    fn what_is_no_amount_is_refused_with_an_example() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "10S", "1w", "99999999999999999999s", "99999999d"] {
            text.parse::<Duration>().unwrap_err();
        }
        for text in ["", "KiB", "1kb", "1KB", "-1", "1.5MiB", "99999999999GiB"] {
            text.parse::<Size>().unwrap_err();
        }
        for text in ["", "100", "/s", "0/s", "1/d", "1/", "-1/s", "5000000000/s", "10x/s"] {
            text.parse::<Rate>().unwrap_err();
        }
        let problem = serde_json::from_str::<Duration>("\"soon\"").unwrap_err().to_string();
        assert!(problem.contains("such as 500ms"), "{problem}");
    }
}
