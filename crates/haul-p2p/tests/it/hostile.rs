//! Senders that mean harm: nothing leaves the folder, what is right arrives, and it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haul_core::{ErrorKind, Hint, Outcome, PeerEvent};
use haul_p2p::ReceiveOptions;

use crate::fake::{
    Content, Contents, Entry, Fake, Kind, Moment, Step, contents, hash, listed, sized,
};
use crate::kit::{Got, bytes, impatient, receiving, start, tree, write};

const GOOD: &[u8] = b"what is right";

/// What a receive came to, and where.
struct Visit {
    got: Got,
    dir: tempfile::TempDir,
}

impl Visit {
    async fn of(scripts: Vec<Vec<Step>>, contents: Contents) -> Self {
        Self::with(scripts, contents, receiving()).await
    }

    /// Receives into a folder beside which there is something to be harmed.
    async fn with(scripts: Vec<Vec<Step>>, mut all: Contents, options: ReceiveOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "canary", b"alive");
        write(dir.path(), "beside/canary", b"alive");
        all.extend(contents([GOOD.to_vec()]));
        let fake = Fake::start(scripts, all).await;
        let to = dir.path().join("to");
        let got = start(&fake.ticket, &to, options, impatient()).await.end().await;
        if let Ok(summary) = &got.result {
            // What the sender could not send need not be told to it.
            let (files, failed) = fake.goodbye().unwrap();
            assert_eq!(files, summary.copied + summary.skipped);
            assert!(failed <= summary.failed, "{failed} of {}", summary.failed);
        }
        fake.stop().await;
        let mut there = tree(dir.path());
        there.retain(|path, _| !path.starts_with("to"));
        let untouched =
            [("beside", &b"folder"[..]), ("beside/canary", b"alive"), ("canary", b"alive")];
        let untouched: BTreeMap<_, _> =
            untouched.map(|(path, content)| (PathBuf::from(path), content.to_vec())).into();
        assert_eq!(there, untouched, "something was done outside of the folder");
        Self { got, dir }
    }

    /// Lists these, and a good file before and after them.
    async fn listing(entries: Vec<Entry>, contents: Contents) -> Self {
        let mut all = vec![listed("good first", GOOD)];
        all.extend(entries);
        all.push(listed("good last", GOOD));
        let count = all.len() as u64;
        let visit = Self::of(vec![vec![Step::Entries(all), Step::End(count)]], contents).await;
        assert_eq!(visit.there("good first"), Some(GOOD.to_vec()));
        assert_eq!(visit.there("good last"), Some(GOOD.to_vec()), "{:?}", visit.got.settled);
        visit
    }

    fn there(&self, path: &str) -> Option<Vec<u8>> {
        tree(&self.dir.path().join("to")).remove(Path::new(path))
    }

    /// Everything there that has a name of its own.
    fn names(&self) -> Vec<PathBuf> {
        let all = tree(&self.dir.path().join("to")).into_keys();
        all.filter(|path| !path.to_str().unwrap().contains(".haul-")).collect()
    }
}

/// U4.1: names that lead out, or nowhere, or are none.
#[tokio::test(flavor = "multi_thread")]
async fn names_stay_in_the_folder() {
    let long = "n".repeat(256);
    let names = [
        "../x",
        "..",
        ".",
        "",
        "/",
        "/abs",
        "//abs",
        "a/../../x",
        "a/../x",
        "a//b",
        "a/./b",
        "./a",
        "a/..",
        "nul\0",
        "a/nul\0/b",
        "../beside/canary",
        "../canary",
        &long,
    ];
    let large = bytes((1 << 20) + 1, 1);
    let of = |data: &[u8]| listed("", data).kind;
    let link = Kind::Symlink { target: b"good".to_vec() };
    for kind in [of(GOOD), of(&large), Kind::Folder, link] {
        let entry = |name: &&str| Entry { path: name.as_bytes().to_vec(), kind: kind.clone() };
        let entries = names.iter().map(entry).collect();
        let visit = Visit::listing(entries, contents([large.clone()])).await;
        assert_eq!(visit.names(), ["good first", "good last"].map(PathBuf::from), "{kind:?}");
        let counts = (2, 0, names.len() as u64);
        assert_eq!(visit.got.counts(), counts, "{kind:?} {:?}", visit.got.settled);
    }
}

