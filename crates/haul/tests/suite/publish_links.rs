//! The links of `publish`, and what objects carry.
//!
//! Owns: that a link works with any HTTP client, whose key it names, that every flag acts on the real
//! transfer, and links without uploads.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use haul::{CopyRequest, Filter, LinkStyle, Location, Outcome, PublishRequest};
use haul_testkit::{Fault, Op, Rule};

use crate::kit::{Kit, assert_same, or_hang, s3};
use crate::many_kit::with;
use crate::publish::publish_of;

/// What a browser would do, and no more: status and headers, in lower case, and body.
async fn get(url: &str) -> (String, Vec<u8>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let host = host.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(host).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        answer
    });
    let answer = or_hang("GET", read).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    (head, answer[end + 4..].to_vec())
}

/// U0.2: the link that is printed downloads the file, of its type, with nothing but a GET; odd names
/// too.
#[tokio::test]
async fn links_download_with_a_plain_get() {
    let kit = Kit::new().await;
    let names =
        ["a b+c%20d.txt", "clip.mp4", "ünï/日本?#&=.html", "no-extension", "quote'\"<>.css"];
    for name in names {
        kit.write(&format!("in/{name}"), name.as_bytes());
    }
    let many = kit.publish(publish_of(kit.local("in/"), s3("a p/"))).await;
    assert_eq!(many.counts(), (5, 0, 0, 0));
    for (settled, link) in many.items.iter().zip(many.links()) {
        let from = settled.from.exact();
        let name = from.split_once("/in/").unwrap().1;
        let (head, body) = get(&link).await;
        assert!(head.starts_with("http/1.1 200"), "{name}: {head}");
        assert_same(&body, name.as_bytes());
        let wanted = match name.rsplit('.').next().unwrap() {
            "txt" => "content-type: text/plain",
            "mp4" => "content-type: video/mp4",
            "html" => "content-type: text/html",
            "css" => "content-type: text/css",
            _ => "content-type: ",
        };
        assert!(head.contains(wanted), "{name}: {head}");
        // And with haul itself.
        let copied = CopyRequest::new(Location::Http(link.clone()), kit.local("down"));
        kit.request(copied).await.unwrap();
        assert_same(&std::fs::read(kit.path("down")).unwrap(), name.as_bytes());
        let forged = link.replace("X-Amz-Expires=604800", "X-Amz-Expires=604799");
        assert!(forged != link && !get(&forged).await.0.starts_with("http/1.1 200"));
    }
}

/// A link for a public bucket is its key below the base, and needs no signature.
#[tokio::test]
async fn public_links_are_the_key_below_the_base() {
    let kit = Kit::new().await;
    kit.write("in/d/a b.txt", b"x");
    kit.write("in/ü.txt", b"y");
    for base in ["https://cdn.example/x", "https://cdn.example/x/"] {
        let below = LinkStyle::Below(base.to_owned());
        let request = with(publish_of(kit.local("in"), s3("pre/fix")), |r| r.link = below);
        let links = kit.publish(request).await.links();
        assert_eq!(
            links,
            [
                "https://cdn.example/x/pre/fix/in/d/a%20b.txt",
                "https://cdn.example/x/pre/fix/in/%C3%BC.txt"
            ]
        );
    }
    assert_eq!(kit.keys_below("pre/fix/"), ["in/d/a b.txt", "in/ü.txt"]);
}

/// U0.3: flatten, prefix, expiry, metadata, tags and content type change the real transfer.
#[tokio::test]
async fn flags_act_on_the_real_transfer() {
    let kit = Kit::new().await;
    kit.write("in/d/clip.mp4", b"film");
    kit.write("in/other.txt", b"text");
    let request = with(publish_of(kit.local("in"), s3("pre/fix/")), |r| {
        r.flatten = true;
        r.link = LinkStyle::Presigned(Duration::from_hours(1));
        r.attributes.content_type = Some("application/x-own".to_owned());
        r.attributes.metadata.insert("who".to_owned(), "me".to_owned());
        r.attributes.tags.insert("kind".to_owned(), "a b".to_owned());
        r.attributes.cache_control = Some("max-age=60".to_owned());
        r.select.filter = with(Filter::default(), |f| f.extensions = vec!["MP4".to_owned()]);
    });
    let dry = kit.publish(with(request.clone(), |r| r.dry_run = true)).await;
    assert_eq!(dry.counts(), (1, 0, 0, 0));
    assert!(matches!(dry.items[0].outcome, Outcome::Would(_)));
    assert_eq!(dry.items[0].to, "s3://bucket/pre/fix/clip.mp4");
    assert_eq!(dry.items[0].link, None, "there is nothing to link to");
    assert!(kit.keys().is_empty());
    let many = kit.publish(request).await;
    assert_eq!(many.counts(), (1, 0, 0, 0));
    assert_eq!(many.items[0].to, dry.items[0].to);
    assert!(many.links()[0].contains("X-Amz-Expires=3600&"), "{:?}", many.links());
    assert_eq!(kit.keys(), ["pre/fix/clip.mp4"]);
    let stored = kit.stored("pre/fix/clip.mp4").unwrap();
    assert_eq!(stored.attributes.content_type.as_deref(), Some("application/x-own"));
    assert_eq!(stored.attributes.cache_control.as_deref(), Some("max-age=60"));
    assert_eq!(stored.metadata("who"), Some("me"));
    assert_eq!(stored.tags, [("kind".to_owned(), "a b".to_owned())]);
}

/// S0.2: links to what is there, and nothing uploaded; what is missing is counted and said, and what
/// cannot be looked at is another failure.
#[tokio::test]
async fn links_alone_upload_nothing() {
    let kit = Kit::new().await;
    for i in 0..6 {
        kit.write(&format!("in/{i}"), b"content");
        if i != 2 && i != 4 {
            kit.put(&format!("p/{i}"), b"content");
        }
    }
    kit.server.faults().add(Rule::on(Op::HeadObject).key("p/5").always().then(Fault::status(403)));
    let request = with(publish_of(kit.local("in/"), s3("p")), |r| r.url_only = true);
    let many = kit.publish(request).await;
    assert_eq!(many.counts(), (3, 0, 0, 3));
    assert_eq!(many.summary().missing, 2, "those that are not there");
    for (i, link) in many.links().iter().enumerate() {
        assert_eq!(link.is_empty(), [2, 4, 5].contains(&i), "{i}");
    }
    assert!(many.failures()[0].contains("p/2"), "{:?}", many.failures());
    assert_eq!((kit.count(Op::PutObject), kit.keys().len()), (0, 4));
}

/// Sources of all kinds at once: a file, a folder, its contents, a pattern.
#[tokio::test]
async fn sources_of_all_kinds() {
    let kit = Kit::new().await;
    for name in ["a/1.txt", "a/d/2.txt", "b/3.txt", "c.txt", "e1.txt", "e2.txt", "e3.jpg"] {
        kit.write(name, name.as_bytes());
    }
    let slash = Location::Local(kit.path("b").join(""));
    let sources = vec![kit.local("a"), slash, kit.local("c.txt"), kit.local("e*.txt")];
    let many = kit.publish(PublishRequest::new(sources, s3("p"))).await;
    assert_eq!(many.counts(), (6, 0, 0, 0));
    let names = ["3.txt", "a/1.txt", "a/d/2.txt", "c.txt", "e1.txt", "e2.txt"];
    assert_eq!(kit.keys_below("p/"), names);
}
