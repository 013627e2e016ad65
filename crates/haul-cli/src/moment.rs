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

/// A moment: an age (`7d`), a date (`2026-01-31`) or a time (`2026-01-31T12:00:00Z`, or with an
/// offset such as `+02:00`).
fn parse_moment(text: &str) -> Result<SystemTime, String> {
    let bad = || format!("{text:?} is neither an age (7d) nor a date (2026-01-31, RFC 3339)");
    if let Ok(age) = humantime::parse_duration(text) {
        return SystemTime::now().checked_sub(age).ok_or_else(bad);
    }
    if text.len() == "2026-01-31".len() {
        return humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).map_err(|_| bad());
    }
    if let Some((local, offset)) = offset_of(text) {
        // humantime reads UTC alone.
        let local = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| bad())?;
        let utc = match offset {
            Offset::East(ahead) => local.checked_sub(ahead),
            Offset::West(behind) => local.checked_add(behind),
        };
        return utc.ok_or_else(bad);
    }
    humantime::parse_rfc3339(text).map_err(|_| bad())
}

/// How far a clock is from UTC.
enum Offset {
    East(Duration),
    West(Duration),
}

/// A time with an offset from UTC, `+02:00` or `-0930`, taken apart.
fn offset_of(text: &str) -> Option<(&str, Offset)> {
    let day = "2026-01-31T".len();
    let at = day + text.get(day..)?.find(['+', '-'])?;
    let (local, offset) = text.split_at(at);
    if local.ends_with('Z') {
        return None; // it is UTC already
    }
    let digits: String = offset[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (u64, u64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let far = (hours < 24 && minutes < 60).then(|| Duration::from_mins(hours * 60 + minutes))?;
    Some((local, if offset.starts_with('+') { Offset::East(far) } else { Offset::West(far) }))
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
        for (text, utc) in [
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
            ("2026-01-31T22:30:00-09:30", "2026-02-01T08:00:00Z"),
            ("2026-01-31T12:00:00.5+0530", "2026-01-31T06:30:00Z"),
        ] {
            assert_eq!(rfc3339(parse_moment(text).unwrap()), utc, "{text}");
        }
        assert!(parse_moment("7d").unwrap() < SystemTime::now());
        // As everywhere in humantime, and as the help says.
        let age = |text| SystemTime::now().duration_since(parse_moment(text).unwrap()).unwrap();
        assert!(age("1m") < Duration::from_hours(1) && age("1M") > Duration::from_hours(24 * 28));
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00+25:00",
            "2026-01-31T12:00:00+2",
            "2026-01-31T12:00:00Z+02:00",
            "999999999999y",
        ] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }
}