/// U4.1: paths longer than the system has, and many that are the same at their beginning.
#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_too_long_fail_alone() {
    let path = |i: usize, len: usize| format!("{}/{i}", "d/".repeat(len / 2));
    let entries = vec![listed(path(1, 6000), GOOD), listed(path(2, 20_000), GOOD)];
    let visit = Visit::listing(entries, Contents::new()).await;
    assert_eq!(visit.got.counts(), (2, 0, 2));
    for settled in &visit.got.settled {
        assert!(settled.from.exact().len() < 100, "{}", settled.from.exact().len());
    }
}

fn link(path: &str, target: &str) -> Entry {
    Entry { path: path.into(), kind: Kind::Symlink { target: target.into() } }
}

/// U4.1: links that lead out, and files beneath links, whichever comes first.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_nowhere_else() {
    let large = bytes((1 << 20) + 1, 1);
    for (target, ok) in [
        ("../beside", false),
        ("/etc", false),
        ("..", false),
        ("sub/../..", false),
        ("", false),
        ("sub\0", false),
        ("sub", true),
        (".", true),
    ] {
        let link_first =
            vec![link("out", target), listed("out/canary", GOOD), listed("out/large", &large)];
        let mut link_last = link_first.clone();
        link_last.rotate_left(1);
        for entries in [link_first, link_last] {
            let visit = Visit::listing(entries, contents([large.clone()])).await;
            let (copied, _, failed) = visit.got.counts();
            assert_eq!(copied + failed, 5, "{target}");
            // Either there is a link and nothing goes through it, or there is a folder.
            let out = visit.dir.path().join("to/out");
            let is_link = out.symlink_metadata().unwrap().is_symlink();
            assert!(ok || !is_link, "{target}");
            assert_eq!((copied, failed), if is_link { (3, 2) } else { (4, 1) }, "{target}");
        }
    }
    // Links by way of each other.
    let entries = vec![
        link("d/up", ".."),
        link("d/up2", "up/.."),
        link("over", "d/up/.."),
        link("d/e/far", "../../../beside"),
        listed("d/up/../../canary", GOOD),
        listed("d/up/canary", GOOD),
    ];
    let visit = Visit::listing(entries, Contents::new()).await;
    let up = visit.dir.path().join("to/d/up");
    if up.is_symlink() {
        assert_eq!(visit.got.counts(), (3, 0, 5), "{:?}", visit.got.settled);
    } else {
        assert_eq!(visit.got.counts(), (3, 0, 5), "{:?}", visit.got.settled);
        assert_eq!(visit.there("d/up/canary"), Some(GOOD.to_vec()));
    }
}

/// U4.1: a name that comes twice, as different things, and things beneath files.
#[tokio::test(flavor = "multi_thread")]
async fn names_come_once() {
    let entries = vec![
        listed("twice", GOOD),
        listed("twice", b"other"),
        listed("twice", GOOD),
        link("twice", "good"),
        Entry { path: b"twice".to_vec(), kind: Kind::Folder },
    ];
    let visit = Visit::listing(entries, contents([b"other".to_vec()])).await;
    assert_eq!(visit.got.counts(), (3, 0, 4), "{:?}", visit.got.settled);
    assert_eq!(visit.there("twice"), Some(GOOD.to_vec()));

    let entries = vec![listed("f", GOOD), listed("f/g", GOOD), listed("f/g/h", GOOD)];
    let visit = Visit::listing(entries, Contents::new()).await;
    let (copied, _, failed) = visit.got.counts();
    assert_eq!((copied, failed), (3, 2), "{:?}", visit.got.settled);
}

/// U4.1: sizes that cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_cannot_be_fail_alone() {
    let sizes =
        [u64::MAX, i64::MAX as u64, (i64::MAX as u64) + 1, u64::MAX - 1024, 1 << 62, 1 << 50];
    let entries: Vec<_> = sizes.iter().map(|size| sized(size.to_string(), GOOD, *size)).collect();
    let visit = Visit::listing(entries, Contents::new()).await;
    assert_eq!(visit.got.counts(), (2, 0, sizes.len() as u64), "{:?}", visit.got.settled);
    assert_eq!(visit.names(), ["good first", "good last"].map(PathBuf::from));
    for size in sizes {
        let e = visit.got.error(&size.to_string());
        assert_eq!(e.kind(), ErrorKind::NoSpace, "{size}: {e}");
    }
}

