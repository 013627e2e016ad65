//! What is known to be wrong, and left out until it is cured.
//!
//! Owns the one list of exceptions: findings by number, as forecasts name them. A cure removes its line.

use crate::forecast::Forecast;

const KNOWN: [(&str, &str); 1] =
    [("M.5", "a dry run to a folder that cannot be one, because a file is there")];

/// The finding that a command would run into, if any.
pub(crate) fn known(forecast: &Forecast) -> Option<&'static str> {
    KNOWN.iter().find(|(number, _)| forecast.rests_on.contains(number)).map(|(_, what)| *what)
}
