//! JSON, as docs/json.md has it.
//!
//! Owns: the comparison of every object that commands print with the tables of the page, both ways.

use std::collections::{BTreeMap, BTreeSet};

use haul_testkit::{Fault, Op, Rule};
use serde_json::Value;

use super::page;
use super::place::Place;
use super::tables::between;
use crate::harness::{Done, World};
use crate::pair::{Sender, receive, send};

/// The fields of one type of object, as json.md has them: those that are always there, and the others.
type Fields = (BTreeSet<String>, BTreeSet<String>);

fn documented(name: &str) -> BTreeMap<String, Vec<Fields>> {
    let mut all: BTreeMap<String, Vec<Fields>> = BTreeMap::new();
    let mut before = Fields::default();
    for row in between("docs/json.md", name).lines().skip(2) {
        let cells: Vec<_> = row.split(" | ").collect();
        let types = cells[0].split('`').skip(1).step_by(2);
        let fields = if cells[2].starts_with("the same") {
            before.clone()
        } else {
            let mut fields = Fields::default();
            let mut parts = cells[2].split('`').skip(1);
            while let (Some(field), rest) = (parts.next(), parts.next()) {
                let maybe = rest.is_some_and(|r| r.starts_with('?'));
                let set = if maybe { &mut fields.1 } else { &mut fields.0 };
                set.insert(field.to_owned());
            }
            fields
        };
        before = fields.clone();
        for kind in types {
            all.entry(kind.to_owned()).or_default().push(fields.clone());
        }
    }
    all
}

/// Whether objects are as documented; adds their types to `seen`.
fn check_objects(
    lines: impl Iterator<Item = Value>,
    documented: &BTreeMap<String, Vec<Fields>>,
    seen: &mut BTreeSet<String>,
) {
    for line in lines {
        let kind = line["type"].as_str().unwrap_or_else(|| panic!("no type: {line}")).to_owned();
        let object = line.as_object().unwrap();
        let keys: BTreeSet<_> = object.keys().filter(|k| *k != "type").cloned().collect();
        let fits = |(always, maybe): &Fields| {
            always.is_subset(&keys) && keys.difference(always).all(|k| maybe.contains(k))
        };
        let ways = documented.get(&kind).unwrap_or_else(|| panic!("not documented: {line}"));
        assert!(ways.iter().any(fits), "not as documented ({ways:?}): {line}");
        seen.insert(kind);
    }
}

#[tokio::test]
async fn json_is_as_documented() {
    let place = Place::new().await;
    place.leave_an_upload().await;
    std::os::unix::fs::symlink("main.c", place.world.path("src/link.c")).unwrap();
    std::fs::create_dir(place.world.path("src/empty")).unwrap();
    place.world.file("lines", "mb s3://lines\n");
    // Nothing is kept of the one that the other could be compared by.
    place.world.server.store().put_synthetic("backup", "opaque/x", 10);
    place.world.server.store().put("mirror", "opaque/x", vec![1; 10]);
    let documented = documented("results");
    let mut seen = BTreeSet::new();
    for (args, code) in [
        ("mb s3://new", 0),
        ("rb s3://new", 0),
        ("cp report.pdf s3://backup/one", 0),
        ("cp -n report.pdf s3://backup/one", 0),
        ("cp none s3://backup/two", 4),
        ("stat s3://backup/one", 0),
        ("stat report.pdf", 0),
        ("stat src", 0),
        ("cp -r --dry-run photos s3://backup/", 0),
        ("cp -r photos s3://backup/", 0),
        ("cp -rn photos s3://backup/", 0),
        ("cp report.pdf none s3://backup/", 1),
        ("mv --dry-run talks/intro.mp4 s3://backup/", 0),
        ("mv talks/intro.mp4 s3://backup/", 0),
        ("publish talks report.pdf s3://media/p/", 0),
        ("publish talks report.pdf s3://media/p/", 0),
        ("publish --dry-run talks secret s3://media/p/", 0),
        ("publish --url-only report.pdf secret s3://media/p/", 1),
        ("presign s3://media/film.mkv", 0),
        ("sync site s3://backup/photos --delete --dry-run", 0),
        ("sync site s3://backup/photos --checksum", 0),
        ("sync site s3://backup/photos --checksum", 0),
        ("check site s3://backup/photos", 3),
        ("check s3://backup/opaque s3://mirror/opaque", 3),
        ("sync site s3://backup/photos --delete", 0),
        ("sync s3://backup/photos s3://mirror/photos", 0),
        ("ls", 0),
        ("ls s3://docs", 0),
        ("ls -r src", 0),
        ("rm s3://docs/report.pdf", 0),
        ("ls -r --versions s3://docs", 0),
        ("rm -r --all-versions --dry-run s3://docs", 0),
        ("rm -r --all-versions s3://docs", 0),
        ("du --depth 1 s3://logs", 0),
        ("uploads ls s3://backup", 0),
        ("uploads abort --older-than 0s --dry-run s3://backup", 0),
        ("uploads abort --older-than 0s s3://backup", 0),
        ("config show", 0),
        ("doctor", 0),
        ("send --revoke photos", 0),
        ("run lines", 0),
    ] {
        let done = place.world.haul(args.split(' ').chain(["--json"])).run().await;
        done.ended(code);
        check_objects(done.json().into_iter(), &documented, &mut seen);
    }
    let [sent, received] = shared(&place).await;
    check_objects(sent.json().into_iter().chain(received.json()), &documented, &mut seen);
    let expected: BTreeSet<_> = documented.into_keys().collect();
    assert_eq!(seen, expected, "documented, and not seen");
}