/// U4.1: sizes that cannot be, in message after message: sums of them are no sizes either.
#[tokio::test(flavor = "multi_thread")]
async fn sums_that_cannot_be_are_no_end() {
    let one = |name: &str, size| {
        Step::Entries(vec![sized(name, GOOD, size), listed(format!("{name} good"), GOOD)])
    };
    let script = vec![
        one("a", 1),
        one("b", u64::MAX - 1),
        one("c", 1 << 63),
        one("d", u64::MAX),
        one("e", 1 << 63),
        Step::End(10),
    ];
    let visit = Visit::of(vec![script], Contents::new()).await;
    assert_eq!(visit.got.counts(), (5, 0, 5), "{:?}", visit.got.settled);
}

/// U4.1: sizes that are not those of what comes.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_are_wrong_fail_alone() {
    let (small, large) = (bytes(30_000, 1), bytes((3 << 20) + 9, 2));
    let (lie, huge) = (bytes(4000, 3), bytes((2 << 20) + 9, 4));
    let mut all = contents([small.clone(), large.clone()]);
    let tells = |data: &[u8], tells| Content { tells: Some(tells), ..Content::of(data) };
    all.insert(hash(&lie), tells(&lie, 5000));
    all.insert(hash(&huge), tells(&huge, 3 << 20));
    let entries = vec![
        sized("small less", &small, 29_999),
        sized("small more", &small, 30_001),
        sized("small none", &small, 0),
        sized("large less", &large, (3 << 20) + 8),
        sized("large more", &large, 4 << 20),
        sized("large as small", &large, 1000),
        sized("small as large", &small, 2 << 20),
        sized("lies in both", &lie, 5000),
        sized("lies in both, large", &huge, 3 << 20),
        // And what is right in the midst of it.
        listed("small", &small),
        listed("large", &large),
    ];
    let visit = Visit::listing(entries, all).await;
    assert_eq!(visit.got.counts(), (4, 0, 9), "{:?}", visit.got.settled);
    assert_eq!(visit.names(), ["good first", "good last", "large", "small"].map(PathBuf::from));
    assert!(visit.there("small") == Some(small) && visit.there("large") == Some(large));
}

/// U4.1, U4.3: bytes that are not what their hash names, at the beginning, within a proof, in the
/// middle and at the end; small and large.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_fail_alone() {
    let mut all = Contents::new();
    let mut entries = Vec::new();
    for (kind, size) in [("small", 100_000), ("large", (2 << 20) + 777)] {
        for (i, at) in [8, 60, 80_000, 90_000].into_iter().enumerate() {
            let data = bytes(size, i as u64);
            all.insert(hash(&data), Content { flips: Some(at), ..Content::of(&data) });
            entries.push(listed(format!("{kind} {at}"), &data));
        }
        let data = bytes(size, 50);
        all.insert(hash(&data), Content::of(&data));
        entries.push(listed(format!("{kind} right"), &data));
    }
    let visit = Visit::listing(entries, all).await;
    assert_eq!(visit.got.counts(), (4, 0, 8), "{:?}", visit.got.settled);
    for settled in &visit.got.settled {
        if let Outcome::Failed(e) = &settled.outcome {
            assert_eq!(e.kind(), ErrorKind::Verification, "{}: {e}", settled.from);
            assert!(!visit.dir.path().join("to").join(&*settled.from.exact()).exists());
        }
    }
}

