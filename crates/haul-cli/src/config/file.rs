//! The configuration file as it is written.
//!
//! Owns reading `haul.toml` into sections of checked values, each with the line it is on. Must never
//! accept a secret, and must never pass over a key that it does not know: a misspelt setting that is
//! silently ignored costs more than an error.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{Form, SECRETS, SETTINGS, Setting};

/// What is wrong, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// A value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// As the flag takes it; several for a list.
    pub(crate) values: Vec<String>,
    /// The section it is in.
    pub(crate) section: String,
    /// The line it is on, from 1.
    pub(crate) line: usize,
}

/// Values by the flag that they stand for.
pub(crate) type Section = BTreeMap<&'static str, Given>;

/// The sections of a file.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    /// All but the profiles.
    pub(crate) top: Section,
    /// `[profiles.NAME]`
    pub(crate) profiles: BTreeMap<String, Section>,
}

/// Understands a file.
pub(crate) fn parse(text: &str) -> Result<Sections, Wrong> {
    let reader = Reader { text };
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        Wrong { line: reader.line(at), what: first_line(e.message()) }
    })?;
    let mut sections = Sections::default();
    for (name, value) in table.get_ref() {
        let Some(inner) = value.get_ref().as_table() else {
            return Err(reader.stray(name));
        };
        match name.get_ref().as_ref() {
            "profiles" => {
                for (profile, value) in inner {
                    let title = format!("profiles.{}", profile.get_ref());
                    let Some(inner) = value.get_ref().as_table() else {
                        return Err(reader.wrong(profile, format!("write it [{title}]")));
                    };
                    let section = reader.section("s3", &title, inner)?;
                    sections.profiles.insert(profile.get_ref().to_string(), section);
                }
            }
            known if SETTINGS.iter().any(|s| s.section == known) => {
                for (arg, given) in reader.section(known, known, inner)? {
                    if let Some(other) = sections.top.insert(arg, given.clone()) {
                        let (line, what) = (given.line.max(other.line), "says the same as line");
                        let what = format!("it {what} {}: keep one", given.line.min(other.line));
                        return Err(Wrong { line, what });
                    }
                }
            }
            unknown => {
                let known = SETTINGS.iter().map(|s| s.section).chain(["profiles"]);
                let what = format!("no section is called [{unknown}]{}", meant(unknown, known));
                return Err(reader.wrong(name, what));
            }
        }
    }
    Ok(sections)
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn wrong<T>(&self, at: &Spanned<T>, what: impl Into<String>) -> Wrong {
        Wrong { line: self.line(at.span().start), what: what.into() }
    }

    /// A key outside of all sections.
    fn stray(&self, name: &Spanned<std::borrow::Cow<'_, str>>) -> Wrong {
        let key = name.get_ref().as_ref();
        if SECRETS.contains(&key) {
            return self.wrong(name, no_secrets(key));
        }
        let section = SETTINGS.iter().find(|s| s.key == key).map(|s| s.section);
        let hint = section.map_or_else(String::new, |s| format!(" (it belongs into [{s}])"));
        self.wrong(name, format!("{key:?} is in no section{hint}"))
    }

    fn section(&self, known: &str, title: &str, table: &DeTable<'_>) -> Result<Section, Wrong> {
        let mut section = Section::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let of_section = || SETTINGS.iter().filter(|s| s.section == known);
            let Some(setting) = of_section().find(|s| s.key == name) else {
                let what = if SECRETS.contains(&name) {
                    no_secrets(name)
                } else {
                    let meant = meant(name, of_section().map(|s| s.key));
                    format!("no setting of [{title}] is called {name:?}{meant}")
                };
                return Err(self.wrong(key, what));
            };
            let values = values(setting, value.get_ref())
                .and_then(|values| {
                    values.iter().try_for_each(|v| (setting.check)(v)).map(|()| values)
                })
                .map_err(|e| self.wrong(value, format!("{name}: {e}")))?;
            let given =
                Given { values, section: title.to_owned(), line: self.line(key.span().start) };
            if let Some(other) = section.insert(setting.arg, given) {
                let what = format!("{name} says the same as line {}: keep one", other.line);
                return Err(self.wrong(key, what));
            }
        }
        Ok(section)
    }
}

