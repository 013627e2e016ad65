//! cp, mv, publish and rm, as docs/copy.md, docs/publish.md and docs/manage.md tell them.
//!
//! Owns: what sources are, into or under a new name, what of it is moved. Must never ask haul.

use crate::forecast::{End, Fate, Forecast, Item, at_odds, copied, fate, in_shard, is_meant};
use crate::state::{At, Entry, Node, State, Tree, name_of, parent};
use crate::steps::{Command, Spot, Verb};

/// What a source is.
enum Root {
    Tree(Tree, String),
    /// Named alone; it may not be there.
    Single(At),
    Nothing,
}

/// One thing that is meant, and where it goes.
struct Pick {
    entry: Entry,
    /// Whether it is there.
    there: bool,
    to: String,
}

fn is_folder(state: &State, space: crate::state::Space, path: &str) -> bool {
    state.get(&At::new(space, path)).is_some_and(Node::is_folder)
}

fn is_file(state: &State, space: crate::state::Space, path: &str) -> bool {
    state.get(&At::new(space, path)).is_some_and(|n| !n.is_folder())
}

/// Whether a folder cannot be there, because a file is.
pub(crate) fn blocked(state: &State, to: &Spot) -> bool {
    let space = to.space;
    let above = crate::state::ancestors(&to.path);
    space.is_disk() && std::iter::once(&*to.path).chain(above).any(|p| is_file(state, space, p))
}

/// docs/copy.md, "Into, or under a new name".
fn goes_into(state: &State, to: &Spot) -> bool {
    to.slash || to.path.is_empty() || to.space.is_disk() && is_folder(state, to.space, &to.path)
}

fn root(state: &State, command: &Command, source: &Spot, into: bool) -> Root {
    let (space, path) = (source.space, &*source.path);
    let base = if into && !source.slash { name_of(path) } else { "" };
    let single = || Root::Single(At::new(space, path));
    if space.is_disk() {
        return match (is_folder(state, space, path), is_file(state, space, path)) {
            (true, _) if command.recursive || command.verb == Verb::Publish => {
                Root::Tree(Tree::named(space, path), base.to_owned())
            }
            (_, true) if !source.slash => single(),
            _ => Root::Nothing,
        };
    }
    let tree = path.is_empty() || source.slash;
    match (tree, command.recursive) {
        (true, false) => Root::Nothing,
        (false, false) => single(),
        (false, true) if state.contains_key(&At::new(space, path)) => single(),
        _ => Root::Tree(Tree::named(space, path), base.to_owned()),
    }
}

/// What is meant, and whether something that was named is not there.
fn picks(state: &State, command: &Command, roots: &[Root], folders: bool) -> (Vec<Pick>, bool) {
    let (mut all, mut missing) = (Vec::new(), false);
    for root in roots {
        match root {
            Root::Nothing => missing = true,
            Root::Single(at) => {
                let name = name_of(&at.path).to_owned();
                let node = state.get(at).cloned();
                let there = node.is_some();
                let node = node.unwrap_or_else(crate::state::folder);
                let entry = Entry { rel: name.clone(), at: at.clone(), node };
                all.push(Pick { entry, there, to: name });
            }
            Root::Tree(tree, base) => {
                let below = |at: &At| at.space == tree.space && at.path.starts_with(&tree.path);
                if !tree.space.is_disk() && !tree.path.is_empty() && !state.keys().any(below) {
                    missing = true;
                }
                for entry in tree.list(state) {
                    if entry.is_folder() && (!folders || command.flatten) {
                        continue;
                    }
                    let to = match (command.flatten, base.is_empty()) {
                        (true, _) => name_of(&entry.rel).to_owned(),
                        (_, true) => entry.rel.clone(),
                        _ => format!("{base}/{}", entry.rel),
                    };
                    all.push(Pick { entry, there: true, to });
                }
            }
        }
    }
    all.retain(|p| is_meant(command, &p.entry.rel));
    (all, missing)
}