/// S4.24, S4.25: answers that do not come, end too early, are reset or stay away; all else arrives.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_come_fail_alone() {
    let mut all = Contents::new();
    let mut entries = Vec::new();
    let mut expected = Vec::new();
    for (size, kind) in [(50_000, "small"), (2 << 20, "large")] {
        let one = |seed| Content::of(&bytes(size, seed));
        let fates = [
            ("short", Content { ends: Some(30_000), ..one(1) }, None),
            ("no proof", Content { ends: Some(20), ..one(2) }, None),
            ("no size", Content { ends: Some(3), ..one(3) }, None),
            ("changed", Content { resets: Some(17), ..one(4) }, Some(ErrorKind::SourceChanged)),
            ("unknown", Content { resets: Some(18), ..one(5) }, Some(ErrorKind::NotFound)),
            ("error", Content { resets: Some(3), ..one(6) }, Some(ErrorKind::Rejected)),
            ("silent", Content { silent: true, ..one(7) }, Some(ErrorKind::Stalled)),
        ];
        for (name, content, kind_of_error) in fates {
            let name = format!("{kind} {name}");
            entries.push(listed(&name, &content.data));
            expected.push((name, kind_of_error));
            all.insert(hash(&content.data), content);
        }
        // Nobody has it at all.
        entries.push(listed(format!("{kind} missing"), &bytes(size, 8)));
        expected.push((format!("{kind} missing"), Some(ErrorKind::NotFound)));
    }
    let visit = Visit::listing(entries, all).await;
    assert_eq!(visit.got.counts(), (2, 0, 16), "{:?}", visit.got.settled);
    for (name, kind) in expected {
        let e = visit.got.error(&name);
        assert!(kind.is_none_or(|kind| e.kind() == kind), "{name}: {e}");
    }
    assert_eq!(visit.names(), ["good first", "good last"].map(PathBuf::from));
}

/// S4.43, U4.1: a sender that lies about the upper part of a content's tree, by which an older file
/// is compared: what is proven is used, and the rest is fetched.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_outlines_do_no_harm() {
    let data = bytes((4 << 20) + 5, 1);
    let mut older = data.clone();
    older[3 << 20] ^= 1;
    let lies =
        [vec![], vec![0; 64], vec![7; 4 * 64], bytes(63, 1), vec![0; 5000], bytes(1 << 20, 2)];
    for lie in lies {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "file", &older);
        let content = Content { outline: Some(lie.clone()), ..Content::of(&data) };
        let script = vec![Step::Entries(vec![listed("file", &data)]), Step::End(1)];
        let fake = Fake::start(vec![script], [(hash(&data), content)].into()).await;
        let mut options = receiving();
        options.if_exists = haul_p2p::IfExists::Overwrite;
        let got = start(&fake.ticket, dir.path(), options, impatient()).await.end().await;
        assert_eq!(got.counts(), (1, 0, 0), "{} {:?}", lie.len(), got.settled);
        assert!(std::fs::read(dir.path().join("file")).unwrap() == data);
        assert_eq!(tree(dir.path()).len(), 1);
        fake.stop().await;
    }
}

/// D17: where nobody named a folder, names at the top that begin with a dot are not taken: they would
/// do something by being there.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_names_come_only_where_they_are_asked_for() {
    let large = bytes((1 << 20) + 1, 1);
    let folder = Entry { path: b".ssh".to_vec(), kind: Kind::Folder };
    let entries = vec![
        listed(".bash_profile", GOOD),
        listed(".config/autostart/x.desktop", &large),
        folder,
        link(".profile", "good"),
        listed("photos/.sorted", GOOD),
        listed("...", GOOD),
    ];
    let script = vec![Step::Entries(entries.clone()), Step::End(6)];
    let mut unasked = receiving();
    unasked.hidden = false;
    let visit = Visit::with(vec![script.clone()], contents([large.clone()]), unasked).await;
    assert_eq!(visit.got.counts(), (1, 0, 5), "{:?}", visit.got.settled);
    assert_eq!(visit.names(), ["photos", "photos/.sorted"].map(PathBuf::from));
    let e = visit.got.error(".bash_profile");
    assert_eq!(e.hint(), Some(&Hint::TakeHidden), "{e}");
    let visit = Visit::of(vec![script], contents([large])).await;
    assert_eq!(visit.got.counts(), (6, 0, 0), "{:?}", visit.got.settled);
}

/// U4.1: facts that no file has are left out, and the file arrives.
#[tokio::test(flavor = "multi_thread")]
async fn facts_that_cannot_be_do_no_harm() {
    use std::os::unix::fs::MetadataExt as _;
    let file = |name: &str, mode, (seconds, nanoseconds)| {
        let (size, modified) = (GOOD.len() as u64, Some(Moment { seconds, nanoseconds }));
        let kind = Kind::File { size, hash: hash(GOOD), mode, modified };
        Entry { path: name.into(), kind }
    };
    let entries = vec![
        file("setuid", Some(0o6755), (0, 0)),
        file("all bits", Some(u32::MAX), (0, 0)),
        file("no bits", Some(0), (0, 0)),
        file("never", None, (i64::MIN, 0)),
        file("for ever", None, (i64::MAX, 999_999_999)),
        file("no time", None, (0, u32::MAX)),
    ];
    let visit = Visit::listing(entries, Contents::new()).await;
    assert_eq!(visit.got.counts(), (8, 0, 0), "{:?}", visit.got.settled);
    for name in ["setuid", "all bits", "no bits"] {
        let mode = visit.dir.path().join("to").join(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o7000, 0, "{name}: {mode:o}");
    }
}

