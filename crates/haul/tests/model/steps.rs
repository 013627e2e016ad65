//! What is done to the world: edits by others, and commands with their flags.
//!
//! Owns the choice of a step from the state and a few bytes. Must never look at the real world, nor
//! know what a step does.

use crate::genes::Reader;
use crate::state::{At, BUCKETS, Space, State, ancestors};
use crate::trouble::Trouble;

/// What is done next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Somebody else writes a file or an object.
    Write(At, Content, usize),
    /// Somebody else makes a folder, or a marker of one.
    Folder(At),
    /// Somebody else removes it with all below.
    Drop(At),
    /// haul runs.
    Run(Box<Command>),
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Never seen before, of the usual length.
    Fresh,
    /// Never seen before, longer.
    Long,
    Empty,
    /// What something else contains.
    Again(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Copy,
    Move,
    Sync,
    Check,
    Remove,
    Publish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    Times,
    Size,
    Content,
}

/// A place as somebody types it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) space: Space,
    /// Without a slash at the end.
    pub(crate) path: String,
    pub(crate) slash: bool,
    /// By which of its names the disk or the store is reached.
    pub(crate) alias: usize,
}

impl Spot {
    pub(crate) fn typed(&self) -> String {
        let slash = if self.slash && !self.path.is_empty() { "/" } else { "" };
        format!("{}{slash}", self.path)
    }
}

impl Command {
    /// Whether objects get other attributes where they are.
    pub(crate) fn stays_in_place(&self) -> bool {
        let one = self.sources.iter().all(|s| s.alias == self.to.alias);
        self.verb == Verb::Copy
            && self.attributes
            && !self.flatten
            && one
            && !self.to.space.is_disk()
    }
}

/// A command with its flags.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) verb: Verb,
    pub(crate) sources: Vec<Spot>,
    pub(crate) to: Spot,
    pub(crate) recursive: bool,
    pub(crate) flatten: bool,
    pub(crate) overwrite: bool,
    pub(crate) keep_times: bool,
    pub(crate) empty_folders: bool,
    /// Sets a content type: the store cannot copy an object onto itself without such a change.
    pub(crate) attributes: bool,
    pub(crate) dedupe: bool,
    pub(crate) evidence: Evidence,
    pub(crate) delete: bool,
    pub(crate) max_delete: Option<u64>,
    pub(crate) one_way: bool,
    pub(crate) filter: Vec<(bool, &'static str)>,
    pub(crate) shard: Option<(u64, u64)>,
    /// A dry run goes before it, and has to say the same.
    pub(crate) rehearse: bool,
    pub(crate) jobs: Option<usize>,
    pub(crate) trouble: Option<Trouble>,
}

/// Names worth trying: for the shell, for URLs, for stores and for file systems.
const NAMES: [&str; 16] = [
    "a",
    "b",
    "c.txt",
    "A",
    "d e",
    "x+y",
    "%41",
    "\u{e9}",
    "e\u{301}",
    ".h",
    "a.txt",
    "a-b",
    "#1&=",
    "\u{1f98a}",
    ".haul-abcdefgh",
    "ab",
];

/// Of filters there are few, and they overlap.
const PATTERNS: [&str; 6] = ["a", "*.txt", "b/*", "a/a", ".*", "A"];

/// So much there may be before something has to go.
const CROWD: usize = 28;

impl Step {
    /// The step that these choices mean in this state.
    pub(crate) fn choose(genes: &mut Reader<'_>, state: &State) -> Self {
        let contents = state.values().filter(|n| !n.is_folder()).count();
        if contents > CROWD {
            return Self::Drop(top(genes, state));
        }
        let choices =
            [(70, 0), (8, 1), (6, 2), (44, 3), (40, 4), (40, 5), (14, 6), (14, 7), (20, 8)];
        match genes.weighed(&choices) {
            0 => {
                let at = new_place(genes, state);
                let kinds = [(150, 0), (40, 1), (20, 2), (46, 3)];
                let content = match genes.weighed(&kinds) {
                    0 => Content::Fresh,
                    1 => Content::Long,
                    2 => Content::Empty,
                    _ => Content::Again(genes.below(contents.max(1))),
                };
                Self::Write(at, content, genes.below(4))
            }
            1 => {
                let mut at = new_place(genes, state);
                if !at.space.is_disk() {
                    at.path.push('/');
                }
                Self::Folder(at)
            }
            2 => Self::Drop(any_place(genes, state)),
            verb => {
                let verbs = [Verb::Copy, Verb::Move, Verb::Sync, Verb::Check, Verb::Remove];
                let verb = verbs.get(verb - 3).copied().unwrap_or(Verb::Publish);
                Self::Run(Box::new(Command::choose(verb, genes, state)))
            }
        }
    }
}