/// The values of a setting, as its flag takes them.
fn values(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let text = || value.as_str().map(str::to_owned);
    let number = || Some(value.as_integer()?.as_str().replace('_', ""));
    let one = |value: Option<String>, form: &str| {
        value.map(|v| vec![v]).ok_or_else(|| format!("write {form}"))
    };
    match setting.form {
        Form::Text => one(text(), "a string in quotes"),
        Form::Number => one(text().or_else(number), "a number or a string in quotes"),
        Form::Switch => one(value.as_bool().map(|b| b.to_string()), "true or false"),
        Form::PathStyle => {
            let style = |path| if path { "path" } else { "virtual" };
            one(value.as_bool().map(|b| style(b).to_owned()), "true or false")
        }
        Form::PartMib => {
            let mib =
                number().and_then(|n| n.parse::<u64>().ok()).ok_or("write a number of MiB")?;
            match mib {
                // 5 MiB to 5 GiB: what S3 takes (X1.7: MiB, not MB).
                5..=5120 => Ok(vec![format!("{mib}MiB")]),
                _ => Err(format!("{mib} MiB is not a part size: S3 takes 5 to 5120")),
            }
        }
        Form::List => {
            let list = value.as_array().ok_or("write a list: [\"mp4\", \"mkv\"]")?;
            let word = |v: &Spanned<DeValue<'_>>| v.get_ref().as_str().map(str::to_owned);
            list.iter().map(word).collect::<Option<_>>().ok_or_else(|| "strings only".to_owned())
        }
    }
}

fn no_secrets(key: &str) -> String {
    format!(
        "{key} does not belong here: secrets go into ~/.aws/credentials or into the environment \
         (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
    )
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The name that was meant, where one is close.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|k| (distance(name, k), k)).min();
    match nearest {
        Some((distance, known)) if distance <= 2.max(name.len() / 3) => {
            format!(" (did you mean {known:?}?)")
        }
        _ => String::new(),
    }
}

/// How many letters differ (Levenshtein), by one row of the table at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (usize, String) {
        let Wrong { line, what } = parse(text).unwrap_err();
        (line, what)
    }

    /// S1.15, S1.16.
    #[test]
    fn values_become_what_flags_take() {
        let text = "[s3]\nendpoint = 'http://a'\npath_style = true\nmultipart_chunk_size_mb = 5\n\
            multipart_concurrency = 4\n[transfer]\nmemory = '64MiB'\nretries = 3\n\
            [publish]\nextensions = ['mp4', 'mkv']\n[profiles.r2]\nregion = 'auto'\n";
        let sections = parse(text).unwrap();
        let of = |arg: &str| (sections.top[arg].values.join(","), sections.top[arg].line);
        assert_eq!(of("endpoint_url"), ("http://a".into(), 2));
        assert_eq!(of("addressing"), ("path".into(), 3));
        assert_eq!(of("part_size"), ("5MiB".into(), 4));
        assert_eq!(of("concurrency"), ("4".into(), 5));
        assert_eq!(of("memory"), ("64MiB".into(), 7));
        assert_eq!(of("retries"), ("3".into(), 8));
        assert_eq!(of("extensions"), ("mp4,mkv".into(), 10));
        let r2 = &sections.profiles["r2"]["region"];
        assert_eq!((r2.values[0].as_str(), r2.section.as_str()), ("auto", "profiles.r2"));
    }

    #[test]
    fn unknown_keys_are_errors_with_the_line_and_a_suggestion() {
        let (line, what) = wrong("[s3]\n\nendpont = 'x'\n");
        assert_eq!(line, 3);
        assert_eq!(what, "no setting of [s3] is called \"endpont\" (did you mean \"endpoint\"?)");
        assert!(wrong("[transfers]\nmemory = 1").1.contains("did you mean \"transfer\"?"));
        assert!(wrong("region = 'x'").1.contains("it belongs into [s3]"));
        assert!(wrong("[profiles.a]\nmemory = '1MiB'").1.contains("[profiles.a]"));
        assert_eq!(wrong("[s3]\na = \n").0, 2);
    }

    /// X1.7: MiB, and 5 at least.
    #[test]
    fn values_that_cannot_be_meant() {
        for (text, part) in [
            ("[s3]\nmultipart_chunk_size_mb = 4", "4 MiB is not a part size"),
            ("[s3]\nmultipart_chunk_size_mb = '8MiB'", "a number of MiB"),
            ("[s3]\nendpoint = 3", "a string"),
            ("[s3]\npath_style = 'yes'", "true or false"),
            ("[s3]\nprovider = 'nobody'", "provider"),
            ("[transfer]\nconcurrency = 17", "1 to 16"),
            ("[transfer]\nmemory = 'much'", "not a size"),
            ("[transfer]\nfsync = 'maybe'", "auto, always, never"),
            ("[publish]\nexpires_in = '8d'", "7d"),
            ("[publish]\nextensions = 'mp4'", "a list"),
            ("[s3]\nmultipart_concurrency = 4\n[transfer]\nconcurrency = 4", "the same as line 2"),
        ] {
            assert!(wrong(text).1.contains(part), "{text}: {}", wrong(text).1);
        }
    }

    #[test]
    fn secrets_are_sent_elsewhere() {
        for text in ["[s3]\nsecret_key = 'x'", "[profiles.a]\naccess_key = 'x'", "token = 'x'"] {
            let (_, what) = wrong(text);
            assert!(what.contains("~/.aws/credentials") && !what.contains("'x'"), "{what}");
        }
    }
}
