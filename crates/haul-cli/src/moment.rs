//! Times as people write them.
//!
//! Owns their parsing and printing. All of it is UTC: a listing reads the same on every machine.

use std::time::{Duration, SystemTime};

use haul::MAX_LINK;

/// A duration: `90` (seconds), `20s`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bare = text.parse().map(Duration::from_secs);
    bare.or_else(|_| humantime::parse_duration(text)).map_err(|e| e.to_string())
}

/// A time-out that can be meant.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&time) {
        Ok(time)
    } else {
        Err("from 1s to 24h".to_owned())
    }
}

/// How long a link lives.
pub(crate) fn parse_life(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if (Duration::from_secs(1)..=MAX_LINK).contains(&time) {
        Ok(time)
    } else {
        Err("from 1s to 7d, the longest that signed links live".to_owned())
    }
}

/// A moment: an age (`7d`), a date (`2026-01-31`) or a time (`2026-01-31T12:00:00Z`).
fn parse_moment(text: &str) -> Result<SystemTime, String> {
    let bad = || format!("{text:?} is neither an age (7d) nor a date (2026-01-31, RFC 3339)");
    if let Ok(age) = humantime::parse_duration(text) {
        return SystemTime::now().checked_sub(age).ok_or_else(bad);
    }
    let whole_day = text.len() == "2026-01-31".len();
    let time = if whole_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339(&time).map_err(|_| bad())
}

/// A moment, and how it was written: an age is another moment every time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) typed: String,
    pub(crate) at: SystemTime,
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self { typed: text.to_owned(), at: parse_moment(text)? })
    }
}

/// RFC 3339, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A time for people, to the second: `1h 2m 3s`.
pub(crate) fn whole_seconds(seconds: f64) -> impl std::fmt::Display {
    // `as` saturates: years are long enough.
    humantime::format_duration(Duration::from_secs(
        (seconds.ceil() as u64).min(u64::from(u32::MAX)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_and_lives() {
        assert_eq!(parse_timeout("30").unwrap(), Duration::from_secs(30));
        assert_eq!(parse_timeout("2m").unwrap(), Duration::from_mins(2));
        assert!(parse_timeout("0").is_err());
        assert_eq!(parse_life("7d").unwrap(), MAX_LINK);
        for bad in ["0", "8d", "604801", "soon"] {
            assert!(parse_life(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments() {
        let day = parse_moment("2026-01-31").unwrap();
        assert_eq!(rfc3339(day), "2026-01-31T00:00:00Z");
        assert_eq!(parse_moment("2026-01-31T00:00:00Z").unwrap(), day);
        assert!(parse_moment("7d").unwrap() < SystemTime::now());
        for bad in ["", "yesterday", "2026-13-01", "2026-01-31T25:00:00Z", "999999999999y"] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }
}
