//! What is known to be wrong, and left out until it is cured.
//!
//! Owns the one list of exceptions: findings by number, as forecasts name them. A cure removes its line.

use crate::forecast::Forecast;

const KNOWN: [(&str, &str); 6] = [
    ("A.1", "one place by two names (with A.2, F.3, F.4, F.5)"),
    ("F.13", "mv of a tree with an empty folder"),
    ("F.14", "dry runs that differ from real ones, and rm of something that is missing"),
    ("M.2", "sync of a folder that does not exist to itself"),
    ("M.3", "an object that is copied to below its own name"),
    ("M.1", "mv of a source that is the destination of another one"),
];

/// The finding that a command would run into, if any.
pub(crate) fn known(forecast: &Forecast) -> Option<&'static str> {
    KNOWN.iter().find(|(number, _)| forecast.rests_on.contains(number)).map(|(_, what)| *what)
}
