//! `haul du`: how much is there.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use haul::redact::escape_control as show;
use haul::{Entry, EntryKind, Foreign, Haul, ListRequest};
use serde_json::json;

use super::many;
use crate::args::DuArgs;
use crate::exit::{self, Exit};
use crate::session::Session;
use crate::size::{grouped, human};
use crate::{output, settings};

/// What is below a folder.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    bytes: u64,
    items: u64,
}

pub(crate) async fn run(args: DuArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    many::each(&args.locations, session, async |place| add_up(&haul, place, &args, session).await)
        .await
}

async fn add_up(
    haul: &Haul,
    location: &OsStr,
    args: &DuArgs,
    session: &Session,
) -> anyhow::Result<Exit> {
    let location = settings::location(location)?;
    let mut request = ListRequest::new(location.clone());
    request.recursive = true;
    request.versions = args.versions;
    request.filter = settings::filter(&args.filter)?;
    let mut listed = haul.list(request).await?;
    let mut folders: BTreeMap<String, Usage> = BTreeMap::new();
    let (mut total, mut exit) = (Usage::default(), Exit::Done);
    while let Some(page) = listed.next().await {
        let page = page?;
        for entry in page.entries.iter().filter(|e| e.kind == EntryKind::File) {
            total.add(entry.size);
            for folder in folders_of(entry, args.depth) {
                match folders.get_mut(folder) {
                    Some(usage) => usage.add(entry.size),
                    None => folders.entry(folder.to_owned()).or_default().add(entry.size),
                }
            }
        }
        for problem in &page.problems {
            output::error(&exit::line(problem));
            exit = Exit::Failed;
        }
    }
    let root = Foreign::from(&location);
    let root = root.exact();
    let root = root.trim_end_matches('/');
    for (folder, usage) in &folders {
        tell(&format!("{root}/{folder}"), *usage, args, session)?;
    }
    tell(root, total, args, session)?;
    Ok(exit)
}

impl Usage {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.items += 1;
    }
}

/// The folders that an entry is in, down to `depth`, each with its slash.
fn folders_of(entry: &Entry, depth: usize) -> impl Iterator<Item = &str> {
    // Names that are not text are in the total only.
    let path = entry.path.to_str().unwrap_or_default();
    path.match_indices('/').take(depth).map(move |(at, _)| &path[..=at])
}

fn tell(place: &str, usage: Usage, args: &DuArgs, session: &Session) -> haul::Result<()> {
    let Usage { bytes, items } = usage;
    if session.common.json {
        let line = json!({"type": "usage", "location": place, "bytes": bytes, "files": items});
        return output::result(&line.to_string());
    }
    let size = if args.bytes { bytes.to_string() } else { human(bytes).to_string() };
    let files = if items == 1 { "file" } else { "files" };
    output::result(&format!("{size:>11} {:>11} {files:<5}  {}", grouped(items), show(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_down_to_a_depth() {
        let entry = Entry::file("a/b/c.txt", 1);
        let of = |depth| folders_of(&entry, depth).collect::<Vec<_>>();
        assert_eq!(of(0), Vec::<&str>::new());
        assert_eq!(of(1), ["a/"]);
        assert_eq!(of(9), ["a/", "a/b/"]);
    }
}