impl Command {
    fn choose(verb: Verb, genes: &mut Reader<'_>, state: &State) -> Self {
        let space = match verb {
            Verb::Publish => Space::Disk,
            Verb::Remove => Space::Bucket(genes.below(BUCKETS.len())),
            _ => a_space(genes),
        };
        let trees = matches!(verb, Verb::Sync | Verb::Check);
        let mut sources = vec![spot(genes, state, space)];
        if !trees && genes.chance(40) {
            let alias = sources[0].alias;
            sources.push(Spot { alias, ..spot(genes, state, space) });
        }
        let to = match verb {
            Verb::Publish => Space::Bucket(genes.below(BUCKETS.len())),
            _ => a_space(genes),
        };
        let mut to = spot(genes, state, to);
        if genes.chance(20) {
            // The same place again, or something inside of it, by whatever name.
            let Spot { space, path, .. } = sources[0].clone();
            to = Spot { space, path, ..to };
        }
        if verb == Verb::Publish && to.space.is_disk() {
            to.space = Space::Bucket(0);
        }
        let rule = |genes: &mut Reader<'_>| (genes.chance(100), genes.one_of(&PATTERNS));
        Self {
            verb,
            sources,
            to,
            recursive: !genes.chance(48),
            flatten: genes.chance(24),
            overwrite: !genes.chance(40),
            keep_times: genes.chance(60),
            empty_folders: genes.chance(60),
            attributes: genes.chance(40),
            dedupe: genes.chance(40),
            evidence: genes.one_of(&[Evidence::Times, Evidence::Content, Evidence::Size]),
            delete: genes.chance(128),
            max_delete: if genes.chance(30) { Some(genes.below(4) as u64) } else { None },
            one_way: genes.chance(60),
            rehearse: genes.chance(80),
            filter: {
                let count = genes.weighed(&[(170, 0), (50, 1), (36, 2)]);
                (0..count).map(|_| rule(genes)).collect()
            },
            shard: genes.chance(24).then(|| (genes.below(3) as u64, 3)),
            jobs: genes.chance(60).then_some(1),
            trouble: genes.chance(70).then(|| Trouble::choose(genes)),
        }
    }
}

fn a_space(genes: &mut Reader<'_>) -> Space {
    genes.weighed(&[
        (110, Space::Disk),
        (80, Space::Bucket(0)),
        (30, Space::Bucket(1)),
        (36, Space::Bucket(2)),
    ])
}

/// The folders of the disk that everything is in.
const TOPS: [&str; 2] = ["d0", "d1"];

fn a_folder(genes: &mut Reader<'_>, state: &State, space: Space) -> String {
    let mut folders: Vec<String> = state
        .keys()
        .filter(|at| at.space == space)
        .flat_map(|at| ancestors(&at.path).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    folders.sort();
    folders.dedup();
    let top = if space.is_disk() { TOPS[genes.below(2)] } else { "" };
    if folders.is_empty() || genes.chance(90) { top.to_owned() } else { genes.one_of(&folders) }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Something that may not be there yet, two levels down at most in most cases.
fn new_place(genes: &mut Reader<'_>, state: &State) -> At {
    let space = a_space(genes);
    let folder = a_folder(genes, state, space);
    let names = if genes.chance(64) { &NAMES[..] } else { &NAMES[..4] };
    let mut path = join(&folder, genes.one_of(names));
    if genes.chance(100) && path.len() < 12 {
        path = join(&path, genes.one_of(names));
    }
    At::new(space, path)
}

fn any_place(genes: &mut Reader<'_>, state: &State) -> At {
    let all: Vec<_> = state.keys().collect();
    if all.is_empty() { At::new(Space::Disk, TOPS[1]) } else { genes.one_of(&all).clone() }
}

/// Something with much below it.
fn top(genes: &mut Reader<'_>, state: &State) -> At {
    let at = any_place(genes, state);
    let path = ancestors(&at.path).last().unwrap_or(&at.path).to_owned();
    At { path, ..at }
}

/// A place as one types it: often a folder, sometimes a file, sometimes nothing that exists.
fn spot(genes: &mut Reader<'_>, state: &State, space: Space) -> Spot {
    let folder = a_folder(genes, state, space);
    let here: Vec<_> = state.keys().filter(|at| at.space == space).collect();
    let path = match genes.weighed(&[(140, 0), (70, 1), (46, 2)]) {
        1 if !here.is_empty() => genes.one_of(&here).path.trim_end_matches('/').to_owned(),
        2 => join(&folder, genes.one_of(&NAMES[..4])),
        _ => folder,
    };
    let slash = genes.chance(110);
    let alias = genes.weighed(&[(160, 0), (48, 1), (48, 2)]);
    Spot { space, path, slash, alias }
}