/// U4.1: a list without an end, and reasons without an end.
#[tokio::test(flavor = "multi_thread")]
async fn lists_have_an_end() {
    // More entries than anybody wants.
    let page =
        |from: u64| Step::Entries((from..from + 100).map(|i| listed(i.to_string(), b"")).collect());
    let script: Vec<_> = (0..50).map(|i| page(i * 100)).collect();
    let mut few = receiving();
    few.most = 1000;
    let visit = Visit::with(vec![script], Contents::new(), few).await;
    let e = visit.got.result.as_ref().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Rejected, "{e}");
    assert!(e.to_string().contains("more than 1000"), "{e}");
    assert_eq!(e.hint(), Some(&Hint::AllowMoreFiles));
    assert!(visit.got.settled.len() <= 1000);

    // A reason as long as a message may be.
    let kind = Kind::Failed { reason: format!("\x1b[2J{}", "\u{1f980}".repeat(15_000)) };
    let visit = Visit::listing(vec![Entry { path: b"x".to_vec(), kind }], Contents::new()).await;
    assert_eq!(visit.got.counts(), (2, 0, 1));
    let e = visit.got.error("x").to_string();
    assert!(e.len() < 1000 && !e.contains('\x1b'), "{e}");
}

/// U4.1: lists that end where they should not. What was listed before is still taken.
#[tokio::test(flavor = "multi_thread")]
async fn lists_that_break_off_are_errors() {
    let good = || Step::Entries(vec![listed("good", GOOD)]);
    let frame = |len: u32, body: &[u8]| Step::Raw([&len.to_le_bytes(), body].concat());
    let nonsense: Vec<(&str, Vec<Step>)> = vec![
        ("no end", vec![Step::Finish]),
        ("half a length", vec![Step::Raw(vec![1, 0]), Step::Finish]),
        ("half a message", vec![frame(100, b"abc"), Step::Finish]),
        ("4 GiB", vec![frame(u32::MAX, b"abc")]),
        ("65 KiB", vec![frame(65 << 10, &[0; 65 << 10])]),
        ("no message", vec![frame(0, b"")]),
        ("another message", vec![frame(3, &[9, 9, 9])]),
        ("2^60 entries", vec![frame(11, b"\x00\x80\x80\x80\x80\x80\x80\x80\x80\x10\x00")]),
    ];
    for (what, steps) in nonsense {
        let script = [vec![good(), Step::Served(1)], steps].concat();
        let visit = Visit::of(vec![script], Contents::new()).await;
        let e = visit.got.result.as_ref().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol, "{what}: {e}");
        assert_eq!(visit.there("good"), Some(GOOD.to_vec()), "{what}");
        let left = |event: &&haul_core::Event| {
            matches!(event, haul_core::Event::Peer { event: PeerEvent::Left(_), .. })
        };
        assert_eq!(visit.got.events.iter().filter(left).count(), 1, "{what}: `Left` is guaranteed");
    }
}

/// X4.1: an end that counts more entries than were listed: some are missing, and nobody may call it
/// complete.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_comes_too_early_is_an_error() {
    for count in [2, 0, u64::MAX] {
        let script = vec![Step::Entries(vec![listed("good", GOOD)]), Step::End(count)];
        let visit = Visit::of(vec![script], Contents::new()).await;
        assert_eq!(visit.there("good"), Some(GOOD.to_vec()));
        let e = visit.got.result.as_ref().map(|_| count).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol, "{count}: {e}");
    }
}

/// S4.33: a list that breaks off with the connection, each time: it ends as an error, and what was
/// listed has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_always_breaks_is_an_error() {
    let script = vec![Step::Entries(vec![listed("good", GOOD)]), Step::Served(1), Step::Close(7)];
    let visit = Visit::of(vec![script], Contents::new()).await;
    assert_eq!(visit.got.result.as_ref().unwrap_err().kind(), ErrorKind::Connect);
    assert_eq!(visit.there("good"), Some(GOOD.to_vec()));
}