/// cp, mv and publish.
pub(crate) fn transfer(before: &State, command: &Command) -> Forecast {
    let (to, publish) = (&command.to, command.verb == Verb::Publish);
    let into = publish || command.sources.len() != 1 || goes_into(before, to);
    let roots: Vec<_> = command.sources.iter().map(|s| root(before, command, s, into)).collect();
    let single = matches!(roots[..], [Root::Single(_)]);
    let named = single && !publish && !goes_into(before, to);
    let place = match (named, parent(&to.path)) {
        (false, _) => Tree::named(to.space, &to.path),
        (true, above) => Tree::named(to.space, above.unwrap_or("")),
    };
    if overlaps(command, &roots, &place) {
        return Forecast::refused(before);
    }
    let folders = !publish && (to.space.is_disk() || command.empty_folders);
    let (mut picks, missing) = picks(before, command, &roots, folders);
    if named {
        for pick in &mut picks {
            name_of(&to.path).clone_into(&mut pick.to);
        }
    }
    picks.retain(|p| in_shard(command, &p.to));
    if collide(&picks) {
        return Forecast::refused(before);
    }
    let folder = Spot { path: place.bare().to_owned(), ..to.clone() };
    if blocked(before, &folder) {
        return Forecast::refused(before);
    }
    let mut forecast = Forecast::new(before);
    if missing {
        forecast.fails();
    }
    if to.space.is_disk() && !place.path.is_empty() {
        forecast.put(&At::new(to.space, place.bare()), &crate::state::folder());
    }
    carry_out(before, command, (&place, &roots, picks), &mut forecast);
    let alike = |root: &Root| match root {
        Root::Tree(tree, _) => tree.is_called_like(&place),
        Root::Single(at) => {
            Tree::named(at.space, parent(&at.path).unwrap_or("")).is_called_like(&place)
        }
        Root::Nothing => false,
    };
    if roots.iter().any(alike) {
        forecast.may_be_refused(before);
    }
    if command.verb == Verb::Move {
        sweep(before, command, &roots, &mut forecast);
    }
    forecast
}

/// docs/copy.md, "Move": what is one, or inside of the other, is refused; trees that are to be moved may
/// not be inside of each other. Objects may get other attributes where they are.
fn overlaps(command: &Command, roots: &[Root], place: &Tree) -> bool {
    let trees = || {
        roots.iter().filter_map(|root| match root {
            Root::Tree(tree, base) => Some((tree, base)),
            _ => None,
        })
    };
    let inside = |(tree, base): (&Tree, &String)| {
        let to = Tree::named(place.space, &place.at(base).path);
        let in_place = *tree == to && command.stays_in_place();
        tree.contains(&to) && !in_place
    };
    let nested = || {
        let all: Vec<_> = trees().map(|(tree, _)| tree).collect();
        let both = |a: &Tree, b: &Tree| a.contains(b) || b.contains(a);
        all.iter().enumerate().any(|(i, a)| all[..i].iter().any(|b| both(a, b)))
    };
    trees().any(inside) || command.verb == Verb::Move && nested()
}

fn collide(picks: &[Pick]) -> bool {
    let mut names: Vec<_> = picks.iter().map(|p| &p.to).collect();
    names.sort();
    names.windows(2).any(|w| w[0] == w[1])
}

fn carry_out(
    before: &State,
    command: &Command,
    (place, roots, picks): (&Tree, &[Root], Vec<Pick>),
    forecast: &mut Forecast,
) {
    let moves = command.verb == Verb::Move;
    let targets: Vec<_> = picks.iter().map(|p| place.at(&p.to)).collect();
    for (pick, to) in picks.iter().zip(&targets) {
        let from = &pick.entry.at;
        let mut end =
            fate(before, &pick.entry, to, command.overwrite || command.verb == Verb::Publish);
        let there = before.get(to);
        if command.verb == Verb::Publish
            && there.is_some_and(|n| n.content == pick.entry.node.content)
        {
            end = Fate::Skipped;
        }
        if !pick.there {
            end = Fate::Failed;
        }
        let own = from == to;
        let twice = picks.iter().filter(|p| p.entry.at == *from).count() > 1;
        forecast.tangled |= twice && moves;
        let among = |root: &Root| matches!(root, Root::Tree(tree, _) if tree.holds(to));
        if !own && roots.iter().any(among) {
            end = Fate::Failed;
        }
        let odd = targets.iter().any(|other| other != to && at_odds(other, to));
        if own || odd {
            end = Fate::Open;
        }
        if matches!(end, Fate::Copied | Fate::Open) && !own {
            if !pick.entry.is_folder() || end == Fate::Copied {
                forecast.put(to, &copied(&pick.entry));
            }
            let on_disk = from.space.is_disk();
            // A folder on the disk is swept away later.
            if moves && !(on_disk && pick.entry.is_folder()) {
                forecast.after.remove(from);
            }
        }
        if end == Fate::Open {
            forecast.open.extend([to.clone(), from.clone()]);
            let bare = At::new(to.space, to.path.trim_end_matches('/'));
            forecast.open.insert(bare.clone());
            forecast.open_folders.push(bare);
        }
        forecast.items.push(Item { from: from.clone(), to: Some(to.clone()), fate: end });
    }
    forecast.settle_end();
    if forecast.end != End::Well && place.space.is_disk() {
        // Folders may have been made for what failed.
        forecast.open_folders.push(At::new(place.space, place.bare()));
    }
}