/// A folder from a sender to a receiver, told as JSON on both streams. The ticket is in what the
/// sender did.
async fn shared(place: &Place) -> [Done; 2] {
    let args = ["--json", "--progress", "json", "--once", "photos"];
    let sender = Sender::start(send(&place.world, &args)).await;
    let first: Value = serde_json::from_str(&sender.ticket).unwrap();
    let ticket = first["ticket"].as_str().unwrap();
    let args = ["--json", "--progress", "json", ticket, "received"];
    let received = receive(&place.world, &args).run().await;
    let mut sent = sender.end().await;
    sent.ok();
    received.ok();
    sent.bytes.extend_from_slice(format!("{first}\n").as_bytes());
    [sent, received]
}

#[tokio::test]
async fn progress_is_as_documented() {
    let place = Place::new().await;
    let faults = place.world.server.faults();
    faults.add(Rule::on(Op::PutObject).then(Fault::status(503)));
    faults.add(Rule::on(Op::CopyObject).always().then(Fault::status(501)));
    let documented = documented("progress");
    let mut seen = BTreeSet::new();
    for args in [
        "cp report.pdf s3://backup/",
        "cp -r photos s3://backup/",
        "cp s3://media/film.mkv s3://mirror/",
        "sync photos s3://mirror/photos",
    ] {
        let done = place.world.haul(args.split(' ').chain(["--progress", "json"])).run().await;
        let lines = done.ok().err.lines().map(|l| serde_json::from_str(l).unwrap());
        check_objects(lines, &documented, &mut seen);
    }
    for done in shared(&place).await {
        let lines = done.err.lines().map(|l| serde_json::from_str(l).unwrap());
        check_objects(lines, &documented, &mut seen);
    }
    assert_eq!(seen, documented.into_keys().collect(), "documented, and not seen");
}

/// The codes that the help explains are those of the page.
#[tokio::test]
async fn exit_codes_are_as_documented() {
    let world = World::new().await;
    let help = world.haul(["--help"]).run().await;
    let codes = help.quiet().out().split_once("Exit codes:").unwrap().1;
    let numbers = codes.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
    let text = page("docs/json.md");
    let table = text.split_once("## Exit codes").unwrap().1;
    let rows = table.lines().filter_map(|l| l.strip_prefix("| ")?.split(' ').next());
    let rows = rows.filter(|n| n.parse::<u8>().is_ok());
    assert_eq!(rows.collect::<BTreeSet<_>>(), numbers.collect::<BTreeSet<_>>());
}
