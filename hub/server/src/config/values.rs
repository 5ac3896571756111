//! The types of settings: sizes and times with units, shares, secrets, endpoints and choices.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use toml::de::DeValue;

use super::setting::{Value, quote};

/// A number of bytes, written with a unit: `"64MiB"`. `"0"` is allowed where it means "no bound".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// For buffers in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        if self.0 == 0 {
            return f.write_str("0");
        }
        for (shift, unit) in UNITS {
            if self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl Value for Size {
    const EXPECTED: &'static str = "a size with a unit such as \"64MiB\"";

    fn parse(text: &str) -> Option<Self> {
        let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_bare && text != "0" {
            return None;
        }
        text.parse::<ByteSize>()
            .ok()
            .map(|size| Self(size.as_u64()))
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

/// A length of time, written with a unit: `"200ms"`, `"72h"`. `"0"` is allowed where it means
/// "off".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

impl Time {
    #[must_use]
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    #[must_use]
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    #[must_use]
    pub const fn hours(count: u64) -> Self {
        Self(Duration::from_secs(count * 3600))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0");
        }
        for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if millis.is_multiple_of(unit_ms) {
                return write!(f, "{}{unit}", millis / unit_ms);
            }
        }
        write!(f, "{millis}ms")
    }
}

impl Value for Time {
    const EXPECTED: &'static str = "a time with a unit such as \"200ms\", \"30s\" or \"72h\"";

    fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self(Duration::ZERO));
        }
        let time = humantime::parse_duration(text).ok()?;
        // Finer steps than a millisecond could not be shown and would not be kept.
        (time.subsec_nanos() % 1_000_000 == 0).then_some(Self(time))
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

/// A share of a whole, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u8);

impl Value for Percent {
    const EXPECTED: &'static str = "a share from \"1%\" to \"100%\"";

    fn parse(text: &str) -> Option<Self> {
        let number: u8 = text.strip_suffix('%')?.trim().parse().ok()?;
        (1..=100).contains(&number).then_some(Self(number))
    }

    fn show(&self) -> String {
        quote(&format!("{}%", self.0))
    }
}

/// A value that nobody gets to see.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    const DOTS: &'static str = "••••••";

    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::DOTS)
    }
}

impl Value for Secret {
    const EXPECTED: &'static str = "a text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        if self.0.is_empty() {
            quote("")
        } else {
            quote(Self::DOTS)
        }
    }
}

/// The delays a client can ask for by level number, level 1 first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayLevels(pub Vec<Duration>);

impl DelayLevels {
    /// Levels a configuration may name.
    pub const COUNT_MAX: usize = 64;
    const CUSTOMARY: [u64; 18] = [
        1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200,
    ];
}

impl Default for DelayLevels {
    fn default() -> Self {
        Self(
            Self::CUSTOMARY
                .into_iter()
                .map(Duration::from_secs)
                .collect(),
        )
    }
}

impl Value for DelayLevels {
    const EXPECTED: &'static str = "1 to 64 times in rising order such as \"1s 5s 10s\"";

    fn parse(text: &str) -> Option<Self> {
        let times = text.split_whitespace().map(Time::parse);
        let levels: Vec<Duration> = times.map(|time| Some(time?.0)).collect::<Option<_>>()?;
        let is_counted = (1..=Self::COUNT_MAX).contains(&levels.len());
        (is_counted && levels.is_sorted() && !levels.contains(&Duration::ZERO))
            .then_some(Self(levels))
    }

    fn show(&self) -> String {
        let levels: Vec<_> = self
            .0
            .iter()
            .map(|level| Time(*level).to_string())
            .collect();
        quote(&levels.join(" "))
    }
}

/// Where to reach another server: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Value for Endpoint {
    const EXPECTED: &'static str = "host:port";

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let is_v6 = host.starts_with('[') && host.ends_with(']');
        let is_plain = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        (is_v6 || is_plain).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

/// A closed set of words.
macro_rules! choice {
    ($(#[doc = $doc:literal])+ $name:ident, $expected:literal {
        $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $variant_doc])+ $variant,)+ }

        impl $name {
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Value for $name {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
            fn from_toml(value: &DeValue<'_>) -> Option<Self> {
                value.as_str().and_then(Self::parse)
            }
            fn show(&self) -> String {
                quote(self.word())
            }
        }
    };
}

choice! {
    /// What an acknowledgement promises.
    Durability, "\"durable\" or \"written\"" {
        /// The message survives a power loss.
        Durable = "durable",
        /// The message survives the end of the process, not of the machine.
        Written = "written",
    }
}

choice! {
    /// Which clients the listeners let in.
    TlsMode, "\"off\", \"permissive\" or \"require\"" {
        /// Plain clients only.
        Off = "off",
        /// Plain and TLS clients on the same port.
        Permissive = "permissive",
        /// TLS clients only.
        Require = "require",
    }
}

choice! {
    /// How log lines look.
    LogFormat, "\"text\" or \"json\"" {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_show_the_largest_that_divides() {
        assert_eq!(Size::parse("64MiB"), Some(Size::mib(64)));
        assert_eq!(Size::parse("1.5 GiB"), Some(Size::mib(1536)));
        assert_eq!(Size::parse("1GB"), Some(Size(1_000_000_000)));
        assert_eq!(Size::parse("0"), Some(Size(0)));
        assert_eq!(Size::parse("64"), None);
        assert_eq!(Size::parse("-1MiB"), None);
        assert_eq!(Size::parse(""), None);
        let shown = [Size::mib(1536), Size::gib(2), Size(1000), Size(0)].map(|s| s.to_string());
        assert_eq!(shown, ["1536MiB", "2GiB", "1000B", "0"]);
    }

    #[test]
    fn times_need_a_unit_and_show_the_largest_that_divides() {
        assert_eq!(Time::parse("72h"), Some(Time::hours(72)));
        assert_eq!(Time::parse("1m 30s"), Some(Time::secs(90)));
        assert_eq!(Time::parse("0"), Some(Time::secs(0)));
        assert_eq!(Time::parse("72"), None);
        assert_eq!(Time::parse("5us"), None);
        let times = [
            Time::hours(72),
            Time::secs(90),
            Time::secs(120),
            Time::millis(200),
        ];
        assert_eq!(times.map(|t| t.to_string()), ["72h", "90s", "2m", "200ms"]);
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "••••••");
        assert_eq!(Value::show(&secret), "\"••••••\"");
    }

    #[test]
    fn delay_levels_rise_and_round_trip() {
        let levels = DelayLevels::default();
        let text = Value::show(&levels);
        assert_eq!(
            text,
            "\"1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h\""
        );
        assert_eq!(DelayLevels::parse(text.trim_matches('"')), Some(levels));
        assert_eq!(DelayLevels::parse("5s 1s"), None);
        assert_eq!(DelayLevels::parse(""), None);
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        let endpoint = Endpoint::parse("mq.example.org:9876").map(|e| (e.host, e.port));
        assert_eq!(endpoint, Some(("mq.example.org".to_owned(), 9876)));
        assert!(Endpoint::parse("[::1]:9876").is_some());
        for bad in ["host", ":9876", "host:0", "host:x", "a b:1", "http://a:1"] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }
}
