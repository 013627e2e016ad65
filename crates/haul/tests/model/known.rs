//! What is known to be wrong, and left out until it is cured.
//!
//! Owns the one list of exceptions: findings by number, as forecasts name them. A cure removes its line.

use crate::forecast::Forecast;
use crate::steps::{Command, Verb};

const KNOWN: [(&str, &str); 7] = [
    ("A.1", "one place by two names (with A.2, F.3, F.4, F.5)"),
    ("A.6", "a source that is edited while it is moved (with F.2, F.12)"),
    ("F.13", "mv of a tree with an empty folder"),
    ("F.14", "dry runs that differ from real ones, and rm of something that is missing"),
    ("M.2", "sync of a folder that does not exist to itself"),
    ("M.3", "an object that is copied to below its own name"),
    ("M.1", "mv of a source that is the destination of another one"),
];

/// The finding that a command would run into, if any.
pub(crate) fn known(command: &Command, forecast: &Forecast) -> Option<&'static str> {
    let mut rests_on = forecast.rests_on.clone();
    let edit = command.trouble.as_ref().is_some_and(|t| t.edits(command, forecast).is_some());
    if edit && command.verb == Verb::Move {
        rests_on.insert("A.6");
    }
    KNOWN.iter().find(|(number, _)| rests_on.contains(number)).map(|(_, what)| *what)
}