/// Folders that a move leaves empty are removed if nothing failed.
fn sweep(before: &State, command: &Command, roots: &[Root], forecast: &mut Forecast) {
    for root in roots {
        let Root::Tree(tree, _) = root else { continue };
        if !tree.space.is_disk() {
            continue;
        }
        if forecast.end != End::Well {
            forecast.open_folders.push(At::new(tree.space, tree.bare()));
            continue;
        }
        let mut folders: Vec<At> = before
            .iter()
            .filter(|(k, n)| n.is_folder() && tree.holds(k))
            .map(|(k, _)| k.clone())
            .collect();
        folders.insert(0, At::new(tree.space, tree.bare()));
        for folder in folders.iter().rev() {
            let below = Tree::named(folder.space, &folder.path);
            let was_empty = !before.keys().any(|k| below.holds(k));
            let rel = folder.path.strip_prefix(&*tree.path).unwrap_or("");
            let meant = is_meant(command, rel) && command.shard.is_none();
            let picked = forecast.items.iter().any(|i| i.from == *folder && i.fate == Fate::Copied);
            if forecast.after.keys().any(|k| below.holds(k)) || was_empty && !meant && !picked {
                continue;
            }
            if was_empty && !picked {
                // It was empty, and it was not moved: the documents leave it open.
                forecast.open_folders.push(folder.clone());
                continue;
            }
            forecast.after.remove(folder);
            // What stands above it may hold nothing but folders that are left open.
            if forecast
                .open_folders
                .iter()
                .any(|o| Tree::named(folder.space, &folder.path).holds(o))
            {
                forecast.open_folders.push(folder.clone());
            }
        }
    }
}

/// rm, of objects.
pub(crate) fn remove(before: &State, command: &Command) -> Forecast {
    let roots: Vec<_> = command.sources.iter().map(|s| root(before, command, s, false)).collect();
    let (picks, missing) =
        picks(before, &Command { flatten: false, ..command.clone() }, &roots, true);
    let mut forecast = Forecast::new(before);
    if missing {
        forecast.fails();
    }
    // The marker of a prefix goes with the prefix.
    let markers = roots.iter().filter_map(|root| match root {
        Root::Tree(tree, _) if !tree.path.is_empty() => Some(At::new(tree.space, &*tree.path)),
        _ => None,
    });
    let markers = markers.filter(|m| before.contains_key(m) && in_shard(command, ""));
    for marker in markers.filter(|_| is_meant(command, "")) {
        forecast.after.remove(&marker);
        forecast.items.push(Item { from: marker, to: None, fate: Fate::Removed });
    }
    let missing = |r: &Root| matches!(r, Root::Single(at) if !before.contains_key(at));
    if (roots.len() > 1 || roots.iter().any(missing)) && forecast.end == End::Well {
        // What is named twice is gone by the second time.
        forecast.end = End::Open;
    }
    for pick in picks.into_iter().filter(|p| in_shard(command, &p.entry.rel)) {
        let at = pick.entry.at;
        let end = match (pick.there, roots.len()) {
            (true, _) => Fate::Removed,
            (false, 1) => Fate::Failed,
            // A batch does not ask for each.
            (false, _) => Fate::Open,
        };
        forecast.after.remove(&at);
        if !forecast.items.iter().any(|i| i.from == at) {
            forecast.items.push(Item { from: at, to: None, fate: end });
        } else if let Some(item) = forecast.items.iter_mut().find(|i| i.from == at) {
            // Named twice.
            item.fate = Fate::Open;
        }
    }
    forecast.settle_end();
    forecast
}
